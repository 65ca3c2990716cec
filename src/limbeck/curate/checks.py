"""What one row has to pass by itself: there, answerable, of the task's language, of a usual length, past the filters.

A check is a function of the row -> the reason why it is put aside, or None. A reason starts with its name and a colon,
by which it is counted. The filters that lie on the shelf `filters` are functions of (task, row) of the same kind."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from statistics import median

from limbeck import render
from limbeck.types import Example, Kind, Status, Task

Check = Callable[[Example], "str | None"]
Filter = Callable[[Task, Example], "str | None"]

PERSON = frozenset({"gold", "prompt", "human"})  # origins of rows that a person wrote or labelled
MADS = 6.0  # median absolute deviations of the log length; 3.5 is usual for one-off screening, 6 spares long tails
LEAST_SPREAD = math.log(3) / 6  # rows of nearly one length: three times as long is still usual
LEAST_ROWS = 20  # fewer say nothing about what is usual
LEAST_WORDS = 8  # of a text in an alphabet that several languages share, before its function words tell which
ENGLISH = frozenset(  # function words that no other language of this alphabet uses much ("do", "a" and "me" are Portuguese too)
    re.findall(r"\w+", "the and are to what how for with my your this that it i not when they have if by been get need")
)


def by_person(row: Example) -> bool:
    return row.origin.kind in PERSON


def empty(row: Example) -> str | None:
    if not any(c.isalnum() for c in row.input) and len(row.input.strip()) < 2:
        return "empty: its input says nothing"
    if row.output is not None and not row.output.strip():
        return "empty: its output says nothing"
    return None


def spelled(task: Task, row: Example) -> Example | str:
    """The row with its answer in the task's one spelling, or the reason why it cannot be an answer."""
    if row.output is None:
        return row
    if task.kind is Kind.FIELDS and not isinstance(render.find_json(row.output), dict):
        return "not an answer: its output is no JSON object"
    if task.kind is Kind.CHOICE and not row.choices:
        return "not an answer: the row has no options"
    text, status = render.canonical(task, row, row.output)
    if status is not Status.OK:
        return f"not an answer: {row.output.strip()[:60]!r} is none that the task allows"
    return row if text == row.output else row.model_copy(update={"output": text})


# ---- language -----------------------------------------------------------------------------------------------------


def language_check(task: Task, known: Sequence[Example], language_of: Callable[[str], str]) -> Check:
    """Rows have to be in the task's language, or in one in which at least a tenth of the `known` (dev, test,
    demonstrations) are. Short texts in a shared alphabet pass: their function words are too few to tell."""
    seen = Counter(language_of(row.input) for row in known)
    allowed = {task.language, *(code for code, n in seen.items() if n >= max(2, len(known) / 10))}

    def check(row: Example) -> str | None:
        code = language_of(row.input)
        if code in allowed or (shares_alphabet(code) and not tells(row.input, code, "en" in allowed)):
            return None
        return f"language: {code} instead of {', '.join(sorted(allowed))}"

    return check


def tells(text: str, code: str, english: bool) -> bool:
    """Whether a text has words enough to tell its language. English, which `language_of` says for want of better, has to
    show three function words of its own; and where English is welcome, a text that shows two of them is no other."""
    words = re.findall(r"[^\W\d_]+", text.lower())
    known = sum(word in ENGLISH for word in words)
    return len(words) >= LEAST_WORDS and (known >= 3 if code == "en" else not (english and known >= 2))


def shares_alphabet(code: str) -> bool:
    return code not in {"zh", "ja", "ko", "ar", "he", "hi", "th", "el", "ru", "uk", "bg"}


# ---- length -------------------------------------------------------------------------------------------------------


def length_check(task: Task, rows: Sequence[Example]) -> tuple[Check, str]:
    """(check, what is usual in words). Outliers of the log length of inputs, and of free-text outputs: further than 6
    median absolute deviations (scaled to a normal's sigma) from the median. Nothing is unusual among fewer than 20 rows."""
    parts: list[tuple[str, Callable[[Example], str | None]]] = [("input", lambda row: row.input)]
    if task.kind is Kind.TEXT:
        parts.append(("output", lambda row: row.output))
    limits = {}
    for name, text in parts:
        lengths = [len(value) for row in rows if (value := text(row))]
        if len(lengths) >= LEAST_ROWS:
            limits[name] = (usual(lengths), text)
    said = "; ".join(f"{name} of {low:,} to {high:,} characters" for name, ((low, high), _) in limits.items())

    def check(row: Example) -> str | None:
        for name, ((low, high), text) in limits.items():
            if (value := text(row)) and not low <= len(value) <= high:
                return f"length: its {name} has {len(value):,} characters, usual are {low:,} to {high:,}"
        return None

    return check, said


def usual(lengths: Collection[int]) -> tuple[int, int]:
    """(fewest, most) characters: median and MAD of the logarithms, so that twice as long counts as half as long."""
    logs = [math.log(n) for n in lengths]
    middle = median(logs)
    spread = max(1.4826 * median(abs(x - middle) for x in logs), LEAST_SPREAD)
    return max(1, math.floor(math.exp(middle - MADS * spread))), math.ceil(math.exp(middle + MADS * spread))


# ---- filters that we ship -------------------------------------------------------------------------------------------

_DECLINES = re.compile(
    r"^\W*(?:i(?:'m| am) sorry,? (?:but )?|sorry,? (?:but )?|unfortunately,? )?(?:as an? (?:ai|language model)\b|i (?:can(?:not|'t)|am unable to|'m unable to) "
    r"(?:help|assist|comply|generate|create|provide|fulfil))",
    re.I,
)
_HOLE = re.compile(
    r"\[(?:your |insert |the |a )?(?:name|company|date|address|number|city|product|email|text|insert|input|example)[^\]]{0,30}\]"
    r"|\{\{?\s*[a-z_]{2,30}\s*\}?\}|<(?:name|insert|placeholder|your)[^>]{0,30}>|lorem ipsum|\bxxx+\b",
    re.I,
)


def declined(task: Task, row: Example) -> str | None:
    """A teacher's refusal that stands where a row should. Rows of persons may talk about such things."""
    if by_person(row):
        return None
    texts = [row.input, *([row.output] if task.kind is Kind.TEXT and row.output else [])]
    return "declined: the text is a refusal" if any(_DECLINES.search(text) for text in texts) else None


def placeholder(task: Task, row: Example) -> str | None:
    """A hole that nobody filled: [Your Name], {product}, lorem ipsum. Not where demonstrations have holes too."""
    if by_person(row) or any(_HOLE.search(d.input) for d in task.demonstrations):
        return None
    found = _HOLE.search(row.input)
    return f"placeholder: {found[0][:40]!r} was never filled in" if found else None
