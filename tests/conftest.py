"""What every test may use: the public data beside the checkout, a replay server over real HTTP, the command line."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("LIMBECK_SHARED", ROOT.parent / "shared"))

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # toys gain nothing from a second thread, and lose much where the core is not free


@pytest.fixture(scope="session")
def shared() -> Path:
    if not (SHARED / "data").is_dir():
        pytest.skip(f"the folder of public data is not beside the checkout ({SHARED.name}/data)")
    return SHARED


@pytest.fixture(scope="session")
def public_rows(shared: Path) -> Callable[[str, str], list[dict[str, Any]]]:
    def rows(name: str, split: str) -> list[dict[str, Any]]:
        with gzip.open(shared / "data" / name / f"{split}.jsonl.gz", "rt", encoding="utf-8") as file:
            return [json.loads(line) for line in file]

    return rows


class Replay:
    """The replay teacher as a process. spec(model) is what --teacher takes."""

    def __init__(self, process: subprocess.Popen[str], address: str):
        self.process, self.address = process, address

    def spec(self, model: str = "palm540b") -> str:
        return f"{self.address}#{model}"

    def stats(self) -> dict[str, Any]:
        with urllib.request.urlopen(self.address.removesuffix("/v1") + "/stats") as answer:
            return dict(json.load(answer))


@pytest.fixture
def replay(shared: Path) -> Any:
    """replay("--tasks", "cqa") as a context manager -> Replay."""

    @contextmanager
    def serve(*arguments: str) -> Iterator[Replay]:
        command = [sys.executable, str(shared / "tools" / "replay_teacher.py"), "--port", "0", *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            yield Replay(process, process.stdout.readline().strip())
        finally:
            process.kill()
            process.wait()

    return serve


def call_limbeck(*arguments: object, cwd: Path | None = None, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """The command line, whole, in this process (torch is imported once)."""
    from limbeck.cli.main import main

    out, err, code = io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(cwd or Path.cwd())
        for name, value in {"NO_COLOR": "1", **(env or {})}.items():
            patch.setenv(name, value)
        try:
            main([str(a) for a in arguments])
        except SystemExit as done:
            code = int(done.code or 0)
    return subprocess.CompletedProcess([str(a) for a in arguments], code, out.getvalue(), err.getvalue())


@pytest.fixture
def limbeck() -> Callable[..., subprocess.CompletedProcess[str]]:
    """limbeck("run", "prompt.md", cwd=folder) -> returncode, stdout, stderr."""
    return call_limbeck


def write_jsonl(path: Path, rows: list[dict[str, Any]], keys: tuple[str, ...] = ("id", "input", "output", "choices")) -> Path:
    path.write_text("".join(json.dumps({k: r[k] for k in keys if k in r}, ensure_ascii=False) + "\n" for r in rows), encoding="utf-8")
    return path
