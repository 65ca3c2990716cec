"""Labelling by votes: as many as it takes, never more than were asked for, and one bad reply costs one vote."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from collections.abc import Sequence

import pytest

from limbeck.curate.vote import majority
from limbeck.errors import CapReached, Declined, Transient, UsageError
from limbeck.making import make_rows
from limbeck.sources.label import Labelled, is_decided, label_inputs, needed
from limbeck.types import Example, Kind, Origin, Price, Reply, Request, Task

LABELS = Task(name="t", instruction="Sort the mail.", kind=Kind.LABEL, labels=("refund", "delivery", "other"))
ROWS = [Example(id=str(i), input=f"mail {i}") for i in range(4)]


class Voter:
    """A teacher that draws its answers, for each row, from a list in order."""

    def __init__(self, answers: dict[str, list[str]]):
        self.answers = {key: list(value) for key, value in answers.items()}
        self.told: list[Request] = []

    def __call__(self, requests: Sequence[Request]) -> list[Reply | Exception]:
        replies: list[Reply | Exception] = []
        for request in requests:
            self.told.append(request)
            assert request.row is not None
            texts = tuple(json.dumps({"answer": self.answers[request.row.id].pop(0)}) for _ in range(request.n))
            replies.append(Reply(texts=texts, finish=("stop",) * request.n, model="m", address="ad", tokens_in=100, tokens_out=10))
        return replies


def votes_of(found: Labelled) -> dict[str, list[str]]:
    return {
        key: [a.output or "" for a in group] for key, group in itertools.groupby(sorted(found.answers, key=lambda a: a.id), lambda a: a.id)
    }


def test_a_row_whose_majority_stands_is_not_asked_again() -> None:
    teacher = Voter({"0": ["refund"] * 3, "1": ["refund", "other", "other"], "2": ["other", "refund", "delivery"], "3": ["other"] * 3})
    found = label_inputs(LABELS, ROWS, teacher, votes=3)
    assert votes_of(found) == {
        "0": ["refund"] * 2,
        "1": ["refund", "other", "other"],
        "2": ["other", "refund", "delivery"],
        "3": ["other"] * 2,
    }
    assert found.counts == {"requests": 6, "votes": 10}


@pytest.mark.parametrize("votes", [1, 2, 3, 4, 5])
def test_stopping_early_never_changes_the_answer(votes: int) -> None:
    """Every course that `votes` votes over three answers can take."""
    for course in itertools.product(("a", "bb", "ccc"), repeat=votes):
        cast: list[str] = []
        while len(cast) < votes and not is_decided(Counter(cast), votes - len(cast)):
            step = needed(Counter(cast), votes - len(cast))
            assert 1 <= step <= votes - len(cast)
            cast += course[len(cast) : len(cast) + step]
        early, whole = majority(cast), majority(course)
        assert early is not None and whole is not None and early.answer == whole.answer


def test_no_votes_are_no_labels() -> None:
    with pytest.raises(UsageError):
        label_inputs(LABELS, ROWS, Voter({}), votes=0)
    asked: list[Request] = []
    with pytest.raises(UsageError):
        make_rows(LABELS, 10, lambda requests: asked.extend(requests) or [], votes=0)  # type: ignore[func-returns-value]
    assert not asked, "and nothing was spent before that was noticed"


def test_votes_at_hand_count() -> None:
    teacher = Voter({"0": ["other"], "1": ["refund", "other"], "2": [], "3": ["other", "other"]})
    have = {"0": ["other"], "1": ["other"], "2": ["refund", "refund"]}
    found = label_inputs(LABELS, ROWS, teacher, votes=3, have=have)
    assert votes_of(found) == {"0": ["other"], "1": ["refund", "other"], "3": ["other", "other"]} and found.unanswered == ()


def test_one_vote_is_asked_for_cold_and_several_warm_with_seeds_of_their_own() -> None:
    cold, warm = Voter({r.id: ["other"] for r in ROWS}), Voter({r.id: ["other", "refund", "delivery"] for r in ROWS})
    label_inputs(LABELS, ROWS, cold, votes=1, seed=1)
    label_inputs(LABELS, ROWS, warm, votes=3, seed=1)
    assert {r.temperature for r in cold.told} == {0.0} and {r.temperature for r in warm.told} == {0.7}
    bodies = [json.dumps(r.body(), sort_keys=True) for r in warm.told]
    assert len(set(bodies)) == len(bodies) == 8, "an equal body would get an equal reply, and no second vote"


def test_unusable_votes_are_counted_by_what_was_wrong_and_cost_no_other_row() -> None:
    outcomes: dict[str, list[Reply | Exception]] = {
        "0": [Reply(texts=("poem", ""), finish=("stop", "stop")), Reply(texts=('{"answer": "refund"}',), finish=("stop",))],
        "1": [Declined("no"), Transient("later")],
        "2": [Reply(texts=("Answer: other", "other."), finish=("stop", "stop"))],
        "3": [Transient("later"), Reply(texts=("other",), finish=("stop",))],
    }

    def ask(requests: Sequence[Request]) -> list[Reply | Exception]:
        return [outcomes[r.row.id].pop(0) for r in requests if r.row is not None]

    found = label_inputs(LABELS, ROWS, ask, votes=3)
    assert votes_of(found) == {"0": ["refund"], "2": ["other", "other"], "3": ["other"]} and found.unanswered == ("1",)
    assert {k: found.counts[k] for k in ("malformed", "empty", "declined", "transient")} == {
        "malformed": 1,
        "empty": 1,
        "declined": 1,
        "transient": 2,
    }
    assert "1 of 4 inputs got no usable answer" in found.said


def test_a_server_that_gives_fewer_texts_than_asked_for_is_asked_again_but_not_for_ever() -> None:
    told: list[int] = []

    def one_at_a_time(requests: Sequence[Request]) -> list[Reply | Exception]:
        told.append(requests[0].n)
        return [Reply(texts=(random.Random(r.seed).choice(LABELS.labels),), finish=("stop",)) for r in requests]

    found = label_inputs(LABELS, ROWS[:1], one_at_a_time, votes=5)
    assert len(told) <= 5 and len(found.answers) >= 3


def test_after_the_cap_nothing_more_is_asked_and_an_unknown_exception_is_raised() -> None:
    batches: list[int] = []

    def capped(requests: Sequence[Request]) -> list[Reply | Exception]:
        batches.append(len(requests))
        return [CapReached("cap") if i else Reply(texts=("other", "refund"), finish=("stop",) * 2) for i, _ in enumerate(requests)]

    found = label_inputs(LABELS, ROWS, capped, votes=3)
    assert batches == [4] and len(found.unanswered) == 3 and any("used up" in line for line in found.said)
    with pytest.raises(ZeroDivisionError):
        label_inputs(LABELS, ROWS, lambda requests: [ZeroDivisionError()] * len(requests))


def test_a_vote_keeps_where_the_row_came_from_and_says_who_answered_and_for_how_much() -> None:
    row = Example(id="0", input="mail", origin=Origin(kind="gold", source="mine.csv", row=7))
    found = label_inputs(LABELS, [row], Voter({"0": ["other", "other"]}), votes=3, price=Price(usd_per_mtok_in=100, usd_per_mtok_out=1000))
    origin = found.answers[0].origin
    assert (origin.kind, origin.source, origin.row, origin.teacher, origin.request) == ("teacher", "mine.csv", 7, "m", "ad")
    assert origin.cost_usd == pytest.approx(0.02 / 2) and found.cost_usd == pytest.approx(0.02)


def test_the_question_is_the_one_that_every_prompted_model_is_asked_and_never_shows_the_answer() -> None:
    teacher = Voter({"0": ["other"]})
    label_inputs(LABELS, [Example(id="0", input="mail", output="refund", rationale="SECRET")], teacher, votes=1, shots=[Example(id="s", input="shot", output="delivery")])  # fmt: skip
    text = teacher.told[0].messages[-1].content
    assert text == "Input: shot\nAnswer: delivery\n\nInput: mail\nAnswer:" and teacher.told[0].row is not None
    assert teacher.told[0].row.output is None
