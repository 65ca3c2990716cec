"""The demonstrations of a chain-of-thought prompt: training rows with a rationale and an answer.

A person's rationales come first. Where there are too few, the teacher is asked about labelled training rows without
any demonstration, and what it says is used where its own answer equals the label."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from limbeck.augment.filters import checks
from limbeck.augment.rationales import Agrees, Extracted, Rationale, extract
from limbeck.registry import Ask
from limbeck.types import Example, Kind, Price, Task

K = 8  # Hsieh et al. use about ten; eight is Wei et al.'s number for most tasks
FEWEST = 4  # of a person's own: with fewer the teacher is asked for more
TRIES = 3  # rows asked about per demonstration that is missing: teachers err, and some rationales fail the checks


@dataclass(frozen=True)
class Shots:
    """rows: with rationale and output, at most `k`, mixed over the labels. found: what the teacher was asked for them (None =
    nobody was asked): its rationales are paid for, and count as the rows' own."""

    rows: tuple[Example, ...]
    by_person: int = 0
    found: Extracted | None = None


def find_shots(
    task: Task,
    rows: Sequence[Example],
    ask: Ask | None,
    *,
    k: int = K,
    agrees: Agrees | None = None,
    seen: bool = False,
    price: Price | None = None,
    seed: int = 0,
) -> Shots:
    """rows: of training alone, with their labels. ask None: only what persons wrote. At most k; none where the teacher got
    nothing right, and then it is asked without demonstrations."""
    passes = checks(task)
    own = [r for r in rows if r.rationale and r.output is not None and not passes(r, r.rationale)]
    first = mixed(task, own, k, seed)
    if len(first) >= min(FEWEST, k) or ask is None:
        return Shots(tuple(first), len(first))
    open_ = [r for r in rows if not r.rationale and r.output is not None]
    asked = mixed(task, open_, TRIES * (k - len(first)), seed)
    if not asked:
        return Shots(tuple(first), len(first))
    found = extract(task, asked, ask, first, agrees=agrees, seen=seen, price=price, seed=seed)
    by_id: dict[str, Rationale] = {r.id: r for r in found.kept}
    right = [r.model_copy(update={"rationale": by_id[r.id].rationale}) for r in asked if r.id in by_id]
    return Shots((*first, *mixed(task, right, k - len(first), seed)), len(first), found)


def mixed(task: Task, rows: Sequence[Example], k: int, seed: int) -> list[Example]:
    """At most k, drawn evenly over the labels, in an order that does not give the labels away."""
    rng = random.Random(seed)
    piles: dict[str, list[Example]] = defaultdict(list)
    for row in rng.sample(list(rows), len(rows)):
        piles[(row.output or "") if task.kind is Kind.LABEL else ""].append(row)
    drawn: list[Example] = []
    while len(drawn) < k and any(piles.values()):
        for name in sorted(piles):
            if piles[name] and len(drawn) < k:
                drawn.append(piles[name].pop())
    return rng.sample(drawn, len(drawn))
