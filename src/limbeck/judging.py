"""A model judges what a finished run answered on test: opinions, kept apart from the report and never part of a choice.

Into judge.json beside the report, paid into a store of its own (judge.sqlite), so that judging has its own cap."""

from __future__ import annotations

import random
from collections.abc import Sequence

from limbeck import stats
from limbeck.errors import UsageError
from limbeck.metrics.judge import Judged, grades, preferences
from limbeck.registry import Ask
from limbeck.run import RunFolder, read_json, read_lines, write_json
from limbeck.types import Example, Frozen, Kind, Prediction, Report, Score, Splits

FILE, STORE = "judge.json", "judge.sqlite"
KINDS = (Kind.TEXT, Kind.FIELDS)


class Opinion(Frozen):
    """One candidate's grade, or with `against` how often it was preferred to that one (ties half). score: mean in [0, 1]
    with its 95 % interval. counts: metrics.judge.Judged."""

    candidate: str
    against: str | None = None
    score: Score
    counts: dict[str, int]


class Judgement(Frozen):
    """judge: the model that was asked. rows: ids of the test rows that it saw answers to."""

    judge: str
    rows: tuple[str, ...]
    opinions: tuple[Opinion, ...]
    spent_usd: float = 0.0


def judge(folder: RunFolder, ask: Ask, name: str, rows: int = 100, seed: int = 0) -> Judgement:
    """Grades of the best student and of the best baseline, and which of the two is preferred, on the same test rows.

    Raises UsageError for a run that is not finished, that has no student, or whose answers need no judge."""
    report = read_json(folder.report, Report) if folder.report.exists() else None
    if report is None:
        raise UsageError("this run has no report yet", f"{folder.path} is not finished", "finish it first: the same limbeck run again")
    if report.task.kind not in KINDS:
        raise UsageError(
            "a judge is for answers that are written",
            f"this task is of kind {report.task.kind}, where right is right",
            "see limbeck report",
        )
    test = sample(folder, rows, seed)
    found = {r.recipe: answers for r in report.rows if (answers := of_rows(folder, report, r.recipe, test))}
    pair = [n for n in (report.best_student, report.best_baseline) if n in found]
    if not pair:
        raise UsageError("there is nothing to judge", "no candidate of this run has answers on test", "see limbeck report")
    opinions = [opinion(n, None, grades(report.task, test, found[n], ask), seed) for n in pair if n]
    if len(pair) == 2:
        student, baseline = (n or "" for n in pair)
        opinions.append(opinion(student, baseline, preferences(report.task, test, found[student], found[baseline], ask), seed))
    return Judgement(judge=name, rows=tuple(row.id for row in test), opinions=tuple(opinions))


def keep(folder: RunFolder, judgement: Judgement) -> None:
    write_json(folder.path / FILE, judgement)


def sample(folder: RunFolder, rows: int, seed: int) -> list[Example]:
    """So many test rows, in the order of the split."""
    ids = read_json(folder.splits, Splits).test.ids
    chosen = set(random.Random(seed).sample(ids, min(rows, len(ids))))
    return [row for row in read_lines(folder.rows, Example) if row.id in chosen]


def of_rows(folder: RunFolder, report: Report, recipe: str, rows: Sequence[Example]) -> list[Prediction]:
    """The candidate's answers to these rows; [] where it has not answered all of them."""
    key = next(r.id for r in report.rows if r.recipe == recipe)
    path = folder.predictions / f"{key}.test.jsonl"
    found = {p.id: p for p in read_lines(path, Prediction)} if path.exists() else {}
    return [found[row.id] for row in rows] if all(row.id in found for row in rows) else []


def opinion(candidate: str, against: str | None, judged: Judged, seed: int) -> Opinion:
    scored = [value for value in judged.values if value is not None]
    low, high = stats.bootstrap_means({"": judged.values}, seed=seed)[""] if scored else (None, None)
    score = Score(
        metric="judge" if against is None else "judge, preferred",
        value=sum(scored) / len(scored) if scored else None,
        low=low,
        high=high,
        n=len(scored),
        not_scored=len(judged.values) - len(scored),
    )
    return Opinion(candidate=candidate, against=against, score=score, counts=judged.counts)
