"""Whom to ask: a run's student, a student folder, a base as it is, a teacher; and how it is asked with its own rows."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limbeck import registry, render
from limbeck.errors import UsageError
from limbeck.run import RunFolder, sha_of_file
from limbeck.types import Example, Kind, Task

STUDENT, BASE, TEACHER = "student", "base", "teacher"
TEACHERS = ("recorded:", "openai-batch:")


@dataclass(frozen=True)
class Model:
    """kind: student | base | teacher. sha: of what answers, so that answers can be kept by it. what: predictor, base or teacher.
    task: a student's. index: what a student that looks things up looks them up in (engine.reader.Reader)."""

    name: str
    kind: str
    sha: str
    what: Any = field(repr=False)
    task: Task | None = None
    index: Any = None

    @property
    def chooses(self) -> bool:
        """An encoder student: it has no likelihood of a text."""
        return self.kind == STUDENT and not hasattr(self.what, "reading")


def is_teacher(spec: str) -> bool:
    """A model name such as gpt-4o-mini too: what is no folder, no alias and no owner/name."""
    if "://" in spec or spec.startswith(TEACHERS):
        return True
    return not (Path(spec).expanduser().is_dir() or spec in registry.names("bases") or "/" in spec)


def open_model(spec: str, price: str | None = None) -> Model:
    """Raises UsageError, MissingError or ModelError with what to type where the spec names nothing that can be asked."""
    head, at, base = spec.rpartition("@")
    if at and "://" not in spec and head != "prompt":
        have = f"{spec!r} is a recipe, and a recipe has to be trained first"
        raise UsageError("only prompt@BASE can be asked as it is", have, "a RUN with a student, or prompt@BASE with --shots N")
    spec = (base if head == "prompt" else spec).removeprefix("local:")
    folder = Path(spec).expanduser()
    if (folder / "run.json").is_file():
        if not (folder / "6-deploy").is_dir():
            have = "it has no 6-deploy"
            raise UsageError(f"{spec} has no student to ask", have, "finish the run first, or name a base or a teacher with --model")
        folder = folder / "6-deploy"
    if (folder / "student.json").is_file():
        return open_student(folder, spec)
    close = difflib.get_close_matches(spec, registry.names("bases"), n=1, cutoff=0.75)
    if close and spec not in registry.names("bases") and not folder.is_dir():
        raise UsageError(
            f"unknown base {spec!r}", f"did you mean {close[0]}?", "a base, ./path, owner/name, a RUN, or a teacher: http://host/v1#model"
        )
    if is_teacher(spec):
        from limbeck.teachers import open_teacher
        from limbeck.teachers.prices import parse_price

        teacher = open_teacher(spec, None if price is None else parse_price(price))
        return Model(teacher.name, TEACHER, teacher.fingerprint, teacher)
    from limbeck.engine.load import load_base

    base = load_base(spec, shared=True)
    return Model(f"prompt@{base.name}", BASE, base.sha, base)


def open_student(folder: Path, name: str) -> Model:
    import limbeck
    from limbeck.engine.reader import Reader

    student = limbeck.load(str(folder))
    asked, index = student.predictor, None
    if isinstance(asked, Reader):  # it is asked without what it would look up, unless a row brings it along
        asked, index = asked.predictor, asked
    return Model(name, STUDENT, sha_of_file(folder / "student.json"), asked, student.task, index)


def wrap(model: Model, *, items: Any, own: Task | None, greedy: bool, chat: bool, note: Callable[[int, int], None], ask: Any = None) -> Any:
    """The model behind the harness's interface (bench.harness_models). own: the task whose rows are asked, where they are ours."""
    from limbeck.bench.harness_models import DIGITS, Answers, Asked, Writes
    from limbeck.engine import bare

    if model.kind == TEACHER:
        return Asked(ask)
    if model.chooses:
        return Answers(model.what)
    how: dict[str, Any] = {"items": items, "greedy": greedy, "note": note}
    if model.kind == BASE:
        if own is None:
            return Writes(bare.of_base(model.what, chat=chat), **how)
        return Writes(bare.of_base(model.what, chat=has_template(model), with_end=True), digits=DIGITS, **how)
    if own is None:
        return Writes(bare.of_student(model.what, chat=chat), **how)
    student = model.what
    texts = None if own.kind is not Kind.TEXT else lambda prompts: written(student, prompts)
    return Writes(bare.as_itself(student), compares=student.student.normalise, digits=DIGITS, own_text=texts, **how)


def written(student: Any, prompts: Sequence[str]) -> list[str]:
    """What render reads out of what the student writes, as in its predictions."""
    from limbeck.engine.bare import written_by

    return [render.answer(student.task, Example(id="", input=""), text)[0] for text in written_by(student, prompts)]


def has_template(model: Model) -> bool:
    return bool(getattr(model.what.tokenizer, "chat_template", None))


# ---- its own rows ----------------------------------------------------------------------------------------------------


def prompt_of(model: Model, task: Task, shots: Callable[[Example], Sequence[Example]]) -> Callable[[Example], str]:
    """What the model reads for a row: a student its own prompt, a base the task with its demonstrations."""
    if model.kind == TEACHER:
        raise UsageError(
            "a teacher is not asked with own rows here", "what it answers to them is in the run's report", "limbeck report RUN"
        )
    if model.chooses:
        return lambda row: render.source_text(task, row)
    if model.kind == STUDENT:
        return lambda row: str(model.what.reading.prompt(task, row)[0])
    from limbeck.engine.tokens import chat_text

    return lambda row: chat_text(model.what.tokenizer, render.messages(task, row, shots(row)))


def passages_of(model: Model, rows: Sequence[Example]) -> list[Example]:
    """The rows with what the student would look up for them, once, before anything is asked."""
    if model.index is None:
        return list(rows)
    from limbeck.engine.reader import look_up

    reader = model.index
    return look_up(reader.index, rows, reader.k, reader.way)[0]


def task_and_rows(run: str | None, model: Model, rows: str | None) -> tuple[Task, list[Example], list[Example]]:
    """(task, rows to answer, rows to take demonstrations from). Raises UsageError where there are none."""
    from limbeck.bench.harness_own import read_rows_of, split_of
    from limbeck.run import read_json

    folder = RunFolder(run) if run and (Path(run) / "run.json").is_file() else None
    task = read_json(folder.task, Task) if folder else model.task
    if task is None or (folder is None and rows is None):
        raise UsageError(
            "--tasks own needs rows of a task", f"{run or model.name} is no run folder", "a RUN, or a student with --rows FILE"
        )
    train = split_of(folder, "train") if folder else []
    return task, read_rows_of(Path(rows)) if rows else split_of(folder, "test") if folder else [], train
