"""BERTScore (Zhang et al. 2020): F1 of the best cosine that each token of one text finds in the other. 0 to 1.

No idf weights, no rescaling against a baseline. As in the package of its authors, [CLS] and [SEP] may be found, but do
not look themselves; an empty text is worth 0; what is longer than the model reads is cut. (Its figure of one pair by itself:
in a batch it lifts negative cosines to 0 where a text was padded.) The model is XLM-R base at
layer 9 where it lies in the cache of this machine, else minilm at layer 5, so figures of two machines can be compared
only where both used the same one: LIMBECK_BERTSCORE=minilm:5, or <base>:<layer>, says which."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache

import numpy as np

from limbeck.errors import UsageError
from limbeck.metrics.text import gold_answers
from limbeck.need import need
from limbeck.registry import Metric
from limbeck.types import Example, Kind, Prediction, Status, Task

XLM_R = ("FacebookAI/xlm-roberta-base", 9)  # the layer that the package names for it
MINILM = ("minilm", 5)  # the package names 5 of 6 layers for the other models of this depth
CHUNK = 128  # pairs whose states are in memory together: about 200 MB at 512 tokens each

_known: dict[tuple[str, int, str, str], float] = {}  # (base, layer, answer, gold): a figure is asked for several times


def model_in_use() -> tuple[str, int]:
    """(base, layer). Raises UsageError where the environment names something else than <base>:<layer>."""
    wanted = os.environ.get("LIMBECK_BERTSCORE", "")
    if not wanted:
        return default_model()
    base, _, layer = wanted.rpartition(":")
    if not base or not layer.isdecimal():
        raise UsageError("LIMBECK_BERTSCORE names no base and layer", f"it is {wanted!r}", "LIMBECK_BERTSCORE=minilm:5")
    return base, int(layer)


@cache
def default_model() -> tuple[str, int]:
    need("torch", extra="train")
    from limbeck.engine.token_states import at_hand

    return XLM_R if at_hand(XLM_R[0]) else MINILM


def f1_scores(pairs: Sequence[tuple[str, str]], base: str, layer: int) -> list[float]:
    """(answer, gold) -> F1 in [0, 1], rounded to six digits: batches move those behind."""
    keys = [(base, layer, answer.strip(), gold.strip()) for answer, gold in pairs]
    fresh = sorted((k for k in dict.fromkeys(keys) if k not in _known), key=lambda k: len(k[2]) + len(k[3]))
    for start in range(0, len(fresh), CHUNK):
        _known.update(zip(fresh[start : start + CHUNK], compute(fresh[start : start + CHUNK], base, layer), strict=True))
    return [_known[key] for key in keys]


def compute(keys: Sequence[tuple[str, int, str, str]], base: str, layer: int) -> list[float]:
    from limbeck.engine.token_states import token_states

    texts = list(dict.fromkeys(text for key in keys for text in key[2:]))
    states = dict(zip(texts, token_states(texts, base, layer), strict=True))
    found = []
    for _, _, answer, gold in keys:
        ours, theirs = states[answer], states[gold]
        if not ours.words.any() or not theirs.words.any():
            found.append(0.0)
            continue
        cosine = ours.states @ theirs.states.T  # (T answer, T gold)
        found.append(f1(float(cosine.max(1)[ours.words].mean()), float(cosine.max(0)[theirs.words].mean())))
    return found


def f1(precision: float, recall: float) -> float:
    if precision <= 0 or recall <= 0:
        return 0.0
    return round(float(np.clip(2 * precision * recall / (precision + recall), 0.0, 1.0)), 6)


def rows(task: Task, examples: Sequence[Example], predictions: Sequence[Prediction]) -> list[float | None]:
    """None without gold, 0 without an answer, the best over several golds."""
    asked = {
        i: [(p.text, gold) for gold in gold_answers(e)]
        for i, (e, p) in enumerate(zip(examples, predictions, strict=True))
        if p.status is Status.OK and p.text.strip()
    }
    pairs = [pair for some in asked.values() for pair in some]
    worth = dict(zip(pairs, f1_scores(pairs, *model_in_use()), strict=True)) if pairs else {}
    return [None if e.output is None else max((worth[pair] for pair in asked.get(i, ())), default=0.0) for i, e in enumerate(examples)]


def row(task: Task, example: Example, prediction: Prediction) -> float | None:
    return rows(task, [example], [prediction])[0]


BERTSCORE = Metric("bertscore", (Kind.TEXT,), row=row, rows=rows)
