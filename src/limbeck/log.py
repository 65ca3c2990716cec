"""One logger: what happens becomes an event, a line in events.jsonl and whatever a door shows. Standard library only.

A door (command line, web) attaches a sink: a function of one event. Progress events carry stage, done, total, what and
spent_usd; the sink works out rate and time left, so that rooms only count."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Sink = Callable[[dict[str, Any]], None]


class Log:
    """event(): a fact, kept. progress(): a state, shown and not kept. warn(): a fact for the report too."""

    def __init__(self, path: Path | None = None, sinks: tuple[Sink, ...] = ()):
        self.path, self.sinks, self.lock = path, sinks, threading.Lock()

    def event(self, name: str, **facts: Any) -> None:
        record = {"time": round(time.time(), 3), "event": name, **facts}
        if self.path is not None:
            line = json.dumps(record, ensure_ascii=False, default=str) + "\n"
            with self.lock, self.path.open("a", encoding="utf-8") as file:
                file.write(line)
        self.show(record)

    def warn(self, text: str, **facts: Any) -> None:
        self.event("warning", text=text, **facts)

    def progress(self, stage: str, done: int, total: int, what: str = "", **facts: Any) -> None:
        self.show({"time": time.time(), "event": "progress", "stage": stage, "done": done, "total": total, "what": what, **facts})

    def show(self, record: dict[str, Any]) -> None:
        for sink in self.sinks:
            sink(record)
