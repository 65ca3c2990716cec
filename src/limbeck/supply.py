"""Rows where the user has none, or too few: data sets that fit, what the teacher writes, labels by votes, curation.

task --> query --> data sets --> rows that fit --+
 |                                               +--> curation: copies, contradictions, leaks --> 2-made.jsonl
 +----> written by the teacher --> votes --------+"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from limbeck import making, render
from limbeck.candidates import UNANSWERED
from limbeck.curate.informative import most_informative_first
from limbeck.curate.pipeline import PutAside, curate
from limbeck.derived import Sizes
from limbeck.errors import MissingError
from limbeck.log import Log
from limbeck.need import is_offline
from limbeck.preflight import Given
from limbeck.registry import Ask
from limbeck.run import RunFolder, read_lines, write_json, write_lines
from limbeck.sources import retrieve
from limbeck.sources.datasets import Limits
from limbeck.sources.files import Rejected
from limbeck.tasks.kinds import language_of
from limbeck.tasks.translate import retrieval_query
from limbeck.types import Example, Frozen, Kind, Settings, Split, Splits, Task, Value, sha_of

PER_LABEL, LEAST, MOST, OTHERWISE = 20, 300, 1500, 500
RETRIEVED_SHARE = 0.5  # at most so many of the rows come from data sets: the teacher's own are closer to the prompt

AskFor = Callable[[str], Ask]


class Supply(Frozen):
    """What was made. used: data sets with their counts and licences. counts, said: of every step. complete: nothing was left
    undone for want of money, time or a provider that answered."""

    rows: tuple[Example, ...]
    rejected: tuple[Rejected, ...]
    used: tuple[dict[str, Any], ...] = ()
    counts: dict[str, int] = {}
    said: tuple[str, ...] = ()
    complete: bool = True


def how_many(task: Task, settings: Settings) -> Value:
    """Rows wanted, with the reason."""
    if settings.make:
        return Value(name="make", value=settings.make, why="set by you")
    if task.kind is Kind.LABEL and task.labels:
        n = max(LEAST, min(MOST, PER_LABEL * len(task.labels)))
        return Value(name="make", value=n, why=f"{PER_LABEL} a label, between {LEAST} and {MOST}")
    return Value(name="make", value=OTHERWISE, why="enough for a first student; more with --make N")


def votes_of(settings: Settings, made: bool = True) -> int:
    """Labelling requests per row, of those that we make or of the user's own unlabelled ones."""
    return settings.votes or (making.VOTES if made else 1)


def inputs(given: Given, task: Task) -> dict[str, Any]:
    """What the made rows depend on."""
    settings = given.settings
    return {
        "task": task.sha(),
        "rows": sha_of([(r.id, r.input, r.output) for r in (*given.gold, *(given.dev or ()), *(given.test or ()))]),
        "teacher": given.teacher.fingerprint if given.teacher else "",
        "labeller": given.labeller.fingerprint if given.labeller else "",
        "make": how_many(task, settings).value,
        "sources": list(sources_of(settings)),
        "votes": votes_of(settings),
        "seed": settings.seed,
        "render": render.VERSION,
    }


def make(given: Given, task: Task, ask_for: AskFor | None, label_for: AskFor | None, log: Log) -> Supply:
    """Retrieve, generate, label, curate. ask_for, label_for: purpose -> the teacher behind the store."""
    wanted = int(how_many(task, given.settings).value)
    found, used, said, counts = retrieved(given, task, int(wanted * RETRIEVED_SHARE), ask_for, log)
    rejected: list[Rejected] = []
    if ask_for is not None and wanted > len(found):
        made = making.make_rows(
            task,
            wanted - len(found),
            ask_for("generate"),
            label_for("label") if label_for else None,
            given.gold,
            given.teacher.price if given.teacher else None,
            given.labeller.price if given.labeller else None,
            given.settings.seed,
            lambda done, total, what: log.progress("rows", done, total, what),
            votes_of(given.settings),
        )
        found += made.rows
        said += made.said
        counts |= made.counts
        rejected += [rejection(row, why) for row, why in made.rejected]
    shown = [Example(id=f"demonstration-{i}", input=d.input, output=d.output) for i, d in enumerate(task.demonstrations)]
    guard = {"test": given.test or [], "dev": given.dev or [], "your rows": given.gold, "demonstrations": shown}
    clean = curate(task, found, guard, making.embedding(), language_of=language_of)
    rejected += [put_aside(one) for one in clean.rejected]
    counts |= {f"curate.{step}": n for step, n in clean.counts.items()}
    return Supply(
        rows=tuple(clean.rows),
        rejected=tuple(rejected),
        used=tuple(used),
        counts=counts,
        said=(*said, *clean.said),
        complete=not left_undone(counts),
    )


def sources_of(settings: Settings) -> tuple[str, ...]:
    """Where data sets are looked for: as the user says; else the shipped catalogue, which is ranked here and whose rows come from the
    Hub; nothing offline. The Hub's own search would be told words of the prompt, so it has to be named."""
    if settings.sources:
        return () if settings.sources == ("none",) else settings.sources
    return () if is_offline() else ("catalogue",)


def left_undone(counts: dict[str, int]) -> bool:
    """Whether money, time or a provider kept something from being done, so that the same command may do it later."""
    lost = {name.lower() for name in UNANSWERED}
    return any(n and name.rpartition(".")[2] in lost for name, n in counts.items())


def worth_first(rows: list[Example], labelled: list[Example]) -> list[Example]:
    """Those first that lie farthest from what is labelled and from each other; in the given order without the train extra."""
    embed = making.embedding()
    if embed is None or len(rows) < 2:
        return rows
    known = embed([r.input for r in labelled]) if labelled else None
    return [rows[i] for i in most_informative_first(rows, embed([r.input for r in rows]), known)]


def retrieved(
    given: Given, task: Task, most: int, ask_for: AskFor | None, log: Log
) -> tuple[list[Example], list[dict[str, Any]], list[str], dict[str, int]]:
    """(rows of data sets that fit the task, the sets, what was said, counts). A source that cannot be had costs its rows alone."""
    sources = sources_of(given.settings)
    if not sources or most < 1 or (ask_for is None and not given.settings.sources):
        return [], [], [], {}
    ask = ask_for("retrieve") if ask_for else None
    query, notes = retrieval_query(task, ask)
    try:
        found = retrieve.retrieve(
            task,
            sources,
            Limits(rows=most),
            ask,
            lambda done, total, what: log.progress("data sets", done, total, what),
            price=given.teacher.price if given.teacher else None,
            query=query,
        )
    except MissingError as absent:
        if given.settings.sources:  # the user named it
            raise
        return [], [], [*notes, f"no data sets were looked for: {absent.what}"], {}
    rows = list(found.rows)[:most]
    counts = {"retrieve.rows": len(rows), "retrieve.dropped": len(found.dropped)}
    return rows, [u.model_dump(mode="json") for u in found.used], [*notes, *found.said], counts


def rejection(row: Example, why: str) -> Rejected:
    return Rejected(source=row.origin.source or row.origin.kind, row=row.origin.row or 0, reason=why, text=row.input[:200])


def put_aside(one: PutAside) -> Rejected:
    return Rejected(source=one.source, row=one.row, reason=one.reason, text=one.text)


# ---- on disk -------------------------------------------------------------------------------------------------------


def files(folder: RunFolder) -> list[Path]:
    return [folder.path / "2-made.jsonl", folder.path / "2-made-rejected.jsonl", folder.path / "2-made.json"]


def write(folder: RunFolder, found: Supply) -> None:
    rows, rejected, facts_file = files(folder)
    write_lines(rows, found.rows)
    write_lines(rejected, found.rejected)
    write_json(
        facts_file,
        {
            "rows": len(found.rows),
            "used": found.used,
            "counts": found.counts,
            "rejected": dict(Counter(r.reason.partition(":")[0] for r in found.rejected)),
            "said": found.said,
            "complete": found.complete,
        },
    )


def read(folder: RunFolder) -> tuple[list[Example], list[Rejected]]:
    rows, rejected, _ = files(folder)
    return read_lines(rows, Example), read_lines(rejected, Rejected)


def facts(folder: RunFolder) -> dict[str, Any]:
    """rows, used, counts, rejected, said, complete; {"said": []} where nothing was made."""
    path = files(folder)[2]
    return json.loads(path.read_bytes()) if path.exists() else {"said": []}


# ---- before there are rows -----------------------------------------------------------------------------------------


def expected(given: Given, task: Task) -> tuple[Sizes, list[Example], Splits]:
    """(sizes, rows as long as the demonstrations, an empty cut that says what is going to be made)."""
    wanted = how_many(task, given.settings)
    shown = [Example(id=f"demonstration-{i}", input=d.input, output=d.output) for i, d in enumerate(task.demonstrations)]
    some = [*given.gold, *shown] or [Example(id="guess", input="x" * 120, output="")]
    n = int(wanted.value)
    test, dev = min(300, n // 5), n * 3 // 25
    sizes = Sizes(
        train=n - test - dev + len(given.gold),
        dev=dev,
        test=test,
        unlabelled=len(given.unlabelled) if given.teacher else 0,
        labels=len(task.labels),
        chars=sum(len(e.input) for e in some) / len(some),
        options=sum(len(e.choices or ()) for e in some) / len(some),
    )
    none = Split(ids=(), digest="")
    how = f"{n} rows are going to be made ({wanted.why}); about {test} of them for test and {dev} for dev."
    return sizes, some, Splits(train=none, dev=none, test=none, seed=given.settings.seed, how=how)
