"""What one layout found in a prompt: demonstrations, and the lines that they stand in; and how a value is unwrapped."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

PLACEHOLDER = re.compile(
    r"(?<!`)(?:\{\{\s*[\w .-]{0,60}\s*\}\}|\$\{\s*\w{1,60}\s*\}|\{\s*[A-Za-z_][\w.]{0,60}\s*\}|\{\d{0,2}\}|%\(\w{1,40}\)s"
    r"|<\|?(?:insert|your|paste|enter|put|add|the|user)[ _-][\w _-]{1,60}\|?>"
    r"|<\|?(?:input|text|output|label|answer|question|document|review|email|message|article|sentence|query|content|placeholder|context|passage)\|?>(?!\S*</)"
    r"|\[(?:INSERT|PASTE|YOUR|ENTER|PUT|ADD|Insert|Paste|Your|Enter|insert|paste|your|enter)\b[^\]\n]{0,80}\]"
    r"|\[\[?(?:INPUT|TEXT|OUTPUT|QUESTION|DOCUMENT|REVIEW|EMAIL|MESSAGE|ARTICLE|SENTENCE|QUERY|CONTENT|CONTEXT|PASSAGE|LABEL|ANSWER)(?:[ _][A-Z]+){0,3}\]\]?)(?!`)"
)
_FENCE = re.compile(r"^\s*(`{3,}|~{3,})[^\n`]*\n(.*?)\n?[ \t]*\1[ \t]*$", re.S)
_QUOTES = {'"': '"', "'": "'", "`": "`", "“": "”", "„": "“", "«": "»", "「": "」", "『": "』", "‘": "’"}


@dataclass
class Found:
    """pairs: (input, output) in order. lines: numbers of the lines that the demonstrations, separators and the slot
    at the end occupy; they are no part of the instruction. slots: inputs that stood without an answer."""

    layout: str
    pairs: list[tuple[str, str]] = field(default_factory=list)
    lines: set[int] = field(default_factory=set)
    slots: list[str] = field(default_factory=list)


def is_placeholder(value: str) -> bool:
    """Nothing but placeholders, quotes, dots; one bracket alone is an answer."""
    return value.strip() not in ("[", "]", "<", ">") and not PLACEHOLDER.sub("", value).strip(" \t\n\"'`.…_<>[]")


def unwrap(value: str) -> str:
    """Without the fence that holds all of it, and without blank lines around."""
    text = value.strip("\n").rstrip()
    fence = _FENCE.match(text)
    if fence and fence[1] not in fence[2]:
        return fence[2].strip("\n")
    return text.strip() if "\n" not in text else text


def unquoted(pairs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Quotes around every input, or every output, are the layout's and go; around some of them they are content."""
    sides = []
    for side in zip(*pairs, strict=True):
        every = all(len(v) > 1 and _QUOTES.get(v[0]) == v[-1] and v[0] not in v[1:-1] and v[-1] not in v[1:-1] for v in side)
        sides.append([v[1:-1].strip() if every else v for v in side])
    return list(zip(*sides, strict=True)) if sides else []


def describes(output: str) -> bool:
    """An output that says what an output is ("one of: ...", "<label>", "a JSON object with ..."): no demonstration."""
    return is_placeholder(output) or bool(
        re.match(
            r"(?:(?:exactly |only |just )?one of\b|(?:the|a|an) (?:single |one |correct |predicted )?(?:label|category|class|score|number|json|list|summary|intent|translation)\b(?! (?:is|was|are)\b)"
            r"|either\b|any of\b|json (?:object|with)\b|<[^<>]+>$|\.\.\.$|…$|\[[^\]]*\]$(?<=label\]))",
            output.strip(),
            re.I,
        )
    )


def lines_between(text: str, start: int, end: int) -> range:
    return range(text.count("\n", 0, start), text.count("\n", 0, end) + 1)
