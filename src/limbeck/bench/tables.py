"""Results of the adapter study -> tables with intervals, and a page that draws the Pareto front. Only reads result files."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from limbeck import stats
from limbeck.bench.cells import Cell

BUDGETS = {"equal_steps": "at equal steps", "equal_time": "at equal time"}


def lines(cells: Sequence[Cell], data: str, budget: str) -> list[dict[str, Any]]:
    """One dict per experiment on one data set; value None where no seed has been run. Intervals: over test rows, the seeds'
    outcomes averaged row by row (where a row is right or wrong), else the range over seeds."""
    found = []
    for name in dict.fromkeys(c.experiment for c in cells):
        results = [r for c in cells if c.experiment == name and c.data == data and (r := c.result)]
        seeds = sum(c.experiment == name and c.data == data for c in cells)
        if not results:
            found.append({"experiment": name, "value": None, "seeds": f"0 of {seeds}"})
            continue
        parts = [r[budget] for r in results]
        low, high = interval(parts)
        found.append(
            {
                "experiment": name,
                "recipe": results[0]["recipe"],
                "metric": parts[0]["metric"],
                "value": statistics.mean(p["value"] for p in parts),
                "low": low,
                "high": high,
                "seeds": f"{len(results)} of {seeds}",
                **{
                    k: middle(p[k] for p in parts)
                    for k in ("steps", "train_s", "train_s_per_1000_rows", "peak_memory_mb", "file_mb", "forgetting")
                },
                "trainable_parameters": parts[0]["trainable_parameters"],
                **{k: middle(r[k] for r in results) for k in ("base_ms", "unmerged_ms", "merged_ms")},
            }
        )
    return found


def middle(values: Any) -> float | None:
    known = [v for v in values if v is not None]
    return statistics.median(known) if known else None


def interval(parts: Sequence[dict[str, Any]]) -> tuple[float, float]:
    if all(p["right"] for p in parts) and len({len(p["right"]) for p in parts}) == 1:
        rows = [statistics.mean(map(int, column)) for column in zip(*(p["right"] for p in parts), strict=True)]
        return stats.bootstrap_means({"x": rows}, seed=0)["x"]
    values = [p["value"] for p in parts]
    return min(values), max(values)


def versus(cells: Sequence[Cell], data: str, budget: str, ours: str, theirs: str) -> tuple[float, float, float] | None:
    """(difference, low, high) of two experiments, paired by test row, the seeds averaged; None where one was not run."""
    sides = []
    for name in (ours, theirs):
        parts = [r[budget] for c in cells if c.experiment == name and c.data == data and (r := c.result)]
        if not parts or not all(p["right"] for p in parts):
            return None
        sides.append([statistics.mean(map(int, column)) for column in zip(*(p["right"] for p in parts), strict=True)])
    difference, low, high, _ = stats.paired_difference(sides[0], sides[1], seed=0)
    return difference, low, high


COLUMNS = (
    ("experiment", "", 0),
    ("value", "", 3),
    ("trainable_parameters", "trained", -1),
    ("file_mb", "file MB", 1),
    ("steps", "steps", 0),
    ("train_s_per_1000_rows", "s / 1,000 rows", 1),
    ("peak_memory_mb", "peak MB", 0),
    ("unmerged_ms", "ms beside", 1),
    ("merged_ms", "ms merged", 1),
    ("forgetting", "forgetting", 3),
)


def markdown(cells: Sequence[Cell]) -> str:
    """Every data set and budget as a table; missing cells print "not run"."""
    parts = []
    for data in dict.fromkeys(c.data for c in cells):
        for budget, words in BUDGETS.items():
            rows = lines(cells, data, budget)
            metric = next((r["metric"] for r in rows if r["value"] is not None), "")
            head = ["adapter", f"{metric} [95 %]", *(title for _, title, _ in COLUMNS[2:]), "seeds"]
            parts += [f"### {data}, {words}", "", f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
            for r in rows:
                if r["value"] is None:
                    parts.append(f"| {r['experiment']} | not run |" + " |" * (len(head) - 3) + f" {r['seeds']} |")
                    continue
                score = f"{r['value']:.3f} [{r['low']:.3f}, {r['high']:.3f}]"
                parts.append(
                    f"| {' | '.join([r['experiment'], score, *(show(r[k], digits) for k, _, digits in COLUMNS[2:]), r['seeds']])} |"
                )
            parts.append("")
    return "\n".join(parts)


def show(value: float | None, digits: int) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if digits <= 0 else f"{value:.{digits}f}"


def front(points: Sequence[tuple[float, float, str]]) -> list[tuple[float, float, str]]:
    """Those (parameters, value, name) that no other beats with as few parameters."""
    best: list[tuple[float, float, str]] = []
    for point in sorted(points, key=lambda p: (p[0], -p[1])):
        if not best or point[1] > best[-1][1]:
            best.append(point)
    return best


FRONT = ".front{fill:none;stroke:currentColor;stroke-dasharray:4 3;opacity:.6}"


def page(cells: Sequence[Cell], title: str) -> str:
    """One self-contained page: per data set the value against trained parameters, with the Pareto front; then the table."""
    from limbeck.report.html import tag
    from limbeck.report.page import document

    parts: list[Any] = [tag("header", tag("h1", title), tag("p", MEANING, class_="lede"))]
    for data in dict.fromkeys(c.data for c in cells):
        for budget, words in BUDGETS.items():
            rows = [r for r in lines(cells, data, budget) if r["value"] is not None]
            if rows:
                parts.append(
                    tag("section", tag("h2", f"{data}, {words}"), drawing(rows, f"{data}, {words}", f"{data}-{budget}"), table(rows))
                )
    if missing := sum(c.result is None for c in cells):
        parts.append(tag("p", f"not run: {missing} of {len(cells)} cells"))
    return document(title, *parts, css=FRONT)


MEANING = (
    "Value on the same test rows after training on the same rows, seeds averaged, 95 % interval over test rows. The dashed line joins the "
    "adapters that no other beats with as few trained parameters. Forgetting: rank correlation of sentence similarity, after minus before."
)


def drawing(rows: Sequence[dict[str, Any]], title: str, name: str) -> Any:
    from limbeck.report import plot

    points = [(float(r["trainable_parameters"]), r["value"], r["experiment"]) for r in rows]
    values = [v for r in rows for v in (r["low"], r["high"])]
    frame = plot.Frame(plot.logarithmic([p[0] for p in points]), plot.linear(values, low=0.0, high=1.0))
    marks: list[Any] = frame.axes("trained parameters", rows[0]["metric"], lambda v: f"{v:.0e}".replace("e+0", "e"), lambda v: f"{v:.2f}")
    marks.append(plot.path([frame.at(x, y) for x, y, _ in front(points)], "front"))
    placed = plot.place_labels([(*frame.at(x, y), words) for x, y, words in points], frame, 4)
    for row, (x, y, words), label in zip(rows, points, placed, strict=True):
        cx, cy = frame.at(x, y)
        marks.append(plot.line(cx, frame.at(x, row["low"])[1], cx, frame.at(x, row["high"])[1], "whisker s-student"))
        marks.append(plot.dot(cx, cy, 4, "s-student", f"{words}: {y:.3f}"))
        if label:
            marks.append(plot.text(label[0], label[1], words, f"label {label[2]}"))
    return plot.figure(
        title, "value against trained parameters, the Pareto front as a dashed line", frame.width, frame.height, *marks, name=name
    )


def table(rows: Sequence[dict[str, Any]]) -> Any:
    from limbeck.report.html import tag

    head = tag("tr", *(tag("th", title or key) for key, title, _ in COLUMNS))
    body = [
        tag(
            "tr",
            *(
                tag("td", r[key] if key == "experiment" else show(r[key], digits), class_="" if key == "experiment" else "number")
                for key, _, digits in COLUMNS
            ),
        )
        for r in rows
    ]
    return tag("table", tag("thead", head), tag("tbody", *body))


def write_page(folder: Path, cells: Sequence[Cell], title: str) -> Path:
    path = folder / "page.html"
    path.write_text(page(cells, title), encoding="utf-8")
    (folder / "table.md").write_text(f"# {title}\n\n{markdown(cells)}", encoding="utf-8")
    return path


def keep(folder: Path, page: str, tables: str) -> Path:
    """table.md, under the study's title and notes, and page.html beside its default.json; returns the page."""
    default = json.loads((folder / "default.json").read_bytes())
    notes = "".join(f"{note}\n\n" for note in default["notes"])
    (folder / "table.md").write_text(f"# {default['title']}\n\n{notes}{tables}", encoding="utf-8")
    path = folder / "page.html"
    path.write_text(page, encoding="utf-8")
    return path
