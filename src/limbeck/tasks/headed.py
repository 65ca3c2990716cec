"""Demonstrations under headings: `Input: ... Output: ...`, `Q: ... A: ...`, `### Text`, chat turns, in many languages.

A record is a run of input headings followed by output headings. Headings that we do not know count where they repeat in
the same order (`Tweet: ... Mood: ...`). Several input headings (context, question) make one input."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise

from limbeck.tasks.found import Found, describes, is_placeholder, unquoted, unwrap
from limbeck.tasks.words import INPUTS, OUTPUTS, RATIONALES, STOPS, is_separator, plain

_HEAD = re.compile(
    r"^\s{0,12}(?:[-*+•>]\s+|\(?\d{1,3}[.)]\s+)?(?P<open>#{1,6}\s*|\*\*|__|[\[【「])?(?P<name>[^\W\d_](?:[\w '/()#-]|\.(?=\d)){0,30}?)\s*(?:\*\*|__|[\]】」])?\s*(?:[:：]|=(?=\s?[\"'“]))"
    r"(?:\*\*|__)?(?:\s+|(?<=：)|$|(?=[\"'“「\[{]))(?P<rest>.*)$"
)
_SOLO = re.compile(r"^\s*(?:[#*_=~\[【「(-]{1,8}\s*)?(?P<name>[^\W\d_][\w ]{0,24}?)(?:\s*#?\d{1,3})?\s*(?:[#*_=~\]】」)-]{1,8})?\s*$")
_OUT = "|".join(sorted((re.escape(word) for word in OUTPUTS if len(word) > 1), key=len, reverse=True))
_INLINE = re.compile(rf"(?:(?<=\s)|(?<=[,;|，；。、/]))(?:\*\*)?(?P<head>A|(?:{_OUT}))(?:\*\*)?\s*[:：](?!//)", re.I)


@dataclass
class Head:
    """One heading: its name (plain), its spelling, first line of its text, the text on its own line, the line after
    its text, whether a separator ended it."""

    name: str
    spelling: str
    line: int
    text: list[str]
    end: int


def find_headed(lines: list[str]) -> Found:
    found = Found("headings")
    heads = read_heads(lines)
    out = output_name([head.name for head in heads if head.name not in STOPS])
    if out is None:
        return found
    records = group(heads, out)
    full = [r for r in records if r[1]]
    if not full:
        return found
    shared = {head.name for record in full[1:] for head in record[0]}
    first = full[0]
    if len(full) > 1 and first is records[0]:  # `Context: we are a shop` before the first record is instruction
        while len(first[0]) > 1 and first[0][0].name not in shared:
            first[0].pop(0)
    if all(not value(heads_of) for heads_of, _ in full):
        return found
    trim_tails(records)
    for ins, outs in records:
        question, answer = value(ins), value(outs)
        if not outs or not answer or is_placeholder(question):
            if outs and answer and not describes(answer) and question:
                continue  # `Text: {text}` over an output that says something: instruction, the placeholder goes later
            found.slots.append(question)
            if found.pairs or not question or is_placeholder(question):
                occupy(found, ins + outs)
        elif describes(answer):
            continue
        else:
            found.pairs.append((question, answer))
            occupy(found, ins + outs)
    found.pairs = unquoted(found.pairs)
    between(found, lines)
    return found


def read_heads(lines: list[str]) -> list[Head]:
    """Every heading with its text. A separator ends a text. A fence inside a text is content and holds no headings;
    a fence around whole records is a wrapper."""
    names = names_of(lines)
    heads: list[Head] = []
    current: Head | None = None
    fence, wrapped = "", False
    for number, line in enumerate(lines):
        mark = re.match(r"\s*(`{3,}|~{3,})", line)
        if current and (fence or (mark and not wrapped and not wraps(lines, number, names))):
            if mark:
                fence = "" if fence and mark[1].startswith(fence) else (fence or mark[1])
            current.text.append(line)
            current.end = number + 1
            continue
        if mark:
            wrapped = not wrapped
        if mark or is_separator(line):
            current = None
            continue
        parts = heads_of_line(line, names)
        for name, spelling, rest in parts:
            current = Head(name, spelling, number, [rest], number + 1)
            heads.append(current)
        if not parts and current:
            current.text.append(line)
            current.end = number + 1
    return heads


def names_of(lines: list[str]) -> Counter[str]:
    """How often each heading occurs. Where headings repeat at the margin, unknown ones that are indented or listed are
    keys of a record inside an answer (YAML), not headings."""
    every = [(plain(m["name"]), bool(re.match(r"\s|[-*+•>]\s", line))) for line in lines if (m := _HEAD.match(line))]
    known = INPUTS | OUTPUTS | RATIONALES | STOPS
    margin = Counter(name for name, inside in every if not inside)
    if max(margin.values(), default=0) < 2:
        return Counter(name for name, _ in every)
    return Counter(name for name, inside in every if not inside or name in known)


def wraps(lines: list[str], number: int, names: Counter[str]) -> bool:
    """The fence that opens here begins with an input heading, and ends."""
    inside = next((line for line in lines[number + 1 :] if line.strip()), "")
    parts = heads_of_line(inside, names)
    return bool(parts) and parts[0][0] in INPUTS and any(line.strip().startswith(("```", "~~~")) for line in lines[number + 1 :])


def heads_of_line(line: str, names: Counter[str]) -> list[tuple[str, str, str]]:
    """(name, spelling, text) of a heading line; two of them for `Input: x Output: y`."""
    match = _HEAD.match(line)
    if match:
        name, spelling, rest = plain(match["name"]), match["name"].strip(), match["rest"]
        known = name in INPUTS or name in OUTPUTS or name in RATIONALES or name in STOPS
        if not known and (names[name] < 2 or len(name.split()) > 3):
            return []
        if name in INPUTS and not any(other in OUTPUTS for other in names) and (inner := _INLINE.search(rest)):
            before = re.sub(r"\s*(?:[-=]{1,2}>|→|⇒|[|;,，；、/])\s*$", "", rest[: inner.start()]).strip()
            if before:
                return [(name, spelling, before), (plain(inner["head"]), inner["head"], rest[inner.end() :].strip(" *"))]
        return [(name, spelling, rest)]
    solo = _SOLO.match(line)
    if solo and (name := plain(solo["name"])) and len(name) > 1:
        marked = not line.strip()[0].isalnum()
        if (marked and name in (INPUTS | OUTPUTS | RATIONALES | STOPS)) or name in (
            "input",
            "output",
            "eingabe",
            "ausgabe",
            "entrada",
            "salida",
            "入力",
            "出力",
            "输入",
            "输出",
        ):
            return [(name, solo["name"].strip(), "")]
    return []


def output_name(names: list[str]) -> str | None:
    """The heading that answers stand under: a known one that is not the first heading, the most frequent; else the last
    of a cycle of headings that repeats."""
    after = [name for i, name in enumerate(names) if name in OUTPUTS and any(n != name and n not in RATIONALES for n in names[:i])]
    if after:
        counts = Counter(after)
        repeated = [n for n in names if n in counts]
        best = max(counts, key=lambda n: (counts[n], -repeated.index(n)))
        if best != names[0] or names[1] == best or names[-1] == best or names != [names[0], names[1]] * (len(names) // 2):
            return best  # `Python: ... JavaScript: ...`, and again: what comes first is asked, even if it is a known answer
    rest = [name for name in names if name not in RATIONALES]
    again = next((i for i, name in enumerate(rest) if name in rest[:i]), None)
    if again is None:
        return None
    cycle = rest[rest.index(rest[again]) : again]
    if len(cycle) < 2 or rest.count(cycle[-1]) < 2 or cycle[-1] in STOPS:
        return None
    return cycle[-1]


def group(heads: list[Head], out: str) -> list[tuple[list[Head], list[Head]]]:
    """Records (inputs, outputs) in order; the last may lack its outputs. Rationales are in neither."""
    records: list[tuple[list[Head], list[Head]]] = []
    ins: list[Head] = []
    outs: list[Head] = []
    in_names = {a.name for a, b in pairwise(heads) if b.name == out and a.name != out}
    for head in heads:
        if head.name in STOPS:
            if outs:
                records.append((ins, outs))
                ins, outs = [], []
            continue
        if head.name in RATIONALES:
            continue
        if (ins and head.name == out) or (outs and head.name in OUTPUTS and head.name not in in_names):
            outs.append(head)
            continue
        if outs:
            records.append((ins, outs))
            ins, outs = [], []
        if head.name != out:
            ins.append(head)
    if ins:
        records.append((ins, outs))
    return records


def value(heads: list[Head]) -> str:
    """The text under one heading; under several, each with its heading; "" under none."""
    if len(heads) == 1:
        return unwrap("\n".join(heads[0].text))
    return "\n".join(f"{head.spelling}: {unwrap(chr(10).join(head.text))}" for head in heads)


def trim_tails(records: list[tuple[list[Head], list[Head]]]) -> None:
    """The last texts run on to the end of the file: what stands after a blank line is instruction again, unless the
    other records have blank lines inside, too."""
    full = [outs for _, outs in records if value(outs)]
    if not value(records[-1][1]):
        trim((records[-1][1] or records[-1][0])[-1], [head for ins, _ in records[:-1] for head in ins])
    if full:
        trim(full[-1][-1], [head for outs in full[:-1] for head in outs])


def trim(last: Head, others: list[Head]) -> None:
    if any(has_gap(head.text) for head in others):
        return
    kept: list[str] = []
    fence, depth = False, 0
    for text in last.text:
        if not text.strip() and not fence and depth <= 0 and any(t.strip() for t in kept):
            break
        if text.lstrip().startswith(("```", "~~~")):
            fence = not fence
        depth += text.count("{") - text.count("}")
        kept.append(text)
    else:
        return
    rest = "\n".join(last.text[len(kept) :])
    if re.match(r"\s*(?:[ \t]{2,}|def |class |return |import |\}|\]|</)", rest.lstrip("\n")):  # code goes on
        return
    last.end -= len(last.text) - len(kept)
    last.text = kept


def has_gap(text: list[str]) -> bool:
    return "\n\n" in re.sub(r"\n[ \t]+\n", "\n\n", unwrap("\n".join(text)).strip())


def occupy(found: Found, heads: list[Head]) -> None:
    found.lines.update(range(heads[0].line, max(head.end for head in heads)))


def between(found: Found, lines: list[str]) -> None:
    """Separators, empty lines and fences around and between demonstrations go with them."""
    if not found.lines:
        return
    loose = {i for i, line in enumerate(lines) if not line.strip() or is_separator(line) or line.strip().startswith(("```", "~~~"))}
    low, high = min(found.lines), max(found.lines)
    found.lines.update(i for i in loose if low <= i <= high)
    for step, at in ((-1, low - 1), (1, high + 1)):
        while at in loose:
            found.lines.add(at)
            at += step
