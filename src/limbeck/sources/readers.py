"""A file of rows -> a stream of (row number, record or why not), by file type; encodings and compression are undone here."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from limbeck.errors import BadRows, UsageError
from limbeck.need import need

Record = dict[str, Any]
Stream = Iterator[tuple[int, Record | str, str]]  # row number (1-based), record or reason, head of the text
Warn = Callable[[str], None]
HEAD = 200  # characters of a bad row that are kept


def read_records(path: Path, warn: Warn) -> Stream:
    """Raises UsageError for a file that is not there or of a type that is not read, BadRows for a damaged one."""
    if not path.is_file():
        have = (
            f"{path.parent} holds {', '.join(sorted(p.name for p in path.parent.iterdir())[:12]) or 'nothing'}"
            if path.parent.is_dir()
            else f"there is no folder {path.parent}"
        )
        raise UsageError(
            f"there is no file {path}" if not path.is_dir() else f"{path} is a folder",
            have,
            "give the path of a .jsonl, .json, .csv, .tsv or .parquet file",
        )
    kind = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    if path.stat().st_size == 0:
        raise BadRows(f"{path} is empty", "0 bytes", "give a file with one row per line, at least an input in each")
    if kind == "parquet":
        return read_parquet(path)
    if kind not in READERS:
        raise UsageError(
            f"cannot read rows from {path.name}",
            f"its type is {kind!r}; known are {', '.join((*READERS, 'parquet'))}, and .gz of the text ones",
            f"convert it, e.g. to {path.stem}.jsonl",
        )
    return READERS[kind](path, warn)


def open_text(path: Path, warn: Warn) -> IO[str]:
    """As UTF-8 (a byte-order mark is skipped), UTF-16 with its mark, or else cp1252, with a warning."""
    encoding = encoding_of(path)
    if encoding == "cp1252":
        warn(f"{path.name} is not UTF-8: read as cp1252 (Windows, Western Europe); save it as UTF-8 if characters look wrong")
    return io.TextIOWrapper(open_bytes(path), encoding=encoding, errors="replace", newline="")


def open_bytes(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb")  # type: ignore[return-value]


def encoding_of(path: Path) -> str:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        with open_bytes(path) as file:
            first = file.read(1 << 20)
            if first[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
                return "utf-16"
            block = first
            while block:
                decoder.decode(block)
                block = file.read(1 << 20)
            decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "cp1252"
    except (OSError, EOFError) as error:
        raise BadRows(f"cannot read {path}", str(error), "is it really gzip, and complete? gzip -t FILE") from error
    return "utf-8-sig"


def read_jsonl(path: Path, warn: Warn) -> Stream:
    """Row number = line number."""
    with open_text(path, warn) as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                record = json.loads(line)
            except (ValueError, RecursionError) as error:
                yield number, f"malformed JSON: {str(error)[:120]}", line[:HEAD].rstrip()
                continue
            yield number, record if isinstance(record, dict) else f"not a JSON object but {type(record).__name__}", line[:HEAD].rstrip()


def read_json(path: Path, warn: Warn) -> Stream:
    """An array of objects, or an object that holds one. JSONL under the wrong name is read as JSONL."""
    with open_text(path, warn) as file:
        text = file.read()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        first = next((line for line in text.splitlines() if line.strip()), "")
        if is_object(first) and text.strip() != first.strip():
            yield from read_jsonl(path, lambda _: None)
            return
        raise BadRows(f"{path} is no valid JSON", str(error), "an array of objects: [{\"input\": ..., \"output\": ...}, ...], or one object per line in a .jsonl") from error  # fmt: skip
    if isinstance(value, dict):
        lists = [v for v in value.values() if isinstance(v, list) and v and isinstance(v[0], dict)]
        value = lists[0] if len(lists) == 1 else [value]
    if not isinstance(value, list):
        raise BadRows(
            f"{path} holds no rows", f"it is a JSON {type(value).__name__}", 'an array of objects: [{"input": ..., "output": ...}, ...]'
        )
    for number, record in enumerate(value, 1):
        yield (
            number,
            record if isinstance(record, dict) else f"not a JSON object but {type(record).__name__}",
            json.dumps(record, ensure_ascii=False)[:HEAD],
        )


def is_object(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def read_csv(path: Path, warn: Warn) -> Stream:
    """Comma, semicolon, tab or bar, whichever the header has most of. Row number: records after the header."""
    with open_text(path, warn) as file:
        first = file.readline()
        delimiter = max(",;\t|", key=first.count)
    return read_separated(path, delimiter, warn)


def read_tsv(path: Path, warn: Warn) -> Stream:
    return read_separated(path, "\t", warn)


def read_separated(path: Path, delimiter: str, warn: Warn) -> Stream:
    limit = csv.field_size_limit(1 << 24)  # a global of the csv module: put back below
    try:
        with open_text(path, warn) as file:
            reader = csv.reader(file, delimiter=delimiter)
            header = [name.strip() for name in next(reader, [])]
            number = 0
            while True:
                number += 1
                try:
                    cells = next(reader)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield number, f"malformed CSV: {error}", f"line {reader.line_num}"
                    continue
                if not any(cell.strip() for cell in cells):
                    continue
                head = delimiter.join(cells)[:HEAD]
                if len(cells) != len(header):
                    yield number, f"{len(cells)} cells, the header has {len(header)}", head
                else:
                    yield number, dict(zip(header, cells, strict=True)), head
    finally:
        csv.field_size_limit(limit)


def read_parquet(path: Path) -> Stream:
    parquet = need("pyarrow.parquet", "data")
    try:
        file = parquet.ParquetFile(path)
        number = 0
        for batch in file.iter_batches(batch_size=4096):
            for record in batch.to_pylist():
                number += 1
                yield number, record, str(record)[:HEAD]
    except (OSError, ValueError) as error:  # pyarrow.ArrowInvalid is a ValueError
        raise BadRows(f"{path} is no readable parquet file", str(error)[:300], "write it again, or convert it to .jsonl") from error


READERS: dict[str, Callable[[Path, Warn], Stream]] = {
    "jsonl": read_jsonl,
    "ndjson": read_jsonl,
    "json": read_json,
    "csv": read_csv,
    "tsv": read_tsv,
}
