"""The parts of generation: temperature, batch sizes, prompts that are bounded, topics, novelty, quota."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from limbeck.curate.clean import shingles, words_of
from limbeck.errors import UsageError
from limbeck.render import all_json, find_json
from limbeck.sources.novelty import COPY, NEAR, Novelty
from limbeck.sources.steer import Plan, Quota, batch_size, fading, temperature, width
from limbeck.sources.templates import META, TEMPLATES, Wish, compose, reply_schema, tokens_of
from limbeck.sources.topics import Topic, Topics, read
from limbeck.types import Example, Kind, Task

FREE = Task(name="t", instruction="Answer the question.", kind=Kind.TEXT)
LABELS = Task(name="t", instruction="Sort the mail.", kind=Kind.LABEL, labels=("refund", "delivery", "other"))


# ---- numbers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "last"), [(-0.2, 1.4), (0.5, 2.3), (1.5, 1.2)])
def test_temperatures_that_make_no_sense_are_refused(first: float, last: float) -> None:
    with pytest.raises(UsageError):
        Plan(first_temperature=first, last_temperature=last)


def test_temperature_is_linear_in_the_rows_at_hand() -> None:
    assert [temperature(0.5, 1.4, have / 10) for have in (0, 5, 10)] == pytest.approx([0.5, 0.95, 1.4])
    assert temperature(0.7, 0.7, 0.3) == 0.7 and temperature(0.5, 1.4, 2.0) == 1.4


@pytest.mark.parametrize(
    "changed", [{"rows_per_request": 0}, {"max_requests": 0}, {"wide": -1}, {"least_novelty": 0.6}, {"wanted_novelty": 1.5}]
)
def test_a_plan_that_makes_no_sense_is_refused(changed: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Plan(**changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("missing", "used", "allowed", "wanted"),
    [(15, 26, 28, 2), (15, 20, 28, 3), (75, 0, 28, 5), (1, 0, None, 1), (0, 0, None, 0), (15, 28, 28, 0)],
)
def test_a_batch_is_no_larger_than_rows_calls_and_width_allow(missing: int, used: int, allowed: int | None, wanted: int) -> None:
    assert batch_size(missing, 5, None if allowed is None else allowed - used, wide=5) == wanted


def test_batches_leave_room_to_steer_and_keep_a_fast_endpoint_busy() -> None:
    assert width(2000, 2000, 5, 1.0) == 64 and width(100, 2000, 5, 1.0) == 16
    assert width(60, 60, 5, 1.0) == 4, "few rows: still several batches"
    assert width(1000, 2000, 5, 0.5) > width(500, 2000, 5, 1.0), "where half is lost, twice as much is asked for"


def test_novelty_fades_over_two_batches_and_enough_rows_only() -> None:
    assert fading([(30, 30), (1, 30), (1, 30)], least=0.1)
    assert not fading([(1, 30)], 0.1) and not fading([(20, 30), (1, 30)], 0.1) and not fading([(0, 5), (0, 5)], 0.1)


def test_the_quota_asks_for_the_rarest_labels_and_counts_what_it_asked_for() -> None:
    quota, planned = Quota(("a", "b", "c"), Counter(a=5, b=1)), Counter[str]()
    assert Counter(quota.rarest(9, planned, random.Random(0))) == {"c": 5, "b": 4}
    assert Counter(quota.rarest(3, planned, random.Random(0))) == {"a": 1, "b": 1, "c": 1}
    assert quota.rarest(0, planned, random.Random(0)) == () and Quota((), Counter()).rarest(3, planned, random.Random(0)) == ()
    assert quota.report(18) == "labels: 6.0 rows each wanted, 2 of 3 labels have less than half of it; fewest: c 0, b 1, a 5"


# ---- prompts -------------------------------------------------------------------------------------------------------


def rows(count: int, length: int = 40) -> list[Example]:
    return [Example(id=str(i), input=f"input {i} " + "x" * length, output="refund") for i in range(count)]


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_template_shows_its_number_of_other_tasks_one_of_them_of_the_same_kind(template: str) -> None:
    for seed in range(5):
        for kind in Kind:
            task = FREE.model_copy(update={"kind": kind, "labels": ("a", "b") if kind is Kind.LABEL else ()})
            text = compose(task, Wish(template, 5), [], [], random.Random(seed), 3500).messages[-1].content
            assert text.count("Another task, as an example") == TEMPLATES[template]
            shown = [k for k, what, _ in META if what in text]
            assert kind in shown


def test_every_worked_example_of_ours_is_a_right_reply_to_its_own_task() -> None:
    for kind, _, given in META:
        task = Task(name="t", instruction="x", kind=kind, labels=tuple(sorted({r["output"] for r in given})) if kind is Kind.LABEL else ())
        schema = json.loads(reply_schema(task, len(given)))
        item = schema["properties"]["examples"]["items"]
        assert all(set(row) == set(item["required"]) for row in given)
        assert all(row["output"] in row["choices"] for row in given if kind is Kind.CHOICE)
        assert all(isinstance(find_json(row["output"]), dict) for row in given if kind is Kind.FIELDS)


def test_a_prompt_that_would_be_too_long_leaves_out_examples_and_never_the_task() -> None:
    """Long inputs were only warned about once, and the drawing of shorter ones could go on for ever."""
    whole = compose(LABELS, Wish("few", 5), rows(3), rows(10), random.Random(0), 3500)
    assert whole.left_out == 0
    for room in (1200, 600, 300, 10):
        cut = compose(LABELS, Wish("many", 5), rows(3, 400), rows(10, 400), random.Random(0), room)
        text = cut.messages[0].content + cut.messages[1].content
        assert cut.left_out > 0 and "Sort the mail." in text and "Write 5 new examples" in text
        assert tokens_of(text) <= room or cut.left_out == 4 + 3 + 10


def test_the_users_own_examples_are_the_last_to_be_left_out() -> None:
    text = compose(LABELS, Wish("many", 5), rows(2, 400), rows(10, 400), random.Random(0), 700).messages[-1].content
    assert "Examples by the task's owner" in text and "exist already" not in text


def test_a_long_instruction_is_sent_whole_and_an_endless_one_refused() -> None:
    long = LABELS.model_copy(update={"instruction": "Sort the mail. " * 2000})
    assert long.instruction.strip() in compose(long, Wish("few", 5), rows(3), rows(3), random.Random(0), 3500).messages[-1].content
    endless = LABELS.model_copy(update={"instruction": "Sort the mail. " * 20000})
    with pytest.raises(UsageError, match="too long"):
        compose(endless, Wish("few", 5), [], [], random.Random(0), 3500)


def test_the_schema_asks_for_as_many_rows_as_the_prompt_and_for_the_tasks_labels_only() -> None:
    array = json.loads(reply_schema(LABELS, 4))["properties"]["examples"]
    assert array["minItems"] == array["maxItems"] == 4 and array["items"]["properties"]["output"]["enum"] == list(LABELS.labels)
    fields = FREE.model_copy(update={"kind": Kind.FIELDS, "output_schema": '{"type": "object", "properties": {"a": {"type": "string"}}}'})
    assert json.loads(reply_schema(fields, 1))["properties"]["examples"]["items"]["properties"]["output"]["type"] == "object"


def test_all_json_of_a_text_is_found_and_an_unfinished_one_gives_its_finished_parts() -> None:
    assert all_json('a {"x": "}"} b [1, {"y": 2}] c') == [{"x": "}"}, [1, {"y": 2}]]
    assert all_json('{"rows": [{"a": 1}, {"a": 2}, {"a": ') == [{"a": 1}, {"a": 2}]
    assert all_json("none at all") == [] and all_json("[" * 100_000) == []


# ---- topics --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('{"topics": ["a", "B", "a", " ", 3, "b"]}', ["a", "B"]),
        ('Here:\n```json\n["x", "y"]\n```', ["x", "y"]),
        ('{"topics": "one"}', []),
        ("", []),
        ("no", []),
    ],
)
def test_topics_are_read_without_repeats_and_what_is_no_list_is_nothing(text: str, names: list[str]) -> None:
    assert read(text) == names


def test_topics_that_bring_new_rows_come_more_often_and_none_twice_in_a_round() -> None:
    good, bad = Topic("good"), Topic("bad")
    good.learn(30, 30)
    bad.learn(30, 0)
    topics = Topics(FREE, [bad, good, Topic("unknown")])
    assert {t.name for t in topics.draw(3, random.Random(0)) if t} == {"bad", "good", "unknown"}
    first = Counter(t.name for seed in range(300) for t in topics.draw(1, random.Random(seed)) if t)
    assert first["good"] > 4 * first["bad"] > 0
    assert Topics(FREE).draw(2, random.Random(0)) == [None, None]


# ---- novelty -------------------------------------------------------------------------------------------------------


def vectors(texts: Sequence[str]) -> np.ndarray:
    """Two numbers in a text are its direction in degrees."""
    angles = np.radians([float(text.split()[-1].rstrip("!")) for text in texts])
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_nearness_is_the_cosine_to_the_nearest_accepted_text() -> None:
    novelty = Novelty(words_of, shingles, vectors, threshold=0.9)
    seen = novelty.see(["at 0", "at 90", "at 10", "to 80", "at 10!", "to 45"])
    assert [s.how for s in seen] == ["", "", "", "", COPY, ""]
    assert [s.nearest for s in seen] == pytest.approx(
        [0.0, 0.0, np.cos(np.pi / 18), np.cos(np.pi / 18), 1.0, np.cos(np.radians(35))], abs=1e-6
    )
    assert [s.novel for s in seen] == [True, True, False, False, False, True]
    assert [s.at for s in seen] == [0, 1, 2, 3, 2, 4] and len(novelty) == 5


def test_what_is_new_is_measured_by_how_near_the_users_own_texts_lie() -> None:
    def threshold(*angles: int) -> float:
        novelty = Novelty(words_of, shingles, vectors, threshold=0.9)
        novelty.measure_by([f"at {angle}" for angle in angles])
        return novelty.threshold

    assert threshold(0, 20, 40, 60, 80) == pytest.approx(np.cos(np.radians(20)), abs=1e-6)
    assert threshold(0, 40, 80, 120, 160) == 0.9, "never below the one that was set"
    assert threshold(0, 1, 2, 3, 4, 5) == 0.98, "and copies are never new"
    assert threshold(0, 20, 40) == 0.9, "too few to say"


def test_the_order_in_which_texts_come_in_batches_does_not_matter() -> None:
    texts = [f"text {i % 7} of some more words {i % 11}" for i in range(40)]
    whole, parts = Novelty(words_of, shingles), Novelty(words_of, shingles)
    assert whole.see(texts) == [seen for i in range(0, 40, 9) for seen in parts.see(texts[i : i + 9])]


def test_near_copies_are_found_by_their_words_and_belong_to_the_nearest_text() -> None:
    long = [" ".join(f"{name}{i}" for i in range(30)) for name in "ab"]
    seen = Novelty(words_of, shingles).see([*long, f"{long[1]} extra", "short one", "short two"])
    assert [(s.how, s.at) for s in seen] == [("", 0), ("", 1), (NEAR, 1), ("", 2), ("", 3)]


def test_the_index_grows_past_its_first_size() -> None:
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(600, 16)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    novelty = Novelty(words_of, shingles, lambda texts: np.stack([directions[int(t[1:])] for t in texts]))
    seen = [one for i in range(0, 600, 100) for one in novelty.see([f"t{k}" for k in range(i, i + 100)])]
    cosines = np.tril(directions @ directions.T, -1)
    expected = [cosines[i, :i].max() for i in range(1, 600)]
    assert [one.nearest for one in seen[1:]] == pytest.approx(expected, abs=1e-5)
