"""Pseudo-words: four or five letters that can be spoken, and that no tokenizer holds as a word."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Sequence
from functools import cache
from pathlib import Path
from random import Random

HEADS = (
    "b",
    "bl",
    "br",
    "d",
    "dr",
    "f",
    "fl",
    "g",
    "gl",
    "gr",
    "j",
    "k",
    "kl",
    "m",
    "n",
    "p",
    "pl",
    "r",
    "s",
    "sk",
    "sl",
    "t",
    "tr",
    "v",
    "w",
    "y",
    "z",
)
MIDDLES = ("a", "e", "i", "o", "u", "ai", "ee", "oo")
TAILS = ("b", "ck", "f", "g", "k", "lf", "lm", "lp", "m", "mp", "n", "ng", "p", "rb", "rf", "rk", "rn", "sk", "t", "v", "x", "zz", "po", "ba", "ki", "zu")  # fmt: skip


def pseudo_words(n: int, rng: Random, known: Collection[str] = ()) -> list[str]:
    """n different ones; none of `known`. Raises ValueError where there are not so many."""
    every = sorted({w for h in HEADS for m in MIDDLES for t in TAILS if 4 <= len(w := h + m + t) <= 5} - set(known))
    if n > len(every):
        raise ValueError(f"{n} pseudo-words are asked for, and there are {len(every)}")
    return rng.sample(every, n)


@cache
def known_words(folder: Path) -> frozenset[str]:
    """The words that a tokenizer.json holds as one token, without the signs that mark a word's beginning."""
    vocabulary = json.loads((folder / "tokenizer.json").read_bytes())["model"]["vocab"]
    names = vocabulary if isinstance(vocabulary, dict) else [name for name, _ in vocabulary]
    return frozenset(name.strip("Ġ▁ ").lower() for name in names)


def tokens_per_word(split: Callable[[str], Sequence[object]], words: Sequence[str]) -> float:
    """split: one word -> its tokens, special ones left out."""
    return sum(len(split(f" {word}")) for word in words) / len(words)
