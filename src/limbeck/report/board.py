"""The leaderboard of the page: per candidate a line of what one decides by, the interval drawn beside it, and below it a line of all
that was measured besides, which wraps: nothing has to be scrolled sideways."""

from __future__ import annotations

import re

import limbeck.report.figures as figures
import limbeck.report.format as f
import limbeck.report.table as t
from limbeck.report.html import Child, Html, html, tag
from limbeck.report.terminal import used
from limbeck.types import Report, Row

FIRST = 4  # columns up to this `keep` stand in the first line


def board(report: Report) -> Child:
    rows, every = t.ranked(report), t.columns(report)
    columns, besides = [c for c in every if c.keep <= FIRST], [c for c in every if c.keep > FIRST]
    low, high = figures.limits(report, rows) if rows else (0.0, 1.0)
    header = [tag("th", "recipe", scope="col"), *([tag("th", "interval", scope="col", class_="left drawn")] if rows else [])]
    header += [tag("th", column.title, scope="col", title=column.hint) for column in columns]
    lines = []
    for rank, row in enumerate(rows, 1):
        won = "won" if row.recipe == report.winner else None
        more = measured_besides(row, besides)
        cells = [tag("td", *in_two(c.cell(row)), class_=direction(row, report) if c.key == "versus" else None) for c in columns]
        bar = tag("td", figures.interval_bar(row, low, high, report.chance), class_="left drawn")
        lines.append(tag("tr", who(row, str(rank), 2 if more else None), bar, *cells, class_=won))
        if more:
            lines.append(tag("tr", tag("td", *more, colspan=len(header) - 1), class_=f"more {won or ''}".strip()))
    for row in t.unranked(report):
        lines.append(tag("tr", who(row, ""), tag("td", t.why(row), colspan=len(header) - 1), class_="out"))
    whole = tag("table", tag("thead", tag("tr", *header)), tag("tbody", *lines), class_="board")
    scroller = tag("div", whole, class_="card scroll", tabindex="0", role="region", aria_label="Leaderboard")
    return tag("p", used(report), class_="soft"), legend(report, low, high) if rows else None, scroller


def in_two(cell: str) -> tuple[Child, ...]:
    """A figure, and what is said about it below: 0.912 over [0.887, 0.938], +0.028 over p=0.030."""
    figure, _, about = cell.partition(" ")
    return (figure, tag("small", about)) if about[:1] == "[" or about[:1] == "p" else (cell,)


def measured_besides(row: Row, columns: list[t.Column]) -> list[Html]:
    """Everything else that is known of the candidate, each with its name."""
    found = [(column, column.cell(row)) for column in columns]
    return [tag("span", tag("b", column.title), f" {cell}", title=column.hint) for column, cell in found if cell != f.MISSING]


def legend(report: Report, low: float, high: float) -> Html:
    scale = f"interval axis: {f.number(low)} to {f.number(high)}"
    if report.chance is not None:
        scale += f", chance: {f.number(report.chance)}"
    groups = ("student", "prompt", "baseline")
    return tag("div", *(tag("span", spot(group, hidden=True), group) for group in groups), tag("span", scale), class_="legend")


def spot(group: str, hidden: bool = False) -> Html:
    if hidden:
        return tag("span", class_=f"dot {group}", aria_hidden="true")
    return tag("span", class_=f"dot {group}", role="img", aria_label=group, title=group)


def who(row: Row, rank: str, lines: int | None = None) -> Html:
    trained = tag("small", f" fitted on {row.fitted_on}") if row.fitted_on not in ("", "train") else None
    name = tag("span", tag("code", breakable(row.recipe)), trained)
    return tag("th", tag("span", tag("span", rank, class_="num"), spot(row.group), name, class_="who"), scope="row", rowspan=lines)


def breakable(recipe: str) -> Html:
    """A long recipe breaks before + and @, nowhere else."""
    return Html("<wbr>".join(html(part) for part in re.split(r"(?=[+@])", recipe)))


def direction(row: Row, report: Report) -> str | None:
    """Green or red where the interval of the difference leaves nought out."""
    if row.versus is None or row.versus.low <= 0 <= row.versus.high:
        return None
    return "better" if (row.versus.difference > 0) != t.lower_is_better(t.metric_of(report)) else "worse"
