"""The rationale study as one self-contained page: accuracy against rows and against size, the sentences, the tables."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from limbeck import controls
from limbeck.bench import steptables
from limbeck.bench.stepgrid import Cell
from limbeck.bench.steptables import Group
from limbeck.bench.tables import keep
from limbeck.report import plot
from limbeck.report.html import tag
from limbeck.report.page import document

Point = tuple[float, float, float, float]  # x, accuracy, low, high

CSS = (
    ".curve{fill:none;stroke:currentColor;stroke-width:1.6}.bar{stroke:currentColor;opacity:.45}.teacher{stroke:currentColor;stroke-dasharray:5 4;opacity:.7}"
    ".a0{color:#4c6ef5}.a1{color:#868e96}.a2{color:#e8890c}.a3{color:#a0522d}.a4{color:#12875a}.a5{color:#ae3ec9}.a6{color:#c92a2a}"
    ".mark{fill:currentColor;stroke:none}.name{fill:currentColor;font-size:11px}"
)


def page(folder: Path, cells: Sequence[Cell]) -> str:
    default = json.loads((folder / "default.json").read_bytes())
    found = steptables.groups(folder, cells)
    parts: list[Any] = [tag("header", tag("h1", default["title"]), *(tag("p", note) for note in default["notes"]))]
    parts.append(tag("section", tag("h2", "What rationales did"), tag("ul", *(tag("li", s) for s in steptables.sentences(found)))))
    teacher = default["teacher"]
    for data in dict.fromkeys(g.data for g in found):
        mine = [g for g in found if g.data == data]
        parts.append(tag("section", tag("h2", data), *curves(mine, data, teacher), *sizes(mine, data, teacher), *tables(mine, default)))
    parts.append(tag("section", tag("h2", "The fewest rows that pass the teacher"), html_table(steptables.fewest(found))))
    return document(default["title"], *parts, css=CSS)


def write(folder: Path, cells: Sequence[Cell]) -> Path:
    """table.md and page.html; returns the page."""
    return keep(folder, page(folder, cells), steptables.markdown(folder, cells))


def tables(mine: Sequence[Group], default: dict[str, Any]) -> list[Any]:
    parts: list[Any] = []
    for group in mine:
        parts.append(tag("h3", steptables.heading(group)))
        if not group.run:
            parts.append(tag("p", "not run"))
            continue
        parts.append(html_table([steptables.HEAD, *(steptables.row(group, arm) for arm in group.arms.values())]))
        said = [controls.sentence(steptables.finding(group))]
        said += [s for arm in group.arms.values() if (s := steptables.teacher_sentence(group, arm, default["teacher"]))]
        parts.append(tag("ul", *(tag("li", s) for s in said)))
    if (paper := default["paper"].get(mine[0].data)) is not None:
        parts.append(tag("p", f"{default['paper']['what']}: {', '.join(f'{name} {value}' for name, value in paper.items())}."))
    return parts


def html_table(lines: Sequence[Sequence[str]]) -> Any:
    """The first line is the head. A column of words stands left, one of figures right."""
    head, *body = lines
    words = [i == 0 or any(line[i] and not FIGURE.match(line[i]) for line in body) for i in range(len(head))]
    rows = [tag("tr", *(tag("td", cell, class_="left" if words[i] else "number") for i, cell in enumerate(line))) for line in body]
    top = tag("tr", *(tag("th", name, class_="left" if words[i] else "") for i, name in enumerate(head)))
    return tag("table", tag("thead", top), tag("tbody", *rows))


FIGURE = re.compile(r"[-+.\d]|not run$|.*: [-+]?\d")  # also "in_context - plain: +0.198 [...]", and a cell that waits


# ---- figures ---------------------------------------------------------------------------------------------------------


def curves(mine: Sequence[Group], data: str, teacher: str) -> list[Any]:
    """Accuracy against training rows, one figure a base; where there are two numbers of rows at least."""
    found = []
    for base in dict.fromkeys(g.base for g in mine):
        run = sorted((g for g in mine if g.base == base and g.run), key=lambda g: g.train_rows)
        lines = {name: [p for g in run if (p := point(g, name, g.train_rows))] for name in names(run)}
        if len({p[0] for line in lines.values() for p in line}) > 1:
            title = f"{data}, {base}: accuracy against training rows"
            found.append(drawing(title, "training rows", lines, bar(run), teacher, f"rows-{data}-{base}", lambda v: f"{v:,.0f}"))
    return found


def sizes(mine: Sequence[Group], data: str, teacher: str) -> list[Any]:
    """Accuracy against parameters, at the most rows that two bases share."""
    shared = [rows for rows in dict.fromkeys(g.rows for g in mine) if len({g.base for g in mine if g.rows == rows and g.run}) > 1]
    if not shared:
        return []
    run = sorted((g for g in mine if g.rows == shared[-1] and g.run), key=lambda g: g.parameters)
    lines = {name: [p for g in run if (p := point(g, name, g.parameters))] for name in names(run)}
    title = f"{data}, {shared[-1]} rows: accuracy against parameters"
    return [drawing(title, "parameters", lines, bar(run), teacher, f"sizes-{data}", lambda v: f"{v:.0e}".replace("e+0", "e"))]


def names(run: Sequence[Group]) -> list[str]:
    return list(dict.fromkeys(name for g in run for name, arm in g.arms.items() if arm.results))


def point(group: Group, name: str, x: float) -> Point | None:
    arm = group.arms.get(name)
    if arm is None or not arm.results:
        return None
    low, high = arm.interval("test")
    value = arm.mean("test")
    assert value is not None and low is not None and high is not None
    return x, value, low, high


def bar(run: Sequence[Group]) -> float | None:
    return next((statistics.fmean(g.teacher["test"]) for g in run if g.teacher), None)


def drawing(title: str, x_title: str, lines: dict[str, list[Point]], level: float | None, teacher: str, name: str, show: plot.Show) -> Any:
    every = [p for line in lines.values() for p in line]
    values = [v for _, _, low, high in every for v in (low, high)] + ([level] if level is not None else [])
    frame = plot.Frame(plot.logarithmic([p[0] for p in every]), plot.linear(values, low=0.0, high=1.0), width=640, height=360, right=130)
    marks: list[Any] = frame.axes(x_title, "accuracy on test", show, lambda v: f"{v:.2f}")
    if level is not None:
        y = frame.at(frame.x.low, level)[1]
        marks += [
            plot.line(frame.left, y, frame.width - frame.right, y, "teacher"),
            plot.text(frame.left + 6, y - 5, f"{teacher} {level:.3f}", "label start"),
        ]
    ends = []
    for i, (arm, line) in enumerate(lines.items()):
        colour = f"a{i % 7}"
        line = [(p[0] * 1.012 ** (i - len(lines) / 2), *p[1:]) for p in line]  # side by side, so that whiskers are seen
        places = [frame.at(x, y) for x, y, _, _ in line]
        marks += [plot.path(list(pair), f"curve {colour}") for pair in pairwise(places)]
        for (x, y, low, high), (cx, cy) in zip(line, places, strict=True):
            marks.append(plot.line(cx, frame.at(x, low)[1], cx, frame.at(x, high)[1], f"bar {colour}"))
            marks.append(
                tag("circle", tag("title", f"{arm}: {y:.3f} [{low:.3f}, {high:.3f}]"), cx=cx, cy=cy, r=3.5, class_=f"mark {colour}")
            )
        if places:
            ends.append((arm, colour, places[-1][1]))
    heights = plot.spread([y for _, _, y in ends], 13, frame.top, frame.height - frame.bottom)
    for (arm, colour, _), y in zip(ends, heights, strict=True):
        marks.append(plot.text(frame.width - frame.right + 8, y + 4, arm, f"name {colour}"))
    caption = "Seeds averaged; whiskers are 95 % intervals over test rows."
    return plot.figure(title, f"{title}, one line an arm", frame.width, frame.height, *marks, caption=caption, name=name)
