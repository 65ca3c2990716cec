"""A whole run through the Batch interface: the same table as at once, for half the money."""

from __future__ import annotations

import json
import re

import pytest

from limbeck.teachers import bulk
from limbeck.testing.batch_server import BatchServer
from limbeck.testing.chat_server import completion
from tests.conftest import call_limbeck, write_jsonl

WORDS = {"refund": "money back please", "delivery": "where is my parcel", "other": "how do I clean it"}


def answer(body):
    if "reply_schema" in str(body) or "instruction" in json.dumps(body.get("response_format") or {}):
        return 422, {"error": {"message": "not about this", "type": "no_recording"}}
    question = body["messages"][-1]["content"].rpartition("Input: ")[2]
    label = next(name for name, words in WORDS.items() if words in question)
    if re.search(r"number 1?7\b", question):
        label = "other"  # sometimes wrong
    said = json.dumps({"answer": label})
    return 200, completion(said, usage=(len(body["messages"][-1]["content"]) // 4, len(said) // 4))


@pytest.fixture
def files(tmp_path):
    rows = [{"id": f"r{i}", "input": f"{list(WORDS.values())[i % 3]}, number {i}", "output": list(WORDS)[i % 3]} for i in range(120)]
    (tmp_path / "prompt.md").write_text("Sort the message into refund, delivery or other.\n\nMessage: {message}\nLabel:\n")
    write_jsonl(tmp_path / "rows.jsonl", rows)
    return tmp_path


def ledger_of(files, server, kind, name):
    options = [
        "--rows",
        files / "rows.jsonl",
        "--price",
        "100/400",
        "--candidates",
        "majority,prompt@teacher,prompt+few:2@teacher",
        "--threads",
        "1",
    ]
    done = call_limbeck("run", files / "prompt.md", *options, "--teacher", f"{kind}{server.address}#small", "--out", files / name, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
def test_a_run_gives_the_same_table_for_half_the_money(files, monkeypatch):
    monkeypatch.setattr(bulk, "FIRST_POLL_S", 0.02)
    monkeypatch.setenv("LIMBECK_API_KEY", "sk-none")
    with BatchServer(answer) as server:
        at_once = ledger_of(files, server, "", "at-once")
        direct = len(server.at_once)
        half = ledger_of(files, server, "openai-batch:", "half")
        again = ledger_of(files, server, "openai-batch:", "half")
        in_batches, beside = sum(server.asked.values()), len(server.at_once) - direct
    scores = lambda report: {r["recipe"]: (r["test"] or {}).get("value") for r in report["rows"]}  # noqa: E731
    assert scores(at_once) == scores(half) == scores(again)
    assert in_batches >= 40 and set(server.asked.values()) == {1}
    share = half["ledger"]["spent_usd"] / at_once["ledger"]["spent_usd"]
    assert 0.5 <= share < 0.5 + 0.6 * beside / (in_batches + beside)  # what was too little for a batch costs the full price
    assert again["ledger"]["spent_usd"] == half["ledger"]["spent_usd"]
