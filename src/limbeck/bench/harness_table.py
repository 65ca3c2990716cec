"""Results under lm-evaluation-harness as a table for the terminal and for Markdown: every figure with what it depends on."""

from __future__ import annotations

from collections.abc import Sequence

from limbeck.bench.harness import Result

HEAD = ("task", "version", "shots", "rows", "metric", "filter", "value", "± stderr")


def markdown(results: Sequence[Result], versions: str) -> str:
    """One line per metric and filter; what was refused, cut or limited is said below."""
    lines = ["| " + " | ".join(HEAD) + " |", "|" + "---|" * len(HEAD)]
    for r in results:
        counted = f"{r.rows}" if r.rows == r.of else f"{r.rows} of {r.of}"
        for f in r.figures:
            error = "" if f.stderr is None else f"{f.stderr:.4f}"
            lines.append(f"| {r.task} | {r.version} | {r.shots} | {counted} | {f.metric} | {f.filter} | {f.value:.4f} | {error} |")
    return "\n".join([*lines, "", *notes(results), versions]) + "\n"


def notes(results: Sequence[Result]) -> list[str]:
    found = []
    for r in results:
        if r.state != "ok":
            found.append(f"{r.task}: refused. {r.reason}")
            continue
        said = [r.note, f"rows: {r.source}" if r.source else "", f"{len(r.parts)} subtasks, in its file" if r.parts else ""]
        said.append(f"{r.cut} contexts were longer than the model reads and lost their beginning" if r.cut else "")
        said.append(f"{r.failed} replies never came; each counts as an empty answer" if r.failed else "")
        found.append(f"{r.task}: {'; '.join(part for part in said if part)}.")
    return found
