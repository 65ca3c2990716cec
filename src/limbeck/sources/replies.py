"""A teacher's reply -> rows. What is not a row is told apart, never guessed, and costs no other row."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from limbeck import render
from limbeck.types import Example, Kind, Origin, Status, Task, sha_of

NO_JSON = "no JSON in the reply"
EMPTY = "empty reply"
WRONG_KEYS = "not an object with input and output"
NO_INPUT = "the input is empty"
NO_OUTPUT = "the output is empty"
NO_CHOICES = "fewer than two choices, or the output is none of them"
NOT_ALLOWED = "the output is none that the task allows"


@dataclass(frozen=True)
class Read:
    """What one reply gave. rejected: (what stood there as the input of a row, why)."""

    rows: tuple[Example, ...]
    rejected: tuple[tuple[Example, str], ...]


def read(task: Task, text: str, origin: Origin) -> Read:
    """Rows of one reply: fenced, with text around it, cut off in the middle, or a bare list. Every row carries `origin`."""
    rows, rejected = [], []
    found = list(candidates(text))
    if not found:
        rejected.append((refused(text, origin, 0), NO_JSON if text.strip() else EMPTY))
    for at, value in enumerate(found):
        row, why = row_of(task, value, origin)
        if row is None:
            rejected.append((refused(json.dumps(value, ensure_ascii=False), origin, at), why))
        else:
            rows.append(row)
    return Read(tuple(rows), tuple(rejected))


def candidates(text: str) -> Iterator[Any]:
    """What may be a row: the items of {"examples": [...]} (or of any other single list), of a bare list, or objects by
    themselves, as they are left of a reply that was cut off. Numbers and the like in brackets are part of the prose."""
    for value in render.all_json(text):
        if isinstance(value, dict) and not {"input", "output"} & set(value):
            lists = [v for v in value.values() if isinstance(v, list)]
            value = lists[0] if len(lists) == 1 else [value]
        items = value if isinstance(value, list) else [value]
        if any(isinstance(item, dict) for item in items):
            yield from items


def row_of(task: Task, value: Any, origin: Origin) -> tuple[Example | None, str]:
    """(row, "") or (None, why). The answer is in the task's canonical spelling."""
    if not isinstance(value, dict) or not isinstance(value.get("input"), str) or "output" not in value:
        return None, WRONG_KEYS
    text, output = value["input"].strip(), as_text(value["output"])
    if not text:
        return None, NO_INPUT
    if not output:
        return None, NO_OUTPUT
    choices = None
    if task.kind is Kind.CHOICE:
        choices = tuple(str(c).strip() for c in value["choices"]) if isinstance(value.get("choices"), list) else ()
        if len(set(choices)) < 2 or not all(choices):
            return None, NO_CHOICES
        unique = list(dict.fromkeys(choices))
        choices = tuple(random.Random(text).sample(unique, len(unique)))  # teachers put the right one first too often
    row = Example(id=name_of(text, choices), input=text, output=output, choices=choices, origin=origin)
    answer = canonical(task, row)
    if answer is None:
        return None, NO_CHOICES if task.kind is Kind.CHOICE else NOT_ALLOWED
    return row.model_copy(update={"output": answer}), ""


def canonical(task: Task, row: Example) -> str | None:
    """The row's answer as the task spells it; None where the task does not allow it."""
    if task.kind is Kind.FIELDS:
        value = render.find_json(row.output or "")
        return json.dumps(value, ensure_ascii=False, sort_keys=True) if isinstance(value, dict) else None
    text, status = render.canonical(task, row, row.output or "")
    return text if status is Status.OK else None


def as_text(value: Any) -> str:
    """A JSON value as an answer: text as it is, objects and lists as JSON, null as nothing."""
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)


def name_of(text: str, choices: Sequence[str] | None) -> str:
    """The id of a generated row: the same input has the same one in every run."""
    return f"gen-{sha_of([text, list(choices or ())])[:12]}"


def refused(text: str, origin: Origin, at: int) -> Example:
    return Example(id=f"ref-{sha_of([origin.request, at, text])[:12]}", input=text, origin=origin)
