"""The demonstrations of a prompt, and the prompt without them: every layout is tried, the one that covers most text wins."""

from __future__ import annotations

import re

from limbeck.tasks.found import PLACEHOLDER, Found
from limbeck.tasks.headed import find_headed
from limbeck.tasks.layouts import find_arrows, find_fences, find_prose, find_table
from limbeck.tasks.markup import find_chat_markup, find_tags
from limbeck.tasks.records import find_records
from limbeck.tasks.words import EXAMPLE_LINE, INPUTS, OUTPUTS, RULE_LINE, is_separator, plain
from limbeck.types import Demonstration

_SLOT_LEAD = re.compile(
    r"^\W*(?:now|next|finally|your turn|jetzt|nun|maintenant|ahora|adesso|agora|here is|here's|hier ist|voici|aquí está)\b[^.!?\n]{0,120}:?\s*$|^\W*(?:では|现在|それでは)[^\n]{0,40}[:：]?\s*$",
    re.I,
)


# `Here are examples with questions and passages, along with their outputs:`, one sentence.
_EXAMPLE_LEAD = re.compile(
    r"^\W*(?:here|below|these|the following|following|some|see|consider|hier|voici|aquí|ecco|aqui)\b[^.!?。\n]*\b(?:examples?|demonstrations?|beispiele?|exemples?|ejemplos?|esempi|exemplos?)\b[^.!?。\n]*$",
    re.I,
)
_HEADING = re.compile(
    r"^\W*(?!.*\b(?:this|the|these|following|das|die|der|cette?|este|esta)\b)[^\W\d]+(?:[ '-][\w]+){0,4}\W*[:：]\W*$", re.I
)


def find_demonstrations(text: str) -> tuple[tuple[Demonstration, ...], str, list[str]]:
    """(demonstrations, instruction, notes). The instruction is the text without demonstrations and slots."""
    lines = text.split("\n")
    best = choose(text, lines)
    notes = []
    if best.pairs and (open_inputs := [slot for slot in best.slots if slot.strip() and not PLACEHOLDER.search(slot)]):
        notes.append(
            f"an input without an answer ({open_inputs[-1].strip()[:60]!r}) was taken for the place of the input, not for a demonstration"
        )
    pairs = list(dict.fromkeys((i.strip("\n"), o.strip("\n")) for i, o in best.pairs))
    instruction = without(lines, best)
    if not instruction:
        instruction = "Give the output for the input, as the examples do."
        notes.append("the prompt holds no instruction besides its demonstrations")
    return tuple(Demonstration(input=i, output=o) for i, o in pairs), instruction, notes


def choose(text: str, lines: list[str]) -> Found:
    """The layout whose demonstrations cover most characters; of equals the first."""
    tried = [
        find_chat_markup(text),
        find_records(text, lines),
        find_table(lines),
        find_headed(lines),
        find_tags(text, lines),
        find_arrows(lines),
        find_fences(text, lines),
        find_prose(lines),
    ]
    return max(
        tried,
        key=lambda found: (
            bool(found.pairs),
            sum(len(i) + len(o) for i, o in found.pairs) + sum(len(lines[n]) for n in found.lines if n < len(lines)),
        ),
    )


def without(lines: list[str], found: Found) -> str:
    """The lines that remain: leads of what was removed go too, placeholders, and headings left empty at the end."""
    keep = [i for i in range(len(lines)) if i not in found.lines]
    kept = [lines[i] for i in keep]
    for place in sorted({next((n for n, i in enumerate(keep) if i > gone), len(keep)) for gone in found.lines}, reverse=True):
        drop_lead(kept, place)
    return strip_slots(kept)


def drop_lead(kept: list[str], place: int) -> None:
    """Before `place` something was removed: `Examples:` above it is of no use any more."""
    at = place - 1
    while at >= 0 and (not kept[at].strip() or RULE_LINE.match(kept[at])):
        at -= 1
    if at >= 0 and is_lead(kept[at]):
        del kept[at:place]
        drop_lead(kept, at)


def is_lead(line: str) -> bool:
    if is_separator(line) or EXAMPLE_LINE.match(line):
        return True
    return line.rstrip().endswith((":", "：")) and len(line) <= 200 and bool(_SLOT_LEAD.match(line) or _EXAMPLE_LEAD.match(line))


def strip_slots(lines: list[str]) -> str:
    """Without placeholders; then without what held nothing but one: a heading, quotes, a fence, a tag, `Now classify:`."""
    out: list[str] = []
    for line in without_form(lines):
        clean = PLACEHOLDER.sub("\0", line)
        if clean == line:
            out.append(line)
            continue
        clean = re.sub(r"([\"'“„«]{1,3})\s*\0\s*([\"'”“»]{1,3})", "\0", clean)
        clean = re.sub(r"<([\w-]+)>\s*\0\s*</\1>", "\0", clean)
        bare = clean.replace("\0", "").strip(" \t-*>|")
        if not bare or plain(bare) in INPUTS | OUTPUTS or (len(bare) < 40 and bare.endswith((":", "：")) and _SLOT_LEAD.match(bare)):
            out.append("")
            continue
        clean = re.sub(r"[ \t]*\0[ \t]*(?=[.,;:!?)]|$)", "", clean)
        out.append(
            re.sub(r"[ \t]*\0[ \t]*", " ", clean).strip()
            if clean.lstrip().startswith("\0")
            else re.sub(r"[ \t]*\0[ \t]*", " ", clean).rstrip()
        )
    text = "\n".join(out)
    text = re.sub(r"^[ \t]*(`{3,}|~{3,}|\"\"\"|''')[^\n`]*\n\s*\1[ \t]*$", "", text, flags=re.M)
    text = re.sub(r"^[ \t]*<([\w-]+)>\s*</\1>[ \t]*$", "", text, flags=re.M)
    kept = text.rstrip().split("\n")
    while len(kept) > 1 and (not kept[-1].strip() or is_empty_heading(kept[-1]) or is_lead(kept[-1])):
        kept.pop()
    if len(kept) == 1 and is_empty_heading(kept[0]):
        kept.pop()
    while kept and (not kept[0].strip() or RULE_LINE.match(kept[0])):
        kept.pop(0)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip()


def without_form(lines: list[str]) -> list[str]:
    """Without the form at the end that the input is filled into: `Note: {note}`, then at most `Best step:`."""
    for at, line in enumerate(lines):
        bare = PLACEHOLDER.sub("", line)
        if bare == line or not _HEADING.match(bare) or len(bare.split()) > 3:
            continue
        rest = [PLACEHOLDER.sub("", later) for later in lines[at + 1 :]]
        if all(not later.strip() or _HEADING.match(later) for later in rest) and any(before.strip() for before in lines[:at]):
            return lines[:at]
    return lines


def is_empty_heading(line: str) -> bool:
    """`Label:` with nothing behind it, at the end of a prompt: where the model goes on."""
    text = line.strip().rstrip("*_ ")
    return (text.endswith((":", "：", "->", "=>", "→")) and (plain(text.rstrip("->=→")) in INPUTS | OUTPUTS | {""})) or (
        text.startswith("#") and plain(text) in INPUTS | OUTPUTS
    )
