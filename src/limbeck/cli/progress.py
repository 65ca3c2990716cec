"""What the person sees while a run works: one live line on a terminal, plain lines elsewhere. On stderr, always."""

from __future__ import annotations

import sys
import time
from typing import Any

EVERY_S = 5.0


def sink() -> Any:
    """The right sink for this stderr, as a context manager that yields a function of one event."""
    return Live() if sys.stderr.isatty() else Plain()


def sentence(event: dict[str, Any]) -> str | None:
    """An event in words, or None where it is not for people."""
    name = event["event"]
    if name == "step":
        return f"== {event['step']}"
    if name == "candidate":
        return f"   {event['recipe']} on {event['split']}"
    if name == "warning":
        return f"   warning: {event['text']}"
    if name in ("stale", "note"):
        return f"   {event['text']}"
    if name == "plan":
        span = f"{clock(event['seconds_low'])} to {clock(event['seconds_high'])}"
        return f"   {len(event['recipes'])} candidates; estimated ${event['usd_low']:.2g} to ${event['usd_high']:.2g} for {event['calls']} calls, {span}"
    if name == "parity":
        return f"   parity: {event['rows'] - event['different']} of {event['rows']} answers the same from the deployed folder, in a fresh process"
    return None


def state(event: dict[str, Any], began: float) -> str:
    """Done, rate, time left and money of a progress event."""
    done, total, passed = event["done"], event["total"], time.monotonic() - began
    parts = [event["stage"]]
    if total:
        parts.append(f"{done}/{total}")
    if done and passed > 1:
        parts.append(f"{done / passed:.1f}/s" if done >= passed else f"{passed / done:.1f} s each")
        if total > done:
            parts.append(f"{clock((total - done) * passed / done)} left")
    if event.get("what"):
        parts.append(str(event["what"]))
    return "  ".join(parts)


def clock(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


class Plain:
    """A line per event, and one every few seconds while something goes on."""

    def __enter__(self) -> Any:
        self.stage, self.began, self.last = "", time.monotonic(), 0.0
        return self.show

    def __exit__(self, *_: object) -> None:
        sys.stderr.flush()

    def show(self, event: dict[str, Any]) -> None:
        if event["event"] != "progress":
            if text := sentence(event):
                print(text, file=sys.stderr, flush=True)
            return
        now = time.monotonic()
        if event["stage"] != self.stage:
            self.stage, self.began, self.last = event["stage"], now, now
        elif now - self.last >= EVERY_S:
            self.last = now
            print(f"   {state(event, self.began)}", file=sys.stderr, flush=True)


class Live:
    """One line that is rewritten, below the lines that stay."""

    def __enter__(self) -> Any:
        from rich.console import Console
        from rich.live import Live as RichLive
        from rich.text import Text

        self.text, self.stage, self.began = Text, "", time.monotonic()
        self.live = RichLive(console=Console(stderr=True), refresh_per_second=8, transient=True)
        self.live.__enter__()
        return self.show

    def __exit__(self, *what: Any) -> None:
        self.live.__exit__(*what)

    def show(self, event: dict[str, Any]) -> None:
        if event["event"] != "progress":
            if line := sentence(event):
                self.live.console.print(self.text(line, style="bold" if line.startswith("==") else ""))
            return
        if event["stage"] != self.stage:
            self.stage, self.began = event["stage"], time.monotonic()
        self.live.update(self.text(f"   {state(event, self.began)}", style="cyan", no_wrap=True, overflow="ellipsis"))
