"""The pace finds a limit that it is not told, and keeps near it; Ctrl-C in the middle loses and repeats nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from limbeck.teachers import open_teacher
from limbeck.teachers.store import Store
from limbeck.types import Message, Price, Reply, Request

pytestmark = pytest.mark.slow
PRICE = Price(usd_per_mtok_in=1.0, usd_per_mtok_out=2.0)
AT_ONCE, LATENCY_MS = 40, 500


def requests_of(rows, n):
    system = Message(role="system", content="Choose one of the answers.")
    return [
        Request(messages=(system, Message(role="user", content=rows[i % len(rows)]["input"])), temperature=1.0, max_tokens=200, seed=i // len(rows))
        for i in range(n)
    ]  # fmt: skip


def test_the_limit_is_found_and_used(tmp_path, replay, public_rows):
    requests = requests_of(public_rows("cqa", "test"), 2000)
    with replay("--tasks", "cqa", "--latency-ms", str(LATENCY_MS), "--max-concurrency", str(AT_ONCE)) as server:
        began = time.monotonic()
        outcomes = Store(tmp_path / "t.sqlite", 10.0).ask(open_teacher(server.spec(), PRICE), requests, "label")
        took_s, stats = time.monotonic() - began, server.stats()
    assert all(isinstance(o, Reply) for o in outcomes) and stats["repeats"] == 0
    assert stats["rate_limited"] < 0.06 * len(requests)
    assert len(requests) / took_s > 0.8 * AT_ONCE / (LATENCY_MS / 1000)  # finding it takes three of thirty seconds


CHILD = """
    import json, sys
    from limbeck.teachers import open_teacher
    from limbeck.teachers.store import Store
    from limbeck.types import Price, Request
    requests = [Request.model_validate(r) for r in json.load(open({requests!r}))]
    Store({path!r}, 10.0).ask(open_teacher({spec!r}, Price(usd_per_mtok_in=1.0, usd_per_mtok_out=2.0)), requests, "label")
"""


def test_ctrl_c_in_the_middle_and_the_same_again_loses_and_repeats_nothing(tmp_path, replay, public_rows):
    requests = requests_of(public_rows("cqa", "test"), 900)
    (tmp_path / "requests.json").write_text(json.dumps([r.model_dump(mode="json") for r in requests]))
    with replay("--tasks", "cqa", "--latency-ms", str(LATENCY_MS), "--max-concurrency", str(AT_ONCE)) as server:
        facts = {"requests": str(tmp_path / "requests.json"), "path": str(tmp_path / "t.sqlite"), "spec": server.spec()}
        child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(CHILD).format(**facts)], stderr=subprocess.DEVNULL)
        while server.stats()["ok"] < 400 and child.poll() is None:
            time.sleep(0.05)
        os.kill(child.pid, signal.SIGINT)
        assert child.wait(20) != 0
        with Store(tmp_path / "t.sqlite", 10.0) as store:
            before = store.ledger()["replies"]
            assert all(isinstance(o, Reply) for o in store.ask(open_teacher(server.spec(), PRICE), requests, "label"))
            resumed = store.ledger()
        stats = server.stats()
    assert 400 <= before < 900 and stats["ok"] == resumed["replies"] == 900 and stats["repeats"] == 0
    assert (resumed["tokens_in"], resumed["tokens_out"]) == (stats["prompt_tokens"], stats["completion_tokens"])
