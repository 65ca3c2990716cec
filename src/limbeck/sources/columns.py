"""Which columns of a foreign data set are the input and which one the answer: by rules, or by a teacher whom the rules check."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from limbeck.registry import Ask
from limbeck.render import find_json, squeeze
from limbeck.sources.datasets import Dataset
from limbeck.sources.files import Bad, as_choices, as_text
from limbeck.sources.readers import Record
from limbeck.types import Frozen, Kind, Message, Reply, Request, Task

INPUTS = (  # names that such columns have, the likely ones first
    re.findall(
        r"\w+",
        "text sentence sentence1 sentence2 question question1 question2 context passage premise hypothesis document article "
        "dialogue utterance utt review content body title headline message tweet comment_text claim source src query instruction "
        "input prompt sms paragraph abstract subject email transcript goal support ",
    )
)
OUTPUTS = (  # names that such columns have, the likely ones first
    re.findall(
        r"\w+",
        "output label answer answers target tgt answerkey category class intent sentiment emotion score stars rating summary "
        "highlights response completion final_decision coarse_label topic query sql snippet code translation label_text "
        "answers_text correct_answer labels output_text ",
    )
)
CHOICES = ("choices", "options", "endings", "choices_text")
NEVER = re.compile(r"^(id|idx|index|uid|guid|qid|_id|.*_id|url|link|date|timestamp|split|source_id|meta|teacher|rationale|explanation.*|reason)$|_start$", re.I)  # fmt: skip
CLOSED = 60  # at most so many different answers are a closed set


class Columns(Frozen):
    """inputs: at least one, in the order in which they are rendered. output: exactly one. how: rules | teacher."""

    inputs: tuple[str, ...]
    output: str
    choices: str | None = None
    how: str = "rules"


def flat(record: Record) -> Record:
    """Nested objects as columns of their own, joined by _: {"answers": {"text": ...}} -> answers_text."""
    plain: Record = {}
    for key, value in record.items():
        if isinstance(value, dict) and value:
            plain.update({f"{key}_{inner}": v for inner, v in flat(value).items()})
        else:
            plain[str(key)] = value
    return plain


def decoded(record: Record, class_labels: dict[str, tuple[str, ...]]) -> Record:
    """Label ids as the names that the card gives them. Raises Bad for an id that has no name: -1 is an unlabelled test row."""
    named = dict(record)
    for column, names in class_labels.items():
        value = named.get(column)
        if isinstance(value, list) and value and all(isinstance(v, int) and 0 <= v < len(names) for v in value):
            named[column] = [names[v] for v in value]
        elif (isinstance(value, int) and not isinstance(value, bool)) or (isinstance(value, str) and re.fullmatch(r"-?\d+", value)):
            if not 0 <= int(value) < len(names):
                raise Bad(f"label id {value} has no name")
            named[column] = names[int(value)]
    return named


def canonical_input(record: Record, inputs: Sequence[str]) -> str:
    """One column: its text alone. Several: a line `name: value` each, in the given order."""
    if len(inputs) == 1:
        return one_text(record.get(inputs[0]), ", ").strip()
    return "\n".join(f"{name}: {one_text(record.get(name), ', ').strip()}" for name in inputs)


def canonical_output(record: Record, output: str) -> str:
    """Of a list of accepted answers the first."""
    value = record.get(output)
    while isinstance(value, list | tuple):
        value = value[0] if value else None
    return as_text(value).strip()


def one_text(value: Any, between: str) -> str:
    if isinstance(value, list | tuple) and all(isinstance(v, str | int | float) for v in value):
        return between.join(as_text(v) for v in value)
    return as_text(value)


# ---- by rules -----------------------------------------------------------------------------------------------------


def by_rules(task: Task, records: Sequence[Record]) -> Columns | None:
    """The best guess over flattened, decoded records; None where no column could be the answer or none the input."""
    names = list(dict.fromkeys(key for record in records for key in record))
    values = {name: [canonical_output(record, name) for record in records] for name in names}
    choices = choice_column(task, names, records)
    usable = [n for n in names if not NEVER.search(n) and n != choices and any(values[n])]
    points = {n: output_points(task, n, values[n], records, choices) for n in usable}
    if not usable or max(points.values()) <= 0:
        return None
    output = max(usable, key=lambda n: points[n])
    rest = [n for n in usable if n != output and not same_answer(values[n], values[output]) and not told_by_name(n, output)]
    texts = [n for n in rest if any(re.search(r"[^\W\d]", v) for v in values[n]) and len(set(values[n])) > 1]
    inputs = [n for n in ("input",) if n in texts] or [n for n in texts if n.lower() in INPUTS]
    if not inputs and texts:
        inputs = [max(texts, key=lambda n: sum(len(v) for v in values[n]))]
    return Columns(inputs=tuple(inputs), output=output, choices=choices) if inputs else None


def choice_column(task: Task, names: Sequence[str], records: Sequence[Record]) -> str | None:
    """The column that lists this row's options; for tasks of kind `choice` alone."""
    if task.kind is not Kind.CHOICE:
        return None
    for name in sorted((n for n in names if n.lower() in CHOICES), key=lambda n: CHOICES.index(n.lower())):
        if any(isinstance(r.get(name), list) and all(isinstance(v, str) for v in r[name]) and len(r[name]) > 1 for r in records):
            return name
    return None


def output_points(task: Task, name: str, values: Sequence[str], records: Sequence[Record], choices: str | None) -> float:
    """How much a column looks like the answer of this task; <= 0 = it cannot be."""
    present = [v for v in values if v]
    different = {squeeze(v) for v in present}
    low = name.lower()
    points = 3.0 * (1 - OUTPUTS.index(low) / len(OUTPUTS)) if low in OUTPUTS else 0.0
    if len(different) < 2 and len(records) > 2:
        return 0.0  # a constant tells nothing
    closed = len(different) <= min(CLOSED, max(2, len(present) // 2)) or (
        task.kind is Kind.LABEL and len(different) <= 2 * len(task.labels)
    )
    if task.kind is Kind.LABEL:
        shared = len({squeeze(label) for label in task.labels} & different)
        return points + (4.0 * shared / len(different) if different else 0.0) + (2.0 if closed else -3.0) + (1.0 if low in OUTPUTS else 0.0)
    if task.kind is Kind.SCORE:
        return points + 1.0 if all(is_number(v) for v in present) else 0.0
    if task.kind is Kind.FIELDS:
        return points + (4.0 if all(isinstance(find_json(v), dict) for v in present) else 0.0)
    if task.kind is Kind.CHOICE and choices:
        fits = sum(v in (record.get(choices) or ()) for v, record in zip(values, records, strict=True) if v)
        return points + 5.0 * fits / max(1, len(present))
    return points


def is_number(text: str) -> bool:
    return bool(re.fullmatch(r"[-+]?\d+(\.\d+)?([eE][-+]?\d+)?", text))


def same_answer(one: Sequence[str], other: Sequence[str]) -> bool:
    """One tells the other: label and label_text."""
    pairs = set(zip(one, other, strict=True))
    return len(pairs) == len(set(one)) == len(set(other)) and len(pairs) < len(one)


def told_by_name(name: str, output: str) -> bool:
    """Such as fine_label beside coarse_label, answers_text beside answers: they would give the answer away."""
    kinds = ("label", "answer", "intent", "class", "target", "output", "highlights", "summary")
    return any(kind in name.lower() and kind in output.lower() for kind in kinds) or name.lower() in (
        "label",
        "answer",
        "labels",
        "answers",
    )


# ---- by a teacher -------------------------------------------------------------------------------------------------

SYSTEM = """A data set is to be used for the task below. Say which of its columns hold what the task reads, in the order in which a person would want to read them, and which single column holds the answer that the task wants.
Use only the columns that are listed. Leave out ids, addresses and everything that would give the answer away."""


def request(task: Task, card: Dataset, records: Sequence[Record]) -> Request:
    names = column_names(records)
    rows = "\n".join(json.dumps({k: shown(v) for k, v in record.items()}, ensure_ascii=False, default=str) for record in records[:3])
    text = f"The task:\n{task.instruction[:2000]}\n\nThe data set {card.name}: {card.description[:500]}\nColumns: {', '.join(names)}\nRows:\n{rows}"
    schema = {
        "type": "object",
        "properties": {
            "inputs": {"type": "array", "minItems": 1, "items": {"type": "string", "enum": names}},
            "output": {"type": "string", "enum": names},
        },
        "required": ["inputs", "output"],
        "additionalProperties": False,
    }
    messages = (Message(role="system", content=SYSTEM), Message(role="user", content=text))
    return Request(messages=messages, reply_schema=json.dumps(schema, ensure_ascii=False), max_tokens=300)


def shown(value: Any, most: int = 300) -> str:
    return one_text(value, " | ")[:most]


def column_names(records: Sequence[Record]) -> list[str]:
    return list(dict.fromkeys(key for record in records for key in record))


def check(text: str, names: Sequence[str]) -> Columns:
    """The teacher's columns. Raises Bad: malformed, keys missing, no input, not exactly one output, a column that is not there."""
    reply = find_json(text)
    if not isinstance(reply, dict):
        raise Bad("malformed reply")
    if missing := [key for key in ("inputs", "output") if key not in reply]:
        raise Bad(f"the reply lacks {' and '.join(missing)}")
    inputs, output = reply["inputs"], reply["output"]
    if isinstance(output, list) and len(output) == 1:
        output = output[0]
    if not isinstance(output, str):
        raise Bad(f"exactly one output is needed, the reply has {len(output) if isinstance(output, list) else output!r}")
    inputs = [inputs] if isinstance(inputs, str) else inputs
    if not isinstance(inputs, list) or not inputs or not all(isinstance(name, str) for name in inputs):
        raise Bad("at least one input is needed")
    if unknown := [name for name in (*inputs, output) if name not in names]:
        raise Bad(f"there is no column {unknown[0]!r}")
    if output in inputs:
        raise Bad(f"{output!r} is both input and output")
    return Columns(inputs=tuple(dict.fromkeys(inputs)), output=output, how="teacher")


def choose(task: Task, card: Dataset, records: Sequence[Record], ask: Ask | None = None) -> tuple[Columns, list[str]]:
    """(columns, what there is to say). The teacher's where there is one and the reply holds, else the rules'. Raises Bad where
    neither finds an input and an output."""
    guess = by_rules(task, records)
    said: list[str] = []
    if ask is not None and not {"input", "output"} <= set(column_names(records)):
        outcome = ask([request(task, card, records)])[0]
        try:
            if not isinstance(outcome, Reply):
                raise Bad(str(outcome).splitlines()[0] if str(outcome) else type(outcome).__name__)
            columns = check(outcome.texts[0] if outcome.texts else "", column_names(records))
            return columns.model_copy(update={"choices": choice_column(task, column_names(records), records)}), said
        except Bad as bad:
            said.append(f"{card.name}: the teacher's choice of columns was refused ({bad}): the rules choose")
    if guess is None:
        raise Bad(f"no column for the input or for the answer of a {task.kind} task among {', '.join(column_names(records)[:15])}")
    return guess, said


def pair(record: Record, columns: Columns) -> tuple[str, str, tuple[str, ...] | None]:
    """(input, output, options) of a record. Raises Bad where one of the two is empty, or the options are damaged."""
    if not any(one_text(record.get(name), " ").strip() for name in columns.inputs):
        raise Bad("empty input")
    output = canonical_output(record, columns.output)
    if not output:
        raise Bad("empty output")
    choices = as_choices(record.get(columns.choices)) if columns.choices else None
    return canonical_input(record, columns.inputs), output, choices
