"""Demonstrations in tables, arrows, alternating fences and prose; one function per layout."""

from __future__ import annotations

import re

from limbeck.tasks.found import Found, describes, is_placeholder, lines_between, unquoted
from limbeck.tasks.words import EXAMPLE_LINE, INPUTS, LABEL_NOUN, OUTPUTS, RATIONALES, is_separator, plain

_DEFINES = {
    "meaning",
    "definition",
    "description",
    "when",
    "when to use",
    "explanation",
    "beschreibung",
    "bedeutung",
    "signification",
    "significado",
    "意味",
    "含义",
    "定义",
    "説明",
}


def cells_of(line: str) -> list[str]:
    body = line.strip().strip("|")
    return [c.replace("\\|", "|").replace("<br>", "\n").strip() for c in re.split(r"(?<!\\)\|", body)]


def tables_of(lines: list[str]) -> list[tuple[int, list[list[str]]]]:
    """(line of the header, [header cells, row cells...]) of every Markdown table."""
    tables = []
    at = 0
    while at + 1 < len(lines):
        if "|" in lines[at] and "-" in lines[at + 1] and re.match(r"^\s*\|?[\s:|-]+\|?\s*$", lines[at + 1]) and "|" in lines[at + 1]:
            end = at + 2
            while end < len(lines) and "|" in lines[end] and lines[end].strip():
                end += 1
            header = cells_of(lines[at])
            tables.append((at, [header, *([*cells_of(line), *[""] * len(header)][: len(header)] for line in lines[at + 2 : end])]))
            at = end
        else:
            at += 1
    return tables


def find_table(lines: list[str]) -> Found:
    """A table whose header names an input and an output, or whose last column is the answer. A column of numbers under
    "#" is no input; a table of label and meaning is no demonstration."""
    found = Found("table")
    for start, (header, *rows) in tables_of(lines):
        names = [plain(cell) for cell in header]
        if any(name in _DEFINES for name in names) or len(names) < 2:
            continue
        outs = [i for i, name in enumerate(names) if name in OUTPUTS]
        ins = [i for i, name in enumerate(names) if name in INPUTS and i not in outs]
        if not outs or (not ins and len(names) == len(outs)):
            outs = [len(names) - 1]
        out = outs[-1]
        used = [i for i, name in enumerate(names) if i not in outs and name not in RATIONALES and name not in ("", "no", "nr", "id", "n")]
        ins = [i for i in used if i in ins] or used
        if not ins or not (any(n in INPUTS or n in OUTPUTS for n in names) or near_example(lines, start)):
            continue
        for cells in rows:
            question = cells[ins[0]] if len(ins) == 1 else "\n".join(f"{header[i]}: {cells[i]}" for i in ins)
            if cells[out] and question and not is_placeholder(question) and not describes(cells[out]):
                found.pairs.append((question, cells[out]))
            else:
                found.slots.append(question)
        found.lines.update(range(start, start + len(rows) + 2))
    found.pairs = unquoted(found.pairs)
    return found if found.pairs else Found("table")


def near_example(lines: list[str], at: int) -> bool:
    """The last line with text before this one announces examples."""
    before = next((line for line in reversed(lines[max(0, at - 3) : at]) if line.strip()), "")
    return bool(
        EXAMPLE_LINE.match(before) or re.search(r"\b(?:examples?|beispiele?|exemples?|ejemplos?|esempi|exemplos?|e\.g\.)|例", before, re.I)
    )


_ARROW = re.compile(r"^\s*(?:[-*+•]\s+|\(?\d{1,3}[.)]\s+)?(?P<left>\S.*?)?\s*(?:-{1,2}>|={1,2}>|→|⇒|⟶|➡️?|↦|:=)\s*(?P<right>.*?)\s*$")
_QUOTED = re.compile(
    r"^\s*(?:[-*+•]\s+|\(?\d{1,3}[.)]\s+)?(?P<left>\"[^\"]{1,2000}\"|“[^”]{1,2000}”|„[^“]{1,2000}“|«[^»]{1,2000}»|「[^」]{1,2000}」)\s*(?::|：|=|–|—|-|\|)\s*(?P<right>\S.*?)\s*$"
)


def find_arrows(lines: list[str]) -> Found:
    """`x -> y` lines (also =>, →; also "x": y), at least two, or one that is announced as an example. An arrow at the
    head of a line takes the lines before it as its input. A list of labels with their meaning is no demonstration."""
    found = Found("arrows")
    fence = False
    for number, line in enumerate(lines):
        if line.lstrip().startswith(("```", "~~~")):
            fence = not fence
        match = _ARROW.match(line) or _QUOTED.match(line)
        if not match or section_of_labels(lines, number):
            continue
        left, right, start = match["left"] or "", match["right"], number
        if not left:
            while (
                start > 0
                and lines[start - 1].strip()
                and start - 1 not in found.lines
                and not lines[start - 1].rstrip().endswith((":", "："))
            ):
                start -= 1
            left = "\n".join(lines[start:number]).strip()
        left, right = clean_side(left, INPUTS), clean_side(right, OUTPUTS)
        if not left or not right or is_placeholder(left) or describes(right):
            if (is_placeholder(left) and (not right or is_placeholder(right))) or (left and not right and found.pairs):
                found.slots.append(left)
                found.lines.update(range(start, number + 1))
            continue
        found.pairs.append((left, right))
        found.lines.update(range(start, number + 1))
    if not found.pairs or (len(found.pairs) == 1 and not near_example(lines, min(found.lines))):
        return Found("arrows")
    found.pairs = unquoted(found.pairs)
    low, high = min(found.lines), max(found.lines)
    fences = {i for i in range(max(0, low - 1), min(len(lines), high + 2)) if lines[i].strip().startswith(("```", "~~~"))}
    found.lines.update(i for i in range(low, high) if not lines[i].strip() or is_separator(lines[i]))
    found.lines.update(fences)
    return found


def clean_side(text: str, heads: frozenset[str]) -> str:
    """Without a heading of its own: `Input: x -> Output: y`."""
    head, colon, rest = text.partition(":")
    return rest.strip() if colon and rest.strip() and plain(head) in heads else text.strip()


def section_of_labels(lines: list[str], number: int) -> bool:
    """The lines belong to a list that is announced as labels: `Categories:` and then `- refund -> wants money back`."""
    for line in reversed(lines[max(0, number - 40) : number]):
        text = line.strip()
        if not text:
            continue
        if text.endswith((":", "：")) or text.startswith("#"):
            return bool(re.search(rf"(?<!\w){LABEL_NOUN}(?!\w)", text, re.I)) and not re.search(
                r"example|beispiel|exemple|ejemplo|例", text, re.I
            )
        if not re.match(r"[-*+•]|\(?\d{1,3}[.)]", text) and not _ARROW.match(line) and not _QUOTED.match(line):
            return False
    return False


_BLOCK = re.compile(r"^(?P<mark>`{3,}|~{3,})[^\n`]*\n(?P<body>.*?)\n(?P=mark)[ \t]*$", re.M | re.S)


def find_fences(text: str, lines: list[str]) -> Found:
    """Fenced blocks in pairs, input then output, after a line that announces examples."""
    found = Found("fences")
    blocks = [(m["body"].strip("\n"), m.start(), m.end()) for m in _BLOCK.finditer(text)]
    first = next((i for i, (_, start, _) in enumerate(blocks) if near_example(lines, text.count("\n", 0, start))), None)
    if first is None:
        return found
    rest = blocks[first:]
    for (question, start, middle), (answer, after, end) in zip(rest[::2], rest[1::2], strict=False):
        if question.strip() and answer.strip() and not is_placeholder(question) and text[middle:after].count("\n") <= 4:
            found.pairs.append((question, answer))
            found.lines.update(lines_between(text, start, end))
    return found


_SAYS = re.compile(
    r"(?P<in>\"[^\"\n]{1,600}\"|“[^”\n]{1,600}”|`[^`\n]{1,600}`)\s*(?:,\s*)?(?:should (?:become|be|return|give|yield|map to)|becomes?|gives?|returns?|yields?|maps? to|is translated (?:as|to)|turns? into|wird zu|devient|se convierte en|->|→|=>)"
    r"\s*(?:the label |labell?ed )?(?P<out>\"[^\"\n]{1,600}\"|“[^”\n]{1,600}”|`[^`\n]{1,600}`)"
)


def find_prose(lines: list[str]) -> Found:
    """`"colour" becomes "color"` in a sentence. The sentence stays in the instruction unless it is the whole line."""
    found = Found("prose")
    for number, line in enumerate(lines):
        says = list(_SAYS.finditer(line))
        found.pairs += [(m["in"][1:-1], m["out"][1:-1]) for m in says]
        rest = _SAYS.sub("", line)
        if says and (EXAMPLE_LINE.match(rest) or not re.search(r"\w{2}", rest)):
            found.lines.add(number)
    return found
