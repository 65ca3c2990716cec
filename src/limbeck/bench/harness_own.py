"""Rows of a task of yours as a task of lm-evaluation-harness: what the model reads is a column, so nothing is looked up or shaped
while it runs, and any other model can be asked the very same (lm_eval --include_path <folder> --tasks own).

    own/rows.jsonl    id, input, prompt (the whole text that is read), choices and gold (a number) or answer; demonstrations and
                      passages that stand in the prompt, by themselves, to be looked at
    own/own.yaml      the task"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from limbeck import render
from limbeck.errors import BadRows, UsageError
from limbeck.run import RunFolder, read_json, read_lines, write_bytes
from limbeck.types import Example, Kind, Splits, Task

CHOSEN = (Kind.LABEL, Kind.CHOICE)
Shots = Callable[[Example], Sequence[Example]]


def split_of(folder: RunFolder, split: str) -> list[Example]:
    """Rows of train, dev or test, in the split's order."""
    by_id = {row.id: row for row in read_lines(folder.rows, Example)}
    return [by_id[i] for i in getattr(read_json(folder.splits, Splits), split).ids]


def read_rows_of(file: Path) -> list[Example]:
    """Rows of a file. Raises BadRows for the first that cannot be read: a benchmark leaves none out."""
    from limbeck.sources.files import read_rows

    rows, rejected = read_rows(file, {}, lambda text: None, need_output=True)
    if rejected:
        first = rejected[0]
        raise BadRows(f"{file}, row {first.row}: {first.reason}", f"{len(rejected)} rows cannot be read", "mend them, or leave them out")
    return rows


def write_own(
    task: Task, rows: Sequence[Example], prompt: Callable[[Example], str], folder: Path, *, blank: bool, shots: Shots | None = None
) -> Path:
    """prompt(row): what the model reads, passages included. blank: one stands between prompt and answer (a chat template's text
    ends with its own). Returns the task's folder. Raises UsageError for kinds that the harness has no grade for, BadRows for a
    row without a gold answer."""
    if task.kind not in (*CHOSEN, Kind.TEXT):
        raise UsageError(
            f"rows of kind {task.kind} do not run under lm-evaluation-harness", "it chooses, or compares texts", "limbeck predict"
        )
    lines = [json.dumps(line(task, row, prompt(row.blind()), shots), ensure_ascii=False) for row in rows]
    place = folder / "own"
    write_bytes(place / "rows.jsonl", ("\n".join(lines) + "\n").encode())
    write_bytes(place / "own.yaml", task_yaml(task, place, blank).encode())
    return place


def line(task: Task, row: Example, prompt: str, shots: Shots | None) -> dict[str, Any]:
    if not row.output:
        raise BadRows(
            f"row {row.id} has no gold answer", f"its input begins {row.input[:60]!r}", "leave it out, or label it: limbeck label"
        )
    found: dict[str, Any] = {"id": row.id, "input": row.input, "prompt": prompt, "answer": row.output}
    if task.kind in CHOSEN:
        known = list(render.allowed_answers(task, row))
        if row.output not in known:
            raise BadRows(f"row {row.id}: {row.output!r} is none of its options", f"they are {', '.join(known[:8])}", "mend the row")
        found |= {"choices": known, "gold": known.index(row.output)}
    worked = [{"input": d.input, "output": d.output} for d in (*(task.demonstrations if shots else ()), *(shots(row) if shots else ()))]
    return found | ({"demonstrations": worked} if worked else {}) | ({"passages": list(row.passages)} if row.passages else {})


def task_yaml(task: Task, place: Path, blank: bool) -> str:
    """Columns by name, never as templates: a template's text is read again, and a prompt "42" would become a number."""
    own: dict[str, Any] = {
        "task": "own",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str((place / "rows.jsonl").resolve())}, "cache_dir": str(place.resolve() / ".cache")},
        "test_split": "test",
        "num_fewshot": 0,
        "target_delimiter": " " if blank else "",
        "doc_to_text": "prompt",
        "metadata": {"version": f"limbeck-{render.VERSION}"},
    }
    if task.kind in CHOSEN:
        metrics = [{"metric": name, "aggregation": "mean", "higher_is_better": True} for name in ("acc", "acc_norm")]
        own |= {"output_type": "multiple_choice", "doc_to_choice": "choices", "doc_to_target": "gold", "metric_list": metrics}
    else:
        exact = {"metric": "exact_match", "aggregation": "mean", "higher_is_better": True, "ignore_case": True, "ignore_punctuation": True}
        how = {"until": [], "do_sample": False, "max_gen_toks": 128}
        own |= {"output_type": "generate_until", "doc_to_target": "answer", "generation_kwargs": how, "metric_list": [exact]}
    return yaml.safe_dump(own, sort_keys=False)
