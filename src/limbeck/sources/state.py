"""Where a generation stands, and what it gives in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from limbeck.sources.novelty import Novelty
from limbeck.sources.steer import Heat, Plan, Quota
from limbeck.sources.topics import Topics
from limbeck.types import Example, Price, Reply, Task


@dataclass(frozen=True)
class Generated:
    """answers: every row that was read; groups: one per distinct input, numbers into `answers`, the first is the row,
    the others repeat it or come near it. rejected: (row, why). history: figures per batch. quota: rows per label,
    the user's own included. stopped: why it ended."""

    answers: tuple[Example, ...]
    groups: tuple[tuple[int, ...], ...]
    rejected: tuple[tuple[Example, str], ...]
    counts: dict[str, int]
    said: tuple[str, ...]
    history: tuple[dict[str, float], ...]
    quota: dict[str, int]
    cost_usd: float
    stopped: str

    @property
    def rows(self) -> tuple[Example, ...]:
        """One per distinct input, with the answer it came with first."""
        return tuple(self.answers[group[0]] for group in self.groups)


@dataclass
class State:
    """Where a generation stands. owner: accepted text -> its group, None for the user's texts and those of our templates."""

    task: Task
    wanted: int
    plan: Plan
    novelty: Novelty
    topics: Topics
    quota: Quota
    heat: Heat
    price: Price | None = None
    owned: list[Example] = field(default_factory=list)
    owner: dict[int, int | None] = field(default_factory=dict)
    answers: list[Example] = field(default_factory=list)
    groups: list[list[int]] = field(default_factory=list)
    distance: list[float] = field(default_factory=list)  # per group: similarity to its nearest text when it came
    rejected: list[tuple[Example, str]] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    history: list[dict[str, float]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    cost_usd: float = 0.0
    divisions: int = 0  # of topics since novelty was last as wanted
    judged_from: int = 0  # batch from which on novelty is judged for the end: that after the last division
    roomier: int = 1  # factor on max_tokens, doubled where replies are cut off

    @property
    def have(self) -> int:
        return len(self.groups)

    @property
    def left(self) -> int | None:
        """Calls that may still be made."""
        return None if self.plan.max_requests is None else self.plan.max_requests - self.counts["requests"]

    @property
    def recent(self) -> float | None:
        """Novelty of the last batch that brought rows."""
        return next((h["novelty"] for h in reversed(self.history) if h["read"]), None)

    def next_seed(self, count: int = 1) -> int:
        """Equal bodies would get equal replies: every request has a seed of its own. The first of `count`."""
        first = self.plan.seed * 1_000_003 + self.counts["requests"] + 1
        self.counts["requests"] += count
        return first

    def pay(self, replies: Sequence[Reply]) -> None:
        self.cost_usd += sum(cost_of(reply, self.price) or 0.0 for reply in replies)


def key_text(row: Example) -> str:
    """What makes two rows the same question: the input, and the options in any order."""
    return row.input + "\n" + "\n".join(sorted(row.choices)) if row.choices else row.input


def cost_of(reply: Reply, price: Price | None) -> float | None:
    return None if price is None else price.of_reply(reply)
