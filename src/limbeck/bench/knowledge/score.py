"""Forced choice by likelihood: which option a model finds likeliest after the stem. The options are not shown to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from limbeck.bench.knowledge.facts import Item


@dataclass(frozen=True)
class Choice:
    """sums, means: natural log-probability of each option, in all and per token, in the order of the item's options."""

    item: Item
    sums: tuple[float, ...]
    means: tuple[float, ...]

    def right(self, by: str = "sum") -> float:
        """1 or 0; where options tie, the share that chance would give them."""
        values = self.sums if by == "sum" else self.means
        best = max(values)
        ties = [i for i, v in enumerate(values) if v == best]
        return sum(i in self.item.right for i in ties) / len(ties)

    @property
    def chance(self) -> float:
        return len(self.item.right) / len(self.item.options)


def choices(base: Any, items: Sequence[Item], context: Callable[[Item], str] = lambda item: "") -> list[Choice]:
    """base: engine.load.Base. context: what stands before the stem."""
    from limbeck.engine.score import likelihoods

    prompts = [" ".join(part for part in (context(item), item.stem) if part) for item in items]
    found = likelihoods(base, prompts, [item.options for item in items], with_end=False)
    return [
        Choice(item, tuple(one.log_prob for one in line), tuple(one.mean for one in line)) for item, line in zip(items, found, strict=True)
    ]
