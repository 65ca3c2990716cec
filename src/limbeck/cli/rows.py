"""`limbeck rows`: from a prompt alone to labelled rows, each with where it came from."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import click

from limbeck.cli import options


@click.command("rows")
@click.argument("prompt", type=click.Path())
@options.TEACHER
@options.PRICE
@options.LABELLER
@options.LABELLER_PRICE
@click.option("-n", "--make", type=click.IntRange(min=1), metavar="N", help="Rows wanted (default: as the task needs).")
@options.RETRIEVE
@click.option("--rows", multiple=True, metavar="FILE", help="Rows that you have: shown as examples, and not made again.")
@options.VOTES
@options.KIND
@options.BUDGET
@options.SEED
@click.option("--out", metavar="DIR", help="Run folder (default runs/<name of the prompt>); a later run there takes the rows up.")
@click.option("--to", "target", metavar="FILE", help="Where the rows are written (default: rows.jsonl in the run folder).")
@options.MACHINE
def rows(prompt: str, target: str | None, machine: bool, **given: Any) -> None:
    """Make labelled rows from a PROMPT file alone: data sets that fit, and what a teacher writes, labelled by votes.

    The same command again resumes, and pays for nothing twice."""
    from limbeck import hallway
    from limbeck.cli import progress
    from limbeck.errors import ProviderError
    from limbeck.log import Log
    from limbeck.run import RunFolder, write_lines

    settings, text, out = options.read_settings(prompt, given)
    if settings.make is None:  # asked for rows, the user has some already
        settings = settings.model_copy(update={"make": hallway.rows_wanted(settings, text)})
    with progress.sink() as show:
        task, made, facts = hallway.rows(settings, text, RunFolder(out), Log(sinks=(show,)))
    if not made:
        raise ProviderError("no rows were made", "; ".join(facts["said"]) or "nothing came", "a larger --budget, or another teacher")
    if not facts["complete"]:
        click.echo(f"{len(made)} rows, and more were wanted: the same command goes on", err=True)
    file = Path(target) if target else out / "rows.jsonl"
    write_lines(file, made)
    if machine:
        return click.echo(
            json.dumps({"file": str(file), "rows": len(made), "task": task.model_dump(mode="json"), **facts}, ensure_ascii=False)
        )
    by_kind = Counter(row.origin.kind for row in made)
    click.echo(f"{len(made)} rows ({', '.join(f'{n} {kind}' for kind, n in by_kind.items())}), ${facts['spent_usd']:.4f} -> {file}")
    if task.labels:
        counts = Counter(row.output for row in made)
        click.echo("labels: " + ", ".join(f"{label} {counts[label]}" for label in task.labels))
    price = f" --price {given['price']}" if given.get("price") else ""
    click.echo(f"next: limbeck run {prompt} --out {out} --teacher {settings.teacher}{price}   (the rows are taken up)")


__all__ = ["rows"]
