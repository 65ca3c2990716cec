"""The five public text sets run from their prompt files to a report with the right metric (bench/text), on a toy and few rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")

from limbeck import registry
from limbeck.engine.load import SEQ2SEQ
from limbeck.tasks import parse
from limbeck.tasks.frontmatter import split_front_matter
from limbeck.testing.toys import toy
from tests.conftest import ROOT

BENCH = ROOT / "bench" / "text"
METRICS = {"svamp": "equation", "mawps": "numeric", "temporal_norm": "exact_match", "squad": "token_f1", "mconala": "chrf"}


@pytest.mark.parametrize("name", METRICS)
def test_a_prompt_file_is_read_as_it_is_meant(name: str) -> None:
    matter, body = split_front_matter((BENCH / f"{name}.md").read_text(encoding="utf-8"))
    assert matter == {"kind": "text", "metric": METRICS[name]}
    task = parse.parse(body, name, [], matter["kind"])
    assert task.kind == "text" and len(task.demonstrations) == 1 and not task.labels
    assert task.demonstrations[0].input not in task.instruction
    assert matter["metric"] in registry.names("metrics")


@pytest.mark.slow
@pytest.mark.parametrize("name", METRICS)
def test_a_public_set_runs_to_a_report(name: str, shared: Path, tmp_path: Path) -> None:
    base = toy(tmp_path / "toy", SEQ2SEQ, byte_level=True)
    command = [sys.executable, str(BENCH / "bench.py"), "--only", name, "--rows", "32", "--dev", "8", "--test", "8", "--base", str(base)]
    command += ["--adapters", "full", "--out", str(tmp_path), "--set", "epochs=1,instruct=false,max_answer=12,lr=0.003"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LIMBECK_SHARED": str(shared)})
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "result.json").read_text())["sets"][name]
    assert (found["kind"], found["metric"]) == ("text", METRICS[name])
    student = found["table"]["full@toy"]
    assert student["state"] == "ok" and 0 <= student["value"] <= 1 and 0 <= student["stop_rate"] <= 1
    assert found["table"]["nearest"]["stop_rate"] is None and name in done.stdout
