"""What may be said of rationales: planted gains, nulls and controls, and what comes out."""

from __future__ import annotations

import random

import pytest

from limbeck import controls
from limbeck.controls import Grade

ROWS, SEEDS = 600, 3


def answers(rate: float, seeds: int = SEEDS, rows: int = ROWS, salt: str = "") -> list[list[float]]:
    """Rows differ in difficulty, the same for every arm: outcomes are paired, as those of real students are."""
    found = []
    for seed in range(seeds):
        difficulty, own = random.Random(0), random.Random(f"{salt}/{seed}/{rate}")
        found.append([float(difficulty.random() * 0.7 + own.random() * 0.3 < rate) for _ in range(rows)])
    return found


def planted(**rates: float) -> dict[str, list[list[float]]]:
    return {name: answers(rate, salt=name) for name, rate in rates.items()}


def test_a_planted_gain_over_every_control_is_called_a_help():
    found = controls.judge(planted(label=0.60, label2x=0.61, echo=0.60, shuffled=0.62, stepwise=0.72))
    assert found.grade is Grade.HELP and found.control == "shuffled" and found.recommended
    assert found.low is not None and found.low > 0 and found.seeds == 3 and found.rows == ROWS
    assert controls.sentence(found).startswith("Rationales help here: +0.1")


def test_arms_that_are_alike_are_left_open():
    found = controls.judge(planted(label=0.6, label2x=0.6, echo=0.6, shuffled=0.6, stepwise=0.6))
    assert found.grade is Grade.OPEN and not found.recommended
    assert controls.sentence(found).startswith("Rationales are not shown to help here")


def test_a_gain_that_a_control_has_too_is_no_help():
    """Pilot C of the methods notes: seven points over plain training, and so had every control."""
    found = controls.judge(planted(label=0.55, label2x=0.65, echo=0.65, shuffled=0.64, stepwise=0.65))
    assert found.grade is Grade.OPEN and found.control in ("label2x", "echo")
    assert found.difference is not None and abs(found.difference) < 0.03
    assert found.controls["label"] < 0.58, "against plain training alone it would have looked like a gain"


def test_worse_than_the_best_control_is_called_so():
    found = controls.judge(planted(label=0.70, label2x=0.69, stepwise=0.58))
    assert found.grade is Grade.HURT and found.control == "label"
    assert controls.sentence(found).startswith("Rationales hurt here: -0.1")


def test_one_lucky_seed_of_three_carries_no_claim():
    arms = planted(label=0.6, stepwise=0.6)
    arms["stepwise"][0] = [1.0] * ROWS
    found = controls.judge(arms)
    assert found.by_seed[0] > 0.35 and max(found.by_seed[1:]) < 0.05
    assert found.difference is not None and found.difference > 0.1 and found.grade is Grade.OPEN


def test_one_training_alone_is_ahead_at_most():
    arms = {name: bits[:1] for name, bits in planted(label=0.6, label2x=0.6, stepwise=0.8).items()}
    found = controls.judge(arms)
    assert found.grade is Grade.AHEAD and found.recommended
    assert "takes a second seed" in controls.sentence(found)
    worse = controls.judge({name: bits[:1] for name, bits in planted(label=0.8, stepwise=0.6).items()})
    assert worse.grade is Grade.OPEN, "nor is one training enough to say that they hurt"


def test_without_a_control_nothing_is_said():
    found = controls.judge(planted(stepwise=0.9))
    assert found.grade is Grade.UNTESTED and not found.recommended
    assert controls.judge(planted(label=0.9)).grade is Grade.UNTESTED
    assert "not run beside a control" in controls.sentence(found)


def test_arms_of_other_seeds_or_rows_are_refused():
    arms = planted(label=0.6, stepwise=0.7)
    with pytest.raises(ValueError, match="different seeds or rows"):
        controls.judge({**arms, "label": arms["label"][:2]})
    with pytest.raises(ValueError, match="different seeds or rows"):
        controls.judge({**arms, "label": [bits[:-1] for bits in arms["label"]]})


def test_under_no_difference_a_claim_is_rare():
    """Forty nulls: at 95 % one or two go wrong at random; seeds drawn anew make it rarer."""
    claims = 0
    for k in range(40):
        arms = {name: answers(0.6, rows=200, salt=f"{name}/{k}") for name in ("label", "stepwise")}
        claims += controls.judge(arms).grade is Grade.HELP
    assert claims <= 3
