"""A teacher reads the prompt, and the rules check what it says: what does not literally stand in the prompt, or does not
fit the rows, is noted and dropped. Asked through the caller's `ask`, at temperature 0, up to TRIES times."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from limbeck.errors import LimbeckError, Transient
from limbeck.registry import Ask
from limbeck.render import find_json
from limbeck.tasks.kinds import METRICS, find_range, language_of, numeric, objects
from limbeck.tasks.languages import code_of, name_of, same_script
from limbeck.tasks.parse import read, settle, shown
from limbeck.types import Demonstration, Example, Kind, Message, Reply, Request, Task, canonical_json

TRIES = 3  # each with another seed, so that it is another request

_STRINGS = {"type": "array", "items": {"type": "string"}}
_NUMBER = {"type": ["number", "null"]}
SCHEMA = {
    "type": "object",
    "properties": {
        "instruction": {"type": "string"},
        "demonstrations": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"input": {"type": "string"}, "output": {"type": "string"}},
                "required": ["input", "output"],
                "additionalProperties": False,
            },
        },
        "kind": {"type": "string", "enum": [str(kind) for kind in Kind]},
        "labels": _STRINGS,
        "output_schema": {"type": "string"},
        "low": _NUMBER,
        "high": _NUMBER,
        "language": {"type": "string"},
    },
    "required": ["instruction", "demonstrations", "kind", "labels", "output_schema", "low", "high", "language"],
    "additionalProperties": False,
}

SYSTEM = """You are given a prompt that somebody wrote for a language model. Take it apart; do not carry it out.
instruction: what the model is told to do, copied word for word, with every rule and label definition, without worked examples and without the place where the input goes.
demonstrations: the worked examples, each an input with its output, copied word for word, code blocks, braces and JSON as they stand; an input without an output is none, also when it is the last. [] if there are none.
kind: label (one of a fixed set), choice (one of options that differ from input to input), text (free text), fields (a JSON object), score (a number on a scale).
labels: the fixed set in the order of the prompt, spelt as there; [] unless kind is label.
output_schema: a JSON schema of the object, as a string, with the keys that the prompt names; "" unless kind is fields.
low, high: the ends of the scale that the prompt names; null unless kind is score.
language: two-letter code of the instruction's language."""


def parse_with(ask: Ask, by_rules: Task, text: str, rows: Sequence[Example] = ()) -> tuple[Task, tuple[str, ...]]:
    """(task, notes): the prompt as teacher and rules read it. A reply that is malformed or does not come is asked for again,
    with another seed, TRIES in all; then, or where the teacher declines, the rules' reading stands, and a note says so.
    Raises what is no outcome of a teacher (a bug, a wrong key)."""
    why = ""
    for attempt in range(TRIES):
        outcome = ask([request(text, seed=attempt or None)])[0]
        if isinstance(outcome, Reply):
            said = outcome.texts[0] if outcome.texts else ""
            if readable(said) is not None:
                return check(by_rules, said, text, rows)
            why = "its reading was malformed"
        elif isinstance(outcome, Transient):
            why = f"it did not answer: {outcome.what}"
        elif isinstance(outcome, LimbeckError):  # declined, or no money left: another try is no use
            return rules_stand(by_rules, f"the teacher did not read the prompt ({outcome.what}): the rules' reading stands")
        else:
            raise outcome
    return rules_stand(by_rules, f"the teacher was asked {TRIES} times to read the prompt, and {why}: the rules' reading stands")


def rules_stand(by_rules: Task, note: str) -> tuple[Task, tuple[str, ...]]:
    return by_rules.model_copy(update={"notes": (*by_rules.notes, note)}), (note,)


def request(text: str, seed: int | None = None) -> Request:
    """The question to put to a teacher about a prompt."""
    return Request(
        messages=(Message(role="system", content=SYSTEM), Message(role="user", content=f"The prompt:\n<prompt>\n{text}\n</prompt>")),
        reply_schema=json.dumps(SCHEMA),
        max_tokens=min(8000, 512 + len(text)),
        seed=seed,
    )


def check(by_rules: Task, reply_text: str, text: str, rows: Sequence[Example] = ()) -> tuple[Task, tuple[str, ...]]:
    """(task, notes): the rules' task, corrected by what the teacher said and the rules could verify. `how` is "teacher"
    where anything of the reply was used or confirmed, "rules" where the reply was useless."""
    reply = readable(reply_text)
    if reply is None:
        return rules_stand(by_rules, "the teacher's reading of the prompt was malformed: the rules' reading stands")
    reading = read(text)
    demonstrations, on_demonstrations = check_demonstrations(by_rules, reply["demonstrations"], text)
    instruction, on_instruction = check_instruction(reading.instruction, reply["instruction"], demonstrations, text)
    labels, on_labels = check_labels(by_rules, reply["labels"], text, rows)
    kind, on_kind = check_kind(by_rules, reply["kind"], labels or by_rules.labels, rows)
    sets = (labels, *reading.label_sets) if labels else reading.label_sets
    language, on_language = check_language(language_of(instruction), str(reply.get("language") or ""))
    told = replace(reading, instruction=instruction, demonstrations=demonstrations, label_sets=sets, language=language)
    task = settle(by_rules.name, told, rows, str(kind))
    task, on_form = check_form(task, reply, text, rows)
    said = (*on_demonstrations, *on_instruction, *on_labels, *on_kind, *on_form, *on_language)
    metric = task.metric if task.kind is not by_rules.kind or not by_rules.metric else by_rules.metric
    kept = tuple(dict.fromkeys((*by_rules.notes, *task.notes, *said)))
    return task.model_copy(update={"how": "teacher", "metric": metric or METRICS[kind], "notes": kept}), said


def readable(reply_text: str) -> dict[str, Any] | None:
    reply = find_json(reply_text)
    return reply if isinstance(reply, dict) and well_formed(reply) else None


def well_formed(reply: dict[str, Any]) -> bool:
    return (
        all(isinstance(reply.get(key), str) for key in ("instruction", "kind"))
        and isinstance(reply.get("labels"), list)
        and all(isinstance(name, str) for name in reply["labels"])
        and isinstance(reply.get("demonstrations"), list)
        and all(
            isinstance(d, dict) and isinstance(d.get("input"), str) and isinstance(d.get("output"), str) for d in reply["demonstrations"]
        )
        and reply["kind"] in set(Kind)
    )


def squash(text: str) -> str:
    return re.sub(r"\s+", "", text)


def stands_in(part: str, text: str) -> bool:
    """Literally, white space and JSON escapes aside."""
    return bool(part.strip()) and (squash(part) in squash(text) or squash(json.dumps(part, ensure_ascii=False)[1:-1]) in squash(text))


def check_demonstrations(by_rules: Task, said: Sequence[dict[str, Any]], text: str) -> tuple[tuple[Demonstration, ...], list[str]]:
    """The teacher's where all of them stand in the prompt and the rules found no more; else the rules'."""
    true = [
        d
        for d in said
        if stands_in(d["output"], text)
        and all(stands_in(line, text) for line in d["input"].split("\n") if line.strip())
        and d["input"].strip()
    ]
    notes = []
    if len(true) < len(said):
        notes.append(f"{len(said) - len(true)} demonstrations that the teacher named do not stand in the prompt: dropped")
    found = tuple(Demonstration(input=d["input"], output=d["output"]) for d in true)
    same = {(squash(d.input), squash(d.output)) for d in found} == {(squash(d.input), squash(d.output)) for d in by_rules.demonstrations}
    if same or len(found) <= len(by_rules.demonstrations):
        if not same:
            notes.append(f"rules found {len(by_rules.demonstrations)} demonstrations, the teacher {len(found)}: the rules' are used")
        return by_rules.demonstrations, notes
    notes.append(
        f"the teacher found {len(found)} demonstrations, the rules {len(by_rules.demonstrations)}: the teacher's are used, all stand in the prompt"
    )
    return found, notes


def check_instruction(by_rules: str, said: str, demonstrations: Sequence[Demonstration], text: str) -> tuple[str, list[str]]:
    """The teacher's where every line of it stands in the prompt, no demonstration is left in it, and the rules' still
    holds one (that is what the rules get wrong); else the rules'."""
    if squash(said) == squash(by_rules):
        return by_rules, []
    literal = bool(said.strip()) and all(stands_in(line, text) for line in said.split("\n") if line.strip())

    def holds(instruction: str) -> bool:
        return any(len(squash(d.input)) > 8 and squash(d.input) in squash(instruction) for d in demonstrations)

    if literal and holds(by_rules) and not holds(said):
        return said.strip(), ["the instruction is the teacher's: the rules' still held demonstrations"]
    return by_rules, [
        "the teacher cuts the instruction otherwise: the rules' is used"
        if literal
        else "the teacher's instruction is not word for word in the prompt: the rules' is used"
    ]


def check_labels(by_rules: Task, said: Sequence[str], text: str, rows: Sequence[Example]) -> tuple[tuple[str, ...], list[str]]:
    """The teacher's labels, where each stands in the prompt and together they cover the rows'; () = keep the rules'."""
    names = tuple(dict.fromkeys(name.strip() for name in said if name.strip()))
    if not names or set(names) == set(by_rules.labels):
        return (), []
    invented = [name for name in names if not stands_in(name, text)]
    if invented:
        return (), [f"labels that the teacher named and the prompt does not: {shown(invented)}: the rules' labels are used"]
    outputs = {row.output.casefold() for row in rows if row.output is not None}
    missing = outputs - {name.casefold() for name in names}
    if by_rules.kind is Kind.LABEL and missing:
        return (), [f"the teacher's label set lacks labels that rows have ({shown(sorted(missing))}): the rules' labels are used"]
    return names, [f"the label set is the teacher's: {shown(names)}"] if by_rules.kind is Kind.LABEL else []


def check_kind(by_rules: Task, said: str, labels: Sequence[str], rows: Sequence[Example]) -> tuple[Kind, list[str]]:
    """Rows decide; without outputs in them the teacher does, where labels are at hand for `label`."""
    if said == by_rules.kind:
        return by_rules.kind, []
    if any(row.output is not None for row in rows):
        return by_rules.kind, [f"the teacher takes the task for {said}, the rows for {by_rules.kind}: the rows win"]
    if (said == Kind.LABEL and len(labels) < 2) or said == Kind.CHOICE:
        return by_rules.kind, [
            f"the teacher takes the task for {said}, and there are no {'labels' if said == Kind.LABEL else 'choices'}: it stays {by_rules.kind}"
        ]
    return Kind(said), [f"the kind is the teacher's: {said} (rules: {by_rules.kind}); no rows to check it"]


# ---- the form of the answer ------------------------------------------------------------------------------------------


def check_form(task: Task, reply: dict[str, Any], text: str, rows: Sequence[Example]) -> tuple[Task, list[str]]:
    if task.kind is Kind.FIELDS:
        schema, notes = check_schema(task, str(reply.get("output_schema") or ""), text, rows)
        return task.model_copy(update={"output_schema": schema}), notes
    if task.kind is Kind.SCORE:
        low, high, notes = check_range(task, reply.get("low"), reply.get("high"), text, rows)
        return task.model_copy(update={"low": low, "high": high}), notes
    return task, []


def check_schema(task: Task, said: str, text: str, rows: Sequence[Example]) -> tuple[str | None, list[str]]:
    """The teacher's schema where the rules have none, or one with fewer keys, every key stands in the prompt, and every
    row's object fits; else the rules'."""
    ours = keys_of(task.output_schema or "")
    theirs = keys_of(said)
    if not said.strip() or theirs == ours:
        return task.output_schema, []
    if not theirs:
        return task.output_schema, ["the teacher's schema of the answer is no JSON schema of an object: dropped"]
    found = [row.output for row in rows if row.output is not None] or [d.output for d in task.demonstrations]
    seen = {key for value in objects(found) or [] for key in value}
    if missing := sorted(seen - theirs):
        return task.output_schema, [f"the teacher's schema lacks keys that answers have ({shown(missing)}): the rules' is used"]
    if invented := sorted(key for key in theirs - seen if not stands_in(key, text)):
        return task.output_schema, [f"keys that the teacher named and the prompt does not: {shown(invented)}: the rules' schema is used"]
    if not ours < theirs:
        return task.output_schema, [
            f"the teacher's schema has the keys {shown(sorted(theirs))}, the rules' {shown(sorted(ours))}: the rules' is used"
        ]
    return canonical_json(loosened(json.loads(said), theirs - seen if seen else set())), [
        f"the schema of the answer is the teacher's: {shown(sorted(theirs))} (rules: {shown(sorted(ours)) or 'none'})"
    ]


def keys_of(schema: str) -> set[str]:
    """Top-level keys; empty where it is no schema of an object."""
    try:
        value = json.loads(schema)
    except (ValueError, RecursionError):
        return set()
    properties = value.get("properties") if isinstance(value, dict) else None
    return {str(key) for key in properties} if isinstance(properties, dict) else set()


def loosened(schema: dict[str, Any], unseen: set[str]) -> dict[str, Any]:
    """Keys that no answer at hand has are not required."""
    required = [key for key in schema.get("required") or () if key in schema["properties"] and key not in unseen]
    return {**schema, "type": "object", "required": required}


def check_range(task: Task, low: Any, high: Any, text: str, rows: Sequence[Example]) -> tuple[float | None, float | None, list[str]]:
    """The teacher's scale where the rules found none in the prompt, both of its ends stand there, and no row is outside."""
    ours = (task.low, task.high)
    theirs = tuple(float(n) for n in (low, high) if isinstance(n, int | float) and not isinstance(n, bool) and math.isfinite(n))
    if len(theirs) < 2 or theirs == ours:
        return (*ours, [])
    said = f"the teacher takes the scale for {theirs[0]:g} to {theirs[1]:g}"
    if theirs[0] >= theirs[1]:
        return (*ours, [f"{said}, which is none: dropped"])
    if find_range(task.instruction) is not None:
        return (*ours, [f"{said}, the rules for {ours[0]:g} to {ours[1]:g}: the rules' is used"])
    if not set(theirs) <= {float(n.replace(",", ".")) for n in re.findall(r"-?\d+(?:[.,]\d+)?", text)}:
        return (*ours, [f"{said}, and the prompt does not name both ends: dropped"])
    numbers = [n for row in rows if row.output is not None and (n := numeric(row.output)) is not None]
    if any(not theirs[0] <= n <= theirs[1] for n in numbers):
        return (*ours, [f"{said}, and rows lie outside: dropped"])
    return theirs[0], theirs[1], [f"the scale is the teacher's: {theirs[0]:g} to {theirs[1]:g}"]


def check_language(by_rules: str, said: str) -> tuple[str, list[str]]:
    """Rules tell scripts apart for sure; between languages of one script the teacher knows better."""
    code = code_of(said)
    if not said.strip() or code == by_rules:
        return by_rules, []
    if code is None:
        return by_rules, [f"the teacher names no language that we know ({said[:40]!r}): {name_of(by_rules)} is used"]
    if not same_script(code, by_rules):
        return by_rules, [f"the teacher takes the prompt for {name_of(code)}, its letters say {name_of(by_rules)}: that is used"]
    return code, [f"the language is the teacher's: {name_of(code)} (rules: {name_of(by_rules)})"]
