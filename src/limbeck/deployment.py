"""6-deploy: the best student as a folder of its own, and the parity gate.

The gate loads the folder in a fresh process and has it answer test rows again: the same answers, row by row, or the
export is refused."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from limbeck import registry, render
from limbeck.errors import ModelError
from limbeck.log import Log
from limbeck.provenance import licence_warnings
from limbeck.run import RunFolder, write_json, write_lines
from limbeck.types import Card, Example, Kind, Prediction, Report, Row, Task

PROBES = 200


def write_student(
    folder: RunFolder, model: Path, report: Report, row: Row, test: Sequence[Example], answers: Sequence[Prediction], log: Log
) -> None:
    """Export, card, gate. Raises ModelError where the folder would answer otherwise than it was evaluated."""
    log.event("step", step="deployment")
    exporter: registry.Exporter = registry.take("exporters", "folder")
    if folder.deploy.exists():
        folder.clear(folder.deploy)
    exporter.write(model, folder.deploy, card_of(report, row))
    step = max(1, len(test) // PROBES)
    probes = list(zip(test, answers, strict=True))[::step][:PROBES]
    result = parity(folder.deploy, [row for row, _ in probes], [p for _, p in probes], rounding(report.task, answers))
    write_json(folder.deploy / "parity.json", result)
    log.event("parity", **result)
    if result["different"]:
        folder.clear(folder.deploy)
        raise ModelError(
            "the exported student answers otherwise than the evaluated one, so the export is refused",
            f"{result['different']} of {result['rows']} rows differ",
            f"the evaluated weights are in {model}; please report this",
        )


def card_of(report: Report, row: Row) -> Card:
    base = row.recipe.rpartition("@")[2]
    record = registry.take("bases", base) if base in registry.names("bases") else None
    best = [t for t in row.thresholds if t.get("accuracy", 0) >= 0.95]
    return Card(
        task=report.task,
        recipe=row.recipe,
        base=base,
        base_licence=record.licence if record else "see the base's own card",
        base_sha=record.sha256 if record else "",
        origins=report.origins,
        dev=row.dev,
        test=row.test,
        threshold=min((t["threshold"] for t in best), default=None),
        render=render.VERSION,
        versions=report.versions,
        notes=(report.verdict, *learnt(row)),
        synthetic_test=report.synthetic_test,
        gaps=report.gaps,
        sources=report.sources,
        licence_warnings=licence_warnings(report.sources),
    )


def learnt(row: Row) -> list[str]:
    """What whoever gets the student has to know of what it was trained on."""
    texts = next((value for value in row.values if value.name == "texts"), None)
    return [f"It was trained on {texts.value} {texts.why}: parts of these can be drawn out of it word for word."] if texts else []


def parity(student: Path, rows: Sequence[Example], answers: Sequence[Prediction], step: float = 0.0) -> dict[str, int]:
    """{rows, different}: the folder, asked in a fresh process through the command line's own door."""
    asked = student.parent / ".parity.jsonl"
    write_lines(asked, [{"id": r.id, "input": r.input, **({"choices": list(r.choices)} if r.choices else {})} for r in rows])
    out = student.parent / ".parity-answers.jsonl"
    code = "import sys; from limbeck.cli.main import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "predict", str(student), "--in", str(asked), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ModelError("the exported student cannot be loaded in a fresh process", done.stderr.strip()[-500:], "please report this")
    got = {line["id"]: line["output"] for line in map(json.loads, out.read_text(encoding="utf-8").splitlines())}
    asked.unlink()
    out.unlink()
    return {"rows": len(rows), "different": sum(not same(got.get(r.id), p.text, step) for r, p in zip(rows, answers, strict=True))}


def same(ours: str | None, theirs: str, step: float) -> bool:
    """Equal texts; for scores (step > 0) numbers no further apart than rounding may put them."""
    if ours == theirs:
        return True
    return bool(step and ours and theirs) and abs(float(ours or 0) - float(theirs)) <= step


def rounding(task: Task, answers: Sequence[Prediction]) -> float:
    """A thousandth of the range for scores, which are printed with few digits; 0 for everything else."""
    if task.kind is not Kind.SCORE:
        return 0.0
    values = [float(p.text) for p in answers if p.text]
    low, high = (task.low, task.high) if task.low is not None and task.high is not None else (min(values), max(values))
    return 1e-3 * (high - low)
