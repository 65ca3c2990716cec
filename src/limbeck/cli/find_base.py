"""`limbeck find base`: the base models that fit a prompt, this machine and your terms, with reasons."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from limbeck.cli import options

if TYPE_CHECKING:
    from limbeck.bases.retrieve import Limits, Shortlist
    from limbeck.registry import Ask
    from limbeck.types import Settings, Task


@click.command("base")
@click.argument("prompt", metavar="PROMPT", type=click.Path())
@click.option("--teacher", metavar="SPEC", help="Asked once for the model card of the ideal base; stored, so that it is paid once.")
@options.PRICE
@click.option(
    "--max-gb", type=click.FloatRange(min=0, min_open=True), default=3.0, show_default=True, help="Weights at 2 bytes a parameter."
)
@click.option("--licence", metavar="A,B", help="Only these licences, e.g. apache-2.0,mit.")
@click.option("--language", metavar="CODE", help="Two-letter code (default: the prompt's language).")
@click.option("--family", metavar="A,B", help="encoder, seq2seq, causal (default: all that fit the kind of task).")
@click.option("--gated", is_flag=True, help="Also models whose terms have to be accepted on the Hub.")
@click.option("--here", is_flag=True, help="Only what is on this machine already.")
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=30.0, show_default=True, help="Training may take so long.")
@click.option("-k", "k", type=click.IntRange(min=1), default=5, show_default=True, help="How many to show.")
@click.option("--refresh", is_flag=True, help="Read the Hub's own figures first (HF_ENDPOINT).")
@click.option("--catalogue", metavar="FILE", type=click.Path(), help="Use, and refresh, this catalogue.")
@options.MACHINE
def base(prompt: str, machine: bool, **given: Any) -> None:
    """The base models that fit PROMPT, this machine and your terms, with reasons."""
    from limbeck.bases.catalogue import load_catalogue
    from limbeck.bases.retrieve import shortlist
    from limbeck.preflight import task_name
    from limbeck.tasks.parse import parse

    settings, text, _ = options.read_settings(prompt, {name: given[name] for name in ("teacher", "price")})
    task = parse(text, task_name(Path(prompt)), kind=settings.kind)
    limits = limits_of(given)
    path = Path(given["catalogue"]) if given["catalogue"] else None
    if given["refresh"]:
        refreshed(path)
    catalogue = load_catalogue(path)
    with asking(settings) as ask:
        found = shortlist(task, limits, ask, given["k"], catalogue=catalogue)
    if machine:
        return click.echo(json.dumps(as_plain(task, found, catalogue.date), ensure_ascii=False))
    show(task, found, len(catalogue.models), catalogue.date)


def limits_of(given: dict[str, Any]) -> Limits:
    from limbeck.bases.retrieve import FAMILIES, Limits

    return Limits(
        max_mb=given["max_gb"] * 1000,
        families=options.as_list(given["family"]) or FAMILIES,
        licences=options.as_list(given["licence"]),
        language=given["language"],
        gated=given["gated"],
        train_s=given["minutes"] * 60,
        here=given["here"],
    )


def refreshed(path: Path | None) -> None:
    from limbeck.bases.hub import refresh

    done = refresh(path, note=lambda text: click.echo(text, err=True))
    click.echo(f"{len(done.catalogue.models)} models in {done.path}; {len(done.skipped)} put aside", err=True)
    for kind, why in done.failed.items():
        click.echo(f"warning: {kind} is incomplete: {why}", err=True)


@contextmanager
def asking(settings: Settings) -> Iterator[Ask | None]:
    """The teacher of the settings behind a store of its own in the cache folder, or None."""
    from limbeck.bases.catalogue import cache_folder
    from limbeck.log import Log
    from limbeck.teachers import open_teacher
    from limbeck.teachers.store import Store

    def warn(record: dict[str, Any]) -> None:
        if record["event"] == "warning":
            click.echo(f"warning: {record['text']}", err=True)

    if settings.teacher is None:
        yield None
        return
    teacher = open_teacher(settings.teacher, settings.price)
    cache_folder().mkdir(parents=True, exist_ok=True)
    with Store(cache_folder() / "find.sqlite", settings.budget_usd, Log(sinks=(warn,))) as store:
        yield lambda requests: store.ask(teacher, requests, "base")


def as_plain(task: Task, found: Shortlist, date: str) -> dict[str, Any]:
    from limbeck.bases.retrieve import as_recipes

    return {
        "task": {"name": task.name, "kind": str(task.kind), "language": task.language},
        "compared": found.how,
        "catalogue_date": date,
        "found": [one.model_dump(mode="json") for one in found.found],
        "recipes": as_recipes(found.found),
        "dropped": found.dropped,
        "notes": list(found.notes),
    }


def show(task: Task, found: Shortlist, n: int, date: str) -> None:
    from limbeck.bases.retrieve import as_recipes

    with_what = "the teacher's model card" if found.how == "card" else "the prompt's own text"
    click.echo(f"{task.name}: kind {task.kind}, language {task.language}; {n} models as of {date}, compared with {with_what}")
    for place, one in enumerate(found.found, 1):
        click.echo(f"\n{place}. " + click.style(one.model.name, bold=True) + (f"  ({one.model.id})" if one.model.alias else ""))
        for reason in one.reasons:
            click.echo(f"   {reason}")
    for text in found.notes:
        click.echo(f"\nnote: {text}")
    if found.dropped:
        most = Counter(reason.partition(";")[0].partition(":")[0] for reason in found.dropped.values()).most_common(5)
        click.echo(f"\n{len(found.dropped)} were put aside, most of them because: " + "; ".join(f"{why} ({n})" for why, n in most))
    if recipes := as_recipes(found.found):
        click.echo(f"\nas candidates: --candidates {','.join(recipes)}")
