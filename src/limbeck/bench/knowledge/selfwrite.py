"""The base writes what follows, with the documents in its context: no teacher, no rule. What it wrote is checked, then learnt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from limbeck.bench.knowledge.base import MARK
from limbeck.bench.knowledge.checker import consequences
from limbeck.bench.knowledge.facts import END, Document, World
from limbeck.bench.knowledge.writers import Written, linked, local

TOKENS = 80  # of one reply
BATCH = 32


@dataclass(frozen=True)
class Report:
    """said: distinct inferences, before any check. dropped: {reason: how many}. coverage: share of what there is to infer that was
    kept. precision: share of what was kept that is true."""

    said: int
    dropped: Mapping[str, int]
    kept: int
    coverage: float
    precision: float


def write(
    world: World, base: Any, scope: str, samples: int = 3, least: int = 2, temperature: float = 0.7, room: int = 24
) -> tuple[list[Written], Report]:
    """Each statement (local) or each article among others (global) is read `samples` times; what `least` of them say is kept.

    Raises ImportError where limbeck.augment.inferences is not there."""
    from limbeck.augment.inferences import agreed, checked

    prompts = statements(world) if scope == "local" else articles(world, room)
    sources = {d.id: d.text for d in world.documents}
    rounds = [said(world, base, prompts, scope, temperature, seed) for seed in range(samples)]
    held, fewer = agreed(rounds, least)
    kept, dropped = checked(held, sources)
    if fewer:
        dropped = {f"fewer than {least} of {samples} samples": fewer, **dropped}
    return judged(world, kept, scope), report(world, kept, dropped, scope, len(held) + fewer)


def statements(world: World) -> list[tuple[tuple[str, ...], str]]:
    """[(ids of the documents, prompt)]: each fact once, in the words of its first document."""
    found: dict[Any, tuple[tuple[str, ...], str]] = {}
    for d in world.documents:
        for sentence in d.sentences:
            found.setdefault(world.rules.read(sentence), ((d.id,), f"{sentence}{END} {MARK}"))
    return list(found.values())


def articles(world: World, room: int) -> list[tuple[tuple[str, ...], str]]:
    """Each subject's article with those that share most words with it, as fit into `room` sentences; the article last."""
    from limbeck.engine.rank import by_words

    shortest: dict[str, Document] = {}
    for d in world.documents:
        if d.about and (
            d.about not in shortest
            or (covers(world, d), -len(d.sentences)) > (covers(world, shortest[d.about]), -len(shortest[d.about].sentences))
        ):
            shortest[d.about] = d
    pool = list(shortest.values())
    found = []
    for focus in pool:
        others = [d for d in pool if d is not focus]
        scores = by_words(" ".join(names_in(world, focus)), [d.text for d in others])
        chosen, left = [focus], room - len(focus.sentences)
        for i in sorted(range(len(others)), key=lambda i: -scores[i]):
            if scores[i] > 0 and len(others[i].sentences) <= left:
                chosen.insert(0, others[i])
                left -= len(others[i].sentences)
        found.append((tuple(d.id for d in chosen), f"{' '.join(d.text for d in chosen)} {MARK}"))
    return found


def covers(world: World, document: Document) -> int:
    return len({world.rules.read(s) for s in document.sentences})


def names_in(world: World, document: Document) -> list[str]:
    """Of things that other articles may be about."""
    subjects = {d.about for d in world.documents}
    return [w for w in dict.fromkeys(document.text.split()) if w in subjects and w != document.about]


def said(world: World, base: Any, prompts: Sequence[tuple[tuple[str, ...], str]], scope: str, temperature: float, seed: int) -> list[Any]:
    """Inferences of one round; a sentence that was cut off is left out."""
    from limbeck.augment.inferences import Inference
    from limbeck.engine.generate import Decoding, decode, seed_of
    from limbeck.engine.tokens import prompt_ids

    found = []
    for start in range(0, len(prompts), BATCH):
        some = prompts[start : start + BATCH]
        ids = [prompt_ids(base.tokenizer, base.family, text) for _, text in some]
        seeds = [seed_of(seed, start + i) for i in range(len(some))]
        replies = decode(base.model, base.tokenizer, base.family, ids, TOKENS, Decoding(temperature=temperature), seeds=seeds)
        for (uses, prompt), reply in zip(some, replies, strict=True):
            for sentence in reply.text.split(END.strip())[:-1]:
                found.append(Inference(text=f"{sentence.strip()}{END}", uses=uses, why=prompt[-200:], scope=scope))
    return found


def judged(world: World, kept: Sequence[Any], scope: str) -> list[Written]:
    follows = consequences(world)
    facts = [world.rules.read(one.text) for one in kept]
    return [Written(one.text, fact, fact in follows, scope) for one, fact in zip(kept, facts, strict=True)]


def report(world: World, kept: Sequence[Any], dropped: Mapping[str, int], scope: str, distinct: int) -> Report:
    written = judged(world, kept, scope)
    targets = set(local(world) if scope == "local" else linked(world))
    reached = targets & {w.fact for w in written}
    true = sum(w.true for w in written)
    return Report(distinct, dict(dropped), len(kept), len(reached) / max(1, len(targets)), true / max(1, len(written)))
