"""A prompt that is not English is translated for the search, and for the search alone."""

from __future__ import annotations

import json

import pytest

from limbeck.errors import CapReached, Declined, Transient
from limbeck.tasks.parse import parse
from limbeck.tasks.translate import retrieval_query
from limbeck.types import Reply

GERMAN = parse("Ordne die Anfrage der Kunden einer der Abteilungen zu: Versand, Rechnung oder Technik.", "t")
ENGLISH = "Assign the customers' request to one of the departments: Versand (shipping), Rechnung (billing) or Technik (technical)."


def teacher(said):
    asked = []

    def ask(requests):
        asked.extend(requests)
        return [said if isinstance(said, Exception) else Reply(texts=(said,), finish=("stop",))]

    ask.asked = asked
    return ask


def test_an_english_prompt_is_searched_with_as_it_is_and_nobody_is_asked():
    ask = teacher(ZeroDivisionError())
    task = parse("Sort the mails of the customers into refund, delivery or other.", "t")
    assert retrieval_query(task, ask) == (task.instruction, ()) and not ask.asked


def test_another_language_costs_one_request_and_the_rows_stay_in_it():
    ask = teacher("```json\n" + json.dumps({"prompt_in_english": ENGLISH}) + "\n```")
    text, notes = retrieval_query(GERMAN, ask)
    assert text == ENGLISH and "rows stay in German" in notes[0]
    (asked,) = ask.asked
    assert "German" in asked.messages[0].content and GERMAN.instruction in asked.messages[1].content
    assert asked.temperature == 0 and json.loads(asked.reply_schema)["required"] == ["prompt_in_english"]


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("Assign the request.", "malformed"),
        ('{"prompt_in_english": ""}', "malformed"),
        ('{"prompt_in_english": ["a"]}', "malformed"),
        (json.dumps({"prompt_in_english": GERMAN.instruction}), "not in English"),
        (json.dumps({"prompt_in_english": "カスタマーの依頼を部署に割り当ててください。"}), "not in English"),
        (Declined("it says no"), "it says no"),
        (Transient("no answer within 60 s"), "no answer within 60 s"),
        (CapReached("the money cap of $5.00 is reached"), "the money cap"),
    ],
)
def test_without_a_translation_the_prompt_itself_is_searched_with_and_that_is_said(said, why):
    ask = teacher(said)
    text, notes = retrieval_query(GERMAN, ask)
    assert text == GERMAN.instruction and why in notes[0] and "German" in notes[0] and len(ask.asked) == 1


def test_without_a_teacher_too():
    text, notes = retrieval_query(GERMAN, None)
    assert text == GERMAN.instruction and "no teacher" in notes[0]


def test_what_is_no_outcome_of_a_teacher_goes_through():
    with pytest.raises(ZeroDivisionError):
        retrieval_query(GERMAN, teacher(ZeroDivisionError()))
