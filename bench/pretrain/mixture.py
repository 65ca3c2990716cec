"""The text-to-text mixture: rows of our own making, seeded, rendered exactly as our students read.

A generator is a function (rng, stock) -> Made; GENERATORS names them with their weight. Nothing of any data set goes in but
the plain text of sources.py."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from episodes import EPISODES
from from_templates import FROM_TEMPLATES
from from_text import FROM_TEXT
from from_words import FROM_WORDS
from made import Made, Stock, read_stock

from limbeck import render

HELD_OUT = 200  # one row in so many


@dataclass(frozen=True)
class Row:
    """parts: what is read and what is answered, in turns, the last one an answer; together they are the whole text.
    only: "" or the base it is for. held: of the held-out part."""

    task: str
    parts: tuple[str, ...]
    only: str = ""
    held: bool = False


GENERATORS: dict[str, tuple[float, Callable[[random.Random, Stock], Made]]] = {**FROM_TEXT, **FROM_WORDS, **FROM_TEMPLATES}
EPISODE_SHARE = 0.2  # of all rows; they are for tiny-lm alone


def make_rows(n: int, seed: int) -> Iterator[Row]:
    """n rows in random order of task. A generator that finds nothing suitable in the text it drew draws again."""
    rng, stock = random.Random(seed), read_stock()
    names, weights = list(GENERATORS), [weight for weight, _ in GENERATORS.values()]
    made = 0
    while made < n:
        held = rng.randrange(HELD_OUT) == 0
        if rng.random() < EPISODE_SHARE:
            name = rng.choice(list(EPISODES))
            parts = EPISODES[name](rng, stock)
            row = Row(name, parts, "tiny-lm", held)
        else:
            name = rng.choices(names, weights)[0]
            one = None
            while one is None:
                one = GENERATORS[name][1](rng, stock)
            row = Row(name, parts_of(one, rng.random() < 0.5 or one.needs_instruction), held=held)
        made += 1
        yield row


def parts_of(made: Made, instruct: bool) -> tuple[str, ...]:
    """(prompt, answer), as engine.writer joins them for a base without a chat template."""
    messages = render.student_messages(made.task(), made.example(), instruct=instruct)
    return ("\n\n".join(m.content for m in messages), f" {made.output}")
