"""A teacher whose replies were recorded: a JSONL file, one line per task input. Free, offline, the same every time.

{"input": ..., "label": ..., "choices": [...]?, "rationale": ...?, "samples": [label or {label, rationale}, ...]?,
 "usage": {"prompt_tokens": n, "completion_tokens": n}?, "latency_ms": x?}

Keyed by the row that is asked about, never by the text of a prompt, so that a changed prompt still finds its answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator, model_validator

from limbeck.errors import BadRows, Declined, UsageError
from limbeck.registry import Teacher
from limbeck.run import sha_of_file
from limbeck.teachers.tokens import tokens_in_of, tokens_of
from limbeck.types import Example, Price, Reply, Request


def open_teacher(spec: str, price: Price | None = None) -> Teacher:
    """spec: `recorded:<file.jsonl>`. Raises UsageError where the file is not there, BadRows with file and line."""
    path = Path(spec.partition(":")[2]).expanduser()
    if not path.is_file():
        raise UsageError(f"there is no recording {path}", f"--teacher {spec}", "--teacher recorded:FILE.jsonl")
    return RecordedTeacher(path, price or Price(usd_per_mtok_in=0, usd_per_mtok_out=0, source="recorded"))


class Said(BaseModel):
    """label: what was answered, "" = nothing that could be read."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    label: str
    rationale: str = ""

    @model_validator(mode="before")
    @classmethod
    def bare_label(cls, value: Any) -> Any:
        return value if isinstance(value, dict) else {"label": value}

    @field_validator("label", "rationale", mode="before")
    @classmethod
    def as_text(cls, value: Any) -> str:
        """Numbers and objects as JSON writes them."""
        return value if isinstance(value, str) else "" if value is None else json.dumps(value, ensure_ascii=False)


class Usage(BaseModel):
    prompt_tokens: int
    completion_tokens: int


class Recording(Said):
    input: str
    choices: tuple[str, ...] | None = None
    samples: tuple[Said, ...] = ()
    usage: Usage | None = None
    latency_ms: float = 0.0


class RecordedTeacher:
    """See `limbeck.registry.Teacher`."""

    remote = False
    recording = True

    def __init__(self, path: Path, price: Price):
        self.name, self.model = path.name, path.stem
        self.price: Price | None = price
        self.fingerprint = f"recorded:{sha_of_file(path)}"
        self.book = read_book(path)

    def ask(self, request: Request, timeout_s: float = 60.0) -> Reply:
        """Raises Declined (no_recording) where the row, or what is asked about it, was not recorded."""
        found = self.find(request.row)
        # greedy decoding has one answer; every other draw is a sample, counted on from the seed
        drawn = (request.seed or 0) if request.temperature > 0 else 0
        said = [found, *found.samples]
        step = 1 if request.temperature > 0 else 0
        texts = tuple(wording(said[(drawn + i * step) % len(said)], request.reply_schema) for i in range(request.n))
        usage = found.usage or Usage(prompt_tokens=tokens_in_of(request), completion_tokens=tokens_of(texts))
        return Reply(
            texts=texts,
            finish=("stop",) * len(texts),
            tokens_in=usage.prompt_tokens,
            tokens_out=usage.completion_tokens,
            latency_ms=found.latency_ms,
            model=self.model,
            estimated=found.usage is None,
        )

    def find(self, row: Example | None) -> Recording:
        if row is None:
            raise Declined("nothing was recorded for a question without a row", kind="no_recording")
        for found in self.book.get(key_of(row.input), []):
            if not found.choices or not row.choices or set(found.choices) == set(row.choices):
                return found
        raise Declined("nothing was recorded for this input", f"row {row.id}: {row.input[:80]!r}", kind="no_recording")


def read_book(path: Path) -> dict[str, list[Recording]]:
    """{input without superfluous blanks: its recordings, one per set of options}."""
    book: dict[str, list[Recording]] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        if not line.strip():
            continue
        try:
            one = Recording.model_validate_json(line)
        except ValidationError as wrong:
            first = wrong.errors()[0]
            where = ".".join(map(str, first["loc"])) or "the line"
            raise BadRows(
                f"{path}, line {number} is no recording", f"{where}: {first['msg']}", 'each line: {"input": "...", "label": "..."}'
            ) from wrong
        same = book.setdefault(key_of(one.input), [])
        if any(set(other.choices or ()) == set(one.choices or ()) and other != one for other in same):
            raise BadRows(
                f"{path}, line {number} records an input a second time, and differently",
                repr(one.input[:80]),
                'keep one, with the others as "samples": [...]',
            )
        same.append(one)
    if not book:
        raise BadRows(f"{path} holds no recordings", f"{path.stat().st_size} bytes", 'each line: {"input": "...", "label": "..."}')
    return book


def key_of(text: str) -> str:
    return " ".join(text.split())


def wording(said: Said, reply_schema: str | None) -> str:
    """What a model would have said. Raises Declined where the schema asks for what was not recorded."""
    if reply_schema is None:
        if not (said.rationale and said.label):
            return said.rationale or said.label
        return f"{said.rationale} So the answer is {said.label}."
    wanted = json.loads(reply_schema).get("properties") or {}
    if "answer" in wanted:
        known = {"answer": typed(said.label, wanted["answer"]), "rationale": said.rationale}
        if set(wanted) <= set(known):
            return json.dumps({name: known[name] for name in wanted}, ensure_ascii=False)
    else:
        recorded = typed(said.label, {"type": "object"})
        if isinstance(recorded, dict) and set(recorded) <= set(wanted):  # kind `fields`: the label is the object itself
            return said.label
    raise Declined(
        "nothing was recorded for this question", f"the reply would need {', '.join(wanted) or 'another form'}", kind="no_recording"
    )


def typed(label: str, spec: dict[str, Any]) -> Any:
    """The label as its schema wants it: text, unless it asks for another type that the label can be read as."""
    if spec.get("type", "string") == "string":
        return label
    try:
        return json.loads(label)
    except ValueError:
        return label
