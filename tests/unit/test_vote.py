"""Self-consistency: several answers to one input become the majority's, and how large the majority was."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from limbeck.curate.vote import majority, vote
from limbeck.types import Example, Kind, Origin, Task

FREE = Task(name="t", instruction="Answer.", kind=Kind.TEXT)
LABELS = Task(name="t", instruction="Sort.", kind=Kind.LABEL, labels=("refund", "delivery"))


def rows(*pairs: tuple[str, str | None]) -> list[Example]:
    return [Example(id=f"{i}", input=text, output=output) for i, (text, output) in enumerate(pairs)]


def told(task: Task, given: Sequence[Example], groups: Sequence[Sequence[int]] | None = None) -> dict[str, str | None]:
    return {row.input: row.output for row in vote(task, given, groups).rows}


def test_the_most_frequent_answer_wins_and_equals_go_to_the_first() -> None:
    given = [("apple", "A"), ("banana", "C"), ("apple", "A"), ("banana", "B"), ("apple", "G"), ("apple", "A"), ("orange", "O"), ("apple", "D"), ("banana", "B"), ("orange", "F")]  # fmt: skip
    assert told(FREE, rows(*given)) == {"apple": "A", "banana": "B", "orange": "O"}
    given = [("apple", "A"), ("banana", "B"), ("apple", "E"), ("orange", "O"), ("apple", "D")]
    assert told(FREE, rows(*given)) == {"apple": "A", "banana": "B", "orange": "O"}


def test_of_equally_frequent_answers_the_shortest_wins() -> None:
    verdict = majority(["a long answer", "short", "another one"])
    assert verdict is not None and verdict.answer == "short" and verdict.agreement == pytest.approx(1 / 3)


def test_nothing_in_nothing_out() -> None:
    assert vote(FREE, []).rows == () and vote(FREE, []).rejected == () and majority([]) is None


def test_rows_without_a_second_answer_stay_as_they_are_in_their_order() -> None:
    given = rows(("banana", "B"), ("apple", "A"), ("orange", "O"))
    voted = vote(FREE, given).rows
    assert [(r.id, r.input, r.output) for r in voted] == [(r.id, r.input, r.output) for r in given]
    assert all(r.confidence == 1 for r in voted)


def test_agreement_becomes_the_rows_confidence_and_the_votes_its_origin() -> None:
    row = vote(LABELS, rows(("x", "refund"), ("x", "Refund."), ("x", "delivery"))).rows[0]
    assert row.output == "refund" and row.confidence == pytest.approx(2 / 3)
    assert row.origin.votes == {"refund": 2, "delivery": 1}, "spellings of one label are one answer"


def test_near_copies_of_an_input_vote_together_where_the_caller_says_so() -> None:
    given = rows(
        ("where is my parcel", "refund"), ("where is my parcel?", "delivery"), ("Where is my parcel", "delivery"), ("money", "refund")
    )
    assert told(LABELS, given, [[0, 1, 2], [3]]) == {"where is my parcel": "delivery", "money": "refund"}


def test_an_input_without_any_usable_answer_is_rejected_and_says_why() -> None:
    voted = vote(LABELS, rows(("x", "poem"), ("x", ""), ("y", None), ("z", "delivery"), ("z", "poem")))
    assert [(row.input, row.output, row.confidence) for row in voted.rows] == [("z", "delivery", 1.0)]
    assert [(row.input, why) for row, why in voted.rejected] == [("x", "no usable answer: 'poem'"), ("y", "no answer")]


def test_options_are_part_of_what_was_asked() -> None:
    task = Task(name="t", instruction="Pick.", kind=Kind.CHOICE)
    given = [Example(id=str(i), input="x", output=c[0], choices=c) for i, c in enumerate([("a", "b"), ("c", "d"), ("a", "b")])]
    assert [row.output for row in vote(task, given).rows] == ["a", "c"]


def test_objects_vote_by_what_they_say_not_by_how_they_are_written() -> None:
    task = Task(name="t", instruction="Take apart.", kind=Kind.FIELDS)
    row = vote(task, rows(("x", '{"a": 1, "b": 2}'), ("x", '{"b":2,"a":1}'), ("x", '{"a": 3}'))).rows[0]
    assert row.output == '{"a": 1, "b": 2}' and row.confidence == pytest.approx(2 / 3)


def test_free_answers_that_differ_in_case_blanks_or_a_full_stop_are_one_vote() -> None:
    row = vote(FREE, rows(("x", "In  1929."), ("x", "1931"), ("x", "1931 or so"), ("x", "in 1929"))).rows[0]
    assert row.output == "In  1929." and row.confidence == 0.5
    assert told(FREE, rows(("x", "a+b"), ("x", "a-b"), ("x", "a-b"))) == {"x": "a-b"}, "signs are no decoration"


def test_the_costs_of_all_votes_are_the_rows_cost() -> None:
    given = [Example(id="a", input="x", output="refund", origin=Origin(kind="generated", cost_usd=c)) for c in (0.25, 0.5)]
    assert vote(LABELS, given).rows[0].origin.cost_usd == 0.75


def test_four_batches_change_the_majority_as_they_come_in() -> None:
    batches = [[("1", "a"), ("1", "b"), ("1", "a"), ("2", "a"), ("2", "b"), ("2", "a")], [("1", "b"), ("3", "a"), ("3", "b")], [("1", "b"), ("1", "b"), ("3", "a")], [("4", "c"), ("4", "c"), ("5", "a")]]  # fmt: skip
    so_far: list[tuple[str, str | None]] = []
    seen = []
    for batch in batches:
        so_far += batch
        seen.append(told(FREE, rows(*so_far)))
    assert seen == [
        {"1": "a", "2": "a"},
        {"1": "a", "2": "a", "3": "a"},
        {"1": "b", "2": "a", "3": "a"},
        {"1": "b", "2": "a", "3": "a", "4": "c", "5": "a"},
    ]
