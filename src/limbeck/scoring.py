"""Answers -> figures with their intervals: of one candidate, of a pair on the same rows, and which of them dev chooses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from limbeck import controls, registry, stats
from limbeck.candidates import Record
from limbeck.registry import Metric
from limbeck.types import Example, Kind, Prediction, Recipe, Score, Task, Versus
from limbeck.verdict import Choice

RESAMPLES = 1000
STOP_RATE = "stop_rate"


def choose(task: Task, records: Sequence[Record], dev: Sequence[Example], answers: dict[str, list[Prediction]]) -> Choice:
    """The best dev value among students, and among baselines and prompts; on a tie the one named first (the cheaper). A
    student that learns from rationales is taken only where dev says that it beats its best control, or where there is no
    other student. A candidate that is alone needs no dev."""
    metric: Metric = registry.take("metrics", task.metric)
    if not dev and len(records) == 1 and records[0].state == "ok":
        alone, student = records[0].recipe.id, records[0].group == "student"
        return Choice(best_student=alone if student else None, best_baseline=None if student else alone)
    values = {
        r.recipe.id: value for r in records if r.state == "ok" and (value := figure(metric, task, dev, answers[r.recipe.id])) is not None
    }
    ranked = [(-values[r.recipe.id] if metric.lower_is_better else values[r.recipe.id], r) for r in records if r.recipe.id in values]
    students = [(rank, r) for rank, r in ranked if r.group == "student"]
    said = findings(task, [r.recipe for _, r in students], dev, answers)
    sure = [(rank, r) for rank, r in students if r.recipe.id not in said or said[r.recipe.id].recommended]
    others = [(rank, r) for rank, r in ranked if r.group != "student"]
    best_student, best_baseline = (max(side, key=lambda item: item[0], default=None) for side in (sure or students, others))
    return Choice(
        best_student=best_student[1].recipe.id if best_student else None,
        best_baseline=best_baseline[1].recipe.id if best_baseline else None,
        dev=values,
    )


def findings(
    task: Task, recipes: Sequence[Recipe], dev: Sequence[Example], answers: dict[str, list[Prediction]]
) -> dict[str, controls.Finding]:
    """Of every recipe that learns from rationales: its answers on dev against those of its best control in this run."""
    metric: Metric = registry.take("metrics", task.metric)
    sign = -1.0 if metric.lower_is_better else 1.0
    whole = [r for r in recipes if len(answers.get(r.id, ())) == len(dev) > 0]
    found: dict[str, controls.Finding] = {}
    for recipe in recipes:
        if not controls.learns_from_rationales(recipe):
            continue
        found[recipe.id] = controls.Finding(grade=controls.Grade.UNTESTED, ours=recipe.text)
        rivals = [
            (sign * value, r)
            for r in controls.controls_of(recipe, whole)
            if (value := figure(metric, task, dev, answers[r.id])) is not None
        ]
        if not rivals or recipe not in whole:
            continue
        best = max(rivals, key=lambda item: item[0])[1]
        if (gap := versus(task, dev, answers[recipe.id], answers[best.id], best.text, seed=0)) is not None:
            low, high = sorted((sign * gap.low, sign * gap.high))
            found[recipe.id] = controls.Finding(
                grade=controls.grade(low, high, seeds=1), ours=recipe.text, control=best.text, difference=sign * gap.difference,
                low=low, high=high, by_seed=(sign * gap.difference,), controls={r.text: value for value, r in rivals}, rows=len(dev),
            )  # fmt: skip
    return found


def figure(metric: Metric, task: Task, rows: Sequence[Example], found: Sequence[Prediction]) -> float | None:
    """The metric over all rows; rows that are not scored are left out."""
    if metric.corpus is not None:
        return metric.corpus(task, rows, found)
    values = [v for v in row_values(metric, task, rows, found) if v is not None]
    return sum(values) / len(values) if values else None


def row_values(metric: Metric, task: Task, rows: Sequence[Example], found: Sequence[Prediction]) -> list[float | None]:
    if metric.rows is not None:
        return metric.rows(task, rows, found)
    assert metric.row is not None
    return [metric.row(task, row, p) for row, p in zip(rows, found, strict=True)]


def scores(name: str, task: Task, rows: Sequence[Example], answers: dict[str, list[Prediction]], seed: int) -> dict[str, Score]:
    """One Score per candidate, the bootstrap draws shared by all of them."""
    metric: Metric = registry.take("metrics", name)
    found: dict[str, Score] = {}
    if metric.corpus is not None:
        figures = {recipe: corpus_figure(metric, task, rows, mine) for recipe, mine in answers.items()}
        spans = stats.bootstrap_statistics(figures, len(rows), seed=seed, resamples=RESAMPLES)
        for recipe, mine in answers.items():
            low, high = spans[recipe]
            found[recipe] = Score(metric=name, value=metric.corpus(task, rows, mine), low=low, high=high, n=len(rows))
        return found
    values = {recipe: row_values(metric, task, rows, mine) for recipe, mine in answers.items()}
    spans = stats.bootstrap_means(values, seed=seed, resamples=RESAMPLES) if rows else {}
    for recipe, mine in values.items():
        scored = [x for x in mine if x is not None]
        low, high = spans.get(recipe, (None, None))
        value = sum(scored) / len(scored) if scored else None
        found[recipe] = Score(metric=name, value=value, low=low, high=high, n=len(scored), not_scored=len(mine) - len(scored))
    return found


def corpus_figure(
    metric: Metric, task: Task, rows: Sequence[Example], found: Sequence[Prediction]
) -> Callable[[Sequence[int]], float | None]:
    """The metric as a function of row numbers, prepared once where the metric knows how."""
    if metric.prepare is not None:
        return metric.prepare(task, rows, found)
    corpus = metric.corpus
    assert corpus is not None
    return lambda index: corpus(task, [rows[i] for i in index], [found[i] for i in index])


def statistic(task: Task, rows: Sequence[Example], found: Sequence[Prediction]) -> stats.Statistic:
    """The task's metric as a function of row numbers, whether it is a mean over rows or not."""
    metric: Metric = registry.take("metrics", task.metric)
    if metric.corpus is not None:
        return corpus_figure(metric, task, rows, found)
    column = row_values(metric, task, rows, found)

    def mean(index: Sequence[int]) -> float | None:
        scored = [v for i in index if (v := column[i]) is not None]
        return sum(scored) / len(scored) if scored else None

    return mean


def versus(task: Task, rows: Sequence[Example], ours: list[Prediction], theirs: list[Prediction], name: str, seed: int) -> Versus | None:
    """Paired, on the same rows."""
    metric: Metric = registry.take("metrics", task.metric)
    if metric.row is not None:
        pairs = [
            (a, b)
            for a, b in zip(row_values(metric, task, rows, ours), row_values(metric, task, rows, theirs), strict=True)
            if a is not None and b is not None
        ]
        if not pairs:
            return None
        difference, low, high, p = stats.paired_difference([a for a, _ in pairs], [b for _, b in pairs], seed=seed, resamples=RESAMPLES)
        if all(v in (0.0, 1.0) for pair in pairs for v in pair):
            p = stats.mcnemar_exact(sum(a > b for a, b in pairs), sum(a < b for a, b in pairs))
            return Versus(other=name, difference=difference, low=low, high=high, p_value=p, test="exact McNemar")
        return Versus(other=name, difference=difference, low=low, high=high, p_value=p, test="paired bootstrap")
    mine, other = corpus_figure(metric, task, rows, ours), corpus_figure(metric, task, rows, theirs)

    def gap(index: Sequence[int]) -> float | None:
        a, b = mine(index), other(index)
        return None if a is None or b is None else a - b

    difference = gap(range(len(rows)))
    if difference is None:
        return None
    low, high, p = stats.bootstrap_difference(gap, len(rows), seed=seed, resamples=RESAMPLES)
    return Versus(other=name, difference=difference, low=low, high=high, p_value=p, test="paired bootstrap")


def stop_rate(task: Task, found: Sequence[Prediction]) -> Score | None:
    """The share of written answers that ended by themselves, with its Wilson interval; the others ran into their length. It
    grades nothing, so it is no metric that could choose. None where nothing is written, or nobody said how it ended."""
    ended = [p.stopped for p in found if p.stopped is not None]
    if task.kind not in (Kind.TEXT, Kind.FIELDS) or not ended:
        return None
    low, high = stats.wilson(sum(ended), len(ended))
    return Score(metric=STOP_RATE, value=sum(ended) / len(ended), low=low, high=high, n=len(ended), not_scored=len(found) - len(ended))


def chance_level(task: Task, rows: Sequence[Example]) -> float | None:
    """What guessing would get: 1 / number of allowed answers; 0 for correlations."""
    if task.kind is Kind.LABEL and task.labels:
        return 1 / len(task.labels)
    if task.kind is Kind.CHOICE and rows:
        return sum(1 / len(r.choices or ("",)) for r in rows) / len(rows)
    return 0.0 if task.kind is Kind.SCORE else None


# ---- the report ----------------------------------------------------------------------------------------------------
