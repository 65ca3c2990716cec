"""What every objective has to keep. Each function raises AssertionError with what broke."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from limbeck import registry
from limbeck.engine.batches import collate, length_of
from limbeck.engine.load import Base, load_base
from limbeck.engine.numbers import Numbers
from limbeck.engine.start import new_student
from limbeck.engine.tokens import pad_id
from limbeck.registry import FitJob, Objective
from limbeck.testing.adapters import job_of
from limbeck.testing.toys import eight_rows
from limbeck.types import Example, Kind, Task


def cases() -> list[tuple[str, Kind]]:
    """Every objective on the shelf with each closed kind that it takes."""
    objectives = [registry.take("objectives", name) for name in registry.names("objectives")]
    return [(o.name, kind) for o in objectives for kind in (Kind.LABEL, Kind.CHOICE, Kind.SCORE) if kind in o.kinds]


def rows_for(objective: Objective, kind: Kind) -> tuple[Task, list[Example]]:
    """Eight rows, with rationales where the objective learns from them."""
    task, rows = eight_rows(kind)
    return task, with_rationales(rows) if objective.rationales else rows


def with_rationales(rows: Sequence[Example]) -> list[Example]:
    """One each, of unequal length, in words that the toys know."""
    return [e.model_copy(update={"rationale": f"it is not {'cold and ' * (i % 3)}hot when {e.input}"}) for i, e in enumerate(rows)]


def job_under(objective: str, kind: Kind, base: str, folder: Path, adapter: str = "full", **values: object) -> FitJob:
    """testing.adapters.job_of, its rows with rationales, its recipe under the objective as a recipe writes it."""
    job = job_of(adapter, kind, base, folder, **values)
    rows = with_rationales(job.train)
    return replace(job, recipe=job.recipe.model_copy(update={"objective": objective}), train=rows, dev=rows)


def started(objective: Objective, task: Task, rows: Sequence[Example], base: Base) -> tuple[Any, list[dict[str, Any]]]:
    """(a student without dropout, with what the objective hangs on; the items)."""
    torch.manual_seed(0)
    student = new_student(base, task, rows, Numbers(dropout=0.0))
    items = objective.features(task, rows, base.tokenizer, 64)
    if objective.start:
        objective.start(student, base, items)
        student.eval()
    return student, items


def features_fit_the_context(name: str, kind: Kind, base: str, max_length: int = 8) -> None:
    """At least one item per row, of whole numbers, none longer than max_length; what was cut is counted."""
    objective: Objective = registry.take("objectives", name)
    task, rows = rows_for(objective, kind)
    rows = [rows[0].model_copy(update={"input": "the kettle leaks " * 9}), *rows[1:]]
    items = objective.features(task, rows, load_base(base, shared=True).tokenizer, max_length)
    assert len(items) >= len(rows)
    assert all(0 < len(item["input_ids"]) <= max_length and length_of(item) > 0 for item in items)
    assert sum(item["truncated"] for item in items) == 1


def loss_teaches_every_trained_number(name: str, kind: Kind, base: str) -> None:
    """The loss is one finite number above zero, and a step against its gradient makes it smaller."""
    objective: Objective = registry.take("objectives", name)
    task, rows = rows_for(objective, kind)
    loaded = load_base(base)
    student, items = started(objective, task, rows, loaded)
    batch = collate(items, pad_id(loaded.tokenizer))
    before, logs = objective.loss(student, batch)
    assert before.ndim == 0 and math.isfinite(before.item()) and before.item() > 0
    assert all(isinstance(value, float) for value in logs.values())
    before.backward()
    with torch.no_grad():
        for p in student.parameters():
            if p.grad is not None:
                p -= 1e-3 * p.grad
    assert objective.loss(student, batch)[0].item() < before.item()


def loss_of_a_batch_is_the_mean_of_its_rows(name: str, kind: Kind, base: str) -> None:
    """Padding and neighbours do not change a row's loss. Of rationales the mean is over tokens."""
    objective: Objective = registry.take("objectives", name)
    task, rows = rows_for(objective, kind)
    loaded = load_base(base)
    student, items = started(objective, task, rows, loaded)
    student.eval()
    with torch.no_grad():
        whole, parts = objective.loss(student, collate(items, pad_id(loaded.tokenizer)))
        each = [objective.loss(student, collate([item], pad_id(loaded.tokenizer))) for item in items]
    if not objective.rationales:
        mean = sum(one.item() for one, _ in each) / len(each)
        assert abs(whole.item() - mean) < 1e-4, (whole, mean)
        return
    sizes = [len(item["rationale"]) for item in items]
    assert len(set(sizes)) > 1
    mean = sum(logs["label"] for _, logs in each) / len(each)
    tokens = sum(n * logs["rationale"] for n, (_, logs) in zip(sizes, each, strict=True)) / sum(sizes)
    assert abs(parts["label"] - mean) < 1e-4 and abs(parts["rationale"] - tokens) < 1e-4
    assert abs(whole.item() - (mean + tokens) / 2) < 1e-4
