"""How like training rows are to an input: by their words, or by their meaning."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol

from limbeck.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

Embed = Callable[[Sequence[str]], "np.ndarray"]  # n texts -> (n, d), rows of length 1


class Similarity(Protocol):
    """Of n training rows. to(text) -> n cosines; between(i, j): the cosine of two of the rows. prepare: texts that `to` will
    be asked about, so that what can be done for many at once is."""

    def to(self, text: str) -> Sequence[float]: ...

    def between(self, i: int, j: int) -> float: ...

    def prepare(self, texts: Sequence[str]) -> None: ...


class Words:
    """Cosine of TF-IDF vectors: words that few rows have count most."""

    def __init__(self, texts: Sequence[str]):
        self.n = len(texts)
        bags = [Counter(words_of(text)) for text in texts]
        self.seen = Counter(word for bag in bags for word in bag)
        self.rows = [self.vector(bag) for bag in bags]
        self.postings: dict[str, list[tuple[int, float]]] = defaultdict(list)
        for i, row in enumerate(self.rows):
            for word, value in row.items():
                self.postings[word].append((i, value))

    def vector(self, bag: Counter[str]) -> dict[str, float]:
        """word -> n log((1 + rows) / (1 + rows with it)) + n, of length 1."""
        raw = {word: n * (math.log((1 + self.n) / (1 + self.seen[word])) + 1) for word, n in bag.items()}
        length = math.sqrt(sum(value * value for value in raw.values())) or 1.0
        return {word: value / length for word, value in raw.items()}

    def to(self, text: str) -> list[float]:
        near = [0.0] * self.n
        for word, weight in self.vector(Counter(words_of(text))).items():
            for i, value in self.postings.get(word, ()):
                near[i] += weight * value
        return near

    def between(self, i: int, j: int) -> float:
        one, other = sorted((self.rows[i], self.rows[j]), key=len)
        return sum(value * other.get(word, 0.0) for word, value in one.items())

    def prepare(self, texts: Sequence[str]) -> None:
        pass


class Meaning:
    """Cosine of embeddings, to six decimals: the last bits depend on what else was in a batch. embed: each text once, kept with
    the run (engine.embed)."""

    def __init__(self, texts: Sequence[str], embed: Embed):
        self.embed, self.rows = embed, embed(texts)

    def to(self, text: str) -> list[float]:
        found: list[float] = (self.rows @ self.embed([text])[0]).round(6).tolist()
        return found

    def between(self, i: int, j: int) -> float:
        return round(float(self.rows[i] @ self.rows[j]), 6)

    def prepare(self, texts: Sequence[str]) -> None:
        self.embed(texts)


WAYS = ("meaning", "words")


def similarity(texts: Sequence[str], way: str, embedder: str) -> Similarity:
    """way: meaning | words. Raises UsageError for another one, MissingExtra where embeddings cannot be had here."""
    if way == "words":
        return Words(texts)
    if way != "meaning":
        raise UsageError(f"rows cannot be compared by {way!r}", f"there are: {', '.join(WAYS)}", "--set similarity=words")
    from limbeck.need import need

    need("torch", extra="train")
    from limbeck.engine.embed import embed

    return Meaning(texts, lambda some: embed(some, embedder))


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())
