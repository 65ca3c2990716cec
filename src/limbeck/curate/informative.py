"""Which rows are most worth a label: where the student is unsure, where the candidates disagree, and far from each other.

Uncertainty by margin (Scheffer et al. 2001), disagreement by vote entropy (Dagan & Engelson 1995), diversity by greedy
k-centre (Gonzalez 1985; Sener & Savarese 2018). Pure and deterministic; ties go to the row that stands first."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from limbeck.curate.clean import key_text, words_of
from limbeck.need import need
from limbeck.types import Example, Frozen, Prediction, Status

if TYPE_CHECKING:
    from numpy import ndarray

CENTRES = 1000  # rows ordered one by one; the others follow cell by cell around them
UNKNOWN = 0.5  # where a predictor says nothing of how sure it is
NEAREST = 0.05  # a row on top of a chosen one keeps this much of its worth, so that scores still order copies

Distances = Callable[[int], Sequence[float]]  # row number -> its distance to every row, in [0, 1]


class Worth(Frozen):
    """One row worth labelling. uncertainty, disagreement, distance (to what is labelled or chosen before it): in [0, 1]."""

    id: str
    score: float
    uncertainty: float
    disagreement: float
    distance: float


# ---- how much one row would teach -----------------------------------------------------------------------------------


def uncertainty(found: Prediction) -> float:
    """1 - (best - second best) of the stored scores; else 1 - confidence; 1 where there was no usable answer."""
    if found.status is not Status.OK:
        return 1.0
    if found.scores:
        first, second = [*sorted(found.scores.values(), reverse=True), 0.0][:2]
        return clip(1 - (first - second))
    return UNKNOWN if found.confidence is None else clip(1 - found.confidence)


def disagreement(answers: Sequence[str]) -> float:
    """Entropy of the candidates' votes over that of all different; 0 with fewer than two voices."""
    n = len(answers)
    if n < 2:
        return 0.0
    shares = [count / n for count in Counter(answers).values()]
    return clip(-sum(p * math.log(p) for p in shares) / math.log(n))


def clip(value: float) -> float:
    return min(1.0, max(0.0, value))


# ---- the rows most worth labelling ------------------------------------------------------------------------------------


def most_worth_labelling(
    rows: Sequence[Example],
    student: Sequence[Prediction | None],
    others: Sequence[Sequence[Prediction | None]],
    n: int,
    vectors: ndarray | None = None,
    labelled: Sequence[int] = (),
) -> list[Worth]:
    """The n rows, best first: at each step the row with the greatest (uncertainty + disagreement) / 2 x distance to the
    nearest row that is labelled or chosen already. student, others: stored predictions of the rows, None = not
    predicted. vectors (n, d): embeddings; without them the distance is that of the word sets (1 - Jaccard).
    labelled: numbers of rows that a person has labelled already: never named, and kept away from."""
    unsure = [UNKNOWN if p is None else uncertainty(p) for p in student]
    voices = [[p.text for p in column if p is not None and p.status is Status.OK] for column in zip(student, *others, strict=True)]
    apart = [disagreement(said) for said in voices]
    worth = [(a + b) / 2 for a, b in zip(unsure, apart, strict=True)]
    distances = of_words(rows) if vectors is None else of_vectors(vectors)
    nearest = [1.0] * len(rows)
    out = set(labelled)
    for i in labelled:
        nearest = list(map(min, nearest, distances(i)))
    chosen: list[Worth] = []
    while len(chosen) < n and len(out) < len(rows):
        best = max((i for i in range(len(rows)) if i not in out), key=lambda i: (worth[i] * max(nearest[i], NEAREST), -i))
        value = worth[best] * max(nearest[best], NEAREST)
        digits = {"uncertainty": unsure[best], "disagreement": apart[best], "distance": nearest[best]}
        chosen.append(Worth(id=rows[best].id, score=round(value, 4), **{k: round(v, 4) for k, v in digits.items()}))
        out.add(best)
        nearest = list(map(min, nearest, distances(best)))
    return chosen


def of_words(rows: Sequence[Example]) -> Distances:
    """1 - Jaccard of the word sets."""
    sets = [frozenset(words_of(key_text(row))) for row in rows]

    def distances(i: int) -> list[float]:
        own = sets[i]
        return [1 - len(own & other) / (len(own | other) or 1) for other in sets]

    return distances


def of_vectors(vectors: ndarray) -> Distances:
    """(1 - cosine) / 2, at least 0."""
    np = need("numpy", "train")
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return lambda i: np.clip((1 - unit @ unit[i]) / 2, 0, 1).tolist()


# ---- before anything is trained -----------------------------------------------------------------------------------------


def most_informative_first(rows: Sequence[Example], vectors: ndarray, labelled_vectors: ndarray | None = None) -> list[int]:
    """Row numbers, every one once: first those that cover what the labelled rows do not. vectors (n, d), labelled_vectors
    (m, d): embeddings, of any length. The first 1,000 by greedy k-centre (the row furthest from all before it; without
    labelled rows it starts at the row nearest to the mean), then in rounds: of each centre's cell the furthest row left."""
    np = need("numpy", "train")
    n = len(rows)
    if n == 0:
        return []

    def unit(x: ndarray) -> ndarray:
        x = np.asarray(x, dtype=np.float32)
        return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)

    vectors = unit(vectors)
    nearest = np.full(n, np.inf, dtype=np.float32)  # 1 - cosine to the nearest row that is labelled or chosen
    cell = np.full(n, -1, dtype=np.int64)
    if labelled_vectors is not None and len(labelled_vectors):
        known = unit(labelled_vectors)
        for at in range(0, len(known), CENTRES):
            nearest = np.minimum(nearest, 1 - (vectors @ known[at : at + CENTRES].T).max(axis=1))
        start = int(nearest.argmax())
    else:
        start = int((vectors @ vectors.mean(axis=0)).argmax())
    order = [start]
    free = np.ones(n, dtype=bool)
    while True:
        new = 1 - vectors @ vectors[order[-1]]
        closer = new < nearest
        nearest[closer], cell[closer] = new[closer], len(order) - 1
        free[order[-1]] = False
        if len(order) == min(CENTRES, n):
            break
        order.append(int(np.where(free, nearest, -np.inf).argmax()))
    rest = np.flatnonzero(free)
    rest = rest[np.lexsort((rest, -nearest[rest], cell[rest]))]  # by cell, then furthest first
    starts = np.r_[True, cell[rest][1:] != cell[rest][:-1]] if len(rest) else np.zeros(0, dtype=bool)
    place = np.arange(len(rest)) - np.maximum.accumulate(np.where(starts, np.arange(len(rest)), 0)) if len(rest) else rest
    rounds = np.lexsort((rest, -nearest[rest], place))
    return order + [int(i) for i in rest[rounds]]
