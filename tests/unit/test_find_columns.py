"""Columns: one answer, at least one input, by rules or by a teacher whom the rules check; one way to write a row."""

from __future__ import annotations

import json
from typing import Any

import pytest

from limbeck.sources import columns
from limbeck.sources.datasets import Dataset
from limbeck.sources.files import Bad
from limbeck.types import Kind, Reply, Task

SQUAD = [
    {"id": f"q{i}", "title": "Towns", "context": f"The town number {i} lies on the river.", "question": f"What is number {i}?",
     "answers": {"text": [f"town {i}", f"the town {i}"], "answer_start": [4, 4]}}
    for i in range(6)
]  # fmt: skip
FLAT = [columns.flat(record) for record in SQUAD]
CARD = Dataset(name="towns", source="folder", where="towns")


def task(kind: Kind = Kind.TEXT, **more: Any) -> Task:
    return Task(name="t", instruction="Answer the question.", kind=kind, **more)


def teacher(*texts: str):
    """An ask that gives these replies in turn and keeps what it was asked."""
    replies = iter(texts)

    def ask(requests):
        ask.asked += list(requests)
        return [Reply(texts=(next(replies),), finish=("stop",), model="m", address="a1") for _ in requests]

    ask.asked = []
    return ask


def test_nested_answers_become_a_column_of_their_own_and_the_first_accepted_one_is_the_answer():
    found = columns.by_rules(task(), FLAT)
    assert found is not None
    assert (set(found.inputs), found.output) == ({"context", "question"}, "answers_text")
    text, output, _ = columns.pair(FLAT[2], columns.Columns(inputs=("question", "context"), output="answers_text"))
    assert text == "question: What is number 2?\ncontext: The town number 2 lies on the river."
    assert output == "town 2"


def test_one_input_column_is_written_as_its_text_alone():
    assert columns.canonical_input({"text": " how far? ", "other": "x"}, ["text"]) == "how far?"


def test_the_teachers_columns_are_taken_in_its_order():
    ask = teacher('{"inputs": ["question", "context"], "output": "answers_text"}')
    chosen, said = columns.choose(task(), CARD, FLAT, ask)
    assert (chosen.inputs, chosen.output, chosen.how, said) == (("question", "context"), "answers_text", "teacher", [])
    schema = json.loads(ask.asked[0].reply_schema)
    assert schema["properties"]["inputs"]["minItems"] == 1
    assert schema["properties"]["output"]["enum"] == columns.column_names(FLAT)


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ('{"inputs": ["question", "story"], "output": "answers_text"}', "no column 'story'"),
        ('{"inputs": ["question"], "output": "reply"}', "no column 'reply'"),
        ('{"inputs": ["question"]}', "lacks output"),
        ('{"output": "answers_text"}', "lacks inputs"),
        ('{"inputs": ["question"], "output": ["answers_text", "title"]}', "exactly one output"),
        ('{"inputs": [], "output": "answers_text"}', "at least one input"),
        ('{"inputs": ["title", "answers_text"], "output": "answers_text"}', "both input and output"),
        ("I would take the question.", "malformed"),
    ],
)
def test_a_reply_that_breaks_the_rules_is_refused_and_the_rules_choose_with_a_note(reply, reason):
    with pytest.raises(Bad, match=reason):
        columns.check(reply, columns.column_names(FLAT))
    chosen, said = columns.choose(task(), CARD, FLAT, teacher(reply))
    assert chosen.how == "rules" and chosen.output == "answers_text"
    assert len(said) == 1 and reason.split()[0] in said[0]


def test_the_column_whose_values_are_the_tasks_labels_wins_over_one_that_is_only_named_so():
    records = [{"text": f"note {i}", "label": i, "topic": "Sport" if i % 2 else "money"} for i in range(20)]
    found = columns.by_rules(task(Kind.LABEL, labels=("sport", "money")), records)
    assert found is not None and (found.inputs, found.output) == (("text",), "topic")


def test_label_ids_are_read_with_the_names_of_the_card_and_an_id_without_name_is_refused():
    names = {"label": ("bad", "good")}
    assert columns.decoded({"text": "x", "label": 1}, names)["label"] == "good"
    assert columns.decoded({"text": "x", "label": "0"}, names)["label"] == "bad"
    with pytest.raises(Bad, match="-1"):
        columns.decoded({"text": "x", "label": -1}, names)


def test_what_tells_the_answer_is_no_input():
    records = [{"text": f"so it was {i}", "label": i % 2, "label_text": ("no", "yes")[i % 2], "uid": f"u{i}"} for i in range(10)]
    found = columns.by_rules(task(Kind.LABEL, labels=("no", "yes")), records)
    assert found is not None and (found.inputs, found.output) == (("text",), "label_text")


def test_scores_need_a_column_of_numbers_and_choices_a_column_of_options():
    scored = [{"sentence1": f"a {i}", "sentence2": f"b {i}", "genre": "news" if i % 2 else "talk", "score": i / 2} for i in range(8)]
    found = columns.by_rules(task(Kind.SCORE, low=0, high=5), scored)
    assert found is not None and (found.inputs, found.output) == (("sentence1", "sentence2"), "score")
    quiz = [{"question": f"which {i}?", "options": [f"a{i}", f"b{i}"], "answer": f"b{i}"} for i in range(5)]
    found = columns.by_rules(task(Kind.CHOICE), quiz)
    assert found is not None and (found.choices, found.output) == ("options", "answer")
    assert columns.pair(quiz[1], found)[2] == ("a1", "b1")


def test_no_column_that_could_be_the_answer_is_an_error_that_names_the_columns():
    with pytest.raises(Bad, match="text, id"):
        columns.choose(task(Kind.SCORE), CARD, [{"text": "x", "id": 1}, {"text": "y", "id": 2}])
