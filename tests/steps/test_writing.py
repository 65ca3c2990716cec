"""Students that write, the whole way: prompt file, run, report, deployed folder, predict; text and fields, both families."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

from limbeck.engine.load import CAUSAL, SEQ2SEQ
from limbeck.testing.toys import toy
from tests.conftest import call_limbeck, write_jsonl

THINGS = ("kettle", "lamp", "chair", "table", "door", "window", "cup", "card")
STATES = ("broken", "late", "lost", "found", "paid", "cold")
QUICK = "epochs=8,lr=0.01,dropout=0,batch_rows=8,freeze_embeddings=false,instruct=false,average=0.2,max_answer=24"
TEXT = "---\nkind: text\nmetric: exact_match\n---\nSay in two words what the message is about: first the state, then the thing.\n"
FIELDS = """---
kind: fields
---
Fill in what the message is about. Answer with a JSON object that fits this schema:
{"type": "object", "properties": {"thing": {"type": "string"}, "state": {"type": "string"}}, "required": ["thing", "state"], "additionalProperties": false}
"""


def messages(kind: str, n: int = 48) -> list[dict[str, Any]]:
    """n different ones, whose answer stands in them."""
    rows = []
    for i in range(n):
        thing, state = THINGS[i % 8], STATES[i // 8 % 6]
        answer = f"{state} {thing}" if kind == "text" else json.dumps({"state": state, "thing": thing})
        rows.append({"id": f"m{i}", "input": f"please: my {thing} is {state}", "output": answer})
    return rows


CASES = [(CAUSAL, "text"), (CAUSAL, "fields"), pytest.param((SEQ2SEQ, "fields"), marks=pytest.mark.slow)]


@pytest.fixture(scope="module", params=CASES, ids=["causal-text", "causal-fields", "seq2seq-fields"])
def finished(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    family, kind = request.param
    folder = tmp_path_factory.mktemp(f"{family}-{kind}")
    rows = messages(kind)
    toy(folder / "toy", family, [text for row in rows for text in (row["input"], row["output"])], byte_level=True)
    (folder / "prompt.md").write_text(TEXT if kind == "text" else FIELDS)
    write_jsonl(folder / "rows.jsonl", rows[:32])
    write_jsonl(folder / "dev.jsonl", rows[32:40])
    write_jsonl(folder / "test.jsonl", rows[40:])
    done = call_limbeck(
        "run", "prompt.md", "--rows", "rows.jsonl", "--dev", "dev.jsonl", "--test", "test.jsonl", "--candidates", "nearest,full@./toy",
        "--set", QUICK, "--threads", "1", "--out", "run", cwd=folder,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder, kind


def test_a_student_that_writes_is_in_the_report_with_its_stop_rate(finished: tuple[Path, str]) -> None:
    folder, kind = finished
    report = json.loads((folder / "run" / "5-report.json").read_text())
    assert report["task"]["kind"] == kind and report["task"]["metric"] == ("exact_match" if kind == "text" else "field_f1")
    rows = {row["recipe"]: row for row in report["rows"]}
    student = rows["full@./toy"]
    assert student["state"] == "ok" and student["test"]["n"] == 8
    rates = {score["metric"]: score for score in student["more"]}
    assert 0 <= rates["stop_rate"]["value"] <= 1 and rates["stop_rate"]["n"] == 8
    assert "stop_rate" not in {score["metric"] for score in rows["nearest"]["more"]}  # it copies, and never has to stop
    assert student["history"][-1]["train_loss"] < 0.5 * student["history"][0]["train_loss"]
    for page in ("5-report.md", "5-report.html"):
        assert "stop_rate" in (folder / "run" / page).read_text()
    shown = call_limbeck("report", folder / "run", env={"COLUMNS": "220"})
    assert "stop_rate" in shown.stdout
    values = {value["name"]: value for value in student["values"]}
    assert values["decode"]["value"] == "greedy" and values["epochs"]["why"] == "set by you"
    assert ("constrained" in values) == (kind == "fields")


def test_the_deployed_folder_answers_as_the_run_did_alone_and_in_a_batch(finished: tuple[Path, str], tmp_path: Path) -> None:
    import limbeck

    folder, kind = finished
    done = call_limbeck("predict", folder / "run" / "6-deploy", "--in", folder / "test.jsonl", "--out", tmp_path / "answers.jsonl")
    assert done.returncode == 0, done.stderr
    (stored,) = (folder / "run" / "4-predictions").glob("full*.test.jsonl")
    evaluated = {p["id"]: p.get("text", "") for p in map(json.loads, stored.read_text().splitlines())}
    assert {p["id"]: p["output"] for p in map(json.loads, (tmp_path / "answers.jsonl").read_text().splitlines())} == evaluated
    student = limbeck.load(folder / "run" / "6-deploy")
    inputs = [row["input"] for row in messages(kind)[40:]]
    together = [p.text for p in student.predict(inputs * 4)]
    assert together == [student.predict([text])[0].text for text in inputs] * 4 == list(evaluated.values()) * 4
    if kind == "fields":  # the schema is a promise
        for text in together:
            assert not text or set(json.loads(text)) == {"state", "thing"}


def test_a_metric_that_does_not_fit_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "prompt.md").write_text(TEXT.replace("exact_match", "accuracy"))
    write_jsonl(tmp_path / "rows.jsonl", messages("text"))
    for options, part in (((), "does not fit the task"), (("--metric", "exact_mach"), "exact_match")):
        done = call_limbeck("run", "prompt.md", "--rows", "rows.jsonl", "--candidates", "nearest", *options, cwd=tmp_path)
        assert done.returncode == 2 and part in done.stderr, done.stderr
    done = call_limbeck("run", "prompt.md", "--rows", "rows.jsonl", "--metric", "rouge_l", "--dry-run", "--json", cwd=tmp_path)
    assert done.returncode == 0 and json.loads(done.stdout)["task"]["metric"] == "rouge_l"
