"""Rows of the rationale study, as each arm sees them: whose labels, what is read, which rationales are kept, how long they are.

Labels and rationales are the recorded ones that the public sets carry; nobody is asked."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from limbeck import registry
from limbeck.bench.cells import read_set
from limbeck.bench.stepgrid import count
from limbeck.errors import UsageError
from limbeck.types import Example, Kind, Prediction, Status, Task


@dataclass(frozen=True)
class Told:
    """One row with its gold answer, and what the teacher said of it ("" = nothing could be read)."""

    row: Example
    label: str
    rationale: str


def task_of(name: str, about: dict[str, Any]) -> Task:
    """about: of default.json's "sets"."""
    return Task(
        name=name,
        instruction=about.get("instruction", "Answer."),
        kind=Kind(about["kind"]),
        labels=tuple(about.get("labels", ())),
        metric=about["metric"],
    )


def read(shared: Path, name: str, split: str, about: dict[str, Any], teacher: str) -> list[Told]:
    """about: which fields hold input and output ("input" and "output", or one of meta's); of a formula the left side is the
    output, and a row whose left side is no plain sum is left out."""
    found = []
    for r in read_set(shared, name, split):
        flat = {**r.get("meta", {}), **r}
        text, answer = str(flat[about.get("input", "input")]), str(flat[about.get("output", "output")])
        if about.get("output") == "formula":
            answer = answer.partition("=")[0].strip()
            if not re.fullmatch(r"[\d+*/(). -]+", answer):
                continue
        choices = tuple(r["choices"]) if about["kind"] == Kind.CHOICE else None
        said = r.get("teacher", {}).get(teacher, {})
        row = Example(id=str(r["id"]), input=text, output=answer, choices=choices)
        found.append(Told(row, str(said.get("label", "")).strip(), str(said.get("rationale", "")).strip()))
    return found


def grade(task: Task, rows: Sequence[Example], answers: Sequence[Prediction]) -> str:
    """One bit per row, as "0110": whether the task's metric calls it right. What cannot be scored is wrong."""
    metric = registry.take("metrics", task.metric)
    if metric.row is None:
        raise UsageError(f"{task.metric} is no mean over rows", "this study pairs right and wrong answers", "take accuracy or equation")
    return "".join(str(int((metric.row(task, e, p) or 0.0) == 1.0)) for e, p in zip(rows, answers, strict=True))


def teacher_bits(task: Task, rows: Sequence[Told]) -> str:
    """The teacher's own record on these rows; an answer that could not be read is wrong."""
    said = [Prediction(id=t.row.id, text=t.label, status=Status.OK if t.label else Status.EMPTY) for t in rows]
    return grade(task, [t.row for t in rows], said)


def chosen(rows: Sequence[Told], how_many: int | str, seed: int) -> list[Told]:
    """The training rows of a cell: the same for every arm of a seed, and the fewer always among the more."""
    n = count(how_many, len(rows))
    return random.Random(seed).sample(rows, len(rows))[:n]


def as_arm(task: Task, rows: Sequence[Told], config: dict[str, Any]) -> tuple[list[Example], dict[str, int]]:
    """(what is trained on, what was left out and why, in rows).

    labels: gold | teacher (rows whose answer could not be read, or is none of the row's, are left out). reads: input |
    input+rationale (PINTO's student: it needs the teacher at test time too). keep: all | agreeing (a rationale stays only
    where the teacher's label is gold's; the row stays). rationale_words: so many first words of it."""
    found, out = [], {"no_label": 0, "no_rationale": 0, "disagreeing": 0}
    agrees = teacher_bits(task, rows)
    for told, right in zip(rows, agrees, strict=True):
        row, rationale = told.row, shortened(told.rationale, config["rationale_words"])
        if config["labels"] == "teacher":
            if not answerable(task, told):
                out["no_label"] += 1
                continue
            row = row.model_copy(update={"output": told.label})
        if config["keep"] == "agreeing" and right == "0":
            out["disagreeing"] += 1
            rationale = ""
        elif not rationale:
            out["no_rationale"] += 1
        found.append(seen(row, told, config).model_copy(update={"rationale": rationale or None}))
    return found, {why: n for why, n in out.items() if n}


def answerable(task: Task, told: Told) -> bool:
    allowed = told.row.choices if task.kind is Kind.CHOICE else task.labels
    return told.label in allowed if allowed else bool(told.label)


def seen(row: Example, told: Told, config: dict[str, Any]) -> Example:
    """The row as the student reads it, in training and in every test."""
    if config["reads"] == "input":
        return row
    return row.model_copy(update={"input": f"{row.input}\n{told.rationale}"})


def shortened(rationale: str, words: int | None) -> str:
    """The first sentence, and no more than so many of its words."""
    if not words or not rationale:
        return rationale
    first = re.split(r"(?<=[.!?])\s", rationale, maxsplit=1)[0]
    return " ".join(first.split()[:words])
