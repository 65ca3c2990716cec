"""Examples first, then questions: rows from which the decoder-only base can learn to use what stands in its context.

Every answer after the first few can be known from the examples alone, and each of them is taught."""

from __future__ import annotations

import random
from collections.abc import Callable

from from_templates import FROM_TEMPLATES
from from_text import FROM_TEXT
from made import ANIMALS, CITIES, COLOURS, JOBS, NAMES, PLACES, THINGS, Stock, pseudo_word, some

SETS = {"animals": ANIMALS, "cities": CITIES, "colours": COLOURS, "jobs": JOBS, "names": NAMES, "places": PLACES, "things": THINGS}


def shots(rng: random.Random, pairs: list[tuple[str, str]], head: str = "") -> tuple[str, ...]:
    """Pairs as a prompt with demonstrations shows them. The first part holds the first input, and so on in turns."""
    name, reply, gap = rng.choice([("Input: ", "\nAnswer:", "\n\n")] * 4 + [("", " ->", "\n"), ("", ":", "\n")])
    parts: list[str] = []
    for n, (given, answer) in enumerate(pairs):
        parts += [f"{head if n == 0 else gap}{name}{given}{reply}", f" {answer}"]
    return tuple(parts)


def repeated_pairs(rng: random.Random, stock: Stock) -> tuple[str, ...]:
    """Nonsense keys with a value each; they come back in another order."""
    n = rng.randrange(3, 8)
    keys = [pseudo_word(rng) if rng.random() < 0.6 else rng.choice(THINGS) for _ in range(n)]
    values = {k: some(rng, pseudo_word(rng), str(rng.randrange(100)), rng.choice(CITIES), rng.choice(COLOURS)) for k in keys}
    asked = [*keys, *rng.sample(keys, n), *(rng.choice(keys) for _ in range(rng.randrange(3)))]
    return shots(rng, [(k, values[k]) for k in asked])


def named_groups(rng: random.Random, stock: Stock) -> tuple[str, ...]:
    """Words of two or three groups, each group under a nonsense name."""
    groups = rng.sample(list(SETS), rng.choice((2, 2, 3)))
    labels = {g: pseudo_word(rng) if rng.random() < 0.7 else rng.choice("ABCDXYZ") + str(rng.randrange(10)) for g in groups}
    pairs = []
    for _ in range(rng.randrange(8, 16)):
        g = rng.choice(groups)
        pairs.append((rng.choice(SETS[g]), labels[g]))
    return shots(rng, pairs)


def one_rule(rng: random.Random, stock: Stock) -> tuple[str, ...]:
    """The same small change every time, never said."""
    n = rng.randrange(2, 10)
    word = lambda: some(rng, pseudo_word(rng), rng.choice(THINGS), rng.choice(CITIES).lower())  # noqa: E731
    rules: list[Callable[[], tuple[str, str]]] = [
        lambda: (w := word(), w.upper()),
        lambda: (str(k := rng.randrange(50)), str(k + n)),
        lambda: (" ".join(ws := [word(), word(), word()]), ws[0]),
        lambda: (" ".join(ws := [word(), word(), word()]), ws[-1]),
        lambda: (" ".join(ws := [word(), word()]), " ".join(reversed(ws))),
        lambda: (w := word(), f"{w} {w}"),
        lambda: (f"{(k := word())} {rng.choice(COLOURS)}", k),
    ]
    rule = rng.choice(rules)
    return shots(rng, [rule() for _ in range(rng.randrange(4, 9))])


def few_of_a_task(rng: random.Random, stock: Stock) -> tuple[str, ...]:
    """Some rows of one of the other tasks, all with the same instruction and labels."""
    name = rng.choice(
        ("tone", "entailment", "dates", "sums", "contains", "spoken or told", "word problem to equation", "numbers in a list")
    )
    make = {**FROM_TEXT, **FROM_TEMPLATES}[name][1]
    first, found = None, []
    for _ in range(60):
        made = make(rng, stock)
        if made is None or len(made.input) > 220:
            continue
        first = first or made
        if (made.labels, made.instruction) == (first.labels, first.instruction):
            found.append((made.input, made.output))
        if len(found) == 5:
            break
    return shots(rng, found, f"{first.instruction}\n\n" if rng.random() < 0.5 else "") if first else repeated_pairs(rng, stock)


EPISODES: dict[str, Callable[[random.Random, Stock], tuple[str, ...]]] = {
    "pairs that come back": repeated_pairs,
    "groups under a new name": named_groups,
    "one rule throughout": one_rule,
    "a few rows of a task": few_of_a_task,
}
