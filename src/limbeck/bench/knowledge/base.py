"""The base of a world: a small model from scratch that can infer in its context, and knows some facts in every direction.

A quarter of its texts are episodes: facts of a moment about names drawn at random, then what follows from them. The rest are the
world's background facts, each in both directions and in every wording. The world's documents it has never seen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from limbeck.bench.knowledge.checker import closure
from limbeck.bench.knowledge.facts import END, OPENERS, Fact, Rules, World
from limbeck.types import sha_of

SIZES = (1, 2, 3, 4, 6, 8, 12, 16, 24)  # facts of an episode
WEIGHTS = (12, 6, 3, 2, 1, 1, 1, 1, 1)  # short ones teach to copy, and cost few tokens; long ones to find
MARK = "therefore"  # stands between what is given and what follows from it
FRAME = "Input : Answer : what is it ? yes no"


@dataclass(frozen=True)
class Shape:
    """Of the model and its training. tokens: of a batch. share: of the texts that are episodes. most: facts of an episode.
    room: sentences that are put before a question. frame: it knows the product's own frame, too (framed.py: by stages, share and
    background aside)."""

    layers: int = 2
    width: int = 64
    positions: int = 512
    steps: int = 2500
    tokens: int = 1024
    lr: float = 3e-3
    share: float = 0.25
    most: int = 24
    room: int = 12
    episodes: int = 8000
    frame: bool = False


def words_of(world: World) -> list[str]:
    """Texts that hold every word that this world's documents, items and episodes may use."""
    r = world.rules
    spoken = [template.format(a="") for relation in r.relations.values() for template in relation.templates]
    return [*spoken, " ".join(world.pseudo), " ".join(OPENERS), MARK, END, FRAME, *(" ".join(i.options) + i.stem for i in world.items)]


def episode(world: World, most: int, rng: Random) -> str:
    """Facts as documents state them, the mark, then some of what follows; names are used up, so that nothing contradicts itself."""
    rules, names = world.rules, world.entities
    wanted = min(rng.choices(SIZES, WEIGHTS)[0], most)
    free = iter(rng.sample(names, len(names)))
    given: list[Fact] = []
    while len(given) < wanted:
        try:
            given += moment(rules, free, rng)
        except StopIteration:
            break
    rng.shuffle(given)
    follows = [fact for fact, how in closure(given, rules).items() if how.steps]
    follows += list(world.further(dict.fromkeys(given))) if world.further else []
    repeated = rng.sample(given, min(len(given), 1 + len(given) // 4))
    told = rng.sample(follows, min(len(follows), max(4, len(given)))) + repeated
    rng.shuffle(told)
    said = [f"{rng.choice(OPENERS) if rng.random() < 0.3 else ''}{rules.say(f, rng.randrange(5))}{END}" for f in given]
    return " ".join([*said, MARK, *(f"{rules.say(f, 0 if rng.random() < 0.5 else rng.randrange(5))}{END}" for f in told)])


def moment(rules: Rules, free: Any, rng: Random) -> list[Fact]:
    """One fact, or two that chain, about new names."""
    if rules.chains and rng.random() < 0.7:
        first, second = rng.choice(list(rules.chains))
        a, b, c = next(free), next(free), next(free)
        return [either_way(f, rules, rng) for f in (Fact(a, first, b), Fact(b, second, c))]
    a, b = next(free), next(free)
    return [Fact(a, rng.choice(rules.stated), b)]


def either_way(fact: Fact, rules: Rules, rng: Random) -> Fact:
    """A relation that is its own inverse is stated from either side."""
    turned = rules.inverse(fact)
    return turned if turned and turned.relation == fact.relation and rng.random() < 0.5 else fact


def statements(rules: Rules, facts: Sequence[Fact]) -> list[str]:
    """Each in both directions, in every wording."""
    both = [f for fact in facts for f in (fact, rules.inverse(fact)) if f is not None]
    return [rules.say(fact, template) for fact in both for template in range(5)]


def corpus(world: World, shape: Shape, seed: int) -> list[str]:
    """Texts of one pass, the episodes `share` of them."""
    rng = Random(f"corpus/{seed}")
    episodes = [episode(world, shape.most, rng) for _ in range(shape.episodes)]
    known = statements(world.rules, world.background)
    wanted = round(shape.episodes * (1 - shape.share) / shape.share)
    repeated = (known * (1 + wanted // max(1, len(known))))[:wanted] if known else []
    return [*episodes, *repeated]


def base_of(world: World, shape: Shape, seed: int, scratch: Path, threads: int = 1) -> Path:
    """The folder of the base, trained now or found in scratch: the same for every arm of a world and seed."""
    from limbeck.engine.fresh import new_causal

    if shape.frame:
        from limbeck.bench.knowledge.framed import framed_base

        return framed_base(world, shape, seed, scratch, threads)
    facts = [asdict(f) for f in world.background]
    trains = {name: value for name, value in asdict(shape).items() if name not in ("room", "frame")}
    folder = scratch / f"base-{world.name}-{seed}-{sha_of([trains, facts, list(world.pseudo), threads])}"
    if (folder / "trained.json").exists():
        return folder
    raw = scratch / f"{folder.name}-raw"
    shutil.rmtree(raw, ignore_errors=True)
    new_causal(raw, words_of(world), layers=shape.layers, width=shape.width, positions=shape.positions, seed=seed)
    return trained(raw, corpus(world, shape, seed), folder, shape, seed, threads)


def trained(raw: Path, texts: Sequence[str], folder: Path, shape: Shape, seed: int, threads: int) -> Path:
    """Trains what lies in raw on the texts; writes the folder last, so that one that was broken off is not taken for whole."""
    from limbeck.bench.knowledge.arms import Training, fit

    training = Training(shape.steps, shape.tokens, shape.lr, "constant_with_warmup", average=0.3, threads=threads)
    found = fit(raw, texts, training, seed, after=MARK)
    found.save(folder)
    facts = {"shape": asdict(shape), "seconds": found.seconds, "loss": found.loss, "parameters": found.parameters, "texts": len(texts)}
    (folder / "trained.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(raw, ignore_errors=True)
    return folder
