"""`limbeck rows`: from a prompt alone to labelled rows, each with where it came from."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import click


@click.command("rows")
@click.argument("prompt", type=click.Path())
@click.option("--teacher", metavar="SPEC", help="Who writes the rows: http://host:port/v1#model, a model name, local:<hub id or path>.")
@click.option("--price", metavar="IN/OUT", help="USD per million tokens of the teacher.")
@click.option("--labeller", metavar="SPEC", help="A second, better teacher, who labels what the first one wrote.")
@click.option("--labeller-price", metavar="IN/OUT", help="USD per million tokens of the labeller.")
@click.option("-n", "--make", type=click.IntRange(min=1), metavar="N", help="Rows wanted (default: as the task needs).")
@click.option(
    "--retrieve",
    "sources",
    multiple=True,
    metavar="SOURCE",
    help="Where data sets are looked for: catalogue (default, unless offline), hub, folder:DIR, none.",
)
@click.option("--rows", multiple=True, metavar="FILE", help="Rows that you have: shown as examples, and not made again.")
@click.option("--votes", type=int, help="Labelling requests for each made row (default 3).")
@click.option("--kind", type=click.Choice(["label", "choice", "text", "fields", "score"]), help="Task kind, where the guess is wrong.")
@click.option("--budget", multiple=True, metavar="5usd,30min", help="Hard caps on money and time (default 5usd,30min).")
@click.option("--seed", type=int, help="Same seed, same rows, from the same replies (default 0).")
@click.option("--out", metavar="DIR", help="Run folder (default runs/<name of the prompt>); a later run there takes the rows up.")
@click.option("--to", "target", metavar="FILE", help="Where the rows are written (default: rows.jsonl in the run folder).")
@click.option("--json", "machine", is_flag=True, help="JSON on stdout, for machines.")
def rows(prompt: str, target: str | None, machine: bool, **given: Any) -> None:
    """Make labelled rows from a PROMPT file alone: data sets that fit, and what a teacher writes, labelled by votes.

    The same command again resumes, and pays for nothing twice."""
    from limbeck import hallway
    from limbeck.cli import options, progress
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
