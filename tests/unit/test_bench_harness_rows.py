"""Public rows become what lm-evaluation-harness's own tasks read; nothing of it needs the harness."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from limbeck.bench import harness, harness_code, harness_own, harness_rows
from limbeck.bench.harness_table import markdown
from limbeck.errors import BadRows, MissingExtra, UsageError
from limbeck.types import Demonstration, Example, Kind, Task


def write_public(folder: Path, name: str, split: str, rows: list[dict[str, Any]]) -> None:
    (folder / name).mkdir(parents=True, exist_ok=True)
    with gzip.open(folder / name / f"{split}.jsonl.gz", "wt") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))


def one_row(name: str) -> dict[str, Any]:
    about = {"subject": "virology", "question": "Which?", "options": ["a", "b", "c", "d"], "task": "snarks", "answers": ["x", "y"]}
    about |= {"entry_point": "f", "test": "def check(f):\n    assert f() == 1\n"}
    choices = ["A", "B", "C", "D"]
    return {"id": "1", "input": "Which?", "output": "B", "rationale": "It is b.", "choices": choices, "meta": about}


@pytest.mark.parametrize("name", harness_rows.SUITES)
def test_every_suite_is_written_as_a_data_set_that_its_card_describes(name: str, tmp_path: Path):
    suite = harness_rows.SUITES[name]
    for split in set(suite.splits.values()):
        write_public(tmp_path / "data", suite.data, split, [one_row(name)])
    assert harness_rows.has_rows(tmp_path / "data", suite)
    place = harness_rows.write_suite(suite, tmp_path / "data", tmp_path / "tasks")
    (config,) = yaml.safe_load((place / "README.md").read_text().split("---")[1])["configs"]
    assert {f["split"] for f in config["data_files"]} == set(suite.splits)
    for file in config["data_files"]:
        assert len((place / file["path"]).read_text().splitlines()) == 1
    text = (place / f"{name}.yaml").read_text()
    assert f"{name}_rows" in text and str(place) in text


def test_shaped_rows_keep_what_is_asked_and_what_is_right():
    row = one_row("")
    assert harness_rows.mmlu(row) == ("virology", {"question": "Which?", "choices": ["a", "b", "c", "d"], "answer": 1})
    assert harness_rows.gsm8k(row)[1]["answer"] == "It is b.\n#### B"
    assert harness_rows.triviaqa(row) == ("rc.nocontext", {"question": "Which", "answer": {"value": "B", "aliases": ["x", "y"]}})
    assert harness_rows.nq_open(row)[1]["answer"] == ["x", "y"]


def test_a_line_break_that_ends_an_answer_is_one_in_the_task_file(tmp_path: Path):
    write_public(tmp_path, "bbh", "test", [one_row("bbh")])
    place = harness_rows.write_suite(harness_rows.SUITES["bbh"], tmp_path, tmp_path / "tasks")
    until = yaml.safe_load((place / "bbh.yaml").read_text())["task"][0]["generation_kwargs"]["until"]
    assert "\n\n" in until and "Q" not in until, "a capital Q ends no answer; a new question does"


def test_a_row_that_lacks_something_is_named_with_its_file(tmp_path: Path):
    whole, broken = one_row(""), one_row("")
    del broken["meta"]["subject"]
    write_public(tmp_path, "mmlu", "test", [whole, broken])
    write_public(tmp_path, "mmlu", "train", [whole])
    with pytest.raises(BadRows, match=r"mmlu/test.jsonl.gz, row 2: not a row of mmlu"):
        harness_rows.write_suite(harness_rows.SUITES["mmlu"], tmp_path, tmp_path / "tasks")


def test_a_program_is_graded_by_running_it_only_where_that_is_allowed(monkeypatch: pytest.MonkeyPatch):
    doc = {"prompt": "def two():\n", "tests": "assert two() == 2\n"}
    monkeypatch.delenv("LIMBECK_RUN_CODE", raising=False)
    with pytest.raises(UsageError, match="nobody has allowed"), pytest.warns(UserWarning):
        harness_code.passes(doc, ["    return 2\n"])
    monkeypatch.setenv("LIMBECK_RUN_CODE", "1")
    assert harness_code.passes(doc, ["    return 2\n"]) == {"pass@1": 1.0}
    assert harness_code.passes(doc, ["    return 3\n"]) == {"pass@1": 0.0}


LABELS = Task(
    name="t", instruction="Choose.", kind=Kind.LABEL, labels=("red", "blue"), demonstrations=(Demonstration(input="a", output="red"),)
)


def test_own_rows_hold_the_whole_prompt_and_what_stands_in_it(tmp_path: Path):
    rows = [Example(id="1", input="42", output="blue", passages=("It is blue.",))]
    shots = [Example(id="2", input="sky", output="blue")]
    place = harness_own.write_own(LABELS, rows, lambda row: f"{row.passages} {row.input}", tmp_path, blank=True, shots=lambda row: shots)
    (line,) = map(json.loads, (place / "rows.jsonl").read_text().splitlines())
    assert line["prompt"] == "('It is blue.',) 42" and line["gold"] == 1 and line["choices"] == ["red", "blue"]
    assert line["passages"] == ["It is blue."] and [d["input"] for d in line["demonstrations"]] == ["a", "sky"]
    task = yaml.safe_load((place / "own.yaml").read_text())
    assert task["doc_to_text"] == "prompt" and task["target_delimiter"] == " " and task["num_fewshot"] == 0


def test_own_rows_without_a_gold_answer_or_of_a_kind_without_a_grade_are_refused(tmp_path: Path):
    with pytest.raises(BadRows, match="row 7 has no gold answer"):
        harness_own.write_own(LABELS, [Example(id="7", input="a")], lambda row: "", tmp_path, blank=True)
    with pytest.raises(BadRows, match="'green' is none of its options"):
        harness_own.write_own(LABELS, [Example(id="7", input="a", output="green")], lambda row: "", tmp_path, blank=True)
    with pytest.raises(UsageError, match="kind score"):
        harness_own.write_own(LABELS.model_copy(update={"kind": Kind.SCORE}), [], lambda row: "", tmp_path, blank=True)


def test_the_table_tells_version_shots_limit_and_both_filters_of_a_figure():
    values = {
        "alias": "gsm8k",
        "exact_match,strict-match": 0.2,
        "exact_match_stderr,strict-match": 0.1,
        "exact_match,flexible-extract": 0.5,
    }
    result = harness.Result(task="gsm8k", version="3.0", shots=5, rows=50, of=1055, figures=harness.figures(values), cut=3, note="n")
    refused = harness.Result(task="mmlu", state="refused", reason="a teacher gives no likelihoods")
    text = markdown([result, refused], "lm-eval 0")
    assert "| gsm8k | 3.0 | 5 | 50 of 1055 | exact_match | strict-match | 0.2000 | 0.1000 |" in text
    assert "| flexible-extract | 0.5000 |  |" in text
    assert "3 contexts were longer" in text and "mmlu: refused. a teacher gives no likelihoods" in text


def test_without_the_harness_the_command_says_what_to_install(limbeck: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    import sys

    monkeypatch.setitem(sys.modules, "lm_eval", None)
    with pytest.raises(MissingExtra) as told:
        from limbeck.need import need

        need("lm_eval", extra="bench")
    assert "limbeck[bench]" in told.value.do
    done = limbeck("bench", "harness", "tiny-lm", "--tasks", "gsm8k", cwd=tmp_path)
    assert done.returncode == 3 and "limbeck[bench]" in done.stderr
