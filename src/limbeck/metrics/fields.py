"""JSON objects: F1 over key-value pairs, and all or nothing. An answer that is not `ok` gets 0.

Strings are the same up to case and blanks; 1 and 1.0 are the same number, "1" and true are neither; null says as much
as leaving the key out."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from limbeck.registry import Metric
from limbeck.types import Example, Kind, Prediction, Status, Task

Pair = tuple[str, object]


def pairs(value: Any, ordered: bool, path: str = "") -> Iterator[Pair]:
    """(path, leaf) of every leaf. ordered: items of a list have their place in the path; otherwise they are a bag."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from pairs(inner, ordered, f"{path}/{key}")
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            yield from pairs(inner, ordered, f"{path}/{i if ordered else '*'}")
    elif isinstance(value, str):
        yield path, " ".join(value.casefold().split())
    elif isinstance(value, bool):
        yield path, f"\x00{value}"  # Python takes True for 1
    elif value is not None:
        yield path, value


def bag(text: str | None, ordered: bool) -> Counter[Pair] | None:
    """None where the text is no JSON object."""
    try:
        value = json.loads(text or "")
    except ValueError:
        return None
    return Counter(pairs(value, ordered)) if isinstance(value, dict) else None


def compared(example: Example, prediction: Prediction, ordered: bool) -> tuple[Counter[Pair] | None, Counter[Pair] | None]:
    return bag(example.output, ordered), bag(prediction.text, ordered) if prediction.status is Status.OK else None


def field_f1(task: Task, example: Example, prediction: Prediction) -> float | None:
    """2 common / (ours + theirs) over pairs of path and value; items of a list in any order."""
    gold, ours = compared(example, prediction, ordered=False)
    if gold is None:
        return None
    if ours is None:
        return 0.0
    both = gold.total() + ours.total()
    return 2 * (gold & ours).total() / both if both else 1.0


def fields_exact(task: Task, example: Example, prediction: Prediction) -> float | None:
    """1 where every pair is right and none is too many; items of a list in their order."""
    gold, ours = compared(example, prediction, ordered=True)
    return None if gold is None else float(ours == gold)


FIELD_F1 = Metric("field_f1", (Kind.FIELDS,), row=field_f1)
FIELDS_EXACT = Metric("fields_exact", (Kind.FIELDS,), row=fields_exact)
