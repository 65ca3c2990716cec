"""A teacher that fails in every way: the run ends, no row is lost that it answered, and the cap holds."""

from __future__ import annotations

import json

import pytest

from tests.conftest import write_jsonl

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
FAULTS = "429=0.2,500=0.05,hang=0.01,garbage=0.05,empty=0.02,truncate=0.02,drop=0.01"


@pytest.fixture
def task(tmp_path, public_rows):
    write_jsonl(tmp_path / "rows.jsonl", public_rows("cqa", "train")[:400])
    write_jsonl(tmp_path / "test.jsonl", public_rows("cqa", "test")[:600])
    (tmp_path / "prompt.md").write_text("Answer the question with common sense.\n\nQuestion: {q}\nAnswer:")
    return tmp_path


def run(limbeck, task, server, *more):
    arguments = [
        "run",
        "prompt.md",
        "--rows",
        "rows.jsonl",
        "--test",
        "test.jsonl",
        "--teacher",
        server.spec(),
        "--candidates",
        "majority,prompt@teacher",
    ]
    return limbeck(*arguments, "--out", "out", *more, cwd=task)


def test_no_row_is_lost_that_the_teacher_answered(limbeck, task, replay, public_rows):
    with replay("--tasks", "cqa", "--faults", FAULTS, "--hang-s", "20") as server:
        done = run(limbeck, task, server, "--price", "2/6")
        stats = server.stats()
    assert done.returncode == 0, done.stderr
    report = json.loads((task / "out" / "5-report.json").read_text())
    prompt = next(r for r in report["rows"] if r["recipe"] == "prompt@teacher")
    recorded = {r["id"]: r for r in public_rows("cqa", "test")[:600]}
    right = sum(r["teacher"]["palm540b"]["label"] == r["output"] for r in recorded.values())
    assert prompt["state"] == "ok"
    # a reply that was spoilt three times in a row may cost its row: 0.09 ** 3 of 600
    assert abs(prompt["test"]["value"] * 600 - right) <= 4, (prompt, right)
    assert report["ledger"]["spent_usd"] == pytest.approx((stats["prompt_tokens"] * 2 + stats["completion_tokens"] * 6) / 1e6, rel=0.05)


def test_spend_stays_below_the_cap_but_for_what_is_in_flight(limbeck, task, replay):
    with replay("--tasks", "cqa", "--latency-ms", "20") as server:
        done = run(limbeck, task, server, "--price", "50/50", "--budget", "1usd")
        stats = server.stats()
    assert done.returncode == 0, done.stderr
    spent = (stats["prompt_tokens"] + stats["completion_tokens"]) * 50 / 1e6
    per_call = spent / stats["ok"]
    assert spent <= 1 + per_call * stats["peak_concurrency"], (spent, stats)
    report = json.loads((task / "out" / "5-report.json").read_text())
    assert report["partial"] and "cap" in next(r for r in report["rows"] if r["recipe"] == "prompt@teacher")["reason"]
