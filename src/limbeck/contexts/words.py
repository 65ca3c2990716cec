"""BM25 over any number of texts: what a text costs lies on the disk, what a different word costs is held in memory.

    texts -> blocks of (word, text, times), sorted, on the disk -> columns of scores, one per word

The files are those of bm25s, which searches them; the scores are the ones that bm25s.index would give (a test says so), only
that it holds every text as a list of numbers. Words are numbered as they come: the same texts give the same files."""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from limbeck.need import need
from limbeck.run import room_on_disk

if TYPE_CHECKING:
    import numpy as np

K1, B = 1.5, 0.75  # of BM25, in the form that Lucene has
BLOCK = 1 << 20  # words that are counted at a time: about 60 MB
NAMES = {
    "data_name": "passages-words-data.npy",
    "indices_name": "passages-words-indices.npy",
    "indptr_name": "passages-words-indptr.npy",
    "vocab_name": "passages-words-vocab.json",
    "params_name": "passages-words-params.json",
    "nnoc_name": "passages-words-nnoc.npy",
}


def words_of(text: str) -> list[str]:
    """Lower-cased letters and digits; no stemming, no stop words: documents are of any language."""
    return re.findall(r"\w+", text.lower())


def index_words(folder: Path, texts: Iterable[str]) -> None:
    """Writes the index over these texts into the folder. texts: gone through once, one at a time."""
    bm25s = need("bm25s", extra="data")
    with room_on_disk(folder), TemporaryDirectory(dir=folder, prefix=".words-") as place:
        counted = Counted(Path(place))
        counted.take(texts)
        index = bm25s.BM25(k1=K1, b=B)
        index.scores, index.vocab_dict, index.nonoccurrence_array = counted.columns(), counted.vocabulary or {"": 0}, None
        index.save(str(folder), show_progress=False, **NAMES)


class Counted:
    """How often each word stands in each text. lengths: words per text. frequency: texts per word."""

    def __init__(self, place: Path):
        import numpy as np

        self.place, self.blocks = place, 0
        self.vocabulary: dict[str, int] = {}
        self.lengths = array("i")
        self.frequency = np.zeros(1, np.int64)

    def take(self, texts: Iterable[str]) -> None:
        ids, first = array("i"), 0
        for text in texts:
            before = len(ids)
            ids.extend(self.vocabulary.setdefault(word, len(self.vocabulary)) for word in words_of(text))
            self.lengths.append(len(ids) - before)
            if len(ids) >= BLOCK:
                self.write(ids, first)
                ids, first = array("i"), len(self.lengths)
        self.write(ids, first)

    def write(self, ids: array[int], first: int) -> None:
        """One block: (3, n) of word, text, times, by word and then by text."""
        import numpy as np

        lengths = np.frombuffer(self.lengths, np.int32)[first:].copy()  # a view would pin the array, which has to grow
        texts = np.repeat(np.arange(first, first + len(lengths), dtype=np.int64), lengths)
        pairs, times = np.unique(np.array(ids, np.int64) << 32 | texts, return_counts=True)
        words = (pairs >> 32).astype(np.int32)
        np.save(self.place / f"{self.blocks}.npy", np.stack([words, (pairs & 0xFFFFFFFF).astype(np.int32), times.astype(np.int32)]))
        self.blocks += 1
        seen = np.bincount(words, minlength=max(1, len(self.vocabulary)))
        seen[: len(self.frequency)] += self.frequency
        self.frequency = seen

    def columns(self) -> dict[str, Any]:
        """bm25s's matrix by columns: data and indices lie on the disk, in the order of words, then of texts."""
        import numpy as np

        n = len(self.lengths)
        lengths = np.frombuffer(self.lengths, np.int32)
        about = self.frequency
        rarity = np.log(1 + (n - about + 0.5) / (about + 0.5)).astype(np.float32)
        room = K1 * ((1 - B) + B * lengths / max(1e-9, lengths.mean()))  # (n,) float64, as bm25s computes it
        starts = np.concatenate([[0], np.cumsum(about)])
        data = self.on_disk("data", np.float32, int(starts[-1]))
        indices = self.on_disk("indices", np.int32, int(starts[-1]))
        free = starts[:-1].copy()  # where the next score of each word belongs
        for words, texts, times in self.read():
            runs = np.flatnonzero(np.diff(words, prepend=-1))
            sizes = np.diff(np.append(runs, len(words)))
            places = free[words] + np.arange(len(words)) - np.repeat(runs, sizes)
            data[places] = rarity[words] * (times / (room[texts] + times))
            indices[places] = texts
            free[words[runs]] += sizes
        return {"data": data, "indices": indices, "indptr": starts, "num_docs": n}

    def read(self) -> Iterator[np.ndarray]:
        import numpy as np

        for number in range(self.blocks):
            yield np.load(self.place / f"{number}.npy", allow_pickle=False)

    def on_disk(self, name: str, kind: Any, size: int) -> np.ndarray:
        import numpy as np

        if size == 0:
            return np.zeros(0, kind)  # nothing cannot be mapped
        return np.lib.format.open_memmap(self.place / f"{name}.npy", "w+", kind, (size,))
