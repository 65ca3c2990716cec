"""What stands before a question: nothing, documents among which are those that it needs, or those that a search finds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from limbeck.bench.knowledge.base import MARK
from limbeck.bench.knowledge.facts import Document, Item, World

Context = Callable[[Item], str]


def nothing(item: Item) -> str:
    return ""


def many(world: World, sentences: int, seed: int) -> Context:
    """The whole training set where it has no more sentences than that; else the documents that the answer follows from and others
    drawn by seed, in any order. (Lampinen et al. subsample documents, too. That those needed are among them is not what a user
    gets for nothing: the arm that searches is.)"""
    by_id = {d.id: d for d in world.documents}

    def context(item: Item) -> str:
        rng = Random(f"{seed}/{item.id}")
        chosen = dict.fromkeys(item.needs)
        room = sentences - sum(len(by_id[name].sentences) for name in chosen)
        for document in rng.sample(world.documents, len(world.documents)):
            if document.id not in chosen and len(document.sentences) <= room:
                chosen[document.id] = None
                room -= len(document.sentences)
        return before([by_id[name] for name in rng.sample(list(chosen), len(chosen))])

    return context


def retrieved(world: World, k: int, sentences: int) -> Context:
    """The k documents that share most with the stem by BM25, as many as fit, the best last; of two that say the same facts the
    first alone."""
    from limbeck.engine.rank import by_words

    texts = [d.text for d in world.documents]
    says = [frozenset(map(world.rules.read, d.sentences)) for d in world.documents]

    def context(item: Item) -> str:
        scores = by_words(item.stem, texts)
        chosen: list[int] = []
        room = sentences
        for i in sorted(range(len(texts)), key=lambda i: (-scores[i], i)):
            if len(chosen) == k or not scores[i] > 0:
                break
            size = len(world.documents[i].sentences)
            if size <= room and not any(says[i] == says[j] for j in chosen):
                chosen.append(i)
                room -= size
        return before([world.documents[i] for i in reversed(chosen)])

    return context


def before(documents: Sequence[Document]) -> str:
    return f"{' '.join(d.text for d in documents)} {MARK}" if documents else ""
