"""The part of `render` that asks for reasons before the answer (chain of thought), and reads such completions.

VERSION of its own: another prompt for reasons changes no other prompt."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import NamedTuple

from limbeck.render import allowed_answers, answer_after_reasons, canonical, find_json, question, said, squeeze
from limbeck.render_structure import REASONS, SO, ended
from limbeck.types import Example, Kind, Message, Status, Task

VERSION = "1"


class Reasoned(NamedTuple):
    """A completion, read. rationale: on one line, "" = there is none. answer: as `canonical` spells it, "" unless status is ok."""

    rationale: str
    answer: str
    status: Status


def messages(task: Task, example: Example, shots: Sequence[Example] = (), told: str | None = None) -> tuple[Message, ...]:
    """Few-shot chain of thought (Wei et al. 2022): (input, rationale, answer) triples, then the input. shots: rows with a
    rationale and an answer; none = zero-shot. told: the right answer, where the teacher may see it."""
    seen = told is not None
    parts = [f"{heading(task, s, s.output if seen else None)} {ended(s.rationale or '')} {SO}{said(task, s.output or '')}" for s in shots]
    parts.append(heading(task, example, told))
    given = " The right answer is given: say why it is right." if seen else ""
    form = (
        "Whatever was said about the form of the reply, this time reply with one paragraph: first one to three short sentences on what"
        f' in the input decides the answer, then "{SO}" and the answer.{given}'
    )
    system_ = f"{task.instruction.strip()}\n\n{form}\n\n{answer_after_reasons(task)}"
    return (Message(role="system", content=system_), Message(role="user", content="\n\n".join(parts)))


def heading(task: Task, example: Example, told: str | None) -> str:
    given = f"Right answer: {told}\n" if told is not None else ""
    return f"{question(task, example)}\n{given}{REASONS}"


_SURE = re.compile(r"\b(?:so|thus|therefore|hence),?\s+(?:the|my)\s+(?:\w+\s+)?answer\s+is\b[\s:*]*", re.I)
_PERHAPS = re.compile(r"\b(?:the|my)\s+(?:(?:final|correct|right|best)\s+)?answer\s+is\b[\s:*]*|(?<!\w)answer\s*:[\s*]*", re.I)
_NEXT = re.compile(r"^[ \t]*(?:(?:Q|Question|Input|Text|Hypothesis)[ \t]*:|Premise\b[ \t]*:?)(.*)$", re.M)  # heads another exemplar
_LEAD = re.compile(r"\s*(?:<think>.*?</think>\s*)?(?:\**(?:reasons?|reasoning|rationale|explanation|a|(answer))\s*:\**\s*)?", re.I | re.S)
_REASONS = ("rationale", "reasons", "reasoning", "reason", "explanation")
_SENTENCE = 5  # words: a free answer of so many keeps its full stop


def read(task: Task, example: Example, reply: str, told: str | None = None) -> Reasoned:
    """Rationale and answer of a completion. Never raises and never guesses: two different answers, or none, are malformed.

    Understood: "... So the answer is X.", "... The answer is (X).", "... Answer: X", each cut where the model runs on into an
    exemplar of its own; a JSON object with both; the bare answer. told: the answer that the teacher was shown; a reply
    that names no other argues for it."""
    text = without_lead(task, example, reply)
    if not text:
        return Reasoned("", "", Status.EMPTY)
    if (whole := from_json(task, example, text)) is not None:
        return whole
    text = before_next(example, text)
    sure, perhaps = list(_SURE.finditer(text)), list(_PERHAPS.finditer(text))
    marks = sure or perhaps[-1:]  # "the answer is ..." also begins many a reason: of those the last one counts
    ends = [*(m.start() for m in marks), len(text)][1:]
    found = [(m.start(), *stated(task, example, text[m.end() : end])) for m, end in zip(marks, ends, strict=True)]
    good = [(at, answer) for at, answer, status in found if status is Status.OK]
    if len({answer for _, answer in good}) == 1:
        return Reasoned(one_line(text[: good[0][0]]), good[0][1], Status.OK)
    if marks:
        return Reasoned(one_line(text[: marks[0].start()]), "", Status.MALFORMED)
    bare = [name for name in allowed_answers(task, example) if squeeze(name) == squeeze(text)]
    if len(bare) == 1:
        return Reasoned("", bare[0], Status.OK)
    return Reasoned(one_line(text), *((told, Status.OK) if told is not None else ("", Status.MALFORMED)))


def without_lead(task: Task, example: Example, reply: str) -> str:
    """The reply without a repeated input, thoughts in tags, and the heading that it continues."""
    text = reply.strip()
    text = text.removeprefix(question(task, example)).strip()
    lead = _LEAD.match(text)
    if lead is None or (lead[1] and not (_SURE.search(text, lead.end()) or _PERHAPS.search(text, lead.end()))):
        return text  # "Answer: X" is no heading of reasons
    return text[lead.end() :].strip()


def before_next(example: Example, text: str) -> str:
    """Up to the heading of another exemplar. A line that quotes this row's own input is none."""
    own = squeeze(example.input)
    for head in _NEXT.finditer(text):
        if not (quoted := squeeze(head[1])) or quoted not in own:
            return text[: head.start()]
    return text


def from_json(task: Task, example: Example, text: str) -> Reasoned | None:
    """Of a reply that is an object with an answer and reasons; None for any other."""
    value = find_json(text) if text[0] in "{`" else None
    if not isinstance(value, dict) or "answer" not in value or not (keys := [k for k in _REASONS if k in value]):
        return None
    why = value[keys[0]] if isinstance(value[keys[0]], str) else json.dumps(value[keys[0]], ensure_ascii=False)
    told = value["answer"]
    found = stated(task, example, told if isinstance(told, str) else "" if told is None else json.dumps(told, ensure_ascii=False))
    return Reasoned(one_line(why), *found)


def stated(task: Task, example: Example, text: str) -> tuple[str, Status]:
    """What stands behind "the answer is": the rest of the line, without its full stop; else that line's first sentence."""
    text = text.strip()
    if not text:
        return "", Status.EMPTY
    if task.kind is Kind.FIELDS:
        value = find_json(text)
        return (json.dumps(value, ensure_ascii=False, sort_keys=True), Status.OK) if isinstance(value, dict) else ("", Status.MALFORMED)
    if task.kind is Kind.TEXT:
        words = sum(word[0].isalpha() for word in text.split())
        text = text.removesuffix(".").strip() if words < _SENTENCE else text
        return (text, Status.OK) if text else ("", Status.EMPTY)
    line = text.splitlines()[0].strip(" \t*`\"'")
    allowed = allowed_answers(task, example)
    no = re.match(r"(?:not|neither|either)\b", line, re.I)
    denies = no and not any(name.casefold().startswith(no[0].casefold()) for name in allowed)
    if denies or line.removesuffix(".").endswith(","):  # "closet,": a list that was cut, no answer
        return "", Status.MALFORMED
    for part in (line, line.removesuffix("."), re.split(r"(?<=[.!?])\s", line)[0].rstrip(".")):
        if part in allowed:
            return part, Status.OK
        answer, status = canonical(task, example, part)
        if status is Status.OK and answer:
            rest = f" {squeeze(part)} ".replace(f" {squeeze(answer)} ", " ", 1).split()
            return ("", Status.MALFORMED) if {"or", "nor"} & set(rest) else (answer, status)  # "lake or", where the options ran out
    return "", Status.MALFORMED


def one_line(text: str) -> str:
    return " ".join(text.split()).strip("* ")
