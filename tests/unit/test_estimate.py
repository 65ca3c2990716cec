"""The estimate before money is spent: a range that follows prompts, answers, prices and sizes."""

from __future__ import annotations

import time

import pytest

from limbeck.derived import Sizes, with_values
from limbeck.engine.load import CAUSAL
from limbeck.estimate import ASKED_AGAIN, estimate, estimate_generation, with_rationales
from limbeck.probing import measured, probe
from limbeck.recipes import parse_all
from limbeck.teachers import open_teacher
from limbeck.teachers.tokens import tokens_of
from limbeck.testing.toys import toy
from limbeck.types import Demonstration, Example, Kind, Price, Task

PRICE = Price(usd_per_mtok_in=1.0, usd_per_mtok_out=4.0)
TASK = Task(name="t", instruction="Sort the mail.", kind=Kind.LABEL, labels=("refund", "delivery"), metric="accuracy")
ROWS = [Example(id=str(i), input="where is my parcel " * (1 + i % 5), output=("refund", "delivery")[i % 2]) for i in range(100)]


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("LIMBECK_API_KEY", "sk-none")


def teacher(price=PRICE, kind=""):
    return open_teacher(f"{kind}http://127.0.0.1:9/v1#m", price)


SIZES = Sizes(train=100, dev=40, test=60, unlabelled=0, labels=2, chars=40.0, options=0)


def told(*recipes, sizes=SIZES, asked=(), task=TASK, who=None, rows=ROWS, seed=0, **more):
    planned = [with_values(r, task, sizes, {}) for r in parse_all(recipes)]
    return estimate(task, planned, sizes, rows, who or teacher(), asked, seed, **more)


def test_what_asks_nobody_costs_nothing_but_the_reading_of_the_prompt():
    floor = told("majority")
    assert floor.usd_low == 0 and 0 < floor.usd_high < 0.01 and floor.calls == 1


def test_every_row_of_dev_and_test_is_one_call_and_the_prompt_one_more():
    assert told("prompt@teacher").calls == 101
    assert told("prompt@teacher", "prompt+few:4@teacher").calls == 201
    more = told("majority", sizes=Sizes(train=100, dev=40, test=60, unlabelled=500, labels=2, chars=40.0, options=0))
    assert more.calls == 501 and more.usd_low > told("majority").usd_low


def test_demonstrations_lengthen_the_prompt_by_what_they_are():
    one, eight = told("prompt@teacher"), told("prompt+few:8@teacher")
    assert 2 < eight.usd_low / one.usd_low < 8


def test_rows_that_are_known_are_measured_themselves():
    long = [Example(id="x", input="a very long letter " * 200)] * 5
    assert told("prompt@teacher", asked=long).usd_low > 10 * told("prompt@teacher").usd_low


def test_the_range_scales_with_the_price_and_the_batch_interface_halves_it():
    double = Price(usd_per_mtok_in=2.0, usd_per_mtok_out=8.0)
    base = told("prompt@teacher")
    assert told("prompt@teacher", who=teacher(double)).usd_low == pytest.approx(2 * base.usd_low)
    assert told("prompt@teacher", who=teacher(kind="openai-batch:")).usd_high == pytest.approx(base.usd_high / 2)


def test_a_teacher_in_this_process_costs_nothing(tmp_path):
    file = tmp_path / "r.jsonl"
    file.write_text('{"input": "a", "label": "refund"}\n')
    free = told("prompt@teacher", who=open_teacher(f"recorded:{file}", PRICE))
    assert (free.usd_low, free.usd_high) == (0, 0) and free.calls == 100


def test_the_range_is_no_more_than_a_factor_of_four():
    """A range that is wide enough always holds; this one has to say something."""
    for recipe in ("prompt@teacher", "prompt+few:8@teacher"):
        it = told(recipe)
        assert 1.5 < it.usd_high / it.usd_low < 4


def test_signs_of_chinese_and_japanese_are_tokens_of_their_own():
    assert tokens_of(["abcdefgh"]) == 2 and tokens_of(["日本語の文"]) == 5


# ---- rows that are made ----------------------------------------------------------------------------------------


def test_no_rows_cost_nothing_and_more_rows_more():
    assert estimate_generation(TASK, 0, 3, teacher(), ROWS) == (0.0, 0.0, 0)
    one, ten = (estimate_generation(TASK, n, 0, teacher(), ROWS) for n in (100, 1000))
    assert 0 < one[0] < one[1] and ten[0] == pytest.approx(10 * one[0]) and ten[2] == pytest.approx(10 * one[2], rel=0.1)


def test_votes_are_paid_for_at_the_labellers_price():
    dear = teacher(Price(usd_per_mtok_in=100.0, usd_per_mtok_out=400.0))
    none, five = estimate_generation(TASK, 200, 0, teacher(), ROWS), estimate_generation(TASK, 200, 5, teacher(), ROWS)
    second = estimate_generation(TASK, 200, 5, teacher(), ROWS, labeller=dear)
    assert none[1] < five[1] < second[1] and five[2] == none[2] + 200 * (1 + 4) / 2
    assert second[0] - none[0] == pytest.approx(200 * (five[0] - none[0])), "the first teacher's own answers do not vote then"


def test_a_prompt_alone_is_enough_to_estimate_with():
    shown = TASK.model_copy(update={"demonstrations": (Demonstration(input="where is it", output="delivery"),)})
    for task in (TASK, shown):
        low, high, calls = estimate_generation(task, 100, 3, teacher())
        assert 0 < low < high and calls > 150
    assert told("prompt@teacher", rows=()).usd_low > 0
    assert ASKED_AGAIN > 1


def test_a_price_of_nothing_or_unknown_is_zero():
    for price in (None, Price(usd_per_mtok_in=0, usd_per_mtok_out=0)):
        assert estimate_generation(TASK, 100, 3, teacher(price), ROWS)[:2] == (0.0, 0.0)


def test_reasons_cost_a_call_for_each_row_that_has_none_and_more_samples_cost_more():
    sizes = Sizes(train=100, dev=40, test=60, unlabelled=0, labels=2, chars=40.0, options=0)
    bare = told("majority")

    def reasons(rows=ROWS, samples=1, sizes=sizes):
        return with_rationales(bare, TASK, sizes, rows, teacher(), (), False, samples)

    own = [row.model_copy(update={"rationale": "he asks where it is"}) if i < 40 else row for i, row in enumerate(ROWS)]
    assert reasons(own).calls - bare.calls == 60, "nobody is asked about what a person has explained, nor for something to show"
    assert 100 < reasons().calls - bare.calls <= 100 + 24 and reasons().usd_low > bare.usd_low
    assert reasons(samples=5).usd_high > 1.5 * reasons().usd_high
    assert reasons([row.model_copy(update={"rationale": "why"}) for row in ROWS]) == bare
    assert reasons(sizes=Sizes(train=100, dev=40, test=60, unlabelled=50, labels=2, chars=40.0, options=0)).calls == reasons().calls + 50


# ---- prompts of a base on this machine --------------------------------------------------------------------------


class Slow:
    """Takes 30 ms for a call, and 4 ms for each row of it."""

    def predict(self, inputs):
        time.sleep(0.030 + 0.004 * len(inputs))
        return []


def test_what_a_prompt_of_this_machine_takes_is_measured_and_the_range_holds_it():
    found = measured(Slow(), ROWS[:32], ready_s=0.5)
    dev, test = 40, 60
    truth = 2 * 0.5 + sum(0.030 * -(-n // 32) + 0.004 * n for n in (dev, test)) + 42 * 0.034
    assert 0.5 * found.seconds(dev, test) < truth < 2.5 * found.seconds(dev, test)
    it = told("prompt@tiny-lm", probed=lambda recipe: found.seconds(dev, test))
    assert it.lines[0]["seconds"] == pytest.approx(found.seconds(dev, test), abs=0.3)


def test_a_probe_reads_what_the_candidate_is_going_to_read(tmp_path):
    base = str(toy(tmp_path, CAUSAL, [TASK.instruction, *(row.input for row in ROWS)]))
    short, long = (
        probe(TASK, with_values(parse_all([f"{name}@{base}"])[0], TASK, SIZES, {"max_length": 400}), ROWS, ROWS[:40], 0, 1)
        for name in ("prompt", "prompt+few:20")
    )
    assert 0 < short.single_s < long.single_s and 0 < short.row_s < long.row_s
    assert probe(TASK, with_values(parse_all(["prompt@teacher"])[0], TASK, SIZES, {}), ROWS, ROWS, 0, 1) is None
    assert probe(TASK, with_values(parse_all(["prompt@owner/away"])[0], TASK, SIZES, {}), ROWS, ROWS, 0, 1) is None


def test_without_a_probe_more_answers_and_longer_ones_take_longer():
    three, forty = (TASK.model_copy(update={"labels": tuple(f"late parcel number {i}" for i in range(n))}) for n in (3, 40))
    assert 1.5 * told("prompt@tiny-lm", task=three).lines[0]["seconds"] < told("prompt@tiny-lm", task=forty).lines[0]["seconds"]
    written = TASK.model_copy(update={"kind": Kind.TEXT, "labels": ()})
    assert told("prompt@tiny-lm", task=written).lines[0]["seconds"] > told("prompt@tiny-lm").lines[0]["seconds"]
