"""Rows made of dictionary entries: words and their meanings, both ways, kinds and synonyms."""

from __future__ import annotations

import random

from made import Entry, Made, Stock, some

from limbeck.types import Kind

PARTS = ("noun", "verb", "adjective", "adverb")


def define(rng: random.Random, stock: Stock) -> Made | None:
    entry = stock.entry(rng, 12)
    return Made(
        some(rng, "Define the word.", "What does the word mean?"), f"{entry.words[0]} ({entry.part})", entry.gloss, needs_instruction=True
    )


def name(rng: random.Random, stock: Stock) -> Made | None:
    entry = stock.entry(rng)
    return Made(some(rng, "Which word means this?", "Name the word for this definition."), entry.gloss, entry.words[0])


def choose_word(rng: random.Random, stock: Stock) -> Made | None:
    entry = stock.entry(rng)
    choices = list(dict.fromkeys([entry.words[0], *(stock.entry(rng).words[0] for _ in range(rng.choice((1, 2, 3))))]))
    rng.shuffle(choices)
    return Made("Choose the word that fits the definition.", entry.gloss, entry.words[0], Kind.CHOICE, choices=tuple(choices))


def choose_meaning(rng: random.Random, stock: Stock) -> Made | None:
    entry = stock.entry(rng, 12)
    choices = list(dict.fromkeys([entry.gloss, *(stock.entry(rng, 12).gloss for _ in range(rng.choice((1, 2))))]))
    rng.shuffle(choices)
    return Made("Choose the meaning of the word.", f"{entry.words[0]} ({entry.part})", entry.gloss, Kind.CHOICE, choices=tuple(choices))


def part_of_speech(rng: random.Random, stock: Stock) -> Made | None:
    part = rng.choice(PARTS)
    entry = stock.entry(rng)
    if entry.part != part:
        return None
    text = f"{entry.words[0]}: {entry.gloss}" if rng.random() < 0.5 else entry.gloss
    return Made("What kind of word is defined?", text, part, Kind.LABEL, PARTS)


def synonyms(rng: random.Random, stock: Stock) -> Made | None:
    entry = stock.entry(rng)
    if len(entry.words) < 2:
        return None
    a, b = rng.sample(entry.words, 2)
    same = rng.random() < 0.5
    if not same:
        b = stock.entry(rng).words[0]
    yes, no = rng.choice([("yes", "no"), ("same", "different")])
    return Made("Do both words mean the same?", f"first: {a}\nsecond: {b}", yes if same else no, Kind.LABEL, (yes, no))


def member(rng: random.Random, stock: Stock, genus: str) -> Entry:
    while True:
        entry = rng.choice(stock.by_genus[genus])
        if entry.gloss.count(" ") < 20:
            return entry


def kind_of(rng: random.Random, stock: Stock) -> Made | None:
    """Is a bittern a kind of bird? By the noun that its definition rests on."""
    genus, other = rng.sample(list(stock.by_genus), 2)
    entry = member(rng, stock, genus)
    right = rng.random() < 0.5
    asked = genus if right else other
    text = f"Is {entry.words[0]} a kind of {asked}?" + (f" It is {entry.gloss}." if rng.random() < 0.6 else "")
    return Made("Answer the question.", text, "yes" if right else "no", Kind.LABEL, ("yes", "no"))


def topic(rng: random.Random, stock: Stock) -> Made | None:
    """One label of several, the noun that would give it away taken out of the definition half of the time."""
    labels = rng.sample(list(stock.by_genus), rng.choice((2, 3, 4, 6)))
    genus = rng.choice(labels)
    entry = member(rng, stock, genus)
    gloss = entry.gloss.replace(genus, "one") if rng.random() < 0.5 else entry.gloss
    text = gloss if rng.random() < 0.5 else f"{entry.words[0]}: {gloss}"
    return Made(
        some(rng, "Which kind of thing is this?", "Sort the text into one of the groups."), text, genus, Kind.LABEL, tuple(labels),
        needs_instruction=True,
    )  # fmt: skip


def genus_of(rng: random.Random, stock: Stock) -> Made | None:
    entry = stock.entry(rng)
    if not entry.genus:
        return None
    return Made("What kind of thing is defined? One word of the definition.", f"{entry.words[0]}: {entry.gloss}", entry.genus)


def in_example(rng: random.Random, stock: Stock) -> Made | None:
    entry = stock.entry(rng, 30)
    used = [(w, e) for w in entry.words for e in entry.examples if f" {w} " in f" {e} " and 3 < len(e.split()) < 20]
    if not used:
        return None
    word, example = rng.choice(used)
    blanked = f" {example} ".replace(f" {word} ", " ____ ").strip()
    choices = list(dict.fromkeys([word, *(stock.entry(rng).words[0] for _ in range(2))]))
    rng.shuffle(choices)
    return Made("Choose the word that fills the blank.", f"{blanked}\nmeaning: {entry.gloss}", word, Kind.CHOICE, choices=tuple(choices))


FROM_WORDS = {
    "word to definition": (2, define), "definition to word": (3, name), "choose the word": (3, choose_word),
    "choose the meaning": (2, choose_meaning), "part of speech": (2, part_of_speech), "synonyms": (2, synonyms),
    "kind of": (3, kind_of), "topic of a definition": (4, topic), "genus": (2, genus_of), "word in its example": (2, in_example),
}  # fmt: skip
