"""What is known of a data set before it is read, where data sets come from, and what the user allows."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from limbeck.errors import UsageError
from limbeck.registry import names, near, take
from limbeck.sources.readers import Record
from limbeck.types import Example, Frozen


class Dataset(Frozen):
    """A card. rows: of the training part, None = not known. size_mb: as stored. gated: its owner asks for a login.
    columns: of its records. configs: its parts, where it has several; config: the one meant. class_labels: {column:
    names by id}. answers: the distinct ones, where they are a small set. sample: a few records as text, for the ranking. where: folder or Hub id. held_out: why it must not be
    trained on, "" = it may."""

    name: str
    title: str = ""
    description: str = ""
    licence: str = ""
    languages: tuple[str, ...] = ()
    rows: int | None = None
    size_mb: float | None = None
    gated: bool = False
    downloads: int | None = None
    tags: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    configs: tuple[str, ...] = ()
    config: str | None = None
    class_labels: dict[str, tuple[str, ...]] = {}
    answers: tuple[str, ...] = ()
    sample: tuple[str, ...] = ()
    source: str
    where: str
    held_out: str = ""


@dataclass(frozen=True)
class Source:
    """Where data sets come from. search(query) -> cards that may fit (everything, where that is cheap). records(card, n)
    -> at most n records of the training part with their 1-based numbers; raises LimbeckError where they cannot be had.
    complete(card) -> the card with what only a look at that one data set tells. local: reading records is cheap."""

    name: str
    search: Callable[[str], list[Dataset]]
    records: Callable[[Dataset, int], list[tuple[int, Record]]]
    complete: Callable[[Dataset], Dataset] = lambda card: card
    local: bool = False


class Limits(Frozen):
    """What the user allows. licences, languages: () = any. gated: also those that want a login; False = only open ones.
    max_mb: of the data set as stored. min_rows: of its training part. rows: read of each data set at most, and so bought at
    most. datasets: used at most."""

    licences: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    gated: bool = False
    max_mb: float | None = None
    min_rows: int = 0
    rows: int = 3000
    datasets: int = 3


class Dropped(Frozen):
    """What was not used and why. row None = the whole data set."""

    source: str
    row: int | None = None
    reason: str


class Found(Frozen):
    """A candidate in rank order. words, meaning, matching: its 1-based ranks by each of the three. votes: of `asked` replies
    that named it, None = no teacher was asked. score: fused, higher is better."""

    dataset: Dataset
    score: float
    words: int
    meaning: int
    matching: int = 0
    votes: int | None = None
    asked: int = 0
    reason: str = ""


class Used(Frozen):
    """A data set that gave rows. how: as-is | mapped | rewritten. read: its records looked at."""

    name: str
    source: str
    where: str
    licence: str
    rows: int
    read: int
    inputs: tuple[str, ...]
    output: str
    how: str


class Retrieved(Frozen):
    """What retrieval brought: rows, the data sets they come from, everything that was dropped, and what there is to say."""

    rows: tuple[Example, ...] = ()
    used: tuple[Used, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    found: tuple[Found, ...] = ()
    said: tuple[str, ...] = ()


def open_source(spec: str) -> Source:
    """`hub`, `catalogue`, `folder:DIR`, or a plug-in's name. Raises UsageError with what there is."""
    head, _, rest = spec.strip().partition(":")
    if head not in names("sources"):
        raise UsageError(
            f"unknown source {head!r}", near(head, names("sources")), "--source catalogue, --source hub or --source folder:DIR"
        )
    return take("sources", head)(rest)  # type: ignore[no-any-return]


# ---- the user's limits --------------------------------------------------------------------------------------------

_LICENCE = re.compile(
    r"\bapache[- ]?2(?:\.0)?\b|\bmit\b|\bbsd(?:-\d-clause)?\b|\bcc0(?:[- ]1\.0)?\b|\bcc[- ]by(?:[- ](?:nc|sa|nd))*(?:[- ]\d(?:\.\d)?)?"
    r"|\b(?:odc-by|odbl|gpl|lgpl|agpl|pddl|unlicense|public domain|openrail|gfdl|ldc)\b|\bnon-?commercial\b|\bresearch[- ]only\b",
    re.I,
)


def licences_of(text: str) -> set[str]:
    """Every licence that a card names, in one spelling: {"cc-by-4.0"}. Empty where it states none."""
    return {re.sub(r"[\s_]+", "-", found.lower()).replace("apache2", "apache-2") for found in _LICENCE.findall(text.replace("_", "-"))}


def allowed(licence: str, wanted: str) -> bool:
    """`cc-by` allows cc-by-4.0, not cc-by-nc-4.0."""
    return bool(re.fullmatch(re.escape(wanted.lower().replace(" ", "-")) + r"(?:-\d+(?:\.\d+)?)?", licence))


def refusal(card: Dataset, limits: Limits) -> str:
    """Why the limits leave this data set out; "" = they do not. What a card does not tell counts against it for the licence
    alone: a language, a size or a number of rows that is not known may still fit."""
    if card.held_out:
        return card.held_out
    if card.gated and not limits.gated:
        return "gated: its owner asks for a login (--gated allows it)"
    if limits.licences:
        stated = licences_of(card.licence)
        if not stated:
            return f"its card states no licence that could be checked ({card.licence or 'nothing'})"
        if not all(any(allowed(one, wanted) for wanted in limits.licences) for one in stated):
            return f"licence {card.licence}: not among {', '.join(limits.licences)}"
    if limits.languages and card.languages and not set(limits.languages) & set(card.languages):
        return f"language {', '.join(card.languages[:5])}: not among {', '.join(limits.languages)}"
    if limits.max_mb is not None and card.size_mb is not None and card.size_mb > limits.max_mb:
        return f"{card.size_mb:,.0f} MB, more than {limits.max_mb:,.0f}"
    if card.rows is not None and card.rows < limits.min_rows:
        return f"{card.rows:,} training rows, fewer than {limits.min_rows:,}"
    return ""


def sift(cards: Sequence[Dataset], limits: Limits) -> tuple[list[Dataset], list[Dropped]]:
    """(what the limits leave, what they take away and why)."""
    reasons = [refusal(card, limits) for card in cards]
    kept = [card for card, reason in zip(cards, reasons, strict=True) if not reason]
    return kept, [Dropped(source=c.name, reason=r) for c, r in zip(cards, reasons, strict=True) if r]
