"""Which rationales are worth training on. A check gives the reason why one is put aside, or "".

Reasons begin with their name and a colon, by which they are counted (as in curate.checks)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from limbeck import registry
from limbeck.render import squeeze
from limbeck.types import Example, Origin, Task

LEAST_WORDS = 3  # PaLM-540B on e-SNLI: the shortest of 8,840 that says anything has three ("Dogs are animals")
MOST_WORDS = 120  # the longest of 19,326 recorded ones has 85; what a small student reads is cut far below
COPIED = 0.8  # of the input's words in one piece: that is the input again, no reason. A short quotation is one
ALIKE = 3  # rows that one rationale may stand at, word for word: "The man is not a woman." explains several, boilerplate none

_FRAME = frozenset(
    "the a an answer is are it this that so because must be correct right label option choice choices input text of to as and not".split()
)

Check = Callable[[Example, str], str]


def checks(task: Task) -> Check:
    """(row with the answer that is argued for, rationale) -> why not, or "". It remembers what it has let pass, for duplicates."""
    declined = registry.take("filters", "declined")
    passed: Counter[str] = Counter()

    def check(row: Example, rationale: str) -> str:
        why = (
            ("empty: no rationale stands before the answer" if not rationale.strip() else "")
            or length(rationale)
            or ("refusal: the teacher declines" if declined(task, Example(id="", input=rationale, origin=Origin(kind="teacher"))) else "")
            or content(row, rationale)
        )
        if why:
            return why
        flat = squeeze(rationale)
        if passed[flat] >= ALIKE:
            return f"duplicate: the same words stand at {ALIKE} other rows"
        passed[flat] += 1
        return ""

    return check


def length(rationale: str) -> str:
    """Words, or characters where a script puts no blanks between words."""
    words = max(len(rationale.split()), 0 if rationale.isascii() else len(rationale) // 6)
    if words < LEAST_WORDS:
        return f"too short: {words} words, {LEAST_WORDS} at least"
    return f"too long: {words} words, {MOST_WORDS} at most" if words > MOST_WORDS else ""


def content(row: Example, rationale: str) -> str:
    """It has to say something beyond the answer, and something else than the input again."""
    flat, own = squeeze(rationale), squeeze(row.input)
    said = _FRAME | set(squeeze(row.output or "").split())
    if not set(flat.split()) - said:
        return "no content: it names the answer alone"
    beyond = set(f" {flat} ".replace(f" {own} ", " ").split()) - said if own else {flat}
    if not beyond or (flat in own and len(flat) >= COPIED * len(own)):
        return "no content: it repeats the input"
    return ""
