"""A prompt file is read as its author meant it: instruction, demonstrations, kind, labels, range, language."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.errors import UsageError
from limbeck.tasks.parse import parse
from limbeck.types import Kind, Task

sys.path.insert(0, str(Path(__file__).parent))
from prompts_for_parse import CASES


@pytest.mark.parametrize("name", CASES)
def test_the_prompt_is_read_as_meant(name: str) -> None:
    prompt, expected = CASES[name]
    task = parse(prompt, name)
    demonstrations = [(d.input, d.output) for d in task.demonstrations]
    seen = {
        "demos": demonstrations, "n": len(demonstrations), "first": demonstrations[:1] and demonstrations[0], "last": demonstrations[-1:] and demonstrations[-1],
        "kind": task.kind, "labels": task.labels, "instruction": task.instruction, "low": task.low, "high": task.high, "language": task.language, "metric": task.metric,
    }  # fmt: skip
    for key, value in expected.items():
        if key == "says":
            assert all(part in task.instruction for part in value)
        elif key == "not_says":
            assert not any(part in task.instruction for part in value)
        elif key == "note":
            assert any(value in note for note in task.notes)
        elif key == "labels_in":
            assert value in {task.labels} or set(value) <= set(task.labels)
        else:
            assert seen[key] == value, key


def test_there_are_forty_prompts_and_more() -> None:
    assert len(CASES) >= 40


@pytest.mark.parametrize("text", ["", "   \n\t\n", "\ufeff\n"])
def test_an_empty_prompt_is_a_usage_error(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text, "t")
    assert caught.value.exit_code == 2 and caught.value.do


def test_the_same_prompt_gives_the_same_task_and_survives_json() -> None:
    for name, (prompt, _) in CASES.items():
        task = parse(prompt, name)
        assert task == parse(prompt, name)
        assert Task.model_validate_json(task.model_dump_json()) == task


PIECES = ["Input:", "Output: ", "Q: ", "A: ", "Label:", "->", "=>", "```", "| a | b |", "|---|---|", "- x: y", "1. ", "{", "}", "[", "]", '{"input": "a", "output": "b"}', '"enum": [', "<input>", "</input>",
          "<output>", "</output>", "<example>", "</example>", "one of: ", "a, b or c", "from 1 to 5", "score", "{{text}}", "<|im_start|>user", "<|im_end|>", "入力：", "出力：", "---", "### Input", "Example 1:", "\n", "\n\n", " ", "\x00", "classify as"]  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=20)), max_size=30))
def test_no_text_makes_it_fail_but_an_empty_one(parts: list[str]) -> None:
    text = "".join(part + ("\n" if len(part) % 3 else "") for part in parts)
    try:
        task = parse(text, "t")
    except UsageError:
        assert not text.removeprefix("\ufeff").strip()
    else:
        assert task.instruction.strip() and all(d.input and d.output for d in task.demonstrations)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=400))
def test_arbitrary_text_is_read(text: str) -> None:
    try:
        assert parse(text, "t").instruction
    except UsageError:
        assert not text.removeprefix("\ufeff").strip()


@pytest.mark.parametrize(
    "piece",
    [
        "{",
        "<a>x</b>",
        "<example>",
        '"a',
        "`",
        "Input: a\n",
        "| a | b |\n|---|\n",
        "- a: b\n",
        "a, ",
        "one of a or ",
        "「",
        "[INST]",
        "1-2 ",
        "x" + 300 * " ",
        "either ",
    ],
)
def test_long_repetitive_text_is_read_in_seconds(piece: str) -> None:
    start = time.perf_counter()
    parse(piece * (20_000 // len(piece)), "t")
    assert time.perf_counter() - start < 4


@pytest.mark.parametrize(
    ("prompt", "low", "high"),
    [
        ("How polite is this mail? 1 = rude, 5 = very polite.", 1, 5),
        ("Tell me how happy the customer sounds, 0 (furious) to 10 (delighted).", 0, 10),
        ("How relevant is the passage to the query? Use 0 to 3.", 0, 3),
        ("Give a relevance value between 0 and 1.", 0, 1),
        ("Judge the essay's quality with a mark from 1 to 6.", 1, 6),
        ("Estimate the difficulty of the exercise, 1-10.", 1, 10),
    ],
)
def test_a_scale_in_plain_words_is_a_score(prompt: str, low: float, high: float) -> None:
    task = parse(prompt, "t")
    assert (task.kind, task.low, task.high) == (Kind.SCORE, low, high)


@pytest.mark.parametrize(
    "prompt",
    [
        "Summarise the text in 1 to 3 bullet points.",
        "Estimate the delivery time in a sentence, e.g. 2-3 days.",
        "Write between 1 and 5 tags for the mail.",
        "Say how the flight from 10 to 12 went.",
        "Is the mail spam? Answer 0 = ham, 1 = spam.",
    ],
)
def test_a_length_an_amount_and_numbers_of_classes_are_no_scale(prompt: str) -> None:
    assert parse(prompt, "t").kind is not Kind.SCORE


@pytest.mark.parametrize(
    "prompt",
    [
        "Which of the options answers the question?",
        "Read the question and the options. Pick one of A, B, C or D.",
        "Answer the multiple choice question with the right option.",
        "You get a question and five candidate answers. Say which one is right.",
    ],
)
def test_options_that_come_with_every_row_are_a_choice(prompt: str) -> None:
    assert parse(prompt, "t").kind is Kind.CHOICE


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        ("Pick one of these options: red, green or blue.", Kind.LABEL),
        ("Answer the question. Options: yes, no, maybe.", Kind.LABEL),
        ("Pick one of A, B, C.", Kind.LABEL),
        ("Select all options that the customer names, and list them.", Kind.TEXT),
        ("Choose the best candidate for the job from the CV.", Kind.TEXT),
    ],
)
def test_options_that_the_prompt_names_itself_or_that_are_to_be_listed_are_no_choice(prompt: str, kind: Kind) -> None:
    assert parse(prompt, "t").kind is kind


def test_a_heading_over_a_list_is_no_label_of_it() -> None:
    text = "Pick the team that should take the note.\n\nTeams:\n- brakes: pads, levers\n- wheels: tyres\n\nNote: {note}\nTeam:\n"
    assert parse(text, "teams").labels == ("brakes", "wheels")
    assert parse(text.replace("Teams:\n", "Teams:\n\n"), "teams").labels == ("brakes", "wheels")
