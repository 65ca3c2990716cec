"""The gold answer of a row as a number, and the one figure on dev that choices are made by."""

from __future__ import annotations

from collections.abc import Sequence

from limbeck import registry, render
from limbeck.errors import BadRows
from limbeck.types import Example, Kind, Prediction, Status, Task

_METRIC = {Kind.LABEL: "accuracy", Kind.CHOICE: "accuracy", Kind.SCORE: "spearman", Kind.TEXT: "exact_match", Kind.FIELDS: "field_f1"}


def target(task: Task, example: Example) -> int | float:
    """Index into the labels or the row's options; the value of a score. Raises BadRows where the row has no such answer."""
    if task.kind is Kind.SCORE:
        text, status = render.number(task, example.output or "")
        if status is Status.OK:
            return float(text)
        raise BadRows(
            f"row {example.id}: the answer is no number of the task's range",
            f"it is {example.output!r}",
            "correct the row, or leave it out",
        )
    allowed = render.allowed_answers(task, example)
    if example.output not in allowed:
        raise BadRows(
            f"row {example.id}: the answer is none of those allowed",
            f"it is {example.output!r}",
            f"use one of {', '.join(allowed) or '(the row has no options)'}",
        )
    return allowed.index(example.output)


def dev_score(task: Task, examples: Sequence[Example], predictions: Sequence[Prediction]) -> float:
    """The task's metric over these rows, turned so that higher is better; -inf where it cannot be had."""
    metric = registry.take("metrics", task.metric or _METRIC[task.kind])
    if metric.corpus is not None:
        value = metric.corpus(task, examples, predictions)
    else:
        if metric.rows is not None:
            rows = metric.rows(task, examples, predictions)
        else:
            rows = [metric.row(task, e, p) for e, p in zip(examples, predictions, strict=True)]
        scored = [r for r in rows if r is not None]
        value = sum(scored) / len(scored) if scored else None
    if value is None:
        return float("-inf")
    return -value if metric.lower_is_better else value
