"""The index over a folder of documents: by words (BM25) and by meaning (embeddings), both fused by reciprocal rank.

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
import re
import shutil
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from limbeck.contexts import documents
from limbeck.contexts.chunks import OVERLAP, WORDS, Document, Passage, chunk
from limbeck.errors import MissingExtra, ModelError, UsageError
from limbeck.need import need
from limbeck.run import room_on_disk, write_bytes, write_json
from limbeck.types import sha_of

if TYPE_CHECKING:
    import numpy as np

MANIFEST, LEFT_OUT = "passages.json", "passages-left-out.json"
WAYS = ("fused", "words", "meaning")
K = 60  # of reciprocal rank fusion (Cormack, Clarke and Buettcher 2009)
DEPTH = 100  # so many of each ranking are fused
K1, B = 1.5, 0.75  # of BM25, in the form that Lucene has
BLOCK = 256  # texts that are embedded at a time: what a kill can cost
NAMES = {
    "data_name": "passages-words-data.npy",
    "indices_name": "passages-words-indices.npy",
    "indptr_name": "passages-words-indptr.npy",
    "vocab_name": "passages-words-vocab.json",
    "params_name": "passages-words-params.json",
    "nnoc_name": "passages-words-nnoc.npy",
}

Embed = Callable[[Sequence[str]], "np.ndarray"]  # n texts -> (n, d), rows of length 1
Note = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Hit:
    """number: of the passage. score: of the way that found it; higher is better."""

    number: int
    score: float


# ---- building --------------------------------------------------------------------------------------------------------


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
    apart = [path.resolve() for path in ignore]
    files = [f for f in documents.find_files(docs) if not any(f.resolve().is_relative_to(path) for path in apart)]
    root = docs if docs.is_dir() else docs.parent
    read = [(path, path.relative_to(root).as_posix()) for path in files]
    shas = {name: hashlib.sha256(path.read_bytes()).hexdigest() for path, name in read}
    how = {"words": words, "overlap": overlap, "embedder": embedder if embed else "", "reader": documents.VERSION}
    inputs = sha_of({"files": shas, **how})
    if (folder / MANIFEST).is_file() and (there := PassageIndex(folder)).facts["inputs"] == inputs:
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
    write_json(folder / MANIFEST, {"format": 1, "inputs": inputs, "digest": digest, **how, **facts})
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


def passage_from(line: dict[str, Any]) -> Passage:
    return Passage(**{**line, "headings": tuple(line["headings"])})


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


def words_of(text: str) -> list[str]:
    """Lower-cased letters and digits; no stemming, no stop words: documents are of any language."""
    return re.findall(r"\w+", text.lower())


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


# ---- searching -------------------------------------------------------------------------------------------------------


class PassageIndex:
    """An index on disk, opened. facts: the manifest. Arrays are mapped, passages read when they are asked for."""

    def __init__(self, folder: Path, embed: Embed | None = None):
        """embed: of queries, None = the encoder that the index was built with. Raises ModelError where it is damaged."""
        self.folder, self._embed = folder, embed
        try:
            self.facts: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
            left = folder / LEFT_OUT
            self.left_out: dict[int, str] = {int(k): v for k, v in json.loads(left.read_bytes()).items()} if left.is_file() else {}
        except (OSError, ValueError) as error:
            raise ModelError(f"there is no index of passages in {folder}", str(error), "run again with --docs DIR") from error

    def __len__(self) -> int:
        return int(self.facts["passages"])

    @property
    def digest(self) -> str:
        """Of all that decides what a search finds."""
        return sha_of([self.facts["digest"], self.facts["embedder"], self.facts["meaning"], sorted(self.left_out)])

    def passage(self, number: int) -> Passage:
        start, end = int(self.offsets[number]), int(self.offsets[number + 1])
        with (self.folder / "passages.jsonl").open("rb") as file:
            file.seek(start)
            return passage_from(json.loads(file.read(end - start)))

    def passages(self) -> list[Passage]:
        with (self.folder / "passages.jsonl").open("rb") as file:
            return [passage_from(json.loads(line)) for line in file]

    def leave_out(self, numbers: dict[int, str]) -> None:
        """From here on no search finds these: {number: why}."""
        if numbers != self.left_out:
            write_json(self.folder / LEFT_OUT, {str(k): v for k, v in sorted(numbers.items())})
            self.left_out = dict(numbers)

    def copy_to(self, folder: Path) -> None:
        with room_on_disk(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for file in sorted(self.folder.glob("passages*")):
                shutil.copyfile(file, folder / file.name)

    def search(
        self, queries: Sequence[str], n: int, way: str = "fused", without: Sequence[Collection[int]] | None = None
    ) -> list[list[Hit]]:
        """At most n hits per query, best first; equal ones in the order of the documents. way: fused | words | meaning; fused
        is words where the index has no embeddings. without: per query, passages that it may not find."""
        assert way in WAYS, f"{way} is none of {WAYS}"
        hidden = [{*self.left_out, *(without[i] if without else ())} for i in range(len(queries))]
        depth = n if way != "fused" else max(n, DEPTH)
        by_words = [self.by_words(q, depth, gone) for q, gone in zip(queries, hidden, strict=True)] if way != "meaning" else []
        if way == "words" or (way == "fused" and not self.facts["meaning"]):
            return [hits[:n] for hits in by_words]
        by_meaning = self.by_meaning(queries, depth, hidden)
        if way == "meaning":
            return by_meaning
        pairs = zip(by_words, by_meaning, strict=True)
        return [fuse([h.number for h in one], [h.number for h in other])[:n] for one, other in pairs]

    def by_words(self, query: str, n: int, hidden: Collection[int] = ()) -> list[Hit]:
        """BM25; a passage without a word of the query is no hit."""
        known = self.words.get_tokens_ids(words_of(query))
        if not known:
            return []
        scores = self.words.get_scores_from_ids(known)
        return best(scores, n, hidden, above=0.0)

    def by_meaning(self, queries: Sequence[str], n: int, hidden: Sequence[Collection[int]]) -> list[list[Hit]]:
        """Cosine. Raises UsageError where the index has no embeddings."""
        if not self.facts["meaning"]:
            raise UsageError("this index has no embeddings", self.facts["why"] or "words alone", "--set retrieval=words")
        if not queries:
            return []
        vectors = self.embed_queries(queries)
        return [best((self.vectors @ vector).round(6), n, gone) for vector, gone in zip(vectors, hidden, strict=True)]

    def embed_queries(self, queries: Sequence[str]) -> np.ndarray:
        if self._embed is not None:
            return self._embed(queries)
        from limbeck.engine.embed import embed

        return embed(queries, self.facts["embedder"], cached=len(queries) > 1)  # one alone is told what it costs

    @cached_property
    def words(self) -> Any:
        return need("bm25s", extra="data").BM25.load(str(self.folder), mmap=True, load_corpus=False, show_progress=False, **NAMES)

    @cached_property
    def offsets(self) -> np.ndarray:
        return self.array("passages-offsets.npy")

    @cached_property
    def vectors(self) -> np.ndarray:
        return self.array("passages-vectors.npy")

    def array(self, name: str) -> np.ndarray:
        import numpy as np

        return np.load(self.folder / name, mmap_mode="r", allow_pickle=False)


def best(scores: np.ndarray, n: int, hidden: Collection[int] = (), above: float = float("-inf")) -> list[Hit]:
    """The n highest above a floor; ties in order of their numbers, so that a search is the same on any machine."""
    import numpy as np

    scores = np.array(scores, np.float64)
    if hidden:
        scores[list(hidden)] = -np.inf
    if n < len(scores):
        floor = np.partition(scores, len(scores) - n)[len(scores) - n]
        places = np.nonzero(scores >= max(floor, np.finfo(np.float64).min))[0]
    else:
        places = np.nonzero(np.isfinite(scores))[0]
    places = places[scores[places] > above]
    order = places[np.lexsort((places, -scores[places]))][:n]
    return [Hit(int(i), float(scores[i])) for i in order]


def fuse(*rankings: Sequence[int], k: int = K) -> list[Hit]:
    """Sum over rankings of 1 / (k + rank), ranks from 1; what a ranking does not hold gets nothing from it."""
    total: dict[int, float] = {}
    for ranking in rankings:
        for rank, number in enumerate(ranking, 1):
            total[number] = total.get(number, 0.0) + 1 / (k + rank)
    return [Hit(number, score) for number, score in sorted(total.items(), key=lambda item: (-item[1], item[0]))]
