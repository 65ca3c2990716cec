"""The rows most worth a label: unsure, disputed, and unlike each other."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest

from limbeck.curate.informative import disagreement, most_informative_first, most_worth_labelling, uncertainty
from limbeck.types import Example, Prediction, Status


def rows_of(*texts: str) -> list[Example]:
    return [Example(id=str(i), input=text) for i, text in enumerate(texts)]


def sure(name: str, first: float, text: str = "a") -> Prediction:
    return Prediction(id=name, text=text, scores={"a": first, "b": 1 - first}, confidence=max(first, 1 - first))


def test_uncertainty_is_one_minus_the_margin() -> None:
    assert uncertainty(sure("x", 0.7)) == pytest.approx(0.6)
    assert uncertainty(sure("x", 0.5)) == 1.0
    assert uncertainty(Prediction(id="x", text="a", confidence=0.8)) == pytest.approx(0.2)
    assert uncertainty(Prediction(id="x", text="a")) == 0.5, "it does not say"
    assert uncertainty(Prediction(id="x", status=Status.MALFORMED, confidence=0.9)) == 1.0
    assert uncertainty(Prediction(id="x", text="a", scores={"a": 1.0})) == 0.0


def test_disagreement_is_the_entropy_of_the_votes() -> None:
    assert disagreement(["a", "a", "a"]) == 0 and disagreement(["a"]) == 0 and disagreement([]) == 0
    assert disagreement(["a", "b"]) == pytest.approx(1.0)
    assert disagreement(["a", "a", "b"]) == pytest.approx(-(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3)) / math.log(3))


def test_the_unsure_and_disputed_row_comes_first_and_its_copy_last() -> None:
    rows = rows_of("alpha beta gamma", "alpha beta gamma", "delta epsilon", "zeta eta theta")
    student = [sure("0", 0.52), sure("1", 0.53), sure("2", 0.99), sure("3", 0.8)]
    other = [p.model_copy(update={"text": "b"}) if i < 2 else p for i, p in enumerate(student)]
    named = most_worth_labelling(rows, student, [other], 4)
    assert [w.id for w in named][:2] == ["0", "3"] and named[0].disagreement == 1.0
    at = {w.id: w for w in named}
    assert at["1"].distance == 0.0 and at["1"].score < at["0"].score / 10


def test_what_is_labelled_already_is_not_named_and_kept_away_from() -> None:
    rows = rows_of("alpha beta", "alpha beta", "gamma delta")
    named = most_worth_labelling(rows, [None] * 3, [], 5, labelled=[0])
    assert [w.id for w in named] == ["2", "1"]


def test_vectors_take_the_place_of_words_where_they_are_given() -> None:
    rows = rows_of("same", "same", "same")
    vectors = np.array([[1, 0], [1, 0.01], [-1, 0]], dtype=np.float32)
    assert [w.id for w in most_worth_labelling(rows, [None] * 3, [], 2, vectors=vectors)] == ["0", "2"]


def test_the_order_begins_far_from_what_is_labelled_and_holds_every_row_once() -> None:
    draw = np.random.default_rng(0)
    centres = np.eye(4)
    vectors = np.concatenate([centres[i] + 0.02 * draw.normal(size=(30, 4)) for i in range(4)]).astype(np.float32)
    order = most_informative_first(rows_of(*map(str, range(120))), vectors, centres[:1])
    assert sorted(order) == list(range(120))
    assert {i // 30 for i in order[:3]} == {1, 2, 3}, "the three unlabelled clusters come before the labelled one"
    assert order == most_informative_first(rows_of(*map(str, range(120))), vectors * 7, centres[:1]), "length means nothing"


def test_it_is_greedy_k_centre_and_covers_better_than_chance() -> None:
    draw = np.random.default_rng(1)
    vectors = draw.normal(size=(400, 8)).astype(np.float32)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    order = most_informative_first(rows_of(*map(str, range(400))), vectors)
    for k in (1, 5, 40):  # each step takes the row furthest from all before it
        far = (1 - unit @ unit[order[:k]].T).min(axis=1)
        assert far[order[k]] == pytest.approx(far.max(), abs=1e-5)
    chance = [(1 - unit @ unit[draw.choice(400, 40, replace=False)].T).min(axis=1).max() for _ in range(50)]
    assert (1 - unit @ unit[order[:40]].T).min(axis=1).max() < min(chance)


def test_after_the_centres_the_rest_follows_cell_by_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("limbeck.curate.informative.CENTRES", 2)
    angles = [0.0, 0.1, 0.2, 3.0, 2.8, 2.9, 2.85]
    vectors = np.array([[math.cos(a), math.sin(a)] for a in angles])
    order = most_informative_first(rows_of(*map(str, angles)), vectors, vectors[:1])
    assert sorted(order) == list(range(7)) and order[0] == 3
    assert {order[2] < 3, order[3] < 3} == {True, False}, "one of each cell before a second of either"


def test_twenty_thousand_rows_are_ordered_in_seconds() -> None:
    vectors = np.random.default_rng(0).normal(size=(20_000, 64)).astype(np.float32)
    rows = rows_of(*map(str, range(20_000)))
    began = time.process_time()
    assert len(set(most_informative_first(rows, vectors, vectors[:50]))) == 20_000
    assert time.process_time() - began < 20


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_rows_are_ordered_too(n: int) -> None:
    assert sorted(most_informative_first(rows_of(*map(str, range(n))), np.ones((n, 3)))) == list(range(n))
    assert len(most_worth_labelling(rows_of(*map(str, range(n))), [None] * n, [], 5)) == n
