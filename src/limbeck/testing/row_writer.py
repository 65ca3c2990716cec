"""A stand-in for a model that writes rows: for tests that need a teacher who generates, labels, names topics and reads prompts.

It knows one small task, the notes of a bicycle workshop. What it writes follows from the request's seed alone, so that the same body
gets the same reply; a share of its labels is wrong, and a share of its rows repeats."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from typing import Any

from limbeck.testing.chat_server import Answer, completion

PROMPT = """Sort the note that a visitor leaves at a bicycle workshop.

Labels:
- repair: something on the bicycle is broken or worn
- hire: wants to borrow or rent one for a while
- sale: wants to buy or sell a bicycle

Note: {note}
Label:
"""
LABELS = ("repair", "hire", "sale")
WHO = (
    "my",
    "our",
    "the old",
    "my daughter's",
    "a neighbour's",
    "the blue",
    "this heavy",
    "grandfather's",
    "the office",
    "my second",
    "that folding",
    "the green",
)
WHAT = ("city bike", "racing bike", "tandem", "cargo bike", "mountain bike", "tricycle", "e-bike", "unicycle", "kids bike", "gravel bike")
SAID = {
    "repair": ("the brake of {b} squeals", "{b} has a flat tyre", "chain of {b} keeps jumping", "can you true the wheel of {b}", "{b} lost a pedal", "gears of {b} slip", "the light on {b} is dead", "saddle of {b} came loose"),
    "hire": ("may we rent {b} for", "is {b} free to borrow", "need {b} on loan", "what does a week with {b} cost to rent", "please keep {b} for us to hire", "hire {b}", "could I borrow {b}", "booking {b} as a rental"),
    "sale": ("what would you pay for {b}", "I want to sell {b}", "is {b} in the window for sale", "do you buy {b} second hand", "price tag of {b} please", "offering {b} for sale", "I would like to buy {b}", "how much to purchase {b}"),
}  # fmt: skip
WHEN = (
    "since Monday",
    "this weekend",
    "before the tour",
    "today",
    "in June",
    "after the rain",
    "next week",
    "by Friday noon",
    "for the holidays",
    "again",
    "",
    "as soon as you can",
)


def note_of(rng: random.Random) -> dict[str, str]:
    label = rng.choice(LABELS)
    said = rng.choice(SAID[label]).format(b=f"{rng.choice(WHO)} {rng.choice(WHAT)}")
    return {"input": f"{said} {rng.choice(WHEN)}".strip(), "output": label}


def truth(text: str) -> str:
    """The label of one of its notes, read off the words."""
    for label, forms in SAID.items():
        if any(all(part.strip() in text for part in form.split("{b}")) for form in forms):
            return label
    return "repair"


def row_writer(noise: float = 0.1, repeats: float = 0.1) -> Callable[[dict[str, Any]], Answer]:
    """The `answer` of a ChatServer."""

    def answer(body: dict[str, Any]) -> Answer:
        rng = random.Random(hashlib.sha256(json.dumps(body, sort_keys=True).encode()).digest())
        question = body["messages"][-1]["content"]
        schema = (body.get("response_format") or {}).get("json_schema", {}).get("schema", {})
        texts = [json.dumps(reply(schema, question, rng)) if schema else wrong_at_times(question, rng) for _ in range(body.get("n") or 1)]
        return 200, completion(*texts, usage=(len(str(body["messages"])) // 4, sum(map(len, texts)) // 4))

    def reply(schema: dict[str, Any], question: str, rng: random.Random) -> dict[str, Any]:
        properties = schema.get("properties", {})
        if "examples" in properties:
            rows = [note_of(random.Random(7) if rng.random() < repeats else rng) for _ in range(properties["examples"].get("maxItems", 5))]
            return {"examples": [{**row, "output": row["output"] if rng.random() >= noise else rng.choice(LABELS)} for row in rows]}
        if "demonstrations" in properties:
            return {
                "instruction": PROMPT.split("\n\nNote:")[0],
                "demonstrations": [],
                "kind": "label",
                "labels": list(LABELS),
                "language": "en",
            } | {name: None for name in properties if name not in ("instruction", "demonstrations", "kind", "labels", "language")}
        arrays = [name for name, shape in properties.items() if shape.get("type") == "array"]
        if arrays:
            return {name: list(rng.sample(WHAT, 5)) for name in arrays}
        return {name: wrong_at_times(question, rng) for name in properties}

    def wrong_at_times(question: str, rng: random.Random) -> str:
        note = question.rpartition("Note:")[2] if "Note:" in question else question
        return rng.choice(LABELS) if rng.random() < noise else truth(note)

    return answer
