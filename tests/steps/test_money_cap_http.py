"""The money cap over real HTTP: twenty workers, a server that misbehaves, and the Batch interface."""

import threading

import pytest

from limbeck.errors import CapReached
from limbeck.teachers import batch, bulk, open_teacher, pace
from limbeck.teachers.store import Store
from limbeck.teachers.tokens import most_usd
from limbeck.testing.batch_server import BatchServer
from limbeck.testing.chat_server import completion
from limbeck.types import Message, Price, Reply, Request

PRICE = Price(usd_per_mtok_in=1.0, usd_per_mtok_out=2.0)
WORKERS = 20


@pytest.fixture
def requests(public_rows):
    system = Message(role="system", content="Choose one of the answers.")
    rows = public_rows("cqa", "test")[:400]
    return [Request(messages=(system, Message(role="user", content=r["input"])), max_tokens=200) for r in rows]


@pytest.fixture
def wide(monkeypatch):
    """Twenty at once from the first moment."""
    monkeypatch.setattr(pace, "FIRST_WIDTH", WORKERS)
    monkeypatch.setattr(pace, "MOST_WIDTH", WORKERS)
    monkeypatch.setattr(batch, "back_off_s", lambda attempt: 0.02)


def whole_cost(store, teacher, requests):
    replies = store.ask(teacher, requests, "label")
    return store.spent_usd, max(PRICE.of(r.tokens_in, r.tokens_out) for r in replies)


@pytest.mark.parametrize("faults", ["", "429=0.03,500=0.1,drop=0.02,garbage=0.05,truncate=0.05"])
def test_twenty_workers_and_retries_stay_below_the_cap_and_what_was_in_flight(tmp_path, replay, requests, wide, faults):
    with replay("--tasks", "cqa", "--latency-ms", "20", "--faults", faults) as server:
        teacher = open_teacher(server.spec(), PRICE)
        spent_usd, dearest_usd = whole_cost(Store(tmp_path / "whole.sqlite", 1.0), teacher, requests)
        cap_usd = spent_usd / 4
        store = Store(tmp_path / "capped.sqlite", cap_usd)
        before = server.stats()
        outcomes = store.ask(teacher, requests, "label")
        after = server.stats()
    billed_usd = PRICE.of(after["prompt_tokens"] - before["prompt_tokens"], after["completion_tokens"] - before["completion_tokens"])
    assert store.spent_usd == pytest.approx(billed_usd)  # what the server counts, not only what we think
    assert cap_usd - dearest_usd <= billed_usd < cap_usd + WORKERS * dearest_usd
    assert {type(o) for o in outcomes} == {Reply, CapReached}
    assert (store.ledger()["retries"] > 0) == bool(faults)


def test_twenty_threads_that_share_a_store_share_its_cap(tmp_path, replay, requests, wide):
    with replay("--tasks", "cqa", "--latency-ms", "5") as server:
        teacher = open_teacher(server.spec(), PRICE)
        spent_usd, dearest_usd = whole_cost(Store(tmp_path / "whole.sqlite", 1.0), teacher, requests)
        store = Store(tmp_path / "capped.sqlite", spent_usd / 4)
        shares = [threading.Thread(target=store.ask, args=(teacher, requests[i::WORKERS], f"worker {i}")) for i in range(WORKERS)]
        for share in shares:
            share.start()
        for share in shares:
            share.join()
    assert spent_usd / 4 - dearest_usd <= store.spent_usd < spent_usd / 4 + WORKERS * dearest_usd


def test_the_batch_interface_stays_below_the_cap_itself(tmp_path, requests, monkeypatch):
    """Nothing in flight is an overshoot here: a batch goes only if its worst case fits."""
    monkeypatch.setattr(bulk, "FIRST_POLL_S", 0.01)
    half = Price(usd_per_mtok_in=0.5, usd_per_mtok_out=1.0)
    worst_usd = sum(most_usd(r, half) for r in requests)

    def wordy(body):
        n = sum(-(-len(m["content"]) // 4) + 4 for m in body["messages"])
        return 200, completion("x", usage=(n, body["max_tokens"]))

    with BatchServer(wordy) as server:
        store = Store(tmp_path / "teacher.sqlite", worst_usd / 3)
        outcomes = store.ask(open_teacher(f"openai-batch:{server.address}#small", PRICE), requests, "label")
    assert 0.95 * worst_usd / 3 < store.spent_usd <= worst_usd / 3 + 1e-9
    assert {type(o) for o in outcomes} == {Reply, CapReached} and server.batches
