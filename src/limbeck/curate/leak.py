"""The leak guard: no test row, nor its near copy, may stand among the rows that anything learns or chooses from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

from limbeck.curate.clean import key_text, shingles, similar_between, words_of
from limbeck.errors import LimbeckError
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


class HeldOut:
    """The rows of dev and test, none of which may be shown as a demonstration. splits: {name: rows}."""

    def __init__(self, splits: Mapping[str, Sequence[Example]]):
        self.ids: dict[str, tuple[str, str]] = {}  # id -> (split, id)
        self.texts: dict[tuple[str, ...], tuple[str, str]] = {}
        for where, rows in splits.items():
            for row in rows:
                self.ids.setdefault(row.id, (where, row.id))
                self.texts.setdefault(words_of(key_text(row)), (where, row.id))
        self.rows = [row for rows in splits.values() for row in rows]
        self.checked: dict[str, Example] = {}  # training rows that were looked at already

    def among(self, rows: Sequence[Example]) -> list[tuple[Example, str, str]]:
        """(row, split, id there) of each that is a held-out row: the same id, or the same text, case and punctuation aside."""
        found = []
        for row in rows:
            if self.checked.get(row.id) is row:
                continue
            if row.input and (hit := self.ids.get(row.id) or self.texts.get(words_of(key_text(row)))):
                found.append((row, *hit))
            else:
                self.checked[row.id] = row
        return found

    def without(self, rows: Sequence[Example]) -> list[Example]:
        """The rows that are no copies of held-out ones."""
        gone = {id(row) for row, *_ in self.among(rows)}
        return [row for row in rows if id(row) not in gone]

    def guarding(self, pick: Callable[[Example], Sequence[Example]]) -> Callable[[Example], Sequence[Example]]:
        """The same picker; raises LimbeckError where it would show a held-out row."""

        def guarded(example: Example) -> Sequence[Example]:
            shown = pick(example)
            if found := self.among(shown):
                row, where, other = found[0]
                raise LimbeckError(
                    f"a {where} row was about to be shown as a demonstration",
                    f"row {row.id}, which is {other} of {where}, for the input of row {example.id}",
                    "demonstrations come from training rows alone: a picker of a plug-in shows others, or a row was planted",
                )
            return shown

        return guarded


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
