"""The number in the answer is the gold number. An answer that is not `ok`, or names no one number, gets 0.

How a number is read: after the last "the answer is", "Answer:", "####" or "=" where the text has one; there has to be one
value only (said twice is fine), because which of two was meant is not for a grader to choose. 1,234 is a thousand and
more, 3,5 is three and a half; 3/4, 1 3/4 and ½ are fractions, 1.5e3 is 1500. Units are not compared, and the percent sign is
one: 50 % is 50, as stated, never 0.5. Two whole numbers have to be equal; others to one part in ten thousand."""

from __future__ import annotations

import math
import re
import unicodedata

from limbeck.metrics.text import gold_answers
from limbeck.registry import Metric
from limbeck.render import stated_answer
from limbeck.types import Example, Kind, Prediction, Status, Task

TOLERANCE = 1e-4  # relative, where one of the two is no whole number
LONGEST = 100_000  # characters read, the last ones

_PLAIN = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?(?!\d|,\d)|\d+[.,]\d+|\d+|\.\d+"
_FRACTION = r"(?:(?P<whole>\d+)\s+)?(?P<over>\d+)\s?/\s?(?P<under>\d+)(?![\d/])"
_NUMBER = re.compile(
    rf"(?<![\w.,/])(?P<sign>(?<![\d)])[-+])?[$€£¥]?(?:{_FRACTION}|(?P<plain>{_PLAIN})(?P<ten>[eE][-+]?\d+)?(?![\d/]|[.,]\d))", re.ASCII
)
_VULGAR = re.compile("(\\d?)([¼-¾⅐-⅞])")


def numbers(text: str) -> list[float]:
    """Every number that the text states, in order."""
    text = _VULGAR.sub(lambda m: f"{m[1]} {unicodedata.normalize('NFKC', m[2])}", text[-LONGEST:])
    text = text.replace("⁄", "/").replace("−", "-")
    return [value for match in _NUMBER.finditer(text) if math.isfinite(value := value_of(match))]


def value_of(match: re.Match[str]) -> float:
    """nan where something is divided by zero; inf where it is too large."""
    sign = -1.0 if (match["sign"] or "").startswith("-") else 1.0
    if match["under"]:
        under = float(match["under"])
        return sign * (float(match["whole"] or 0) + float(match["over"]) / under) if under else math.nan
    plain = match["plain"]
    thousands = re.fullmatch(r"\d{1,3}(?:,\d{3})+(?:\.\d+)?", plain)
    return sign * float(plain.replace(",", "" if thousands else ".") + (match["ten"] or ""))


def stated(text: str) -> float | None:
    """The one number that the text gives as its answer; None where it gives none, or several."""
    for part in (stated_answer(text).rpartition("####")[2].rpartition("=")[2], stated_answer(text)):
        if found := numbers(part):
            return found[0] if len(set(found)) == 1 else None
    return None


def same(value: float, gold: float) -> bool:
    if value.is_integer() and gold.is_integer():
        return value == gold
    return math.isclose(value, gold, rel_tol=TOLERANCE, abs_tol=1e-9)


def numeric(task: Task, example: Example, prediction: Prediction) -> float | None:
    """1 or 0; None where gold names no one number: the row is not scored."""
    gold = [number for text in gold_answers(example) if (number := stated(text)) is not None]
    if not gold:
        return None
    value = stated(prediction.text) if prediction.status is Status.OK else None
    return float(value is not None and any(same(value, one) for one in gold))


NUMERIC = Metric("numeric", (Kind.TEXT,), row=numeric, samples=("42", "3/4", "1,234.5", "50 %", "-7 degrees", "#### 18"))
