"""The store against a real server that replays recorded answers and misbehaves on purpose, and against kill -9."""

import gzip
import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import pytest

from limbeck.errors import CapReached, MissingKey
from limbeck.teachers import open_teacher
from limbeck.teachers.pace import MOST_WIDTH
from limbeck.teachers.store import Store
from limbeck.types import Message, Price, Reply, Request

SHARED = Path(__file__).parents[2].parent / "shared"
REPLAY = SHARED / "tools" / "replay_teacher.py"
pytestmark = pytest.mark.skipif(not REPLAY.is_file(), reason=f"needs {REPLAY}, which replays recorded answers")

PRICE = Price(usd_per_mtok_in=1.0, usd_per_mtok_out=2.0)
SCHEMA = json.dumps({"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"], "additionalProperties": False})
NEVER_THE_SAME = ("retries", "transient")


class Replay:
    def __init__(self, address):
        self.address = address
        self.spec = f"{address}#palm540b"

    def stats(self):
        with urllib.request.urlopen(self.address.removesuffix("/v1") + "/stats") as answer:
            return json.load(answer)


@contextmanager
def replay(*options):
    command = [sys.executable, str(REPLAY), "--tasks", "cqa", "--port", "0", *map(str, options)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            yield Replay(server.stdout.readline().strip())
        finally:
            server.kill()


def requests(n):
    with gzip.open(SHARED / "data" / "cqa" / "test.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line, _ in zip(lines, range(n), strict=False)]
    system = Message(role="system", content="Choose one of the answers.")
    return [Request(messages=(system, Message(role="user", content=r["input"])), reply_schema=SCHEMA, max_tokens=64) for r in rows]


def money(ledger):
    return {name: value for name, value in ledger.items() if name not in NEVER_THE_SAME}


@pytest.mark.parametrize("n", [100, pytest.param(300, marks=pytest.mark.slow)])
def test_every_row_is_answered_by_a_server_that_misbehaves(tmp_path, n):
    faults = "429=0.2,500=0.05,hang=0.01,garbage=0.05,empty=0.02,truncate=0.02,drop=0.01"
    with replay("--faults", faults, "--hang-s", 3) as server:
        store = Store(tmp_path / "teacher.sqlite", cap_usd=1.0)
        outcomes = store.ask(open_teacher(server.spec, PRICE), requests(n), "label")
        stats, ledger = server.stats(), store.ledger()
    assert all(isinstance(o, Reply) for o in outcomes)
    assert stats["ok"] == ledger["replies"] == n and stats["repeats"] == 0
    assert ledger["retries"] == stats["requests"] - n
    went_wrong = {"504" if k == "hang" else "connection" if k == "drop" else k: n for k, n in stats["faults"].items()}
    assert ledger["transient"] == {k: n for k, n in went_wrong.items() if k not in ("garbage", "empty", "truncate")}
    assert sum(o.texts == ("",) for o in outcomes) == stats["faults"].get("empty", 0)  # a bad reply is a reply: stored, paid, told
    assert (ledger["tokens_in"], ledger["tokens_out"]) == (stats["prompt_tokens"], stats["completion_tokens"])
    assert ledger["spent_usd"] == pytest.approx(PRICE.of(stats["prompt_tokens"], stats["completion_tokens"]))


def test_a_cap_is_overshot_by_the_requests_in_flight_at_most(tmp_path):
    with replay("--latency-ms", 20) as server:
        teacher = open_teacher(server.spec, PRICE)
        whole = Store(tmp_path / "whole.sqlite", cap_usd=1.0)
        dearest = max(PRICE.of(r.tokens_in, r.tokens_out) for r in whole.ask(teacher, requests(300), "label"))
        cap_usd = whole.spent_usd / 3
        store = Store(tmp_path / "capped.sqlite", cap_usd)
        before = server.stats()["requests"]
        outcomes = store.ask(teacher, requests(300), "label")
        stats, width = server.stats(), store.paces[teacher.fingerprint, "label"].width
    assert cap_usd <= store.spent_usd < cap_usd + dearest * width
    assert stats["requests"] - before == sum(isinstance(o, Reply) for o in outcomes) < 200
    assert all(isinstance(o, Reply | CapReached) for o in outcomes)


CHILD = """
    import sys
    sys.path.insert(0, {here!r})
    from test_store_http import PRICE, Store, open_teacher, requests
    Store({path!r}, cap_usd=1.0).ask(open_teacher({spec!r}, PRICE), requests(300), "label")
"""


def stored(path):
    try:
        return sqlite3.connect(f"file:{path}?mode=ro", uri=True).execute("SELECT count(*) FROM replies").fetchone()[0]
    except sqlite3.Error:
        return 0


def test_a_killed_process_pays_again_for_what_was_in_flight_only(tmp_path):
    path = tmp_path / "teacher.sqlite"
    with replay("--latency-ms", 100) as server:
        code = textwrap.dedent(CHILD).format(here=str(Path(__file__).parent), path=str(path), spec=server.spec)
        child = subprocess.Popen([sys.executable, "-c", code])
        until = time.monotonic() + 60
        while stored(path) < 60 and child.poll() is None and time.monotonic() < until:
            time.sleep(0.01)
        os.kill(child.pid, signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
        assert 60 <= stored(path) < 300

        teacher = open_teacher(server.spec, PRICE)
        with Store(path, cap_usd=1.0) as store:
            assert all(isinstance(o, Reply) for o in store.ask(teacher, requests(300), "label"))
            resumed = store.ledger()
        stats = server.stats()
        assert stats["repeats"] <= MOST_WIDTH and stats["ok"] == 300 + stats["repeats"]
        with Store(tmp_path / "unkilled.sqlite", cap_usd=1.0) as store:
            store.ask(teacher, requests(300), "label")
            assert money(resumed) == money(store.ledger())


def test_a_wrong_key_stops_the_batch_at_once(tmp_path, monkeypatch):
    monkeypatch.delenv("LIMBECK_API_KEY", raising=False)
    with replay("--key", "sk-right") as server:
        monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-and-secret")
        store = Store(tmp_path / "teacher.sqlite", cap_usd=1.0)
        with pytest.raises(MissingKey) as refused:
            store.ask(open_teacher(server.spec, PRICE), requests(100), "label")
        assert "OPENAI_API_KEY" in str(refused.value) and store.ledger()["replies"] == 0
        monkeypatch.setenv("OPENAI_API_KEY", "sk-right")
        assert isinstance(store.ask(open_teacher(server.spec, PRICE), requests(1), "label")[0], Reply)
    assert not any(b"secret" in file.read_bytes() for file in tmp_path.iterdir())


def test_few_at_once_is_respected(tmp_path):
    with replay("--max-concurrency", 4, "--latency-ms", 20) as server:
        outcomes = Store(tmp_path / "teacher.sqlite", cap_usd=1.0).ask(open_teacher(server.spec, PRICE), requests(40), "label")
        stats = server.stats()
    assert all(isinstance(o, Reply) for o in outcomes)
    assert stats["rate_limited"] < 30 and stats["peak_concurrency"] <= 16


@pytest.mark.slow
def test_so_many_a_minute_is_respected(tmp_path):
    """150 questions at 100 a minute: one pause of a minute, in which nobody knocks."""
    with replay("--rpm", 100) as server:
        began = time.monotonic()
        outcomes = Store(tmp_path / "teacher.sqlite", cap_usd=1.0).ask(open_teacher(server.spec, PRICE), requests(150), "label")
        stats, took_s = server.stats(), time.monotonic() - began
    assert all(isinstance(o, Reply) for o in outcomes)
    assert 55 < took_s < 90 and stats["rate_limited"] <= 2 * MOST_WIDTH
