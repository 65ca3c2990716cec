"""Which of many rows to show, given numbers alone: the nearest, the nearest that differ among themselves, the nearest of each
label. Ties go to the row that stands first, so that a choice is the same on any machine."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

T = TypeVar("T")


def nearest(scores: Sequence[float], open_: Iterable[int], n: int) -> list[int]:
    """The n numbers of `open_` with the highest scores, best first."""
    return heapq.nsmallest(n, open_, key=lambda i: (-scores[i], i))


def mmr(relevance: Sequence[float], alike: Callable[[int, int], float], open_: Sequence[int], k: int, lambda_: float) -> list[int]:
    """Maximal marginal relevance (Carbonell and Goldstein 1998): in turn the row with the highest
    lambda * relevance - (1 - lambda) * the most that it is like a row chosen before. lambda 1 is `nearest`."""
    left = list(open_)
    redundant = dict.fromkeys(left, 0.0)  # the first row is the most relevant one, whatever lambda is
    chosen: list[int] = []
    while left and len(chosen) < k:
        best = min(left, key=lambda i: (-(lambda_ * relevance[i] - (1 - lambda_) * redundant[i]), -relevance[i], i))
        left.remove(best)
        chosen.append(best)
        for i in left:
            like = alike(best, i)
            redundant[i] = like if len(chosen) == 1 else max(redundant[i], like)
    return chosen


def round_robin(piles: Sequence[Sequence[T]], k: int) -> list[T]:
    """One of each pile in turn, each pile from its front, until there are k or none is left."""
    found: list[T] = []
    depth = 0
    while len(found) < k and any(depth < len(pile) for pile in piles):
        found += [pile[depth] for pile in piles if depth < len(pile)][: k - len(found)]
        depth += 1
    return found


def by_label(order: Iterable[int], labels: Sequence[Hashable]) -> list[list[int]]:
    """The numbers in piles, one per label, piles and rows in the order in which they come."""
    piles: dict[Hashable, list[int]] = {}
    for i in order:
        piles.setdefault(labels[i], []).append(i)
    return list(piles.values())
