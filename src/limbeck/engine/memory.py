"""The highest memory that a stretch of code reached, in MB; None where the system does not tell."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType


class Peak:
    """`with Peak() as peak: ...`, then `peak.mb`: resident memory of this process on Linux, what it held before
    included. The kernel's high-water mark is reset by writing 5 to clear_refs (man 5 proc)."""

    mb: float | None = None

    def __enter__(self) -> Peak:
        try:
            Path("/proc/self/clear_refs").write_text("5")
            self.can = True
        except OSError:
            self.can = False
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.can:
            self.mb = high_water_mb()


def high_water_mb() -> float | None:
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return round(int(line.split()[1]) / 1024, 1)
    except OSError:
        pass
    return None
