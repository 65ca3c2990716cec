"""The study as Markdown: the bars, the paper's findings, then a table a world. Only reads results."""

from __future__ import annotations

from collections.abc import Sequence

from limbeck.bench.knowledge.claims import bars, judged
from limbeck.bench.knowledge.results import Group, chances, groups, leaks, lines, written
from limbeck.bench.stepgrid import Cell
from limbeck.bench.steptables import table


def markdown(cells: Sequence[Cell]) -> str:
    """Every world as a table, then what the paper says cell by cell, then leaks."""
    found = groups(cells)
    parts = ["## The bars of this study", "", table([("bar", "found", "verdict"), *bars(found)]), ""]
    parts += [
        "## The paper's findings, cell by cell",
        "",
        table([("data", "split", "finding", "found here", "verdict"), *judged(found)]),
        "",
    ]
    for group in (g for g in found if g.run):
        parts += [f"## {group.heading}", "", table(lines(group)), "", chances(group), ""]
        different = disagreements(group)
        parts += [f"By the mean per token in place of the sum: {different}.", ""]
        if len(told := leaks(group)) > 1:
            parts += [
                "What the arms that learn more were told of the questions (their sentence, or their fact in other words):",
                "",
                table(told),
                "",
            ]
        if len(own := written(group)) > 1:
            parts += ["What the base wrote itself:", "", table(own), ""]
    if missing := [g.heading for g in found if not g.run]:
        parts += ["## not run", "", *(f"- {name}" for name in missing), ""]
    return "\n".join(parts)


def disagreements(group: Group) -> str:
    found = []
    for arm in (a for a in group.arms.values() if a.results):
        for split in group.splits:
            a, b = arm.accuracy(split, "sum"), arm.accuracy(split, "mean")
            if a is not None and b is not None and abs(a - b) > 0.005:
                found.append(f"{arm.name} {split} {b:.3f}")
    return ", ".join(found) or "the same within 0.005 everywhere"
