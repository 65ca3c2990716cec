"""What a teacher reads when it is asked what follows, and how its lines are read. The wording is our own.

local    one statement                                  ->  statement | how it follows
global   every document with a number, one of them asked about  ->  statement | numbers used | how it follows
second   the texts, and statements with a number         ->  number yes | number no"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from limbeck.types import Message

VERSION = "1"  # changes where the same statement would be asked about in other words

RULES = (
    "Judge by logic and language alone, whether or not the things that are named exist. Add nothing that you know besides. "
    "Deny something only where the denial follows strictly."
)
LOCAL = (
    "You are shown one statement. Write other statements that have to be true if it is true:\n"
    "- the same in other words\n"
    "- the same relation, told from the side of the other thing that is named\n"
    "- what it strictly implies\n"
    f"Use this statement alone. {RULES}\n"
    "One per line, in this form and nothing else:\n"
    "statement | how it follows\n"
    "Where nothing follows, write NONE.\n\n"
    "For example, of the statement: The dax is heavier than the wug.\n"
    "The wug is lighter than the dax. | the other side of heavier\n"
    "The dax weighs more than the wug. | other words"
)
GLOBAL = (
    "You are shown documents, each with a number, and told which of them to begin from. Write the statements that follow from that "
    "document together with at least one of the others, and that no document says by itself.\n"
    f"Every statement has to be understood without the documents: name the things. {RULES}\n"
    "One per line, in this form and nothing else:\n"
    "statement | numbers of the documents that it rests on | how it follows\n"
    "Where nothing follows, write NONE.\n\n"
    "For example, of [1] The dax is heavier than the wug. and [2] The wug is heavier than the blick.:\n"
    "The dax is heavier than the blick. | 1, 2 | heavier twice: dax, wug, blick"
)
SECOND = (
    "You are shown texts, and statements with a number that somebody drew from them. Say of each statement whether it has to be true if "
    f"the texts are true. {RULES}\n"
    "One line per statement, its number and yes or no, and nothing else:\n"
    "1 yes"
)


class Line(NamedTuple):
    """One line of a reply. uses: numbers of documents, () in a local one."""

    text: str
    uses: tuple[int, ...]
    why: str


def local_messages(statement: str, title: str = "") -> tuple[Message, ...]:
    """title: what the statement is about, where its document has headings."""
    about = f"About: {title}\n" if title else ""
    return (Message(role="system", content=LOCAL), Message(role="user", content=f"{about}Statement: {statement}\nFollows:"))


def global_messages(documents: Mapping[int, str], focus: int) -> tuple[Message, ...]:
    """The documents come first and in one order, so that what calls share stands at their beginning."""
    shown = "\n\n".join(f"[{number}] {text}" for number, text in sorted(documents.items()))
    return (Message(role="system", content=GLOBAL), Message(role="user", content=f"{shown}\n\nBegin from: [{focus}]\nFollows:"))


def second_messages(texts: Sequence[str], statements: Sequence[str]) -> tuple[Message, ...]:
    asked = "\n".join(f"{number}. {one}" for number, one in enumerate(statements, 1))
    shown = "\n\n".join(texts)
    return (Message(role="system", content=SECOND), Message(role="user", content=f"Texts:\n{shown}\n\nStatements:\n{asked}\n\nAnswers:"))


def read(reply: str, scope: str) -> tuple[list[Line], int]:
    """(the lines that have the form, how many have not). Bullets and numbering in front of a statement are taken off."""
    found, lost = [], 0
    for line in reply.splitlines():
        line = re.sub(r"^\s*(?:[-*•]\s+|\d+[.)]\s+)", "", line).strip()
        if not line or line.strip(". ").upper() == "NONE":
            continue
        text, *rest = [part.strip() for part in line.split("|")]
        numbers = tuple(int(n) for n in re.findall(r"\d+", rest[0])) if scope == "global" and rest else ()
        if not text or (scope == "global" and not numbers):
            lost += 1
            continue
        found.append(Line(text, tuple(dict.fromkeys(numbers)), " | ".join(rest[1:] if scope == "global" else rest)))
    return found, lost


def read_second(reply: str, n: int) -> list[bool | None]:
    """What is said of each of n statements; None = nothing."""
    said = {int(number): word.lower() == "yes" for number, word in re.findall(r"(\d+)\W+(yes|no)\b", reply, re.I)}
    return [said.get(number) for number in range(1, n + 1)]
