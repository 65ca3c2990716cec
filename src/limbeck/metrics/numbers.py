"""Scores: correlations over all rows, and the mean absolute error.

A prediction without a number cannot be left out of a correlation, or silence on the hard rows would pay. It counts as
the mean of the numbers that were given: it tells nothing about its row, and so pulls the correlation towards zero. How
many they are stands in the statuses of the report. In `mae` such a row is not scored, and counted as that."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from operator import mul

from limbeck.registry import Metric
from limbeck.render import canonical
from limbeck.types import Example, Kind, Prediction, Status, Task

Correlation = Callable[[Sequence[float], Sequence[float]], "float | None"]


def as_number(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def gold_number(task: Task, example: Example) -> float | None:
    """None where the row has no number: it is not scored."""
    if (number := as_number(example.output)) is None and example.output is not None:
        return as_number(canonical(task, example, example.output)[0])
    return number


def said(prediction: Prediction) -> float | None:
    return as_number(prediction.text) if prediction.status is Status.OK else None


def absolute_error(task: Task, example: Example, prediction: Prediction) -> float | None:
    gold, number = gold_number(task, example), said(prediction)
    return None if gold is None or number is None else abs(number - gold)


def prepare(
    correlation: Correlation, task: Task, examples: Sequence[Example], predictions: Sequence[Prediction]
) -> Callable[[Sequence[int]], float | None]:
    given = [number for p in predictions if (number := said(p)) is not None]
    mean = sum(given) / len(given) if given else 0.0
    gold = [gold_number(task, example) for example in examples]
    ours = [mean if (number := said(p)) is None else number for p in predictions]

    def figure(rows: Sequence[int]) -> float | None:
        pairs = [(g, ours[i]) for i in rows if (g := gold[i]) is not None]
        return correlation([g for g, _ in pairs], [x for _, x in pairs])

    return figure


def correlation_metric(name: str, correlation: Correlation) -> Metric:
    """None where gold or the answers do not vary: there is no correlation with a constant."""

    def prepared(task: Task, examples: Sequence[Example], predictions: Sequence[Prediction]) -> Callable[[Sequence[int]], float | None]:
        return prepare(correlation, task, examples, predictions)

    def corpus(task: Task, examples: Sequence[Example], predictions: Sequence[Prediction]) -> float | None:
        return prepared(task, examples, predictions)(range(len(examples)))

    return Metric(name, (Kind.SCORE,), corpus=corpus, prepare=prepared, bounded=False)


def pearson(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Linear correlation. None where one of the two does not vary, or there are fewer than two rows."""
    n = len(x)
    if n < 2 or min(x) == max(x) or min(y) == max(y):
        return None
    mean_x, mean_y = sum(x) / n, sum(y) / n
    dx, dy = [v - mean_x for v in x], [v - mean_y for v in y]
    spread = math.sqrt(sum(map(mul, dx, dx))) * math.sqrt(sum(map(mul, dy, dy)))
    return max(-1.0, min(1.0, sum(map(mul, dx, dy)) / spread)) if spread else None


def spearman(x: Sequence[float], y: Sequence[float]) -> float | None:
    """Rank correlation; equal values share their mean rank."""
    return pearson(mean_ranks(x), mean_ranks(y))


def mean_ranks(values: Sequence[float]) -> list[float]:
    """1-based ranks; equal values share the mean of the ranks that they take up."""
    counts, shared, before = Counter(values), {}, 0
    for value in sorted(counts):
        shared[value] = before + (counts[value] + 1) / 2
        before += counts[value]
    return [shared[value] for value in values]


SPEARMAN = correlation_metric("spearman", spearman)
PEARSON = correlation_metric("pearson", pearson)
MAE = Metric("mae", (Kind.SCORE,), row=absolute_error, lower_is_better=True, bounded=False)
