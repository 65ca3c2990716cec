"""The grid of the rationale study: experiment x data set x base x share of rows x seed, in the order it is run.

default.json holds blocks ("core", "further"), each a product of its own; a cell that stands in two blocks is run once.
Seeds come first in the order: a grid that was broken off compares all its arms on the seeds that it has."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from limbeck.bench import cells
from limbeck.errors import UsageError
from limbeck.registry import near


@dataclass(frozen=True)
class Cell(cells.Cell):
    """rows: a number, or a share of the training split such as "12.5%"."""

    base: str = ""
    rows: int | str = 0

    @property
    def where(self) -> tuple[str, str, str]:
        """Cells that are compared with each other share it: data set, base, rows."""
        return self.data, self.base, str(self.rows)


def grid(folder: Path, full: bool = False, only: Sequence[str] = ()) -> list[Cell]:
    """The core, or all. only: names of experiments, data sets, bases, or shares; several of one sort are alternatives."""
    default, experiments = cells.read_grid(folder)
    found: dict[Path, Cell] = {}
    for block in [*default["core"], *(default["further"] if full else ())]:
        for seed, rows, name in product(block["seeds"], block["rows"], block["experiments"]):
            if name not in experiments:
                raise UsageError(f"default.json: no experiment {name!r}", near(name, sorted(experiments)), "see experiments/")
            data, base = block["data"], block["base"]
            file = folder / "results" / name / f"{data}-{base}-{spelled(rows)}-{seed}.json"
            found.setdefault(file, Cell(name, data, seed, experiments[name], file, base, rows))
    every = sorted(found.values(), key=lambda cell: cell.seed)  # stable: blocks, rows and arms stay as they are written
    return [cell for cell in every if all(wanted(cell, names) for names in sorts(every, only))]


def sorts(every: Sequence[Cell], only: Sequence[str]) -> list[tuple[str, set[str]]]:
    """[("data", {"esnli", "cqa"}), ...]. Raises UsageError for a name that nothing has."""
    known = {sort: {str(getattr(cell, sort)) for cell in every} for sort in ("experiment", "data", "base", "rows")}
    if unknown := [name for name in only if not any(name in names for names in known.values())]:
        have = near(unknown[0], sorted(set().union(*known.values())))
        raise UsageError(f"no cell of this grid has {unknown[0]!r}", have, "leave --only out for all, or add --full")
    return [(sort, chosen) for sort, names in known.items() if (chosen := names & set(only))]


def wanted(cell: Cell, chosen: tuple[str, set[str]]) -> bool:
    sort, names = chosen
    return str(getattr(cell, sort)) in names


def spelled(rows: int | str) -> str:
    return str(rows).replace("%", "pc").replace(".", "_")


def count(rows: int | str, of: int) -> int:
    """ "12.5%" of 8,840 -> 1105. Raises UsageError for more rows than there are."""
    n = round(float(rows[:-1]) / 100 * of) if isinstance(rows, str) else rows
    if not 0 < n <= of:
        raise UsageError(f"{rows} training rows are asked for", f"the training split has {of}", "correct default.json")
    return n


def teachers(folder: Path) -> dict[str, dict[str, Any]]:
    """What the teacher got right on the same rows, as the runner wrote it down: {data set: {split: bits}}."""
    path = folder / "results" / "teacher.json"
    return json.loads(path.read_bytes()) if path.exists() else {}
