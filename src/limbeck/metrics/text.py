"""Free text: exact match, token F1, chrF++ and ROUGE-L, each from 0 to 1. An answer that is not `ok` gets 0.

Where a row has several answers that are right, the one that the answer comes nearest to counts, as in SQuAD."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from string import punctuation
from typing import Any

from limbeck.need import need
from limbeck.registry import Metric
from limbeck.types import Example, Kind, Prediction, Status, Task

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_SIGN = re.compile(r"(?<![\w.])[-−](?=\d)")
_POINT = re.compile(r"(?<=\d)\.(?=\d)")


def normalised(text: str, language: str = "en") -> str:
    """As SQuAD's evaluate-v1.1 does: lower case, no punctuation, no English articles, single blanks. Unlike there the
    sign and the point of a number stay, and # and +: -5 is not 5, 3.5 is not 35, C is not C#."""
    kept = _POINT.sub("\x01", _SIGN.sub("\x02", unicodedata.normalize("NFC", text).lower()))
    flat = "".join(c for c in kept if c in "#+" or not (c in punctuation or unicodedata.category(c).startswith("P")))
    if language.startswith("en"):
        flat = _ARTICLES.sub(" ", flat)
    flat = " ".join(flat.split()).replace("\x01", ".").replace("\x02", "-")
    return flat or " ".join(text.lower().split())  # an answer of signs or articles alone stays itself


def graded(grade: Callable[[Task, str, str], float]) -> Callable[[Task, Example, Prediction], float | None]:
    """grade(task, answer, gold) -> a row metric: None without gold, 0 without an answer, the best over several golds."""

    def row(task: Task, example: Example, prediction: Prediction) -> float | None:
        if not (gold := gold_answers(example)):
            return None
        return max(grade(task, prediction.text, one) for one in gold) if prediction.status is Status.OK else 0.0

    return row


def gold_answers(example: Example) -> tuple[str, ...]:
    """Every answer of the row that is right, its output first; () where it is not labelled."""
    if example.output is None:
        return ()
    return tuple(dict.fromkeys((example.output, *(example.answers or ()))))


def exact_match(task: Task, answer: str, gold: str) -> float:
    return float(normalised(answer, task.language) == normalised(gold, task.language))


def token_f1(task: Task, answer: str, gold: str) -> float:
    """F1 over the words as a multiset (Rajpurkar et al. 2016)."""
    ours, theirs = normalised(answer, task.language).split(), normalised(gold, task.language).split()
    return f1((Counter(ours) & Counter(theirs)).total(), len(ours), len(theirs))


def f1(common: int, ours: int, theirs: int) -> float:
    """2 common / (ours + theirs); two empty answers are the same answer."""
    return 2 * common / (ours + theirs) if ours + theirs else 1.0


def rouge_l(task: Task, answer: str, gold: str) -> float:
    """F1 of the longest common subsequence of words (Lin 2004), no stemming."""
    ours, theirs = words(answer), words(gold)
    return f1(common_subsequence(ours, theirs), len(ours), len(theirs)) if ours and theirs else exact_match(task, answer, gold)


def words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def common_subsequence(a: Sequence[str], b: Sequence[str]) -> int:
    """Length of the longest common subsequence, one bit per word of `a` (Hyyrö 2004): linear in practice."""
    places: dict[str, int] = {}
    for i, word in enumerate(a):
        places[word] = places.get(word, 0) | 1 << i
    full = (1 << len(a)) - 1
    row = full  # zero bits mark where the subsequence grows
    for word in b:
        match = row & places.get(word, 0)
        row = ((row + match) | (row - match)) & full
    return len(a) - row.bit_count()


@cache
def _chrf() -> Any:
    return need("sacrebleu.metrics", extra="text").CHRF(word_order=2)


def chrf(task: Task, answer: str, gold: str) -> float:
    """Sentence-level chrF++ (Popović 2017): characters up to 6, words up to 2, beta 2."""
    return float(_chrf().sentence_score(answer, [gold]).score) / 100


EXACT_MATCH = Metric("exact_match", (Kind.TEXT,), row=graded(exact_match))
TOKEN_F1 = Metric("token_f1", (Kind.TEXT,), row=graded(token_f1))
CHRF = Metric("chrf", (Kind.TEXT,), row=graded(chrf))
ROUGE_L = Metric("rouge_l", (Kind.TEXT,), row=graded(rouge_l))
