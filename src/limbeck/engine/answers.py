"""Numbers -> answers: logits of allowed answers, or a score, as a Prediction; and how good answers on dev are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from limbeck import render
from limbeck.engine.gold import dev_score, target
from limbeck.types import Example, Kind, Prediction, Task

_BEST = 10  # so many scores are kept per prediction


def to_prediction(task: Task, example: Example, logits: np.ndarray) -> Prediction:
    """logits float64, as `StudentPredictor.logits` gives them per row."""
    if task.kind is Kind.SCORE:
        return Prediction(id=example.id, text=score_text(task, float(logits[0])))
    allowed = render.allowed_answers(task, example)
    best = int(np.round(logits, 4).argmax())  # padding moves the last bits: what ties but for them goes to the first
    shares = softmax(logits)
    order = sorted(range(len(allowed)), key=lambda i: (-shares[i], i))[:_BEST]
    scores = {allowed[i]: round(float(shares[i]), 7) for i in order}
    return Prediction(id=example.id, text=allowed[best], confidence=scores.get(allowed[best]), scores=scores)


def score_text(task: Task, value: float) -> str:
    """Clipped to the task's range and rounded to a ten-thousandth of it (four significant digits where there is none),
    spelled as render.number spells a number. Batches move the last bits, so two of these may differ by one step."""
    if task.low is not None and task.high is not None and task.high > task.low:
        digits = 4 - math.ceil(math.log10(task.high - task.low))
        value = round(min(max(value, task.low), task.high), digits)
        return f"{min(max(value, task.low), task.high) + 0.0:g}"
    low = task.low if task.low is not None else -math.inf
    high = task.high if task.high is not None else math.inf
    return f"{min(max(float(f'{value:.4g}'), low), high):g}"


def softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max())
    return shares / shares.sum()


def judge(task: Task, dev: Sequence[Example], logits: Sequence[np.ndarray]) -> tuple[float, float]:
    """(the task's metric, mean log-probability of the right answer or minus the squared error): few rows tie often.
    logits per row, as engine.predict gives them."""
    score = dev_score(task, dev, [to_prediction(task, e, line) for e, line in zip(dev, logits, strict=True)])
    gold = [target(task, e) for e in dev]
    if task.kind is Kind.SCORE:
        return score, -float(np.mean([(line[0] - value) ** 2 for line, value in zip(logits, gold, strict=True)]))
    return score, float(np.mean([np.log(softmax(line)[value] + 1e-12) for line, value in zip(logits, gold, strict=True)]))
