"""A teacher from its spec: a recording, a model in this process, or an OpenAI-compatible endpoint."""

from __future__ import annotations

import difflib
from pathlib import Path

from limbeck.errors import UsageError
from limbeck.registry import Teacher, names, take
from limbeck.teachers.prices import price_of
from limbeck.types import Price

__all__ = ["open_teacher"]

FORMS = "--teacher recorded:FILE.jsonl, local:HUB-ID-OR-PATH, http://HOST:PORT/v1#MODEL, a model name such as gpt-4o-mini, or openai-batch:MODEL"


def open_teacher(spec: str, price: Price | None = None) -> Teacher:
    """The teacher that `spec` names. price None: from the table of known prices, else unknown.

    Raises UsageError for a spec that names none, MissingKey where the endpoint wants a key and none is set."""
    spec = spec.strip()
    return take("teachers", shelf_name(spec))(spec, price_of(spec, price))  # type: ignore[no-any-return]


def shelf_name(spec: str) -> str:
    """Which teacher of the shelf reads this spec: the word before the colon, else the endpoint."""
    head, colon, rest = spec.partition(":")
    if head in names("teachers") and head != "openai":
        if not rest.strip():
            raise UsageError(f"the teacher {spec!r} says nothing after {head!r}", f"--teacher {spec}", FORMS)
        return head
    if not spec or spec.startswith("#") or any(c.isspace() for c in spec):
        raise UsageError("this names no teacher", f"--teacher {spec!r}", FORMS)
    if head in ("http", "https") and rest.startswith("//"):
        return "openai"
    if "://" in spec:
        raise UsageError(f"a teacher cannot be reached by {head}://", f"--teacher {spec}", FORMS)
    close = difflib.get_close_matches(head, [n for n in names("teachers") if n != "openai"], n=1, cutoff=0.8)
    if colon and close:
        raise UsageError(f"unknown kind of teacher {head!r}", f"--teacher {spec}; did you mean {close[0]}:{rest}?", FORMS)
    if spec.endswith((".jsonl", ".json")) or Path(spec).is_file():
        raise UsageError("a file is no model name", f"--teacher {spec}", f"--teacher recorded:{spec}, if it is a recording")
    return "openai"
