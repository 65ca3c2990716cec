"""`limbeck predict`: answer new rows with the student of a run, or of any student folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click


@click.command()
@click.argument("student", metavar="RUN_OR_STUDENT", type=click.Path())
@click.option(
    "--in", "source", metavar="FILE", required=True, help="Rows with an input column: JSONL, CSV, TSV, Parquet; - for text lines on stdin."
)
@click.option("--out", metavar="FILE", help="JSONL with id, output, status, confidence (default: stdout).")
@click.option("--columns", metavar="input=X", help="Other column names.")
@click.option("--json", "machine", is_flag=True, help="A summary as JSON on stdout.")
def predict(student: str, source: str, out: str | None, columns: str | None, machine: bool) -> None:
    """Answer new rows with a student."""
    import limbeck
    from limbeck.cli.options import pairs
    from limbeck.run import listing, write_bytes
    from limbeck.sources.files import read_rows
    from limbeck.types import Example

    folder = Path(student)
    if (folder / "run.json").exists():
        from limbeck.errors import UsageError

        if not (folder / "6-deploy").is_dir():
            raise UsageError(
                f"{student} has no student to ask",
                f"it holds {listing(folder)}",
                "finish the run first: the same limbeck run command again",
            )
        folder = folder / "6-deploy"
    if source == "-":
        rows = [Example(id=str(i), input=line.rstrip("\n")) for i, line in enumerate(sys.stdin, 1) if line.strip()]
        rejected = []
    else:
        rows, rejected = read_rows(
            Path(source), pairs(columns, "--columns input=text"), lambda text: click.echo(f"warning: {text}", err=True), need_output=False
        )
    found = limbeck.load(str(folder)).predict(rows)
    lines = [{"id": p.id, "output": p.text, "status": str(p.status), "confidence": p.confidence} for p in found]
    for line, p in zip(lines, found, strict=True):
        line |= {"passages": list(p.passages)} if p.passages is not None else {}
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    if out:
        write_bytes(Path(out), text.encode())
    elif not machine:
        click.echo(text, nl=False)
    if rejected:
        click.echo(
            f"warning: {len(rejected)} rows were put aside; the first: {rejected[0].source} row {rejected[0].row}: {rejected[0].reason}",
            err=True,
        )
    if machine:
        click.echo(json.dumps({"answered": len(lines), "set_aside": len(rejected), "out": out}))
    elif out:
        click.echo(f"{len(lines)} answers in {out}", err=True)
