"""PaLM-540B's recorded answers on CommonsenseQA, over HTTP: zero-, few- and many-shot rows in one table. A recording answers alike
whatever it is shown, so every row has the recorded accuracy to the digit, the costs differ, and the report says what that means."""

from __future__ import annotations

import json
import random

import pytest

from limbeck import registry
from limbeck.types import Example, Kind, Prediction, Task
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


@pytest.mark.slow
def test_reasons_before_the_answer_reach_the_recorded_accuracy_on_sums(tmp_path, replay, public_rows) -> None:
    """svamp: the reply is "<reasons> So the answer is <equation>."; demonstrations show the recorded reasons of training rows. Not
    with the nearest ones: the server knows a row by its question, and takes a demonstration with the same one for the input."""
    metric = registry.take("metrics", "equation")
    task = Task(name="svamp", instruction="", kind=Kind.TEXT)
    test = public_rows("svamp", "test")
    said = [r["teacher"]["palm540b"]["label"] for r in test]
    graded = [metric.row(task, Example(**pick(r)), Prediction(id=r["id"], text=s)) for r, s in zip(test, said, strict=True)]
    recorded = sum(graded) / len(graded)
    assert round(recorded, 3) == 0.725
    train = [{**r, "rationale": r["teacher"]["palm540b"]["rationale"]} for r in public_rows("svamp", "train")[:120]]
    (tmp_path / "prompt.md").write_text("Write the equation that solves the problem. Use numbers, brackets and + - * / only.\n")
    rows = write_jsonl(tmp_path / "rows.jsonl", train, ("id", "input", "output", "rationale"))
    held = write_jsonl(tmp_path / "test.jsonl", test)
    names = ["prompt:cot@teacher", "prompt:cot+few:4@teacher", "prompt:cot+many@teacher"]
    with replay("--tasks", "svamp", "--teacher", "palm540b") as server:
        done = call_limbeck(
            "run", tmp_path / "prompt.md", "--rows", rows, "--test", held, "--teacher", server.spec(), "--price", "2/6", "--kind", "text",
            "--metric", "equation", "--candidates", ",".join(names), "--set", "window=4096", "--out", tmp_path / "run",
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "run" / "5-report.json").read_text())
    assert [row["recipe"] for row in report["rows"]] == names
    assert {row["test"]["value"] for row in report["rows"]} == {recorded}
    assert any("word for word" in w and all(name in w for name in names) for w in report["warnings"])


def pick(row: dict) -> dict:
    return {name: row[name] for name in ("id", "input", "output")}
