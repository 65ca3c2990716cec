"""Report -> what is printed at the end of a run: verdict, one table, warnings."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import limbeck.report.format as f
import limbeck.report.retrieval as retrieved
import limbeck.report.table as t
from limbeck.report.knowledge import short as knowledge
from limbeck.report.rationales import short
from limbeck.types import Report

if TYPE_CHECKING:
    from rich.console import RenderableType

STYLES = {"ship": "bold green", "prompt": "bold yellow", "label-more": "bold yellow", "none": "bold"}
GROUPS = {"student": "cyan", "prompt": "yellow", "baseline": "bright_black"}
GAP = 2


def terminal(report: Report, width: int) -> RenderableType:
    """The table drops its least telling columns until it fits; nothing from a user is read as markup."""
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = [Text(f.clean(report.verdict), style=STYLES.get(report.advice, "bold")), Text()]
    if report.partial:
        parts += [Text("Partial: not every candidate was finished.", style="yellow"), Text()]
    if made := t.synthetic(report):
        parts += [Text(f.clean(made), style="yellow")]
        parts += [Text(f"  {f.clean(line[0])}: {line[1]} by persons, {line[2]} synthetic, gap {line[3]}") for line in t.gaps(report)[1:]]
        parts.append(Text())
    if t.ranked(report):
        parts.append(_leaderboard(report, width))
    for row in t.unranked(report):
        parts.append(Text.assemble((f.clean(row.recipe), GROUPS.get(row.group, "")), "  ", (t.why(row), "red")))
    if report.warnings:
        parts += [Text(), *(Text.assemble(("warning: ", "yellow"), f.clean(text)) for text in report.warnings)]
    if said := t.human(report):
        parts += [Text(), Text(f.clean(said))]
    if looked_up := retrieved.said(report):
        parts += [Text(), *(Text(f.clean(text)) for text in looked_up)]
        parts += [Text(f"  {line[0]}: recall@5 {line[2]}, MRR {line[4]}") for line in retrieved.measured(report)[1:]]
    if report.synthetic_test and report.worth_labelling:
        ids = ", ".join(str(one["id"]) for one in report.worth_labelling[:5])
        parts += [Text(), Text(f.clean(f"Most worth a label of yours: {ids} (limbeck label RUN)."))]
    if reasons := short(report):
        parts += [Text(), Text(f.clean(reasons))]
    if learnt := knowledge(report):
        parts += [Text(), Text(f.clean(learnt))]
    parts += [Text(), Text(used(report), style="bright_black")]
    return Group(*parts)


def _leaderboard(report: Report, width: int) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    rows = t.ranked(report)
    longest = min(max(len(row.recipe) for row in rows) + 2, max(20, round(width * 0.3)))
    columns = t.within(t.columns(report), rows, width, GAP, longest)
    grid = Table(box=None, padding=(0, GAP, 0, 0), pad_edge=False, header_style="bright_black")
    grid.add_column("  recipe", overflow="fold", max_width=longest)
    for column in columns:
        grid.add_column(column.title, justify="right", overflow="fold")
    for row in rows:
        won = row.recipe == report.winner
        style = "bold green" if won else GROUPS.get(row.group, "")
        name = Text("> " if won else "  ", style=style).append(folded(f.clean(row.recipe), longest - 2))
        grid.add_row(name, *(Text(column.cell(row)) for column in columns), style="bold" if won else "")
    return grid


def folded(recipe: str, width: int) -> str:
    """Broken before + and @, further lines indented, so that a long recipe stays readable in a narrow column."""
    lines = [""]
    for part in re.split(r"(?=[+@])", recipe):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("    ")
        lines[-1] += part
    return "\n".join(lines)


def used(report: Report) -> str:
    """How the rows were used, in a sentence or two."""
    sizes = ", ".join(f"{n:,} {name}" for name, n in t.sizes(report).items())
    times = "once" if report.test_scored == 1 else f"{report.test_scored} times"
    return f"{f'Rows: {sizes}. ' if sizes else ''}The test rows were scored {times}."
