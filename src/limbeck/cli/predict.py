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
@click.option("--out", metavar="FILE", help="JSONL with id, output, status, confidence (default: stdout); resumable.")
@click.option("--columns", metavar="input=X", help="Other column names.")
@click.option("--json", "machine", is_flag=True, help="A summary as JSON on stdout.")
def predict(student: str, source: str, out: str | None, columns: str | None, machine: bool) -> None:
    """Answer new rows with a student. With --out, the same command again goes on where it was stopped."""
    import limbeck
    from limbeck import answering
    from limbeck.cli import progress
    from limbeck.cli.options import pairs
    from limbeck.log import Log
    from limbeck.run import listing
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
    before = 0
    if out:
        with progress.sink() as show:
            log = Log(sinks=(show,))
            before = answering.answer_file(
                lambda: limbeck.load(str(folder)), folder, rows, Path(out), lambda done, total: log.progress("answers", done, total)
            )
    else:
        for part in answering.answers(limbeck.load(str(folder)), rows):
            if not machine:
                click.echo("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in part), nl=False)
    if rejected:
        click.echo(
            f"warning: {len(rejected)} rows were put aside; the first: {rejected[0].source} row {rejected[0].row}: {rejected[0].reason}",
            err=True,
        )
    if machine:
        click.echo(json.dumps({"answered": len(rows), "there_already": before, "set_aside": len(rejected), "out": out}))
    elif out:
        click.echo(f"{len(rows)} answers in {out}" + (f", {before} of them were there already" if before else ""), err=True)
