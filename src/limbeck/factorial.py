"""Two-level fractional factorial designs: many levers tried in few runs, and what each of them is worth by itself.

Coding: a lever is -1 (off) or +1 (on). A generated lever is a product of others (Box & Hunter 1961); its sign is chosen so that
the run with everything off, which is the reference, belongs to the design."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product
from math import prod
from typing import NamedTuple

# (levers, runs) -> for each generated lever the numbers of the levers that it is a product of
GENERATORS: dict[tuple[int, int], tuple[tuple[int, ...], ...]] = {
    (5, 16): ((0, 1, 2, 3),),
    (5, 8): ((0, 1), (0, 2)),
    (4, 8): ((0, 1, 2),),
}
ROMAN = {3: "III", 4: "IV", 5: "V"}


class Design(NamedTuple):
    """runs: per run, which levers are on; the first has none. resolution: III, IV, V or full. aliases: {lever number: the pairs
    of levers whose joint effect cannot be told from its own}."""

    runs: tuple[tuple[bool, ...], ...]
    resolution: str
    aliases: dict[int, tuple[tuple[int, int], ...]]


def design(levers: int, most_runs: int) -> Design:
    """The best design of at most so many runs, one of 8 or 16 where the whole factorial is more. ValueError for fewer than 8 runs
    of more than 3 levers."""
    if levers < 1 or (most_runs < 8 and 2**levers > most_runs):
        raise ValueError(f"no design of {levers} levers in {most_runs} runs")
    if 2**levers <= most_runs:
        return Design(ordered(product((-1, 1), repeat=levers)), "full", {})
    size = 16 if most_runs >= 16 else 8
    generators = GENERATORS[levers, size]
    basic = levers - len(generators)
    runs = []
    for signs in product((-1, 1), repeat=basic):
        made = [prod(signs[i] for i in factors) * (-1 if len(factors) % 2 == 0 else 1) for factors in generators]
        runs.append((*signs, *made))
    words = defining_words(generators, basic)
    aliases = {
        i: tuple(pair for word in words if len(word) == 3 and i in word and len(pair := tuple(sorted(word - {i}))) == 2)
        for i in range(levers)
    }
    return Design(ordered(runs), ROMAN[min(map(len, words))], {i: pairs for i, pairs in aliases.items() if pairs})  # type: ignore[arg-type]


def ordered(runs: object) -> tuple[tuple[bool, ...], ...]:
    """Fewest levers first."""
    return tuple(sorted((tuple(sign > 0 for sign in run) for run in runs), key=lambda run: (sum(run), [not on for on in run])))  # type: ignore[attr-defined]


def defining_words(generators: Sequence[Sequence[int]], basic: int) -> list[frozenset[int]]:
    """The levers whose product is constant over the design; the shortest such word is the resolution."""
    words = [frozenset((*factors, basic + i)) for i, factors in enumerate(generators)]
    every = []
    for n in range(1, len(words) + 1):
        for some in combinations(words, n):
            word: frozenset[int] = frozenset()
            for one in some:
                word = word ^ one
            every.append(word)
    return every


def halves(runs: Sequence[Sequence[bool]], lever: int) -> tuple[list[int], list[int]]:
    """Numbers of the runs with the lever on, and off."""
    return [i for i, run in enumerate(runs) if run[lever]], [i for i, run in enumerate(runs) if not run[lever]]
