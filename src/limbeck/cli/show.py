"""`limbeck report` and `limbeck explain`: read a run folder, without a model."""

from __future__ import annotations

import json
from typing import Any

import click

from limbeck.cli import options
from limbeck.types import SYNTHETIC


@click.command()
@click.argument("folder", metavar="RUN", type=click.Path())
@click.option("--markdown", is_flag=True, help="Markdown instead of the table.")
@options.MACHINE
def report(folder: str, markdown: bool, machine: bool) -> None:
    """The table of a finished run. Rebuilds 5-report.{json,md,html} from the stored predictions."""
    from limbeck.hallway import rebuild_report
    from limbeck.run import RunFolder

    found = rebuild_report(RunFolder(folder).must_exist())
    if machine:
        return click.echo(found.model_dump_json())
    if markdown:
        from limbeck.report import markdown as as_markdown

        return click.echo(as_markdown(found))
    show_report(found)


def show_report(found: Any) -> None:
    from rich.console import Console

    from limbeck.report import terminal

    console = Console()
    console.print(terminal(found, console.width))


@click.command()
@click.argument("folder", metavar="RUN", type=click.Path())
@click.argument("row_id")
@options.MACHINE
def explain(folder: str, row_id: str, machine: bool) -> None:
    """Where a row came from; what each candidate answered on it."""
    from limbeck.explain import explain_row
    from limbeck.run import RunFolder

    found = explain_row(RunFolder(folder).must_exist(rows_are_enough=True), row_id)
    if machine:
        return click.echo(json.dumps(found, ensure_ascii=False))
    click.echo(f"row {found['id']} ({found['split']}), from {found['origin']}")
    for line in came_from(found):
        click.echo(line)
    click.echo(f"  input   {found['input']}")
    if found.get("choices"):
        click.echo(f"  options {' | '.join(found['choices'])}")
    synthetic = found["provenance"]["kind"] in SYNTHETIC
    click.echo(f"  {'label  ' if synthetic else 'gold   '} {found['output']}{' (synthetic)' if synthetic else ''}")
    for line in reasons(found["reasons"]):
        click.echo(line)
    if found["human"]:
        click.echo(f"  person  {found['human']['output']} ({found['human']['at']})")
    for line in found["answers"]:
        mark = " " if line["right"] is None else "+" if line["right"] else "-"
        sure = f"  ({line['confidence']:.2f})" if line["confidence"] is not None else ""
        click.echo(f"  {mark} {line['recipe']:28} {line['text'] or '(' + line['status'] + ')'}{sure}")
        for place, where in enumerate(line["passages"], 1):
            click.echo(f"      [{place}] {where}")
    for other in found["near"]:
        click.echo(f"  near    {other['id']} ({other['split']}, {other['jaccard']:.2f}): {other['input'][:100]}")


def reasons(found: dict[str, Any] | None) -> list[str]:
    """The row's rationale, and where it came from."""
    if found is None:
        return []
    by, origin = found["by"], found.get("origin", {})
    if by == "teacher":
        by = ", ".join(
            part
            for part in (
                origin.get("teacher") or "the teacher",
                "who was shown the label" if found.get("seen") else "who was not shown the label",
                f"{found['agreement']:.0%} of {found['samples']} samples say {found['answer']}" if found["samples"] > 1 else "",
                f"request {origin['request']}" if origin.get("request") else "",
                f"${origin['cost_usd']:.6f}" if origin.get("cost_usd") is not None else "",
            )
            if part
        )
    text = found["rationale"] or "(none)"
    lines = [f"  reasons {text}", f"          by {by}"]
    return [*lines, f"          put aside: {found['why']}"] if found["why"] else lines


def came_from(found: dict[str, Any]) -> list[str]:
    """What the row's origin holds beyond kind and place, and the reply that it was made from."""
    origin, reply = found["provenance"], found["reply"]
    votes = ", ".join(f"{n} {answer}" for answer, n in (origin.get("votes") or {}).items())
    cost = origin.get("cost_usd")
    facts = {
        "licence": origin.get("licence"),
        "teacher": origin.get("teacher"),
        "made": ", ".join(
            part
            for part in (
                f"template {origin['template']}" if origin.get("template") else "",
                f"temperature {origin['temperature']:g}" if origin.get("temperature") is not None else "",
                f"${cost:.6f} of what was paid" if cost is not None else "",
            )
            if part
        ),
        "votes": votes + (f" (confidence {origin['confidence']:.2f})" if votes and origin.get("confidence") is not None else ""),
        "request": origin.get("request"),
    }
    lines = [f"  {name:8}{value}" for name, value in facts.items() if value]
    if origin.get("request") and reply is None:
        lines.append("  reply   not in this run's store")
    if reply:
        paid = "price unknown" if reply["cost_usd"] is None else f"${reply['cost_usd']:.6f}"
        lines.append(f"  reply   {reply['model']}, {reply['tokens_in']} tokens in, {reply['tokens_out']} out, {paid}")
        lines += [f"          | {line}" for text in reply["texts"] for line in text[:2000].splitlines()]
    return lines
