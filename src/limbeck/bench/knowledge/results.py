"""Result files of the study -> accuracies, intervals, differences. No cell, no number: what is missing is "not run".

An interval is drawn over seeds, each with a world and a base of its own, and within each over clusters of items that ask for the
same fact or the same two things."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from random import Random
from statistics import fmean, median
from typing import Any

from limbeck import stats
from limbeck.bench.stepgrid import Cell

Clusters = tuple[tuple[tuple[float, float], ...], ...]  # per seed, per cluster: (right, of)


@dataclass(frozen=True)
class Arm:
    """One experiment on one world. results: by seed, of the seeds that have been run."""

    name: str
    wanted: int
    results: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)

    def clusters(self, split: str, by: str = "sum", seeds: Sequence[int] | None = None) -> Clusters:
        chosen = sorted(self.results) if seeds is None else seeds
        return tuple(read(self.results[s]["splits"][split][f"{by}_clusters"]) for s in chosen if split in self.results[s]["splits"])

    def accuracy(self, split: str, by: str = "sum") -> float | None:
        values = [r["splits"][split][by] for r in self.results.values() if split in r["splits"]]
        return fmean(values) if values else None

    def interval(self, split: str, by: str = "sum") -> stats.Span:
        found = self.clusters(split, by)
        return interval(found) if any(found) else (None, None)

    def chance(self, split: str) -> float:
        return fmean(r["splits"][split]["chance"] for r in self.results.values() if split in r["splits"])

    def middle(self, name: str) -> float:
        return median(r[name] for r in self.results.values())


def read(text: str) -> tuple[tuple[float, float], ...]:
    return tuple((float(a), float(b)) for a, b in (part.split("/") for part in text.split()))


@dataclass(frozen=True)
class Group:
    """All arms on one world, size and base."""

    data: str
    base: str
    rows: str
    arms: Mapping[str, Arm]

    @property
    def splits(self) -> list[str]:
        return list(dict.fromkeys(s for arm in self.arms.values() for r in arm.results.values() for s in r["splits"]))

    @property
    def run(self) -> bool:
        return any(arm.results for arm in self.arms.values())

    @property
    def heading(self) -> str:
        return f"{self.data}, {self.rows}, base {self.base}"


def groups(cells: Sequence[Cell]) -> list[Group]:
    places: dict[tuple[str, str, str], dict[str, list[Cell]]] = {}
    for cell in cells:
        places.setdefault(cell.where, {}).setdefault(cell.experiment, []).append(cell)
    return [
        Group(data, base, rows, {name: Arm(name, len(mine), {c.seed: r for c in mine if (r := c.result)}) for name, mine in arms.items()})
        for (data, base, rows), arms in places.items()
    ]


# ---- intervals -------------------------------------------------------------------------------------------------------


@cache
def interval(found: Clusters) -> stats.Interval:
    """95 % percentile interval of the share right; Wilson's over clusters where all or none are."""
    flat = [each for seed in found for each in seed]
    shares = {right / of for right, of in flat}
    if shares in ({0.0}, {1.0}):
        return stats.wilson(len(flat) if 1.0 in shares else 0, len(flat))
    return stats.middle([sum(r for r, _ in some) / sum(n for _, n in some) for some in resampled(found)])


@cache
def difference(ours: Clusters, theirs: Clusters) -> tuple[float, float, float]:
    """(difference, low, high), paired by seed and cluster. Raises ValueError where they are not of the same items."""
    pairs = tuple(tuple((a - b, n) for (a, n), (b, _) in zip(mine, other, strict=True)) for mine, other in zip(ours, theirs, strict=True))
    if any(n != m for mine, other in zip(ours, theirs, strict=True) for (_, n), (_, m) in zip(mine, other, strict=True)):
        raise ValueError("results of different items lie side by side; remove the older ones")
    gaps = [fmean_of(seed) for seed in pairs]
    low, high = stats.middle([fmean_of(some) for some in resampled(pairs)])
    return fmean(gaps), low, high


def fmean_of(some: Sequence[tuple[float, float]]) -> float:
    return sum(gap for gap, _ in some) / sum(n for _, n in some)


def resampled(found: Clusters, seed: int = 0) -> list[list[tuple[float, float]]]:
    rng = Random(seed)
    return [
        [each for world in rng.choices(found, k=len(found)) for each in rng.choices(world, k=len(world))] for _ in range(stats.RESAMPLES)
    ]


def versus(group: Group, ours: str, theirs: str, split: str, by: str = "sum") -> tuple[float, float, float] | None:
    """On the seeds that both have run; None where there is none."""
    a, b = group.arms.get(ours), group.arms.get(theirs)
    seeds = sorted(set(a.results) & set(b.results)) if a and b else []
    if not a or not b or not seeds or split not in group.splits:
        return None
    mine, other = a.clusters(split, by, seeds), b.clusters(split, by, seeds)
    return difference(mine, other) if mine else None


# ---- tables ----------------------------------------------------------------------------------------------------------


def lines(group: Group, by: str = "sum") -> list[list[str]]:
    head = ["arm", *group.splits, "steps", "train s", "words", "seeds"]
    return [head, *(row(group, arm, by) for arm in group.arms.values())]


def row(group: Group, arm: Arm, by: str) -> list[str]:
    if not arm.results:
        return [arm.name, "not run", *[""] * (len(group.splits) + 2), f"0 of {arm.wanted}"]
    shares = [share(arm, split, by) for split in group.splits]
    numbers = [f"{arm.middle('steps'):.0f}", f"{arm.middle('train_s'):.0f}", f"{arm.middle('words'):,.0f}"]
    return [arm.name, *shares, *numbers, f"{len(arm.results)} of {arm.wanted}"]


def share(arm: Arm, split: str, by: str = "sum") -> str:
    value, (low, high) = arm.accuracy(split, by), arm.interval(split, by)
    return "-" if value is None or low is None or high is None else f"{value:.3f} [{low:.3f}, {high:.3f}]"


def chances(group: Group) -> str:
    some = next((arm for arm in group.arms.values() if arm.results), None)
    return "" if some is None else "Chance: " + ", ".join(f"{split} {some.chance(split):.2f}" for split in group.splits) + "."


def leaks(group: Group) -> list[list[str]]:
    """Of the arms that learn more than the documents: what of the items they were told, and accuracy on what they were not."""
    head = [
        "arm",
        "split",
        "stands there literally",
        "its fact is stated",
        "accuracy where stated",
        "accuracy elsewhere",
        "by counting alone",
    ]
    found = [head]
    for arm in group.arms.values():
        if not any(r["added"] for r in arm.results.values()):
            continue
        for split in group.splits:
            told = [r["leak"][split] for r in arm.results.values() if split in r["leak"]]
            if told and split != "recall":
                means = [mean([t[key] for t in told]) for key in ("literal", "stated", "on_stated", "on_others", "counting")]
                found.append([arm.name, split, *("-" if m is None else f"{m:.3f}" for m in means)])
    return found


def mean(values: Sequence[float | None]) -> float | None:
    known = [v for v in values if v is not None]
    return fmean(known) if known else None


def written(group: Group) -> list[list[str]]:
    """What the base wrote itself: coverage, precision, what became of it."""
    found = [["arm", "scope", "said", "kept", "coverage", "precision", "dropped"]]
    for arm in group.arms.values():
        reports = [r["added"] for r in arm.results.values()]
        for scope in dict.fromkeys(s for r in reports for s in r if "said" in r[s]):
            some = [r[scope] for r in reports if scope in r]
            why = {
                reason: sum(s["dropped"].get(reason, 0) for s in some) for reason in dict.fromkeys(k for s in some for k in s["dropped"])
            }
            shares = [f"{fmean(s[key] for s in some):.3f}" for key in ("coverage", "precision")]
            counts = [f"{fmean(s[key] for s in some):.0f}" for key in ("said", "kept")]
            found.append([arm.name, scope, *counts, *shares, ", ".join(f"{k} {v}" for k, v in why.items())])
    return found
