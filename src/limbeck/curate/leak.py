"""The leak guard: no test row, nor its near copy, may stand among the rows that anything learns or chooses from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from limbeck.curate.clean import key_text, shingles, similar_between, words_of
from limbeck.types import Example, Frozen


class Leak(Frozen):
    """test_id stands in `where` (train, dev, demonstrations, unlabelled) as other_id. jaccard 1.0: the same text, case
    and punctuation aside."""

    test_id: str
    other_id: str
    where: str
    jaccard: float


def leaks(test: Sequence[Example], others: Mapping[str, Sequence[Example]]) -> list[Leak]:
    """Every pair, exact and near, by `where` and then by row. Choice rows are compared by input and options; with a
    set that has no options (demonstrations, unlabelled rows) by input."""
    return [leak for where, rows in others.items() for leak in leaks_in(test, where, rows)]


def leaks_in(test: Sequence[Example], where: str, rows: Sequence[Example]) -> list[Leak]:
    with_choices = any(row.choices for row in rows)
    test_words = [words_of(key_text(row, with_choices)) for row in test]
    same: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for i, words in enumerate(test_words):
        same[words].append(i)
    distinct = list(same)
    found = []
    near: list[tuple[int, tuple[str, ...]]] = []
    for j, row in enumerate(rows):
        words = words_of(key_text(row, with_choices))
        near.append((j, words))
        found += [(j, i, 1.0) for i in same.get(words, ())]
    pairs = similar_between([shingles(words) for _, words in near], [shingles(words) for words in distinct])
    found += [(near[q][0], i, jaccard) for q, d, jaccard in pairs if near[q][1] != distinct[d] for i in same[distinct[d]]]
    return [Leak(test_id=test[i].id, other_id=rows[j].id, where=where, jaccard=round(jaccard, 4)) for j, i, jaccard in sorted(found)]


def remove_leaks(
    test: Sequence[Example], others: Mapping[str, Sequence[Example]]
) -> tuple[dict[str, list[Example]], dict[str, int], list[Leak]]:
    """(rows without leaks, how many were taken out, the leaks), by `where`. Test itself is frozen: nothing leaves it."""
    found = leaks(test, others)
    gone: dict[str, set[str]] = defaultdict(set)
    for leak in found:
        gone[leak.where].add(leak.other_id)
    kept = {where: [row for row in rows if row.id not in gone[where]] for where, rows in others.items()}
    return kept, {where: len(rows) - len(kept[where]) for where, rows in others.items()}, found


def nearest_rows(row: Example, others: Sequence[Example], k: int) -> list[tuple[Example, float]]:
    """The k other rows that share most words with this one, best first, with the Jaccard overlap of the word sets
    (not of shingles: to show what lies near, also where nothing is a copy). Rows that share none are left out."""
    own = set(words_of(key_text(row)))
    scored = []
    for at, other in enumerate(others):
        words = set(words_of(key_text(other)))
        if shared := len(own & words):
            scored.append((-shared / len(own | words), at))
    return [(others[at], round(-minus, 4)) for minus, at in sorted(scored)[:k]]
