"""How new is a text? Against everything accepted so far: a copy, a near copy by its words, or near by its meaning.

Copies and near copies are no rows of their own. A text that is neither may still say what others say; the share of
texts that do not is the novelty by which the generation is steered and stopped."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

COPY, NEAR = "copy", "near copy"

Words = Callable[[str], Sequence[str]]  # a text's words, case and punctuation aside
Shingles = Callable[[Sequence[str]], frozenset[Any]]  # its runs of words; empty for a short text
Embed = Callable[[Sequence[str]], "np.ndarray"]  # texts -> (n, d), rows of length 1


@dataclass(frozen=True)
class Seen:
    """at: number of the accepted text that this one is, or repeats. how: "" = accepted as a text of its own.
    nearest: similarity to the nearest accepted text, in [-1, 1], 0 for the very first. novel: below the threshold."""

    at: int
    how: str
    nearest: float
    novel: bool


class Novelty:
    """near_jaccard: from this overlap of shingles on, a near copy. threshold: nearest neighbour from which a text is no
    longer novel: a cosine, or without `embed` an overlap of shingles. On 2,000 human banking77 messages 18 % have an
    earlier one at cosine 0.9 or more, and 97 % of those pairs share their label: such a text brings little."""

    def __init__(
        self, words: Words, shingles: Shingles, embed: Embed | None = None, threshold: float | None = None, near_jaccard: float = 0.8
    ):
        self.words, self.shingles, self.embed, self.near_jaccard = words, shingles, embed, near_jaccard
        self.threshold = threshold if threshold is not None else (0.9 if embed else 0.5)
        self.same: dict[Hashable, int] = {}  # words -> number
        self.sets: list[frozenset[Any]] = []
        self.holders: dict[Any, list[int]] = defaultdict(list)  # shingle -> numbers of the texts that hold it
        self.nearest: list[float] = []  # per accepted text, as it was when it came
        self.vectors: np.ndarray | None = None  # (capacity, d), the first len(self) rows filled; only with `embed`

    def __len__(self) -> int:
        return len(self.sets)

    def see(self, texts: Sequence[str]) -> list[Seen]:
        """One verdict per text, in order; a text is compared with those before it in the same call too."""
        vectors = self.embed(texts) if self.embed and texts else None
        return [self.see_one(text, None if vectors is None else vectors[i]) for i, text in enumerate(texts)]

    def measure_by(self, own: Sequence[str]) -> None:
        """Raise the threshold to how near the user's own texts lie to each other: a task may know little else ("3 days ago",
        "5 days ago"). The 80th percentile of their nearest neighbours, at most 0.98; of fewer than five texts it says nothing."""
        if self.embed and len(own) >= 5:
            import numpy as np

            vectors = self.embed(own[:500])
            nearest = (vectors @ vectors.T - 2 * np.eye(len(vectors))).max(axis=1)
            self.threshold = max(self.threshold, min(0.98, float(np.quantile(nearest, 0.8))))

    def see_one(self, text: str, vector: np.ndarray | None) -> Seen:
        words = tuple(self.words(text))
        if (at := self.same.get(words)) is not None:
            return Seen(at, COPY, 1.0, False)
        own = self.shingles(words)
        overlap, at = self.most_overlapping(own)
        if overlap >= self.near_jaccard:
            self.same[words] = at
            return Seen(at, NEAR, overlap, False)
        nearest = overlap
        if vector is not None:
            nearest = 0.0 if self.vectors is None else float((self.vectors[: len(self)] @ vector).max())
        self.add(words, own, vector, nearest)
        return Seen(len(self) - 1, "", nearest, nearest < self.threshold)

    def most_overlapping(self, own: frozenset[Any]) -> tuple[float, int]:
        """(Jaccard, number) of the accepted text with the largest overlap; (0, -1) where none shares a shingle."""
        shared = Counter(at for token in own for at in self.holders.get(token, ()))
        scored = [(n / (len(own) + len(self.sets[at]) - n), -at) for at, n in shared.items()]
        jaccard, minus = max(scored, default=(0.0, 1))
        return jaccard, -minus

    def add(self, words: Hashable, own: frozenset[Any], vector: np.ndarray | None, nearest: float) -> None:
        number = len(self)
        if vector is not None:
            if self.vectors is None or number >= len(self.vectors):
                self.vectors = self.grown(len(vector))
            self.vectors[number] = vector
        self.same[words] = number
        for token in own:
            self.holders[token].append(number)
        self.sets.append(own)
        self.nearest.append(nearest)

    def grown(self, d: int) -> np.ndarray:
        """Twice the room for vectors. Who embeds has numpy; without the train extra nobody does, and it is not imported."""
        import numpy as np

        room = np.zeros((max(256, 2 * len(self)), d), np.float32)
        if self.vectors is not None:
            room[: len(self)] = self.vectors[: len(self)]
        return room
