"""A student as a folder of its own: weights, tokenizer, head, card. It loads anywhere with limbeck.load, and refuses to if damaged.

student.json   the Card, and the sha256 of every other file
README.md      the card for people
config.json, model.safetensors, tokenizer files, head.safetensors   as engine.predict writes them"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from limbeck import render
from limbeck.engine.demonstrator import DEMONSTRATIONS
from limbeck.engine.predict import StudentPredictor, load_predictor
from limbeck.engine.reader import READER, load_student
from limbeck.errors import ModelError, UsageError
from limbeck.registry import Exporter
from limbeck.run import listing, room_on_disk, sha_of_file, write_bytes, write_json
from limbeck.types import Card, Example, Gap, Kind, Prediction, Score, Source, Task

CARD, README = "student.json", "README.md"
HOLDS_DOCUMENTS = "This folder holds the passages of your documents (passages.jsonl): it looks them up for every input."

HOLDS_ROWS = "This folder holds training rows of yours (demonstrations.json): it reads some of them before every input."


def write(model: Path, destination: Path, card: Card) -> list[Path]:
    """Copies a model folder, adds both cards. student.json is written last: without it the folder is no student."""
    if not (model / "head.safetensors").is_file():
        raise ModelError(f"{model} holds no model that could be exported", f"it holds {listing(model)}", "limbeck run PROMPT --rows FILE")
    with room_on_disk(destination):
        destination.mkdir(parents=True, exist_ok=True)
        for file in sorted(p for p in model.iterdir() if p.is_file() and p.name not in (CARD, README)):
            shutil.copyfile(file, destination / file.name)
    predictor = load_predictor(destination)
    if predictor.task != card.task:
        raise ModelError("the card is of another task than the model", f"{card.task.name} and {predictor.task.name}", "please report this")
    card = card.model_copy(update={"max_length": predictor.max_length, "render": render.VERSION})
    if (destination / READER).is_file():
        card = card.model_copy(update={"notes": (*card.notes, HOLDS_DOCUMENTS)})
    if (destination / DEMONSTRATIONS).is_file():
        card = card.model_copy(update={"notes": (*card.notes, HOLDS_ROWS)})
    write_bytes(destination / README, readme(card).encode())
    files = sorted(p for p in destination.iterdir() if p.is_file() and p.name != CARD)
    shas = {file.name: sha_of_file(file) for file in files}
    write_json(destination / CARD, {**card.model_dump(mode="json"), "files": shas})
    return [*files, destination / CARD]


FOLDER = Exporter(name="folder", write=write)


class Student:
    """A loaded student folder: a Predictor that also takes plain strings and dicts. `task`, `card`: what it was made for."""

    def __init__(self, predictor: StudentPredictor, card: Card):
        self.predictor, self.card, self.task = predictor, card, card.task

    def predict(self, inputs: Sequence[str | dict[str, Any] | Example]) -> list[Prediction]:
        """One Prediction per input, in order. dict: input, and choices where each row has options of its own; id if you
        like. Raises UsageError where an input is none of these."""
        if isinstance(inputs, str):
            raise UsageError("predict takes a list of inputs", "you gave one text", "student.predict([text])")
        return self.predictor.predict([self.example(value, at) for at, value in enumerate(inputs)])

    def example(self, value: Any, at: int) -> Example:
        if isinstance(value, Example):
            return value.blind()
        if isinstance(value, str):
            value = {"input": value}
        if not isinstance(value, dict) or not isinstance(value.get("input"), str):
            raise UsageError(
                f"input {at + 1} has no text", f"it is {str(value)[:80]!r}", 'give a string, or {"input": ..., "choices": [...]}'
            )
        choices = value.get("choices")
        if self.task.kind is Kind.CHOICE and not choices:
            raise UsageError(
                f"input {at + 1} has no options to choose from", f"it is {str(value)[:80]!r}", 'give {"input": ..., "choices": [...]}'
            )
        return Example(id=str(value.get("id", at)), input=value["input"], choices=tuple(map(str, choices)) if choices else None)


def load(path: str | Path) -> Student:
    """Raises ModelError where the folder is no student, is damaged, or is of a later version."""
    folder = Path(path)
    try:
        about = json.loads((folder / CARD).read_bytes())
        shas = about.pop("files")
        card = Card.model_validate(about)
    except FileNotFoundError as missing:
        raise ModelError(f"{folder} is no student folder", f"it holds {listing(folder)}", "give the 6-deploy folder of a run") from missing
    except (ValueError, KeyError, AttributeError, ValidationError) as broken:
        raise ModelError(
            f"{folder / CARD} cannot be read", str(broken)[:300], "export the student again, or pip install -U limbeck"
        ) from broken
    if card.format != 1 or card.render != render.VERSION:
        have = f"format {card.format}, texts shaped as in version {card.render}; this limbeck knows 1 and {render.VERSION}"
        raise ModelError(
            f"the student in {folder} was made by another version of limbeck",
            have,
            "pip install the version named under `versions` in student.json",
        )
    for name, sha in shas.items():
        file = folder / name
        if not file.is_file() or sha_of_file(file) != sha:
            have = f"{name} is {'not what it was when it was exported' if file.is_file() else 'missing'}"
            raise ModelError(f"the student in {folder} is damaged", have, "copy the folder again, or export it again")
    return Student(load_student(folder), card)


# ---- the card for people ---------------------------------------------------------------------------------------


def readme(card: Card) -> str:
    task = card.task
    origins = ", ".join(f"{n} {kind}" for kind, n in card.origins.items()) or "not recorded"
    example = '{"input": "...", "choices": ["...", "..."]}' if task.kind is Kind.CHOICE else '"..."'
    lines = [
        "---", "library_name: limbeck", f"license: {card.base_licence}", f"language: {task.language}", "---", "",
        f"# {task.name}", "",
        f"A student of kind `{task.kind}`, made by limbeck with the recipe `{card.recipe}`.", "",
        "## What it answers", "", task.instruction.strip(), "",
        answers(task), "",
        "## Use", "", "```python", "import limbeck", "", 'student = limbeck.load("this/folder")', f"student.predict([{example}])", "```", "",
        "## How good it is", "", score_line("dev (used to choose it)", card.dev), score_line("test (scored once, synthetic test)" if card.synthetic_test else "test (scored once)", card.test),
        *map(gap_line, card.gaps), "",
        *([f"Answers with a confidence of {card.threshold:g} or more were right most of the time on dev.", ""] if card.threshold is not None else []),
        "## Where it comes from", "",
        f"- Base: `{card.base}`, licence {card.base_licence}, weights sha256 `{card.base_sha or 'not recorded'}`.",
        f"- Rows by origin: {origins}.{'' if card.sources else ' Their licences are unknown to limbeck; whoever gave them knows.'}",
        *map(source_line, card.sources),
        *[f"- **Licence**: {warning}." for warning in card.licence_warnings],
        f"- Inputs longer than {card.max_length} tokens are cut.",
        *[f"- {note}" for note in card.notes],
        *[f"- {name} {version}" for name, version in sorted(card.versions.items())],
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def answers(task: Task) -> str:
    if task.kind is Kind.LABEL:
        return "One of: " + ", ".join(f"`{label}`" for label in task.labels) + "."
    if task.kind is Kind.CHOICE:
        return "One of the options that come with each input."
    if task.kind is Kind.TEXT:
        return "Free text."
    if task.kind is Kind.FIELDS:
        return f"One JSON object that fits `{task.output_schema or '{}'}`."
    return f"A number{render.span(task)}."


def score_line(split: str, score: Score | None) -> str:
    if score is None or score.value is None:
        return f"- {split}: not scored."
    interval = f", 95 % interval {score.low:.3f} to {score.high:.3f}" if score.low is not None and score.high is not None else ""
    return f"- {split}: {score.metric} {score.value:.3f}{interval}, {score.n} rows."


def gap_line(gap: Gap) -> str:
    rows = f"the same {gap.human.n} rows" if gap.paired else f"{gap.human.n} rows"
    return (
        f"- on {rows} labelled by persons: `{gap.recipe}` {gap.human.value or 0:.3f}, synthetic {gap.synthetic.value or 0:.3f}, "
        f"gap {gap.difference:+.3f}, 95 % interval {gap.low:+.3f} to {gap.high:+.3f}."
    )


def source_line(source: Source) -> str:
    kinds = ", ".join(f"{n} {kind}" for kind, n in source.kinds.items())
    return f"  - {source.name}: {kinds}; licence {source.licence or 'not known to limbeck'}."
