"""The telling words of a text as stems, for BM25: without what prompts say whatever they ask for, and without endings."""

from __future__ import annotations

import re

STOP = frozenset(  # what prompts say whatever they ask for
    re.findall(
        r"\w+",
        "a about above all an and answer any are as at be below by can could did do does e each eg either else following for from "
        "g get gets give given had has have he her here his how i ie if in input into is it its line make may me might more most "
        "must my no not of on one or other others otherwise our out output own please put read reply s same say sentence she so "
        "some somebody someone something state such t take task tell text than that the their them then there these they thing "
        "things this those to up us was we were what whether which who whom whose will with would you your ",
    )
)
ENDINGS = ("ations", "ation", "ings", "ing", "ies", "ied", "ed", "es", "s", "e", "y")


def stems(text: str) -> str:
    """The telling words, without common English endings: a prompt says `classify flights`, a card `flight classification`."""
    return " ".join(stem(word) for word in re.findall(r"[^\W_]+", text.lower()) if word not in STOP)


def stem(word: str) -> str:
    ending = next((e for e in ENDINGS if word.endswith(e) and len(word) - len(e) >= 3), "")
    return word[: len(word) - len(ending)]
