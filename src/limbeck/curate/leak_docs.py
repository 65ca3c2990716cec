"""The leak guard over documents: a passage that holds a row, its input and its answer, gives the answer away.

A passage with the input's words alone is no leak (that is what it is looked up for), nor one with the answer alone. Told is
a row where 0.8 of its runs of four words stand in neighbouring passages of one document, and the answer stands there more
often than in the input itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from limbeck.render import squeeze
from limbeck.types import Example

RUN = 4  # words
SHARE = 0.8  # of an input's runs
PART = 0.1  # of them, in a passage that counts as holding a part of the row
EXTRA = 6  # words beside input and answer, where the input is shorter than a run

Runs = set[tuple[str, ...]]


def told(rows: Sequence[Example], passages: Sequence[tuple[str, str]]) -> dict[str, list[int]]:
    """{row id: numbers of the passages that hold it}. passages: (document, text) in order."""
    inputs = [squeeze(row.input).split() for row in rows]
    answers = [[squeeze(a) for a in {row.output, *(row.answers or ())} if a and squeeze(a)] for row in rows]
    wanted: dict[tuple[str, ...], list[int]] = defaultdict(list)
    totals = [0] * len(rows)
    for i, words in enumerate(inputs):
        if answers[i] and len(words) > 1:
            mine = runs(words)
            totals[i] = len(mine)
            for run in mine:
                wanted[run].append(i)
    lengths = sorted({len(run) for run in wanted})
    texts = [f" {squeeze(text)} " for _, text in passages]
    parts: dict[tuple[int, str], dict[int, Runs]] = defaultdict(dict)
    for number, (document, _) in enumerate(passages):
        for run, i in shared(texts[number].split(), lengths, wanted):
            parts[i, document].setdefault(number, set()).add(run)
    found: dict[str, list[int]] = {}
    for (i, document), held in parts.items():
        numbers = [n for n, some in held.items() if len(some) >= PART * totals[i]]
        if len(set().union(*(held[n] for n in numbers))) < SHARE * totals[i] if numbers else True:
            continue
        after = numbers[-1] + 1
        if after < len(passages) and passages[after][0] == document:
            numbers.append(after)  # the answer may stand behind the cut
        if gone := giving(inputs[i], answers[i], numbers, texts):
            found.setdefault(rows[i].id, []).extend(gone)
    return found


def giving(words: Sequence[str], answers: Sequence[str], numbers: Sequence[int], texts: Sequence[str]) -> list[int]:
    """Those of the passages to leave out: all up to the last that holds the answer; none where it stands there no more often
    than in the input."""
    own = f" {' '.join(words)} "
    holds = [n for n in numbers if any(count(texts[n], a) > count(own, a) for a in answers)]
    if not holds:
        return []
    if len(words) < RUN:
        return [n for n in holds if len(texts[n].split()) <= len(words) + max(len(a.split()) for a in answers) + EXTRA]
    return [n for n in numbers if n <= holds[-1]]


def count(text: str, answer: str) -> int:
    return text.count(f" {answer} ")


def runs(words: Sequence[str]) -> Runs:
    """Every run of four words; a shorter text is one run."""
    size = min(RUN, len(words))
    return {tuple(words[i : i + size]) for i in range(len(words) - size + 1)}


def shared(words: Sequence[str], lengths: Sequence[int], wanted: dict[tuple[str, ...], list[int]]) -> Iterator[tuple[tuple[str, ...], int]]:
    for size in lengths:
        for at in range(len(words) - size + 1):
            run = tuple(words[at : at + size])
            for i in wanted.get(run, ()):
                yield run, i
