"""What follows from statements, written down, and checked before anything is trained on it.

An inference names the statements that it rests on and how it follows, so that a person or a program can look it up
(Lampinen et al. 2025, arXiv 2505.00661, section 3: local and global augmentation). What it repairs is coverage times
precision: a wrong inference is learnt as willingly as a right one."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Literal

from limbeck.render import squeeze
from limbeck.types import Frozen, Origin

NEGATIONS = frozenset("not no never none nobody nothing cannot isn aren wasn weren doesn don didn t".split())

Contradicts = Callable[[str, str], bool]  # (inference, text of a source) -> can they not both be true?


class Inference(Frozen):
    """text: a statement. uses: ids of the sources that it rests on. why: its derivation, one line. scope: local, from one
    statement alone; global, from one document together with others. samples, votes: it was written in so many of so many
    replies. origin: who wrote it, with the reply's address; None = nobody was asked (rules)."""

    text: str
    uses: tuple[str, ...]
    why: str
    scope: Literal["local", "global"]
    votes: int = 1
    samples: int = 1
    origin: Origin | None = None


def checked(
    inferences: Iterable[Inference],
    sources: Mapping[str, str],
    *,
    contradicts: Contradicts | None = None,
    names: bool = False,
    words: Iterable[str] | None = None,
) -> tuple[list[Inference], dict[str, int]]:
    """(those that may be trained on, {reason: how many were dropped}). sources: {id: text}.

    Reasons, of which the first counts: empty; source (it names none, or one that there is not); known (a source says so
    literally); duplicate (of one before it, case and punctuation aside); name, with `names`: a number or a word written as a name
    is stands in no source; word, with `words`: a word stands neither in a source nor there; contradiction: contradicts(text, source)
    says so of any source."""
    kept, lost = sort_out(inferences, sources, contradicts=contradicts, names=names, words=words)
    return kept, dict(Counter(reason for _, reason in lost))


def sort_out(
    inferences: Iterable[Inference],
    sources: Mapping[str, str],
    *,
    contradicts: Contradicts | None = None,
    names: bool = False,
    words: Iterable[str] | None = None,
) -> tuple[list[Inference], list[tuple[Inference, str]]]:
    """As `checked`, with every one that was dropped and its reason."""
    flat = "\n".join(f" {squeeze(text)} " for text in sources.values())  # squeezed texts have no line ends of their own
    there = set(flat.split())
    more = None if words is None else {word for text in words for word in squeeze(text).split()}
    kept: dict[str, Inference] = {}
    lost: list[tuple[Inference, str]] = []
    for one in inferences:
        own = squeeze(one.text)
        if reason := (
            ("empty" if not re.search(r"\w", own) else "")
            or ("source" if not one.uses or any(name not in sources for name in one.uses) else "")
            or ("known" if f" {own} " in flat else "")
            or ("duplicate" if own in kept else "")
            or ("name" if names and any(word not in there for word in names_in(one.text)) else "")
            or ("word" if more is not None and any(word not in there and word not in more for word in own.split()) else "")
            or ("contradiction" if contradicts is not None and any(contradicts(one.text, text) for text in sources.values()) else "")
        ):
            lost.append((one, reason))
        else:
            kept[own] = one
    return list(kept.values()), lost


def names_in(text: str) -> list[str]:
    """Words that say which thing is meant: with a digit, or with a capital where no sentence begins; as `squeeze` writes them."""
    found = []
    begins = True
    for word in re.findall(r"[^\W_]+|[.!?:]", text):
        if word in ".!?:":
            begins = True
            continue
        if any(c.isdigit() for c in word) or (word != word.lower() and not begins and word != "I"):
            found.append(word.lower())
        begins = False
    return found


def negates(text: str, source: str) -> bool:
    """Does a sentence of the source say the same words with the opposite sign? Catches "is not" against "is", no paraphrase."""
    sign, words = signed(text)
    return (not sign, words) in signs_of(source)


@lru_cache(maxsize=1 << 16)
def signed(sentence: str) -> tuple[bool, tuple[str, ...]]:
    """(is it affirmed? its other words)."""
    words = squeeze(sentence).split()
    return not any(w in NEGATIONS for w in words), tuple(w for w in words if w not in NEGATIONS)


@lru_cache(maxsize=1 << 16)
def signs_of(source: str) -> frozenset[tuple[bool, tuple[str, ...]]]:
    return frozenset(signed(sentence) for sentence in re.split(r"(?<=[.!?])\s+|\n+", source))


def agreed(samples: Sequence[Sequence[Inference]], least: int = 1) -> tuple[list[Inference], int]:
    """Self-consistency: (what stands in `least` of the samples or more, how many distinct ones stood in fewer). Each once, as the
    first sample wrote it, with its votes."""
    first: dict[str, Inference] = {}
    votes: Counter[str] = Counter()
    for sample in samples:
        for one in sample:
            first.setdefault(squeeze(one.text), one)
        votes.update({squeeze(one.text) for one in sample})
    held = [one.model_copy(update={"votes": votes[key], "samples": len(samples)}) for key, one in first.items() if votes[key] >= least]
    return held, len(first) - len(held)
