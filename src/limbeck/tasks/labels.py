"""The closed set of answers that a prompt names: in a list, a table, a sentence, quotes, back-ticks, or a JSON enum."""

from __future__ import annotations

import re
from collections.abc import Sequence

from limbeck.tasks.layouts import tables_of
from limbeck.tasks.records import json_values
from limbeck.tasks.words import LABEL_NOUN, plain

_BULLET = re.compile(r"^\s*(?:[-*+•·‣]\s+|\(?(?:\d{1,3}|[a-z])[.)、]\s*|・\s*)(?P<rest>\S.*)$")
_NAMED = re.compile(
    r"^(?:\*\*|__)?(?:`(?P<tick>[^`]+)`|\"(?P<quote>[^\"]+)\"|“(?P<curly>[^”]+)”|'(?P<single>[^']+)'|\*\*(?P<bold>[^*]+?):?\*\*|「(?P<kagi>[^」]+)」)"
)
_DEFINED = re.compile(r"\s*(?:[:：]\s+|[:：](?=[^\x00-\x7f])|\s+[-–—=]{1,2}>?\s+|\s+→\s+|\s*[(（]|\s*—\s*)")
_NOUN = re.compile(rf"(?<!\w){LABEL_NOUN}(?!\w)", re.I)
_ASKS = re.compile(
    r"classif|categori[sz]|label|one of|choose|pick|select|assign|route|sort\b|decide|determine|klassifizier|ordne|eine der|eines der|class(?:e|ez|er)\b|l'une? des|clasifica|uno de|una de|"
    r"classifica|una delle|uno dei|um dos|uma das|分類|分类|のいずれか|之一|から選|选择|選択|判断|следующ",
    re.I,
)
_EXAMPLES = re.compile(r"example|beispiel|exemple|ejemplo|esempi|exemplo|step|rule|guideline|note|例", re.I)

_SENTENCES = [  # patterns for a set named in running text, the surest first; the group is the enumeration
    rf"(?:one of|any of|among|from)\s*(?:the\s+|these\s+|those\s+)?(?:following\s+|possible\s+|allowed\s+)?(?:\w+\s+){{0,2}}?(?:{LABEL_NOUN})?\s*[:：]\s*(?P<set>[^\n]+)",
    rf"(?<!\w){LABEL_NOUN}\s*(?:\w+\s+)?(?:are|is|sind|sont|son|sono|são|は|是|为|包括|can be|may be)?\s*[:：=]\s*(?P<set>[^\n]+)",
    rf"(?<!\w){LABEL_NOUN}\s+(?:are|can be|may be|must be|is|should be|sind|sont|son|sono|são)\s+(?:one of\s+|either\s+)?(?P<set>[^\n.]+)",
    r"(?:one of|any of)\s+(?:the\s+)?(?P<set>[^\n.:]+)",
    rf"\b(?:as|into|in|als|in die|en|comme|como|come)\s+(?:either\s+|being\s+|exactly one of\s+)?(?:the\s+)?(?:(?:following\s+)?{LABEL_NOUN}\s*)?[:：]?\s*(?P<set>[^\n.;:]*(?:,|\bor\b|\boder\b|\bou\b|\bo\b|/|\|)[^\n.;:]+)",
    r"\b(?:either|entweder|soit)\s+(?P<set>[^\n.;:]+?\s(?:or|oder|soit)\s[^\n.;:,]+)",
    r"\b(?:whether|if|ob)\b[^\n.;:]{0,100}?\b(?:is|are|was|ist|were)\s+(?:an?\s+)?(?P<set>[\w'\"`“”-]+(?:\s*,\s*[\w'\"`“”-]+)*,?\s+(?:or|oder)\s+(?:an?\s+)?[\w'\"`“”-]+)(?=\s*[.,;\n]|$)",
    r"\b(?:answer|respond|reply|return|output|write|say|print|antworte|réponds|responde|rispondi)\b[^\n.;:]{0,40}?(?:[:：]|\bwith\b|\bmit\b|\bpar\b|\bcon\b|\bcom\b|\bonly\b|\bjust\b)\s*(?:only\s+|either\s+|nur\s+|just\s+)?(?P<set>[^\n.;:]+)",
    r"\b(?:answer|respond|reply|return|output|say)\s+(?P<set>[\w'\"`“”-]+(?:\s*,\s*[\w'\"`“”-]+)*,?\s+or\s+[\w'\"`“”-]+)",
    r"(?P<set>\b[A-Z][A-Z_-]+(?:\s?[/|]\s?[A-Z][A-Z_-]+)+\b)",
    r"[:：]\s*(?P<set>[^\n.:：]+(?:\bor\b|\boder\b|\bou\b|または|或)[^\n.:：]+)",
    r"(?P<set>[^\s、。，：:\n]{1,40}(?:、[^\s、。，：:\n]{1,40}){1,60})、?のいずれか",
    r"(?:分为|分類為|分成|归类为|判断为|标注为|分类为)\s*[:：]?\s*(?P<set>[^\n。：:]+)",
    r"(?:从|從)\s*(?P<set>[^\n。：:]+?)\s*中选",
    r"(?P<set>[^\n。：:]{1,80}?)(?:のどれか|から(?:一つ|1つ|ひとつ)?選)",
]
_IF_ELSE = re.compile(
    r"\b(?:return|output|answer|say|reply|respond|write|print)\s+(?:with\s+)?[\"'`“]?(\w+)[\"'`”]?\s+(?:if|when)\b[^.\n]{1,200}?\b(?:else|otherwise|and|or)\s+[\"'`“]?(\w+)[\"'`”]?\s*(?=[.\n]|$|otherwise|if\b)",
    re.I,
)
_SLASH = re.compile(r"\s*/\s*")
_SPLIT = re.compile(
    r"\s*(?:[,;|、，；]|\bor\b|\boder\b|\bou\b|\band\b|\bund\b|\bet\b|\bо\b|\bили\b|\s[oyeu]\s|或者|或|和|または|もしくは)\s*", re.I
)
_ARTICLE = re.compile(
    rf"^(?:(?:the\s+)?{LABEL_NOUN}(?=\s+\w)|either|the label|a|an|the|als|as|be|is|nur|only|just|entweder|exactly|labell?ed|simply|soit)\s+",
    re.I,
)
_TRAIL = re.compile(
    r"\s*(?:\((?:and|or|no|nothing|only|exactly)[^)]*\)|(?:only|and nothing else|nothing else|in lower ?case|respectively|accordingly|depending on .*|based on .*|for .*|as appropriate|という.*|のいずれか.*|のどれか.*|这?[两三四五六七八九十\d]+类.*|中的一个.*|之一.*|$))$",
    re.I,
)


def find_label_sets(text: str) -> list[tuple[str, ...]]:
    """Every set of two or more names that could be the labels, the surest first. Duplicates are dropped."""
    sets = [*enums(text), *label_tables(text), *label_lists(text), *sentences(text), *ticked(text)]
    unique: dict[frozenset[str], tuple[str, ...]] = {}
    for names in sets:
        clean = tuple(dict.fromkeys(name for name in names if name))
        if len(clean) >= 2:
            unique.setdefault(frozenset(clean), clean)
    return list(unique.values())


def enums(text: str) -> list[tuple[str, ...]]:
    """{"enum": [...]} anywhere, {"labels": [...]}, ["a", "b"] behind a label noun."""
    found = []
    for match in re.finditer(r"\"(?:enum|labels|categories|classes|options|intents)\"\s*:\s*\[([^\[\]]*)\]", text):
        found.append(tuple(re.findall(r"\"((?:[^\"\\]|\\.)+)\"", match[1])))
    for value, start, _ in json_values(text):
        if isinstance(value, list) and value and all(isinstance(v, str) for v in value) and _NOUN.search(text[max(0, start - 80) : start]):
            found.append(tuple(value))
    for match in re.finditer(rf"{LABEL_NOUN}[^\n\[\]]{{0,40}}\[([^\[\]\n]+)\]", text, re.I):
        found.append(tuple(name_of(part) for part in match[1].split(",")))
    return found


def label_tables(text: str) -> list[tuple[str, ...]]:
    """The first column of a table headed Label | Meaning."""
    found = []
    for _, (header, *rows) in tables_of(text.split("\n")):
        if len(header) >= 1 and re.fullmatch(LABEL_NOUN, plain(header[0]), re.I):
            found.append(tuple(name_of(cells[0]) for cells in rows if cells[0]))
    return found


def label_lists(text: str) -> list[tuple[str, ...]]:
    """Bullets or numbers under a line that speaks of labels, with or without definitions; failing bullets, bare lines."""
    lines = text.split("\n")
    found = []
    for at, line in enumerate(lines):
        lead = line.strip()
        announces = lead.endswith((":", "：")) or lead.startswith("#") or re.fullmatch(r"\*\*[^*]+\*\*|<[^<>/]+>", lead)
        if not lead or not announces or _BULLET.match(line) or not (_NOUN.search(lead) or _ASKS.search(lead)):
            continue
        if _EXAMPLES.search(lead) and not _NOUN.search(lead):
            continue
        names = listed(lines, at + 1)
        if len(names) >= 2:
            found.append(tuple(names))
    if not found:  # a list under a question that stands in the paragraph above, no colon
        for at, line in enumerate(lines):
            if _ASKS.search(line) and not _BULLET.match(line) and at + 1 < len(lines):
                names = listed(lines, at + 1)
                if len(names) >= 2:
                    found.append(tuple(names))
    return found


def listed(lines: list[str], at: int) -> list[str]:
    """Names of the list that begins at line `at` (blank lines before it allowed). [] where its items are sentences."""
    while at < len(lines) and not lines[at].strip():
        at += 1
    below = next((n for n in range(at + 1, len(lines)) if lines[n].strip()), None)
    if below is not None and lines[at].rstrip().endswith((":", "：")) and not _BULLET.match(lines[at]) and _BULLET.match(lines[below]):
        at = below  # a heading over the list (`Teams:`) is no name in it
    bulleted = at < len(lines) and bool(_BULLET.match(lines[at]))
    names: list[str] = []
    gap = False
    for line in lines[at:]:
        match = _BULLET.match(line)
        if not line.strip():
            if not bulleted:
                break
            gap = True
            continue
        if line.lstrip().startswith("</"):
            break
        if bulleted and not match:
            if gap or not line.startswith((" ", "\t")):
                break
            continue  # a definition that goes on
        gap = False
        if bulleted and line[:1] in " \t" and names and len(line) - len(line.lstrip()) > 3:
            continue  # a nested bullet
        names.append(name_of(match["rest"] if match else line))
    short = all(name and len(name) <= 60 and len(name.split()) <= 6 and not name.endswith((".", "。", "?", "!", ":")) for name in names)
    return names if short else []


def name_of(item: str) -> str:
    """`refund`: the customer ... -> refund. Without marks, quotes and definition."""
    text = item.strip().strip("|").strip()
    named = _NAMED.match(text)
    if named:
        return next(part for part in named.groups() if part is not None).strip()
    text = _DEFINED.split(text, maxsplit=1)[0]
    return text.strip(" \t*_`\"'“”「」.,;:：")


def sentences(text: str) -> list[tuple[str, ...]]:
    """Sets named in running text. "in", "into", "as" need a verb of classifying before them in the line."""
    found = []
    for pattern in _SENTENCES:
        for match in re.finditer(pattern, text, re.I if "[A-Z]" not in pattern else 0):
            before = text[text.rfind("\n", 0, match.start()) + 1 : match.start()]
            if not pattern.startswith(r"\b(?:as|") or _ASKS.search(before):
                found += [names for names in [enumerated(match["set"])] if names]
    found += [(match[1], match[2]) for match in _IF_ELSE.finditer(text)]
    return found


def enumerated(text: str) -> tuple[str, ...] | None:
    """`positive, negative or "neutral".` -> its names; None where the parts are too long to be names."""
    quoted = re.findall(r"`([^`\n]+)`|\"([^\"\n]+)\"|“([^”\n]+)”|(?<!\w)'([^'\n]+)'(?!\w)|「([^」\n]+)」", text)
    if len(quoted) >= 2:
        return tuple(next(part for part in parts if part).strip() for parts in quoted)
    flat = re.split(r"(?<=\w)[.。](?:\s|$)", re.sub(r"[(（][^()（）]*[)）]", "", text.strip()))[0]
    flat = _TRAIL.sub("", flat.strip().rstrip(".。!?:：").strip())
    parts = _SPLIT.split(flat)
    parts = [_ARTICLE.sub("", part.strip()) for part in (parts if len(parts) > 1 else _SLASH.split(flat))]
    names = [part.strip(" \t*_`\"'“”「」.。[]{}<>") for part in parts if part.strip()]
    if len(names) < 2 or not all(name and len(name) <= 40 and len(name.split()) <= 4 for name in names):
        return None
    return tuple(names)


def ticked(text: str) -> list[tuple[str, ...]]:
    """Two or more names in back-ticks, or in quotes, within one sentence that asks for a choice."""
    found = []
    for sentence in re.split(r"(?<=[.。!?])\s+|\n\n", text):
        for pattern in (r"`([^`\n]{1,60})`", r"「([^」\n]{1,40})」", r"[\"“]([^\"”\n]{1,40})[\"”]"):
            names = re.findall(pattern, sentence)
            if len(names) >= 2 and (_ASKS.search(sentence) or _NOUN.search(sentence)):
                found.append(tuple(names))
    return found


def asks_for_label(text: str) -> bool:
    """The prompt speaks of classifying."""
    return bool(
        re.search(
            r"classif|categori[sz]e|which (?:of the|category|label|intent)|\bsentiment\b|\bintent\b|klassifizier|clasifi|分類|分类|\bspam\b|true or false|yes or no|one of the",
            text,
            re.I,
        )
    )


def best_set(sets: Sequence[tuple[str, ...]], outputs: Sequence[str]) -> tuple[str, ...]:
    """The set that covers most of the outputs, of equals the first; without outputs the first. () where none covers half."""
    if not outputs or not sets:
        return sets[0] if sets else ()
    seen = {output.casefold().strip() for output in outputs}

    def covered(names: tuple[str, ...]) -> float:
        return sum(output in {name.casefold() for name in names} for output in seen) / len(seen)

    best = max(sets, key=lambda names: (covered(names), -sets.index(names)))
    return best if covered(best) >= 0.5 or (covered(best) > 0 and len(seen) > 20) else ()
