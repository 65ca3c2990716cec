"""Documents -> the index over them: passages, BM25, embeddings. Built anew only as far as something changed.

    documents/<sha>.jsonl         the passages of one document, kept, so that an unchanged file is read once
    passages.jsonl, -offsets.npy  every passage, and where its line begins
    passages-words*               BM25, as bm25s keeps it
    passages-vectors.npy          (n, d) float32, rows of length 1; absent where words alone are searched
    passages-left-out.json        numbers of passages that no search finds, with the reason (the leak guard's)
    passages.json                 what it was built from and how; written last: without it there is no index

All files of the index itself lie flat beside each other, so that a student's folder can hold them. No pickle."""

from __future__ import annotations

import hashlib
import io
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from limbeck.contexts import documents
from limbeck.contexts.chunks import OVERLAP, WORDS, Document, Passage, chunk
from limbeck.contexts.search import LEFT_OUT, MANIFEST, NAMES, Embed, PassageIndex, passage_from, words_of
from limbeck.errors import MissingExtra, UsageError
from limbeck.need import need
from limbeck.run import room_on_disk, sha_of_file, write_bytes, write_json
from limbeck.types import sha_of

if TYPE_CHECKING:
    import numpy as np

K1, B = 1.5, 0.75  # of BM25, in the form that Lucene has
BLOCK = 256  # texts that are embedded at a time: what a kill can cost

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
    budget_s, words alone are searched too, and the index says so. ignore: files and folders that are no documents. Raises UsageError where no document has any text."""
    read = documents.named_files(docs, ignore)
    shas = {name: sha_of_file(path) if path.suffix.lower() in documents.READERS else "" for path, name in read}
    how = {"words": words, "overlap": overlap, "embedder": embedder if embed else "", "reader": documents.VERSION}
    inputs = sha_of({"files": shas, **how})
    if (folder / MANIFEST).is_file():
        there = PassageIndex(folder)
        enough = there.facts["meaning"] or embed is None or budget_s <= there.facts["budget_s"]
        if there.facts["inputs"] == inputs and enough:
            return there
    (folder / MANIFEST).unlink(missing_ok=True)
    passages: list[Passage] = []
    skipped: list[dict[str, str]] = []
    counts: dict[str, int] = {}
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
        passages += found
    for old in set((folder / "documents").glob("*.jsonl")) - kept:
        old.unlink()
    if not passages:
        have = "; ".join(f"{one['document']}: {one['reason']}" for one in skipped[:5]) or f"{docs} holds no text"
        raise UsageError(f"no document in {docs} can be read", have, f"files that are read: {', '.join(documents.READERS)}")
    digest = write_passages(folder, passages)
    index_words(folder, [passage.shown for passage in passages])
    vectors, why = embedded([p.shown for p in passages], embed, budget_s, note) if embed else (None, why_not)
    if vectors is None:
        (folder / "passages-vectors.npy").unlink(missing_ok=True)
    else:
        save_array(folder / "passages-vectors.npy", vectors)
    (folder / LEFT_OUT).unlink(missing_ok=True)
    facts = {"documents": len(counts), "passages": len(passages), "skipped": skipped, "meaning": vectors is not None, "why": why}
    had = min(budget_s, 1e9)  # for embedding: with more another time, it is tried again
    write_json(folder / MANIFEST, {"format": 1, "inputs": inputs, "digest": digest, "budget_s": had, **how, **facts})
    return PassageIndex(folder)


def passages_of(path: Path, name: str, cache: Path, words: int, overlap: int) -> list[Passage]:
    if cache.is_file():
        return [passage_from(json.loads(line)) for line in cache.read_text(encoding="utf-8").splitlines()]
    document: Document = documents.read_document(path, name)
    found = chunk(document, words, overlap)
    write_bytes(cache, lines_of(found))
    return found


def lines_of(passages: Sequence[Passage]) -> bytes:
    return "".join(json.dumps(asdict(p), ensure_ascii=True) + "\n" for p in passages).encode()


def write_passages(folder: Path, passages: Sequence[Passage]) -> str:
    """The digest of what was written."""
    import numpy as np

    lines = [lines_of([passage]) for passage in passages]
    data = b"".join(lines)
    write_bytes(folder / "passages.jsonl", data)
    save_array(folder / "passages-offsets.npy", np.cumsum([0, *map(len, lines)], dtype=np.int64))
    return hashlib.sha256(data).hexdigest()[:16]


def save_array(path: Path, array: np.ndarray) -> None:
    import numpy as np

    held = io.BytesIO()
    np.save(held, array, allow_pickle=False)
    write_bytes(path, held.getvalue())


def index_words(folder: Path, texts: Sequence[str]) -> None:
    """Words are numbered as they come, not by a set's order: the same texts give the same files."""
    bm25s = need("bm25s", extra="data")
    vocabulary: dict[str, int] = {}
    ids = [[vocabulary.setdefault(word, len(vocabulary)) for word in words_of(text)] for text in texts]
    if not vocabulary:
        vocabulary[""] = 0
    index = bm25s.BM25(k1=K1, b=B)
    index.index((ids, vocabulary), show_progress=False)
    with room_on_disk(folder):
        index.save(str(folder), show_progress=False, **NAMES)


def embedded(texts: Sequence[str], embed: Embed, budget_s: float, note: Note) -> tuple[np.ndarray | None, str]:
    """((n, d), ""), or (None, why not). Longest first would mislead the clock: texts are taken as they stand."""
    import numpy as np

    began, parts = time.monotonic(), []
    for at in range(0, len(texts), BLOCK):
        note(at, len(texts), "passages embedded")
        parts.append(np.asarray(embed(texts[at : at + BLOCK]), np.float32))
        done = min(len(texts), at + BLOCK)
        foreseen = (time.monotonic() - began) / done * len(texts)
        if done < len(texts) and foreseen > budget_s:
            return None, f"embedding {len(texts):,} passages would take {foreseen:.0f} s, and there are {budget_s:.0f}: words alone"
    return np.concatenate(parts), ""
