"""A teacher that is a transformers model in this process: `local:<hub id or path>`. It costs nothing and sends nothing."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from limbeck.errors import UsageError
from limbeck.registry import Teacher
from limbeck.types import Price, Reply, Request, sha_of


def open_teacher(spec: str, price: Price | None = None) -> Teacher:
    """spec: `local:<hub id or path>`. The model is loaded when it is first asked: a resumed run may not need it."""
    path = spec.partition(":")[2]
    looks_like_path = path.startswith((".", "/", "~")) or path.count("/") > 1
    if looks_like_path and not Path(path).expanduser().is_dir():
        raise UsageError(f"there is no model folder {path}", f"--teacher {spec}", "--teacher local:FOLDER or local:OWNER/NAME")
    return LocalTeacher(path, price or Price(usd_per_mtok_in=0, usd_per_mtok_out=0, source="local"))


class LocalTeacher:
    """See `limbeck.registry.Teacher`."""

    remote = False
    recording = False

    def __init__(self, path: str, price: Price):
        self.name = self.model = path
        self.price: Price | None = price
        folder = Path(path).expanduser()
        self.path = str(folder) if folder.is_dir() else path
        self.fingerprint = f"local:{path}:{state_of(folder)}" if folder.is_dir() else f"local:{path}"
        self.generator: Any = None
        self.lock = threading.Lock()  # one model, one question at a time

    def ask(self, request: Request, timeout_s: float = 60.0) -> Reply:
        with self.lock:
            if self.generator is None:
                from limbeck.engine.generate import open_generator

                self.generator = open_generator(self.path)
            started = time.monotonic()
            texts, finish, tokens_in, tokens_out = self.generator.reply(
                request.messages, request.max_tokens, request.temperature, request.n, request.seed
            )
        latency_ms = (time.monotonic() - started) * 1000
        return Reply(
            texts=tuple(texts), finish=tuple(finish), tokens_in=tokens_in, tokens_out=tokens_out, latency_ms=latency_ms, model=self.model
        )


def state_of(folder: Path) -> str:
    """A folder that was trained again is another teacher: names, sizes and times of its files."""
    files = sorted(p for p in folder.iterdir() if p.is_file())
    return sha_of([(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files])
