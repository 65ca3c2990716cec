"""Dropout of some modules, set to one rate and back again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

Before = list[tuple[nn.Module, str, Any]]  # module, attribute, what it was


def set_dropout(modules: Iterable[nn.Module], rate: float) -> Before:
    """Every nn.Dropout, and every number that a module keeps under a name ending in dropout or dropout_rate: what attention
    reads is a plain number in some families (Llama: attention_dropout), 0 as often as 0.0. Returns what `set_back` takes."""
    before: Before = []
    for module in modules:
        names = ["p"] if isinstance(module, nn.Dropout) else [n for n, value in vars(module).items() if is_rate(n, value)]
        for name in names:
            before.append((module, name, getattr(module, name)))
            setattr(module, name, rate)
    return before


def set_back(before: Before) -> None:
    for module, name, value in before:
        setattr(module, name, value)


def is_rate(name: str, value: Any) -> bool:
    return name.endswith(("dropout", "dropout_rate")) and isinstance(value, int | float) and not isinstance(value, bool)
