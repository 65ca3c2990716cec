"""The highest memory that a stretch of code reached, in MB; None where the system does not tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def peak_memory_mb() -> Iterator[Callable[[], float | None]]:
    """`with peak_memory_mb() as peak: ...`, then peak(): resident memory of this process on Linux, what it held before
    included. Writing 5 to clear_refs resets the kernel's high-water mark (man 5 proc)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        yield lambda: None
        return
    found: list[float | None] = []
    try:
        yield lambda: found[0] if found else high_water_mb()
    finally:
        found.append(high_water_mb())


def high_water_mb() -> float | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((round(int(line.split()[1]) / 1024, 1) for line in lines if line.startswith("VmHWM:")), None)
