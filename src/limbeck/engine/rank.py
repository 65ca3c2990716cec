"""A query against short texts: by words (BM25), by meaning (embeddings), and both fused."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from limbeck.engine.embed import embed
from limbeck.need import need

K = 60  # of reciprocal rank fusion (Cormack et al. 2009)


def words(text: str) -> list[str]:
    """Lower-cased letters and digits; no stemming, no stop words: the texts are of any language."""
    return re.findall(r"\w+", text.lower())


def by_words(query: str, texts: Sequence[str]) -> np.ndarray:
    """(n,) BM25 scores (Lucene's form, k1 1.5, b 0.75), 0 where no word is shared."""
    bm25s = need("bm25s", extra="data")
    if not texts:
        return np.zeros(0, np.float32)
    index = bm25s.BM25()
    index.index([words(text) or [""] for text in texts], show_progress=False)
    known = [w for w in words(query) if w in index.vocab_dict]
    return index.get_scores(known) if known else np.zeros(len(texts), np.float32)


def by_meaning(query: str, texts: Sequence[str], base: str = "minilm") -> np.ndarray:
    """(n,) cosine of the embeddings, in [-1, 1]."""
    return embed(list(texts), base) @ embed([query], base)[0] if texts else np.zeros(0, np.float32)


def fuse(*scores: np.ndarray, k: int = K) -> np.ndarray:
    """(n,) sum over rankings of 1 / (k + rank), ranks from 1; equal scores share the mean of their ranks."""
    return np.sum([1 / (k + ranks(s)) for s in scores], axis=0)


def ranks(scores: np.ndarray) -> np.ndarray:
    """(n,) 1 = the highest; ties share their mean."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    higher = len(scores) - np.cumsum(counts)
    return (higher + (counts + 1) / 2)[place]
