"""The numbers that the generation is steered by: temperature, width of a batch, label quota, when to stop. Pure."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from limbeck.errors import UsageError

NARROWEST, WIDEST = 16, 64  # requests in a batch: enough to keep a fast endpoint busy; often enough to steer


@dataclass(frozen=True)
class Plan:
    """How rows are generated.

    rows_per_request; max_requests: calls in all, topics included (None = no limit of its own; the money cap and novelty
    end it). wide: most requests in a batch, None = 16 to 64 by what is missing. first_temperature, last_temperature: T rises from
    one to the other (Prompt2Model ends at 1.7 by default and advises 1.4). prompt_tokens: the most a prompt may take
    with all its examples. wanted_novelty: below this share of new rows, it gets warmer and topics are divided.
    least_novelty: below this share over two batches it ends. topics: ask for them. Raises UsageError where a number
    makes no sense."""

    rows_per_request: int = 5
    max_requests: int | None = None
    wide: int | None = None
    first_temperature: float = 0.5
    last_temperature: float = 1.4
    prompt_tokens: int = 3500
    wanted_novelty: float = 0.5
    least_novelty: float = 0.1
    topics: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        check_temperatures(self.first_temperature, self.last_temperature)
        for name in ("rows_per_request", "max_requests", "wide", "prompt_tokens"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} has to be 1 or more", f"it is {value}", f"leave {name} out, or set it to 1 or more")
        if not 0 <= self.least_novelty <= self.wanted_novelty <= 1:
            raise UsageError(
                "the novelty limits are shares, the least no larger than the wanted",
                f"least {self.least_novelty:g}, wanted {self.wanted_novelty:g}",
                "for example least_novelty 0.1, wanted_novelty 0.5",
            )


def check_temperatures(first: float, last: float) -> None:
    """Raises UsageError unless 0 <= first <= last <= 2."""
    if not (0 <= first <= 2 and 0 <= last <= 2):
        raise UsageError("a temperature lies between 0 and 2", f"first {first:g}, last {last:g}", "for example 0.5 and 1.4")
    if first > last:
        raise UsageError("the temperature rises while rows come in", f"first {first:g} is above last {last:g}", "swap the two")


def temperature(first: float, last: float, progress: float) -> float:
    """T = T0 + (Tmax - T0) * progress (Prompt2Model), progress = rows at hand / rows wanted, in [0, 1]."""
    return first + (last - first) * min(max(progress, 0.0), 1.0)


def batch_size(missing: int, rows_per_request: int, left: int | None, wide: int) -> int:
    """Requests of the next batch: what the missing rows take, no more than `wide` or than calls are left."""
    wanted = -(-missing // rows_per_request)
    return max(0, min(wide, wanted, wanted if left is None else left))


def width(missing: int, wanted: int, rows_per_request: int, useful: float) -> int:
    """How wide a batch may be: a quarter of the requests that the missing rows will take, at most 64, so that there are
    several batches to steer in; at least 16, or a quarter of all requests where they are few. useful: share of the rows
    asked for so far that could be kept."""
    few = min(NARROWEST, max(4, -(-wanted // (4 * rows_per_request))))
    return min(WIDEST, max(few, round(missing / rows_per_request / max(useful, 0.1) / 4)))


@dataclass
class Heat:
    """Temperature from progress and novelty; the ceiling sinks where heat makes replies unreadable."""

    plan: Plan
    ceiling: float = 2.0

    def next(self, progress: float, novelty: float | None) -> float:
        """Low novelty pushes as if more rows were at hand."""
        wanted = self.plan.wanted_novelty
        push = 0.0 if novelty is None or wanted == 0 else max(0.0, 1 - novelty / wanted)
        warm = temperature(self.plan.first_temperature, self.plan.last_temperature, max(progress, push))
        return round(max(self.plan.first_temperature, min(warm, self.ceiling)), 3)

    def learn(self, used: float, unreadable: float) -> None:
        """used: temperature of the last batch. unreadable: share of its replies that gave no row."""
        if unreadable > 1 / 3:
            self.ceiling = max(self.plan.first_temperature, used - 0.2)
        elif self.ceiling < self.plan.last_temperature:
            self.ceiling += 0.1


@dataclass
class Quota:
    """The same number of rows for every label. have: rows at hand, the user's own included."""

    labels: Sequence[str]
    have: Counter[str]

    def rarest(self, count: int, planned: Counter[str], rng: random.Random) -> tuple[str, ...]:
        """The labels to ask for next, fewest first, chance among equals; what is asked for counts as planned."""
        drawn: list[str] = []
        order = rng.sample(list(self.labels), len(self.labels))
        for _ in range(count if order else 0):
            name = min(order, key=lambda label: self.have[label] + planned[label])
            planned[name] += 1
            drawn.append(name)
        return tuple(drawn)

    def report(self, wanted: int) -> str:
        """One sentence: how even the labels came out. wanted: rows in all."""
        counts = {label: self.have[label] for label in self.labels}
        fewest = sorted(counts, key=lambda label: counts[label])[:5]
        fair = wanted / max(1, len(self.labels))
        short = sum(n < fair / 2 for n in counts.values())
        names = ", ".join(f"{label} {counts[label]}" for label in fewest)
        return f"labels: {fair:.1f} rows each wanted, {short} of {len(counts)} labels have less than half of it; fewest: {names}"


def fading(novelties: Sequence[tuple[int, int]], least: float, rows: int = 20) -> bool:
    """Whether the last two batches together were too much of the same. novelties: (new, read) rows per batch."""
    new, read = (sum(column) for column in zip(*novelties[-2:], strict=True)) if len(novelties) >= 2 else (0, 0)
    return read >= rows and new / read < least
