"""The user's files of rows: columns mapped, values in one spelling, bad rows put aside with the reason, nothing lost."""

from __future__ import annotations

import difflib
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from limbeck.errors import BadRows, UsageError
from limbeck.sources.readers import Record, Stream, Warn, read_records
from limbeck.types import Example, Frozen, Origin, canonical_json

OURS = ("input", "output", "choices", "rationale", "id", "answers", "tests", "passage")
MADE = ("generated", "retrieved", "teacher")  # kinds of origin that are no human's
_LIKELY = {  # names that other people's files use, for the suggestion in an error; never assumed
    "input": (
        "text",
        "question",
        "sentence",
        "prompt",
        "query",
        "message",
        "utterance",
        "review",
        "content",
        "document",
        "body",
        "source",
        "instruction",
        "x",
    ),
    "output": (
        "label",
        "answer",
        "target",
        "category",
        "class",
        "intent",
        "response",
        "completion",
        "sentiment",
        "score",
        "summary",
        "gold",
        "y",
    ),
}


class Rejected(Frozen):
    """A row that was put aside. row: 1-based line or record of `source`. text: its head."""

    source: str
    row: int
    reason: str
    text: str = ""


class Bad(Exception):
    """Why one row cannot be used."""


def read_rows(
    path: str | Path, columns: dict[str, str] | None = None, log_warn: Warn = lambda text: None, need_output: bool = True
) -> tuple[list[Example], list[Rejected]]:
    """(rows, rejected rows) of a .jsonl, .json, .csv, .tsv or .parquet file, .gz of the text ones too.

    columns: {ours: theirs} for input, output, choices, rationale, id; answers (a list, every one right); tests (a program that
    an answer has to pass); passage (a document's name, or a text, that the answer rests on). need_output: a row without one is put aside.
    Raises UsageError for a file or a column that is not there, BadRows where no row is any good, MissingExtra for
    parquet without pyarrow."""
    path, columns = Path(path), dict(columns or {})
    if unknown := [name for name in columns if name not in OURS]:
        raise UsageError(
            f"unknown column name {unknown[0]!r} in --columns",
            did_you_mean(unknown[0], OURS),
            "--columns input=THEIRS,output=THEIRS (also choices, rationale, id, answers, tests, passage)",
        )
    rows: list[Example] = []
    rejected: list[Rejected] = []
    seen: dict[str, Example] = {}
    copies = clashes = 0
    for number, record, head in with_columns(path, read_records(path, log_warn), columns, need_output):
        try:
            if isinstance(record, str):
                raise Bad(record)
            row = example(path, number, record, columns, need_output)
            first = seen.setdefault(key_of(row, columns, record), row)
            if first is not row:
                if content(first) == content(row):
                    copies += 1
                    continue
                clashes += 1
                raise Bad(f"id {row.id!r} stands in row {first.origin.row} with other content")
            rows.append(row)
        except Bad as bad:
            rejected.append(Rejected(source=path.name, row=number, reason=str(bad), text=head))
    report(path, rows, rejected, copies, clashes, log_warn)
    return rows, rejected


def report(path: Path, rows: list[Example], rejected: list[Rejected], copies: int, clashes: int, log_warn: Warn) -> None:
    """Warnings with counts; BadRows where nothing is left."""
    if not rows and not rejected:
        raise BadRows(
            f"{path} holds no rows", "it has no records (a header at most)", "give a file with one row per line, at least an input in each"
        )
    reasons = Counter(reason_class(bad.reason) for bad in rejected)
    if not rows:
        worst = "; ".join(f"row {bad.row}: {bad.reason}" for bad in rejected[:3])
        raise BadRows(
            f"not one of the {len(rejected)} rows in {path} can be used",
            worst,
            "correct them, or name the columns: --columns input=THEIRS,output=THEIRS",
        )
    if rejected:
        log_warn(
            f"{path.name}: {len(rejected)} of {len(rejected) + len(rows) + copies} rows put aside ({', '.join(f'{n} {reason}' for reason, n in reasons.most_common(4))}); first: row {rejected[0].row}"
        )
    if copies:
        log_warn(f"{path.name}: {copies} identical duplicate rows, each kept once")
    if clashes:
        log_warn(f"{path.name}: {clashes} rows with the id of another row and other content put aside")
    if several := sum(row.answers is not None for row in rows):
        log_warn(f"{path.name}: {several} rows name several answers in the column answers; each of them counts as right")


def reason_class(reason: str) -> str:
    """The reason without what differs from row to row."""
    return reason.partition(":")[0].partition(" '")[0]


# ---- columns ------------------------------------------------------------------------------------------------------


def with_columns(path: Path, stream: Stream, columns: dict[str, str], need_output: bool) -> Iterator[tuple[int, Record | str, str]]:
    """The stream, after its first 100 rows have shown that the columns are there."""
    first = list(itertools.islice(stream, 100))
    present = list(dict.fromkeys(str(key) for _, record, _ in first if isinstance(record, dict) for key in record))
    if present:
        wanted = {"input", *columns} | ({"output"} if need_output else set())
        for ours in (name for name in OURS if name in wanted):
            theirs = columns.get(ours, ours)
            if theirs not in present:
                raise BadRows(
                    f"{path} has no column {theirs!r} (the {ours})",
                    f"it has {', '.join(present[:20])}{hint(theirs, present)}",
                    f"--columns {suggestion(present, columns, need_output)}",
                )
    return itertools.chain(first, stream)


def hint(theirs: str, present: list[str]) -> str:
    near = difflib.get_close_matches(theirs.lower(), [name.lower() for name in present], n=1, cutoff=0.6)
    return f"; did you mean {next(name for name in present if name.lower() == near[0])!r}?" if near else ""


def suggestion(present: list[str], columns: dict[str, str], need_output: bool) -> str:
    """The --columns line that would most likely work, made from what the file has."""
    chosen: dict[str, str] = {}
    for ours in ("input", "output") if need_output else ("input",):
        theirs = columns.get(ours, ours)
        free = [name for name in present if name not in chosen.values()]
        by_case = [name for name in free if name.lower() == theirs.lower()]
        near = difflib.get_close_matches(theirs, free, n=1, cutoff=0.6)
        likely = [name for word in _LIKELY[ours] for name in free if word == name.lower()] or [
            name for word in _LIKELY[ours] for name in free if word in name.lower()
        ]
        chosen[ours] = (by_case + near + likely + ["THEIRS"])[0]
    return ",".join(f"{ours}={theirs}" for ours, theirs in chosen.items())


def did_you_mean(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"


# ---- one row ------------------------------------------------------------------------------------------------------


def example(path: Path, number: int, record: Record, columns: dict[str, str], need_output: bool) -> Example:
    """Raises Bad with the reason."""
    get = {ours: record.get(columns.get(ours, ours)) for ours in OURS}
    if columns.get("input", "input") not in record:
        raise Bad(f"no column {columns.get('input', 'input')!r}")
    text = as_text(get["input"])
    if not text.strip():
        raise Bad("empty input")
    output = as_text(get["output"]).strip()
    if need_output and not output:
        raise Bad("empty output")
    choices = as_choices(get["choices"])
    if choices and output and output not in choices:
        same = [c for c in choices if c.casefold() == output.casefold()]
        if len(same) != 1:
            raise Bad(f"output not among choices: {output[:60]!r}")
        output = same[0]
    name = as_text(get["id"]).strip() or f"{stem(path)}-{number}"
    return Example(
        id=name,
        input=text,
        output=output or None,
        choices=choices,
        rationale=as_text(get["rationale"]).strip() or None,
        origin=(made := made_by_us(record)) or Origin(kind="gold", source=path.name, row=number),
        confidence=confidence_of(record) if made else None,
        answers=as_answers(get["answers"], output),
        tests=as_text(get["tests"]).strip() or None,
        passage=as_text(get["passage"]).strip() or None,
    )


def made_by_us(record: Record) -> Origin | None:
    """A row that was generated, retrieved or labelled by a teacher keeps saying so, whatever file it comes in."""
    said = record.get("origin")
    if not isinstance(said, dict) or said.get("kind") not in MADE:
        return None
    try:
        return Origin.model_validate(said)
    except ValueError as wrong:
        raise Bad(f"an origin that cannot be read: {str(said)[:60]}") from wrong


def confidence_of(record: Record) -> float | None:
    value = record.get("confidence")
    return float(value) if isinstance(value, int | float) and 0.0 <= value <= 1.0 else None


def as_text(value: Any) -> str:
    """A string as it is; a number plainly ("5", "3.8"); true and false; an object or array as canonical JSON; "" for nothing."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if math.isnan(value):
            return ""
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    if isinstance(value, dict | list | tuple):
        try:
            return canonical_json(value)
        except (TypeError, ValueError) as error:
            raise Bad(f"a value that JSON cannot hold: {error}") from error
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def as_choices(value: Any) -> tuple[str, ...] | None:
    """A list, a JSON list in a string, or `a|b|c`."""
    if isinstance(value, str):
        text = value.strip()
        if text.startswith("["):
            import json

            try:
                value = json.loads(text)
            except ValueError as error:
                raise Bad(f"choices are malformed: {text[:60]!r}") from error
        else:
            value = [part for part in text.split("|") if part.strip()]
    if value is None or value == [] or (isinstance(value, float) and math.isnan(value)):
        return None
    if not isinstance(value, list | tuple):
        raise Bad(f"choices are no list: {str(value)[:60]!r}")
    choices = tuple(dict.fromkeys(as_text(part).strip() for part in value))
    if len(choices) < 2 or "" in choices:
        raise Bad("fewer than two choices, or an empty one")
    return choices


def as_answers(value: Any, output: str) -> tuple[str, ...] | None:
    """A list, a JSON list in a string, or {"text": a list} as SQuAD has it; the output leads. None where it is the only one."""
    if isinstance(value, str) and value.strip().startswith("["):
        import json

        try:
            value = json.loads(value)
        except ValueError as error:
            raise Bad(f"answers are malformed: {value.strip()[:60]!r}") from error
    if isinstance(value, dict):
        value = value.get("text", value)
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    if not isinstance(value, list | tuple):
        raise Bad(f"answers are no list: {str(value)[:60]!r}")
    answers = tuple(dict.fromkeys(text for text in (output, *(as_text(part).strip() for part in value)) if text))
    return answers if len(answers) > 1 else None


def stem(path: Path) -> str:
    return path.name.removesuffix(".gz").rpartition(".")[0] or path.name


def content(row: Example) -> tuple[Any, ...]:
    return (row.input, row.output, row.choices, row.rationale, row.answers, row.tests)


def key_of(row: Example, columns: dict[str, str], record: Record) -> str:
    """Rows with an id of their own are the same row where the id is; others where all of their content is."""
    own = as_text(record.get(columns.get("id", "id"))).strip()
    return f"id {row.id}" if own else f"content {content(row)!r}"
