"""What every objective has to keep. Each function raises AssertionError with what broke."""

from __future__ import annotations

import math

import torch

from limbeck import registry
from limbeck.engine.batches import collate, length_of
from limbeck.engine.load import load_base
from limbeck.engine.numbers import Numbers
from limbeck.engine.start import new_student
from limbeck.engine.tokens import pad_id
from limbeck.registry import Objective
from limbeck.testing.toys import eight_rows
from limbeck.types import Kind


def cases() -> list[tuple[str, Kind]]:
    """Every objective on the shelf with each closed kind that it takes."""
    objectives = [registry.take("objectives", name) for name in registry.names("objectives")]
    return [(o.name, kind) for o in objectives for kind in (Kind.LABEL, Kind.CHOICE, Kind.SCORE) if kind in o.kinds]


def features_fit_the_context(name: str, kind: Kind, base: str, max_length: int = 8) -> None:
    """At least one item per row, of whole numbers, none longer than max_length; what was cut is counted."""
    objective: Objective = registry.take("objectives", name)
    task, rows = eight_rows(kind)
    rows = [rows[0].model_copy(update={"input": "the kettle leaks " * 9}), *rows[1:]]
    items = objective.features(task, rows, load_base(base, shared=True).tokenizer, max_length)
    assert len(items) >= len(rows)
    assert all(0 < len(item["input_ids"]) <= max_length and length_of(item) > 0 for item in items)
    assert sum(item["truncated"] for item in items) == 1


def loss_teaches_every_trained_number(name: str, kind: Kind, base: str) -> None:
    """The loss is one finite number above zero, and a step against its gradient makes it smaller."""
    objective: Objective = registry.take("objectives", name)
    task, rows = eight_rows(kind)
    loaded = load_base(base)
    student = new_student(loaded, task, rows, Numbers(dropout=0.0))
    batch = collate(objective.features(task, rows, loaded.tokenizer, 64), pad_id(loaded.tokenizer))
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
    """Padding and neighbours do not change a row's loss."""
    objective: Objective = registry.take("objectives", name)
    task, rows = eight_rows(kind)
    loaded = load_base(base)
    student = new_student(loaded, task, rows, Numbers(dropout=0.0)).eval()
    items = objective.features(task, rows, loaded.tokenizer, 64)
    with torch.no_grad():
        whole = objective.loss(student, collate(items, pad_id(loaded.tokenizer)))[0].item()
        each = [objective.loss(student, collate([item], pad_id(loaded.tokenizer)))[0].item() for item in items]
    assert abs(whole - sum(each) / len(each)) < 1e-4, (whole, each)
