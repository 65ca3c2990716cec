"""From a task alone to voted rows, over real HTTP, behind a real store: paid once, resumed, capped, and traceable."""

from __future__ import annotations

import hashlib
import json
import random
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from limbeck.making import Made, Plan, label_rows, make_rows
from limbeck.registry import Ask
from limbeck.teachers import open_teacher
from limbeck.teachers.store import Store
from limbeck.testing.chat_server import ChatServer, completion
from limbeck.types import Example, Kind, Origin, Price, Task
from tests.words import WORDS

LABELS = Task(name="t", instruction="Sort the mail.", kind=Kind.LABEL, labels=("refund", "delivery", "other"))
PRICE = Price(usd_per_mtok_in=1.0, usd_per_mtok_out=1.0)


def by_letters(texts: Sequence[str]) -> np.ndarray:
    """A cheap stand-in for an embedding: counts of hashed words, of length 1."""
    found = np.zeros((len(texts), 256), np.float32)
    for row, text in zip(found, texts, strict=True):
        for word in text.lower().split():
            row[zlib.crc32(word.encode()) % 256] += 1
    return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-9)


def dice(*what: Any) -> random.Random:
    return random.Random(hashlib.sha256(repr(what).encode()).digest())


def answer(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """A teacher: topics, rows (one in five repeats a small set), and labels, right four times of five: the first word decides."""
    schema = json.dumps(body["response_format"]["json_schema"]["schema"])
    text, seed = body["messages"][-1]["content"], body.get("seed", 0)
    if '"topics"' in schema:
        return 200, completion(json.dumps({"topics": ["mornings", "evenings", "complaints"]}), usage=(100, 10))
    if '"examples"' in schema:
        rows = []
        for i in range(5):
            rng = dice(seed, i)
            drawn = dice(rng.randrange(8)) if rng.random() < 0.2 else rng
            words = " ".join(drawn.choices(WORDS, k=8))
            rows.append({"input": words, "output": label_of(words) if rng.random() < 0.8 else rng.choice(LABELS.labels)})
        return 200, completion(json.dumps({"examples": rows}), usage=(400, 200))
    asked = text.rpartition("Input: ")[2].partition("\n")[0]
    said = []
    for i in range(body.get("n", 1)):
        rng = dice(asked, seed, i)
        said.append(json.dumps({"answer": label_of(asked) if rng.random() < 0.8 else rng.choice(LABELS.labels)}))
    return 200, completion(*said, usage=(200, 5 * len(said)))


def label_of(text: str) -> str:
    return LABELS.labels[WORDS.index(text.split()[0]) % 3]


@pytest.fixture
def server() -> Iterator[ChatServer]:
    with ChatServer(answer) as running:
        yield running


def asker(path: Path, server: ChatServer, cap_usd: float = 5.0) -> tuple[Ask, Store]:
    store, teacher = Store(path, cap_usd=cap_usd), open_teacher(f"{server.address}#small", PRICE)
    return (lambda requests: store.ask(teacher, requests, purpose="rows")), store


def make(
    path: Path, server: ChatServer, n: int = 80, wrap: Callable[[Ask], Ask] = lambda ask: ask, cap_usd: float = 5.0, **more: Any
) -> Made:
    ask, store = asker(path, server, cap_usd)
    with store:
        return make_rows(LABELS, n, wrap(ask), price=PRICE, embed=by_letters, **{"plan": Plan(wanted_novelty=0.3), **more})


def share_right(rows: Sequence[Example]) -> float:
    return sum(row.output == label_of(row.input) for row in rows) / len(rows)


def test_rows_are_made_voted_on_and_say_where_all_of_it_came_from(tmp_path: Path, server: ChatServer) -> None:
    made = make(tmp_path / "s.sqlite", server)
    assert len(made.rows) == 80 == len({row.id for row in made.rows}) and made.generated is not None
    assert share_right(made.rows) > share_right(made.generated.rows) + 0.05
    for row in made.rows:
        origin = row.origin
        assert origin.kind == "generated" and origin.teacher == "small" and origin.template in ("few", "medium", "many")
        assert origin.request is not None and len(origin.request) == 16 and origin.temperature is not None and origin.votes is not None
        assert row.confidence == pytest.approx(origin.votes[row.output or ""] / sum(origin.votes.values()))
        assert origin.cost_usd is not None and origin.cost_usd > 0
    assert sum(row.origin.cost_usd or 0 for row in made.rows) == pytest.approx(made.cost_usd, rel=0.05), "the shares add up, topics aside"
    assert any("copies" in line for line in made.said) and any("votes on 80 inputs" in line for line in made.said)


def test_the_same_again_costs_nothing_and_gives_the_same_rows(tmp_path: Path, server: ChatServer) -> None:
    first = make(tmp_path / "s.sqlite", server)
    sent = len(server.bodies)
    again = make(tmp_path / "s.sqlite", server)
    assert again.rows == first.rows and again.rejected == first.rejected and len(server.bodies) == sent


def test_interrupted_anywhere_it_goes_on_and_nothing_is_paid_twice(tmp_path: Path, server: ChatServer) -> None:
    whole = make(tmp_path / "whole.sqlite", server)
    sent = len(server.bodies)
    assert len({json.dumps(body, sort_keys=True) for body in server.bodies}) == sent

    def stops_after(batches: int) -> Callable[[Ask], Ask]:
        def wrap(ask: Ask) -> Ask:
            left = [batches]

            def limited(requests: Any) -> Any:
                if left[0] == 0:
                    raise KeyboardInterrupt
                left[0] -= 1
                return ask(requests)

            return limited

        return wrap

    for batches in (1, 3, 6):
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path / "cut.sqlite", server, wrap=stops_after(batches))
    assert make(tmp_path / "cut.sqlite", server).rows == whole.rows
    assert len(server.bodies) == 2 * sent, "three interruptions, and not one request more"


def test_the_money_cap_ends_it_and_a_higher_one_goes_on(tmp_path: Path, server: ChatServer) -> None:
    poor = make(tmp_path / "s.sqlite", server, cap_usd=0.004)
    assert 0 < len(poor.rows) < 80 and any("used up" in line for line in poor.said)
    assert all(row.output is not None for row in poor.rows)
    rich = make(tmp_path / "s.sqlite", server)
    sent = len(server.bodies)
    assert len(rich.rows) == 80 and rich.rows == make(tmp_path / "other.sqlite", server).rows
    assert sent == len(server.bodies) - sent, "both runs together sent what one run sends that is never stopped"


def test_with_a_second_teacher_only_its_answers_vote_and_the_row_names_both(tmp_path: Path, server: ChatServer) -> None:
    def better(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        asked = body["messages"][-1]["content"].rpartition("Input: ")[2].partition("\n")[0]
        assert '"examples"' not in json.dumps(body), "the second teacher is asked for labels only"
        reply = completion(*[json.dumps({"answer": label_of(asked)})] * body.get("n", 1))
        return 200, reply

    with ChatServer(better) as second:
        ask, store = asker(tmp_path / "b.sqlite", second)
        with store:
            made = make(tmp_path / "s.sqlite", server, ask_label=ask, price_label=PRICE, votes=1)
    assert share_right(made.rows) == 1.0 and all(row.confidence == 1 for row in made.rows)
    assert all(sum((row.origin.votes or {}).values()) == 1 for row in made.rows)
    assert all(row.origin.detail.startswith("input by small; labelled in ") for row in made.rows)


def test_rows_as_they_were_generated_where_one_vote_is_enough(tmp_path: Path, server: ChatServer) -> None:
    made = make(tmp_path / "s.sqlite", server, votes=1)
    assert len(made.rows) == 80 and not any(name.startswith("label.") for name in made.counts)
    assert any(sum((row.origin.votes or {}).values()) > 1 for row in made.rows), "repeats of an input still vote"


def test_the_users_unlabelled_inputs_are_labelled_the_same_way(tmp_path: Path, server: ChatServer) -> None:
    rows = [
        Example(id=f"u{i}", input=" ".join(dice("mine", i).choices(WORDS, k=6)), origin=Origin(source="mine.csv", row=i + 1))
        for i in range(60)
    ]
    ask, store = asker(tmp_path / "s.sqlite", server)
    with store:
        made = label_rows(LABELS, rows, ask, votes=5, price=PRICE)
    assert [row.id for row in made.rows] == [row.id for row in rows] and share_right(made.rows) > 0.9
    assert all((row.origin.source, row.origin.row) == ("mine.csv", i + 1) for i, row in enumerate(made.rows))
    assert made.counts["label.votes"] < 5 * 60, "votes that cannot change the answer are not asked for"


def test_the_replay_teachers_repeats_are_counted_as_they_are_and_votes_lift_its_labels(
    tmp_path: Path, replay: Any, public_rows: Callable[[str, str], list[dict[str, Any]]]
) -> None:
    truth = {row["input"].strip(): row["output"] for row in public_rows("banking77", "train")}
    labels = tuple(sorted(set(truth.values())))
    task = Task(name="banking77", instruction="Sort the message of a bank's customer into its intent.", kind=Kind.LABEL, labels=labels)
    with (
        replay("--tasks", "banking77", "--noise", "0.15", "--duplicates", "0.3") as running,
        Store(tmp_path / "s.sqlite", cap_usd=5.0) as store,
    ):
        teacher = open_teacher(running.spec(), PRICE)
        made = make_rows(task, 200, lambda requests: store.ask(teacher, requests, purpose="rows"), price=PRICE, votes=5, embed=by_letters)
    assert len(made.rows) == 200 and made.generated is not None
    texts = [made.generated.answers[i].input for group in made.generated.groups for i in group]
    counted = made.counts["generate.copies"] + made.counts.get("generate.near_copies", 0)
    served = made.counts["generate.rows_read"] - len(set(texts)) - made.counts.get("generate.beyond_wanted", 0)
    assert counted == pytest.approx(served, abs=5) and 0.2 < counted / made.counts["generate.rows_read"] < 0.4
    single = sum(row.output == truth[row.input] for row in made.generated.rows)
    voted = sum(row.output == truth[row.input] for row in made.rows)
    assert voted >= 196 and voted > single + 10
    assert any("named no topics" in line for line in made.said), "it has no recording for that, and generation goes on"
