"""The floors that a student has to beat: the most frequent answer, and the answer of the most similar row."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from statistics import fmean

from limbeck import render
from limbeck.errors import MissingExtra
from limbeck.registry import Adapter, FitJob, Fitted
from limbeck.types import Example, Kind, Prediction, Status, Task

Similar = Callable[[Sequence[str], Sequence[str]], "list[list[float]]"]  # n texts, m texts -> (n, m), in [0, 1]


# ---- majority --------------------------------------------------------------------------------------------------


class Majority:
    """label: the most frequent answer. score: the mean. choice: the place where the right option stood most often
    (the first, where nothing stands out), since the options differ per row."""

    def __init__(self, task: Task, train: Sequence[Example]):
        self.task, self.n = task, len(train)
        if task.kind is Kind.SCORE:
            values = [float(text) for text, status in (render.number(task, e.output or "") for e in train) if status is Status.OK]
            self.answer = f"{fmean(values):.4g}" if values else ""
        elif task.kind is Kind.CHOICE:
            self.seen = Counter(e.choices.index(e.output) for e in train if e.choices and e.output in e.choices)
        else:
            self.seen = Counter(e.output for e in train if e.output is not None)

    def predict(self, inputs: Sequence[Example]) -> list[Prediction]:
        return [self.one(example) for example in inputs]

    def one(self, example: Example) -> Prediction:
        if self.task.kind is Kind.SCORE:
            return Prediction(id=example.id, text=self.answer, status=Status.OK if self.answer else Status.EMPTY)
        if self.task.kind is Kind.CHOICE:
            return choose(example, [float(self.seen[i]) / max(self.n, 1) for i in range(len(example.choices or ()))])
        best = sorted(self.seen, key=lambda a: (-self.seen[a], a))[:10]
        if not best:
            return Prediction(id=example.id, status=Status.EMPTY)
        scores = {answer: self.seen[answer] / self.n for answer in best}
        return Prediction(id=example.id, text=best[0], confidence=scores[best[0]], scores=scores)


def choose(example: Example, weights: Sequence[float]) -> Prediction:
    """The option of the greatest weight, the first of equals; confidence = its weight."""
    if not example.choices:
        return Prediction(id=example.id, status=Status.ERROR, detail="the row has no options to choose from")
    best = max(range(len(weights)), key=lambda i: (weights[i], -i))
    return Prediction(id=example.id, text=example.choices[best], confidence=min(max(weights[best], 0.0), 1.0))


# ---- nearest ---------------------------------------------------------------------------------------------------


class Nearest:
    """label, score and others: the answer of the most similar training row. choice: the option most similar to the
    input, since another row's answer is no option of this one. confidence: that similarity."""

    def __init__(self, task: Task, train: Sequence[Example], similar: Similar):
        self.task, self.similar = task, similar
        self.rows = [e for e in train if e.output is not None]
        self.texts = [render.source_text(task, e) for e in self.rows]

    def predict(self, inputs: Sequence[Example]) -> list[Prediction]:
        texts = [render.source_text(self.task, e) for e in inputs]
        if self.task.kind is Kind.CHOICE:
            return [choose(e, self.similar([t], e.choices)[0] if e.choices else []) for e, t in zip(inputs, texts, strict=True)]
        if not self.rows:
            return [Prediction(id=e.id, status=Status.EMPTY) for e in inputs]
        predictions = []
        for example, near in zip(inputs, self.similar(texts, self.texts), strict=True):
            best = max(range(len(near)), key=lambda i: (round(near[i], 6), -i))
            text, status = render.canonical(self.task, example, self.rows[best].output or "")
            predictions.append(Prediction(id=example.id, text=text, status=status, confidence=min(max(near[best], 0.0), 1.0)))
        return predictions


def by_meaning(left: Sequence[str], right: Sequence[str]) -> list[list[float]]:
    """Cosine of MiniLM embeddings. Raises MissingExtra without the train extra."""
    from limbeck.engine.embed import embed

    near = embed(left, cached=len(left) > 1) @ embed(right).T  # a single call pays for its own embedding
    return [[float(value) for value in line] for line in near]


def by_words(left: Sequence[str], right: Sequence[str]) -> list[list[float]]:
    """Jaccard overlap of the sets of words."""
    others = [words(text) for text in right]
    return [[len(mine & other) / max(len(mine | other), 1) for other in others] for mine in map(words, left)]


def words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))


def best_similarity(job: FitJob) -> Similar:
    """By meaning where the train extra is installed, else by words."""
    try:
        from limbeck.engine.device import set_threads, settle_speed

        set_threads(settle_speed(job).threads)
        by_meaning(["a"], ["a"])
    except (MissingExtra, ModuleNotFoundError):
        return by_words
    return by_meaning


def fit_majority(job: FitJob) -> Fitted:
    return Fitted(predictor=Majority(job.task, job.train))


def fit_nearest(job: FitJob) -> Fitted:
    return Fitted(predictor=Nearest(job.task, job.train, best_similarity(job)))


MAJORITY = Adapter(name="majority", group="baseline", kinds=tuple(Kind), needs_base=False, cheap=True, fit=fit_majority)
NEAREST = Adapter(name="nearest", group="baseline", kinds=tuple(Kind), needs_base=False, cheap=True, fit=fit_nearest)
