"""Pay once: what is stored is not asked again, the cap holds, and nothing that came back is lost."""

import os
import signal
import sqlite3
import threading
import time

import pytest

from limbeck.errors import CapReached, Declined, DiskFull, LimbeckError, MissingKey, ProviderError, Transient
from limbeck.teachers import batch, pace
from limbeck.teachers.store import Store
from limbeck.types import Message, Price, Reply, Request

CENT = Price(usd_per_mtok_in=0, usd_per_mtok_out=10_000)  # a reply of one token costs one cent


class Scripted:
    """A teacher whose answers are a function of the text; counts what it was asked."""

    name = model = "scripted"
    fingerprint = "scripted:1"
    recording = False

    def __init__(self, answer=lambda text: text.upper(), price=CENT, remote=True, latency_s=0.0):
        self.answer, self.price, self.remote, self.latency_s = answer, price, remote, latency_s
        self.asked, self.active, self.peak, self.lock = [], 0, 0, threading.Lock()

    def ask(self, request, timeout_s=60.0):
        text = request.messages[0].content
        with self.lock:
            self.asked.append(text)
            self.active += 1
            self.peak = max(self.peak, self.active)
        try:
            time.sleep(self.latency_s)
            said = self.answer(text)
        finally:
            with self.lock:
                self.active -= 1
        if isinstance(said, BaseException):
            raise said
        return Reply(texts=(said,), finish=("stop",), tokens_in=3, tokens_out=1, latency_ms=1.0)


def questions(*texts, **more):
    return [Request(messages=(Message(role="user", content=text),), max_tokens=1, **more) for text in texts]


def many(n):
    return questions(*(f"q{i}" for i in range(n)))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "teacher.sqlite"


@pytest.fixture
def quick(monkeypatch):
    """No waiting between attempts."""
    monkeypatch.setattr(batch, "back_off_s", lambda attempt: 0.001)


def in_turn(*outcomes):
    """A different outcome each time it is asked, the last one for ever; thread-safe enough for one question."""
    left = list(outcomes)
    return lambda text: left.pop(0) if len(left) > 1 else left[0]


# ---- once ------------------------------------------------------------------------------------------------------


def test_one_outcome_per_request_in_order_and_equal_ones_are_asked_once(path):
    teacher = Scripted()
    outcomes = Store(path, 1.0).ask(teacher, questions("b", "a", "b", "c", "a"), "label")
    assert [o.texts for o in outcomes] == [("B",), ("A",), ("B",), ("C",), ("A",)]
    assert sorted(teacher.asked) == ["a", "b", "c"]


def test_what_is_stored_is_not_asked_again_by_another_process(path):
    with Store(path, 1.0) as store:
        first = store.ask(Scripted(), questions("a", "b"), "label")
        ledger = store.ledger()
    teacher = Scripted()
    with Store(path, 1.0) as store:
        assert store.ask(teacher, questions("b", "a"), "test") == first[::-1]
        assert store.ledger() == ledger and store.spent_usd == pytest.approx(0.02)
    assert teacher.asked == []


def test_whatever_changes_the_answer_changes_the_address(path):
    store, teacher = Store(path, 1.0), Scripted()
    for request in (*questions("a"), *questions("a", temperature=1.0), *questions("a", seed=1), *questions("a", seed=2)):
        store.ask(teacher, [request], "label")
    other = Scripted()
    other.fingerprint = "scripted:2"
    store.ask(other, questions("a"), "label")
    assert len(teacher.asked) == 4 and len(other.asked) == 1


def test_an_empty_reply_is_paid_for_and_stored_like_any_other(path):
    store, teacher = Store(path, 1.0), Scripted(lambda text: "")
    for _ in range(2):
        assert store.ask(teacher, questions("a"), "label")[0].texts == ("",)
    assert teacher.asked == ["a"] and store.ledger()["replies"] == 1


def test_a_refusal_is_final_and_costs_its_row_only(path):
    def answer(text):
        return Declined("no", "nothing recorded", "record it", kind="no_recording") if text == "bad" else text

    teacher = Scripted(answer)
    Store(path, 1.0).ask(teacher, questions("a", "bad", "b"), "label")
    store = Store(path, 1.0)
    outcomes = store.ask(teacher, questions("a", "bad", "b"), "label")
    assert [type(o) for o in outcomes] == [Reply, Declined, Reply]
    assert (outcomes[1].kind, outcomes[1].have) == ("no_recording", "nothing recorded")
    assert teacher.asked.count("bad") == 1 and store.ledger()["declined"] == 1


def test_the_ledger_counts_by_purpose_and_remote_spend_only(path):
    store = Store(path, 1.0)
    store.ask(Scripted(), questions("a", "b"), "label")
    here = Scripted(remote=False)
    here.fingerprint = "here"
    store.ask(here, questions("a"), "test")
    ledger = store.ledger()
    assert (ledger["spent_usd"], ledger["requests"], ledger["tokens_in"], ledger["tokens_out"]) == (0.02, 3, 9, 3)
    assert ledger["by_purpose"]["test"]["spent_usd"] == 0 and ledger["by_purpose"]["label"]["replies"] == 2
    assert [c for (c,) in sqlite3.connect(path).execute("SELECT cost_usd FROM replies")] == [0.01] * 3


# ---- again -----------------------------------------------------------------------------------------------------


def test_what_is_transient_is_tried_again_and_counted_apart(path, quick):
    teacher = Scripted(in_turn(Transient("x", status=500), Transient("x", kind="timeout"), "yes"))
    store = Store(path, 1.0)
    assert store.ask(teacher, questions("a"), "label")[0].texts == ("yes",)
    ledger = store.ledger()
    assert (ledger["retries"], ledger["transient"], ledger["replies"]) == (2, {"500": 1, "timeout": 1}, 1)


def test_one_row_that_never_works_is_given_up_and_the_others_live(path, quick):
    teacher = Scripted(lambda text: Transient("broken", status=500) if text == "q3" else text)
    outcomes = Store(path, 1.0).ask(teacher, many(10), "label")
    assert [isinstance(o, Transient) for o in outcomes] == [i == 3 for i in range(10)]
    assert teacher.asked.count("q3") == pace.ATTEMPTS


def test_a_teacher_that_is_down_stops_the_batch_before_every_row_was_tried(path, quick):
    teacher = Scripted(lambda text: Transient("down", status=503))
    with pytest.raises(ProviderError, match="does not answer") as stop:
        Store(path, 1.0).ask(teacher, many(500), "label")
    assert not isinstance(stop.value, Transient) and len(set(teacher.asked)) < 30


def test_a_closed_door_is_noticed_within_seconds(path):
    teacher = Scripted(lambda text: Transient("refused", kind="connection"))
    began = time.monotonic()
    assert isinstance(Store(path, 1.0).ask(teacher, questions("a"), "parse")[0], Transient)
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("fatal", [MissingKey("no key"), ProviderError("no credit"), ZeroDivisionError()])
def test_what_no_other_row_would_survive_stops_the_batch_and_keeps_what_came(path, fatal):
    teacher = Scripted(lambda text: fatal if text == "q40" else text, latency_s=0.005)
    store = Store(path, 10.0)
    with pytest.raises(type(fatal)):
        store.ask(teacher, many(400), "label")
    assert len(teacher.asked) < 200
    assert store.ledger()["replies"] == len(teacher.asked) - 1


def test_a_wait_that_is_too_long_is_not_sat_out(path):
    teacher = Scripted(lambda text: Transient("tomorrow", status=429, retry_after_s=86_400))
    with pytest.raises(ProviderError, match="86400 s"):
        Store(path, 1.0).ask(teacher, questions("a"), "label")


def test_the_deadline_ends_sending_and_says_so(path):
    teacher = Scripted(latency_s=0.1)
    store, requests = Store(path, 100.0), many(5000)
    began = time.monotonic()
    outcomes = store.ask(teacher, requests, "label", deadline_s=0.8)
    assert time.monotonic() - began < 2.5
    replies = [o for o in outcomes if isinstance(o, Reply)]
    assert replies and all(isinstance(o, Reply | CapReached) for o in outcomes) and len(replies) == len(teacher.asked)


# ---- the cap ---------------------------------------------------------------------------------------------------


def test_nothing_is_sent_once_the_cap_is_reached(path):
    teacher = Scripted(latency_s=0.002)
    store = Store(path, 0.50)
    outcomes = store.ask(teacher, many(200), "label")
    assert len(teacher.asked) == sum(isinstance(o, Reply) for o in outcomes) == 50
    assert store.ledger()["spent_usd"] == pytest.approx(0.50)
    assert all(isinstance(o, CapReached) for o in outcomes if not isinstance(o, Reply))
    assert Store(path, 0.50).ask(teacher, many(200), "label") and len(teacher.asked) == 50
    Store(path, 0.60).ask(teacher, many(200), "label")
    assert len(teacher.asked) == 60


def test_a_price_that_is_too_low_to_be_true_overshoots_by_what_is_in_flight_only(path):
    class Wordy(Scripted):
        def ask(self, request, timeout_s=60.0):  # three times the tokens that were asked for
            return super().ask(request).model_copy(update={"tokens_out": 3})

    teacher = Wordy(latency_s=0.01)
    store = Store(path, 1.00)
    store.ask(teacher, many(300), "label")
    assert 1.00 <= store.spent_usd <= 1.00 + 0.03 * store.paces[teacher.fingerprint, "label"].width


def test_what_costs_nothing_is_not_capped(path):
    free = Scripted(price=Price(usd_per_mtok_in=0, usd_per_mtok_out=0))
    assert all(isinstance(o, Reply) for o in Store(path, 0.0).ask(free, many(20), "label"))
    here = Scripted(remote=False)
    here.fingerprint = "here"
    assert all(isinstance(o, Reply) for o in Store(path, 0.0).ask(here, many(20), "label"))
    assert here.peak == 1 and here.asked == [f"q{i}" for i in range(20)]


# ---- breaking off ----------------------------------------------------------------------------------------------


def test_ctrl_c_stops_sending_and_keeps_what_is_in_flight(path):
    teacher = Scripted(latency_s=0.1)
    store = Store(path, 100.0)
    threading.Timer(0.35, os.kill, (os.getpid(), signal.SIGINT)).start()
    with pytest.raises(KeyboardInterrupt):
        store.ask(teacher, many(5000), "label")
    sent = len(teacher.asked)
    assert 0 < sent < 1000 and store.ledger()["replies"] == sent
    time.sleep(0.2)
    assert len(teacher.asked) == sent


def test_a_full_disk_is_said_and_what_came_before_is_kept(path):
    store = Store(path, 100.0)
    pages = store.kept.db.execute("PRAGMA page_count").fetchone()[0]
    store.kept.db.execute(f"PRAGMA max_page_count={pages + 8}")  # SQLite's own "database or disk is full"
    teacher = Scripted(lambda text: text * 500)
    with pytest.raises(DiskFull) as full:
        store.ask(teacher, many(300), "label")
    assert full.value.exit_code == 3
    kept = store.ledger()["replies"]
    store.close()
    with Store(path, 100.0) as store:
        assert 0 < kept == store.ledger()["replies"] and kept < 300
        again = Scripted(lambda text: text * 500)
        assert all(isinstance(o, Reply) for o in store.ask(again, many(300), "label"))
    assert len(again.asked) == 300 - kept


def test_a_damaged_file_is_not_overwritten(path):
    path.write_bytes(b"this is no database, and somebody may want it" * 100)
    with pytest.raises(LimbeckError, match="do not remove it"):
        Store(path, 1.0)
    assert path.read_bytes().startswith(b"this is no database")


def test_progress_is_told_with_the_spend(path):
    told = []
    Store(path, 1.0).ask(Scripted(), many(5), "label", note=lambda *what: told.append(what))
    assert told[0][:2] == (0, 5) and told[-1] == (5, 5, "label, $0.0500 spent")


# ---- the pace --------------------------------------------------------------------------------------------------


def test_the_pace_doubles_halves_at_the_first_refusal_and_feels_its_way_back():
    it = pace.Pace()
    for _ in range(60):
        it.answered(0.1)
    assert it.width == 64
    it.failed(Transient("x", status=429, retry_after_s=2.0), sent_at=10.0, now=11.0)
    assert it.width == 32 and it.not_before == 13.0
    it.failed(Transient("x", status=429), sent_at=10.5, now=11.1)  # sent before the cut: the same crowd
    assert it.width == 32
    rounds = []
    for _ in range(12):
        for _ in range(round(it.width)):
            it.answered(0.1)
        rounds.append(it.width)
    assert 43 < rounds[0] < 49 and 60 < rounds[4] < 65  # half of the way back, and nearly there
    assert all(0.9 < b - a < 1.1 for a, b in zip(rounds[-4:], rounds[-3:], strict=False))  # then one a round


def test_a_server_that_queues_instead_of_refusing_is_not_asked_ever_more():
    it = pace.Pace()
    at_once = 16  # beyond that, the others wait
    for _ in range(3000):
        it.answered(0.5 * max(1.0, it.width / at_once))
    assert 16 <= it.width <= 48


def test_a_teacher_that_refuses_everything_is_asked_one_at_a_time():
    it = pace.Pace()
    for now in range(100):
        it.failed(Transient("x", status=429), sent_at=now, now=now + 0.5)
    assert it.width == 1


def test_one_silence_is_chance_and_two_are_too_many():
    it = pace.Pace()
    it.failed(Transient("x", kind="timeout"), sent_at=0, now=1)
    assert it.width == 4
    it.failed(Transient("x", kind="timeout"), sent_at=0, now=1)
    assert it.width == 2


def test_the_time_limit_follows_the_answers():
    it = pace.Pace()
    assert it.timeout_s() == 60
    for _ in range(20):
        it.answered(0.2)
    assert it.timeout_s() == 10 and it.timeout_s(late_before=2) == 40
    for _ in range(20):
        it.answered(4.0)
    assert it.timeout_s() == 40
