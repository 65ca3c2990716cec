"""Which trained number takes which rate and decay: by head and body, by depth, by role."""

from __future__ import annotations

from typing import Any

from torch import nn

from limbeck.engine import checkpoint
from limbeck.engine.numbers import Numbers


def parameter_groups(model: nn.Module, numbers: Numbers) -> list[dict[str, Any]]:
    """Head and body with their rates, lower layers with smaller ones, LoRA's B with a larger one, no decay on vectors
    (norms, biases, scales). What an objective hung on beside them begins at random and has a rate of its own."""
    moving = checkpoint.trainable(model)
    depth = depths([name for name in moving if not name.startswith("beside.")])
    layers = 1 + max(depth.values(), default=0)
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, p in moving.items():
        if name.startswith("head."):
            key = (numbers.head_lr, 0.0)
        elif name.startswith("beside."):
            key = (numbers.beside_lr, numbers.weight_decay if p.ndim > 1 else 0.0)
        else:
            lr = numbers.lr * numbers.layer_decay ** max(layers - 1 - depth[name], 0)
            lr = lr * numbers.loraplus if ".lora_B." in name else lr
            key = (lr, numbers.weight_decay if p.ndim > 1 else 0.0)
        groups.setdefault(key, []).append(p)
    return [{"params": params, "lr": lr, "weight_decay": decay} for (lr, decay), params in groups.items()]


def depths(names: list[str]) -> dict[str, int]:
    """Layers count from 0, a decoder's on from its encoder's; embeddings are -1, what stands above the last layer (a final
    norm, an output matrix) belongs to it."""
    layer = {name: layer_of(name) for name in names}
    decoder = {name for name in names if "decoder." in name}
    encoder = [layer[name] for name in names if name not in decoder and "encoder." in name]
    below = 1 + max(encoder, default=-1) if decoder else 0
    depth = {name: n + below if n >= 0 and name in decoder else n for name, n in layer.items()}
    top = max(depth.values(), default=0)
    above = {True: below - 1, False: top}  # of the encoder's own last layer, or of all
    return {
        name: n if n >= 0 or is_embedding(name) else above[bool(decoder) and name not in decoder and "encoder." in name]
        for name, n in depth.items()
    }


def is_embedding(name: str) -> bool:
    return any(word in name.split(".") for word in ("embeddings", "shared", "embed_tokens", "wte", "wpe", "embed_positions"))


def layer_of(name: str) -> int:
    """The number in "...layer.3....": layers count from 0; -1 where there is none."""
    digits = [part for part in name.split(".") if part.isdigit()]
    return int(digits[0]) if digits else -1
