"""Runs a program that a model wrote, in a subprocess that can do little more than compute and print.

Its own process group, an empty environment, an empty folder to work in that is deleted afterwards, limits on processor
time, memory, files and output, no other files, no network, no new processes (metrics/confined.py). It holds against programs that
are wrong or wild. It is no promise against one made to break out: for text from strangers take a container or a machine
of its own besides."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

CPU_S, WALL_S = 5, 30  # the second for programs that sleep; a busy machine is no reason to call a program wrong
MEMORY_MB, FILE_MB, FOLDER_MB = 1024, 1, 16
LOOK_S = 0.02  # so often the clock and the folder are looked at


@dataclass(frozen=True)
class Outcome:
    """ended: done | exit | error (an exception, a signal, no such program) | limit (time, or too many files).
    printed: what it wrote to stdout, at most FILE_MB. left_open: what this machine cannot close (files, network, ...)."""

    ended: str
    printed: str = ""
    left_open: tuple[str, ...] = ()


def possible() -> bool:
    """Whether this is a system with processes and limits as Unix has them."""
    return os.name == "posix"


def run_confined(programs: Sequence[str], tests: str = "", cpu_s: int = CPU_S, wall_s: float = WALL_S) -> Outcome:
    """Runs the first of `programs` that compiles, `tests` behind it in the same process. "done" means that the last line
    of both was reached; a program that ends itself before says "exit"."""
    with tempfile.TemporaryDirectory(prefix="limbeck-code-") as outside:
        folder, out = Path(outside).resolve() / "work", Path(outside) / "printed"
        folder.mkdir()
        password = secrets.token_hex(16)
        job = {
            "programs": [clean(text) for text in programs],
            "tests": clean(tests),
            "password": password,
            "folder": str(folder),
            "cpu_s": cpu_s,
            "memory_mb": MEMORY_MB,
            "file_mb": FILE_MB,
        }
        reading, writing = os.pipe()
        try:
            try:
                process = start(json.dumps(job).encode(), folder, out, writing)
            finally:
                os.close(writing)
            in_time = watched(process, folder, wall_s)
            left_open, ended = read_verdict(read_all(reading), password)
        finally:
            os.close(reading)
        if not in_time or process.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
            ended = "limit"
        with out.open("rb") as printed:
            return Outcome(ended, printed.read(FILE_MB << 20).decode("utf-8", "replace"), left_open)


def clean(text: str) -> str:
    """Without halves of characters, which no file can hold."""
    return text.encode("utf-8", "replace").decode()


def start(job: bytes, folder: Path, out: Path, verdict: int) -> subprocess.Popen[bytes]:
    """The job goes in as a file, so that nobody has to feed a pipe; what is printed goes into one, whose size is limited."""
    with out.open("wb") as printed, tempfile.TemporaryFile() as told:
        told.write(job)
        told.seek(0)
        return subprocess.Popen(
            [sys.executable, "-I", "-B", str(Path(__file__).with_name("confined.py")), str(verdict)],
            stdin=told,
            stdout=printed,
            stderr=subprocess.DEVNULL,
            env={"PYTHONIOENCODING": "utf-8", "OMP_NUM_THREADS": "1"},
            cwd=folder,
            pass_fds=(verdict,),
            start_new_session=True,
        )


def watched(process: subprocess.Popen[bytes], folder: Path, wall_s: float) -> bool:
    """Waits for its end; False where it had to be made. Nothing of its process group is left."""
    deadline = time.monotonic() + wall_s
    in_time = True
    while process.poll() is None:
        if time.monotonic() > deadline or size_mb(folder) > FOLDER_MB:
            in_time = False
            break
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(LOOK_S)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return in_time


def size_mb(folder: Path) -> float:
    total = 0
    for where, _, files in os.walk(folder):
        for name in files:
            with contextlib.suppress(OSError):
                total += max(4096, os.lstat(os.path.join(where, name)).st_size)
    return total / (1 << 20)


def read_all(fd: int) -> str:
    """What is in the pipe now: its writers are dead, or the few bytes that count are there."""
    os.set_blocking(fd, False)
    with contextlib.suppress(BlockingIOError):
        return os.read(fd, 1 << 16).decode("utf-8", "replace")
    return ""


def read_verdict(said: str, password: str) -> tuple[tuple[str, ...], str]:
    """(what is left open, how it ended): "error" where the last line is missing or has not the password."""
    first, _, last = said.partition("\n")
    try:
        left_open = tuple(map(str, json.loads(first)))
        found, ended = json.loads(last)
    except (ValueError, TypeError):
        return (), "error"
    return left_open, str(ended) if found == password else "error"
