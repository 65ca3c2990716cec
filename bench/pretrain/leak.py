"""No eight words in a row of an evaluation row's input may stand in what the bases learn from.

Evaluation data: every set in the folder of public data that has a test split (its valid and test inputs, all of them), and
the two wikitext files. Words are lower-cased runs of letters and digits, so punctuation and spacing hide nothing."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterable, Iterator

from common import SHARED

N = 8
_WORD = re.compile(r"[^\W_]+")


def grams(text: str) -> Iterator[int]:
    """A 64-bit hash of every N words in a row."""
    words = _WORD.findall(text.lower())
    for i in range(len(words) - N + 1):
        yield hash(tuple(words[i : i + N]))


def evaluation_sets() -> list[str]:
    return sorted(p.parent.name for p in (SHARED / "data").glob("*/test.jsonl.gz"))


def evaluation_grams() -> tuple[set[int], dict[str, int]]:
    """(hashes, {set: rows read})."""
    found: set[int] = set()
    read: dict[str, int] = {}
    for name in evaluation_sets():
        for split in ("valid", "test"):
            path = SHARED / "data" / name / f"{split}.jsonl.gz"
            if not path.exists():
                continue
            with gzip.open(path, "rt", encoding="utf-8") as file:
                for line in file:
                    read[name] = read.get(name, 0) + 1
                    found.update(grams(json.loads(line)["input"]))
    for name in ("wikitext2_valid", "wikitext2_test"):
        with gzip.open(SHARED / "data" / "text" / f"{name}.txt.gz", "rt", encoding="utf-8") as file:
            for line in file:
                read[name] = read.get(name, 0) + 1
                found.update(grams(line))
    return found, read


def clean(texts: Iterable[str], forbidden: set[int]) -> Iterator[bool]:
    """True where a text shares nothing with `forbidden`."""
    for text in texts:
        yield forbidden.isdisjoint(grams(text))
