"""Equations: answer and gold are worked out by a small parser, and compared as numbers. An answer that is not `ok` gets 0.

    sum     = product (("+" | "-") product)*
    product = signed (("*" | "/") signed)*
    signed  = ("+" | "-") signed | number | "(" sum ")"

A `x =` in front is left out (any one word), × ÷ − · stand for * / -, and 1,000 is a thousand. Nothing else is read: no
names, no powers, no calls. What is no such sum, what divides by zero and what is not finite is worth nothing."""

from __future__ import annotations

import math
import re

from limbeck.metrics.text import gold_answers
from limbeck.registry import Metric
from limbeck.types import Example, Kind, Prediction, Status, Task

TOLERANCE = 1e-4  # relative: 84 / 7 against 12.0, 10 / 3 against 3.3333
LONGEST = 500  # characters
DEEPEST = 50  # brackets and signs inside one another

_ASSIGNED = re.compile(r"\s*[^\W\d]\w*\s*=(?!=)")
_TOKEN = re.compile(r"\s*(?:(\d{1,3}(?:,\d{3})+(?:\.\d*)?(?![\d.,])|\d+(?:\.\d*)?|\.\d+)|([-+*/()]))", re.ASCII)
_SIGNS = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-"})


class NoSum(Exception):
    """The text is no sum that this grammar knows."""


def evaluate(text: str) -> float | None:
    """The value, or None where the text is no sum or its value no finite number."""
    if len(text) > LONGEST:
        return None
    body = _ASSIGNED.sub("", text, count=1) if _ASSIGNED.match(text) else text
    try:
        reader = Reader(tokens(body.translate(_SIGNS)))
        value = reader.sum(0)
    except (NoSum, ZeroDivisionError, OverflowError):
        return None
    return value if reader.at == len(reader.tokens) and math.isfinite(value) else None


def tokens(text: str) -> list[str | float]:
    """Numbers as floats, signs as they are."""
    found: list[str | float] = []
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            raise NoSum
        number, sign = match.groups()
        if number and found and isinstance(found[-1], float):
            raise NoSum  # 1 2, 1.2.3
        found.append(float(number.replace(",", "")) if number else sign)
        at = match.end()
    return found


class Reader:
    """Recursive descent over the tokens; `at` is the next one."""

    def __init__(self, tokens: list[str | float]):
        self.tokens, self.at = tokens, 0

    def take(self, *signs: str) -> str | None:
        if self.at < len(self.tokens) and self.tokens[self.at] in signs:
            self.at += 1
            return str(self.tokens[self.at - 1])
        return None

    def sum(self, depth: int) -> float:
        value = self.product(depth)
        while sign := self.take("+", "-"):
            other = self.product(depth)
            value = value + other if sign == "+" else value - other
        return value

    def product(self, depth: int) -> float:
        value = self.signed(depth)
        while sign := self.take("*", "/"):
            other = self.signed(depth)
            value = value * other if sign == "*" else value / other
        return value

    def signed(self, depth: int) -> float:
        if depth > DEEPEST or self.at >= len(self.tokens):
            raise NoSum
        if sign := self.take("+", "-"):
            value = self.signed(depth + 1)
            return -value if sign == "-" else value
        if self.take("("):
            value = self.sum(depth + 1)
            if not self.take(")"):
                raise NoSum
            return value
        token = self.tokens[self.at]
        if not isinstance(token, float):
            raise NoSum
        self.at += 1
        return token


def equation(task: Task, example: Example, prediction: Prediction) -> float | None:
    """1 where both come to the same number, 0 where not; None where gold is no sum: the row is not scored."""
    gold = [value for text in gold_answers(example) if (value := evaluate(text)) is not None]
    if not gold:
        return None
    value = evaluate(prediction.text) if prediction.status is Status.OK else None
    return float(value is not None and any(math.isclose(value, one, rel_tol=TOLERANCE, abs_tol=1e-9) for one in gold))


EQUATION = Metric("equation", (Kind.TEXT,), row=equation, samples=("( 84.0 / 2.0 )", "3", "x = 10 - (3 + 6)", "-5", "1,000 * 2.5", "7 / 3"))
