"""A prompt file becomes a Task, by rules, offline: instruction, demonstrations, kind, labels, range, schema, metric, language."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from limbeck.errors import UsageError
from limbeck.registry import near
from limbeck.tasks import kinds
from limbeck.tasks.demonstrations import find_demonstrations
from limbeck.tasks.labels import asks_for_label, best_set, find_label_sets
from limbeck.types import Demonstration, Example, Kind, Task

LIKE_CODE = "the outputs look like code: compared by characters (chrf)"


@dataclass(frozen=True)
class Reading:
    """What the text of a prompt says, before rows are looked at. label_sets: every set that it may name, surest first."""

    instruction: str
    demonstrations: tuple[Demonstration, ...]
    label_sets: tuple[tuple[str, ...], ...]
    language: str
    notes: tuple[str, ...] = ()


def parse(text: str, name: str, rows: Sequence[Example] = (), kind: str | None = None) -> Task:
    """The Task of a prompt (without front matter). rows: whatever is at hand, they check the rules. kind: set by the
    user, else found. Raises UsageError for an empty prompt and an unknown kind; what is uncertain becomes a note."""
    return settle(name, read(text), rows, kind)


def read(text: str) -> Reading:
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    text = re.sub(r"[^\S\n]{200,}", " " * 200, text)  # nobody means them, and the patterns below would be slow on them
    if not text.strip():
        raise UsageError(
            "the prompt is empty",
            "a prompt file holds what you would tell the model, and perhaps examples",
            "write it, e.g.: Classify the mail as refund, delivery or other.",
        )
    demonstrations, instruction, notes = find_demonstrations(text)
    sets = find_label_sets(instruction)
    return Reading(instruction, demonstrations, tuple(sets), kinds.language_of(instruction), tuple(notes))


def settle(name: str, reading: Reading, rows: Sequence[Example] = (), kind: str | None = None) -> Task:
    """The Task that reading and rows agree on; where they do not, rows win and a note says so."""
    if kind is not None and kind not in set(Kind):
        raise UsageError(f"unknown kind {kind!r}", near(kind, [str(k) for k in Kind]), "kind: label | choice | text | fields | score")
    labelled = [row for row in rows if row.output is not None]
    outputs = [row.output for row in labelled if row.output is not None] or [d.output for d in reading.demonstrations]
    chosen, notes = settle_kind(reading, rows, outputs, kind)
    labels: tuple[str, ...] = ()
    low = high = schema = None
    metric = kinds.METRICS[chosen]
    if chosen is Kind.LABEL:
        labels, more = settle_labels(reading, rows, labelled, outputs)
        notes += more
    elif chosen is Kind.SCORE:
        low, high, more = settle_range(reading.instruction, outputs)
        notes += more
    elif chosen is Kind.FIELDS:
        values = kinds.objects(outputs)
        schema = kinds.schema_in(reading.instruction) or (kinds.infer_schema(values) if values else None)
        notes += [] if schema else ["no schema in the prompt, no JSON objects in the rows: any object counts as well-formed"]
    elif chosen is Kind.TEXT and kinds.looks_like_code(outputs):
        metric = "chrf"
        notes.append(LIKE_CODE)
    return Task(
        name=name, instruction=reading.instruction, kind=chosen, labels=labels, output_schema=schema, low=low, high=high, metric=metric,
        demonstrations=reading.demonstrations, language=reading.language, notes=(*reading.notes, *notes),
    )  # fmt: skip


def settle_kind(reading: Reading, rows: Sequence[Example], outputs: Sequence[str], kind: str | None) -> tuple[Kind, list[str]]:
    if kind is not None:
        return Kind(kind), []
    if rows and all(row.choices for row in rows):
        same = len({frozenset(row.choices or ()) for row in rows}) == 1
        return (Kind.LABEL if same and len(rows) > 1 else Kind.CHOICE), []
    notes = []
    if any(row.choices for row in rows):
        notes.append(
            f"{sum(bool(row.choices) for row in rows)} of {len(rows)} rows have choices: without them in every row they are not used"
        )
    named = best_set(reading.label_sets, outputs)
    found, more = kinds.kind_of(outputs, reading.instruction, named, asks_for_label(reading.instruction))
    return found, notes + more


def settle_labels(
    reading: Reading, rows: Sequence[Example], labelled: Sequence[Example], outputs: Sequence[str]
) -> tuple[tuple[str, ...], list[str]]:
    """The prompt's labels in its order and the rows' spelling, then those that only rows have, the frequent first."""
    notes: list[str] = []
    if rows and all(row.choices for row in rows) and len({frozenset(row.choices or ()) for row in rows}) == 1:
        named = rows[0].choices or ()
    else:
        named = best_set(reading.label_sets, outputs)
    if reading.label_sets and outputs and not named:
        notes.append(
            f"the names {', '.join(reading.label_sets[0][:5])} in the prompt are no outputs of the rows: the rows' labels are used"
        )
    counts = Counter(outputs)
    seen = {output.casefold(): output for output, _ in reversed(counts.most_common())}
    labels = tuple(dict.fromkeys(name if name in counts else seen.get(name.casefold(), name) for name in named))
    respelt = [f"{a} as {b}" for a, b in zip(named, labels, strict=False) if a != b] if len(named) == len(labels) else []
    if respelt:
        notes.append(f"labels are spelt as in the rows: {', '.join(respelt[:5])}")
    added = tuple(output for output, _ in counts.most_common() if output not in labels)
    if added and named:
        notes.append(f"labels seen in {'rows' if labelled else 'demonstrations'}, not in the prompt, added at the end: {shown(added)}")
    elif added and labelled:
        notes.append(f"the prompt names no label set: the {len(added)} labels come from the rows")
    elif added:
        notes.append("the labels come from the demonstrations alone: there may be more (add a line `Labels: a, b, c`)")
    absent = [name for name in labels if name not in counts]
    if absent and labelled:
        notes.append(f"labels in the prompt that no row has: {shown(absent)}")
    if not labels and not added:
        notes.append("kind is label, and neither prompt nor rows name a label: add a line `Labels: a, b, c`")
    return (*labels, *added), notes


def settle_range(instruction: str, outputs: Sequence[str]) -> tuple[float | None, float | None, list[str]]:
    numbers = [number for output in outputs if (number := kinds.numeric(output)) is not None]
    stated = kinds.find_range(instruction)
    if stated is None:
        if not numbers:
            return None, None, ["no range for the score in the prompt, and no rows: any number counts as well-formed"]
        return min(numbers), max(numbers), [f"the prompt names no range: {min(numbers):g} to {max(numbers):g} comes from the rows"]
    low, high = min([stated[0], *numbers]), max([stated[1], *numbers])
    if (low, high) != stated:
        return low, high, [f"rows lie outside the prompt's range {stated[0]:g} to {stated[1]:g}: widened to {low:g} to {high:g}"]
    return low, high, []


def shown(names: Sequence[str]) -> str:
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
