"""Dataset retrieval, whole: search the sources, rank, choose columns, make rows of the task, and say what was dropped and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from limbeck.errors import LimbeckError, MissingError, MissingExtra, MissingKey, ProviderError
from limbeck.registry import Ask, Note
from limbeck.sources import columns, rank_data
from limbeck.sources.datasets import Dataset, Dropped, Found, Limits, Retrieved, Source, Used, open_source, refusal, sift
from limbeck.sources.files import Bad
from limbeck.sources.readers import Record
from limbeck.sources.transform import Outcome, transform
from limbeck.types import Example, Origin, Price, Task

TRIES = 3  # so many times the wanted data sets are read before retrieval gives up
LOOKED_AT = 500  # rows of a local data set that are compared when near duplicates are folded
GUESSED_ON = 200  # rows that the choice of columns looks at


@dataclass
class Search:
    """found: in rank order, at most k. none_fits: a teacher was asked and named none."""

    found: list[Found] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    none_fits: bool = False


def find(
    task: Task, sources: Sequence[str], limits: Limits | None = None, ask: Ask | None = None, k: int = 25, query: str | None = None
) -> list[Found]:
    """The k data sets that fit best, best first. query: searched for in place of the task's own text (a translated prompt).

    Raises UsageError for a source that there is not, and what a source raises where no other source brings anything."""
    return search(task, opened(sources), limits or Limits(), ask, k, query).found


def opened(sources: Sequence[str]) -> dict[str, Source]:
    return {spec: open_source(spec) for spec in dict.fromkeys(sources)}


def search(task: Task, sources: dict[str, Source], limits: Limits, ask: Ask | None = None, k: int = 25, query: str | None = None) -> Search:
    """One pool over all sources. A source that cannot be reached is said and passed over, while another brings cards."""
    parts = rank_data.query_parts(task, query)
    query = query or rank_data.query_of(task)
    done = Search()
    pool: list[Dataset] = []
    failures: list[LimbeckError] = []
    for spec, source in sources.items():
        try:
            pool += [card.model_copy(update={"source": spec}) for card in source.search(query)]
        except LimbeckError as error:
            failures.append(error)
            done.said.append(f"{spec}: {error.what} ({error.have})")
    if failures and not pool:
        raise failures[0]
    pool, done.dropped = sift(pool, limits)
    ranked = rank_data.rank(parts, pool)[: k + k // 2]
    found, folded = rank_data.fold(ranked, local_rows(ranked, sources), frozenset(spec for spec, source in sources.items() if source.local))
    done.dropped += folded
    done.said += [f"{one.source}: {one.reason}, folded" for one in folded]
    done.found = found[:k]
    if ask is not None and done.found:
        done.found, said = rank_data.rerank(task, done.found, ask)
        done.said += said
        done.none_fits = done.found[0].votes == 0
    return done


def local_rows(found: Sequence[Found], sources: dict[str, Source]) -> dict[str, Sequence[str]]:
    """{where: rows as text} of the data sets whose rows are at hand."""
    rows: dict[str, Sequence[str]] = {}
    for one in found:
        source = sources[one.dataset.source]
        if source.local:
            try:
                records = source.records(one.dataset, LOOKED_AT)
            except LimbeckError:
                continue  # retrieve says why, if it comes to this one
            rows[one.dataset.where] = [" ".join(f"{v}" for k, v in r.items() if isinstance(v, str) and k != "id") for _, r in records]
    return rows


def retrieve(
    task: Task,
    sources: Sequence[str],
    limits: Limits | None = None,
    ask: Ask | None = None,
    note: Note = lambda done, total, what: None,
    *,
    price: Price | None = None,
    query: str | None = None,
) -> Retrieved:
    """Rows of at most `limits.datasets` data sets, in the task's form. A data set that fails costs its own rows only; where
    all fail, `rows` is empty and `dropped` and `said` tell why. price: of the teacher, for the rows' origins."""
    limits = limits or Limits()
    at = opened(sources)
    looked = search(task, at, limits, ask, query=query)
    said, dropped = list(looked.said), list(looked.dropped)
    voted = [f for f in looked.found if f.votes]
    candidates = [] if looked.none_fits else voted or looked.found
    down: dict[str, LimbeckError] = {}
    tried = 0
    rows: list[Example] = []
    used: list[Used] = []
    seen: set[tuple[str, tuple[str, ...] | None]] = set()
    for one in candidates:
        if len(used) >= limits.datasets or tried >= TRIES * limits.datasets:
            break
        if one.dataset.source in down:
            dropped.append(Dropped(source=one.dataset.name, reason=f"{one.dataset.source} cannot be reached"))
            continue
        note(len(used), limits.datasets, one.dataset.name)
        try:
            card, numbered = read(one.dataset, at[one.dataset.source], limits)
        except (LimbeckError, Bad) as error:
            dropped.append(failed(one.dataset, error, said))
            if isinstance(error, LimbeckError) and unreachable(error):
                down[one.dataset.source] = error
            else:
                tried += 1
            continue
        tried += 1
        try:
            chosen, outcome = rows_of(task, card, numbered, ask, note, price)
        except Bad as bad:
            dropped.append(failed(card, bad, said))
            continue
        except LimbeckError as error:  # the teacher's: it would meet the next data set too
            dropped.append(failed(card, error, said))
            break
        said += outcome.said
        dropped += outcome.dropped
        fresh, copies = new_rows(outcome.rows, seen)
        dropped += copies
        if fresh:
            rows += fresh
            used.append(
                Used(name=card.name, source=one.dataset.source, where=card.where, licence=card.licence, rows=len(fresh), read=len(numbered),
                     inputs=chosen.inputs, output=chosen.output, how=outcome.how)
            )  # fmt: skip
        else:
            dropped.append(Dropped(source=card.name, reason="; ".join(outcome.said) or "not one of its rows could be used"))
        if outcome.capped:
            break
    if not rows:
        said.append(why_nothing(looked, tried, down))
    return Retrieved(rows=tuple(rows), used=tuple(used), dropped=tuple(dropped), found=tuple(looked.found), said=tuple(dict.fromkeys(said)))


def failed(card: Dataset, error: Exception, said: list[str]) -> Dropped:
    """The reason, for the list; what to do about it, for the eye."""
    reason = error.what if isinstance(error, LimbeckError) else str(error)
    said.append(f"{card.name}: {reason}" + (f" ({error.have}); try: {error.do}" if isinstance(error, LimbeckError) else ""))
    return Dropped(source=card.name, reason=reason)


def unreachable(error: LimbeckError) -> bool:
    """It concerns the whole source: no network, switched off. A login that one data set wants does not."""
    return isinstance(error, ProviderError) or (isinstance(error, MissingError) and not isinstance(error, MissingKey | MissingExtra))


def why_nothing(looked: Search, tried: int, down: dict[str, LimbeckError]) -> str:
    if looked.none_fits:
        return "no rows were retrieved: the teacher says that none of the data sets fits"
    if not looked.found:
        return f"no rows were retrieved: no data set is left within the limits ({len(looked.dropped)} were left out)"
    if down and not tried:
        error = next(iter(down.values()))
        return f"no rows were retrieved: {error.what}; try: {error.do}"
    return f"no rows were retrieved: none of the {tried} data sets that were read gave a usable row"


def read(card: Dataset, source: Source, limits: Limits) -> tuple[Dataset, list[tuple[int, Record]]]:
    """(the card after a closer look, its numbered records, flat). Raises what the source raises, Bad where the closer look
    shows that the limits leave it out, or it is empty."""
    card = source.complete(card)
    if reason := refusal(card, limits):
        raise Bad(f"a closer look: {reason}")
    numbered = [(n, columns.flat(record)) for n, record in source.records(card, limits.rows)]
    if not numbered:
        raise Bad("it has no rows to read")
    return card, numbered


def rows_of(
    task: Task, card: Dataset, numbered: Sequence[tuple[int, Record]], ask: Ask | None, note: Note, price: Price | None
) -> tuple[columns.Columns, Outcome]:
    """Columns chosen, label ids decoded, rows in the task's form. Raises Bad where no columns fit, and what `ask` raises."""
    dropped: list[Dropped] = []
    named = []
    for number, record in numbered:
        try:
            named.append((number, columns.decoded(record, card.class_labels)))
        except Bad as bad:
            dropped.append(Dropped(source=card.name, row=number, reason=str(bad)))
    chosen, said = columns.choose(task, card, [record for _, record in named[:GUESSED_ON]], ask)
    rows: list[Example] = []
    for number, record in named:
        try:
            text, output, choices = columns.pair(record, chosen)
        except Bad as bad:
            dropped.append(Dropped(source=card.name, row=number, reason=str(bad)))
            continue
        origin = Origin(kind="retrieved", source=card.name, row=number, licence=card.licence or None, detail=card.config or "")
        rows.append(Example(id=f"{card.name}-{number}", input=text, output=output, choices=choices, origin=origin))
    outcome = transform(task, card, rows, ask, note, price)
    outcome.dropped = dropped + outcome.dropped
    outcome.said = said + outcome.said
    return chosen, outcome


def new_rows(rows: Sequence[Example], seen: set[tuple[str, tuple[str, ...] | None]]) -> tuple[list[Example], list[Dropped]]:
    """(rows whose input no earlier row has, the copies). Adds to `seen`."""
    fresh, copies = [], []
    for row in rows:
        key = (" ".join(row.input.split()), row.choices)
        if key in seen:
            copies.append(Dropped(source=row.origin.source, row=row.origin.row, reason="the input stands in an earlier row"))
        else:
            seen.add(key)
            fresh.append(row)
    return fresh, copies
