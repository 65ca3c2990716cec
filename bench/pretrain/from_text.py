"""Rows made of sentences of the books: what comes next, what is missing, which words stand where."""

from __future__ import annotations

import random

from made import Made, Stock, some, words_of

from limbeck.types import Kind


def cloze(rng: random.Random, stock: Stock) -> Made | None:
    text = stock.sentence(rng, 7, 22)
    long = [w for w in words_of(text) if len(w) > 4 and w.islower() and text.count(w) == 1]
    if not long:
        return None
    gone = rng.choice(long)
    others = [w for w in words_of(stock.sentence(rng, 8)) if len(w) > 4 and w.islower() and w != gone]
    blanked = text.replace(gone, "____")
    if rng.random() < 0.3 or not others:
        return Made(some(rng, "Write the missing word.", "Which word was left out of the sentence?"), blanked, gone)
    choices = list(dict.fromkeys([gone, *rng.sample(others, min(len(others), 3))]))
    rng.shuffle(choices)
    return Made("Choose the word that fills the blank.", blanked, gone, Kind.CHOICE, choices=tuple(choices))


def next_sentence(rng: random.Random, stock: Stock) -> Made | None:
    run = rng.choice(stock.runs)
    i = rng.randrange(len(run) - 1)
    first, second = run[i], run[i + 1]
    follows = rng.random() < 0.5
    if not follows:
        second = rng.choice(rng.choice(stock.runs))
    if len(first) + len(second) > 360:
        return None
    yes, no = rng.choice([("yes", "no"), ("next", "not next"), ("true", "false")])
    return Made(
        some(rng, "Does the second sentence follow the first one in the book?", "Say whether the second sentence comes right after the first."),
        f"first: {first}\nsecond: {second}", yes if follows else no, Kind.LABEL, (yes, no),
    )  # fmt: skip


def order(rng: random.Random, stock: Stock) -> Made | None:
    text = words_of(stock.sentence(rng, 5, 10))
    mixed = rng.sample(text, len(text))
    return Made(
        some(rng, "Put the words into order.", "Make a sentence of these words."), " ".join(mixed), " ".join(text), needs_instruction=True
    )


def pick(rng: random.Random, stock: Stock) -> Made | None:
    """Copy, turn round, first, last, n-th, number of words, capitals."""
    words = words_of(stock.sentence(rng, 3, 9))
    if len(words) < 3:
        return None
    n = rng.randrange(len(words))
    ordinals = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth")
    ways = [
        (some(rng, "Copy the text.", "Repeat the text."), " ".join(words)),
        ("Write the words in reverse order.", " ".join(reversed(words))),
        ("Write the first word.", words[0]),
        ("Write the last word.", words[-1]),
        (f"Write the {ordinals[min(n, 9)]} word.", words[min(n, 9)]),
        ("How many words are there?", str(len(words))),
        ("Write the longest word.", max(words, key=len)),
        ("Write the text in capital letters.", " ".join(words).upper()),
        ("Write the text in small letters.", " ".join(words).lower()),
    ]
    instruction, output = rng.choice(ways)
    return Made(instruction, " ".join(words), output, needs_instruction=True)


def follows(rng: random.Random, stock: Stock) -> Made | None:
    words = words_of(stock.sentence(rng, 6, 18))
    once = [i for i, w in enumerate(words) if words.count(w) == 1]
    after = [i for i in once if i + 1 < len(words)]
    if not after:
        return None
    i = rng.choice(after)
    text = " ".join(words)
    if rng.random() < 0.5:
        question, output = f'which word comes after "{words[i]}"?', words[i + 1]
    else:
        question, output = f'which word comes before "{words[i + 1]}"?', words[i]
        if words.count(words[i + 1]) > 1:
            return None
    return Made("Answer the question about the text.", f"question: {question}\ncontext: {text}", output)


def contains(rng: random.Random, stock: Stock) -> Made | None:
    words = words_of(stock.sentence(rng, 6, 20))
    inside = rng.random() < 0.5
    word = rng.choice(words) if inside else rng.choice(words_of(stock.sentence(rng)))
    if not inside and word in words:
        return None
    yes, no = rng.choice([("yes", "no"), ("true", "false"), ("present", "absent")])
    return Made("Does the word stand in the text?", f"word: {word}\ntext: {' '.join(words)}", yes if inside else no, Kind.LABEL, (yes, no))


def same(rng: random.Random, stock: Stock) -> Made | None:
    """The same sentence without a word or two of it, or another one that shares its beginning."""
    words = words_of(stock.sentence(rng, 7, 16))
    other = list(words)
    kept = rng.random() < 0.5
    if kept:
        for _ in range(rng.choice((1, 1, 2))):
            other.pop(rng.randrange(len(other)))
    else:
        cut = rng.randrange(2, len(words) - 2)
        other = other[:cut] + words_of(stock.sentence(rng, 5, 12))[-(len(words) - cut) :]
    labels = ("same", "different")
    return Made(
        some(rng, "Do both sentences say the same?", "Compare the two sentences."),
        f"sentence1: {' '.join(words)}\nsentence2: {' '.join(other)}", labels[not kept], Kind.LABEL, labels,
    )  # fmt: skip


def speaker(rng: random.Random, stock: Stock) -> Made | None:
    """Is anything said aloud in the sentence?"""
    text = stock.sentence(rng, 5, 22)
    said = any(sign in text for sign in ('"', "“", "”"))
    plain = " ".join(words_of(text))
    if said == (rng.random() < 0.5):
        return None
    return Made("Is this spoken by somebody, or told by the book?", plain, "spoken" if said else "told", Kind.LABEL, ("spoken", "told"))


FROM_TEXT = {
    "cloze": (4, cloze), "next sentence": (4, next_sentence), "word order": (2, order), "copy and pick": (4, pick),
    "word before or after": (3, follows), "contains": (2, contains), "same or different": (3, same), "spoken or told": (1, speaker),
}  # fmt: skip
