"""What may be said of rationales: planted gains, nulls and controls, and what comes out."""

from __future__ import annotations

import random

import pytest

from limbeck import controls, scoring
from limbeck.candidates import Record
from limbeck.controls import Grade
from limbeck.types import Example, Kind, Prediction, Recipe, Task

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


# ---- in a run of the product: one training each ------------------------------------------------------------------------

LABELS = ("a", "b", "c", "d")
TASK = Task(name="t", instruction="", kind=Kind.LABEL, labels=LABELS, metric="accuracy")
DEV = [Example(id=str(i), input=f"row {i}", output=LABELS[i % 4]) for i in range(400)]


def said(right: float, seed: int = 0) -> list[Prediction]:
    rng = random.Random(seed)
    return [Prediction(id=r.id, text=r.output if rng.random() < right else LABELS[(LABELS.index(r.output or "") + 1) % 4]) for r in DEV]


def run_of(**rates: float) -> tuple[list[Record], dict[str, list[Prediction]]]:
    """objective -> share right on dev; "sft" is plain training."""
    names = {"sft": "", "ours": "stepwise", **{name: f"stepwise:{name}" for name in controls.CONTROLS[1:]}}
    records = [Record(recipe=Recipe(adapter="full", objective=names[name], base="minilm"), group="student") for name in rates]
    return records, {r.recipe.id: said(rate, seed) for seed, (r, rate) in enumerate(zip(records, rates.values(), strict=True))}


def test_a_run_takes_stepwise_where_dev_says_that_it_beats_its_best_control():
    records, answers = run_of(sft=0.6, label2x=0.62, echo=0.6, shuffled=0.6, ours=0.85)
    assert scoring.choose(TASK, records, DEV, answers).best_student == records[-1].recipe.id
    found = scoring.findings(TASK, [r.recipe for r in records], DEV, answers)
    assert list(found) == [records[-1].recipe.id] and found[records[-1].recipe.id].grade is Grade.AHEAD
    assert "is ahead" in controls.advice(records[-1].recipe, found[records[-1].recipe.id], "accuracy")


def test_a_run_takes_the_control_where_stepwise_is_better_by_luck_alone():
    records, answers = run_of(sft=0.70, echo=0.80, ours=0.81)
    choice = scoring.choose(TASK, records, DEV, answers)
    assert choice.dev[records[2].recipe.id] == max(choice.dev.values()), "on dev it stands first"
    assert choice.best_student == records[1].recipe.id
    found = scoring.findings(TASK, [r.recipe for r in records], DEV, answers)[records[2].recipe.id]
    assert "not shown to help" in controls.advice(records[2].recipe, found, "accuracy") and "stepwise:echo" in found.control


def test_stepwise_alone_is_taken_and_the_report_says_what_to_run_beside_it():
    records, answers = run_of(ours=0.8)
    assert scoring.choose(TASK, records, DEV, answers).best_student == records[0].recipe.id
    found = scoring.findings(TASK, [records[0].recipe], DEV, answers)
    said = controls.advice(records[0].recipe, found[records[0].recipe.id], "accuracy")
    assert "nothing is said of its rationales" in said and "full@minilm, full+stepwise:label2x@minilm" in said


def test_another_base_or_adapter_is_no_control():
    ours = Recipe(adapter="full", objective="stepwise", base="minilm")
    others = [
        Recipe(adapter="lora", base="minilm"),
        Recipe(adapter="full", base="tiny"),
        Recipe(adapter="full", base="minilm", rows="rows:gold"),
    ]
    assert controls.controls_of(ours, others) == []
    assert controls.controls_of(ours, [Recipe(adapter="full", base="minilm")])[0].text == "full@minilm"
    assert controls.controls_of(ours, [Recipe(adapter="full", objective="stepwise:shared", base="minilm")]) == []
