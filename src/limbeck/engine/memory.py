"""How much memory a stretch of code took at its highest, in MB; None where the system does not tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def peak_memory_mb() -> Iterator[Callable[[], float | None]]:
    """`with peak_memory_mb() as peak: ...`, then peak(): resident memory of this process above what it held before, on
    Linux. Writing 5 to clear_refs resets the kernel's high-water mark (man 5 proc)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
        before = status_mb("VmRSS") or 0.0
    except OSError:
        yield lambda: None
        return
    found: list[float | None] = []
    try:
        yield lambda: found[0] if found else above(before)
    finally:
        found.append(above(before))


def above(before: float) -> float | None:
    peak = status_mb("VmHWM")
    return None if peak is None else round(max(0.0, peak - before), 1)


def status_mb(name: str) -> float | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{name}:")), None)
