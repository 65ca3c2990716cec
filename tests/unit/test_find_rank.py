"""Ranking of data sets: limits, near duplicates, votes of a teacher who may invent names or say that none fits."""

from __future__ import annotations

import json

import numpy as np
import pytest

from limbeck.engine.rank import ranks
from limbeck.errors import UsageError
from limbeck.sources import rank_data
from limbeck.sources.catalogue import cards, shipped
from limbeck.sources.datasets import Dataset, Found, Limits, licences_of, open_source, refusal, sift
from limbeck.types import Kind, Reply, Task

TASK = Task(name="t", instruction="Sort bank messages by intent.", kind=Kind.LABEL, labels=("card", "loan"))


def card(name: str, **more) -> Dataset:
    return Dataset(**{"source": "folder:x", "where": name, **more, "name": name})


def found(*cards: Dataset) -> list[Found]:
    return [Found(dataset=c, score=1 / i, words=i, meaning=i) for i, c in enumerate(cards, 1)]


def voting(*ballots: list | str):
    replies = iter(ballots)

    def ask(requests):
        ask.asked += list(requests)
        texts = [b if isinstance(b := next(replies), str | Exception) else json.dumps({"fit": b}) for _ in requests]
        return [t if isinstance(t, Exception) else Reply(texts=(t,), finish=("stop",)) for t in texts]

    ask.asked = []
    return ask


def vote(name: str, config: str | None = None) -> dict:
    return {"name": name, "config": config}


# ---- limits -----------------------------------------------------------------------------------------------------


def test_allowing_gated_data_sets_keeps_the_open_ones_too():
    both = [card("open"), card("closed", gated=True)]
    assert [c.name for c in sift(both, Limits(gated=True))[0]] == ["open", "closed"]
    kept, dropped = sift(both, Limits(gated=False))
    assert [c.name for c in kept] == ["open"] and "gated" in dropped[0].reason


@pytest.mark.parametrize(
    ("limits", "facts", "reason"),
    [
        (Limits(licences=("cc-by",)), {"licence": "CC BY-NC 4.0"}, "licence"),
        (Limits(licences=("mit",)), {"licence": "repo MIT; data CC BY-SA 4.0"}, "licence"),
        (Limits(licences=("mit",)), {"licence": "none stated"}, "states no licence"),
        (Limits(languages=("de",)), {"languages": ("en", "fr")}, "language"),
        (Limits(max_mb=100), {"size_mb": 310_000.0}, "310,000 MB"),
        (Limits(min_rows=500), {"rows": 499}, "499 training rows"),
        (Limits(), {"held_out": "for evaluation alone"}, "evaluation"),
    ],
)
def test_what_the_limits_leave_out_is_named_with_the_reason(limits, facts, reason):
    assert reason in refusal(card("x", **facts), limits)


@pytest.mark.parametrize(
    ("limits", "facts"),
    [
        (Limits(licences=("cc-by", "mit")), {"licence": "repo MIT; data CC BY 4.0"}),
        (Limits(languages=("de",)), {}),
        (Limits(max_mb=100, min_rows=500), {"size_mb": 100.0, "rows": 500}),
        (Limits(max_mb=100, min_rows=500), {}),
    ],
)
def test_what_is_within_the_limits_or_not_told_stays(limits, facts):
    assert refusal(card("x", **facts), limits) == ""


def test_licences_are_read_in_one_spelling():
    assert licences_of("Apache 2.0 (repo); CoS-E BSD-3-Clause") == {"apache-2.0", "bsd-3-clause"}
    assert licences_of("cc-by-nc-sa-4.0 or MIT") == {"cc-by-nc-sa-4.0", "mit"}
    assert licences_of("per source, commit messages") == set()


# ---- near duplicates --------------------------------------------------------------------------------------------


def test_the_same_rows_under_two_names_are_folded_into_the_better_ranked_and_other_rows_are_not():
    texts = [f"a message about matter {i}" for i in range(100)]
    pair = found(card("bank_intents"), card("customers"), card("weather"))
    rows = {
        "bank_intents": texts,
        "customers": [t.upper() for t in reversed(texts)][:95],
        "weather": [f"it rained {i} mm" for i in range(100)],
    }
    kept, folded = rank_data.fold(pair, rows)
    assert [f.dataset.name for f in kept] == ["bank_intents", "weather"]
    assert folded[0].source == "customers" and "near duplicate of bank_intents" in folded[0].reason and "%" in folded[0].reason


def test_the_copy_at_hand_stays_where_two_sources_have_the_same_data_set():
    kept, folded = rank_data.fold(found(card("org/Bank77", source="hub"), card("other"), card("bank77")), {}, frozenset({"folder:x"}))
    assert [f.dataset.name for f in kept] == ["bank77", "other"]
    assert folded[0].source == "org/Bank77"


# ---- votes ------------------------------------------------------------------------------------------------------


def test_votes_decide_and_the_five_requests_differ_by_their_seed():
    ask = voting([vote("b")], [vote("b"), vote("a")], [vote("b")], [], "{}")
    order, said = rank_data.rerank(TASK, found(card("a"), card("b"), card("c")), ask)
    assert [(f.dataset.name, f.votes) for f in order] == [("b", 3), ("a", 1), ("c", 0)]
    assert order[0].asked == 4 and "3 of 4 votes" in order[0].reason
    assert len({r.seed for r in ask.asked}) == 5 and all(r.temperature > 0 for r in ask.asked)
    assert any("no use" in line for line in said)


def test_an_invented_name_is_dropped_and_an_invented_part_leaves_the_data_set_without_one():
    ballots = [[vote("glue", "sst9"), vote("made-up/set")]] * 5
    order, said = rank_data.rerank(TASK, found(card("a"), card("glue", configs=("sst2", "rte"))), voting(*ballots))
    assert (order[0].dataset.name, order[0].dataset.config, order[0].votes) == ("glue", None, 5)
    assert any("made-up/set" in line and "glue, part sst9" in line for line in said)


def test_a_known_part_is_kept_by_majority():
    ballots = [[vote("glue", "rte")], [vote("glue", "sst2")], [vote("glue", "sst2")], [vote("glue")], [vote("glue", "sst2")]]
    order, _ = rank_data.rerank(TASK, found(card("glue", configs=("sst2", "rte"))), voting(*ballots))
    assert order[0].dataset.config == "sst2"


def test_none_fits_is_a_valid_answer():
    order, said = rank_data.rerank(TASK, found(card("a"), card("b")), voting([], [], [], [vote("a")], [vote("b")]))
    assert [f.votes for f in order] == [0, 0]
    assert any("none of the 2 data sets fits" in line for line in said)


def test_without_one_readable_vote_the_old_order_stands_and_it_is_said():
    order, said = rank_data.rerank(TASK, found(card("a"), card("b")), voting("?", "{", "x", OSError("gone"), "[]"))
    assert [(f.dataset.name, f.votes) for f in order] == [("a", None), ("b", None)]
    assert "the teacher gave no vote" in said[-1]


def test_of_many_parts_those_are_shown_that_share_words_with_the_task():
    parts = [f"lang_{i}" for i in range(50)] + ["bank_intent"]
    shown = rank_data.nearest_configs(parts, "Sort bank messages by intent")
    assert shown[0] == "bank_intent" and len(shown) == 10


# ---- the order and the catalogue --------------------------------------------------------------------------------


def test_words_and_meaning_both_count():
    order = rank_data.rank(
        "Which intent has the customer of the bank?",
        [
            card("poems", description="Verses of the romantics with their metre."),
            card("bank", description="Messages to a bank, sorted by what customers want."),
        ],
    )
    assert order[0].dataset.name == "bank" and order[0].words == 1 and order[0].meaning == 1
    assert "1st of 2 by meaning" in order[0].reason


def test_the_catalogue_is_dated_says_that_licences_are_to_be_checked_and_every_entry_is_whole():
    assert len(cards()) >= 80
    assert shipped()["date"] and "check the licence" in shipped()["note"]
    assert len({c.name for c in cards()}) == len(cards())
    for one in cards():
        assert one.name.count("/") == 1 and one.title and len(one.description.split()) >= 5, one.name
        assert one.columns and one.tags and one.licence and one.rows and one.size_mb and one.languages, one.name
        assert not set(one.class_labels) - set(one.columns), one.name


def test_an_unknown_source_gets_the_nearest_name():
    with pytest.raises(UsageError, match="did you mean catalogue"):
        open_source("catalog")
    with pytest.raises(UsageError, match="there is no folder"):
        open_source("folder:/no/such")


def test_ranks_are_those_of_the_definition_and_a_whole_catalogue_takes_no_time() -> None:
    """1 = the highest; equal scores share the mean of the ranks that they take up."""
    scores = np.array([0.5, 2.0, 0.5, -1.0, 2.0, 2.0])
    assert ranks(scores).tolist() == [4.5, 2.0, 4.5, 6.0, 2.0, 2.0]
    assert ranks(scores.astype(np.float32)).tolist() == ranks(scores).tolist() and ranks(scores[:0]).tolist() == []
    many = np.random.default_rng(0).permutation(200_000).astype(float)
    assert (ranks(many) == 200_000 - many).all()  # all pairs of them would not fit into memory
