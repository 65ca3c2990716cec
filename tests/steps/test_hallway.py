"""The hallway end to end on real input, through the command line: run, resume, report, predict, explain."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import ROOT, call_limbeck, write_jsonl

KETTLE = ROOT / "examples" / "kettle"
QUICK = "majority,nearest,prompt@teacher,head@minilm"


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A finished quick run on the kettle example."""
    folder = tmp_path_factory.mktemp("kettle")
    done = call_limbeck("run", KETTLE / "prompt.md", "--candidates", QUICK, "--out", folder / "run", "--threads", "1")
    assert done.returncode == 0, done.stderr
    return folder / "run"


def report_of(folder: Path) -> dict:
    return json.loads((folder / "5-report.json").read_text())


def test_a_run_leaves_every_numbered_entry(finished):
    names = {p.name for p in finished.iterdir()}
    assert {"0-prompt.md", "1-task.json", "2-rows.jsonl", "2-splits.json", "2-rejected.jsonl", "3-recipes.json"} <= names
    assert {
        "4-students",
        "4-predictions",
        "5-report.json",
        "5-report.md",
        "5-report.html",
        "6-deploy",
        "run.json",
        "teacher.sqlite",
    } <= names


def test_the_table_ranks_the_candidates_as_one_would_expect(finished):
    rows = {r["recipe"]: r["test"]["value"] for r in report_of(finished)["rows"]}
    assert rows["majority"] < rows["nearest"] < rows["prompt@teacher"]
    assert rows["majority"] < 0.25 < 0.5 < rows["head@minilm"] < 1


def test_every_score_can_be_recomputed_from_the_stored_predictions(finished):
    report = report_of(finished)
    gold = {json.loads(line)["id"]: json.loads(line).get("output") for line in (finished / "2-rows.jsonl").read_text().splitlines()}
    for row in report["rows"]:
        lines = [json.loads(line) for line in (finished / "4-predictions" / f"{row['id']}.test.jsonl").read_text().splitlines()]
        right = sum(p.get("text") == gold[p["id"]] for p in lines)
        assert row["test"]["value"] == pytest.approx(right / len(lines))


def test_test_rows_are_in_no_other_split_and_never_shown_to_the_teacher(finished):
    splits = json.loads((finished / "2-splits.json").read_text())
    parts = [set(splits[name]["ids"]) for name in ("train", "dev", "test")]
    assert not (parts[0] & parts[1] | parts[0] & parts[2] | parts[1] & parts[2])
    assert all(parts)


def test_the_same_command_again_does_nothing_twice(finished, limbeck):
    before = {p: p.stat().st_mtime_ns for p in (finished / "4-predictions").iterdir()}
    ledger = report_of(finished)["ledger"]["replies"]
    done = limbeck("run", KETTLE / "prompt.md", "--candidates", QUICK, "--out", finished, "--threads", "1")
    assert done.returncode == 0, done.stderr
    assert {p: p.stat().st_mtime_ns for p in (finished / "4-predictions").iterdir()} == before
    assert report_of(finished)["ledger"]["replies"] == ledger
    assert report_of(finished)["test_scored"] == 1


def test_the_report_is_rebuilt_without_a_model(finished, limbeck, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    shutil.rmtree(copy / "6-deploy")
    for model in (copy / "4-students").glob("*/model"):
        shutil.rmtree(model)
    done = limbeck("report", copy)
    assert done.returncode == 0, done.stderr
    assert "head@minilm" in done.stdout
    assert report_of(copy) == report_of(finished)


def test_the_student_answers_as_it_was_evaluated(finished, limbeck, tmp_path):
    """Row by row: command line, library and evaluation agree."""
    import limbeck as package

    report = report_of(finished)
    best = next(r for r in report["rows"] if r["recipe"] == report["best_student"])
    evaluated = {
        p["id"]: p["text"] for p in map(json.loads, (finished / "4-predictions" / f"{best['id']}.test.jsonl").read_text().splitlines())
    }
    rows = [r for r in map(json.loads, (finished / "2-rows.jsonl").read_text().splitlines()) if r["id"] in evaluated]
    source = tmp_path / "new.jsonl"
    source.write_text("".join(json.dumps({"id": r["id"], "input": r["input"]}) + "\n" for r in rows))
    moved = tmp_path / "elsewhere"
    shutil.copytree(finished / "6-deploy", moved)
    done = limbeck("predict", moved, "--in", source, "--out", tmp_path / "answers.jsonl")
    assert done.returncode == 0, done.stderr
    by_command = {p["id"]: p["output"] for p in map(json.loads, (tmp_path / "answers.jsonl").read_text().splitlines())}
    by_library = [p.text for p in package.load(str(moved)).predict([r["input"] for r in rows])]
    assert by_command == evaluated
    assert by_library == [evaluated[r["id"]] for r in rows]


def test_explain_traces_a_row(finished, limbeck):
    row_id = json.loads((finished / "2-splits.json").read_text())["test"]["ids"][0]
    done = limbeck("explain", finished, row_id, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["split"] == "test" and "rows.jsonl" in found["origin"]
    assert {a["recipe"] for a in found["answers"]} == set(QUICK.split(","))
    wrong = limbeck("explain", finished, "no-such-row")
    assert wrong.returncode == 2 and "no-such-row" in wrong.stderr


def test_a_changed_prompt_runs_what_depends_on_it_and_says_so(finished, limbeck, tmp_path):
    folder = tmp_path / "kettle"
    shutil.copytree(KETTLE, folder)
    out = tmp_path / "run"
    first = limbeck("run", folder / "prompt.md", "--candidates", "majority,prompt@teacher", "--out", out)
    assert first.returncode == 0, first.stderr
    again = limbeck("run", folder / "prompt.md", "--candidates", "majority,prompt@teacher", "--out", out)
    assert again.returncode == 0 and "changed since the last run" not in again.stderr, again.stderr
    text = (folder / "prompt.md").read_text()
    (folder / "prompt.md").write_text(text.replace("You sort", "You sort quickly"))
    second = limbeck("run", folder / "prompt.md", "--candidates", "majority,prompt@teacher", "--out", out)
    assert second.returncode == 0, second.stderr
    assert "changed since the last run" in second.stderr
    assert "quickly" in (out / "1-task.json").read_text()


def test_a_second_process_on_the_folder_is_refused(finished, limbeck):
    from limbeck.run import RunFolder

    with RunFolder(finished).locked():
        done = limbeck("run", KETTLE / "prompt.md", "--candidates", QUICK, "--out", finished)
    assert done.returncode == 2
    assert "another process" in done.stderr


def test_a_dry_run_spends_and_writes_nothing(limbeck, tmp_path):
    done = limbeck("run", KETTLE / "prompt.md", "--dry-run", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert "Nothing was spent" in done.stdout and "order_status" in done.stdout
    assert not (tmp_path / "run").exists()
    machine = json.loads(limbeck("run", KETTLE / "prompt.md", "--dry-run", "--json").stdout)
    assert machine["task"]["kind"] == "label" and len(machine["rows"]) == 5
    assert all(v["why"] for c in machine["candidates"] for v in c["values"])


def test_require_win_is_exit_5_where_the_prompt_wins(limbeck, tmp_path):
    done = limbeck(
        "run",
        KETTLE / "prompt.md",
        "--candidates",
        "majority,prompt@teacher,head+rows:gold@minilm",
        "--out",
        tmp_path / "run",
        "--require-win",
    )
    assert done.returncode == 5, done.stderr
    assert "no student beat" in done.stderr
    assert (tmp_path / "run" / "5-report.html").exists()


@pytest.mark.parametrize("kind", ["choice", "score"])
def test_choice_and_score_tasks_go_through(kind, limbeck, tmp_path, public_rows):
    if kind == "choice":
        source = ROOT / "examples" / "first-step" / "prompt.md"
        arguments = [source, "--candidates", "majority,nearest,prompt@teacher,head@minilm"]
    else:
        rows = tmp_path / "rows.csv"
        import csv

        with rows.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["input", "output"])
            writer.writerows([r["input"], r["output"]] for r in public_rows("glue_stsb", "train")[::20])
        (tmp_path / "prompt.md").write_text("How close in meaning are the two sentences, from 0 to 5?\n\n{pair}\nScore:")
        arguments = [tmp_path / "prompt.md", "--rows", rows, "--candidates", "majority,nearest,head@minilm"]
    done = limbeck("run", *arguments, "--out", tmp_path / "run", "--threads", "1")
    assert done.returncode == 0, done.stderr
    report = report_of(tmp_path / "run")
    assert report["task"]["kind"] == kind
    assert all(r["state"] == "ok" for r in report["rows"]), [(r["recipe"], r["reason"]) for r in report["rows"]]
    assert (tmp_path / "run" / "6-deploy" / "student.json").exists()


@pytest.mark.parametrize(
    "arguments", [["list"], ["list", "adapters"], ["info", "full"], ["info", "recipes"], ["doctor"], ["report", "RUN"]]
)
def test_every_command_speaks_json(arguments, finished, limbeck):
    done = limbeck(*[finished if a == "RUN" else a for a in arguments], "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)


def test_ctrl_c_is_exit_130_and_the_same_command_goes_on(tmp_path, public_rows, replay):
    write_jsonl(tmp_path / "rows.jsonl", public_rows("cqa", "train")[:300])
    (tmp_path / "prompt.md").write_text("Answer the question with common sense.\n\nQuestion: {q}\nAnswer:")
    with replay("--tasks", "cqa", "--latency-ms", "400") as server:
        command = [
            sys.executable,
            "-c",
            "from limbeck.cli.main import main; main()",
            "run",
            "prompt.md",
            "--rows",
            "rows.jsonl",
            "--out",
            "out",
        ]
        command += ["--teacher", server.spec(), "--price", "1/1", "--candidates", "majority,prompt@teacher"]
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while server.stats()["ok"] < 5:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 130 and "resumes" in said and "Traceback" not in said, said
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        assert server.stats()["repeats"] <= 64
    assert (tmp_path / "out" / "5-report.html").exists()


def test_a_cap_that_leaves_no_verdict_is_exit_4(limbeck, tmp_path, public_rows, replay):
    write_jsonl(tmp_path / "rows.jsonl", public_rows("cqa", "train")[:120])
    (tmp_path / "prompt.md").write_text("Answer the question with common sense.\n\nQuestion: {q}\nAnswer:")
    with replay("--tasks", "cqa") as server:
        arguments = ["run", "prompt.md", "--rows", "rows.jsonl", "--out", "out", "--teacher", server.spec(), "--price", "50/50"]
        done = limbeck(*arguments, "--candidates", "prompt@teacher", "--budget", "0.05usd", cwd=tmp_path)
        assert done.returncode == 4 and "cap" in done.stderr, done.stderr
        more = limbeck(*arguments, "--candidates", "prompt@teacher", "--budget", "5usd", cwd=tmp_path)
        assert more.returncode == 0, more.stderr
        assert server.stats()["repeats"] == 0
