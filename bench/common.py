"""What the studies share: where the public data lie, how a command is timed, how a result is committed."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from limbeck.bench import cells
from limbeck.errors import MissingError

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("LIMBECK_SHARED", ROOT.parent / "shared"))
LIMBECK = str(Path(sys.executable).parent / "limbeck")


def data(name: str, split: str) -> list[dict[str, Any]]:
    """Rows of a public set. Exits with a clear line where the folder of public data is absent."""
    try:
        return list(cells.read_set(SHARED / "data", name, split))
    except MissingError as absent:
        sys.exit(str(absent))


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    keys = ("id", "input", "output", "choices")
    path.write_text("".join(json.dumps({k: r[k] for k in keys if k in r}, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return path


def timed(command: list[str], **env: str) -> tuple[float, str]:
    """(wall seconds, stdout). A command that fails ends the study with what it said."""
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **env})
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return time.perf_counter() - began, done.stdout


def stamp() -> dict[str, Any]:
    """As the studies of `limbeck bench`, and the most memory that a command took."""
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    return {**cells.stamp(ROOT), "peak_memory_children_mb": round(peak / 1024)}


def save(folder: Path, name: str, result: dict[str, Any]) -> None:
    (folder / f"{name}.json").write_text(json.dumps({**result, "stamp": stamp()}, indent=1) + "\n", encoding="utf-8")
