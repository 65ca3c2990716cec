"""How sure a figure is: intervals, paired tests, calibration. Pure functions, deterministic by seed.

Standard library only. One resample's row numbers are drawn once and used for every candidate, so differences between
candidates keep their pairing. None among values = that row was not scored; it is left out, never counted as zero."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from operator import itemgetter
from random import Random
from statistics import NormalDist
from typing import NamedTuple

Statistic = Callable[[Sequence[int]], "float | None"]  # row numbers -> a corpus figure on those rows
Interval = tuple[float, float]
Span = Interval | tuple[None, None]  # no interval where nothing could be computed

RESAMPLES = 1000
Z95 = NormalDist().inv_cdf(0.975)


class Difference(NamedTuple):
    """ours - theirs on the same rows, its 95 % interval, and the two-sided p of "no difference"."""

    difference: float
    low: float
    high: float
    p_value: float


# ---- the bootstrap -----------------------------------------------------------------------------------------------


def draws(n: int, seed: int, resamples: int = RESAMPLES) -> Iterator[list[int]]:
    """Row numbers of each resample: n of n with replacement."""
    rng, rows = Random(seed), range(n)
    for _ in range(resamples if n else 0):
        yield rng.choices(rows, k=n)


def bootstrap_means(values: Mapping[str, Sequence[float | None]], seed: int, resamples: int = RESAMPLES) -> dict[str, Span]:
    """95 % percentile interval of each candidate's mean; all sequences hold the same rows in the same order.

    Where all is right or all is wrong the bootstrap sees no spread and would claim certainty: then it is Wilson's
    interval."""
    n = len(next(iter(values.values()), ()))
    whole = {name for name, column in values.items() if None not in column}
    zeroed = {name: [v or 0.0 for v in column] for name, column in values.items()}
    scored = {name: [float(v is not None) for v in column] for name, column in values.items()}
    means: dict[str, list[float]] = {name: [] for name in values}
    for rows in draws(n, seed, resamples):
        pick = picker(rows)
        for name, column in zeroed.items():
            count = n if name in whole else sum(pick(scored[name]))
            if count:
                means[name].append(sum(pick(column)) / count)
    return {name: unanimous(values[name]) or span(found) for name, found in means.items()}


def unanimous(column: Sequence[float | None]) -> Interval | None:
    """Wilson's interval where every scored row is 1, or every one 0."""
    seen = [v for v in column if v is not None]
    return wilson(int(sum(seen)), len(seen)) if set(seen) in ({0.0}, {1.0}) else None


def picker(rows: Sequence[int]) -> Callable[[Sequence[float]], Sequence[float]]:
    """column -> the values at these row numbers, at C speed."""
    if len(rows) == 1:
        return lambda column: (column[rows[0]],)
    return itemgetter(*rows)


def middle(values: Sequence[float]) -> Interval:
    """The middle 95 %."""
    ordered = sorted(values)
    return _at(ordered, 2.5), _at(ordered, 97.5)


def bootstrap_statistics(statistics: Mapping[str, Statistic], n: int, seed: int, resamples: int = RESAMPLES) -> dict[str, Span]:
    """95 % percentile interval of corpus figures (macro-F1, correlations) over n rows. A resample on which a figure
    cannot be computed is left out of that figure's interval."""
    found: dict[str, list[float]] = {name: [] for name in statistics}
    for rows in draws(n, seed, resamples):
        for name, statistic in statistics.items():
            if (value := statistic(rows)) is not None:
                found[name].append(value)
    return {name: span(values) for name, values in found.items()}


def span(values: Sequence[float]) -> Span:
    return middle(values) if values else (None, None)


def paired_difference(ours: Sequence[float | None], theirs: Sequence[float | None], seed: int, resamples: int = RESAMPLES) -> Difference:
    """Mean of ours - theirs over the rows that both scored, by the paired bootstrap. ValueError where there is none."""
    gaps = [a - b for a, b in zip(ours, theirs, strict=True) if a is not None and b is not None]
    if not gaps:
        raise ValueError("no row was scored by both")
    n = len(gaps)
    drawn = [sum(picker(rows)(gaps)) / n for rows in draws(n, seed, resamples)]
    return Difference(sum(gaps) / n, *middle(drawn), p_of(drawn, informative=sum(gap != 0 for gap in gaps)))


def bootstrap_difference(gap: Statistic, n: int, seed: int, resamples: int = RESAMPLES) -> tuple[float, float, float]:
    """(low, high, p) of the difference between two corpus figures; gap(row numbers) -> ours - theirs.
    ValueError where it could never be computed."""
    drawn = [value for rows in draws(n, seed, resamples) if (value := gap(rows)) is not None]
    if not drawn:
        raise ValueError("the difference could not be computed on any resample")
    return *middle(drawn), p_of(drawn, informative=n)


def unpaired_difference(
    ours: Statistic, n_ours: int, theirs: Statistic, n_theirs: int, seed: int, resamples: int = RESAMPLES
) -> Difference | None:
    """ours - theirs over two different sets of rows, each resampled by itself: difference and 95 % percentile interval.
    None where either figure, or every resample of it, cannot be computed."""
    a, b = ours(range(n_ours)), theirs(range(n_theirs))
    if a is None or b is None:
        return None
    both = zip(draws(n_ours, seed, resamples), draws(n_theirs, seed + 1, resamples), strict=True)
    drawn = [x - y for i, j in both if (x := ours(i)) is not None and (y := theirs(j)) is not None]
    return Difference(a - b, *middle(drawn), p_of(drawn, informative=min(n_ours, n_theirs))) if drawn else None


def newcombe(k1: int, n1: int, k2: int, n2: int) -> Interval:
    """95 % interval of the difference k1 / n1 - k2 / n2 of independent shares (Newcombe 1998, method 10: Wilson's limits
    squared and added). For small n, and where all is right or all is wrong, it holds where the bootstrap sees no spread."""
    p1, p2 = (k / n if n else 0.5 for k, n in ((k1, n1), (k2, n2)))
    (low1, high1), (low2, high2) = wilson(k1, n1), wilson(k2, n2)
    return p1 - p2 - math.hypot(p1 - low1, high2 - p2), p1 - p2 + math.hypot(high1 - p1, p2 - low2)


def p_of(drawn: Sequence[float], informative: int) -> float:
    """Two-sided p of "no difference": twice the smaller tail, and never below what flipping the signs of `informative`
    rows could prove (one row proves nothing, however large its difference)."""
    tail = min(sum(d <= 0 for d in drawn), sum(d >= 0 for d in drawn))
    p = 2 * (tail + 1) / (len(drawn) + 1)
    return min(1.0, max(p, math.ldexp(1.0, 1 - informative)))


# ---- right or wrong ----------------------------------------------------------------------------------------------


def wilson(k: int, n: int) -> Interval:
    """95 % interval of a share k of n (Wilson 1927). (0, 1) where n = 0."""
    if n == 0:
        return 0.0, 1.0
    p, z2 = k / n, Z95 * Z95
    centre, spread = p + z2 / (2 * n), Z95 * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
    return max(0.0, (centre - spread) / (1 + z2 / n)), min(1.0, (centre + spread) / (1 + z2 / n))


def mcnemar_exact(b: int, c: int) -> float:
    """Two-sided p of the exact McNemar test. b, c: rows that only the one, only the other got right."""
    n, term, tail = b + c, 1, 1
    for i in range(min(b, c)):
        term = term * (n - i) // (i + 1)  # n choose i + 1
        tail += term
    return min(1.0, 2 * tail / (1 << n))


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the order given (Holm 1979): the smallest times n, the next times n - 1, ..., never falling, at most 1."""
    adjusted, worst = [0.0] * len(p_values), 0.0
    for taken, i in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        worst = max(worst, min(1.0, p_values[i] * (len(p_values) - taken)))
        adjusted[i] = worst
    return adjusted


# ---- calibration -------------------------------------------------------------------------------------------------


def ece(confidences: Sequence[float], correct: Sequence[bool], bins: int = 10) -> tuple[float | None, list[dict[str, float]]]:
    """Expected calibration error (Guo et al. 2017) and its bins of equal width, empty ones left out:
    {low, high, n, confidence, accuracy}. None where there is no row."""
    table = []
    held: list[list[tuple[float, bool]]] = [[] for _ in range(bins)]
    for confidence, right in zip(confidences, correct, strict=True):
        held[min(int(confidence * bins), bins - 1)].append((confidence, right))
    for i, rows in enumerate(held):
        if rows:
            n, sure, hits = len(rows), sum(c for c, _ in rows), sum(r for _, r in rows)
            table.append({"low": i / bins, "high": (i + 1) / bins, "n": n, "confidence": sure / n, "accuracy": hits / n})
    gap = sum(row["n"] * abs(row["confidence"] - row["accuracy"]) for row in table)
    return (gap / len(confidences) if confidences else None), table


def threshold_curve(confidences: Sequence[float], correct: Sequence[bool], points: int = 50) -> list[dict[str, float]]:
    """{threshold, coverage, accuracy} from strict to lax: of the rows with confidence >= threshold, which share of all
    they are and how many are right. At most `points` of the distinct thresholds, both ends kept."""
    ranked = sorted(zip(confidences, correct, strict=True), key=itemgetter(0), reverse=True)
    curve, right = [], 0
    for taken, (confidence, good) in enumerate(ranked, 1):
        right += good
        if taken == len(ranked) or ranked[taken][0] < confidence:  # equal confidences pass together
            curve.append({"threshold": confidence, "coverage": taken / len(ranked), "accuracy": right / taken})
    if len(curve) <= points:
        return curve
    return [curve[round(i * (len(curve) - 1) / (points - 1))] for i in range(points)]


# ---- percentiles -------------------------------------------------------------------------------------------------


def percentile(values: Sequence[float], q: float) -> float | None:
    """q in 0 to 100, linear between neighbours. None where there is nothing."""
    return _at(sorted(values), q) if values else None


def _at(ordered: Sequence[float], q: float) -> float:
    place = (len(ordered) - 1) * q / 100
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)
