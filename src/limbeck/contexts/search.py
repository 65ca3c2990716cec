"""Searching an index of passages: by words (BM25), by meaning (embeddings), and both fused by reciprocal rank.

Arrays are mapped and passages read when they are asked for. No pickle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck import registry
from limbeck.contexts.chunks import Passage
from limbeck.contexts.words import NAMES, words_of
from limbeck.errors import ModelError, UsageError
from limbeck.need import need
from limbeck.run import room_on_disk, write_json
from limbeck.types import sha_of

if TYPE_CHECKING:
    import numpy as np

MANIFEST, LEFT_OUT = "passages.json", "passages-left-out.json"
WAYS = ("fused", "words", "meaning")
K = 5  # of reciprocal rank fusion (Cormack, Clarke and Buettcher 2009, who took 60 for many rankings of TREC); tuned, see bench/contexts
COMMON, COMMON_LEAST = 0.3, 100  # a query's word in more than this share of the passages, and in more than so many, tells nothing
DEPTH = 100  # so many of each ranking are fused

# n texts -> (n, d), rows of length 1, or nothing but zeros where one was declined. It may have an `identity`: what an index
# remembers, so that no other model's queries are compared with its passages; `passages`: of texts that are asked for once; and
# `block`: so many of them at a time.
Embed = Callable[[Sequence[str]], "np.ndarray"]


def identity_of(embed: Embed | None) -> str:
    return str(getattr(embed, "identity", ""))


def open_embedder(spec: str) -> Embed:
    """An address or openai:MODEL is an endpoint's, anything else a base of ours, a hub id or a folder."""
    embed: Embed = registry.take("embedders", "openai" if is_endpoint(spec) else "local")(spec)
    return embed


def is_endpoint(spec: str) -> bool:
    return spec.startswith(("http://", "https://", "openai:"))


@dataclass(frozen=True)
class Hit:
    """number: of the passage. score: of the way that found it; higher is better."""

    number: int
    score: float


class PassageIndex:
    """An index on disk, opened. facts: the manifest. Arrays are mapped, passages read when they are asked for."""

    def __init__(self, folder: Path, embed: Embed | None = None):
        """embed: of queries, None = the encoder that the index was built with. Raises ModelError where it is damaged."""
        self.folder, self._embed, self.common = folder, embed, COMMON
        try:
            self.facts: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
            left = folder / LEFT_OUT
            self.left_out: dict[int, str] = {int(k): v for k, v in json.loads(left.read_bytes()).items()} if left.is_file() else {}
        except (OSError, ValueError) as error:
            raise ModelError(f"there is no index of passages in {folder}", str(error), "run again with --docs DIR") from error

    def __len__(self) -> int:
        return int(self.facts["passages"])

    @property
    def digest(self) -> str:
        """Of all that decides what a search finds."""
        how = [K, DEPTH, COMMON, COMMON_LEAST]
        return sha_of([self.facts["digest"], self.facts.get("identity"), self.facts["meaning"], sorted(self.left_out), how])

    def passage(self, number: int) -> Passage:
        start, end = int(self.offsets[number]), int(self.offsets[number + 1])
        with (self.folder / "passages.jsonl").open("rb") as file:
            file.seek(start)
            return passage_from(json.loads(file.read(end - start)))

    def passages(self) -> list[Passage]:
        with (self.folder / "passages.jsonl").open("rb") as file:
            return [passage_from(json.loads(line)) for line in file]

    def leave_out(self, numbers: Mapping[Any, str]) -> None:
        """From here on no search finds these: {number: why}."""
        left_out = {int(number): why for number, why in numbers.items()}
        if left_out != self.left_out:
            write_json(self.folder / LEFT_OUT, {str(k): v for k, v in sorted(left_out.items())})
            self.left_out = left_out

    def copy_to(self, folder: Path) -> None:
        with room_on_disk(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for file in sorted(self.folder.glob("passages*")):
                shutil.copyfile(file, folder / file.name)

    def search(
        self, queries: Sequence[str], n: int, way: str = "fused", without: Sequence[Collection[int]] | None = None
    ) -> list[list[Hit]]:
        """At most n hits per query, best first; equal ones in the order of the documents. way: fused | words | meaning; fused
        is words where the index has no embeddings. without: per query, passages that it may not find."""
        assert way in WAYS, f"{way} is none of {WAYS}"
        hidden = [{*self.left_out, *(without[i] if without else ())} for i in range(len(queries))]
        depth = n if way != "fused" else max(n, DEPTH)
        by_words = [self.by_words(q, depth, gone) for q, gone in zip(queries, hidden, strict=True)] if way != "meaning" else []
        if way == "words" or (way == "fused" and not self.facts["meaning"]):
            return [hits[:n] for hits in by_words]
        by_meaning = self.by_meaning(queries, depth, hidden)
        if way == "meaning":
            return by_meaning
        pairs = zip(by_words, by_meaning, strict=True)
        return [fuse([h.number for h in one], [h.number for h in other])[:n] for one, other in pairs]

    def by_words(self, query: str, n: int, hidden: Collection[int] = ()) -> list[Hit]:
        """BM25; a passage without a word of the query is no hit."""
        known = self.telling(self.words.get_tokens_ids(words_of(query)))
        if not known:
            return []
        scores = self.words.get_scores_from_ids(known)
        return best(scores, n, hidden, above=0.0)

    def telling(self, words: Sequence[int]) -> Sequence[int]:
        """Without those that so many passages hold that they tell none from the others, in whatever language, and would take
        longest to look up; all of them where there are no others."""
        starts, most = self.words.scores["indptr"], max(COMMON_LEAST, self.common * len(self))
        return [word for word in words if starts[word + 1] - starts[word] <= most] or words

    def by_meaning(self, queries: Sequence[str], n: int, hidden: Sequence[Collection[int]]) -> list[list[Hit]]:
        """Cosine. Raises UsageError where the index has no embeddings."""
        if not self.facts["meaning"]:
            raise UsageError("this index has no embeddings", self.facts["why"] or "words alone", "--set retrieval=words")
        if not queries:
            return []
        vectors = self.embed(queries)
        if vectors.any() and vectors.shape[1] != self.vectors.shape[1]:
            raise self.another_embedder(f"{vectors.shape[1]} numbers per text, and the passages have {self.vectors.shape[1]}")
        return [
            best((self.vectors @ vector).round(6), n, gone) if vector.any() else []  # one that was declined means nothing
            for vector, gone in zip(vectors, hidden, strict=True)
        ]

    @cached_property
    def embed(self) -> Embed:
        """Of queries: the embedder of the passages. Raises UsageError where it is another one."""
        embed = self._embed or open_embedder(self.facts["embedder"])
        if (built := self.facts.get("identity")) and identity_of(embed) != built:
            raise self.another_embedder(f"{identity_of(embed) or 'one without a name'}, and the passages {built}")
        return embed

    def another_embedder(self, queries: str) -> UsageError:
        return UsageError(
            "the queries would be embedded by another model than the passages were",
            f"queries: {queries} ({self.facts['embedder']})",
            "the embedder that the index was built with, or build it again with --docs DIR",
        )

    @cached_property
    def words(self) -> Any:
        return need("bm25s", extra="data").BM25.load(str(self.folder), mmap=True, load_corpus=False, show_progress=False, **NAMES)

    @cached_property
    def offsets(self) -> np.ndarray:
        return self.array("passages-offsets.npy")

    @cached_property
    def vectors(self) -> np.ndarray:
        return self.array("passages-vectors.npy")

    def array(self, name: str) -> np.ndarray:
        import numpy as np

        return np.load(self.folder / name, mmap_mode="r", allow_pickle=False)


def best(scores: np.ndarray, n: int, hidden: Collection[int] = (), above: float = float("-inf")) -> list[Hit]:
    """The n highest above a floor; ties in order of their numbers, so that a search is the same on any machine."""
    import numpy as np

    scores = np.array(scores, np.float64)
    if hidden:
        scores[list(hidden)] = -np.inf
    if n < len(scores):
        floor = np.partition(scores, len(scores) - n)[len(scores) - n]
        places = np.nonzero(scores >= max(floor, np.finfo(np.float64).min))[0]
    else:
        places = np.nonzero(np.isfinite(scores))[0]
    places = places[scores[places] > above]
    order = places[np.lexsort((places, -scores[places]))][:n]
    return [Hit(int(i), float(scores[i])) for i in order]


def fuse(*rankings: Sequence[int], k: int = K, weights: Sequence[float] = ()) -> list[Hit]:
    """Sum over rankings of weight / (k + rank), ranks from 1; what a ranking does not hold gets nothing from it. No weights: all 1."""
    total: dict[int, float] = {}
    for ranking, weight in zip(rankings, weights or [1.0] * len(rankings), strict=True):
        for rank, number in enumerate(ranking, 1):
            total[number] = total.get(number, 0.0) + weight / (k + rank)
    return [Hit(number, score) for number, score in sorted(total.items(), key=lambda item: (-item[1], item[0]))]


def passage_from(line: dict[str, Any]) -> Passage:
    return Passage(**{**line, "headings": tuple(line["headings"])})
