"""Public rows -> local data sets in the form that lm-evaluation-harness's own task reads, so that the task runs as it is.

    <folder>/<suite>/README.md                   which part is which file (a data set card)
    <folder>/<suite>/<part>/<split>.jsonl        the rows
    <folder>/<suite>/<suite>.yaml                the task with these rows in place of the Hub's:
                                                 lm_eval --include_path <folder> --tasks <suite>_rows --model ...

A suite is a public benchmark. Its rows are read from <data>/<name>/<split>.jsonl.gz; none of them is part of this package."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from limbeck.bench.cells import read_set
from limbeck.errors import BadRows
from limbeck.run import write_bytes

Parts = Iterable[tuple[str, dict[str, Any]]]  # (part of the data set, row as the task reads it)


@dataclass(frozen=True)
class Suite:
    """name: of the task, as lm-evaluation-harness calls it. home: where it lies among the harness's tasks, "" = it is ours. data:
    the folder of public rows. splits: {split of the task: split of the public rows}, the tested one first. row(public row) ->
    (part, row). shots: demonstrations that published tables use; None: the task's own number. until: what ends an answer, where the task's own list cuts
    answers short. note: what a reader of a figure has to know."""

    name: str
    home: str
    data: str
    splits: dict[str, str]
    row: Callable[[dict[str, Any]], tuple[str, dict[str, Any]]]
    shots: int | None = None
    until: tuple[str, ...] = ()
    note: str = ""


def mmlu(row: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    about = row["meta"]
    return about["subject"], {"question": about["question"], "choices": about["options"], "answer": row["choices"].index(row["output"])}


def gsm8k(row: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return "main", {"question": row["input"], "answer": f"{row['rationale']}\n#### {row['output']}"}


def bbh(row: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return row["meta"]["task"], {"input": row["input"], "target": row["output"]}


def nq_open(row: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return "default", {"question": row["input"], "answer": row["meta"]["answers"]}


def triviaqa(row: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    aliases = (row.get("meta") or {}).get("answers") or [row["output"]]
    return "rc.nocontext", {"question": row["input"].rstrip(" ?"), "answer": {"value": row["output"], "aliases": aliases}}


def humaneval(row: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    about = row["meta"]
    tests = f"{about['test']}\ncheck({about['entry_point']})\n"
    return "default", {"task_id": row["id"], "prompt": row["input"], "tests": tests, "canonical_solution": row["output"]}


TRAIN_AND_TEST = {"test": "test", "train": "train"}
FILTERS = "strict-match wants '#### 18' (or 'The answer is 18.'), flexible-extract takes the last number"
SUITES = {
    one.name: one
    for one in (
        Suite("mmlu", "mmlu/default", "mmlu", {"test": "test", "dev": "train"}, mmlu, shots=5),
        Suite("mmlu_generative", "mmlu/generative", "mmlu", {"test": "test", "dev": "train"}, mmlu, shots=5, note="the letter is written, not scored"),
        Suite("gsm8k", "gsm8k", "gsm8k", TRAIN_AND_TEST, gsm8k, note=FILTERS),
        Suite("gsm8k_cot", "gsm8k", "gsm8k", TRAIN_AND_TEST, gsm8k, note=FILTERS),
        Suite(
            "bbh", "bbh/cot_fewshot", "bbh", {"test": "test"}, bbh, until=("</s>", "\nQ:", "\n\n"),
            note="an answer ends at a new question; the task's own list ends it at any capital Q",
        ),
        Suite("nq_open", "nq_open", "nq_open", {"validation": "test", "train": "train"}, nq_open, shots=1, note="closed book"),
        Suite("triviaqa", "triviaqa", "triviaqa", {"validation": "test", "train": "train"}, triviaqa, shots=1, note="closed book"),
        Suite("humaneval", "", "humaneval", {"test": "test"}, humaneval, shots=0, note="programs run confined by limbeck, not by the harness"),
    )
}  # fmt: skip


def has_rows(data: Path, suite: Suite) -> bool:
    return all((data / suite.data / f"{split}.jsonl.gz").is_file() for split in suite.splits.values())


def write_suite(suite: Suite, data: Path, folder: Path) -> Path:
    """The data set and the task of one suite. Returns its folder. Raises MissingError where a split is not there, BadRows with
    file and row for a row that lacks what the task reads."""
    place = folder / suite.name
    parts: dict[str, dict[str, list[str]]] = {}
    for split, public in suite.splits.items():
        for number, row in enumerate(read_set(data, suite.data, public), 1):
            try:
                part, shaped = suite.row(row)
            except (KeyError, ValueError, TypeError) as wrong:
                where = f"{suite.data}/{public}.jsonl.gz, row {number}"
                have = f"{type(wrong).__name__}: {wrong}; the row has {', '.join(map(str, row))}"
                raise BadRows(f"{where}: not a row of {suite.name}", have, "docs/benchmarks.md says what rows look like") from wrong
            parts.setdefault(part, {}).setdefault(split, []).append(json.dumps(shaped, ensure_ascii=False))
    for part, splits in parts.items():
        for split, lines in splits.items():
            write_bytes(place / part / f"{split}.jsonl", ("\n".join(lines) + "\n").encode())
    write_bytes(place / "README.md", card(parts).encode())
    write_bytes(place / f"{suite.name}.yaml", task_yaml(suite, place).encode())
    return place


def card(parts: dict[str, dict[str, list[str]]]) -> str:
    """The head of a data set card, as `datasets` reads it."""
    configs = [
        {"config_name": part, "data_files": [{"split": split, "path": f"{part}/{split}.jsonl"} for split in splits]}
        for part, splits in parts.items()
    ]
    return f"---\n{yaml.safe_dump({'configs': configs}, sort_keys=False)}---\n"


def task_yaml(suite: Suite, place: Path) -> str:
    """A group whose one member is the harness's own task over these rows. yaml.safe_dump writes a line break as an escape within
    double quotes: within single ones a backslash and an n would be two characters, and end nothing."""
    if suite.name == "humaneval":
        return humaneval_yaml(place)
    own: dict[str, Any] = {"dataset_path": str(place.resolve()), "dataset_kwargs": {"cache_dir": str(place.resolve() / ".cache")}}
    if suite.until:
        own["generation_kwargs"] = {"max_gen_toks": 1024, "until": list(suite.until), "do_sample": False, "temperature": 0.0}
    kind = "group" if suite.name in ("mmlu", "mmlu_generative", "bbh") else "task"
    return yaml.safe_dump({"group": f"{suite.name}_rows", "task": [{kind: suite.name, **own}]}, sort_keys=False)


def humaneval_yaml(place: Path) -> str:
    """Ours, since the harness's own task loads a grader from the Hub and runs programs unconfined. What ends a body is a line that
    begins at the margin (Chen et al. 2021, arXiv 2107.03374, section 2.1)."""
    own: dict[str, Any] = {
        "task": "humaneval_rows",
        "dataset_path": str(place.resolve()),
        "dataset_name": "default",
        "dataset_kwargs": {"cache_dir": str(place.resolve() / ".cache")},
        "output_type": "generate_until",
        "test_split": "test",
        "doc_to_text": "{{prompt}}",
        "doc_to_target": "{{canonical_solution}}",
        "num_fewshot": 0,
        "generation_kwargs": {"max_gen_toks": 512, "until": ["\nclass", "\ndef", "\n#", "\nif", "\nprint", "\n@"], "do_sample": False},
        "metric_list": [{"metric": "pass@1", "aggregation": "mean", "higher_is_better": True}],
        "metadata": {"version": "limbeck-1"},
    }
    return yaml.safe_dump(own, sort_keys=False) + "process_results: !function limbeck.bench.harness_code.passes\n"
