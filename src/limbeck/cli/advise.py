"""`limbeck advise`: what to try first, and why; asks nobody and trains nothing."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from limbeck.cli import options


@click.command()
@click.argument("prompt", type=click.Path())
@click.option("--rows", multiple=True, metavar="FILE", help="Labelled rows, as in limbeck run.")
@click.option("--dev", metavar="FILE", help="Rows to choose on.")
@click.option("--test", metavar="FILE", help="Rows to score on.")
@click.option("--unlabelled", metavar="FILE", help="Inputs without answers.")
@click.option("--columns", metavar="input=X,output=Y", help="Other column names for input, output, choices, rationale, id.")
@options.KIND
@options.DOCS
@options.TEACHER
@options.PRICE
@options.BUDGET
@click.option("--runs", metavar="FOLDER", help="A finished run, or a folder of runs: what was measured there outweighs the rest.")
@click.option("--private", is_flag=True, help="Texts may not leave this machine.")
@click.option("--latency", "latency_ms", type=float, metavar="MS", help="An answer has to be there by then, in milliseconds.")
@click.option("--calls", type=float, metavar="N", help="Calls a month, for what they cost.")
@options.MACHINE
def advise(
    prompt: str, runs: str | None, private: bool, latency_ms: float | None, calls: float | None, machine: bool, **given: Any
) -> None:
    """What to try first for a PROMPT file: prompting, retrieval or training, why, and the command to type next. Each statement has its
    source; what was not measured on your rows is said to be so."""
    from limbeck import advise as advising

    settings, text, _ = options.read_settings(prompt, given)
    typed = tuple(part for name, value in given.items() for part in spelled(name, value))
    found = advising.advise(settings, text, Path(runs) if runs else None, private, latency_ms, calls, typed)
    if machine:
        return click.echo(found.model_dump_json())
    show(found)


def spelled(name: str, value: Any) -> list[str]:
    """An option as it was typed."""
    values = value if isinstance(value, tuple) else () if value is None else (value,)
    return [f"--{name.replace('_', '-')} {shlex.quote(str(one))}" for one in values]


def show(found: Any) -> None:
    order = [way.name for way in found.ways if not way.ruled_out]
    out = [way.name for way in found.ways if way.ruled_out]
    click.echo(f"{found.task}, a {found.kind} task. First: {click.style(found.first, bold=True)}; then {', '.join(order[1:])}.")
    if out:
        click.echo(f"Ruled out: {', '.join(out)}.")
    for way in found.ways:
        if not way.evidence:
            continue
        click.echo(f"\n{click.style(way.name, bold=True)} ({way.points:+g})")
        for one in way.evidence:
            where = f", {one.source}" if one.source else ""
            click.echo(f"  {one.points:+4g}  {one.text}  [{one.how}{where}]")
    if found.not_known:
        click.echo("\nNot known:")
        for text in found.not_known:
            click.echo(f"  {text}")
    click.echo("\nType next:")
    for line in found.commands:
        click.echo(f"  {line}")
