"""2-human.jsonl: what persons said of rows, one line per answer, appended and synced at once; a later line revises.

A line that was torn by a crash is skipped by the reader, and the next one begins on a line of its own."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from limbeck import render
from limbeck.errors import UsageError
from limbeck.registry import near
from limbeck.run import RunFolder, read_json, read_lines, room_on_disk
from limbeck.types import Example, Frozen, Kind, Report, Splits, Status, Task

FILE = "2-human.jsonl"
PLACES = ("test", "unlabelled", "train")


class HumanAnswer(Frozen):
    """id: of the row. output: in the task's spelling. at: UTC, ISO 8601. revision: 0, then how often it was changed.
    shown: the synthetic answer was on the screen before this one was given."""

    id: str
    output: str
    at: str = ""
    revision: int = 0
    shown: bool = False


def human_answers(folder: RunFolder) -> dict[str, HumanAnswer]:
    """{row id: the latest answer}, in the order in which rows were first answered."""
    path = folder.path / FILE
    found: dict[str, HumanAnswer] = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            answer = HumanAnswer.model_validate_json(line)
        except ValidationError:
            continue  # torn by a crash: it was never acknowledged
        found[answer.id] = answer
    return found


def keep_answer(
    folder: RunFolder, row: Example, output: str, shown: bool = False, known: dict[str, HumanAnswer] | None = None
) -> HumanAnswer:
    """On the disk when this returns. The same answer again adds nothing. known: what `human_answers` gave, kept up to
    date here, so that many answers in a row read the file once."""
    known = human_answers(folder) if known is None else known
    before = known.get(row.id)
    if before is not None and before.output == output:
        return before
    at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    answer = HumanAnswer(id=row.id, output=output, at=at, revision=before.revision + 1 if before else 0, shown=shown)
    path = folder.path / FILE
    with room_on_disk(folder.path), path.open("ab+") as file:
        torn = file.tell() > 0 and (file.seek(-1, os.SEEK_END), file.read(1))[1] != b"\n"
        line = json.dumps(answer.model_dump(mode="json"), ensure_ascii=False) + "\n"
        file.write((("\n" if torn else "") + line).encode())
        file.flush()
        os.fsync(file.fileno())
    known[row.id] = answer
    return answer


def read_answer(task: Task, row: Example, text: str) -> str | None:
    """The answer in the task's spelling; None where the text is none."""
    text = text.strip()
    if task.kind is Kind.FIELDS:
        value = render.find_json(text)
        if not isinstance(value, dict) or missing_fields(task, value):
            return None
    found, status = render.answer(task, row, text) if task.kind is Kind.FIELDS else render.canonical(task, row, text)
    return found if status is Status.OK and found else None


def missing_fields(task: Task, value: dict[str, object]) -> list[str]:
    """Properties that the schema requires and the object lacks."""
    schema = json.loads(task.output_schema or "{}")
    return [name for name in schema.get("required", ()) if name not in value]


# ---- which rows to ask about --------------------------------------------------------------------------------------


def rows_to_label(folder: RunFolder, place: str = "test") -> list[Example]:
    """Every row of one place that persons may label, most worth labelling first as the last report named them, then in
    the run's own order. test: the test split; train: train and dev; unlabelled: rows that came without an answer, whether
    or not a teacher gave one since. Rows that a person answered already are left out."""
    splits, every = read_json(folder.splits, Splits), every_row(folder)
    if place == "test":
        ids: Sequence[str] = splits.test.ids
    elif place == "train":
        ids = (*splits.train.ids, *splits.dev.ids)
    elif place == "unlabelled":
        cut = {*splits.train.ids, *splits.dev.ids, *splits.test.ids}
        ids = [i for i in every if i not in cut]
    else:
        raise UsageError(f"there are no rows {place!r} to label", near(place, PLACES), "limbeck label RUN --from test")
    named = {one["id"]: at for at, one in enumerate(read_json(folder.report, Report).worth_labelling)} if folder.report.exists() else {}
    done = human_answers(folder)
    left = [i for i in ids if i not in done]
    return [every[i] for i in sorted(left, key=lambda i: named.get(i, len(named)))]


def every_row(folder: RunFolder) -> dict[str, Example]:
    """All rows of the run by id, those that a teacher labelled with its answer."""
    made, labelled = folder.path / "2-made.jsonl", folder.path / "2-labelled.jsonl"
    files = [folder.rows] if folder.rows.exists() or not made.exists() else [made]  # `limbeck rows` alone stops before the cut
    return {row.id: row for file in (*files, labelled) if file is not labelled or file.exists() for row in read_lines(file, Example)}


def any_row(rows: Mapping[str, Example], row_id: str, folder: RunFolder) -> Example:
    """One row, answered or not. Raises UsageError where there is none of that id."""
    if row_id not in rows:
        raise UsageError(f"the run has no row {row_id!r}", near(row_id, list(rows)), f"the ids stand in {folder.rows}")
    return rows[row_id]
