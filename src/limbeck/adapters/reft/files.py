"""An adapter on disk: reft.safetensors and reft_config.json, which together restore it on its base."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

import limbeck
from limbeck.adapters.reft.config import ReftConfig
from limbeck.errors import LimbeckError, ModelError
from limbeck.run import listing, room_on_disk, write_json

WEIGHTS, CONFIG, FORMAT = "reft.safetensors", "reft_config.json", 1


class Saved(NamedTuple):
    """tensors: {"<layer>.<unit>.<raw | weight | bias>": tensor}."""

    config: ReftConfig
    tensors: dict[str, Tensor]
    folder: Path


def save_adapter(model: Any, name: str, folder: Path) -> None:
    """The raw rows, not the orthonormal ones, so that training goes on from where it was."""
    with room_on_disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
        tensors = {key: t.detach().cpu().contiguous() for key, t in model.interventions[name].state_dict().items()}
        save_file(tensors, folder / WEIGHTS)
        about = {
            "format": FORMAT,
            "limbeck": limbeck.__version__,
            "base": str(getattr(model.config, "_name_or_path", "") or ""),
            "model_type": model.config.model_type,
            "hidden_size": model._hidden_size,
            "num_layers": model._blocks,
            "reft": model.reft_config[name].model_dump(mode="json"),
        }
        write_json(folder / CONFIG, about)


def read_adapter(folder: Path, hidden_size: int) -> Saved:
    """Raises ModelError where a file is missing or broken, of a later format, or made for another hidden size."""
    try:
        about = json.loads((folder / CONFIG).read_bytes())
        if about["format"] != FORMAT:
            have = f"it is of format {about['format']}, written by limbeck {about.get('limbeck', '?')}; this one knows {FORMAT}"
            raise ModelError(f"the adapter in {folder} is of another version", have, "pip install -U limbeck")
        config, tensors = ReftConfig(**about["reft"]), load_file(folder / WEIGHTS)
        theirs = int(about["hidden_size"])
    except FileNotFoundError as missing:
        do = "limbeck.adapters.reft.load_pyreft reads pyreft's folders" if list(folder.glob("intkey_*.bin")) else "check the path"
        raise ModelError(f"there is no ReFT adapter in {folder}", f"it holds {listing(folder)}", do) from missing
    except ModelError:
        raise
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, ValidationError, LimbeckError) as broken:
        raise ModelError(f"the ReFT adapter in {folder} cannot be read", str(broken)[:300], "copy the folder again") from broken
    if theirs != hidden_size:
        have = f"it edits {theirs} numbers per token ({about.get('base') or about.get('model_type')}), this base has {hidden_size}"
        raise ModelError(f"the adapter in {folder} belongs to another base", have, "load it on the base that it was trained on")
    return Saved(config, tensors, folder)


def fill(model: Any, name: str, saved: Saved) -> None:
    """Raises ModelError where the tensors are not those that the config asks for."""
    try:
        with torch.no_grad():
            model.interventions[name].load_state_dict(saved.tensors)
    except RuntimeError as wrong:
        raise ModelError(
            f"the tensors in {saved.folder} are not what its config says", str(wrong).replace("\n", " ")[:300], "copy the folder again"
        ) from wrong
