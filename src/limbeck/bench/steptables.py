"""Results of the rationale study -> figures with intervals, sentences and tables. Only reads result files; no cell, no number."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from limbeck import controls, stats
from limbeck.bench import stepgrid
from limbeck.bench.stepgrid import Cell
from limbeck.bench.stepwise import unpacked
from limbeck.controls import Finding, Grade

OURS = "separate"


@dataclass(frozen=True)
class Arm:
    """One experiment at one place of the grid. results: by seed, of the seeds that have been run."""

    name: str
    wanted: int
    results: dict[int, dict[str, Any]] = field(default_factory=dict)

    def bits(self, split: str, which: str = "best") -> dict[int, list[int]]:
        """{seed: per row}. which: best (on validation) or last; where the last step was the best they are the same."""
        return {seed: [*map(int, unpacked((r.get(which) or r["best"])[split]))] for seed, r in self.results.items()}

    def mean(self, split: str, which: str = "best") -> float | None:
        values = [statistics.fmean(bits) for bits in self.bits(split, which).values()]
        return statistics.fmean(values) if values else None

    def interval(self, split: str) -> tuple[float | None, float | None]:
        """Over rows, the seeds' outcomes averaged row by row."""
        if not self.results:
            return None, None
        return over_rows(tuple(sum(column) / len(column) for column in zip(*self.bits(split).values(), strict=True)))

    def middle(self, name: str) -> float | None:
        return statistics.median(r[name] for r in self.results.values()) if self.results else None


@cache  # tables and page ask for the same ones
def over_rows(means: tuple[float, ...]) -> stats.Span:
    return stats.bootstrap_means({"x": means}, seed=0)["x"]


@dataclass(frozen=True)
class Group:
    """All arms on one data set, base and share of rows. teacher: {split: bits} on the same rows, {} = not known."""

    data: str
    base: str
    rows: str
    arms: dict[str, Arm]
    teacher: dict[str, list[int]]

    @property
    def run(self) -> bool:
        return any(arm.results for arm in self.arms.values())

    @property
    def train_rows(self) -> int:
        """As many as the cells counted; a number that was asked for, where none has been run."""
        counted = [r["train_rows"] for arm in self.arms.values() for r in arm.results.values()]
        return max(counted) if counted else int(self.rows) if self.rows.isdigit() else 0

    @property
    def parameters(self) -> int:
        return max((r["parameters"] for arm in self.arms.values() for r in arm.results.values()), default=0)


def groups(folder: Path, cells: Sequence[Cell]) -> list[Group]:
    """In the order of the grid. Raises ValueError where results of one place were scored on different rows."""
    known = stepgrid.teachers(folder)
    places: dict[tuple[str, str, str], dict[str, list[Cell]]] = {}
    for cell in cells:
        places.setdefault(cell.where, {}).setdefault(cell.experiment, []).append(cell)
    found = []
    for (data, base, rows), arms in places.items():
        read = {name: Arm(name, len(mine), {c.seed: r for c in mine if (r := c.result)}) for name, mine in arms.items()}
        scored = {(r["valid_rows"], r["test_rows"]) for arm in read.values() for r in arm.results.values()}
        if len(scored) > 1:
            raise ValueError(f"{data}: results of different rows lie side by side; remove the older ones")
        teacher = known.get(data, {})
        fits = not scored or (scored == {(teacher["valid"]["rows"], teacher["test"]["rows"])} if teacher else False)
        bits = {split: [*map(int, unpacked(teacher[split]))] for split in ("valid", "test")} if teacher and fits else {}
        found.append(Group(data, base, rows, read, bits))
    return found


# ---- what may be said ------------------------------------------------------------------------------------------------


def finding(group: Group, ours: str = OURS, split: str = "valid") -> Finding:
    """On the seeds that every arm of the comparison has run."""
    names = [n for n in (ours, *controls.CONTROLS) if n in group.arms and group.arms[n].results]
    seeds = sorted(set.intersection(*(set(group.arms[n].results) for n in names))) if names else []
    outcomes = {n: [bits[s] for s in seeds] for n in names for bits in [group.arms[n].bits(split)]} if seeds else {}
    return controls.judge(outcomes, ours)


def against_teacher(group: Group, arm: Arm) -> tuple[float, float, float] | None:
    """(difference, low, high) on test, over rows and seeds; None where either is missing."""
    if not arm.results or not group.teacher:
        return None
    gaps = tuple(tuple(a - b for a, b in zip(bits, group.teacher["test"], strict=True)) for bits in arm.bits("test").values())
    return statistics.fmean(map(statistics.fmean, gaps)), *controls.interval(gaps, seed=0)


def passes(folder_groups: Sequence[Group]) -> list[dict[str, Any]]:
    """Per data set, base and arm: the fewest rows of those run at which it is above the teacher, and surely so."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for group in sorted((g for g in folder_groups if g.run), key=lambda g: g.train_rows):
        for arm in group.arms.values():
            if (gap := against_teacher(group, arm)) is None:
                continue
            line = found.setdefault((group.data, group.base, arm.name), {"above": None, "surely": None, "most": 0})
            line |= {"most": group.train_rows, "gap": gap, "parameters": group.parameters}
            if gap[0] > 0 and line["above"] is None:
                line["above"] = group.train_rows
            if gap[1] > 0 and line["surely"] is None:
                line["surely"] = group.train_rows
    return [{"data": d, "base": b, "arm": a, **line} for (d, b, a), line in found.items()]


WORDS = {Grade.HELP: "helped", Grade.HURT: "hurt", Grade.AHEAD: "were ahead in one training", Grade.OPEN: "are not shown to help"}


def sentences(found: Sequence[Group]) -> list[str]:
    """One per data set: what rationales did, from the numbers alone."""
    said = []
    for data in dict.fromkeys(g.data for g in found):
        parts = []
        for group in (g for g in found if g.data == data and g.run):
            one = finding(group)
            if one.grade is not Grade.UNTESTED and one.difference is not None:
                parts.append(part(group, one))
        nothing = "stepwise and a control were not both run, so nothing is said of rationales."
        said.append(f"{data}: rationales {'; '.join(parts)}." if parts else f"{data}: {nothing}")
    return said


def part(group: Group, one: Finding) -> str:
    assert one.difference is not None and one.low is not None and one.high is not None
    gap = f"{one.difference:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"
    text = f"{WORDS[one.grade]} {group.base} on {group.train_rows:,} rows ({gap} on dev against {one.control}, {plural(one.seeds, 'seed')}"
    if one.control != "label" and "label" in one.controls:
        plain = one.difference + one.controls[one.control] - one.controls["label"]
        text += f"; against plain training alone it would have read {plain:+.3f}"
    return text + ")"


def plural(n: int, word: str) -> str:
    return f"{n} {word}{'' if n == 1 else 's'}"


def teacher_sentence(group: Group, arm: Arm, teacher: str) -> str:
    gap = against_teacher(group, arm)
    if gap is None:
        return ""
    verdict = "passes" if gap[1] > 0 else "falls short of" if gap[2] < 0 else "is not told apart from"
    shown = f"{gap[0]:+.3f} [{gap[1]:+.3f}, {gap[2]:+.3f}]"
    return (
        f"{arm.name} on {group.train_rows:,} rows {verdict} {teacher} on the same test rows: {shown}, {plural(len(arm.results), 'seed')}."
    )


# ---- Markdown --------------------------------------------------------------------------------------------------------

HEAD = ("arm", "dev", "test [95 %]", "test, last step", "- best control, dev", "- teacher, test", "steps", "CPU s", "seeds")


def row(group: Group, arm: Arm) -> list[str]:
    if not arm.results:
        return [arm.name, "not run", *[""] * 6, f"0 of {arm.wanted}"]
    low, high = arm.interval("test")
    over = finding(group, arm.name) if arm.name not in controls.CONTROLS else None
    gap = against_teacher(group, arm)
    steps, seconds = arm.middle("steps"), arm.middle("train_s")
    return [
        arm.name,
        f"{arm.mean('valid'):.3f}",
        f"{arm.mean('test'):.3f} [{low:.3f}, {high:.3f}]",
        f"{arm.mean('test', 'last'):.3f}",
        "" if over is None or over.difference is None else f"{over.difference:+.3f} [{over.low:+.3f}, {over.high:+.3f}]",
        "" if gap is None else f"{gap[0]:+.3f} [{gap[1]:+.3f}, {gap[2]:+.3f}]",
        f"{steps:.0f}",
        f"{seconds:.0f}",
        f"{len(arm.results)} of {arm.wanted}",
    ]


def markdown(folder: Path, cells: Sequence[Cell]) -> str:
    """Every place of the grid as a table; missing cells print "not run"."""
    default = json.loads((folder / "default.json").read_bytes())
    found = groups(folder, cells)
    parts = ["## What rationales did", "", *(f"- {text}" for text in sentences(found)), ""]
    for group in (g for g in found if g.run):
        parts += [f"### {heading(group)}", "", table([HEAD, *(row(group, arm) for arm in group.arms.values())]), ""]
        if group.teacher:
            shares = ", ".join(f"{split} {statistics.fmean(group.teacher[split]):.3f}" for split in ("valid", "test"))
            parts.append(f"{default['teacher']} on the same rows (few-shot chain of thought, recorded): {shares}.")
        if paper := default["paper"].get(group.data):
            parts.append(f"{default['paper']['what']}: {', '.join(f'{name} {value}' for name, value in paper.items())}.")
        parts += ["", controls.sentence(finding(group)), ""]
    parts += ["## The fewest rows that pass the teacher", "", table(fewest(found)), ""]
    if missing := [heading(g) for g in found if not g.run]:
        parts += ["## not run", "", *(f"- {name}" for name in missing), ""]
    return "\n".join(parts)


def heading(group: Group) -> str:
    n = f"{group.train_rows:,} rows" if group.run else f"{group.rows} {'of the rows' if '%' in group.rows else 'rows'}"
    return f"{group.data}, {group.base}, {n}"


def fewest(found: Sequence[Group]) -> list[Sequence[str]]:
    lines: list[Sequence[str]] = [
        ("data", "base", "parameters", "arm", "above the teacher from", "interval clear of zero from", "most rows run")
    ]
    for p in passes(found):
        shown = [f"{p[key]:,} rows" if p[key] else "not reached" for key in ("above", "surely")]
        lines.append((p["data"], p["base"], f"{p['parameters'] / 1e6:.1f}M", p["arm"], *shown, f"{p['most']:,}"))
    return lines


def table(lines: Sequence[Sequence[str]]) -> str:
    head, *body = (f"| {' | '.join(line)} |" for line in lines)
    return "\n".join([head, "|" + "---|" * len(lines[0]), *body])
