"""`limbeck run`: the whole hallway, or with --dry-run only what costs nothing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from limbeck.cli import options


@click.command()
@click.argument("prompt", type=click.Path())
@click.option("--rows", multiple=True, metavar="FILE", help="Labelled rows: JSONL, CSV, TSV, Parquet (.gz too); more than once.")
@click.option("--dev", metavar="FILE", help="Rows to choose on; cut from the rows if not given.")
@click.option("--test", metavar="FILE", help="Rows to score on, once; cut from the rows if not given.")
@click.option("--unlabelled", metavar="FILE", help="Inputs without answers: the teacher labels them for training.")
@click.option("--make", type=int, metavar="N", help="Rows to make from the prompt (default: as the task needs, where there are none).")
@options.RETRIEVE
@options.LABELLER
@options.LABELLER_PRICE
@options.VOTES
@click.option("--bases", type=int, metavar="N", help="So many base models that fit enter as candidates, downloads allowed.")
@options.DOCS
@options.STRUCTURE
@options.EMBEDDER
@click.option(
    "--inferences-by", type=click.Choice(["teacher", "base", "rules"]), help="Who writes what follows from the documents (augment:*)."
)
@click.option(
    "--rationales", type=click.Choice(["blind", "seen"]), help="Whether the teacher sees a row's label when asked why (default blind)."
)
@click.option("--rationale-samples", type=int, metavar="N", help="Completions for each rationale; their majority counts (default 1).")
@click.option("--columns", metavar="input=X,output=Y", help="Other column names for input, output, choices, rationale, id.")
@options.KIND
@click.option("--metric", metavar="NAME", help="What chooses and is reported first, where the guess is wrong; limbeck list metrics.")
@options.TEACHER
@options.PRICE
@click.option("--candidates", multiple=True, metavar="R,R,...", help="Recipes to compare, e.g. prompt@teacher,full@minilm.")
@options.BUDGET
@click.option("--out", metavar="DIR", help="Run folder (default runs/<name of the prompt>).")
@options.SEED
@click.option("--threads", type=int, help="CPU threads (default: measured).")
@click.option("--set", "set_", multiple=True, metavar="name=value", help="Override a derived number, e.g. lr=1e-4.")
@click.option("--require-win", is_flag=True, help="Exit 5 where no student beats the best baseline.")
@click.option("--dry-run", is_flag=True, help="Show task, rows, candidates and estimate; spend nothing.")
@options.MACHINE
def run(prompt: str, dry_run: bool, machine: bool, set_: tuple[str, ...], **given: Any) -> None:
    """From a PROMPT file (.md, .txt) to a verdict and a student. The same command again resumes."""
    from limbeck import hallway
    from limbeck.cli import progress
    from limbeck.log import Log
    from limbeck.run import RunFolder

    settings, text, out = options.read_settings(prompt, {**given, "set": set_})
    if dry_run:
        seen, plan, splits = hallway.look(settings, text)
        return (
            click.echo(json.dumps(as_json(seen, plan, splits), ensure_ascii=False, indent=1))
            if machine
            else show_plan(seen, plan, splits, out)
        )
    if not machine:
        click.echo(f"{prompt} -> {out}   budget ${settings.budget_usd:g} and {progress.clock(settings.budget_s)}", err=True)
    with progress.sink() as show:
        report = hallway.run(settings, text, RunFolder(out), Log(sinks=(show,)))
    if machine:
        return click.echo(report.model_dump_json())
    from limbeck.cli.show import show_report

    show_report(report)
    click.echo(f"\nreport   {out / '5-report.html'}")
    if (out / "6-deploy").is_dir():
        click.echo(f"student  {out / '6-deploy'}   limbeck predict {out} --in new.jsonl --out answers.jsonl")
    sys.stdout.flush()


def as_json(seen: Any, plan: Any, splits: Any) -> dict[str, Any]:
    return {
        "task": plan.task.model_dump(mode="json"),
        "rows": [r.model_dump(mode="json", exclude_none=True) for r in seen.gold[:5]],
        "splits": {"how": splits.how, "train": len(splits.train.ids), "dev": len(splits.dev.ids), "test": len(splits.test.ids)},
        "candidates": [{"recipe": r.text, "values": [v.model_dump(mode="json") for v in r.values]} for r in plan.recipes],
        "estimate": plan.estimate.model_dump(mode="json"),
        "budget": {"usd": seen.settings.budget_usd, "seconds": seen.settings.budget_s},
        "warnings": seen.warnings,
    }


def show_plan(seen: Any, plan: Any, splits: Any, out: Path) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from limbeck.cli.progress import clock
    from limbeck.report.format import plain

    console, task, cost = Console(), plan.task, plan.estimate
    console.print(
        f"[bold]Task[/bold] {escape(task.name)}: kind {task.kind}, metric {task.metric}"
        + (f", {len(task.labels)} labels" if task.labels else "")
    )
    console.print(escape(task.instruction[:600]), style="dim")
    if task.labels:
        console.print("labels: " + escape(", ".join(task.labels[:20])) + (" ..." if len(task.labels) > 20 else ""))
    for note in (*task.notes, *seen.warnings):
        console.print(f"note: {escape(note)}", style="yellow")
    console.print(f"\n[bold]Rows[/bold] {escape(splits.how)}")
    for row in seen.gold[:5]:
        console.print(f"  {escape(row.input[:100])!s} -> [green]{escape(str(row.output)[:60])}[/green]", highlight=False)
    table = Table(title="\nCandidates", title_justify="left", title_style="bold", box=None)
    for name in ("recipe", "number", "value", "why"):
        table.add_column(name)
    for recipe in plan.recipes:
        table.add_row(escape(recipe.text), "", "", "")
        for value in recipe.values:
            table.add_row("", value.name, escape(plain(value.name, value.value)), escape(value.why))
    console.print(table)
    console.print(
        f"\n[bold]Estimate[/bold] ${cost.usd_low:.2f} to ${cost.usd_high:.2f} for {cost.calls} calls, "
        f"{clock(cost.seconds_low)} to {clock(cost.seconds_high)}; budget ${seen.settings.budget_usd:g} and {clock(seen.settings.budget_s)}; would write {escape(str(out))}"
    )
    console.print("Nothing was spent (--dry-run).")
