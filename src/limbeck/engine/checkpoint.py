"""Checkpoints that a killed process leaves whole: tensors in safetensors, the rest in JSON, complete or not there at all."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from limbeck.run import room_on_disk

_TENSORS, _FACTS = "state.safetensors", "facts.json"


def write(folder: Path, name: str, tensors: dict[str, Tensor], facts: dict[str, Any], files: dict[str, str] | None = None) -> Path:
    """folder/name, written beside and renamed: a reader sees all of it or nothing. files: further text files."""
    beside, done = folder / f".{name}", folder / name
    with room_on_disk(folder):
        shutil.rmtree(beside, ignore_errors=True)
        beside.mkdir(parents=True)
        save_file({key: value.contiguous() for key, value in tensors.items()}, beside / _TENSORS)
        for file, text in {**(files or {}), _FACTS: json.dumps(facts)}.items():
            (beside / file).write_text(text)
        shutil.rmtree(done, ignore_errors=True)
        beside.rename(done)
    return done


def read(done: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    return load_file(done / _TENSORS), json.loads((done / _FACTS).read_bytes())


def find(folder: Path, pattern: str, fingerprint: str) -> Path | None:
    """The newest entry that was made by the same job, or None."""
    found = sorted(folder.glob(pattern), key=lambda p: int(p.name.rpartition("-")[2]) if "-" in p.name else 0, reverse=True)
    return next((p for p in found if json.loads((p / _FACTS).read_bytes()).get("fingerprint") == fingerprint), None)


def trainable(model: nn.Module) -> dict[str, nn.Parameter]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    """A copy of what trains."""
    return {name: p.detach().clone() for name, p in trainable(model).items()}


@torch.no_grad()
def restore(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """Raises KeyError where the model trains something that was not kept."""
    for name, p in trainable(model).items():
        p.copy_(weights[name])


def optimizer_tensors(optimizer: Any) -> dict[str, Tensor]:
    """{"<parameter>.<moment>": tensor}, the parameters counted as torch counts them. bitsandbytes hands its moments out in a
    dict within the dict, and takes them back in either form."""
    found: dict[str, Tensor] = {}
    for index, moments in optimizer.state_dict()["state"].items():
        for key, value in moments.items():
            inner = value.items() if isinstance(value, dict) else [(key, value)]
            found |= {f"{index}.{name}": torch.as_tensor(each) for name, each in inner}
    return found


def restore_optimizer(optimizer: Any, tensors: dict[str, Tensor]) -> None:
    """The groups (rates, decay) stay those of the optimizer; the schedule sets the rates."""
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Those whose name begins with `prefix.`, without it."""
    return {name.removeprefix(f"{prefix}."): t for name, t in tensors.items() if name.startswith(f"{prefix}.")}


def prefixed(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": t for name, t in tensors.items()}
