"""Report -> Markdown, for a pull request or a README."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

import limbeck.report.format as f
import limbeck.report.knowledge as known
import limbeck.report.prompting as prompting
import limbeck.report.rationales as why
import limbeck.report.retrieval as retrieved
import limbeck.report.table as t
from limbeck.report.terminal import used
from limbeck.types import Report

_SIGNS = re.compile(r"([\\`*#|~]|\](?=[(:\[])|(?<!\w)_|_(?!\w))")  # an underscore within a word means nothing


def markdown(report: Report) -> str:
    return "\n\n".join(block for block in _blocks(report) if block) + "\n"


def _blocks(report: Report) -> Iterator[str]:
    yield f"# {text(report.verdict)}"
    if report.partial:
        yield "*Partial: not every candidate was finished.*"
    if made := t.synthetic(report):
        yield f"**{text(made)}**"
    if rows := t.ranked(report):
        columns = t.columns(report)
        cells = [
            [f"**{code(r.recipe)}**" if r.recipe == report.winner else code(r.recipe), *(text(c.cell(r)) for c in columns)] for r in rows
        ]
        yield table(["recipe", *(text(c.title) for c in columns)], cells)
    yield bullets(f"{code(row.recipe)} {text(t.why(row))}" for row in t.unranked(report))
    if report.warnings:
        yield "## Warnings"
        yield bullets(map(text, report.warnings))
    if report.synthetic_test:
        yield "## What the synthetic test is worth"
        yield tabled(t.gaps(report)) or "Too few rows are labelled by persons to say."
        if report.worth_labelling:
            yield "Most worth a label of a person's:"
            yield bullets(
                f"{code(str(one['id']))} ({text(one['why'])}): {text(str(one['input'])[:120])}" for one in report.worth_labelling[:10]
            )
    yield text(t.human(report))
    if told := prompting.sentences(report):
        yield "## The prompt"
        yield text(" ".join(told))
        for role, sent in prompting.messages(report):
            yield f"{role}:\n\n{fenced(sent)}"
    if told := why.sentences(report):
        yield "## Rationales"
        yield text(" ".join(told))
        yield tabled(why.dropped(report))
        yield tabled(why.examples(report))
    if told := known.sentences(report):
        yield "## Documents that were learnt"
        yield bullets(map(text, told))
        yield tabled(known.measured(report))
        yield tabled(known.complement(report))
        yield tabled(known.examples(report))
    yield "## How it was measured"
    yield text(used(report))
    yield text(report.rule)
    yield text(report.split_how)
    if report.not_deterministic:
        yield "Not deterministic: " + text("; ".join(report.not_deterministic)) + "."
    totals, purposes = t.ledger(report)
    for title, facts in (("Origin of the rows", report.origins), ("Rejected rows", report.rejected), ("Ledger", totals)):
        if facts:
            yield f"## {title}"
            yield table(["", ""], [[text(name), text(value)] for name, value in f.flat(facts).items()])
    if report.curated:
        yield "## Curation"
        yield bullets(map(text, report.curated))
    if looked_up := retrieved.said(report):
        yield "## Retrieval"
        yield bullets(map(text, looked_up))
        yield tabled(retrieved.measured(report))
        yield bullets(f"{code(name)} was not read: {text(why)}" for name, why in retrieved.skipped(report))
    if came := t.sources(report):
        yield "## Sources of the labelled rows"
        yield tabled(came)
    if purposes:
        yield table(list(map(text, purposes[0])), [list(map(text, line)) for line in purposes[1:]])


def tabled(lines: Sequence[tuple[str, ...]]) -> str:
    """ "" for no lines."""
    return table(list(map(text, lines[0])), [list(map(text, line)) for line in lines[1:]]) if lines else ""


def text(value: str) -> str:
    """One line on which no sign means anything: no HTML, no table, no emphasis."""
    one = " ".join(f.clean(value).split()).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SIGNS.sub(r"\\\1", one)


def fenced(value: str) -> str:
    """Exact, line by line, in a fence that is longer than any in it."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall(r"`+", value)), default=0))
    return f"{fence}text\n{f.clean(value)}\n{fence}"


def code(value: str) -> str:
    return "`" + " ".join(f.clean(value).split()).replace("`", "'").replace("|", "\\|") + "`"


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] + ["---:"] * (len(header) - 1), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bullets(items: Iterable[str]) -> str:
    return "\n".join(f"- {item}" for item in items)
