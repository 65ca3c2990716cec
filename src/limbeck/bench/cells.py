"""A grid of experiments x data sets x seeds: what there is, what has been run, what is missing.

An experiment is a folder with experiment.json that holds only its difference from default.json beside the folders. The
result of a cell is one JSON file, written when the cell has ended; a grid that was broken off goes on where it stood."""

from __future__ import annotations

import gzip
import json
import os
import platform
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from limbeck.errors import MissingError, UsageError
from limbeck.registry import near


@dataclass(frozen=True)
class Cell:
    """config: the default with the experiment's difference laid over it. file: where the result belongs."""

    experiment: str
    data: str
    seed: int
    config: dict[str, Any]
    file: Path

    @property
    def result(self) -> dict[str, Any] | None:
        return json.loads(self.file.read_bytes()) if self.file.exists() else None


def read_grid(folder: Path) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """(default, {experiment: its whole configuration}). Raises UsageError for a name that the default does not have."""
    try:
        default = json.loads((folder / "default.json").read_bytes())
    except FileNotFoundError as absent:
        raise MissingError(
            f"there is no study in {folder}",
            f"{folder / 'default.json'} is missing, seen from {Path.cwd()}; studies and their results lie in bench/ of Limbeck's source "
            "repository, and an installed package brings the runners alone",
            "the same command in the folder of a checkout of the repository, or --folder CHECKOUT/bench/" + folder.name,
        ) from absent
    found: dict[str, dict[str, Any]] = {}
    for file in sorted((folder / "experiments").glob("*/experiment.json")):
        own = json.loads(file.read_bytes())
        if unknown := set(own) - set(default):
            name = sorted(unknown)[0]
            raise UsageError(
                f"{file.parent.name}/experiment.json: unknown setting {name!r}", near(name, sorted(default)), "see default.json"
            )
        found[file.parent.name] = {**default, **own, "values": {**default["values"], **own.get("values", {})}}
    order = default.get("order", [])
    return default, dict(sorted(found.items(), key=lambda item: (order.index(item[0]) if item[0] in order else len(order), item[0])))


def cells(folder: Path, full: bool = False, only: Sequence[str] = ()) -> list[Cell]:
    """The core of the grid, or all of it. only: names of experiments, data sets, or both."""
    default, experiments = read_grid(folder)
    known = {*experiments, *default["core"], *default["further"]}
    if unknown := [name for name in only if name not in known]:
        raise UsageError(f"unknown experiment or data set {unknown[0]!r}", near(unknown[0], sorted(known)), "leave --only out for all")
    found = []
    for data in [*default["core"], *(default["further"] if full else ())]:
        for seed in default["seeds"]:
            for name, config in experiments.items():
                wanted = [o for o in only if o in experiments], [o for o in only if o not in experiments]
                if (wanted[0] and name not in wanted[0]) or (wanted[1] and data not in wanted[1]):
                    continue
                found.append(Cell(name, data, seed, config, folder / "results" / name / f"{data}-{seed}.json"))
    return found


@contextmanager
def claimed(cell: Cell) -> Iterator[bool]:
    """Whether the cell is ours to run: False where it has been run, or where another process that lives is at it."""
    claim = cell.file.with_suffix(".running")
    claim.parent.mkdir(parents=True, exist_ok=True)
    if claim.exists() and not alive(claim.read_text()):
        claim.unlink(missing_ok=True)
    try:
        claim.touch(exist_ok=False)
    except FileExistsError:
        yield False
        return
    try:
        claim.write_text(str(os.getpid()))
        yield cell.result is None
    finally:
        claim.unlink(missing_ok=True)


def alive(pid: str) -> bool:
    """Of a number in a claim; a claim that is being written counts as alive."""
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (ValueError, PermissionError):
        pass
    return True


def read_set(shared: Path, name: str, split: str) -> Iterator[dict[str, Any]]:
    """Rows of a public data set: <shared>/<name>/<split>.jsonl.gz. Raises MissingError."""
    path = shared / name / f"{split}.jsonl.gz"
    if not path.exists():
        raise MissingError(
            f"there is no {name}/{split}.jsonl.gz in {shared}",
            "the study runs on public data sets",
            "--data FOLDER with them, or LIMBECK_SHARED=the folder that holds data/",
        )
    with gzip.open(path, "rt", encoding="utf-8") as file:
        yield from (json.loads(line) for line in file)


def stamp(repository: Path) -> dict[str, Any]:
    """Versions, commit, whether the source had uncommitted changes, cores, date."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", str(repository), *arguments], capture_output=True, text=True).stdout.strip()

    found: dict[str, Any] = {"commit": git("rev-parse", "--short", "HEAD"), "dirty": bool(git("status", "--porcelain", "--", "src"))}
    found |= {"python": platform.python_version(), "cores": os.cpu_count(), "date": time.strftime("%Y-%m-%d")}
    for name in ("limbeck", "torch", "transformers", "peft", "scikit-learn", "bitsandbytes"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def write(cell: Cell, result: dict[str, Any]) -> None:
    cell.file.parent.mkdir(parents=True, exist_ok=True)
    beside = cell.file.with_suffix(".tmp")
    beside.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    beside.rename(cell.file)
