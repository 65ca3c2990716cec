"""Which training rows stand in the prompt as demonstrations.

A picker is made once per candidate, (task, train, k, seed, values) -> function of one input -> k rows, the most telling last,
nearest the question. values: the numbers of the recipe, by name; without them the defaults of `NUMBERS` hold. A picker shows
rows of `train` alone, and never the row that is asked about, nor a copy of it. It may have `prepare(examples)`, which is told
before many of them are asked about."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from limbeck.contexts.choosing import by_label, mmr, nearest, round_robin
from limbeck.contexts.similar import Similarity, Words, similarity
from limbeck.render import squeeze
from limbeck.types import Example, Kind, Task, Value

Picker = Callable[[Example], list[Example]]

LAMBDA = 0.7
POOL = 5  # times k, at least 50: among so many nearest rows the different ones are looked for
LEAST_POOL = 50

NUMBERS = {  # picker -> what it reads; the candidate's values
    "dense": (Value(name="embedder", value="minilm", why="the encoder whose embeddings of the inputs are compared"),),
    "diverse": (
        Value(name="mmr_lambda", value=LAMBDA, why="weight of nearness against being unlike the rows chosen before; 1 is nearest alone"),
        Value(name="similarity", value="meaning", why="rows are compared by their embeddings; words: by TF-IDF"),
        Value(name="embedder", value="minilm", why="the encoder whose embeddings of the inputs are compared"),
    ),
    "balanced": (
        Value(name="similarity", value="meaning", why="rows are compared by their embeddings; words: by TF-IDF"),
        Value(name="embedder", value="minilm", why="the encoder whose embeddings of the inputs are compared"),
    ),
}


def pick_random(task: Task, train: Sequence[Example], k: int, seed: int, values: Mapping[str, Any] = {}) -> Picker:
    """The same k rows for every call, drawn evenly over the labels (over all rows, where there are no labels)."""
    rng = random.Random(seed)
    labels = labels_of(task, train)
    found = {labels[pile[0]]: pile[::-1] for pile in by_label(rng.sample(range(len(train)), len(train)), labels)}
    piles = [found[label] for label in rng.sample(sorted(found), len(found))]
    everybody = [train[i] for i in round_robin(piles, k)]
    rows = Rows(train)

    def pick(example: Example) -> list[Example]:
        hidden = rows.same_as(example)
        if not hidden:
            return everybody
        return [train[i] for i in round_robin([[i for i in pile if i not in hidden] for pile in piles], k)]

    return pick


def pick_nearest(task: Task, train: Sequence[Example], k: int, seed: int, values: Mapping[str, Any] = {}) -> Picker:
    """The k rows with the most telling words in common with the input (cosine of TF-IDF vectors), nearest last."""
    return ByLikeness(train, k, Words([row.input for row in train]))


def pick_dense(task: Task, train: Sequence[Example], k: int, seed: int, values: Mapping[str, Any] = {}) -> Picker:
    """The k rows whose embedding is nearest the input's, nearest last."""
    return ByLikeness(train, k, similarity([row.input for row in train], "meaning", str(values.get("embedder", "minilm"))))


def pick_diverse(task: Task, train: Sequence[Example], k: int, seed: int, values: Mapping[str, Any] = {}) -> Picker:
    """k rows that are near the input and unlike each other (maximal marginal relevance), nearest last."""
    lambda_ = float(values.get("mmr_lambda", LAMBDA))
    like = similar_by(train, values)

    def choose(scores: Sequence[float], open_: Sequence[int]) -> list[int]:
        return mmr(scores, like.between, nearest(scores, open_, max(LEAST_POOL, POOL * k)), k, lambda_)

    return ByLikeness(train, k, like, choose)


def pick_balanced(task: Task, train: Sequence[Example], k: int, seed: int, values: Mapping[str, Any] = {}) -> Picker:
    """The nearest row of each label, then the second nearest of each, until there are k; the nearest of all last. The labels
    whose rows are nearest come first, where k is less than there are labels."""
    labels = labels_of(task, train)

    def choose(scores: Sequence[float], open_: Sequence[int]) -> list[int]:
        return round_robin(by_label(nearest(scores, open_, len(open_)), labels), k)

    return ByLikeness(train, k, similar_by(train, values), choose)


@dataclass(frozen=True)
class ByLikeness:
    """A picker that looks at the input. choose: (score per row, rows that may be shown) -> those to show; None = the k nearest."""

    train: Sequence[Example]
    k: int
    like: Similarity
    choose: Callable[[Sequence[float], Sequence[int]], list[int]] | None = None
    rows: Rows = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "rows", Rows(self.train))

    def __call__(self, example: Example) -> list[Example]:
        if not self.train or not self.k:
            return []
        hidden = self.rows.same_as(example)
        open_ = [i for i in range(len(self.train)) if i not in hidden]
        scores = self.like.to(example.input)
        chosen = self.choose(scores, open_) if self.choose else nearest(scores, open_, self.k)
        return [self.train[i] for i in sorted(chosen, key=lambda i: (scores[i], -i))]

    def prepare(self, examples: Sequence[Example]) -> None:
        self.like.prepare([example.input for example in examples])


class Rows:
    """Finds a row among others: by its id, or as a copy, case and punctuation aside."""

    def __init__(self, rows: Sequence[Example]):
        self.ids: dict[str, set[int]] = {}
        self.texts: dict[tuple[str, ...], set[int]] = {}
        for i, row in enumerate(rows):
            self.ids.setdefault(row.id, set()).add(i)
            if row.input:
                self.texts.setdefault(text_of(row), set()).add(i)

    def same_as(self, example: Example) -> set[int]:
        return self.ids.get(example.id, set()) | (self.texts.get(text_of(example), set()) if example.input else set())


def text_of(row: Example) -> tuple[str, ...]:
    return (squeeze(row.input), *sorted(squeeze(choice) for choice in row.choices or ()))


def labels_of(task: Task, train: Sequence[Example]) -> list[str]:
    """Of each row the pile that it lies in: its label, or one for all; documents lie apart."""
    return [("d" if not row.input else f"l{row.output}" if task.kind is Kind.LABEL else "") for row in train]


def similar_by(train: Sequence[Example], values: Mapping[str, Any]) -> Similarity:
    return similarity([row.input for row in train], str(values.get("similarity", "meaning")), str(values.get("embedder", "minilm")))
