"""What a teacher says about a prompt is used only as far as the rules can verify it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from limbeck.tasks.by_teacher import check, request
from limbeck.tasks.parse import parse
from limbeck.types import Example, Kind

PROMPT = "Sort mails into refund, delivery or other.\n\nInput: where is it\nOutput: delivery\n\nInput: give it back\nOutput: refund\n"
ROWS = [Example(id=str(i), input=f"t{i}", output=("refund", "delivery")[i % 2]) for i in range(12)]


def reply(**changes: Any) -> str:
    good = {"instruction": "Sort mails into refund, delivery or other.", "demonstrations": [{"input": "where is it", "output": "delivery"}, {"input": "give it back", "output": "refund"}], "kind": "label", "labels": ["refund", "delivery", "other"], "output_schema": "", "low": None, "high": None, "language": "en"}  # fmt: skip
    return json.dumps({**good, **changes})


def test_the_request_carries_prompt_and_schema() -> None:
    asked = request(PROMPT)
    assert PROMPT in asked.messages[-1].content
    assert set(json.loads(asked.reply_schema or "")["required"]) == {
        "instruction",
        "demonstrations",
        "kind",
        "labels",
        "output_schema",
        "low",
        "high",
        "language",
    }
    assert asked.temperature == 0


def test_agreement_changes_nothing_but_how() -> None:
    rules = parse(PROMPT, "t", ROWS)
    task, notes = check(rules, reply(), PROMPT, ROWS)
    assert notes == () and task == rules.model_copy(update={"how": "teacher"})


@pytest.mark.parametrize(
    "text",
    ["", "I cannot do that.", "{}", '{"instruction": 3}', "[1, 2]", reply(kind="poem"), reply(labels=[1]), reply(demonstrations=["x"])],
)
def test_a_malformed_reply_leaves_the_rules_alone(text: str) -> None:
    rules = parse(PROMPT, "t", ROWS)
    task, notes = check(rules, text, PROMPT, ROWS)
    assert task.how == "rules" and "malformed" in notes[0]
    assert task.model_copy(update={"notes": rules.notes}) == rules


def test_invented_demonstrations_and_labels_are_dropped() -> None:
    rules = parse(PROMPT, "t", ROWS)
    task, notes = check(
        rules, reply(demonstrations=[{"input": "made up", "output": "refund"}], labels=["refund", "delivery", "complaint"]), PROMPT, ROWS
    )
    assert task.demonstrations == rules.demonstrations and task.labels == rules.labels
    assert any("do not stand in the prompt" in note for note in notes) and any("complaint" in note for note in notes)


def test_a_label_set_that_lacks_a_rows_label_is_refused() -> None:
    rules = parse(PROMPT, "t", ROWS)
    task, notes = check(rules, reply(labels=["refund", "other"]), PROMPT, ROWS)
    assert task.labels == rules.labels and any("delivery" in note for note in notes)


def test_rows_decide_the_kind() -> None:
    task, notes = check(parse(PROMPT, "t", ROWS), reply(kind="text"), PROMPT, ROWS)
    assert task.kind is Kind.LABEL and any("rows win" in note for note in notes)


def test_without_rows_a_verified_teacher_corrects_the_rules() -> None:
    prompt = "Tell me the mood of a poem. Moods that occur: gloomy; serene.\n\nO rose, thou art sick ... that one was gloomy\nI wandered lonely ... that one was serene\n"
    rules = parse(prompt, "t")
    said = json.dumps({"instruction": "Tell me the mood of a poem. Moods that occur: gloomy; serene.", "demonstrations": [{"input": "O rose, thou art sick", "output": "gloomy"}, {"input": "I wandered lonely", "output": "serene"}], "kind": "label", "labels": ["gloomy", "serene"], "language": "en"})  # fmt: skip
    task, _ = check(rules, f"Here it is:\n```json\n{said}\n```", prompt)
    assert task.kind is Kind.LABEL and task.labels == ("gloomy", "serene") and len(task.demonstrations) == 2
    assert task.instruction == "Tell me the mood of a poem. Moods that occur: gloomy; serene."
    assert task.metric == "accuracy" and task.how == "teacher"


def test_a_paraphrased_instruction_is_not_used() -> None:
    task, notes = check(parse(PROMPT, "t", ROWS), reply(instruction="Classify e-mails."), PROMPT, ROWS)
    assert task.instruction == "Sort mails into refund, delivery or other." and any("word for word" in note for note in notes)
