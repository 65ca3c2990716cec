"""Frozen-prefix reuse: what frozen lower layers give for a training row is computed once, and read again in every epoch.

    input_ids --> embeddings --> layer 0 .. k-1 (nothing in them moves) --> hidden (T, d), kept per row
                                                                              |
    epoch 2, 3, ... ----------------------------------------------------------+--> layer k .. --> loss

Exact up to the last bits of a float (a row is computed beside other rows): in a frozen prefix there is no dropout, with
reuse or without. Rows are computed in an order that depends on the rows alone, so that a resumed training reads the
same numbers. What does not fit into memory lies on the disk; what fits into neither is computed again, as before."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from limbeck.engine.batches import by_length
from limbeck.engine.dropout import set_back, set_dropout
from limbeck.engine.layers import layers_of
from limbeck.engine.tokens import pad
from limbeck.engine.writer import WriterStudent
from limbeck.errors import UsageError

MEMORY_SHARE, DISK_SHARE = 0.25, 0.25  # of what is free
CLOSE, CLOSE_BF16 = 1e-4, 3e-2  # hidden states are about 1: the self-check of a base that is new to us


def frozen_layers(model: nn.Module) -> int:
    """k: so many of the lowest layers, and everything below them, hold nothing that trains. A model whose edits stand
    beside its layers says by itself how deep they begin (`first_adapted_layer`)."""
    try:
        layers = layers_of(model)
    except UsageError:
        return 0
    told = getattr(model, "first_adapted_layer", None)
    moving = {id(p) for p in model.parameters() if p.requires_grad}
    inside = {id(p) for p in layers.parameters()}
    if told is None and moving - inside:
        return 0  # embeddings, or something that we do not know, move
    k = next((i for i, layer in enumerate(layers) if any(id(p) in moving for p in layer.parameters())), len(layers))
    return min(k, told) if told is not None else k


class Kept:
    """Hidden states by token ids: one (T, d) array per row, in memory or in one file. facts: what was decided, in words."""

    def __init__(self, rows: Sequence[Sequence[int]], hidden: int, folder: Path):
        unique = list(dict.fromkeys(map(tuple, rows)))
        begins = np.concatenate([[0], np.cumsum([len(r) for r in unique])]).astype(np.int64)
        self.place = {row: (int(a), int(b)) for row, a, b in zip(unique, begins, begins[1:], strict=False)}
        size = int(begins[-1]) * hidden * 4
        self.file: Path | None = None
        self.states: Any = None
        if size <= MEMORY_SHARE * free_memory():
            self.states, self.where = np.zeros((int(begins[-1]), hidden), np.float32), "memory"
        elif size <= DISK_SHARE * shutil.disk_usage(existing(folder)).free:
            folder.mkdir(parents=True, exist_ok=True)
            self.file, self.where = folder / "prefix.tmp", "a file"
            self.states = np.memmap(self.file, np.float32, "w+", shape=(int(begins[-1]), hidden))
        else:
            self.where = ""
        self.mb = size / 1e6

    def put(self, row: Sequence[int], states: Tensor) -> None:
        a, b = self.place[tuple(row)]
        self.states[a:b] = states.float().cpu().numpy()

    def read(self, rows: Sequence[tuple[int, ...]], width: int, left: bool) -> Tensor | None:
        """(B, width, d), zeros where there is padding; None where one of the rows is not known."""
        if any(row not in self.place for row in rows):
            return None
        out = np.zeros((len(rows), width, self.states.shape[1]), np.float32)
        for i, row in enumerate(rows):
            a, b = self.place[row]
            out[i, width - (b - a) if left else 0 : width if left else b - a] = self.states[a:b]
        return torch.from_numpy(out)

    def forget(self) -> None:
        self.states = None
        if self.file is not None:
            self.file.unlink(missing_ok=True)


class Layer(nn.Module):
    """One layer of the prefix, wrapped: the first reads what is kept, the others pass it on; a row that is not known, and
    every forward outside of training, goes through the layer itself."""

    def __init__(self, inner: nn.Module, first: bool, shared: Shared):
        super().__init__()
        self.inner, self.first = inner, first
        self.shared = [shared]  # in a list: no sub-module

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inner"), name)  # some models ask a layer what kind it is

    def forward(self, hidden_states: Tensor, *args: Any, **more: Any) -> Any:
        shared = self.shared[0]
        if self.first:
            shared.hit = shared.look_up(hidden_states) if self.training and torch.is_grad_enabled() else None
        if shared.hit is None:
            return self.inner(hidden_states, *args, **more)
        return shared.hit


class Shared:
    """What the layers of one prefix share: the kept states, the batch that is going through, and what was found for it."""

    def __init__(self, kept: Kept):
        self.kept, self.hit = kept, None
        self.ids: Tensor | None = None
        self.mask: Tensor | None = None
        self.reads = self.misses = 0

    def see(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Before each forward of the base."""
        self.ids = kwargs.get("input_ids", args[0] if args else None)
        self.mask = kwargs.get("attention_mask")

    def look_up(self, like: Tensor) -> Tensor | None:
        if self.ids is None or self.mask is None or self.mask.ndim != 2:
            return None
        ids, mask = self.ids.tolist(), self.mask.bool().tolist()
        rows = [tuple(t for t, real in zip(row, keep, strict=True) if real) for row, keep in zip(ids, mask, strict=True)]
        left = not all(keep[0] for keep in mask)
        found = self.kept.read(rows, like.shape[1], left)
        self.reads, self.misses = self.reads + (found is not None), self.misses + (found is None)
        return None if found is None else found.to(like.device, like.dtype)


class Enough(Exception):
    """Thrown by a hook behind the prefix: the layers above it are not needed."""


@contextmanager
def reuse(
    model: nn.Module, features: Sequence[dict[str, Any]], pad_token_id: int, folder: Path, bf16: bool = False, on: bool = True
) -> Iterator[str]:
    """While it lasts, the frozen prefix of `model` (a student, or its backbone) is without dropout, and with `on` reads what
    it gave before. features: the training items, with input_ids and perhaps options. Yields in words what is being done, ""
    where there is no frozen prefix, and for a student that writes: it reads the prompt together with an answer, or a
    decoder beside it, so that what is kept by prompt would never be read."""
    backbone = getattr(model, "backbone", model)
    k = 0 if isinstance(model, WriterStudent) else frozen_layers(backbone)
    if k == 0:
        yield ""
        return
    layers = layers_of(backbone)
    before = set_dropout([m for layer in layers[:k] for m in layer.modules()] + below(backbone, layers), 0.0)
    kept: Kept | None = None
    hook = None
    try:
        rows = [row for f in features for row in (f["input_ids"], *f.get("options", ()))]
        kept = Kept(rows, int(backbone.config.hidden_size), folder) if on and rows else None
        if kept is None or not kept.where:
            yield f"{k} frozen layers, computed in every epoch" + ("" if kept is None else f": {kept.mb:.0f} MB fit nowhere")
            return
        fill(kept, backbone, layers[k - 1], pad_token_id, bf16)
        shared = Shared(kept)
        hook = backbone.register_forward_pre_hook(shared.see, with_kwargs=True)
        for i in range(k):
            layers[i] = Layer(layers[i], i == 0, shared)
        if not agrees(backbone, rows, pad_token_id, shared, bf16):
            yield f"{k} frozen layers, computed in every epoch: this base does not take them from outside"
            return
        yield f"{k} of {len(layers)} layers are frozen: computed once, {kept.mb:.0f} MB in {kept.where}"
    finally:
        if hook is not None:
            hook.remove()
        for i in range(k):
            if isinstance(layers[i], Layer):
                layers[i] = layers[i].inner
        if kept is not None:
            kept.forget()
        set_back(before)


@torch.no_grad()
def fill(kept: Kept, backbone: nn.Module, last: nn.Module, pad_token_id: int, bf16: bool) -> None:
    """One forward of the prefix over every different row, in batches that depend on the rows alone."""

    def stop(module: nn.Module, args: Any, output: Any) -> None:
        found.append(output[0] if isinstance(output, tuple) else output)
        raise Enough

    rows = list(kept.place)
    found: list[Tensor] = []
    handle = last.register_forward_hook(stop)
    training, device = backbone.training, next(backbone.parameters()).device
    backbone.eval()
    try:
        for batch in by_length([len(r) for r in rows]):
            input_ids, attention_mask = pad([rows[i] for i in batch], pad_token_id)
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                try:
                    backbone(input_ids=input_ids.to(device), attention_mask=attention_mask.to(device))
                except Enough:
                    states = found.pop()
            for i, line in zip(batch, states, strict=True):
                kept.put(rows[i], line[: len(rows[i])])
    finally:
        handle.remove()
        backbone.train(training)


def agrees(backbone: nn.Module, rows: Sequence[Sequence[int]], pad_token_id: int, shared: Shared, bf16: bool) -> bool:
    """The last hidden state with what is kept equals the one without, on a few rows of unequal length."""
    some = sorted({tuple(r) for r in rows}, key=len)
    few = [some[0], some[len(some) // 2], some[-1]]
    device = next(backbone.parameters()).device
    input_ids, attention_mask = (t.to(device) for t in pad(few, pad_token_id))
    modes = [(m, m.training) for m in backbone.modules()]
    noisy = set_dropout(backbone.modules(), 0.0)
    real = attention_mask.bool()
    try:
        with torch.enable_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            backbone.train()
            ours = last_state(backbone, input_ids, attention_mask)
            read = shared.hit is not None
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
            plain = last_state(backbone, input_ids, attention_mask)
    except (TypeError, ValueError, RuntimeError, AttributeError):
        return False
    finally:
        set_back(noisy)
        for module, training in modes:
            module.training = training
    scale = plain[real].abs().max().clamp(min=1.0)
    return read and bool((ours[real] - plain[real]).abs().max() <= (CLOSE_BF16 if bf16 else CLOSE) * scale)


def last_state(backbone: nn.Module, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    out = backbone(input_ids=input_ids, attention_mask=attention_mask)
    return (out.last_hidden_state if hasattr(out, "last_hidden_state") else out.logits).detach().float()


def below(backbone: nn.Module, layers: nn.Module) -> list[nn.Module]:
    """Everything outside of the layers: embeddings, above all."""
    inside = {id(m) for m in layers.modules()}
    return [m for m in backbone.modules() if id(m) not in inside]


def free_memory() -> float:
    """Bytes that may still be had without swapping."""
    try:
        lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        return float(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return 2e9


def existing(folder: Path) -> Path:
    return next(p for p in (folder, *folder.absolute().parents) if p.exists())
