"""`limbeck prompt tune`: which structure of a prompt is best, tried on dev rows."""

from __future__ import annotations

from typing import Any

import click

from limbeck.cli import options


@click.group()
def prompt() -> None:
    """Work on the prompt itself: `limbeck prompt tune PROMPT`."""


@prompt.command()
@click.argument("prompt", type=click.Path())
@click.option(
    "--rows", multiple=True, metavar="FILE", help="Labelled rows, as in limbeck run: the same split, test rows are not asked about."
)
@click.option("--dev", metavar="FILE", help="Rows to tune on; cut from the rows if not given.")
@click.option("--test", metavar="FILE", help="Rows that are kept out.")
@click.option("--columns", metavar="input=X,output=Y", help="Other column names for input, output, choices, rationale, id.")
@options.KIND
@click.option("--metric", metavar="NAME", help="What decides; limbeck list metrics.")
@options.TEACHER
@options.PRICE
@options.BUDGET
@click.option("--trials", default=20, show_default=True, metavar="N", help="Structures to try, the plain prompt among them.")
@click.option(
    "--texts",
    type=click.Choice(["rules", "teacher"]),
    default="rules",
    show_default=True,
    help="Who writes role and details, where the front matter has none.",
)
@click.option("--out", metavar="DIR", help="Run folder (default runs/<name of the prompt>); limbeck run takes its replies up.")
@options.SEED
@options.MACHINE
def tune(prompt: str, trials: int, texts: str, machine: bool, **given: Any) -> None:
    """Tries structures of a PROMPT file (role, details, form, steps, delimiters; order, layout) on dev rows: a factorial, then the
    best few. Keeps the best only where it is shown to be better, in OUT/structure.json. The same command again resumes."""
    from limbeck import tuning
    from limbeck.cli import progress
    from limbeck.log import Log
    from limbeck.run import RunFolder

    settings, text, out = options.read_settings(prompt, given)
    with progress.sink() as show:
        found = tuning.tune(settings, text, RunFolder(out), Log(sinks=(show,)), trials, texts)
    if machine:
        return click.echo(found.model_dump_json())
    show_tuned(found, prompt, str(out))


def show_tuned(found: Any, prompt: str, out: str) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    import limbeck.report.format as f

    console = Console()
    console.print(f"What each lever is worth ({found.design}, {found.rows} dev rows)")
    table = Table(box=None)
    for name in ("lever", found.metric, "95 %", "may also stem from"):
        table.add_column(name)
    for one in found.effects:
        table.add_row(one.lever, f.signed(one.effect), f.interval(one.low, one.high), ", ".join(one.aliases))
    console.print(table)
    console.print(f"\nTried ({len(found.trials)}), finalists first")
    table = Table(box=None)
    for name in ("structure", found.metric, "against the plain prompt", "p (Holm)", "unreadable", "$/1,000", "rows"):
        table.add_column(name)
    ahead = sorted(found.trials, key=lambda t: (not t.finalist, -(abs(t.versus.difference) if t.versus else 0)))
    for trial in ahead:
        v = trial.versus
        gap = f"{f.signed(v.difference)} {f.interval(v.low, v.high)}" if v else "the plain prompt"
        rows = found.dev_rows if trial.finalist else found.rows
        table.add_row(
            escape(trial.told),
            f.metric(trial.value),
            gap,
            f.p_value(trial.p_holm) if v else "",
            str(trial.malformed),
            f.usd(trial.usd_per_1000),
            str(rows),
        )
    console.print(table)
    for note in found.notes:
        console.print(f"note: {escape(note)}", style="yellow")
    console.print(f"\n[bold]{escape(found.verdict)}[/bold]")
    console.print(f"{len(found.trials)} structures were tried, for {f.usd(found.usd)}. {escape(found.training)}")
    path = f"{out}/structure.json"
    console.print(f"structure  {escape(path)}")
    if found.changed:
        click.echo(f"next       limbeck run {prompt} --structure {path} (with the same rows and teacher)")
