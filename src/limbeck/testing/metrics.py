"""What every metric on the shelf has to keep, built in or plugged in.

for check in CHECKS: check(name, metric)     raises AssertionError that says what was broken"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence

from limbeck.registry import Metric
from limbeck.types import Example, Kind, Prediction, Status, Task

Rows = tuple[Task, list[Example]]


def rows_of(kind: Kind, samples: Sequence[str] = ()) -> Rows:
    """A small task of that kind with gold answers that differ from row to row; the metric's own samples where it has some."""
    task = Task(name="contract", instruction="Answer.", kind=kind)
    if samples:
        return task, _rows(*samples)
    if kind is Kind.LABEL:
        task = task.model_copy(update={"labels": ("refund", "C", "C++", "other thing")})
        return task, _rows("refund", "C", "C++", "other thing", "C", "refund")
    if kind is Kind.CHOICE:
        answers = _rows("a red kite", "the sea", "nobody", "1969")
        return task, [row.model_copy(update={"choices": (row.output, f"not {row.output}", "none of these")}) for row in answers]
    if kind is Kind.SCORE:
        return task.model_copy(update={"low": -5.0, "high": 5.0}), _rows("-1.5", "0", "2", "2", "4.25", "5")
    if kind is Kind.FIELDS:
        objects = ({"name": "Ada", "tags": ["x", "y"]}, {"total": 12.5, "paid": False}, {"items": [{"n": 1}, {"n": 2}], "note": None})
        return task, _rows(*map(json.dumps, objects))
    return task, _rows("The cat is sleeping.", "a", "!", "東京", "-5", "two  words")


def _rows(*answers: str) -> list[Example]:
    return [Example(id=str(i), input=f"input {i}", output=answer) for i, answer in enumerate(answers)]


def answered(rows: Sequence[Example], texts: Sequence[str | None] | None = None, status: Status = Status.OK) -> list[Prediction]:
    said = [row.output for row in rows] if texts is None else texts
    return [Prediction(id=row.id, text=text or "", status=status) for row, text in zip(rows, said, strict=True)]


def value(metric: Metric, task: Task, rows: Sequence[Example], predictions: Sequence[Prediction]) -> float | None:
    """The figure over all rows: the corpus figure, or the mean over the rows that were scored."""
    if metric.corpus is not None:
        return metric.corpus(task, rows, predictions)
    assert metric.row is not None
    scored = [v for row, p in zip(rows, predictions, strict=True) if (v := metric.row(task, row, p)) is not None]
    return sum(scored) / len(scored) if scored else None


def perfect(metric: Metric) -> float:
    return 0.0 if metric.lower_is_better else 1.0


def is_one_of_two(name: str, metric: Metric) -> None:
    assert metric.name == name, f"the shelf says {name!r}, the record {metric.name!r}"
    assert metric.kinds, f"{name} fits no kind of task"
    assert (metric.row is None) != (metric.corpus is None), f"{name} has to set exactly one of row and corpus"
    assert (metric.prepare is None) == (metric.corpus is None), f"{name} has to set prepare with corpus, and only then"


def accepts_its_own_gold(name: str, metric: Metric) -> None:
    for kind in metric.kinds:
        task, rows = rows_of(kind, metric.samples)
        found = value(metric, task, rows, answered(rows))
        assert found is not None and math.isclose(found, perfect(metric), abs_tol=1e-9), f"{name} gives gold {found} on a {kind} task"
        for row in rows if metric.row else ():
            one = metric.row(task, row, *answered([row])) if metric.row else None
            assert one is not None and math.isclose(one, perfect(metric), abs_tol=1e-9), (
                f"{name} gives {one} to its own gold {row.output!r}"
            )


def no_answer_is_never_right(name: str, metric: Metric) -> None:
    """A status other than ok scores 0 (or is not scored, for errors), whatever text it carries."""
    for kind in metric.kinds:
        task, rows = rows_of(kind, metric.samples)
        for status in (Status.EMPTY, Status.MALFORMED, Status.ERROR):
            found = value(metric, task, rows, answered(rows, status=status))
            allowed = (None,) if metric.lower_is_better or (metric.corpus and not metric.bounded) else (0.0,)
            assert found in allowed, f"{name} gives {found} to answers that are {status}"


def one_failure_costs(name: str, metric: Metric) -> None:
    """With every other answer right, one that failed makes the figure worse; where the metric is an error, not better."""
    for kind in metric.kinds:
        task, rows = rows_of(kind, metric.samples)
        found = value(metric, task, rows, [*answered(rows[:1], status=Status.ERROR), *answered(rows[1:])])
        assert found is not None, f"{name} gives up over one failed answer"
        assert found < 1.0 or metric.lower_is_better, f"{name} overlooks a failed answer"


def wrong_is_worse_than_right(name: str, metric: Metric) -> None:
    for kind in metric.kinds:
        task, rows = rows_of(kind, metric.samples)
        turned = [row.output for row in [*rows[1:], rows[0]]]
        if kind is Kind.CHOICE:
            turned = [(row.choices or ("",))[-1] for row in rows]
        found = value(metric, task, rows, answered(rows, turned))
        assert found is not None and (found > 0 if metric.lower_is_better else found < 1), f"{name} gives {found} to wrong answers"
        if metric.bounded:
            assert 0 <= found <= 1, f"{name} leaves [0, 1]: {found}"


def survives_any_text(name: str, metric: Metric) -> None:
    for kind in metric.kinds:
        task, rows = rows_of(kind, metric.samples)
        for text in ("", " ", "\x00", "nan", "[1, 2]", "{", "null", "ﬁ 🙂", "<script>", "x" * 5000):
            found = value(metric, task, rows, answered(rows, [text] * len(rows)))
            assert found is None or math.isfinite(found), f"{name} gives {found} to {text[:20]!r}"
            assert found is None or not metric.bounded or 0 <= found <= 1, f"{name} leaves [0, 1] on {text[:20]!r}: {found}"


def needs_gold(name: str, metric: Metric) -> None:
    for kind in metric.kinds:
        task, rows = rows_of(kind, metric.samples)
        blind = [row.blind() for row in rows]
        assert value(metric, task, blind, answered(rows)) is None, f"{name} scores rows without gold"
        assert value(metric, task, [], []) is None, f"{name} scores no rows at all"


def order_does_not_matter(name: str, metric: Metric) -> None:
    for kind in metric.kinds:
        task, rows = rows_of(kind, metric.samples)
        said = [rows[0].output, *(row.output for row in rows[:-1])]
        there = value(metric, task, rows, answered(rows, said))
        back = value(metric, task, rows[::-1], answered(rows[::-1], said[::-1]))
        assert there is not None and back is not None and math.isclose(there, back), f"{name}: {there} forwards, {back} backwards"


def prepared_is_the_same(name: str, metric: Metric) -> None:
    if metric.prepare is None or metric.corpus is None:
        return
    for kind in metric.kinds:
        task, rows = rows_of(kind, metric.samples)
        found = answered(rows, [rows[0].output, *(row.output for row in rows[:-1])])
        figure = metric.prepare(task, rows, found)
        for some in (range(len(rows)), [0, 0, 1, 4, 2], [3, 2]):
            direct = metric.corpus(task, [rows[i] for i in some], [found[i] for i in some])
            assert figure(some) == direct, f"{name}: prepared {figure(some)}, direct {direct} on rows {list(some)}"


def rows_at_once_are_the_same(name: str, metric: Metric) -> None:
    if metric.rows is None:
        return
    assert metric.row is not None, f"{name} sets rows without row"
    for kind in metric.kinds:
        task, rows = rows_of(kind, metric.samples)
        rows = [*rows, rows[0].blind()]
        found = answered(rows, [rows[1].output, *(row.output for row in rows[:-1])])
        found[2] = found[2].model_copy(update={"status": Status.ERROR})
        single = [metric.row(task, row, p) for row, p in zip(rows, found, strict=True)]
        assert metric.rows(task, rows, found) == single, f"{name}: {metric.rows(task, rows, found)} at once, {single} one by one"


CHECKS: tuple[Callable[[str, Metric], None], ...] = (
    is_one_of_two,
    accepts_its_own_gold,
    no_answer_is_never_right,
    one_failure_costs,
    wrong_is_worse_than_right,
    survives_any_text,
    needs_gold,
    order_does_not_matter,
    prepared_is_the_same,
    rows_at_once_are_the_same,
)
