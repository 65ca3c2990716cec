"""Prompts are shaped in one place, and an answer is read back without guessing."""

from __future__ import annotations

import json

import pytest

from limbeck import render
from limbeck.types import Demonstration, Example, Kind, Status, Task

LABEL = Task(name="t", instruction="Sort the message.", kind=Kind.LABEL, labels=("card_arrival", "card lost", "lost"))
CHOICE = Task(name="t", instruction="Choose.", kind=Kind.CHOICE)
SCORE = Task(name="t", instruction="Rate.", kind=Kind.SCORE, low=0, high=5)
ROW = Example(id="1", input="where is it", choices=("go home", "stay here", "go"))


@pytest.mark.parametrize(
    ("reply", "text", "status"),
    [
        ("card_arrival", "card_arrival", Status.OK),
        ("Card Arrival.", "card_arrival", Status.OK),
        ('{"answer": "card lost"}', "card lost", Status.OK),
        ('```json\n{"answer": "card lost"}\n```', "card lost", Status.OK),
        ("He cannot find it, so the answer is card lost.", "card lost", Status.OK),
        ("card lost or card_arrival", "", Status.MALFORMED),
        ("I would say: lost", "lost", Status.OK),
        ("", "", Status.EMPTY),
        ('{"answer": ""}', "", Status.EMPTY),
        ('Sure! Here you go:\n```json\n{"answer": "card_arr', "", Status.MALFORMED),
        ('{"answer": "card lo', "", Status.MALFORMED),
        ("no idea", "", Status.MALFORMED),
        ('{"answer": "Card lost"}', "", Status.MALFORMED),
        ('Sure! It is lost:\n```json\n{"answer": "ca', "", Status.MALFORMED),
        ('{"answer": "something else"}', "", Status.MALFORMED),
    ],
)
def test_a_label_is_read_or_refused(reply, text, status):
    assert render.answer(LABEL, ROW, reply) == (text, status)


@pytest.mark.parametrize(
    ("reply", "text", "status"),
    [
        ("go home", "go home", Status.OK),
        ("B", "stay here", Status.OK),
        ("(c)", "go", Status.OK),
        ("A. go home", "go home", Status.OK),
        ("A. stay here", "", Status.MALFORMED),
        ("The answer is stay here", "stay here", Status.OK),
        ("D", "", Status.MALFORMED),
    ],
)
def test_a_choice_is_read_by_text_or_letter(reply, text, status):
    assert render.answer(CHOICE, ROW, reply) == (text, status)


@pytest.mark.parametrize(
    ("reply", "text", "status"),
    [
        ("3.80", "3.8", Status.OK),
        ("The answer is 4", "4", Status.OK),
        ("7", "", Status.MALFORMED),
        ("2 or 3", "", Status.MALFORMED),
        ("1e400", "", Status.MALFORMED),
    ],
)
def test_a_score_is_the_only_number_in_range(reply, text, status):
    assert render.answer(SCORE, ROW, reply) == (text, status)


def test_an_option_that_stands_twice_is_still_an_answer():
    row = ROW.model_copy(update={"choices": ("bar", "pantry", "bar")})
    assert render.answer(CHOICE, row, '{"answer": "bar"}') == ("bar", Status.OK)
    assert render.answer(CHOICE, row, "bar") == ("bar", Status.OK)


def test_labels_that_differ_only_in_signs_are_told_apart():
    task = LABEL.model_copy(update={"labels": ("C", "C++", "C#")})
    assert render.answer(task, ROW, "C++") == ("C++", Status.OK)
    assert render.answer(task, ROW, "C#") == ("C#", Status.OK)


def test_braces_inside_strings_do_not_break_json():
    assert render.find_json('note {"answer": "a } b { c"} end') == {"answer": "a } b { c"}
    assert render.find_json("no { json") is None
    assert render.find_json('{"a": {"b": 1}}') == {"a": {"b": 1}}


def test_the_prompt_shows_demonstrations_then_shots_then_the_input_and_no_gold():
    task = LABEL.model_copy(update={"demonstrations": (Demonstration(input="first", output="lost"),)})
    row = Example(id="9", input="the question", output="card_arrival")
    system, user = render.messages(task, row, [Example(id="2", input="second", output="card lost")])
    assert "Sort the message." in system.content and "- card lost" in system.content
    assert user.content.index("first") < user.content.index("second") < user.content.index("the question")
    assert user.content.endswith("Answer:") and "card_arrival" not in user.content


def test_the_reply_schema_names_the_allowed_answers():
    assert json.loads(render.reply_schema(CHOICE, ROW))["properties"]["answer"]["enum"] == list(ROW.choices)
    assert render.reply_schema(Task(name="t", instruction="", kind=Kind.TEXT), ROW) is None
