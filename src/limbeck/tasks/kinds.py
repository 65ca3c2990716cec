"""What the answers look like: kind, range, schema, metric and language, from the prompt and from the outputs at hand."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from limbeck.tasks.records import json_values
from limbeck.types import Kind, canonical_json

METRICS = {Kind.LABEL: "accuracy", Kind.CHOICE: "accuracy", Kind.SCORE: "spearman", Kind.TEXT: "token_f1", Kind.FIELDS: "field_f1"}

_N = r"[-+]?\d+(?:[.,]\d+)?"
_SCALE = re.compile(
    r"\b(?:scor|rat(?:e|ing)|scale|points?\b|similar|grade|stars?\b|number\b|degree|bewert|punkt|skala|note[rz]?\b|échelle|punt[uú]|escala|valuta|scala|avali|nota\b)|スコア|評価|点|评分|打分|分数|相似|점수",
    re.I,
)
_RANGES = [
    rf"(?:from|between|von|zwischen|de|entre|da|tra|on a scale of)\s+({_N})\s+(?:to|and|bis|und|à|a|et|y|e)\s+({_N})(?![\d.]*\w)",
    rf"({_N})\s*(?:から|～|〜|到|至)\s*({_N})",
    rf"(?<![\w-])({_N})\s*(?:-|–|—|\.\.\.?|to|bis)\s*({_N})(?![\w-])",
]
_DEGREE = re.compile(  # speaks of a scale where a range stands beside it, and says nothing without one
    r"\bhow (?!many\b|much\b|long\b|often\b|old\b|to\b|do\b|does\b|did\b|can\b|could\b|should\b|is\b|are\b|it\b|you\b|we\b|they\b|the\b|a\b)\w+"
    r"|\b(?:marks?|estimate|judge|assess|level|values? (?:between|from|of|in)|extent|likelihood|probability|confidence|intensity|difficulty|relevance|quality)\b",
    re.I,
)
_COUNTED = re.compile(  # "1 to 3 bullet points" is a length, "2-3 days" an amount
    r"\s*(?:short |full |brief |key |bullets?\b|sentences?\b|words?\b|paragraphs?\b|lines?\b|keywords?\b|tags?\b|items?\b|ideas?\b|examples?\b|questions?\b"
    r"|tokens?\b|characters?\b|letters?\b|pages?\b|steps?\b|minutes?\b|hours?\b|days?\b|weeks?\b|months?\b|years?\b|euros?\b|dollars?\b|people\b|persons?\b)",
    re.I,
)
_ANCHORED = [  # the ends of a scale with their meanings: "0 (bad) to 10 (good)", "1 = rude, 5 = polite"
    rf"(?<![\w-])({_N})\s*\([^()\n]{{1,60}}\)\s*(?:-|–|—|to|and|through|bis)\s*({_N})(?![\w.])",
    rf"(?<![\w-])({_N})\s*(?:=|:|means|is)\s*[^\d\n=:]{{2,60}}?[,;.]?\s+(?:and\s+|to\s+)?({_N})\s*(?:=|:|means|is)\s",
]
_OPTIONS = re.compile(  # every row brings its own
    r"\bmultiple[- ]choice\b|\b(?:candidate|possible|proposed|offered|given) answers\b|\banswer (?:choices|options)\b"
    r"|\b(?:which|choose|pick|select|find)\b[^.:\n]{0,60}\b(?:options|choices|alternatives|endings)\b"
    r"|\b(?:question|passage|text|story|sentence|premise|context)\b[^.:\n]{0,40}\b(?:options|choices|alternatives|endings)\b",
    re.I,
)
_LISTS = re.compile(r"\b(?:list|extract|summari[sz]e|all (?:the )?options)\b", re.I)  # several answers, or none of the options
_GRADES = re.compile(
    r"\b(?:scor|rat(?:e|ing)|scale|points?\b|similar|grade|stars?\b|bewert|skala|note[rz]?\b|échelle|escala|scala\b)|スコア|評価|评分|打分|分数|相似|점수",
    re.I,
)
_SOLVES = re.compile(
    r"\b(?:solve|answer the (?:\w+ )?(?:question|problem)|calculate|compute|multiply|divide|subtract|add up|add (?:all )?the numbers|arithmetic|math|word problem|how many|how much|berechne|rechne|calcule|calcula)",
    re.I,
)
_CODE = re.compile(
    r"(?:^|\n)\s*(?:def |class |import |from \w+ import|return |for \w+ in |if .+:|while .+:|print\(|function |const |let |var |SELECT |#include|public )|\w+\([^()]*\)\s*$|\w+\.\w+\(|;\s*$|\blambda\b|[=!]=|\w+\[[^\]]+\]",
    re.M,
)


def numeric(text: str) -> float | None:
    try:
        value = float(text.strip())
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def worked_out(text: str) -> bool:
    """A number with thousands, as sums have and scales have not."""
    return bool(re.fullmatch(r"[-+]?[$€£]?\s?\d{1,3}(?:,\d{3})+(?:\.\d+)?", text.strip()))


def find_range(text: str) -> tuple[float, float] | None:
    """ "from 1 to 5", "0-5" in a sentence that speaks of a score; None otherwise."""
    for pattern in _RANGES:
        for match in re.finditer(pattern, text, re.I):
            low, high = (float(part.replace(",", ".")) for part in match.groups())
            if low < high and not _COUNTED.match(text, match.end()) and speaks_of_a_scale(text, match):
                return low, high
    for pattern in _ANCHORED:
        for match in re.finditer(pattern, text, re.I):
            low, high = (float(part.replace(",", ".")) for part in match.groups())
            if high - low > 1 and speaks_of_a_scale(text, match):  # 0 = ham, 1 = spam: the numbers of classes
                return low, high
    return None


def speaks_of_a_scale(text: str, match: re.Match[str]) -> bool:
    around = text[max(0, match.start() - 160) : match.end() + 80]
    return bool(_SCALE.search(around) or _DEGREE.search(around))


def is_closed(outputs: Sequence[str]) -> bool:
    """Few distinct answers for so many rows, most of them more than once, and short ones."""
    distinct = Counter(outputs)
    once = sum(n == 1 for n in distinct.values())
    return (
        len(distinct) <= max(2, len(outputs) / 3)
        and (len(outputs) < 30 or once <= len(distinct) / 2)
        and all(len(o) <= 60 and len(o.split()) <= 8 and "\n" not in o for o in distinct)
    )


def objects(outputs: Sequence[str]) -> list[dict[str, Any]] | None:
    """The outputs as JSON objects; None unless all are."""
    found = []
    for output in outputs:
        if not output.lstrip().startswith("{"):
            return None
        try:
            value = json.loads(output, strict=False)
        except (ValueError, RecursionError):
            return None
        if not isinstance(value, dict):
            return None
        found.append(value)
    return found or None


def kind_of(outputs: Sequence[str], text: str, labels: Sequence[str], asks: bool) -> tuple[Kind, list[str]]:
    """(kind, notes). outputs: of the rows, or of the demonstrations where there are no rows. labels: the set that the
    prompt names for these outputs, () where it names none."""
    if not outputs:
        return kind_of_prompt(text, labels)
    if objects(outputs):
        return Kind.FIELDS, []
    allowed = {name.casefold() for name in labels}
    named = sum(output.casefold() in allowed for output in outputs) / len(outputs)
    numbers = [numeric(output) for output in outputs]
    distinct = len(set(outputs))
    sums = any(number is None for number in numbers) and all(
        number is not None or worked_out(o) for number, o in zip(numbers, outputs, strict=True)
    )
    if sums and named <= 0.9:
        return Kind.TEXT, ["the answers are numbers with thousands, worked out and not grades: compared as text"]
    if all(number is not None for number in numbers):
        if named > 0.9 and not find_range(text):
            return Kind.LABEL, []
        if find_range(text):
            return Kind.SCORE, []
        if _SOLVES.search(text) and not _GRADES.search(text) and not is_closed(outputs):
            return Kind.TEXT, ["the answers are numbers that are worked out, not grades: compared as text (set kind: score for a scale)"]
        if distinct > 10 or not is_closed(outputs) or _SCALE.search(text):
            return Kind.SCORE, []
        return Kind.LABEL, [f"the outputs are {distinct} numbers, taken as names of classes (set kind: score if they are quantities)"]
    if named > 0.9:
        return Kind.LABEL, []
    few = len(outputs) < 6
    if is_closed(outputs) and (not few or asks or labels):
        return Kind.LABEL, []
    short = all(len(o) <= 60 and len(o.split()) <= 6 for o in outputs)
    if short and asks and (labels or (few and all(len(o.split()) <= 2 for o in outputs))):
        return Kind.LABEL, ["taken for a label task because the prompt asks for a class; few outputs support it"]
    if few:
        return Kind.TEXT, [f"outputs to judge by: only {len(outputs)}; taken as free text"]
    return Kind.TEXT, []


def kind_of_prompt(text: str, labels: Sequence[str]) -> tuple[Kind, list[str]]:
    """Nothing but the prompt to judge by."""
    note = ["no outputs to judge by: the kind comes from the wording of the prompt"]
    if schema_in(text) or re.search(
        r"\b(?:json object|json with|as json|valid json|return json|in json|json-objekt|objet json|objeto json)\b", text, re.I
    ):
        return Kind.FIELDS, note
    if find_range(text) and not (labels and not all(numeric(name) is not None for name in labels)):
        return Kind.SCORE, note
    if (
        _OPTIONS.search(text) and not _LISTS.search(text) and all(len(name) == 1 for name in labels)
    ):  # A, B, C and D name the options of a row, no classes
        return Kind.CHOICE, [*note, "every row is to bring its own options (a column choices)"]
    return Kind.LABEL if labels else Kind.TEXT, note


# ---- schema -------------------------------------------------------------------------------------------------------


def schema_in(text: str) -> str | None:
    """A JSON schema, or a template object, that stands in the prompt."""
    template = None
    for value, _, _ in json_values(text):
        if isinstance(value, dict) and isinstance(value.get("properties"), dict):
            return canonical_json(value)
        if isinstance(value, dict) and value and template is None and not {"input", "messages", "role"} & set(value):
            template = infer_schema([value])
    return template


def infer_schema(values: Sequence[dict[str, Any]]) -> str:
    """Keys in order of appearance, the types seen; required: what every object has."""
    keys = list(dict.fromkeys(key for value in values for key in value))
    required = [key for key in keys if all(key in value for value in values)]
    properties = {key: shape([value[key] for value in values if key in value]) for key in keys}
    return json.dumps({"type": "object", "properties": properties, "required": required, "additionalProperties": False}, ensure_ascii=False)


def shape(values: Sequence[Any]) -> dict[str, Any]:
    types = list(dict.fromkeys(type_name(value) for value in values))
    if "number" in types and "integer" in types:
        types.remove("integer")
    found: dict[str, Any] = {"type": types[0] if len(types) == 1 else types}
    if items := [item for value in values if isinstance(value, list) for item in value]:
        found["items"] = shape(items)
    if nested := [value for value in values if isinstance(value, dict)]:
        found.update({k: v for k, v in json.loads(infer_schema(nested)).items() if k != "type"})
    return found


def type_name(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    names = {str: "string", int: "integer", float: "number", list: "array", dict: "object", type(None): "null"}
    return names[type(value)]


# ---- code and language ------------------------------------------------------------------------------------------------


def looks_like_code(outputs: Sequence[str]) -> bool:
    return bool(outputs) and sum(bool(_CODE.search(output)) for output in outputs) >= 0.6 * len(outputs)


_SCRIPTS = [
    ("ja", r"[\u3040-\u30ff]", 3),
    ("ko", r"[\uac00-\ud7af]", 3),
    ("zh", r"[\u4e00-\u9fff]", 4),
    ("ru", r"[\u0400-\u04ff]", 8),
    ("ar", r"[\u0600-\u06ff]", 8),
    ("el", r"[\u0370-\u03ff]", 8),
    ("he", r"[\u0590-\u05ff]", 8),
    ("hi", r"[\u0900-\u097f]", 8),
    ("th", r"[\u0e00-\u0e7f]", 8),
]
_STOP_WORDS = {
    "en": "the a an of to and is in for with from into each this that or as following given it what which you your",
    "de": "der die das und ist ein eine einen oder den dem für mit als bitte jede jeden von zu nicht auf folgenden gib",
    "fr": "le la les des une un et est ou pour avec dans chaque du au ce cette vous en sont suivant selon",
    "es": "el la los las de una un y es o para con en cada del al este esta que siguiente según",
    "it": "il lo la gli le di una un e è o per con in ogni del al alla della nella sono questo questa che seguente",
    "pt": "o a os as de uma um e é ou para com em cada do ao este esta que seguinte não",
    "nl": "de het een en is of voor met in elk van op deze dit die niet volgende",
}


def language_of(text: str) -> str:
    """ISO 639-1 code by script, else by the most frequent function words; en where nothing speaks for another."""
    letters = sum(c.isalpha() for c in text) or 1
    for code, pattern, weight in _SCRIPTS:
        if len(re.findall(pattern, text)) * weight > letters:
            return code
    words = re.findall(r"[^\W\d_]+", text.lower())
    counts = {code: sum(word in set(stop.split()) for word in words) for code, stop in _STOP_WORDS.items()}
    best = max(counts, key=lambda code: (counts[code], code == "en"))
    return best if counts[best] >= 2 else "en"
