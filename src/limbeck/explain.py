"""One row of a run, traced: where it came from, which split it is in, what each candidate answered, what lies near it."""

from __future__ import annotations

import json
from typing import Any

from limbeck.candidates import predictions
from limbeck.curate.leak import nearest_rows
from limbeck.human import any_row, every_row, human_answers
from limbeck.reasoning import by_reasons, sources_of
from limbeck.run import RunFolder, read_json
from limbeck.teachers.store import Store
from limbeck.types import Example, Kind, Recipe, Splits, Status, Task


def explain_row(folder: RunFolder, row_id: str) -> dict[str, Any]:
    """Raises UsageError where the run has no such row."""
    task = read_json(folder.task, Task)
    rows = every_row(folder)
    row = any_row(rows, row_id, folder)
    where: dict[str, str] = {}
    if folder.splits.exists():
        splits = read_json(folder.splits, Splits)
        where = {i: name for name in ("train", "dev", "test") for i in getattr(splits, name).ids}
    aside = "put aside" if where else "not cut yet"
    split = where.get(row_id, "labelled by the teacher" if row.origin.kind == "teacher" else aside)
    recipes = json.loads(folder.recipes.read_bytes())["recipes"] if folder.recipes.exists() else []
    answers = []
    for recipe in map(Recipe.model_validate, recipes):
        for name in ("dev", "test"):
            for p in predictions(folder, recipe, name) if split == name else []:
                if p.id == row_id:
                    right = None if task.kind not in (Kind.LABEL, Kind.CHOICE) else p.status is Status.OK and p.text == row.output
                    answers.append(
                        {
                            "recipe": recipe.text,
                            "text": p.text,
                            "status": str(p.status),
                            "confidence": p.confidence,
                            "right": right,
                            "reply": p.detail,
                            "passages": list(p.passages or ()),
                        }
                    )
    close = [
        {"id": other.id, "split": where.get(other.id, "labelled"), "jaccard": jaccard, "input": other.input}
        for other, jaccard in nearest_rows(row, [r for r in rows.values() if r.id != row_id], 3)
    ]
    origin = row.origin
    human = human_answers(folder).get(row_id)
    came = " ".join(
        part
        for part in (origin.kind, origin.source, f"row {origin.row}" if origin.row else "", f"by {origin.detail}" if origin.detail else "")
        if part
    )
    return {
        "id": row.id,
        "split": split,
        "origin": came,
        "provenance": {**origin.model_dump(mode="json", exclude_none=True), "confidence": row.confidence},
        "reply": reply_of(folder, origin.request),
        "human": human.model_dump(mode="json") if human else None,
        "input": row.input,
        "choices": row.choices,
        "output": row.output,
        "rationale": row.rationale,
        "reasons": reasons_of(folder, row),
        "answers": answers,
        "near": close,
    }


def reasons_of(folder: RunFolder, row: Example) -> dict[str, Any] | None:
    """Where the row's rationale came from: a person, or the teacher with what was asked and paid; also one that was put aside."""
    said = sources_of(folder).get(row.id)
    if row.rationale and not by_reasons(row):
        return {"by": "person" if row.origin.kind == "gold" else row.origin.kind, "rationale": row.rationale, "why": ""}
    return {"by": "teacher", **said.model_dump(mode="json", exclude_none=True)} if said else None


def reply_of(folder: RunFolder, address: str | None) -> dict[str, Any] | None:
    """The teacher's reply that the row was made from, out of the run's store: what it says, and what it cost."""
    if not address or not folder.store.exists():
        return None
    with Store(folder.store, cap_usd=0.0) as store:
        return store.look_up(address)
