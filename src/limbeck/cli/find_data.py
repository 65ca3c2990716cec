"""`limbeck find data`: data sets that fit a prompt, ranked with reasons; with --rows their rows, in the task's form."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from textwrap import shorten
from typing import Any

import click

from limbeck.cli import options


@click.command()
@click.argument("prompt", type=click.Path())
@click.option("--source", "sources", multiple=True, metavar="SPEC", help="catalogue (default, offline), folder:DIR, hub; more than once.")
@click.option("--teacher", metavar="SPEC", help="Votes on the candidates, chooses columns, rewrites rows: http://host:port/v1#model, ...")
@options.PRICE
@click.option("--budget", default=1.0, show_default=True, metavar="USD", help="Hard cap on the teacher's money.")
@click.option("--licence", "licences", multiple=True, metavar="NAME", help="Only these, e.g. apache-2.0, mit, cc-by; more than once.")
@click.option("--language", "languages", multiple=True, metavar="CODE", help="Only data sets in one of these, e.g. en.")
@click.option("--max-mb", type=float, help="Only data sets of at most this size, where it is known.")
@click.option("--min-rows", type=int, default=0, help="Only data sets with so many training rows, where it is known.")
@click.option("--gated/--no-gated", default=False, help="Also data sets that want a login (default: only open ones).")
@click.option("--query", metavar="TEXT", help="Search for this in place of the prompt, e.g. its translation.")
@click.option("-k", default=25, show_default=True, help="Data sets that are shown, and that the teacher votes on.")
@click.option("--rows", "out", metavar="OUT.jsonl", type=click.Path(), help="Also fetch rows, in the task's form, into this file.")
@click.option("--limit", default=3000, show_default=True, help="Rows read of each data set at most.")
@click.option("--datasets", default=3, show_default=True, help="Data sets used at most.")
@options.MACHINE
def data(prompt: str, sources: tuple[str, ...], machine: bool, out: str | None, **given: Any) -> None:
    """Data sets that fit a PROMPT file, best first. Replies of the teacher are kept beside the rows, and paid once."""
    from limbeck.preflight import task_name
    from limbeck.sources import retrieve
    from limbeck.sources.datasets import Limits
    from limbeck.tasks.parse import parse
    from limbeck.tasks.translate import retrieval_query

    settings, text, _ = options.read_settings(prompt, {"price": given["price"]})
    settings = settings.model_copy(update={"teacher": given["teacher"]})  # looking costs nothing unless it is asked to
    task = parse(text, task_name(Path(prompt)), kind=settings.kind)
    limits = Limits(
        licences=tuple(name.lower() for name in given["licences"]),
        languages=given["languages"],
        gated=given["gated"],
        max_mb=given["max_mb"],
        min_rows=given["min_rows"],
        rows=given["limit"],
        datasets=given["datasets"],
    )
    with asked(settings, out, given["budget"]) as ask:
        query, notes = given["query"], ()
        if query is None and task.language != "en":
            english, notes = retrieval_query(task, ask)
            query = english if english != task.instruction else None
        if out is None:
            looked = retrieve.search(task, retrieve.opened(sources or ("catalogue",)), limits, ask, given["k"], query)
            found, said = looked.found, [*notes, *looked.said]
            return as_json(found, looked.dropped, said) if machine else show(found, looked.dropped, said)
        done = retrieve.retrieve(task, sources or ("catalogue",), limits, ask, price=settings.price, query=query, note=progress(machine))
        said = [*notes, *done.said]
    write(Path(out), done)
    if machine:
        return as_json(done.found, done.dropped, said, used=[u.model_dump() for u in done.used], rows=len(done.rows), out=out)
    show(done.found[:10], done.dropped, said)
    show_used(done, out)


@contextmanager
def asked(settings: Any, out: str | None, cap_usd: float) -> Iterator[Any]:
    """The teacher behind a store, or None. The store lies beside the rows, else in the working folder's .limbeck."""
    if settings.teacher is None:
        yield None
        return
    from limbeck.teachers import open_teacher
    from limbeck.teachers.store import Store

    teacher = open_teacher(settings.teacher, settings.price)
    path = Path(f"{out}.teacher.sqlite") if out else Path(".limbeck") / "find.teacher.sqlite"
    with closing(Store(path, cap_usd=cap_usd)) as store:
        yield lambda requests: store.ask(teacher, requests, purpose="find-data")


def progress(machine: bool) -> Any:
    def note(done: int, total: int, what: str) -> None:
        if not machine:
            click.echo(f"  {what}: {done} of {total}", err=True)

    return note


def write(path: Path, done: Any) -> None:
    """Rows as the hallway reads them, origin beside each; what was dropped goes to <out>.dropped.jsonl."""
    from limbeck.run import write_bytes

    rows = "".join(row.model_dump_json(exclude_none=True) + "\n" for row in done.rows)
    write_bytes(path, rows.encode())
    write_bytes(Path(f"{path}.dropped.jsonl"), "".join(one.model_dump_json() + "\n" for one in done.dropped).encode())


def as_json(found: Any, dropped: Any, said: Any, **more: Any) -> None:
    shown = [{**f.model_dump(mode="json", exclude={"dataset": {"sample"}})} for f in found]
    body = {"found": shown, "dropped": [d.model_dump(mode="json") for d in dropped if d.row is None], "said": list(said), **more}
    click.echo(json.dumps(body, ensure_ascii=False, indent=1))


def show(found: Any, dropped: Any, said: Any) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    table = Table(box=None, title="Data sets that may fit", title_justify="left", title_style="bold", pad_edge=False)
    for name in ("data set", "rows", "licence", "why"):
        table.add_column(name, justify="right" if name == "rows" else "left", overflow="fold", ratio={"data set": 5, "rows": 2, "licence": 2, "why": 3}[name])  # fmt: skip
    for one in found:
        card = one.dataset
        name = card.name + (f" ({card.config})" if card.config else "") + f"  [{card.source.partition(':')[0]}]"
        told = shorten(card.description, 140, placeholder=" ...")
        about = f"[bold]{escape(name)}[/bold]\n[dim]{escape(told)}[/dim]"
        size = f", {card.size_mb:,.0f} MB" if card.size_mb is not None and card.size_mb >= 1 else ""
        rows = (f"{card.rows:,}" if card.rows is not None else "?") + size
        table.add_row(about, rows, escape((card.licence or "?")[:30]), escape(one.reason))
    console.print(table)
    whole = [d for d in dropped if d.row is None]
    for reason, n in Counter(d.reason.partition(":")[0] for d in whole).most_common(6):
        console.print(f"left out: {n} - {escape(reason)}", style="dim")
    for line in said[:20]:
        console.print(f"note: {escape(line)}", style="yellow")
    if any(one.dataset.source == "catalogue" for one in found):
        console.print("Licences and sizes of the catalogue are from memory: check them on the data set's own page.", style="dim")


def show_used(done: Any, out: str) -> None:
    for one in done.used:
        click.echo(f"{one.name}: {one.rows} of {one.read} rows, {one.how} ({' + '.join(one.inputs)} -> {one.output}), licence {one.licence or 'not stated'}")  # fmt: skip
    rows = [d for d in done.dropped if d.row is not None]
    for (source, reason), n in Counter((d.source, d.reason.partition(":")[0]) for d in rows).most_common(8):
        click.echo(f"  dropped from {source}: {n} {reason}")
    click.echo(f"{len(done.rows)} rows -> {out}   (dropped: {out}.dropped.jsonl)")
