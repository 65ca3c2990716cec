"""The leaderboard of the page: one line per candidate, the interval drawn beside the figures."""

from __future__ import annotations

import re

import limbeck.report.figures as figures
import limbeck.report.format as f
import limbeck.report.table as t
from limbeck.report.html import Child, Html, html, tag
from limbeck.report.terminal import used
from limbeck.types import Report, Row


def board(report: Report) -> Child:
    rows, columns = t.ranked(report), t.columns(report)
    low, high = figures.limits(report, rows) if rows else (0.0, 1.0)
    header = [tag("th", "recipe", scope="col"), *([tag("th", "interval", scope="col", class_="left drawn")] if rows else [])]
    header += [tag("th", column.title, scope="col", title=column.hint) for column in columns]
    lines = []
    for rank, row in enumerate(rows, 1):
        cells = [tag("td", c.cell(row), class_=direction(row, report) if c.key == "versus" else None) for c in columns]
        bar = tag("td", figures.interval_bar(row, low, high, report.chance), class_="left drawn")
        lines.append(tag("tr", who(row, str(rank)), bar, *cells, class_="won" if row.recipe == report.winner else None))
    for row in t.unranked(report):
        lines.append(tag("tr", who(row, ""), tag("td", t.why(row), colspan=len(header) - 1), class_="out"))
    whole = tag("table", tag("thead", tag("tr", *header)), tag("tbody", *lines), class_="board")
    scroller = tag("div", whole, class_="card scroll", tabindex="0", role="region", aria_label="Leaderboard")
    return tag("p", used(report), class_="soft"), legend(report, low, high) if rows else None, scroller


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


def who(row: Row, rank: str) -> Html:
    trained = tag("small", f" fitted on {row.fitted_on}") if row.fitted_on not in ("", "train") else None
    name = tag("span", tag("code", breakable(row.recipe)), trained)
    return tag("th", tag("span", tag("span", rank, class_="num"), spot(row.group), name, class_="who"), scope="row")


def breakable(recipe: str) -> Html:
    """A long recipe breaks before + and @, nowhere else."""
    return Html("<wbr>".join(html(part) for part in re.split(r"(?=[+@])", recipe)))


def direction(row: Row, report: Report) -> str | None:
    """Green or red where the interval of the difference leaves nought out."""
    if row.versus is None or row.versus.low <= 0 <= row.versus.high:
        return None
    return "better" if (row.versus.difference > 0) != t.lower_is_better(t.metric_of(report)) else "worse"
