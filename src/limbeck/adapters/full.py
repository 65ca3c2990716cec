"""full: every weight of the base moves, or all but the word embeddings (`freeze_embeddings`, on by default: on few rows
they learn nothing, and they are a large part of a small model's weights). An output matrix that is tied to them stays, too."""

from __future__ import annotations

from typing import Any

from limbeck.engine.layers import layers_of
from limbeck.engine.numbers import read_numbers
from limbeck.errors import UsageError
from limbeck.registry import Adapter
from limbeck.types import Kind, Recipe


def attach(model: Any, recipe: Recipe) -> Any:
    """freeze_layers: the lowest n layers stay as they are, too; an encoder's count before its decoder's. Raises UsageError
    where that leaves nothing to train."""
    numbers, layers = read_numbers(recipe), list(layers_of(model))
    if numbers.freeze_layers >= len(layers):
        have = f"freeze_layers is {numbers.freeze_layers}"
        raise UsageError(f"this base has {len(layers)} layers, and one has to move", have, f"--set freeze_layers={len(layers) - 1}")
    model.requires_grad_(True)
    if numbers.freeze_embeddings:
        getattr(model, "embeddings", model.get_input_embeddings()).requires_grad_(False)
        positions = getattr(getattr(model, "transformer", None), "wpe", None)  # GPT-2 keeps them beside the words
        if positions is not None:
            positions.requires_grad_(False)
    for layer in layers[: numbers.freeze_layers]:
        layer.requires_grad_(False)
    return model


def merge(model: Any) -> Any:
    return model


FULL = Adapter(name="full", group="student", kinds=tuple(Kind), modifiers=("rows", "objective"), attach=attach, merge=merge)
