"""Demonstrations written as JSON: objects with an input and an output, arrays and JSONL of them, chat messages, pairs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from limbeck.tasks.found import Found, is_placeholder
from limbeck.tasks.words import INPUTS, OUTPUTS, RATIONALES, plain
from limbeck.types import canonical_json

# Keys that say "input" by themselves; one object with `description` and `category` may be a template of the answer.
_SURE = {
    "input",
    "text",
    "question",
    "query",
    "q",
    "prompt",
    "sentence",
    "context",
    "premise",
    "x",
    "message",
    "user",
    "eingabe",
    "frage",
    "entrada",
    "entrée",
    "入力",
    "输入",
    "問題",
    "问题",
}


def find_records(text: str, lines: list[str]) -> Found:
    found = Found("json")
    for value, start, end in json_values(text):
        pairs = pairs_of(value)
        if not pairs or (
            len(pairs) == 1 and isinstance(value, dict) and not _SURE & {plain(key) for key in value} and "messages" not in value
        ):
            continue
        for question, answer in pairs:
            if question and answer and not is_placeholder(question) and not is_placeholder(answer):
                found.pairs.append((question, answer))
            else:
                found.slots.append(question)
        found.lines.update(range(text.count("\n", 0, start), text.count("\n", 0, end) + 1))
    if not found.pairs:
        return Found("json")
    for i in sorted(found.lines):  # the fence around them
        for near in (i - 1, i + 1):
            if 0 <= near < len(lines) and lines[near].strip().startswith(("```", "~~~")):
                found.lines.add(near)
    low, high = min(found.lines), max(found.lines)
    found.lines.update(i for i in range(low, high) if not lines[i].strip() or lines[i].strip() in ("[", "]", ","))
    return found


def json_values(text: str) -> Iterator[tuple[Any, int, int]]:
    """(value, start, end) of every JSON object or array that begins a line (bullets aside), outermost first."""
    decoder = json.JSONDecoder(strict=False)
    at = 0
    while match := re.compile(r"^[ \t]*(?:[-*+•]\s+|\d{1,3}[.)]\s+)?(?=[{\[])", re.M).search(text, at):
        try:
            value, end = decoder.raw_decode(text, match.end())
        except (ValueError, RecursionError):
            at = match.end() + 1
            continue
        yield value, match.end(), end
        at = max(end, match.end() + 1)


def pairs_of(value: Any) -> list[tuple[str, str]]:
    """Every (input, output) in a value; [] where it holds none. An input without an output has output ""."""
    if isinstance(value, list):
        if value and all(isinstance(v, dict) and "role" in v and "content" in v for v in value):
            return turns(value)
        if value and all(isinstance(v, list) and len(v) == 2 and all(isinstance(x, str) for x in v) for v in value):
            return [(v[0], v[1]) for v in value]
        return [pair for v in value if isinstance(v, dict) for pair in pairs_of(v)]
    if not isinstance(value, dict) or "properties" in value:
        return []
    for key, inner in value.items():
        if plain(key) in ("messages", "conversation", "examples", "demonstrations", "shots", "few shot", "example", "data") and isinstance(
            inner, list | dict
        ):
            return pairs_of(inner)
    names = {key: plain(key) for key in value}
    outs = [key for key, name in names.items() if name in OUTPUTS]
    ins = [key for key, name in names.items() if name in INPUTS and key not in outs]
    if not ins:
        return []
    if not outs:  # one other key beside a plain input is the answer
        if not _SURE & {names[key] for key in ins}:
            return []
        rest = [key for key, name in names.items() if key not in ins and name not in RATIONALES and name not in ("id", "no", "nr")]
        if len(rest) != 1:
            return []
        outs = rest
    question = as_text(value[ins[0]]) if len(ins) == 1 else "\n".join(f"{key}: {as_text(value[key])}" for key in ins)
    answer = as_text(value[outs[0]]) if len(outs) == 1 else canonical_json({key: value[key] for key in outs})
    return [(question, answer)]


def turns(messages: list[dict[str, Any]]) -> list[tuple[str, str]]:
    pairs, asked = [], ""
    for message in messages:
        if message["role"] in ("user", "human"):
            asked = as_text(message["content"])
        elif message["role"] in ("assistant", "model") and asked:
            pairs.append((asked, as_text(message["content"])))
            asked = ""
    return pairs


def as_text(value: Any) -> str:
    """A string as it is, a number plainly, an object or array as canonical JSON."""
    if isinstance(value, str):
        return value.strip()
    if value is None:
        return ""
    try:
        return canonical_json(value)
    except ValueError:  # NaN, Infinity
        return str(value)
