"""From a prompt alone: rows are written by a teacher over real HTTP, labelled by votes, and a run goes on from there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from limbeck.run import read_lines
from limbeck.testing.chat_server import ChatServer
from limbeck.testing.row_writer import PROMPT, row_writer, truth
from limbeck.types import Example


@pytest.fixture
def prompt(tmp_path: Path) -> Path:
    (tmp_path / "prompt.md").write_text(PROMPT, encoding="utf-8")
    return tmp_path / "prompt.md"


def rows_of(folder: Path) -> list[Example]:
    return read_lines(folder / "2-made.jsonl", Example)


def test_rows_are_made_with_their_whole_origin_and_votes_mend_labels(limbeck: Any, prompt: Path, tmp_path: Path) -> None:
    with ChatServer(row_writer(noise=0.2)) as server:
        done = limbeck(
            "rows",
            prompt,
            "--teacher",
            f"{server.address}#writer",
            "--price",
            "1/2",
            "-n",
            "60",
            "--votes",
            "5",
            "--out",
            tmp_path / "run",
            "--json",
        )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    rows = rows_of(tmp_path / "run")
    assert said["rows"] == len(rows) and 40 <= len(rows) <= 60
    assert len({row.input for row in rows}) == len(rows)
    right = sum(truth(row.input) == row.output for row in rows) / len(rows)
    assert right >= 0.9, "five votes of a teacher who errs at every fifth"
    for row in rows:
        o = row.origin
        assert o.kind == "generated" and o.teacher and o.request and o.template and o.temperature is not None and o.votes
        assert row.output in o.votes and row.confidence is not None and 0 < row.confidence <= 1
    assert sum(row.origin.cost_usd or 0 for row in rows) <= said["spent_usd"] + 1e-9
    assert (tmp_path / "run" / "rows.jsonl").exists()


def test_the_same_command_again_costs_nothing_and_a_run_takes_the_rows_up(limbeck: Any, prompt: Path, tmp_path: Path) -> None:
    with ChatServer(row_writer()) as server:
        teacher = ["--teacher", f"{server.address}#writer", "--price", "1/2", "--out", tmp_path / "run"]
        assert limbeck("rows", prompt, *teacher, "-n", "60").returncode == 0
        first, asked = rows_of(tmp_path / "run"), len(server.bodies)
        assert limbeck("rows", prompt, *teacher, "-n", "60").returncode == 0
        assert rows_of(tmp_path / "run") == first and len(server.bodies) == asked
        done = limbeck("run", prompt, *teacher, "--candidates", "majority,head@minilm,head+rows:gold@minilm", "--threads", "1", "--json")
    assert done.returncode == 0, done.stderr
    assert len(server.bodies) == asked, "the run made rows again that were there"
    explained = limbeck("explain", tmp_path / "run", first[0].id)
    assert explained.returncode == 0 and first[0].origin.request in explained.stdout
    report = json.loads(done.stdout)
    assert report["origins"].get("generated", 0) >= 40
    states = {row["recipe"]: row["state"] for row in report["rows"]}
    assert states["head+rows:gold@minilm"] == "skipped", "no row is the user's own"
    assert report["sizes"]["test"] > 0 and report["best_student"] == "head@minilm"


def test_a_run_without_rows_and_without_a_teacher_says_what_to_type(limbeck: Any, prompt: Path, tmp_path: Path) -> None:
    done = limbeck("run", prompt, "--out", tmp_path / "run")
    assert done.returncode == 3 and "--rows" in done.stderr and "--teacher" in done.stderr
    assert not (tmp_path / "run").exists()


def test_a_dry_run_tells_what_making_rows_would_cost_and_asks_nobody(limbeck: Any, prompt: Path, tmp_path: Path) -> None:
    with ChatServer(row_writer()) as server:
        done = limbeck(
            "run", prompt, "--teacher", f"{server.address}#writer", "--price", "1/2", "--out", tmp_path / "run", "--dry-run", "--json"
        )
        assert done.returncode == 0, done.stderr
        assert server.bodies == []
    plan = json.loads(done.stdout)
    assert plan["estimate"]["usd_high"] > plan["estimate"]["usd_low"] > 0
    assert any("rows" in line["recipe"] for line in plan["estimate"]["lines"])


def test_twenty_rows_of_a_person_stand_in_the_test_beside_synthetic_ones(limbeck: Any, prompt: Path, tmp_path: Path) -> None:
    import random

    from limbeck.testing.row_writer import note_of

    rng = random.Random(5)
    mine = [note_of(rng) for _ in range(30)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in mine), encoding="utf-8")
    with ChatServer(row_writer()) as server:
        done = limbeck(
            "run", prompt, "--rows", tmp_path / "rows.jsonl", "--make", "80", "--teacher", f"{server.address}#writer", "--price", "1/2",
            "--candidates", "majority,head@minilm", "--threads", "1", "--out", tmp_path / "run", "--json",
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    splits = json.loads((tmp_path / "run" / "2-splits.json").read_text())
    every = {r.id: r for r in read_lines(tmp_path / "run" / "2-rows.jsonl", Example)}
    kinds = [every[i].origin.kind for i in splits["test"]["ids"]]
    assert kinds.count("gold") >= 20 and kinds.count("generated") >= 8


def test_a_folder_of_made_rows_explains_them_and_counts_what_they_cost(limbeck: Any, prompt: Path, tmp_path: Path) -> None:
    with ChatServer(row_writer()) as server:
        teacher = ["--teacher", f"{server.address}#writer", "--price", "1/2", "--out", tmp_path / "run"]
        made = limbeck("rows", prompt, *teacher, "-n", "40")
        assert made.returncode == 0 and "--teacher" in made.stdout, made.stdout
        row = rows_of(tmp_path / "run")[0]
        explained = limbeck("explain", tmp_path / "run", row.id)
        assert explained.returncode == 0 and row.origin.request in explained.stdout, explained.stderr
        done = limbeck("run", prompt, *teacher, "--candidates", "prompt@teacher,head@minilm", "--threads", "1", "--json")
    report = json.loads(done.stdout)
    student = next(r for r in report["rows"] if r["recipe"] == "head@minilm")
    rival = next(r for r in report["rows"] if r["recipe"] == "prompt@teacher")
    cost = report["ledger"]["by_purpose"]["generate"]["spent_usd"]
    saved = (rival["usd_per_1000"] - student["usd_per_1000"]) / 1000
    assert student["break_even_calls"] >= cost / saved > 0
