"""Rows check what the rules read in a prompt, and decide where the two disagree."""

from __future__ import annotations

import pytest

from limbeck.errors import UsageError
from limbeck.tasks.parse import parse
from limbeck.types import Example, Kind


def rows_of(*outputs: str | None, choices: list[tuple[str, ...]] | None = None) -> list[Example]:
    return [Example(id=str(i), input=f"text number {i}", output=o, choices=choices[i] if choices else None) for i, o in enumerate(outputs)]


MAIL = "Sort the mail.\n\nLabels:\n- refund: money back\n- delivery: late parcel\n- praise: likes us\n"


def test_labels_only_in_rows_come_last_and_labels_without_rows_are_noted() -> None:
    task = parse(MAIL, "mail", rows_of(*["refund", "delivery", "spam"] * 5))
    assert task.labels == ("refund", "delivery", "praise", "spam")
    assert any("spam" in note for note in task.notes) and any("praise" in note for note in task.notes)
    assert "- refund: money back" in task.instruction  # the teacher must see the definitions


def test_the_rows_spelling_of_a_label_wins() -> None:
    task = parse("Classify as Positive or Negative.", "t", rows_of(*["positive", "negative"] * 6))
    assert task.labels == ("positive", "negative") and any("spelt as in the rows" in note for note in task.notes)


def test_names_in_the_prompt_that_no_row_has_are_no_labels() -> None:
    task = parse("Classify as apples or pears. Be quick.", "t", rows_of(*["x1", "x2"] * 6))
    assert set(task.labels) == {"x1", "x2"}


def test_choices_that_differ_make_a_choice_task() -> None:
    task = parse("Answer the question.", "t", rows_of("a", "c", choices=[("a", "b"), ("c", "d")]))
    assert task.kind is Kind.CHOICE and task.labels == () and task.metric == "accuracy"


def test_the_same_choices_in_every_row_make_a_label_task() -> None:
    task = parse("Answer the question.", "t", rows_of("a", "b", choices=[("a", "b"), ("b", "a")]))
    assert task.kind is Kind.LABEL and task.labels == ("a", "b")


def test_many_numbers_are_a_score_with_the_range_of_prompt_or_rows() -> None:
    numbers = [f"{i / 7:.2f}" for i in range(30)]
    task = parse("How similar are the sentences? Give a score from 0 to 5.", "t", rows_of(*numbers))
    assert (task.kind, task.low, task.high, task.metric) == (Kind.SCORE, 0.0, 5.0, "spearman")
    task = parse("Estimate it.", "t", rows_of(*numbers))
    assert (task.kind, task.low, task.high) == (Kind.SCORE, 0.0, 4.14) and any("range" in note for note in task.notes)
    task = parse("Give a score from 0 to 2.", "t", rows_of(*numbers))
    assert task.high == 4.14 and any("widened" in note for note in task.notes)


def test_numbers_that_the_prompt_names_as_labels_are_labels() -> None:
    task = parse("Is it spam? Answer with one of: 0, 1.", "t", rows_of(*["0", "1"] * 20))
    assert task.kind is Kind.LABEL and task.labels == ("0", "1")


def test_answers_to_sums_are_no_grades() -> None:
    task = parse("Solve the word problem.", "t", rows_of(*[str(i * 13) for i in range(40)]))
    assert task.kind is Kind.TEXT and any("worked out" in note for note in task.notes)


def test_json_objects_are_fields_with_the_schema_of_all() -> None:
    task = parse("Read the order.", "t", rows_of('{"a": 1, "b": "x"}', '{"a": 2.5, "b": null, "c": ["y"]}'))
    assert task.kind is Kind.FIELDS and task.metric == "field_f1"
    assert (
        task.output_schema is not None
        and '"required": ["a", "b"]' in task.output_schema
        and '"a": {"type": "number"}' in task.output_schema
    )


def test_few_distinct_outputs_are_labels_and_many_are_text() -> None:
    assert parse("Do it.", "t", rows_of(*[f"c{i % 7}" for i in range(70)])).kind is Kind.LABEL
    assert parse("Do it.", "t", rows_of(*[f"a longer answer, number {i}" for i in range(70)])).kind is Kind.TEXT


def test_seventy_seven_intents_ten_rows_each() -> None:
    task = parse("Name the intent of the customer's message.", "t", rows_of(*[f"intent_{i % 77}" for i in range(770)]))
    assert task.kind is Kind.LABEL and len(task.labels) == 77


def test_code_is_compared_by_characters() -> None:
    task = parse("Write the code.", "t", rows_of(*[f"sorted(x{i})" for i in range(20)]))
    assert task.kind is Kind.TEXT and task.metric == "chrf"


def test_unlabelled_rows_leave_the_prompt_to_decide() -> None:
    assert parse(MAIL, "t", rows_of(None, None)).labels == ("refund", "delivery", "praise")


def test_the_users_kind_is_final() -> None:
    assert parse("Do it.", "t", rows_of(*["a", "b"] * 9), kind="text").kind is Kind.TEXT
    with pytest.raises(UsageError, match="label"):
        parse("Do it.", "t", kind="lable")


def test_label_without_any_label_says_what_to_add() -> None:
    assert any("Labels: a, b, c" in note for note in parse("Do it.", "t", kind="label").notes)


def test_sums_with_thousands_are_text_and_no_labels() -> None:
    assert parse("Do it.", "t", rows_of(*[f"{i % 50}" for i in range(200)], "1,080", "109,200,000")).kind is Kind.TEXT


def test_answers_of_which_most_occur_once_are_no_closed_set() -> None:
    assert parse("Do it.", "t", rows_of(*["a"] * 60, *[f"name {i}" for i in range(25)])).kind is Kind.TEXT
