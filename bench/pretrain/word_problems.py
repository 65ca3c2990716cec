"""Arithmetic word problems of our own templates, one step or two, with more told than is needed in a third of them."""

from __future__ import annotations

import random

from made import NAMES, PLACES, THINGS, Stock, some


def problem(rng: random.Random, stock: Stock) -> tuple[str, str, str]:
    """(text, "( 8 - 3 )", the number). The signs stand apart from the words in half of the problems, numbers of an equation
    have .0 in a third."""
    text, tree = rng.choice((joined, taken, difference, groups, shared, two_joined, taken_twice, groups_and_more, shared_rest, wage))(rng)
    if rng.random() < 0.35:
        text = told_more(rng, text)
    if rng.random() < 0.5:
        for sign in (".", ",", "?"):
            text = text.replace(sign, f" {sign}")
    decimal = rng.random() < 0.33
    return text, written(tree, decimal), f"{value(tree):g}"


Tree = int | tuple["Tree", str, "Tree"]


def written(tree: Tree, decimal: bool) -> str:
    if isinstance(tree, int):
        return f"{tree}.0" if decimal else str(tree)
    left, sign, right = tree
    return f"( {written(left, decimal)} {sign} {written(right, decimal)} )"


def value(tree: Tree) -> float:
    if isinstance(tree, int):
        return tree
    left, right = value(tree[0]), value(tree[2])
    return {"+": left + right, "-": left - right, "*": left * right, "/": left / right}[tree[1]]


def told_more(rng: random.Random, text: str) -> str:
    """A sentence with a number that nobody asks about, anywhere before the question."""
    parts = text.split(". ")
    extra = f"{rng.choice(NAMES)} has {rng.randrange(2, 60)} {rng.choice(THINGS)}"
    parts.insert(rng.randrange(len(parts)), extra)
    return ". ".join(parts)


def small(rng: random.Random) -> int:
    return rng.randrange(2, 13)


def some_number(rng: random.Random) -> int:
    return rng.choice((rng.randrange(2, 20), rng.randrange(2, 100), rng.randrange(10, 400)))


def joined(rng: random.Random) -> tuple[str, Tree]:
    (one, two), thing, a, b = rng.sample(NAMES, 2), rng.choice(THINGS), some_number(rng), some_number(rng)
    text = some(
        rng, f"{one} has {a} {thing}. {two} gives {one} {b} more {thing}. How many {thing} does {one} have now?",
        f"{one} found {a} {thing} and {two} found {b} {thing}. How many {thing} did they find altogether?",
        f"There are {a} {thing} in the {rng.choice(PLACES)}. {one} puts {b} more there. How many {thing} are there in all?",
        f"{one} picked {a} {thing} on Monday and {b} on Tuesday. What is the total number of {thing}?",
        f"After {one} gave away {b} {thing} there were {a} {thing} left. How many {thing} did {one} have at first?",
    )  # fmt: skip
    return text, (a, "+", b)


def taken(rng: random.Random) -> tuple[str, Tree]:
    (one, two), thing = rng.sample(NAMES, 2), rng.choice(THINGS)
    b, a = sorted((some_number(rng), some_number(rng) + 1))
    text = some(
        rng, f"{one} had {a} {thing}. {one} gave {b} of them to {two}. How many {thing} are left?",
        f"There were {a} {thing} in the {rng.choice(PLACES)}. {one} took {b}. How many {thing} remain?",
        f"{one} wants {a} {thing} and has {b} already. How many more {thing} does {one} need?",
        f"{one} and {two} have {a} {thing} together. {b} of them are {two}'s. How many {thing} does {one} have?",
        f"{one} had some {thing}. Then {two} brought {b} more and now there are {a} {thing}. How many were there before?",
        f"{one} lost {b} of {a} {thing} on the way. How many {thing} does {one} still have?",
    )  # fmt: skip
    return text, (a, "-", b)


def difference(rng: random.Random) -> tuple[str, Tree]:
    (one, two), (thing, other) = rng.sample(NAMES, 2), rng.sample(THINGS, 2)
    b, a = sorted((some_number(rng), some_number(rng) + 1))
    text = some(
        rng, f"{one} has {a} {thing} and {two} has {b} {thing}. How many more {thing} does {one} have than {two}?",
        f"{two} has {b} {thing}. {one} has {a} {thing}. How many fewer {thing} does {two} have than {one}?",
        f"The {rng.choice(PLACES)} has {a} {thing} and {b} {other}. How many more {thing} than {other} are there?",
        f"{one} ran {a} metres and {two} ran {b} metres. How much farther did {one} run than {two}?",
    )  # fmt: skip
    return text, (a, "-", b)


def groups(rng: random.Random) -> tuple[str, Tree]:
    one, thing, a, b = rng.choice(NAMES), rng.choice(THINGS), small(rng), some_number(rng)
    text = some(
        rng, f"{one} has {a} bags. There are {b} {thing} in each bag. How many {thing} does {one} have?",
        f"Each of {a} children brings {b} {thing}. How many {thing} are there altogether?",
        f"There are {a} shelves with {b} {thing} on every shelf. How many {thing} are there in total?",
        f"{one} bought {a} {thing} for {b} dollars each. How many dollars did {one} pay?",
    )  # fmt: skip
    return text, (a, "*", b)


def shared(rng: random.Random) -> tuple[str, Tree]:
    one, thing, b = rng.choice(NAMES), rng.choice(THINGS), small(rng)
    a = b * rng.choice((small(rng), rng.randrange(2, 60)))
    text = some(
        rng, f"{one} shares {a} {thing} among {b} friends equally. How many {thing} does each friend get?",
        f"{one} puts {a} {thing} into {b} boxes, the same number in each. How many {thing} are in each box?",
        f"{a} {thing} are packed in bags of {b}. How many bags are needed?",
        f"There are {a} {thing} in {b} equal rows. How many {thing} stand in each row?",
    )  # fmt: skip
    return text, (a, "/", b)


def two_joined(rng: random.Random) -> tuple[str, Tree]:
    (one, two), thing = rng.sample(NAMES, 2), rng.choice(THINGS)
    a, b, c = some_number(rng), some_number(rng), small(rng)
    c = min(c, a + b - 1)
    text = some(
        rng, f"{one} had {a} {thing} and found {b} more. Then {one} gave {c} to {two}. How many {thing} does {one} have now?",
        f"There were {a} {thing} on the table. {one} added {b} and {two} took {c} away. How many {thing} are there?",
    )  # fmt: skip
    return text, ((a, "+", b), "-", c)


def taken_twice(rng: random.Random) -> tuple[str, Tree]:
    (one, two), thing = rng.sample(NAMES, 2), rng.choice(THINGS)
    b, c = some_number(rng), small(rng)
    a = b + c + some_number(rng)
    text = some(
        rng, f"{one} had {a} {thing}. {one} sold {b} in the morning and {c} in the evening. How many {thing} are left?",
        f"Of {a} {thing}, {b} belong to {one} and {c} belong to {two}. How many belong to nobody?",
    )  # fmt: skip
    return text, ((a, "-", b), "-", c)


def groups_and_more(rng: random.Random) -> tuple[str, Tree]:
    one, thing, a, b, c = rng.choice(NAMES), rng.choice(THINGS), small(rng), small(rng), some_number(rng)
    if rng.random() < 0.5:
        return f"{one} has {a} boxes with {b} {thing} in each box and {c} loose {thing}. How many {thing} does {one} have?", (
            (a, "*", b),
            "+",
            c,
        )
    c = min(c, a - 1)
    return f"There are {a} rows. Each row holds {b} {thing}, but {c} rows are broken. How many {thing} can be held?", ((a, "-", c), "*", b)


def shared_rest(rng: random.Random) -> tuple[str, Tree]:
    (one, two), thing, b, c = rng.sample(NAMES, 2), rng.choice(THINGS), small(rng), some_number(rng)
    a = b * small(rng) + c
    text = some(
        rng, f"{one} had {a} {thing}. {c} of them broke and the rest were put into boxes of {b}. How many boxes are there?",
        f"{one} baked {a} cakes. {two} ate {c}. The others were shared by {b} friends. How many cakes did each friend get?",
    )  # fmt: skip
    return text, ((a, "-", c), "/", b)


def wage(rng: random.Random) -> tuple[str, Tree]:
    one, a, b = rng.choice(NAMES), small(rng), some_number(rng)
    text = some(
        rng, f"{one} earns {b} dollars in an hour and works {a} hours. How much does {one} earn?",
        f"{one} reads {a} pages a day. How many pages does {one} read in {b} days?",
        f"A ticket costs {b} dollars. How much do {a} tickets cost?",
    )  # fmt: skip
    return text, ((b, "*", a) if "earns" in text or "ticket" in text else (a, "*", b))
