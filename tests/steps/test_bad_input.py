"""Bad input: a three-part message with file and row, the right exit code, no traceback, nothing lost."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

KETTLE = ROOT / "examples" / "kettle"
PROMPT = "Is the message about a cat or a dog?\n\nLabels: cat, dog\n\nMessage: {m}\nLabel:\n"


@pytest.fixture
def task(tmp_path) -> Path:
    (tmp_path / "prompt.md").write_text(PROMPT)
    return tmp_path


def good_rows(n: int = 40) -> list[dict[str, str]]:
    names = ["Felix", "Rex", "Minka", "Bello", "Tom", "Hasso", "Luna", "Waldi", "Simba", "Pluto"]
    verbs = ["sleeps on", "digs near", "hides under", "runs around", "looks at", "jumps over", "sits by"]
    things = ["the sofa", "an old tree", "our kitchen", "a red car", "the long river", "the school", "my bed", "a market"]
    found = []
    for i in range(n):
        animal = "cat" if i % 2 else "dog"
        sound = "purring softly" if i % 2 else "barking loudly"
        found.append({"id": f"r{i}", "input": f"{names[i % 10]} {verbs[i % 7]} {things[i % 8]} {sound} number {i}", "output": animal})
    return found


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def refused(done: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    said = done.stdout + done.stderr
    assert done.returncode == code, said
    assert "Traceback" not in said
    assert "Error:" in done.stderr and "try:" in done.stderr
    for part in parts:
        assert part in said, (part, said)


def run(limbeck, task: Path, *more: object) -> subprocess.CompletedProcess[str]:
    return limbeck("run", "prompt.md", "--candidates", "majority,nearest", "--out", "out", *more, cwd=task)


def test_empty_file(limbeck, task):
    (task / "rows.jsonl").write_text("")
    refused(run(limbeck, task, "--rows", "rows.jsonl"), 2, "rows.jsonl")
    assert not (task / "out").exists()


def test_wrong_column(limbeck, task):
    (task / "rows.csv").write_text("text,label\nmeow,cat\n")
    refused(run(limbeck, task, "--rows", "rows.csv"), 2, "rows.csv", "text", "--columns")


def test_missing_file(limbeck, task):
    refused(run(limbeck, task, "--rows", "nowhere.csv"), 2, "nowhere.csv")


def test_missing_prompt(limbeck, task):
    refused(limbeck("run", "nowhere.md", cwd=task), 2, "nowhere.md")


def test_empty_prompt(limbeck, task):
    (task / "prompt.md").write_text("---\nseed: 1\n---\n  \n")
    write(task / "rows.jsonl", good_rows())
    refused(run(limbeck, task, "--rows", "rows.jsonl"), 2, "empty")


def test_no_rows_at_all(limbeck, task):
    refused(run(limbeck, task), 3, "--rows")


def test_unknown_recipe(limbeck, task):
    write(task / "rows.jsonl", good_rows())
    refused(limbeck("run", "prompt.md", "--rows", "rows.jsonl", "--candidates", "hed@minilm", cwd=task), 2, "did you mean head")


def test_unknown_setting(limbeck, task):
    write(task / "rows.jsonl", good_rows())
    refused(run(limbeck, task, "--rows", "rows.jsonl", "--set", "learning_rat=1"), 2, "learning_rat")


def test_one_malformed_line_among_many_is_set_aside_and_counted(limbeck, task):
    lines = [json.dumps(r) for r in good_rows(400)]
    lines[123] = '{"id": "broken", "input": "half a li'
    (task / "rows.jsonl").write_text("\n".join(lines) + "\n")
    done = run(limbeck, task, "--rows", "rows.jsonl")
    assert done.returncode == 0, done.stderr
    rejected = [json.loads(line) for line in (task / "out" / "2-rejected.jsonl").read_text().splitlines()]
    assert [r["row"] for r in rejected] == [124]
    assert any("put aside" in w for w in json.loads((task / "out" / "5-report.json").read_text())["warnings"])


def test_duplicated_ids_with_other_content_are_set_aside(limbeck, task):
    rows = good_rows()
    write(task / "rows.jsonl", [*rows, {"id": "r0", "input": "something else entirely here", "output": "cat"}])
    done = run(limbeck, task, "--rows", "rows.jsonl")
    assert done.returncode == 0, done.stderr
    assert "r0" in (task / "out" / "2-rejected.jsonl").read_text()


def test_a_test_label_that_training_lacks_is_warned_of_and_counts_as_wrong(limbeck, task):
    write(task / "rows.jsonl", good_rows())
    write(
        task / "test.jsonl",
        [
            *[{**r, "id": "t" + r["id"], "input": r["input"] + " again and again today"} for r in good_rows(20)],
            {"id": "t99", "input": "a bird sings on the roof in May", "output": "bird"},
        ],
    )
    done = run(limbeck, task, "--rows", "rows.jsonl", "--test", "test.jsonl")
    assert done.returncode == 0, done.stderr
    report = json.loads((task / "out" / "5-report.json").read_text())
    assert any("bird" in w for w in report["warnings"]), report["warnings"]


def test_a_very_long_row_is_cut_counted_and_kept(limbeck, task):
    rows = good_rows()
    rows[3]["input"] = "word " * 10_000 + rows[3]["input"]
    write(task / "rows.jsonl", rows)
    done = limbeck("run", "prompt.md", "--rows", "rows.jsonl", "--candidates", "majority,head@minilm", "--out", "out", cwd=task)
    assert done.returncode == 0, done.stderr
    report = json.loads((task / "out" / "5-report.json").read_text())
    assert any("cut: 1 " in w for w in report["warnings"]), report["warnings"]


def test_unwritable_folder(limbeck, task):
    write(task / "rows.jsonl", good_rows())
    (task / "file").write_text("")
    refused(limbeck("run", "prompt.md", "--rows", "rows.jsonl", "--out", "file/out", cwd=task), 2, "--out")


def test_wrong_key(limbeck, task, public_rows, replay):
    from tests.conftest import write_jsonl

    write_jsonl(task / "rows.jsonl", public_rows("cqa", "train")[:60])
    with replay("--tasks", "cqa", "--key", "right") as server:
        arguments = [
            "run",
            "prompt.md",
            "--rows",
            "rows.jsonl",
            "--teacher",
            server.spec(),
            "--price",
            "1/1",
            "--candidates",
            "prompt@teacher",
            "--out",
            "out",
        ]
        refused(limbeck(*arguments, cwd=task, env={"OPENAI_API_KEY": "sk-secret-wrong"}), 3, "key")
        assert not any("sk-secret-wrong" in p.read_text(errors="ignore") for p in (task / "out").rglob("*") if p.is_file())
        done = limbeck(*arguments, cwd=task, env={"OPENAI_API_KEY": "right"})
        assert done.returncode == 0, done.stderr


def test_an_unknown_price_stops_before_the_first_call(limbeck, task, public_rows, replay):
    from tests.conftest import write_jsonl

    write_jsonl(task / "rows.jsonl", public_rows("cqa", "train")[:60])
    with replay("--tasks", "cqa") as server:
        refused(limbeck("run", "prompt.md", "--rows", "rows.jsonl", "--teacher", server.spec(), cwd=task), 2, "--price")
        assert server.stats()["requests"] == 0


def test_a_provider_that_is_down_is_exit_4_without_a_verdict(limbeck, task):
    write(task / "rows.jsonl", good_rows())
    arguments = ["--teacher", "http://127.0.0.1:9/v1#m", "--price", "1/1", "--candidates", "prompt@teacher", "--out", "out"]
    refused(limbeck("run", "prompt.md", "--rows", "rows.jsonl", *arguments, cwd=task), 4, "cannot be reached")
    records = [json.loads(file.read_text()) for file in (task / "out/4-students").glob("*/dev.json")]
    assert [record["state"] for record in records] in (["failed"], ["partial"]), "it was tried, and not left out for want of time"


def test_a_run_whose_time_is_up_before_its_first_candidate_says_so(limbeck, task):
    write(task / "rows.jsonl", good_rows())
    done = limbeck("run", "prompt.md", "--rows", "rows.jsonl", "--candidates", "majority", "--budget", "0.001s", cwd=task)
    refused(done, 4, "the time budget was used up", "--budget")


def test_errors_are_json_for_machines(limbeck, task):
    done = limbeck("run", "nowhere.md", "--json", cwd=task)
    assert done.returncode == 2
    assert json.loads(done.stdout)["exit"] == 2


@pytest.fixture
def small_disk(tmp_path):
    """A tmpfs of a few hundred KiB; needs the right to mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=220k", "tmpfs", str(folder)], capture_output=True).returncode:
        pytest.skip("cannot mount a tmpfs here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_exit_3_and_resumes(limbeck, task, small_disk):
    write(task / "rows.jsonl", good_rows(200))
    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 150_000)
    arguments = ("run", "prompt.md", "--rows", "rows.jsonl", "--candidates", "majority,nearest", "--out", str(small_disk / "out"))
    refused(limbeck(*arguments, cwd=task), 3, "room")
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    done = limbeck(*arguments, cwd=task)
    assert done.returncode == 0, done.stderr
