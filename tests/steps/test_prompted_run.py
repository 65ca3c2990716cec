"""A local base in one table under prompts, demonstrations and training; the prompt that wins is shipped, and answers the same there."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from limbeck.adapters.prompt import PROMPT
from limbeck.engine.load import CAUSAL
from limbeck.registry import FitJob
from limbeck.tasks import parse
from limbeck.testing.toys import toy
from limbeck.types import Example, Recipe, Value
from tests.conftest import call_limbeck

TEXT = "Say what the customer wants.\n\nAnswer with one of:\n- refund\n- parcel\n- card\n"
WORDS = "my the a kettle lamp chair table door window is was not leaks broken late lost open cold paid bill order".split()


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> tuple[Path, Path]:
    """(folder with prompt and rows, base). Right is what the base itself says, so that its plain prompt is the best there can be."""
    folder, draw = tmp_path_factory.mktemp("given"), random.Random(0)
    base = toy(tmp_path_factory.mktemp("base"), CAUSAL, [TEXT, "exactly these labels and nothing else mask n"])
    rows = [Example(id=f"r{i}", input=" ".join(draw.sample(WORDS, 6))) for i in range(130)]
    task = parse.parse(TEXT, "wants", [], None)
    values = {"max_length": 120, "max_answer": 4, "calibrate": True}
    recipe = Recipe(adapter="prompt", base=str(base), values=tuple(Value(name=n, value=v, why="test") for n, v in values.items()))
    job = FitJob(task=task, recipe=recipe, train=[], dev=[], seed=0, folder=folder / "fit", threads=1, dtype="float32")
    said = PROMPT.fit(job).predictor.predict(rows)
    (folder / "prompt.md").write_text(TEXT)
    lines = [json.dumps({"id": r.id, "input": r.input, "output": p.text}) + "\n" for r, p in zip(rows, said, strict=True)]
    (folder / "rows.jsonl").write_text("".join(lines))
    return folder, base


@pytest.fixture(scope="module")
def ran(given, tmp_path_factory) -> tuple[Path, dict[str, Any]]:
    folder, base = given
    out = tmp_path_factory.mktemp("run") / "run"
    recipes = ("majority", f"prompt@{base}", f"prompt+few:2:nearest@{base}", f"lora@{base}", f"lora+few:2@{base}")
    numbers = "calibrate=true,epochs=1,max_length=120,batch_rows=16"
    arguments = ["--rows", folder / "rows.jsonl", "--candidates", ",".join(recipes), "--set", numbers, "--threads", "1"]
    done = call_limbeck("run", folder / "prompt.md", *arguments, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    return out, json.loads(done.stdout)


def test_prompts_and_students_of_one_base_stand_in_one_table(ran, given):
    _, base = given
    rows = {row["recipe"].removesuffix(f"@{base}"): row for row in ran[1]["rows"]}
    assert set(rows) == {"majority", "prompt", "prompt+few:2:nearest", "lora", "lora+few:2"}
    assert all(row["state"] == "ok" for row in rows.values()), [row["reason"] for row in rows.values()]
    assert rows["prompt"]["test"]["value"] == 1.0 > rows["majority"]["test"]["value"]
    for name in ("prompt", "prompt+few:2:nearest"):
        row = rows[name]
        assert row["group"] == "prompt" and row["trainable_parameters"] == 0 and row["train_s"] is None
        assert row["latency_p50_ms"] > 0 and row["throughput_rows_s"] > 0 and row["size_mb"] > 0
        assert 0 < row["usd_per_1000"] < 0.1, "what this machine's time is worth, no teacher's price"
    assert rows["prompt+few:2:nearest"]["flops_per_call"] > rows["prompt"]["flops_per_call"] > 0
    shown = {v["name"]: v["value"] for v in rows["prompt+few:2:nearest"]["values"]}
    assert shown["demonstrations"] == 2.0 and shown["calibrate"] is True
    assert ran[1]["ledger"]["replies"] == 0 and ran[1]["ledger"]["spent_usd"] == 0


def test_the_prompt_that_wins_is_shipped_and_answers_the_same_elsewhere(ran, given, tmp_path):
    out, report = ran
    folder, base = given
    assert report["winner"] == f"prompt@{base}" and report["advice"] == "prompt"
    parity = json.loads((out / "6-deploy" / "parity.json").read_text())
    assert parity["rows"] > 0 and parity["different"] == 0
    done = call_limbeck("predict", out / "6-deploy", "--in", folder / "rows.jsonl")
    assert done.returncode == 0, done.stderr
    gold = {line["id"]: line["output"] for line in map(json.loads, (folder / "rows.jsonl").read_text().splitlines())}
    assert {line["id"]: line["output"] for line in map(json.loads, done.stdout.splitlines())} == gold


def test_the_same_command_again_does_nothing_again(ran, given):
    out, report = ran
    stamp = {p: p.stat().st_mtime_ns for p in (out / "4-predictions").iterdir()}
    probes = json.loads((out / "run.json").read_text())["probes"]
    assert len(probes) == 2, "both prompts of the base were measured for the estimate"
    folder, _ = given
    recipes = ",".join(row["recipe"] for row in report["rows"])
    numbers = "calibrate=true,epochs=1,max_length=120,batch_rows=16"
    arguments = ["--rows", folder / "rows.jsonl", "--candidates", recipes, "--set", numbers, "--threads", "1"]
    done = call_limbeck("run", folder / "prompt.md", *arguments, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    assert {p: p.stat().st_mtime_ns for p in (out / "4-predictions").iterdir()} == stamp
    assert json.loads((out / "run.json").read_text())["probes"] == probes, "and are not measured again"


def test_a_base_is_measured_on_a_file_of_test_rows_alone(given, tmp_path):
    folder, base = given
    arguments = ["--test", folder / "rows.jsonl", "--candidates", f"prompt@{base}", "--set", "calibrate=true,max_length=120"]
    done = call_limbeck("run", folder / "prompt.md", *arguments, "--threads", "1", "--out", tmp_path / "run", "--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["winner"] == f"prompt@{base}" and report["rows"][0]["test"]["value"] == 1.0
    assert report["sizes"] == {"train": 0, "dev": 0, "test": 130, "unlabelled": 0}
    assert (tmp_path / "run" / "6-deploy" / "parity.json").exists()
