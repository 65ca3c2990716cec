"""What is added to the documents: rephrasings, what follows from one statement (local), what follows from several documents (global).

Here it is written by rule, which knows the truth: coverage is the share of it that is written, precision the share of what is
written that is true. bench.knowledge.selfwrite has the base itself write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from random import Random

from limbeck.bench.knowledge.checker import consequences
from limbeck.bench.knowledge.facts import END, REPHRASED, STATED, Document, Fact, Item, World

WORDINGS = (*STATED, *REPHRASED)  # never the one of the questions


def whole(documents: Sequence[Document]) -> list[str]:
    return [d.text for d in documents]


def independent(documents: Sequence[Document]) -> list[str]:
    """Every sentence a text of its own."""
    return [f"{s}{END}" for d in documents for s in d.sentences]


def cumulative(documents: Sequence[Document]) -> list[str]:
    """n sentences, n texts: each sentence after all that stand before it."""
    return [Document(d.id, d.sentences[: i + 1]).text for d in documents for i in range(len(d.sentences))]


SPLITS: dict[str, Callable[[Sequence[Document]], list[str]]] = {"": whole, "independent": independent, "cumulative": cumulative}


@dataclass(frozen=True)
class Written:
    """text: one statement. fact: what it states, None = nothing that the rules know. true: it follows from the documents."""

    text: str
    fact: Fact | None
    true: bool
    scope: str


def rephrasings(world: World, rng: Random, words: int) -> list[Written]:
    """Stated facts in other wordings, until they have as many words; all wordings are in use before one comes again."""
    found: list[Written] = []
    have = 0
    facts = list(world.facts)
    while have < words:
        for fact in rng.sample(facts, len(facts)):
            text = f"{world.rules.say(fact, rng.choice(WORDINGS))}{END}"
            found.append(Written(text, fact, True, "rephrase"))
            have += len(text.split())
            if have >= words:
                break
    return found


def inferences(world: World, scope: str, coverage: float, precision: float, rng: Random, copies: int = 4) -> list[Written]:
    """local: for each stated fact a rephrasing and, if covered, its reverse. global: what follows of an article's subject from its
    article together with others, if covered. Each covered fact is right or wrong for good; `copies`: wordings of each."""
    told = list(world.facts)
    follows = consequences(world)
    targets = local(world) if scope == "local" else linked(world)
    same: dict[str, list[str]] = {}
    for fact in follows:
        same.setdefault(fact.relation, []).append(fact.object)
    found = []
    for fact in targets:
        if rng.random() >= coverage:
            continue
        said = fact if rng.random() < precision else distorted(fact, same[fact.relation], follows, rng)
        for template in rng.sample(WORDINGS, copies):
            found.append(Written(f"{world.rules.say(said, template)}{END}", said, said in follows, scope))
    if scope == "local":
        found += [Written(f"{world.rules.say(f, rng.choice(WORDINGS))}{END}", f, True, scope) for f in told]
    return found


def local(world: World) -> list[Fact]:
    return [back for fact in world.facts if (back := world.rules.inverse(fact)) is not None]


def linked(world: World) -> list[Fact]:
    """What rests on several facts, of entities that have a document of their own where any has: there a focus document is one."""
    focus = {d.about for d in world.documents} - {""}
    found = []
    for fact, how in consequences(world).items():
        if how.steps and len(how.of) > 1 and (not focus or fact.subject in focus) and fact.relation in world.rules.stated:
            found.append(fact)
    return found


def distorted(fact: Fact, objects: Sequence[str], follows: Mapping[Fact, object], rng: Random) -> Fact:
    """The same of another object of this relation, where that does not follow."""
    wrong = [o for o in dict.fromkeys(objects) if o != fact.subject and Fact(fact.subject, fact.relation, o) not in follows]
    return Fact(fact.subject, fact.relation, rng.choice(wrong)) if wrong else fact


def mentions(world: World, added: Sequence[Written]) -> Counter[tuple[str, str]]:
    """{(relation, object): sentences that say it, of whomever}, and {(relation, ""): sentences of the relation}."""
    told = [fact for d in world.documents for fact in (d.states or filter(None, map(world.rules.read, d.sentences)))]
    told += [w.fact for w in added if w.fact]
    return Counter([(f.relation, f.object) for f in told] + [(f.relation, "") for f in told])


def leaked(items: Sequence[Item], texts: Sequence[str], facts: Collection[Fact]) -> dict[str, tuple[set[str], set[str]]]:
    """{split: (ids whose sentence stands in the texts to the letter, ids whose fact is among those that the texts state)}."""
    flat = "\n".join(texts)
    found: dict[str, tuple[set[str], set[str]]] = {}
    for one in items:
        literal, told = found.setdefault(one.split, (set(), set()))
        if one.sentence in flat:
            literal.add(one.id)
        if one.fact in facts:
            told.add(one.id)
    return found
