"""Documents -> the index over them: passages, BM25, embeddings. Built anew only as far as something changed.

    documents/<sha>.jsonl         the passages of one document, kept, so that an unchanged file is read once
    vectors/<sha>.npz             a block of embeddings and what they are of, kept, so that a text is embedded (and paid for) once
    passages.jsonl, -offsets.npy  every passage, and where its line begins
    passages-words*               BM25, as bm25s keeps it
    passages-vectors.npy          (n, d) float32, rows of length 1; absent where words alone are searched
    passages-left-out.json        numbers of passages that no search finds, with the reason (the leak guard's)
    passages.json                 what it was built from and how; written last: without it there is no index

One document at a time is in memory, never all passages. The files of the index itself lie flat beside each other, so that a
student's folder can hold them. No pickle."""

from __future__ import annotations

import hashlib
import json
import os
import time
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from limbeck.contexts import documents
from limbeck.contexts.chunks import OVERLAP, WORDS, Document, Passage, chunk
from limbeck.contexts.search import LEFT_OUT, MANIFEST, Embed, PassageIndex, identity_of, passage_from
from limbeck.contexts.words import index_words
from limbeck.errors import CapReached, MissingExtra, Transient, UsageError
from limbeck.run import room_on_disk, sha_of_file, write_bytes, write_json
from limbeck.types import sha_of

if TYPE_CHECKING:
    import numpy as np

BLOCK = 256  # texts that are embedded at a time: what a kill can cost
VECTORS = "passages-vectors.npy"

Note = Callable[[int, int, str], None]


def build(
    folder: Path,
    docs: Path,
    *,
    words: int = WORDS,
    overlap: int = OVERLAP,
    embedder: str = "minilm",
    embed: Embed | None = None,
    why_not: str = "",
    budget_s: float = float("inf"),
    ignore: Sequence[Path] = (),
    note: Note = lambda done, total, what: None,
) -> PassageIndex:
    """Reads what changed since the last time, and puts the index together again; unchanged, it does nothing.

    embed: of texts, None = words alone, with `why_not` as the reason. Where embedding every passage would take longer than
    budget_s, or more money than there is, words alone are searched too, and the index says so. ignore: files and folders that
    are no documents. Raises UsageError where no document has any text."""
    read = documents.named_files(docs, ignore)
    shas = {name: sha_of_file(path) if path.suffix.lower() in documents.READERS else "" for path, name in read}
    named = {"embedder": embedder, "identity": identity_of(embed)} if embed else {"embedder": "", "identity": ""}
    how = {"words": words, "overlap": overlap, **named, "reader": documents.VERSION}
    inputs = sha_of({"files": shas, **how})
    if (folder / MANIFEST).is_file():
        there = PassageIndex(folder, embed)
        enough = there.facts["meaning"] or embed is None or budget_s <= there.facts["budget_s"]
        if there.facts["inputs"] == inputs and enough:
            return there
    (folder / MANIFEST).unlink(missing_ok=True)
    skipped: list[dict[str, str]] = []
    counts: dict[str, int] = {}

    def every() -> Iterator[Passage]:
        kept = set()
        for done, (path, name) in enumerate(read):
            note(done, len(read), name)
            cache = folder / "documents" / f"{sha_of([name, shas[name], words, overlap, documents.VERSION])}.jsonl"
            kept.add(cache)
            try:
                found = passages_of(path, name, cache, words, overlap)
            except (documents.Unreadable, MissingExtra) as error:
                why = f"{error.what}: {error.do}" if isinstance(error, MissingExtra) else str(error)
                skipped.append({"document": name, "reason": why})
                continue
            counts[name] = len(found)
            yield from found
        for old in set((folder / "documents").glob("*.jsonl")) - kept:
            old.unlink()

    digest, n = write_passages(folder, every())
    if n == 0:
        have = "; ".join(f"{one['document']}: {one['reason']}" for one in skipped[:5]) or f"{docs} holds no text"
        raise UsageError(f"no document in {docs} can be read", have, f"files that are read: {', '.join(documents.READERS)}")
    index_words(folder, shown(folder))
    (folder / VECTORS).unlink(missing_ok=True)
    had = min(budget_s, 1e9)  # for embedding: with more another time, it is tried again
    without, why = 0, why_not
    if embed is not None:
        without, why = embedded(folder, embed, budget_s, note)
        had = -1.0 if why and not why.startswith(TOO_LONG) else had  # money or the provider: tried again in any case
    (folder / LEFT_OUT).unlink(missing_ok=True)
    facts = {"documents": len(counts), "passages": n, "skipped": skipped, "meaning": bool(embed) and not why, "why": why}
    write_json(folder / MANIFEST, {"format": 1, "inputs": inputs, "digest": digest, "budget_s": had, "without": without, **how, **facts})
    return PassageIndex(folder, embed)


def passages_of(path: Path, name: str, cache: Path, words: int, overlap: int) -> list[Passage]:
    if cache.is_file():
        return [passage_from(json.loads(line)) for line in cache.read_text(encoding="utf-8").splitlines()]
    document: Document = documents.read_document(path, name)
    found = chunk(document, words, overlap)
    write_bytes(cache, b"".join(map(line_of, found)))
    return found


def line_of(passage: Passage) -> bytes:
    return (json.dumps(asdict(passage), ensure_ascii=True) + "\n").encode()


def write_passages(folder: Path, passages: Iterable[Passage]) -> tuple[str, int]:
    """(digest of what was written, how many)."""
    import numpy as np

    digest, offsets = hashlib.sha256(), array("q", [0])
    with room_on_disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "passages.jsonl").open("wb") as file:  # without the manifest there is no index: half a file does no harm
            for passage in passages:
                line = line_of(passage)
                file.write(line)
                digest.update(line)
                offsets.append(offsets[-1] + len(line))
        np.save(folder / "passages-offsets.npy", np.array(offsets, np.int64), allow_pickle=False)
    return digest.hexdigest()[:16], len(offsets) - 1


def shown(folder: Path) -> Iterator[str]:
    """What is searched, passage by passage."""
    with (folder / "passages.jsonl").open("rb") as file:
        for line in file:
            yield passage_from(json.loads(line)).shown


# ---- embeddings ------------------------------------------------------------------------------------------------------

TOO_LONG = "embedding "  # how a reason begins that more time would change


def embedded(folder: Path, embed: Embed, budget_s: float, note: Note) -> tuple[int, str]:
    """Every passage's vector into passages-vectors.npy: (passages that the embedder declined, ""), or (0, why there are none).

    What was embedded before is not embedded again. Longest first would mislead the clock: texts are taken as they stand."""
    import numpy as np

    kept = Kept(folder / "vectors", identity_of(embed))
    keys = [key_of(text) for text in shown(folder)]
    left, began, done = set(keys) - kept.at.keys(), time.monotonic(), 0
    total = len(left)
    block: dict[bytes, str] = {}
    compute, size = getattr(embed, "passages", embed), getattr(embed, "block", BLOCK)

    def send() -> str:
        note(done, total, "passages embedded")
        try:
            kept.keep(list(block), np.asarray(compute(list(block.values())), np.float32))
        except (CapReached, Transient) as error:
            return f"{total - done:,} of {len(keys):,} passages are not embedded: {error.what}; words alone"
        return ""

    for key, text in zip(keys, shown(folder), strict=True):
        if key not in left:
            continue
        left.discard(key)
        block[key] = text
        if len(block) < size and left:
            continue
        if why := send():
            return 0, why
        done += len(block)
        block.clear()
        foreseen = (time.monotonic() - began) / done * total
        if left and foreseen > budget_s:
            return 0, f"{TOO_LONG}{total:,} passages would take {foreseen:.0f} s, and there are {budget_s:.0f}: words alone"
    return kept.gather(keys, folder / VECTORS), ""


def key_of(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:16]


class Kept:
    """Blocks of vectors on the disk, of one embedder. at: key of a text -> (number of its block, row in it)."""

    def __init__(self, folder: Path, identity: str):
        import numpy as np

        self.folder, self.mark = folder, sha_of(identity)[:8]
        self.files = sorted(folder.glob(f"{self.mark}-*.npz"))
        self.at: dict[bytes, tuple[int, int]] = {}
        for number, file in enumerate(self.files):
            with np.load(file, allow_pickle=False) as held:
                self.enter(number, [bytes(key) for key in held["keys"]])

    def enter(self, number: int, keys: Sequence[bytes]) -> None:
        for row, key in enumerate(keys):
            self.at[key] = number, row

    def keep(self, keys: Sequence[bytes], vectors: np.ndarray) -> None:
        """vectors: (len(keys), d). On the disk before it is used."""
        import io

        import numpy as np

        file = self.folder / f"{self.mark}-{sha_of([key.hex() for key in keys])}.npz"
        held = io.BytesIO()
        np.savez(held, keys=np.frombuffer(b"".join(keys), np.uint8).reshape(-1, 16), vectors=vectors)
        write_bytes(file, held.getvalue())
        self.enter(len(self.files), keys)
        self.files.append(file)

    def gather(self, keys: Sequence[bytes], path: Path) -> int:
        """The vectors of these texts, in order, as one array on the disk; blocks that hold none of them go. Gives the number of
        vectors that are nothing but zeros."""
        import numpy as np

        wanted: dict[int, list[tuple[int, int]]] = {}
        for place, key in enumerate(keys):
            number, row = self.at[key]
            wanted.setdefault(number, []).append((place, row))
        beside, out, zeros = path.with_name(f".{path.name}"), None, 0
        with room_on_disk(path.parent):
            for number, pairs in sorted(wanted.items()):
                with np.load(self.files[number], allow_pickle=False) as held:
                    vectors = held["vectors"]
                out = np.lib.format.open_memmap(beside, "w+", np.float32, (len(keys), vectors.shape[1])) if out is None else out
                places, rows = np.array(pairs).T
                out[places] = vectors[rows]
                zeros += int((~vectors[rows].any(1)).sum())
            assert out is not None
            out.flush()
            os.replace(beside, path)
        for number in set(range(len(self.files))) - wanted.keys():
            self.files[number].unlink(missing_ok=True)
        return zeros
