"""The base of a world: a small model from scratch that can infer in its context, and knows some facts in every direction.

Its texts are episodes (facts of a moment about names drawn at random, then what follows from them) of ever more facts, at last beside
the world's background facts, each in both directions and in every wording. The world's documents it has never seen."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from limbeck.bench.knowledge.checker import closure
from limbeck.bench.knowledge.facts import END, OPENERS, Fact, Rules, World
from limbeck.types import sha_of

MARK = "therefore"  # stands between what is given and what follows from it
# words that only the vocabulary still has: without them every base begins with other first weights, and the results are others
FRAME = "Input : Answer : what is it ? yes no"


@dataclass(frozen=True)
class Shape:
    """Of the model and its training. tokens: of a batch. most: facts of an episode. questions: behind its mark, at least. share: of
    the texts of the last stage that are episodes. episodes: of a stage. room: sentences that are put before a question. mastered: a
    stage goes on, a twentieth of the steps at a time, until its loss is below; 0 = each has its share of the steps."""

    layers: int = 2
    width: int = 64
    positions: int = 512
    steps: int = 4000
    tokens: int = 1024
    lr: float = 1e-3
    share: float = 0.5
    most: int = 8
    questions: int = 8
    room: int = 6
    episodes: int = 6000
    mastered: float = 0.0


@dataclass(frozen=True)
class Stage:
    """facts: of an episode at most. share: of the texts that are episodes, the others are background."""

    facts: int
    share: float
    steps: int


def stages(shape: Shape) -> list[Stage]:
    """Few facts first: with eight from the start, no step tells which of sixteen names was meant, and the base of a few minutes
    learns to name any of them. The background comes last, and what was learnt before goes on beside it."""
    growth = [(1, 0.2), (2, 0.15), (4, 0.15), (shape.most, 0.2)]
    grown = [Stage(min(facts, shape.most), 1.0, round(part * shape.steps)) for facts, part in growth]
    return [*grown, Stage(shape.most, shape.share, shape.steps - sum(s.steps for s in grown))]


def words_of(world: World) -> list[str]:
    """Texts that hold every word that this world's documents, items and episodes may use."""
    r = world.rules
    spoken = [template.format(a="") for relation in r.relations.values() for template in relation.templates]
    return [*spoken, " ".join(world.pseudo), " ".join(OPENERS), MARK, END, FRAME, *(" ".join(i.options) + i.stem for i in world.items)]


def episode(world: World, facts: int, questions: int, rng: Random) -> str:
    """Facts as documents state them, the mark, then some of what follows, given facts among it, the same perhaps again. Names are
    used up, so that nothing contradicts itself."""
    rules, names = world.rules, world.entities
    wanted = facts if rng.random() < 0.7 else rng.randint(1, facts)
    free = iter(rng.sample(names, len(names)))
    if world.tell:
        told = [world.tell(rng, free) for _ in range(wanted)]
        asked = rng.choices(told, k=max(questions, wanted))
        return " ".join([*(text for text, _ in told), MARK, *(answer for _, answer in asked)])
    given: list[Fact] = []
    while len(given) < wanted:
        try:
            given += moment(rules, free, rng)
        except StopIteration:
            break
    rng.shuffle(given)
    follows = [*closure(given, rules), *(world.further(dict.fromkeys(given)) if world.further else ())]
    told = rng.choices(follows, k=max(questions, len(given)))
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


def corpus(world: World, shape: Shape, stage: Stage, rng: Random) -> list[str]:
    """Texts of one pass."""
    episodes = [episode(world, stage.facts, shape.questions, rng) for _ in range(shape.episodes)]
    known = statements(world.rules, world.background)
    wanted = round(shape.episodes * (1 - stage.share) / stage.share)
    repeated = (known * (1 + wanted // max(1, len(known))))[:wanted] if known else []
    return [*episodes, *repeated]


def answers(rules: Rules, tokenizer: Any) -> Callable[[Any], Any]:
    """option_ids (N, To) -> (N, To) int64, 1 on what each sentence ends with: its object, which stands behind the last word of its
    relation. Which fact is told next, and in which words, is drawn at random and teaches nothing but noise."""
    texts = [template.format(a="") for relation in rules.relations.values() for template in relation.templates]
    told = {i for text in texts for i in tokenizer(text, add_special_tokens=False)["input_ids"]}
    stop = tokenizer.convert_tokens_to_ids(END.strip())

    def which(ids: list[int]) -> list[int]:
        found = [0] * len(ids)
        start = 0
        for end in (i for i, token in enumerate(ids) if token == stop):
            last = max((i for i in range(start, end) if ids[i] in told), default=end)
            found[last + 1 : end] = [1] * max(0, end - last - 1)
            start = end + 1
        return found

    def learnt(option_ids: Any) -> Any:
        return option_ids.new_tensor([which(line) for line in option_ids.tolist()])

    return learnt


BASICS, PATIENCE = 2, 6  # a base that after six parts does not tell so many facts apart is stuck: another start is shorter


def base_of(world: World, shape: Shape, seed: int, scratch: Path, threads: int = 1) -> Path:
    """The folder of the base, trained now or found in scratch: the same for every arm of a world and seed."""
    trains = {name: value for name, value in asdict(shape).items() if name != "room" and (name != "mastered" or value)}
    known = [asdict(f) for f in world.background] + [asdict(r) for r in world.rules.relations.values()]
    folder = scratch / f"base-{world.name}-{seed}-{sha_of([trains, known, list(world.pseudo), threads])}"
    if (folder / "trained.json").exists():
        return folder
    raw = scratch / f"{folder.name}-raw"
    shutil.rmtree(raw, ignore_errors=True)
    fresh(raw, world, shape, seed)
    return trained(raw, world, folder, shape, seed, threads)


def trained(raw: Path, world: World, folder: Path, shape: Shape, seed: int, threads: int = 1, start_again: int = 3) -> Path:
    """Stage after stage, each from what the one before it left; writes the folder last, so that one that was broken off is not taken
    for whole. start_again: how often other first weights are drawn where training is stuck, by its loss alone."""
    from limbeck.bench.knowledge.arms import Training, fit

    rng, start = Random(f"corpus/{seed}"), raw
    told: list[dict[str, Any]] = []

    def learn(stage: Stage, steps: int, last: bool = False) -> float:
        nonlocal start
        training = Training(steps, shape.tokens, shape.lr, "linear" if last else "constant_with_warmup", threads=threads)
        only = None if last or world.tell else partial(answers, world.rules)
        found = fit(start, corpus(world, shape, stage, rng), training, seed, after=MARK, only=only)
        start = folder if last else raw / str(len(told))  # never where it began: a base that was read is kept by its folder
        found.save(start)
        facts = {"facts": stage.facts, "share": stage.share, "steps": steps, "seconds": found.seconds, "loss": found.loss}
        told.append({**facts, "parameters": found.parameters})
        return found.loss

    *growth, last = stages(shape)
    left, part = shape.steps - last.steps, max(1, shape.steps // 20)
    for stage in growth:
        if not shape.mastered:
            learn(stage, stage.steps)
        for tried in range(1, 1 + left // part if shape.mastered else 1):
            left -= part
            if learn(stage, part) < shape.mastered:
                break
            if stage.facts <= BASICS and tried == PATIENCE and start_again:
                drawn = fresh(raw.with_name(f"{raw.name}-{start_again}"), world, shape, seed + 1000 * start_again)
                shutil.rmtree(raw, ignore_errors=True)
                return trained(drawn, world, folder, shape, seed, threads, start_again - 1)
    learn(last, last.steps, last=True)
    seconds = sum(t["seconds"] for t in told)
    facts = {"shape": asdict(shape), "seconds": seconds, "stages": told, "parameters": told[-1]["parameters"], "starts": 4 - start_again}
    (folder / "trained.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    shutil.rmtree(raw, ignore_errors=True)
    return folder


def fresh(folder: Path, world: World, shape: Shape, seed: int) -> Path:
    from limbeck.engine.fresh import new_causal

    return new_causal(folder, words_of(world), layers=shape.layers, width=shape.width, positions=shape.positions, seed=seed)
