"""Demonstrations in mark-up: `<input>..</input><output>..</output>`, ChatML, [INST]."""

from __future__ import annotations

import re

from limbeck.tasks.found import Found, describes, is_placeholder, lines_between, unwrap
from limbeck.tasks.words import INPUTS, OUTPUTS, RATIONALES, is_separator, plain

_TAG = re.compile(r"<(?P<tag>[A-Za-z_\w][\w-]{0,30})(?:\s[^<>\n]{0,80})?>")
_CONTAINERS = {
    "example",
    "examples",
    "demonstration",
    "demonstrations",
    "shot",
    "shots",
    "fewshot",
    "few shot",
    "few shots",
    "sample",
    "samples",
    "demo",
    "demos",
    "case",
    "pair",
}


def find_tags(text: str, lines: list[str]) -> Found:
    """`<input>..</input><output>..</output>`, bare or in an `<example>`; in an `<example>` any two tags, the last is the answer."""
    found = Found("tags")
    at = 0
    for start, end in boxes(text):
        pair_tags(found, text, tag_items(text, at, start), boxed=False)
        pair_tags(found, text, tag_items(text, start, end), boxed=True)
        at = end
    pair_tags(found, text, tag_items(text, at, len(text)), boxed=False)
    if not found.pairs:
        return Found("tags")
    low, high = min(found.lines) - 1, max(found.lines) + 1
    while low >= 0 and (is_separator(lines[low]) or not lines[low].strip()):
        low -= 1
    while high < len(lines) and (is_separator(lines[high]) or not lines[high].strip()):
        high += 1
    found.lines.update(i for i in range(low + 1, high) if not lines[i].strip() or is_separator(lines[i]))
    return found


def boxes(text: str) -> list[tuple[int, int]]:
    """(start, end) of every `<example>...</example>`."""
    found: list[tuple[int, int]] = []
    for match in re.finditer(r"<(example|demonstration|shot|sample)\b[^<>]{0,80}>", text, re.I):
        close = f"</{match[1]}>"
        if not found or match.start() >= found[-1][1]:
            end = text.find(close, match.end())
            if end < 0:
                break
            found.append((match.start(), end + len(close)))
    return found


def pair_tags(found: Found, text: str, items: list[tuple[str, str, int, int]], boxed: bool) -> None:
    """Inputs, then the output that follows them."""
    items = [item for item in items if plain(item[0]) not in RATIONALES]
    names = [plain(item[0]) for item in items]
    ins: list[tuple[str, str, int, int]] = []
    for i, item in enumerate(items):
        is_output = names[i] in OUTPUTS or (boxed and i == len(items) - 1)
        if not (ins and is_output):
            if boxed or names[i] in INPUTS:
                ins.append(item)
            continue
        question = ins[0][1] if len(ins) == 1 else "\n".join(f"{tag}: {body}" for tag, body, _, _ in ins)
        if not item[1] or is_placeholder(question) or describes(item[1]):
            found.slots.append(question)
        else:
            found.pairs.append((question, item[1]))
        found.lines.update(lines_between(text, ins[0][2], item[3]))
        ins = []
    if ins and (found.pairs or is_placeholder(ins[0][1])):
        found.slots.append(ins[0][1])
        found.lines.update(lines_between(text, ins[0][2], ins[-1][3]))


def tag_items(text: str, start: int, stop: int) -> list[tuple[str, str, int, int]]:
    """(tag, body, start, end) of the pairs of tags in text[start:stop], in order; containers are looked into."""
    items = []
    at = start
    never: set[str] = set()  # tags that are not closed after here
    while match := _TAG.search(text, at, stop):
        tag = match["tag"]
        close = -1 if tag in never else text.find(f"</{tag}>", match.end(), stop)
        if close < 0:
            never.add(tag)
        if close < 0 or plain(tag) in _CONTAINERS:
            at = match.end()
            continue
        end = close + len(tag) + 3
        items.append((tag, unwrap(text[match.end() : close].strip()), match.start(), end))
        at = end
    return items


_TURN = re.compile(
    r"<\|im_start\|>\s*(?P<role>\w+)\n(?P<body>.*?)(?:<\|im_end\|>|\Z)|\[INST\](?P<user>.*?)\[/INST\](?P<reply>.*?)(?=</?s>|<s>|\[INST\]|\Z)",
    re.S,
)


def find_chat_markup(text: str) -> Found:
    """ChatML and [INST] turns: each user turn with the assistant's turn after it."""
    found = Found("chat")
    asked, since = None, 0
    for turn in _TURN.finditer(text):
        role, body = turn["role"], (turn["body"] or "").strip()
        if turn["user"] is not None:
            asked, since, role, body = turn["user"].strip(), turn.start(), "assistant", turn["reply"].strip().removesuffix("</s>").strip()
        if role in ("user", "human"):
            asked, since = body, turn.start()
        elif role in ("assistant", "model") and asked is not None:
            if body and asked and not is_placeholder(asked):
                found.pairs.append((asked, body))
            else:
                found.slots.append(asked)
            found.lines.update(lines_between(text, since, turn.end()))
            asked = None
    if asked is not None:
        found.slots.append(asked)
        found.lines.update(range(text.count("\n", 0, since), text.count("\n") + 1))
    return found if found.pairs else Found("chat")
