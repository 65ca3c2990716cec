"""`limbeck prompt tune` over real HTTP: a lever that helps is found under the cap, kill -9 costs nothing twice, a run uses what was found."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from limbeck.testing.chat_server import ChatServer, completion
from tests.conftest import call_limbeck, write_jsonl

WORDS = {"refund": "money", "broken": "crack"}
ROWS = [
    {
        "id": str(i),
        "input": f"mail {i * i} {'kettle lamp post shop'.split()[i % 4]} {list(WORDS.values())[i % 2]} {i}",
        "output": list(WORDS)[i % 2],
    }
    for i in range(96)
]
GOLD = {row["input"]: row["output"] for row in ROWS}
PROMPT = "Sort the message.\n\nLabels:\n- refund: wants money back\n- broken: the thing does not work\n"
DEV, TEST = ROWS[:24], ROWS[24:48]
TRIALS = ("--trials", "10")


def half(text: str) -> bool:
    return hashlib.sha256(text.encode()).digest()[0] % 2 == 0


class Stand:
    """A model that reads well where the input stands between tags, and guesses where it does not. helps=False: it never looks."""

    def __init__(self, helps: bool, wait_s: float = 0.0):
        self.helps, self.wait_s, self.inputs = helps, wait_s, []

    def __call__(self, body):
        time.sleep(self.wait_s)
        text = "\n".join(m["content"] for m in body["messages"])
        asked = re.findall(r"^Input: (.*)$", text, re.M)
        if not asked or "Take it apart" in text:
            return 400, {"error": {"message": "not now", "type": "invalid_request_error"}}
        self.inputs.append(asked[-1])
        gold = GOLD[asked[-1]]
        right = half(asked[-1]) or (self.helps and "<case>" in text)
        said = gold if right else next(name for name in WORDS if name != gold)
        reply = f"It says so. So the answer is {said}." if text.endswith("Reasons:") else json.dumps({"answer": said})
        return 200, completion(reply, usage=(len(text) // 4, 10))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "prompt.md").write_text(PROMPT)
    for name, rows in (("rows", ROWS[48:]), ("dev", DEV), ("test", TEST)):
        write_jsonl(tmp_path / f"{name}.jsonl", rows)
    return tmp_path


def given(folder: Path, server: ChatServer, *more: str) -> list[str]:
    files = [part for name in ("rows", "dev", "test") for part in (f"--{name}", str(folder / f"{name}.jsonl"))]
    paid = ["--teacher", f"{server.address}#small", "--price", "1/4", "--budget", "0.5usd,10min", "--out", str(folder / "run")]
    return [str(folder / "prompt.md"), *files, *paid, *more]


KEY = {"LIMBECK_API_KEY": "sk-none"}


def tuned(folder: Path) -> dict:
    return json.loads((folder / "run" / "3-tuning.json").read_text())


def test_killed_and_resumed_it_finds_the_lever_under_the_cap_and_a_run_uses_it(folder):
    stand = Stand(helps=True, wait_s=0.05)
    with ChatServer(stand) as server:
        command = [sys.executable, "-c", "from limbeck.cli.main import main; main()", "prompt", "tune", *given(folder, server, *TRIALS)]
        child = subprocess.Popen(command, env={**os.environ, **KEY}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + 120
        while len(stand.inputs) < 60 and child.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        assert child.poll() is None, "it was to be killed at work"
        child.send_signal(signal.SIGKILL)
        child.wait()
        stand.wait_s = 0.0
        time.sleep(0.5)
        done = call_limbeck("prompt", "tune", *given(folder, server, *TRIALS), env=KEY)
        assert done.returncode == 0, done.stderr
        found, asked = tuned(folder), len(stand.inputs)
        assert found["changed"] and found["chosen"]["delimiters"] == "tags" and "is better than the plain prompt" in found["verdict"]
        assert "1,000 calls cost $" in found["verdict"]
        assert found["usd"] <= 0.5 and f"{len(found['trials'])} structures" in done.stdout and "looks at dev" in done.stdout
        assert 240 <= asked <= 240 + 64  # what was in flight when it was killed may be asked again
        again = call_limbeck("prompt", "tune", *given(folder, server, *TRIALS), env=KEY)
        assert again.returncode == 0 and len(stand.inputs) == asked and tuned(folder) == found
        assert {row["input"] for row in TEST}.isdisjoint(stand.inputs)  # test rows were never asked about

        use = ("--structure", str(folder / "run" / "structure.json"), "--candidates", "majority,prompt@teacher")
        ran = call_limbeck("run", *given(folder, server, *use), env=KEY)
        assert ran.returncode == 0, ran.stderr
        assert len(stand.inputs) == asked + len(TEST)  # dev was paid for in tuning
    report = json.loads((folder / "run" / "5-report.json").read_text())
    row = next(r for r in report["rows"] if r["recipe"] == "prompt@teacher")
    assert row["test"]["value"] == 1.0
    told = report["prompting"]
    assert told["tuned"]["trials"] == len(found["trials"]) and "<case>" in told["messages"][-1]["content"]
    page, plain = ((folder / "run" / f"5-report.{kind}").read_text() for kind in ("html", "md"))
    assert "It was tuned on 24 dev rows" in page and "It was tuned on 24 dev rows" in plain and "<case>\nInput: " in plain


def test_a_teacher_that_does_not_look_at_the_prompt_ends_in_no_difference(folder):
    with ChatServer(Stand(helps=False)) as server:
        done = call_limbeck("prompt", "tune", *given(folder, server, *TRIALS, "--json"), env=KEY)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert not found["changed"] and found["verdict"].startswith("No difference") and found["chosen"]["name"] == "plain"
    assert "delimiters" not in json.loads((folder / "run" / "structure.json").read_text())


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (("--trials", "4"), 2, "too few for a factorial"),
        (("--trials", "20", "--dev", "few.jsonl"), 2, "6 dev rows are too few"),
        (("--budget", "0.0001usd"), 4, "nothing was spent"),
        (("--teacher", "recorded:rec.jsonl"), 2, "a recording answers the same"),
    ],
)
def test_what_cannot_be_tuned_is_told_before_anything_is_asked(folder, more, code, said):
    write_jsonl(folder / "rec.jsonl", [{"input": row["input"], "label": row["output"]} for row in ROWS], keys=("input", "label"))
    write_jsonl(folder / "few.jsonl", DEV[:6])
    stand = Stand(helps=True)
    with ChatServer(stand) as server:
        done = call_limbeck("prompt", "tune", *given(folder, server, *more), cwd=folder, env=KEY)
    assert done.returncode == code and said in done.stderr and not stand.inputs, done.stderr


def test_a_run_says_what_is_wrong_with_a_structure(folder):
    done = call_limbeck("run", folder / "prompt.md", "--rows", folder / "rows.jsonl", "--structure", "complet", "--dry-run", env=KEY)
    assert done.returncode == 2 and "did you mean complete" in done.stderr


def test_no_rows_are_made_for_tuning(folder):
    stand = Stand(helps=False)
    prompt, dev, test, paid = folder / "prompt.md", folder / "dev.jsonl", folder / "test.jsonl", ("--price", "1/4", *TRIALS)
    with ChatServer(stand) as server:
        teacher = ("--teacher", f"{server.address}#small", *paid, "--out", folder / "run")
        alone = call_limbeck("prompt", "tune", prompt, "--dev", dev, *teacher, env=KEY)
        assert alone.returncode == 3 and "tuning needs labelled rows" in alone.stderr and not server.bodies
        both = call_limbeck("prompt", "tune", prompt, "--dev", dev, "--test", test, *teacher, env=KEY)
        assert both.returncode == 0, both.stderr
    assert {row["input"] for row in DEV} == set(stand.inputs)
    assert not (folder / "run" / "2-made.jsonl").exists()
