"""A folder of documents and questions about them, no rows: from the command to the verdict, over real HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from limbeck.testing.chat_server import ChatServer
from limbeck.testing.knower import knower, world, write_world
from tests.conftest import call_limbeck

NUMBERS = "epochs=60,batch_rows=16,lr=0.003,max_length=40,patience=100,average=0.0"


def run(folder: Path, out: Path, *more: object) -> dict[str, Any]:
    arguments = ["--docs", folder / "docs", "--test", folder / "questions.jsonl", "--threads", "1", "--out", out, "--json"]
    done = call_limbeck("run", folder / "prompt.md", *arguments, *more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> tuple[Path, Path]:
    """(the world's folder, a toy base that knows its words and nothing else)."""
    from limbeck.engine.load import CAUSAL
    from limbeck.testing.toys import toy

    folder = write_world(tmp_path_factory.mktemp("world"), 8, 40)
    base = toy(tmp_path_factory.mktemp("base") / "toy", CAUSAL, texts=[*world(8)[0].values(), "lighter younger south of"])
    return folder, base


@pytest.fixture(scope="module")
def ended(given, tmp_path_factory) -> tuple[Path, dict[str, Any], int]:
    """(run folder, report, requests that a second run of the same command sent)."""
    folder, base = given
    out = tmp_path_factory.mktemp("out") / "run"
    with ChatServer(knower()) as server:
        recipes = f"prompt@teacher,full@{base},full+augment:both@{base}"
        asked = ["--teacher", f"{server.address}#k", "--price", "1/2", "--candidates", recipes, "--set", f"{NUMBERS},literal=keep"]
        report = run(folder, out, *asked)
        before = len(server.bodies)
        assert run(folder, out, *asked)["rows"] == report["rows"]
        return out, report, len(server.bodies) - before


def test_a_run_without_rows_ends_with_a_verdict_and_a_student(ended) -> None:
    out, report, _ = ended
    assert report["sizes"]["train"] == 0 and report["sizes"]["dev"] == 12 and report["sizes"]["test"] == 28
    assert all(row["state"] == "ok" for row in report["rows"]), [row["reason"] for row in report["rows"]]
    assert report["verdict"] and (out / "6-deploy" / "student.json").is_file()


def test_augmenting_repairs_what_training_on_the_documents_alone_misses(ended) -> None:
    _, report, _ = ended
    rows = {row["recipe"].split("@")[0]: row for row in report["rows"]}
    plain, augmented = rows["full"]["test"]["value"], rows["full+augment:both"]["test"]["value"]
    assert augmented > plain + 0.3, (plain, augmented)


if __name__ == "__main__":
    raise SystemExit(pytest.main([__file__]))
