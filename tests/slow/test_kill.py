"""kill -9 at ten random moments, the same command each time: the run ends as one that was never killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import write_jsonl

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]

CANDIDATES = "majority,nearest,prompt@teacher,prompt+few:2@teacher,head@minilm,full@minilm"


def outcome(folder: Path) -> dict[str, Any]:
    """All that must not depend on kills: predictions, scores, winner, ledger total."""
    report = json.loads((folder / "5-report.json").read_text())
    keys = ("id", "text", "status", "tokens_in", "tokens_out", "cost_usd")
    lines = {
        path.name: [{k: json.loads(line).get(k) for k in keys} for line in path.read_text().splitlines()]
        for path in sorted((folder / "4-predictions").glob("*.jsonl"))
    }
    money = {k: report["ledger"][k] for k in ("spent_usd", "replies", "tokens_in", "tokens_out")}
    return {
        "predictions": lines,
        "scores": {r["recipe"]: [r["state"], r["dev"], r["test"], r["versus"]] for r in report["rows"]},
        "winner": report["winner"],
        "verdict": report["verdict"].split(", at $")[0],
        "ledger": money,
    }


def confidences(folder: Path) -> list[float]:
    files = sorted((folder / "4-predictions").glob("*.jsonl"))
    return [json.loads(line).get("confidence") or 0.0 for path in files for line in path.read_text().splitlines()]


def test_a_run_that_is_killed_ten_times_ends_like_one_that_is_not(tmp_path, public_rows, replay):
    rows = public_rows("esnli", "train")[:260]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    (tmp_path / "prompt.md").write_text(
        "Does the premise entail the hypothesis, contradict it, or neither?\n\nLabels: entailment, neutral, contradiction\n\nInput: {text}\nLabel:\n"
    )

    def command(out: str, teacher: str) -> list[str]:
        base = [sys.executable, "-c", "from limbeck.cli.main import main; main()", "run", "prompt.md", "--rows", "rows.jsonl"]
        return [
            *base,
            "--teacher",
            teacher,
            "--price",
            "2/6",
            "--candidates",
            CANDIDATES,
            "--threads",
            "1",
            "--set",
            "epochs=3",
            "--out",
            out,
        ]

    with replay("--tasks", "esnli", "--latency-ms", "60") as server:
        began = time.monotonic()
        subprocess.run(command("whole", server.spec()), cwd=tmp_path, check=True, capture_output=True)
        whole_s = time.monotonic() - began
        spent_requests = server.stats()["requests"]

    with replay("--tasks", "esnli", "--latency-ms", "60") as server:
        rng, log, kills = random.Random(7), [], 0
        for _ in range(10):
            process = subprocess.Popen(
                command("killed", server.spec()), cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
            )
            wait = rng.uniform(1.0, max(4.0, whole_s * 0.45))
            try:
                process.wait(wait)
            except subprocess.TimeoutExpired:
                os.kill(process.pid, signal.SIGKILL)
                kills += 1
            log.append((round(wait, 1), process.wait()))
        subprocess.run(command("killed", server.spec()), cwd=tmp_path, check=True, capture_output=True)
        stats = server.stats()

    # another address is another teacher: the fingerprints differ, nothing else may
    assert outcome(tmp_path / "killed") == outcome(tmp_path / "whole"), log
    # the last bits of a matrix product depend on where memory lies
    assert confidences(tmp_path / "killed") == pytest.approx(confidences(tmp_path / "whole"), abs=1e-5)
    assert kills >= 3, log
    assert stats["repeats"] <= 64 * kills, (stats, log)
    assert stats["requests"] - spent_requests <= 64 * kills, (stats, spent_requests)
    print(f"\nwhole run {whole_s:.0f} s, kills {log}, repeats {stats['repeats']}, requests {stats['requests']} against {spent_requests}")
