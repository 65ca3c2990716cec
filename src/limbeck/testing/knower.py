"""A small world in pseudo-words with declared relations: documents, questions that only an inference answers, and a stand-in teacher.

The teacher answers from what stands in its prompt and from nothing else; what it says follows does follow, but for a share of errors,
which hangs on the request alone, so that the same body gets the same reply."""

from __future__ import annotations

import hashlib
import itertools
import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from limbeck.augment.relations import Fact, fact_in, infer, read_relations, truths
from limbeck.testing.chat_server import Answer, completion

DECLARED = [
    {"a": "heavier than", "inverse": "lighter than", "transitive": True},
    {"a": "older than", "inverse": "younger than", "transitive": True},
    {"a": "north of", "inverse": "south of"},
    {"a": "next to", "symmetric": True},
]
RELATIONS = read_relations(DECLARED)
PHRASES = [p for r in RELATIONS for p in (r.a, r.inverse) if p]
PROMPT = f"""---
kind: choice
relations: {json.dumps(DECLARED)}
---
Go on with the one thing of which the statement is true.
"""


def names(n: int, seed: int = 0) -> list[str]:
    """Distinct pseudo-words of two syllables."""
    syllables = ["".join(p) for p in itertools.product("bdfgklmnprstvz", "aeiou")]
    words = ["".join(pair) for pair in itertools.product(syllables, syllables)]
    return random.Random(seed).sample(words, n)


def world(documents: int, seed: int = 0) -> tuple[dict[str, str], list[dict[str, Any]]]:
    """({file name: text}, rows with input, output, choices). Every document says of one thing what it is to others, two or three
    sentences. Every question goes on from a thing and the side that no document states: an inverse, or a chain of two documents."""
    rng = random.Random(seed)
    things = names(documents + 1, seed)
    order = rng.sample(things, len(things))  # heavier first
    ages, places = rng.sample(things, len(things)), rng.sample(things, len(things))
    near = dict(zip(places[::2], places[1::2], strict=False))
    texts = {}
    for at, thing in enumerate(order[:-1]):
        said = [f"The {thing} is heavier than the {order[at + 1]}."]
        age = ages.index(thing)
        said += [f"The {thing} is older than the {ages[age + 1]}."] if age + 1 < len(ages) else []
        said += [f"The {thing} is next to the {near[thing]}."] if thing in near else []
        texts[f"{thing}.md"] = " ".join(said) + "\n"
    statements = {f"{name} {k}": s for name, text in texts.items() for k, s in enumerate(re.findall(r"[^.]+\.", text))}
    stated, beyond = truths({k: s.strip() for k, s in statements.items()}, RELATIONS)
    rows = []
    begun = {r.a for r in RELATIONS if not r.symmetric}  # a question that begins as a document does would be half told
    for subject, phrase, thing in sorted(key for key in beyond if key[1] not in begun):
        wrong = [t for t in things if t not in (subject, thing) and (subject, phrase, t) not in stated | beyond]
        options = [thing, *rng.sample(wrong, min(3, len(wrong)))]
        rng.shuffle(options)
        rows.append(
            {
                "id": f"{subject}-{phrase}-{thing}".replace(" ", "-"),
                "input": f"The {subject} is {phrase} the",
                "output": thing,
                "choices": options,
            }
        )
    return texts, rng.sample(rows, len(rows))


def write_world(folder: Path, documents: int, questions: int, seed: int = 0, prompt: str = PROMPT) -> Path:
    """prompt.md, docs/, questions.jsonl."""
    texts, rows = world(documents, seed)
    (folder / "docs").mkdir(parents=True)
    for name, text in texts.items():
        (folder / "docs" / name).write_text(text)
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:questions]))
    (folder / "prompt.md").write_text(prompt)
    return folder


def knower(errors: float = 0.0) -> Callable[[dict[str, Any]], Answer]:
    """For ChatServer. errors: the share of inferences with another thing in place of the right one."""

    def answer(body: dict[str, Any]) -> Answer:
        system, asked = body["messages"][0]["content"], body["messages"][-1]["content"]
        rng = random.Random(hashlib.sha256(json.dumps(body["messages"]).encode()).hexdigest())
        if "You are shown one statement." in system:
            reply = local(asked, errors, rng)
        elif "told which of them to begin from" in system:
            reply = linked(asked, errors, rng)
        elif "Say of each statement" in system:
            reply = opinion(asked)
        else:
            reply = chosen(system, asked, body)
        return 200, completion(reply, usage=(len(system + asked) // 4, len(reply) // 4 + 1))

    return answer


def sentences_of(text: str) -> list[str]:
    return [s.strip() for s in re.findall(r"The [^.|\n]+\.", text)]


def wrong(fact: Fact, others: list[str], errors: float, rng: random.Random) -> str:
    if rng.random() >= errors:
        return fact.text
    other = rng.choice([o for o in others if o not in (fact.subject, fact.object)] or [fact.subject])
    return fact._replace(said=(*fact.said[:2], f"the {other}")).text


def local(asked: str, errors: float, rng: random.Random) -> str:
    statement = sentences_of(asked)[-1]
    fact = fact_in(statement, RELATIONS)
    if fact is None:
        return "NONE"
    found = infer({"s": statement}, RELATIONS, {"s": "s"})
    others = sorted({*names(3, rng.randrange(9)), fact.object})
    lines = [f"{wrong(one, others, errors, rng)} | {why.why}" for why in found if (one := fact_in(why.text, RELATIONS))]
    return "\n".join([*lines, f"It is {fact.phrase} the {fact.object} that the {fact.subject} is. | other words"])


def linked(asked: str, errors: float, rng: random.Random) -> str:
    shown, _, focus = asked.rpartition("Begin from: [")
    numbered = dict(re.findall(r"\[(\d+)\] ((?:The [^.\[]+\.\s*)+)", shown))
    statements = {f"{number}.{k}": s for number, text in numbered.items() for k, s in enumerate(sentences_of(text))}
    home = {name: name.partition(".")[0] for name in statements}
    begin = focus.partition("]")[0]
    others = sorted({w for s in statements.values() if (f := fact_in(s, RELATIONS)) for w in (f.subject, f.object)})
    found = [one for one in infer(statements, RELATIONS, home) if one.scope == "global" and one.uses[0] == begin]
    lines = [
        f"{wrong(fact, others, errors, rng)} | {', '.join(one.uses)} | {one.why}" for one in found if (fact := fact_in(one.text, RELATIONS))
    ]
    return "\n".join(lines) or "NONE"


def opinion(asked: str) -> str:
    texts, _, listed = asked.partition("Statements:\n")
    statements = {str(k): s for k, s in enumerate(sentences_of(texts))}
    said, beyond = truths(statements, RELATIONS)
    lines = []
    for number, text in re.findall(r"(\d+)\. (.+)", listed):
        fact = fact_in(text, RELATIONS)
        lines.append(f"{number} {'yes' if fact is None or fact.key in said | beyond else 'no'}")
    return "\n".join(lines)


def chosen(system: str, asked: str, body: dict[str, Any]) -> str:
    """A question, answered from the sentences in the prompt; a guess where they do not tell."""
    question = re.findall(r"Input: The (\w+) is ([a-z ]+?) the\b", asked)
    if not question:
        return "NONE"
    subject, phrase = question[-1]
    options = re.findall(r"^[A-Z]\. (.+)$", asked.rpartition("Options:")[2], re.M)
    said, beyond = truths({str(k): s for k, s in enumerate(sentences_of(system + "\n" + asked))}, RELATIONS)
    right = [o for o in options if (subject, phrase, o) in said | beyond]
    guess = random.Random(subject + phrase).choice(options)
    return json.dumps({"answer": right[0] if right else guess})
