"""The rationale study on a toy: a grid that resumes, bits that rebuild the accuracy, tables that say what was not run."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest

from limbeck.bench import cells, stepgrid, steppage, steprows, steptables
from limbeck.bench.stepwise import packed, unpacked
from limbeck.errors import MissingError, UsageError
from limbeck.types import Example, Kind, Prediction, Status, Task

REPOSITORY = Path(__file__).resolve().parents[2]
LABELS = ["red", "green", "blue"]


def study(folder: Path) -> Path:
    """The committed study's settings, with one small set in place of its sets."""
    default = json.loads((REPOSITORY / "bench/stepwise/default.json").read_bytes())
    default["sets"] = {"colours": {"kind": "label", "labels": LABELS, "metric": "accuracy"}}
    default["core"] = [{"data": "colours", "base": "toy", "rows": [8, "50%"], "seeds": [0, 1], "experiments": ["label", "separate"]}]
    default["further"] = [{"data": "colours", "base": "toy", "rows": ["100%"], "seeds": [0], "experiments": ["echo", "distill"]}]
    default["rows_up_to"], default["looks"], default["passes_per_look"] = [8], [2, 1], [2, 1]
    folder.mkdir()
    (folder / "default.json").write_text(json.dumps(default))
    for name in ("label", "separate", "echo", "distill"):
        own = (REPOSITORY / "bench/stepwise/experiments" / name / "experiment.json").read_text()
        (folder / "experiments" / name).mkdir(parents=True)
        (folder / "experiments" / name / "experiment.json").write_text(own)
    return folder


def colours(shared: Path) -> Path:
    """40 rows whose answer stands in the input; the teacher errs on every fourth, and says nothing on one."""
    (shared / "colours").mkdir(parents=True)
    things = ("kettle", "lamp", "chair", "door", "window")
    for split, n in (("train", 24), ("valid", 9), ("test", 13)):
        rows = []
        for i in range(n):
            gold, thing = LABELS[i % 3], things[i % 5]
            said = "" if i == 6 else LABELS[(i + 1) % 3] if i % 4 == 3 else gold
            told = {"label": said, "rationale": f"the {thing} is {said}. it was so"}
            rows.append({"id": f"{split}-{i}", "input": f"the {thing} is {gold}", "output": gold, "teacher": {"palm540b": told}})
        with gzip.open(shared / "colours" / f"{split}.jsonl.gz", "wt") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    return shared


def fake(cell: stepgrid.Cell, right: str, valid: str, **more: Any) -> None:
    part = {"valid": packed(valid), "test": packed(right)}
    facts = {"valid_rows": "v", "test_rows": "t", "train_rows": 8, "parameters": 1000, "steps": 4, "train_s": 1.0}
    cells.write(cell, {"best": part, **facts, **more})


# ---- the grid ----------------------------------------------------------------------------------------------------------


def test_all_arms_of_a_seed_come_before_the_next_seed(tmp_path: Path):
    grid = stepgrid.grid(study(tmp_path / "s"))
    assert [(c.seed, str(c.rows), c.experiment) for c in grid] == [
        (seed, rows, arm) for seed in (0, 1) for rows in ("8", "50%") for arm in ("label", "separate")
    ]
    assert len({c.file for c in grid}) == len(grid)


def test_the_whole_grid_holds_the_core_and_only_names_choose_from_it(tmp_path: Path):
    folder = study(tmp_path / "s")
    assert {c.file for c in stepgrid.grid(folder)} < {c.file for c in stepgrid.grid(folder, full=True)}
    some = stepgrid.grid(folder, full=True, only=["echo", "distill", "label", "100%"])
    assert [(c.experiment, c.rows) for c in some] == [("echo", "100%"), ("distill", "100%")]
    with pytest.raises(UsageError, match="no cell of this grid has 'ecko'"):
        stepgrid.grid(folder, full=True, only=["ecko"])


def test_the_committed_grid_is_the_core_that_was_asked_for():
    grid = stepgrid.grid(REPOSITORY / "bench" / "stepwise")
    core = [c for c in grid if c.base == "minilm" and c.rows in (125, 1000)]
    assert len(core) == 60 and {c.experiment for c in core} == {"label", "label2x", "echo", "shuffled", "separate"}
    assert {(c.data, c.seed) for c in core} == {(d, s) for d in ("esnli", "cqa") for s in (0, 1, 2)}
    whole = stepgrid.grid(REPOSITORY / "bench" / "stepwise", full=True)
    assert {"esnli", "cqa", "anli1", "svamp"} == {c.data for c in whole}
    assert {"12.5%", "25%", "50%", "100%"} <= {c.rows for c in whole}


def test_shares_count_rows_and_more_than_there_are_is_refused():
    assert [stepgrid.count(share, 8840) for share in ("12.5%", "100%", 125)] == [1105, 8840, 125]
    with pytest.raises(UsageError, match="the training split has 100"):
        stepgrid.count(125, 100)


# ---- rows --------------------------------------------------------------------------------------------------------------

TASK = Task(name="colours", instruction="", kind=Kind.LABEL, labels=tuple(LABELS), metric="accuracy")
BASIC = {"labels": "gold", "reads": "input", "keep": "all", "rationale_words": None}


def told(tmp_path: Path) -> list[steprows.Told]:
    return steprows.read(colours(tmp_path / "data"), "colours", "train", {"kind": "label"}, "palm540b")


def test_what_an_arm_trains_on_is_what_it_says(tmp_path: Path):
    rows = told(tmp_path)
    gold, _ = steprows.as_arm(TASK, rows, BASIC)
    assert [e.output for e in gold] == [t.row.output for t in rows] and gold[0].rationale == "the kettle is red. it was so"
    taught, out = steprows.as_arm(TASK, rows, {**BASIC, "labels": "teacher"})
    assert out == {"no_label": 1} and len(taught) == 23 and taught[3].output != rows[3].row.output
    kept, out = steprows.as_arm(TASK, rows, {**BASIC, "keep": "agreeing"})
    assert out == {"disagreeing": 7} and len(kept) == 24 and sum(e.rationale is None for e in kept) == 7
    short, _ = steprows.as_arm(TASK, rows, {**BASIC, "rationale_words": 3})
    assert short[0].rationale == "the kettle is"
    wider, _ = steprows.as_arm(TASK, rows, {**BASIC, "reads": "input+rationale"})
    assert wider[0].input == "the kettle is red\nthe kettle is red. it was so"


def test_fewer_rows_are_among_the_more_and_the_same_for_every_arm(tmp_path: Path):
    rows = told(tmp_path)
    few, more = steprows.chosen(rows, 8, seed=1), steprows.chosen(rows, "50%", seed=1)
    assert few == more[:8] and len(more) == 12 and few != steprows.chosen(rows, 8, seed=2)


def test_an_answer_that_nobody_could_read_is_wrong():
    rows = [Example(id="a", input="x", output="red"), Example(id="b", input="y", output="blue")]
    answers = [Prediction(id="a", text="red"), Prediction(id="b", status=Status.MALFORMED)]
    assert steprows.grade(TASK, rows, answers) == "10"
    assert steprows.teacher_bits(TASK, [steprows.Told(rows[0], "red", ""), steprows.Told(rows[1], "", "")]) == "10"


@pytest.mark.parametrize("bits", ["", "0", "1", "0001", "01101", "1" * 977, "0" * 2401])
def test_bits_come_back_whole(bits: str):
    found = packed(bits)
    assert unpacked(found) == bits and (found["n"], found["right"]) == (len(bits), bits.count("1"))
    assert len(found["hex"]) <= len(bits) / 4 + 1


# ---- tables ------------------------------------------------------------------------------------------------------------


def test_cells_that_were_not_run_say_so(tmp_path: Path):
    folder = study(tmp_path / "s")
    grid = stepgrid.grid(folder)
    table = steptables.markdown(folder, grid)
    assert "colours, toy, 8 rows" in table.split("## not run")[1]
    fake(grid[0], "1100", "110")
    table = steptables.markdown(folder, grid)
    assert re.search(r"\| separate \| not run \|.*0 of 2", table) and re.search(r"\| label \| 0.667 \| 0.500 .*1 of 2", table)
    assert "not run beside a control" in table
    assert "colours, toy, 8 rows" in steppage.page(folder, grid)


def test_the_claim_is_made_from_dev_and_never_from_test(tmp_path: Path):
    folder = study(tmp_path / "s")
    grid = [c for c in stepgrid.grid(folder) if c.rows == 8]
    for cell in grid:
        ours = cell.experiment == "separate"
        fake(cell, "10" * 50, ("1" if ours else "0") * 60 + "10" * 20)
    assert "Rationales help here: +0.600" in steptables.markdown(folder, grid)
    for cell in grid:
        ours = cell.experiment == "separate"
        fake(cell, ("1" if ours else "0") * 60 + "10" * 20, "10" * 50)
    assert "Rationales are not shown to help here" in steptables.markdown(folder, grid)


def test_only_seeds_that_every_arm_has_are_compared(tmp_path: Path):
    folder = study(tmp_path / "s")
    grid = [c for c in stepgrid.grid(folder) if c.rows == 8]
    for cell in grid[:-1]:  # separate lacks seed 1
        fake(cell, "10" * 50, ("1" if cell.experiment == "separate" else "0") * 60 + "10" * 20)
    found = steptables.finding(steptables.groups(folder, grid)[0])
    assert found.seeds == 1 and found.grade == "ahead"


def test_results_of_other_rows_are_never_laid_side_by_side(tmp_path: Path):
    folder = study(tmp_path / "s")
    grid = [c for c in stepgrid.grid(folder) if c.rows == 8]
    fake(grid[0], "1100", "110")
    fake(grid[1], "1100", "110", test_rows="others")
    with pytest.raises(ValueError, match="different rows"):
        steptables.groups(folder, grid)


# ---- end to end --------------------------------------------------------------------------------------------------------


def test_a_study_end_to_end_resumes_and_its_bits_are_its_accuracy(tmp_path: Path, limbeck: Any):
    from limbeck.testing.toys import toy

    folder, data = study(tmp_path / "s"), colours(tmp_path / "data")
    base = toy(tmp_path / "toy", texts=["the chair is red it was so"])
    command = ("bench", "stepwise", "--folder", folder, "--data", data, "--base", f"toy={base}", "--full")
    command += ("--only", "8", "--only", "100%", "--only", "label", "--only", "separate", "--only", "distill")
    done = limbeck(*command)
    assert done.returncode == 0 and "5 cells, 0 there, 5 to run" in done.stderr and "failed" not in done.stderr, done.stderr
    found = json.loads((folder / "results/separate/colours-toy-8-1.json").read_bytes())
    assert found["recipe"] == "full+stepwise@toy" and found["train_rows"] == 8 and found["steps"] == 2
    assert found["history"][0]["dev"] * 9 == pytest.approx(round(found["history"][0]["dev"] * 9))
    best = max(line["dev"] for line in found["history"])
    assert found["best"]["valid"]["right"] / 9 == pytest.approx(best), "what is scored is what validation chose"
    assert len(unpacked(found["best"]["test"])) == 13
    distilled = json.loads((folder / "results/distill/colours-toy-100pc-0.json").read_bytes())
    assert distilled["left_out"] == {"no_label": 1} and str(tmp_path) not in json.dumps(distilled)
    teacher = stepgrid.teachers(folder)["colours"]
    assert (teacher["test"]["n"], teacher["test"]["right"]) == (13, 9) and teacher["test"]["rows"] == found["test_rows"]

    (folder / "results/label/colours-toy-8-1.json").unlink()
    again = limbeck(*command)
    assert "5 cells, 4 there, 1 to run" in again.stderr
    table = (folder / "table.md").read_text()
    assert "2 of 2" in table and "palm540b on the same rows" in table and "0.692" in table
    assert "<svg" in (folder / "page.html").read_text()


def test_a_missing_data_set_is_said_before_anything_is_trained(tmp_path: Path, limbeck: Any):
    done = limbeck("bench", "stepwise", "--folder", study(tmp_path / "s"), "--data", tmp_path / "nowhere")
    assert done.returncode == MissingError.exit_code and "there is no colours/train.jsonl.gz" in done.stderr
