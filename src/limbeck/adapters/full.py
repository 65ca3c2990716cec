"""full: every weight of the base moves, or all but the word embeddings (`freeze_embeddings`, on by default: on few rows
they learn nothing, and they are half of a small model's weights)."""

from __future__ import annotations

from typing import Any

from limbeck.engine.load import layers_of
from limbeck.engine.numbers import read_numbers
from limbeck.registry import Adapter
from limbeck.types import Kind, Recipe


def attach(model: Any, recipe: Recipe) -> Any:
    """freeze_layers: the lowest n layers stay as they are, too."""
    numbers = read_numbers(recipe)
    model.requires_grad_(True)
    if numbers.freeze_embeddings:
        getattr(model, "embeddings", model.get_input_embeddings()).requires_grad_(False)
    for layer in list(layers_of(model))[: numbers.freeze_layers]:
        layer.requires_grad_(False)
    return model


def merge(model: Any) -> Any:
    return model


FULL = Adapter(
    name="full", group="student", kinds=(Kind.LABEL, Kind.CHOICE, Kind.SCORE), modifiers=("rows", "objective"), attach=attach, merge=merge
)
