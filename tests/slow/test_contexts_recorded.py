"""PaLM-540B's recorded answers on CommonsenseQA, over HTTP: zero-, few- and many-shot rows in one table. A recording answers alike
whatever it is shown, so every row has the recorded accuracy to the digit, the costs differ, and the report says what that means."""

from __future__ import annotations

import json
import random

import pytest

from tests.conftest import call_limbeck, write_jsonl

CANDIDATES = ["majority", "prompt@teacher", "prompt+few:8@teacher", "prompt+few:8:nearest@teacher", "prompt+many@teacher"]
PROMPT = "Answer the question with common sense. Choose the option that fits best.\n\nQuestion: {question}\nAnswer:\n"


@pytest.mark.slow
def test_recorded_accuracy_is_reproduced_under_every_context_and_told_to_be_plumbing(tmp_path, replay, public_rows) -> None:
    test = public_rows("cqa", "test")
    recorded = sum(r["teacher"]["palm540b"]["label"] == r["output"] for r in test) / len(test)
    assert round(recorded, 3) == 0.769
    (tmp_path / "prompt.md").write_text(PROMPT)
    rows = write_jsonl(tmp_path / "rows.jsonl", random.Random(0).sample(public_rows("cqa", "train"), 500))
    held = write_jsonl(tmp_path / "test.jsonl", test)
    with replay("--tasks", "cqa", "--teacher", "palm540b") as server:
        done = call_limbeck(
            "run", tmp_path / "prompt.md", "--rows", rows, "--test", held, "--teacher", server.spec(), "--price", "2/6", "--budget", "1000usd,60min",
            "--candidates", ",".join(CANDIDATES), "--set", "window=8192", "--out", tmp_path / "run",
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "run" / "5-report.json").read_text())
    prompts = {row["recipe"]: row for row in report["rows"] if row["group"] == "prompt"}
    assert len(prompts) == 4 and all(row["state"] == "ok" for row in prompts.values())
    assert {row["test"]["value"] for row in prompts.values()} == {recorded}
    tokens = [prompts[name]["tokens_in_per_call"] for name in CANDIDATES[1:]]
    assert tokens[0] < tokens[1] < tokens[3] and tokens[0] < tokens[2] < tokens[3] < 8192
    shown = next(v["value"] for v in prompts["prompt+many@teacher"]["values"] if v["name"] == "rows_shown")
    assert 50 < int(shown.split(" of ")[0]) < report["sizes"]["train"]
    (said,) = (w for w in report["warnings"] if "word for word" in w)
    assert all(name in said for name in prompts) and "compares costs, not contexts" in said
