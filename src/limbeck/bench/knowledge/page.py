"""The study as one self-contained page: accuracies by arm and split, the self-writing loop in one figure, the tables."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from limbeck.bench.knowledge import results, tables
from limbeck.bench.knowledge.claims import bars, judged
from limbeck.bench.knowledge.results import Arm, Group
from limbeck.bench.stepgrid import Cell
from limbeck.bench.steppage import CSS, html_table
from limbeck.bench.steptables import plural
from limbeck.bench.tables import keep
from limbeck.report import plot
from limbeck.report.html import tag
from limbeck.report.page import document

REPAIRED = {"local": "reversal", "global": "syllogism"}  # the split that a scope is for


def page(folder: Path, cells: Sequence[Cell]) -> str:
    default = json.loads((folder / "default.json").read_bytes())
    found = results.groups(cells)
    parts: list[Any] = [tag("header", tag("h1", default["title"]), *(tag("p", note) for note in default["notes"]))]
    parts.append(tag("section", tag("h2", "The bars of this study"), html_table([("bar", "found", "verdict"), *bars(found)])))
    claims = [("data", "split", "finding", "found here", "verdict"), *judged(found)]
    parts.append(tag("section", tag("h2", "The paper's findings, cell by cell"), html_table(claims)))
    for group in found:
        drawn = [drawing(group, split) for split in group.splits] if group.run else [tag("p", "not run")]
        table = [html_table(results.lines(group)), tag("p", results.chances(group))] if group.run else []
        more = [html_table(t) for t in (results.leaks(group), results.written(group)) if group.run and len(t) > 1]
        parts.append(tag("section", tag("h2", group.heading), *drawn, *table, *repair(group), *more))
    return document(default["title"], *parts, css=CSS)


def write(folder: Path, cells: Sequence[Cell]) -> Path:
    """table.md and page.html; returns the page."""
    return keep(folder, page(folder, cells), tables.markdown(cells))


def drawing(group: Group, split: str) -> Any:
    """One row an arm: accuracy with its interval, chance as a dashed line."""
    arms = [a for a in group.arms.values() if a.accuracy(split) is not None]
    frame = plot.Frame(plot.Linear(0.0, 1.0), plot.Linear(0.0, float(len(arms))), width=560, height=70 + 22 * len(arms), left=130)
    title = f"{group.data}: {split}"
    marks = [m for m in frame.axes("accuracy", "", lambda v: f"{v:.1f}", lambda v: "")]
    cx = frame.at(arms[0].chance(split), 0)[0]
    marks.append(plot.line(cx, frame.top, cx, frame.height - frame.bottom, "teacher"))
    for i, arm in enumerate(arms):
        value, (low, high) = arm.accuracy(split), arm.interval(split)
        assert value is not None and low is not None and high is not None
        (x, y), left, right = frame.at(value, len(arms) - i - 0.5), frame.at(low, 0)[0], frame.at(high, 0)[0]
        colour = f"a{i % 7}"
        marks += [
            plot.text(frame.left - 8, y + 4, arm.name, "tick end"),
            plot.line(left, y, right, y, f"bar {colour}"),
            tag("circle", tag("title", f"{arm.name}: {results.share(arm, split)}"), cx=x, cy=y, r=3.5, class_=f"mark {colour}"),
        ]
    caption = f"Whiskers: 95 % over seeds and clusters of items. Dashed: chance. {plural(max(len(a.results) for a in arms), 'seed')}."
    name = f"{group.data}-{split}-{group.rows}".replace("%", "")
    return plot.figure(title, f"{title}, one row an arm", frame.width, frame.height, *marks, caption=caption, name=name)


def repair(group: Group) -> list[Any]:
    """Accuracy against coverage times precision of what was added: by rule, and by the base itself."""
    points = [(a, scope, told) for a in group.arms.values() for scope, told in of(a) if REPAIRED[scope] in group.splits]
    if len(points) < 3:
        return []
    frame = plot.Frame(plot.Linear(0.0, 1.0), plot.Linear(0.0, 1.0), width=560, height=360, right=40)
    title = f"{group.data}: what the inferences were worth"
    marks = frame.axes("coverage x precision of the inferences", "accuracy without context", lambda v: f"{v:.1f}", lambda v: f"{v:.1f}")
    labels = []
    for i, (arm, scope, worth) in enumerate(points):
        value, (low, high) = arm.accuracy(REPAIRED[scope]), arm.interval(REPAIRED[scope])
        assert value is not None and low is not None and high is not None
        x, y = frame.at(worth, value)
        colour = f"a{i % 7}"
        marks.append(plot.line(x, frame.at(0, low)[1], x, frame.at(0, high)[1], f"bar {colour}"))
        marks.append(tag("circle", tag("title", f"{arm.name}, {REPAIRED[scope]}: {value:.3f}"), cx=x, cy=y, r=4, class_=f"mark {colour}"))
        labels.append((x, y, arm.name))
    for label, (_, _, words) in zip(plot.place_labels(labels, frame, 4), labels, strict=True):
        if label:
            marks.append(plot.text(label[0], label[1], words, f"label {label[2]}"))
    caption = "Each point is an arm: what was added for reversals (local) or for links between documents (global). Whiskers: 95 %."
    return [plot.figure(title, title, frame.width, frame.height, *marks, caption=caption, name=f"repair-{group.data}-{group.rows}")]


def of(arm: Arm) -> list[tuple[str, float]]:
    """[(scope, mean of coverage times precision over seeds)]."""
    found: dict[str, list[float]] = {}
    for r in arm.results.values():
        for scope, told in r["added"].items():
            if scope in REPAIRED:
                found.setdefault(scope, []).append(told["coverage"] * told["precision"])
    return [(scope, sum(v) / len(v)) for scope, v in found.items()]
