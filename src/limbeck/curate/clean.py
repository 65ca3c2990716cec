"""Duplicates: the same text, case and punctuation aside, and texts whose 3-word shingles overlap by Jaccard >= 0.8.

Exact, without MinHash: two sets this similar share a token among the first |s| - ceil(0.8 |s|) + 1 of each, rare tokens
first, so that an index over those prefixes finds every pair (Chaudhuri et al. 2006, Bayardo et al. 2007). Above 50,000
rows datasketch proposes the pairs, and each is still checked exactly."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from limbeck.need import need
from limbeck.types import Example, Frozen

THRESHOLD = 0.8
SHINGLE = 3  # words
SHORT = 5  # words; a shorter text is compared as a whole only
MANY = 50_000  # rows from which datasketch proposes the pairs

# A word, a CJK character, or a sign that carries meaning (2 + 3 is not 2 * 3; -5 is not 5); other punctuation is dropped.
_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]|[^\W_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]+|[+*/=<>%^&|~#@$€£]|-(?=\s?\d)"
)

Shingles = frozenset[tuple[str, ...]]


class Contradiction(Frozen):
    """The same input with different outputs: label noise. outputs: as often as they stand there, in row order."""

    input: str
    ids: tuple[str, ...]
    outputs: tuple[str, ...]


def key_text(row: Example, with_choices: bool = True) -> str:
    """What makes two rows the same question: the input, and for `choice` rows the options, in any order."""
    return row.input + "\n" + "\n".join(sorted(row.choices)) if with_choices and row.choices else row.input


def words_of(text: str) -> tuple[str, ...]:
    """Case, punctuation and width aside. A text of nothing but punctuation is its own word."""
    flat = unicodedata.normalize("NFKC", text).casefold()
    return tuple(_WORD.findall(flat)) or tuple(flat.split())


def shingles(words: Sequence[str]) -> Shingles:
    """The set of runs of 3 words; empty for a short text, which has no near duplicates."""
    if len(words) < SHORT:
        return frozenset()
    return frozenset(tuple(words[i : i + SHINGLE]) for i in range(len(words) - SHINGLE + 1))


def near_duplicates(rows: Sequence[Example]) -> list[tuple[int, int, float]]:
    """(i, j, jaccard) with i < j. Copies pair with the first row of the same text (jaccard 1.0), and the first rows
    with each other, so that a thousand copies are 999 pairs."""
    first: dict[tuple[str, ...], int] = {}
    pairs: list[tuple[int, int, float]] = []
    for j, row in enumerate(rows):
        words = words_of(key_text(row))
        i = first.setdefault(words, j)
        if i != j:
            pairs.append((i, j, 1.0))
    heads = list(first.values())
    sets = [shingles(words) for words in first]
    for a, b, jaccard in similar_within(sets):
        i, j = sorted((heads[a], heads[b]))
        pairs.append((i, j, jaccard))
    return sorted(pairs)


def groups(rows: Sequence[Example], pairs: Sequence[tuple[int, int, float]] | None = None) -> list[list[int]]:
    """Every row number in exactly one group; rows that are near duplicates, directly or over others, are together."""
    parent = list(range(len(rows)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    for i, j, _ in near_duplicates(rows) if pairs is None else pairs:
        parent[max(root(i), root(j))] = min(root(i), root(j))
    members: dict[int, list[int]] = defaultdict(list)
    for i in range(len(rows)):
        members[root(i)].append(i)
    return list(members.values())


def contradictions(rows: Sequence[Example]) -> list[Contradiction]:
    """Inputs that stand in the rows (case and punctuation aside) with more than one output. Training rows are kept as
    they are, and counted: which of them is wrong nobody knows here."""
    same: dict[tuple[str, ...], list[Example]] = defaultdict(list)
    for row in rows:
        if row.output is not None:
            same[words_of(key_text(row))].append(row)
    return [
        Contradiction(input=found[0].input, ids=tuple(row.id for row in found), outputs=tuple(row.output or "" for row in found))
        for found in same.values()
        if len({row.output for row in found}) > 1
    ]


# ---- similar sets -------------------------------------------------------------------------------------------------


def similar_within(sets: Sequence[Shingles]) -> list[tuple[int, int, float]]:
    """(a, b, jaccard) of every pair of sets with Jaccard >= 0.8, a < b."""
    if len(sets) > MANY:
        return [(a, b, j) for b, a, j in proposed(sets, sets) if a < b]
    return [(a, b, j) for b, a, j in prefix_join(sets, sets, within=True)]


def similar_between(queries: Sequence[Shingles], indexed: Sequence[Shingles]) -> list[tuple[int, int, float]]:
    """(query, index, jaccard) of every pair across."""
    if max(len(queries), len(indexed)) > MANY:
        return list(proposed(queries, indexed))
    return list(prefix_join(queries, indexed, within=False))


def prefix_join(queries: Sequence[Shingles], indexed: Sequence[Shingles], within: bool) -> Iterator[tuple[int, int, float]]:
    """within: queries and indexed are the same list, and each pair comes once, as (later, earlier)."""
    counts = Counter(token for sets in ((queries,) if within else (queries, indexed)) for one in sets for token in one)
    index: dict[tuple[str, ...], list[int]] = defaultdict(list)
    if not within:
        for i, one in enumerate(indexed):
            for token in prefix(one, counts):
                index[token].append(i)
    for q, one in enumerate(queries):
        found: set[int] = set()
        rare = prefix(one, counts)
        for token in rare:
            found.update(index.get(token, ()))
        for i in sorted(found):
            jaccard = overlap(one, indexed[i])
            if jaccard >= THRESHOLD:
                yield q, i, jaccard
        if within:
            for token in rare:
                index[token].append(q)


def prefix(one: Shingles, counts: Counter[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """The rarest tokens, as many as two sets with Jaccard >= 0.8 must share one of."""
    if not one:
        return []
    length = len(one) - math.ceil(THRESHOLD * len(one) - 1e-9) + 1
    return sorted(one, key=lambda token: (counts[token], token))[:length]


def overlap(a: Shingles, b: Shingles) -> float:
    """Jaccard; 0 where the sizes alone rule 0.8 out."""
    if min(len(a), len(b)) < THRESHOLD * max(len(a), len(b)) - 1e-9:
        return 0.0
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared)


def proposed(queries: Sequence[Shingles], indexed: Sequence[Shingles]) -> Iterator[tuple[int, int, float]]:
    """The same from MinHash-LSH (datasketch), proposals at 0.6 so that few pairs at 0.8 are missed, checked exactly."""
    datasketch = need("datasketch", "data")
    lsh = datasketch.MinHashLSH(threshold=0.6, num_perm=64)

    def sketch(one: Shingles) -> object:
        found = datasketch.MinHash(num_perm=64)
        found.update_batch([" ".join(token).encode() for token in one])
        return found

    for i, one in enumerate(indexed):
        if one:
            lsh.insert(i, sketch(one))
    for q, one in enumerate(queries):
        for i in sorted(lsh.query(sketch(one))) if one else ():
            if (jaccard := overlap(one, indexed[i])) >= THRESHOLD:
                yield q, i, jaccard
