"""The figures of a report, as inline SVG: what is better against what it costs, learning, confusion, confidence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

import limbeck.report.format as f
import limbeck.report.table as t
from limbeck.report.html import Html, tag
from limbeck.report.plot import Frame, Linear, dot, figure, line, linear, logarithmic, path, place_labels, spread, text
from limbeck.types import Report, Row

MOST_LABELS = 40  # beyond these a heat map is a blur
COLOURS = 8  # how many series colours page.css holds


def limits(report: Report, rows: Sequence[Row]) -> tuple[float, float]:
    """The ends of the test metric's axis: round numbers around the intervals. A baseline that is as far behind the
    others as they are apart is left outside, or it would press them together."""

    def values(of: Iterable[Row]) -> list[float]:
        return [v for row in of if row.test for v in (row.test.value, row.test.low, row.test.high) if v is not None]

    serious = values(row for row in rows if row.group != "baseline") or values(rows)
    apart = max(serious) - min(serious)
    near = [v for v in values(rows) if min(serious) - apart <= v <= max(serious) + apart]
    bounded = all(0 <= v <= 1 for v in near)
    axis = linear(near, 0.0 if bounded else None, 1.0 if bounded else None)
    return axis.low, axis.high


def interval_bar(row: Row, low: float, high: float, chance: float | None) -> Html:
    """A dot with its interval on the scale that all rows share; decoration of the figures beside it."""
    assert row.test is not None and row.test.value is not None
    found = row.test
    if not low <= row.test.value <= high:
        out, way = (138, -1) if row.test.value > high else (2, 1)
        return tag(
            "svg",
            line(4, 9, 136, 9, "grid"),
            path([(out + 7 * way, 4), (out, 9), (out + 7 * way, 14)], "off"),
            viewBox="0 0 140 18",
            class_="bar",
            aria_hidden="true",
        )

    def at(value: float) -> float:
        return 4 + 132 * (min(max(value, low), high) - low) / (high - low)

    marks = [line(4, 9, 136, 9, "grid")]
    if chance is not None and low <= chance <= high:
        marks.append(line(at(chance), 2, at(chance), 16, "chance"))
    if found.low is not None and found.high is not None:
        marks.append(line(at(found.low), 9, at(found.high), 9, f"whisker s-{row.group}"))
    marks.append(dot(at(row.test.value), 9, 4, f"f-{row.group}"))
    return tag("svg", *marks, viewBox="0 0 140 18", class_="bar", aria_hidden="true")


def trade_off(
    report: Report,
    cost: Callable[[Row], float | None],
    show: Callable[[float], str],
    x_title: str,
    name: str,
    say: Callable[[Row], str] | None = None,
) -> Html | None:
    """Test metric against a cost, log axis. The line joins the rows that nothing beats on both. show: a number of the axis; say: the
    cost of a row, where that is written otherwise."""
    everyone = t.ranked(report)
    low, high = limits(report, everyone) if everyone else (0.0, 1.0)
    measured = [row for row in everyone if cost(row) is not None]
    rows = [row for row in measured if row.test and low <= (row.test.value or 0.0) <= high]
    if len({cost(row) for row in rows}) < 2:
        return None
    metric, low_wins = t.metric_of(report), t.lower_is_better(t.metric_of(report))
    spots = [(cost(row) or 0.0, row.test.value or 0.0) for row in rows if row.test]
    frame = Frame(logarithmic([x for x, _ in spots]), Linear(low, high))
    best = frontier(spots, low_wins)
    marks: list[Html] = frame.axes(
        x_title, metric + (" (lower is better)" if low_wins else ""), lambda v: show(v).removesuffix(".00"), f.number
    )
    marks.append(path(staircase([frame.at(*spots[i]) for i in best]), "frontier"))
    placed = [frame.at(*spot) for spot in spots]
    order = sorted(range(len(rows)), key=lambda i: (i not in best, i))  # the best get the room for their names
    words = place_labels([(*placed[i], rows[i].recipe) for i in order], frame, r=9)
    for i, label in zip(order, words, strict=True):
        if label is not None:
            marks.append(text(label[0], label[1], rows[i].recipe, f"name {label[2]}" + ("" if i in best else " weak")))
    for i, row in enumerate(rows):
        x, y = placed[i]
        tip = f"{row.recipe}: {f.score(row.test)}, {say(row) if say else show(spots[i][0])}"
        marks += [dot(x, y, 8, f"f-{row.group} spot", tip), text(x, y + 3.5, str(everyone.index(row) + 1), "rank mid")]
    outside = ", ".join(f"{row.recipe} ({f.metric(row.test.value)})" for row in measured if row not in rows and row.test)
    named = ", ".join(rows[i].recipe for i in best)
    return figure(
        f"{metric} and {x_title}",
        f"{len(rows)} candidates. Nothing is at once better and cheaper than: {named}.",
        frame.width,
        frame.height,
        *marks,
        caption="Numbers are the ranks of the leaderboard. No candidate is better and cheaper at once than those on the line."
        + (f" Outside the picture: {outside}." if outside else ""),
        name=name,
    )


def frontier(spots: Sequence[tuple[float, float]], low_wins: bool) -> list[int]:
    """Indices of the spots (cost, value) that no other beats on both, cheapest first."""
    sign = -1 if low_wins else 1
    kept: list[int] = []
    for i in sorted(range(len(spots)), key=lambda i: (spots[i][0], -sign * spots[i][1])):
        if not kept or sign * spots[i][1] > sign * spots[kept[-1]][1]:
            kept.append(i)
    return kept


def staircase(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    steps = [points[0]]
    for x, y in points[1:]:
        steps += [(x, steps[-1][1]), (x, y)]
    return steps


Series = tuple[str, list[tuple[float, float]]]


def curves(
    series: Sequence[Series], title: str, x_title: str, y_title: str, x_show: Callable[[float], str], name: str, note: str = "",
    at_most_one: bool = False,
) -> Html | None:  # fmt: skip
    """Lines over a common axis, each with its name at its end. at_most_one: values in [0, 1] are drawn on no more than that."""
    series = [(label if len(label) <= 32 else label[:31] + "…", points) for label, points in series if points]
    if not series:
        return None
    every = [point for _, points in series for point in points]
    longest = max(len(label) for label, _ in series)
    right = min(210.0, 14 + longest * 6.1) if len(series) > 1 or series[0][0] else 16.0
    across = linear([x for x, _ in every])
    across = replace(across, whole=all(x == round(x) for x, _ in every))
    bounded = at_most_one and all(0 <= y <= 1 for _, y in every)
    up = linear([y for _, y in every], 0.0 if bounded else None, 1.0 if bounded else None)
    frame = Frame(across, up, right=right)
    marks = frame.axes(x_title, y_title, x_show, f.number)
    drawn = [[frame.at(*point) for point in points] for _, points in series]
    heights = spread([points[-1][1] for points in drawn], 12, frame.top, frame.height - frame.bottom)
    for i, ((label, points), line_, y) in enumerate(zip(series, drawn, heights, strict=True)):
        colour = f"c{i % COLOURS}"
        marks.append(path(line_, f"curve s-{colour}{' dashed' if i >= COLOURS else ''}"))
        marks += [
            dot(*place, 3, f"f-{colour}", f"{label} {x_show(x)}: {f.number(value)}")
            for place, (x, value) in zip(line_, points, strict=True)
        ]
        marks.append(text(frame.width - right + 8, y + 3.5, label, f"name f-{colour}"))
    ends = "; ".join(f"{label} ends at {f.number(points[-1][1])}" for label, points in series)
    return figure(title, f"{y_title} over {x_title}. {ends}.", frame.width, frame.height, *marks, caption=note or None, name=name)


def learning(report: Report) -> list[Html]:
    """Dev metric and training loss per epoch, and what more rows bring."""

    def series(key: str) -> list[Series]:
        return [(row.recipe, [(p["epoch"], p[key]) for p in row.history if "epoch" in p and p.get(key) is not None]) for row in report.rows]

    metric = t.metric_of(report)
    grown = [("", [(p["rows"], p["dev"]) for p in report.growth if "rows" in p and p.get("dev") is not None])]
    drawn = (
        curves(series("dev"), "Dev score by epoch", "epoch", "dev", f.number, "dev-curve", at_most_one=True),
        curves(series("train_loss"), "Training loss by epoch", "epoch", "loss", f.number, "loss-curve"),
        curves(
            grown,
            "What more rows bring",
            "training rows",
            f"dev {metric}",
            f.number,
            "growth",
            "The head, refitted on shares of the training rows.",
            at_most_one=True,
        ),
    )
    return [one for one in drawn if one is not None]


def heat_map(report: Report) -> Html | None:
    """Gold by row, answer by column, each row shaded by its share; None where there are too many labels."""
    counts: Counter[tuple[str, str]] = Counter()
    for entry in report.confusion:
        counts[str(entry.get("gold")), str(entry.get("predicted"))] += int(entry.get("n", 0))
    seen = {name for pair in counts for name in pair}
    labels = [name for name in report.task.labels if name in seen] + sorted(seen - set(report.task.labels))
    if not counts or len(labels) > MOST_LABELS:
        return None
    golds = [name for name in labels if any(gold == name for gold, _ in counts)]
    cell = 34 if len(labels) <= 12 else 24 if len(labels) <= 20 else 16
    short = {name: name if len(name) <= 22 else name[:21] + "…" for name in labels}
    left = 16 + max(len(word) for word in short.values()) * 6.1
    top, right = 24 + max(len(word) for word in short.values()) * 4.4, max(len(word) for word in short.values()) * 4.4
    totals = Counter({gold: sum(n for (g, _), n in counts.items() if g == gold) for gold in golds})
    marks: list[Html] = []
    for j, said in enumerate(labels):
        x = left + (j + 0.5) * cell
        marks.append(text(x, top - 7, short[said], "name", transform=f"rotate(-45 {x:.1f} {top - 7:.1f})"))
    for i, gold in enumerate(golds):
        y = top + i * cell
        marks.append(text(left - 8, y + cell / 2 + 3.5, short[gold], "name end"))
        for j, said in enumerate(labels):
            n = counts[gold, said]
            share = n / totals[gold]
            shade = f"{0.14 + 0.86 * share:.2f}" if n else None
            kind = "none" if not n else "right" if gold == said else "wrong"
            tip = tag("title", f"{gold}, answered {said}: {n} of {totals[gold]}")
            x = left + j * cell
            marks.append(
                tag("rect", tip, x=x + 1, y=y + 1, width=cell - 2, height=cell - 2, rx=2, class_=f"cell {kind}", fill_opacity=shade)
            )
            if n and cell >= 24:
                marks.append(text(x + cell / 2, y + cell / 2 + 3.5, str(n), "count mid" + (" strong" if share > 0.55 else "")))
    width, height = left + len(labels) * cell + right, top + len(golds) * cell + 8
    right_n = sum(n for (gold, said), n in counts.items() if gold == said)
    drawn = figure(
        "Gold by row, answer by column",
        f"{right_n} of {counts.total()} answers are right. The commonest confusions stand in the table beside it.",
        width,
        height,
        *marks,
        caption="Shade: share of the row. Right answers lie where row and column meet under the same name.",
        name="confusion",
    )
    return tag("div", drawn, class_="scroll", style=f"--wide:{width:.0f}px")


def calibration(row: Row) -> Html | None:
    """How sure the candidate was, and how often it was right then."""
    if not row.calibration:
        return None
    frame = Frame(linear([0, 1]), linear([0, 1]), width=420)

    def few(point: Mapping[str, float]) -> str:
        return " few" if point["n"] < 10 else ""

    marks = frame.axes("confidence", "right", f.number, f.number)
    marks.append(line(*frame.at(0, 0), *frame.at(1, 1), "chance"))
    most = max(point["n"] for point in row.calibration)
    spots = [frame.at(point["confidence"], point["accuracy"]) for point in row.calibration]
    for spot, point in zip(spots, row.calibration, strict=True):
        marks.append(line(*frame.at(point["confidence"], point["confidence"]), *spot, f"stem s-{row.group}{few(point)}"))
    for spot, point in zip(spots, row.calibration, strict=True):
        tip = f"{point['n']:.0f} rows: confidence {f.number(point['confidence'])}, right {f.number(point['accuracy'])}"
        marks.append(dot(*spot, 3 + 7 * (point["n"] / most) ** 0.5, f"f-{row.group} spot{few(point)}", tip))
    return figure(
        "Is it right as often as it is sure?",
        f"Calibration of {row.recipe} on test; expected calibration error {f.number(row.ece)}.",
        frame.width,
        frame.height,
        *marks,
        caption=f"Test rows in bins, bigger dots hold more of them, faint ones fewer than ten. On the dashed line confidence is honest; mean gap {f.number(row.ece)}.",
        name="calibration",
    )


def threshold(row: Row) -> Html | None:
    """What answering only the surest rows would bring."""
    points = sorted((p["coverage"], p["accuracy"], p["threshold"]) for p in row.thresholds)
    if len(points) < 2:
        return None
    frame = Frame(linear([0, 1]), linear([a for _, a, _ in points], high=1.0), width=420)
    marks = frame.axes("share of rows answered", "right", f.number, f.number)
    marks.append(path([frame.at(c, a) for c, a, _ in points], f"curve s-{row.group}"))
    marks += [
        dot(*frame.at(c, a), 5, "tip", f"threshold {f.number(at)}: {f.percent(c)} answered, {f.percent(a)} of them right")
        for c, a, at in points
    ]
    return figure(
        "Answering only when sure",
        f"{row.recipe} on dev: of the surest half, {f.percent(next(a for c, a, _ in points if c >= 0.5))} are right; of all, {f.percent(points[-1][1])}.",
        frame.width,
        frame.height,
        *marks,
        caption="Dev rows. Leave the rest to the prompt or to a person.",
        name="threshold",
    )
