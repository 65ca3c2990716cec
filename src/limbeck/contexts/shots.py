"""Which training rows stand in the prompt as demonstrations.

A picker is made once per candidate, (task, train, k, seed) -> function of one input -> k rows, the most telling last,
nearest the question. Demonstrations come from train alone: never from dev or test."""

from __future__ import annotations

import math
import random
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence

from limbeck.types import Example, Kind, Task

Picker = Callable[[Example], list[Example]]


def pick_random(task: Task, train: Sequence[Example], k: int, seed: int) -> Picker:
    """The same k rows for every call, drawn evenly over the labels (over all rows, where there are no labels)."""
    rng = random.Random(seed)
    piles: dict[str, list[Example]] = defaultdict(list)
    for row in rng.sample(list(train), len(train)):
        piles[(row.output or "") if task.kind is Kind.LABEL else ""].append(row)
    order = rng.sample(sorted(piles), len(piles))
    drawn: list[Example] = []
    while len(drawn) < min(k, len(train)):
        for name in order:
            if piles[name] and len(drawn) < k:
                drawn.append(piles[name].pop())
    return lambda example: drawn


def pick_nearest(task: Task, train: Sequence[Example], k: int, seed: int) -> Picker:
    """The k rows with the most telling words in common with the input (cosine of TF-IDF vectors), nearest last."""
    words = [Counter(tokens(row.input)) for row in train]
    seen = Counter(w for bag in words for w in bag)
    weight = {w: math.log((1 + len(train)) / (1 + n)) + 1 for w, n in seen.items()}
    postings: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for i, bag in enumerate(words):
        length = math.sqrt(sum((n * weight[w]) ** 2 for w, n in bag.items())) or 1.0
        for w, n in bag.items():
            postings[w].append((i, n * weight[w] / length))

    def pick(example: Example) -> list[Example]:
        near = [0.0] * len(train)
        for w, n in Counter(tokens(example.input)).items():
            for i, value in postings.get(w, ()):
                near[i] += n * weight[w] * value
        best = sorted(range(len(train)), key=lambda i: (-near[i], i))[:k]
        return [train[i] for i in reversed(best)]

    return pick


def tokens(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
