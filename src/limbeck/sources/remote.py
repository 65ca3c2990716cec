"""The head of a data file over HTTP: as many rows as are wanted and no more bytes than that takes."""

from __future__ import annotations

import io
import tempfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

from limbeck.errors import BadRows, UsageError
from limbeck.need import need
from limbeck.sources.readers import Record, read_records

MOST_BYTES = 64 << 20  # of a text file, unpacked
BLOCK = 1 << 16
Stream = Callable[[], Generator[bytes, None, None]]  # opens the file anew, gives its bytes in blocks
Span = Callable[[int, int], tuple[bytes, int]]  # (first byte, how many; first < 0 = the last `how many`) -> (bytes, size of the file)


def head(name: str, most: int, stream: Stream, span: Span) -> list[tuple[int, Record]]:
    """At most `most` records of one file, by the ending of its name, with 1-based numbers. Raises UsageError, BadRows."""
    kind = name.lower().removesuffix(".gz").rpartition(".")[2]
    if kind == "parquet":
        return parquet_head(name, most, span)
    with closing(stream()) as raw:  # closing it hangs up: the rest of the file is not sent
        blocks, ended = whole(name, unpacked(name, raw)) if kind == "json" else lines(unpacked(name, raw), most)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / Path(name).name.removesuffix(".gz")
        file.write_bytes(blocks)
        read = [(n, record) for n, record, _ in islice(read_records(file, lambda text: None), most) if isinstance(record, dict)]
    return read if ended or len(read) < 2 else read[: most if len(read) >= most else -1]  # the last one may have been cut


def unpacked(name: str, blocks: Iterator[bytes]) -> Iterator[bytes]:
    if not name.lower().endswith(".gz"):
        yield from blocks
        return
    unzip = zlib.decompressobj(wbits=31)
    for block in blocks:
        yield unzip.decompress(block)


def lines(blocks: Iterator[bytes], most: int) -> tuple[bytes, bool]:
    """(whole lines: a header and `most` rows at least, whether that is all of the file). Rows of several lines come shorter."""
    taken, found = bytearray(), 0
    for block in blocks:
        taken += block
        found += block.count(b"\n")
        if found > 2 * most + 1 or len(taken) > MOST_BYTES:
            return bytes(taken[: taken.rfind(b"\n") + 1]), False
    return bytes(taken), True


def whole(name: str, blocks: Iterator[bytes]) -> tuple[bytes, bool]:
    """A JSON array has no rows before its end is read."""
    taken = bytearray()
    for block in blocks:
        taken += block
        if len(taken) > MOST_BYTES:
            raise UsageError(f"{name} is one JSON value of more than {MOST_BYTES >> 20} MB", "it cannot be read in part", "use a set in .jsonl or .parquet")  # fmt: skip
    return bytes(taken), True


def parquet_head(name: str, most: int, span: Span) -> list[tuple[int, Record]]:
    """Footer first, then only the pages of the first rows. Columns of bytes (pictures, sound) are not fetched."""
    parquet = need("pyarrow.parquet", "data")
    pa = need("pyarrow", "data")
    try:
        file = parquet.ParquetFile(io.BufferedReader(Remote(span), BLOCK), buffer_size=BLOCK, pre_buffer=False)
        wanted = [f.name for f in file.schema_arrow if not pa.types.is_binary(f.type) and not holds_bytes(pa, f.type)]
        taken: list[Record] = []
        for batch in file.iter_batches(batch_size=min(most, 1024), columns=wanted):
            taken += batch.to_pylist()
            if len(taken) >= most:
                break
    except pa.ArrowInvalid as error:
        raise BadRows(f"{name} is no readable parquet file", str(error)[:300], "choose another data set") from error
    return list(enumerate(taken[:most], 1))


def holds_bytes(pa: Any, kind: Any) -> bool:
    return bool(pa.types.is_struct(kind) and any(pa.types.is_binary(kind.field(i).type) for i in range(kind.num_fields)))


class Remote(io.RawIOBase):
    """A file that is read by byte ranges. The first request fetches its end, where a parquet file keeps its index."""

    def __init__(self, span: Span):
        self.span, self.at = span, 0
        self.tail, self.size = span(-1, 1 << 16)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self.at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self.at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.at, io.SEEK_END: self.size}[whence]
        return self.at

    def readinto(self, buffer: Any) -> int:
        wanted = min(len(buffer), self.size - self.at)
        if wanted <= 0:
            return 0
        start = self.at - (self.size - len(self.tail))
        data = self.tail[start : start + wanted] if start >= 0 else self.span(self.at, wanted)[0][:wanted]
        buffer[: len(data)] = data
        self.at += len(data)
        return len(data)
