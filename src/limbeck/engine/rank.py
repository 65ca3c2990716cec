"""A query against short texts: by words (BM25), by meaning (embeddings), by words that mean the same, and fused."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Sequence

import numpy as np

from limbeck.engine.embed import embed
from limbeck.engine.load import load_base
from limbeck.engine.reading import Reading
from limbeck.need import need

WORDS = 0.02  # weight of a BM25 score beside two cosines: chosen on the tuning prompts of bench/retrieval, where 0.01 to 0.03 do as well
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


def nearest_part(query: np.ndarray, texts: Sequence[Reading], part: int) -> np.ndarray:
    """(n,) cosine of a vector (d,) with the mean of the whole text or of this part of it alone, whichever is nearer."""
    return np.array([max(float(query @ one.mean()), float(query @ one.mean(part))) for one in texts], np.float32)


def by_matching(query: Reading, texts: Sequence[Reading], silent: Collection[str] = (), base: str = "minilm") -> np.ndarray:
    """(n,) in [-1, 1]: each token of the query looks for the token of the text that is nearest to it in its context (cosine);
    their mean, a token weighing as much as BM25 has it, by the share of texts it stands in. silent: words that say nothing.

    So a word is found under another name, as by an embedding, and yet a rare word is not drowned by the common ones, as by
    BM25. The sum of maxima is that of ColBERT (Khattab and Zaharia 2020, arXiv 2004.12832, equation 3), here without its training."""
    tokenizer = load_base(base, shared=True).tokenizer
    often = Counter(int(token) for one in texts for token in set(one.ids.tolist()))
    special = set(tokenizer.all_special_ids)
    met = list(often.keys() | set(query.ids.tolist()))
    named = zip(met, tokenizer.convert_ids_to_tokens(met), strict=True)
    telling = {token for token, name in named if token not in special and name not in silent and re.search(r"\w", name)}
    n = len(texts)
    weights = np.array([np.log(1 + (n - often[t] + 0.5) / (often[t] + 0.5)) if t in telling else 0.0 for t in query.ids.tolist()])
    if not weights.sum():
        return np.zeros(n, np.float32)
    asked = unit_rows(query.states)  # (q, d)
    scores = np.zeros(n, np.float32)
    for i, one in enumerate(texts):
        kept = [place for place, token in enumerate(one.ids.tolist()) if token in telling]
        if kept:
            scores[i] = weights @ (asked @ unit_rows(one.states[kept]).T).max(1) / weights.sum()
    return scores


def unit_rows(states: np.ndarray) -> np.ndarray:
    """(t, d) float32, rows of length 1."""
    wide = states.astype(np.float32)
    return wide / np.linalg.norm(wide, axis=1, keepdims=True).clip(1e-9)  # type: ignore[no-any-return]


def add(words: np.ndarray, meaning: np.ndarray, matching: np.ndarray) -> np.ndarray:
    """(n,) meaning + matching + WORDS * words.

    Scores are added, not ranks, and BM25 keeps its scale: a query often shares no telling word with the right text, and then
    the ranks by words are noise that weighs as much as a match, while the scores are low (Bruch et al. 2022, arXiv 2210.11934,
    on convex combination against rank fusion)."""
    return meaning + matching + WORDS * words


def fuse(*scores: np.ndarray, k: int = K) -> np.ndarray:
    """(n,) sum over rankings of 1 / (k + rank), ranks from 1; equal scores share the mean of their ranks."""
    return np.sum([1 / (k + ranks(s)) for s in scores], axis=0)


def ranks(scores: np.ndarray) -> np.ndarray:
    """(n,) 1 = the highest; ties share their mean."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    higher = len(scores) - np.cumsum(counts)
    return (higher + (counts + 1) / 2)[place]
