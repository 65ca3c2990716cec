"""What follows from the documents, by rule: every question has to, its wrong options must not, and none may stand there already."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from limbeck.bench.knowledge.facts import Fact, Item, Rules, World


@dataclass(frozen=True)
class Derivation:
    """of: the stated facts that it rests on, in order. steps: 0 = stated itself."""

    of: tuple[Fact, ...]
    steps: int


def closure(stated: Iterable[Fact], rules: Rules) -> dict[Fact, Derivation]:
    """All that follows, each with the first derivation that has the fewest steps. Ends, since no rule makes a new name."""
    found = {fact: Derivation((fact,), 0) for fact in stated}
    newest = list(found)
    while newest:
        by_subject: dict[str, list[Fact]] = {}
        by_object: dict[str, list[Fact]] = {}
        for fact in found:
            by_subject.setdefault(fact.subject, []).append(fact)
            by_object.setdefault(fact.object, []).append(fact)
        fresh: dict[Fact, Derivation] = {}
        for fact in newest:
            pairs = [(fact, after) for after in by_subject.get(fact.object, ())] + [
                (before, fact) for before in by_object.get(fact.subject, ())
            ]
            made = [(turned, (fact,))] if (turned := rules.inverse(fact)) else []
            made += [(new, pair) for pair in pairs if (new := chained(*pair, rules))]
            for new, grounds in made:
                if new not in found and new.subject != new.object:
                    of = tuple(dict.fromkeys(f for ground in grounds for f in found[ground].of))
                    fresh.setdefault(new, Derivation(of, 1 + max(found[g].steps for g in grounds)))
        found |= fresh
        newest = list(fresh)
    return found


def chained(first: Fact, second: Fact, rules: Rules) -> Fact | None:
    name = rules.chains.get((first.relation, second.relation))
    return Fact(first.subject, name, second.object) if name and first.object == second.subject else None


CONTROL = "recall"  # the split whose items do stand in a document: was it learnt at all?


def consequences(world: World) -> dict[Fact, Derivation]:
    found = closure(world.facts, world.rules)
    further = world.further(world.facts) if world.further else {}
    return {**{fact: Derivation(of, 1) for fact, of in further.items() if fact not in found}, **found}


def stated(world: World, item: Item, option: str) -> Fact | None:
    """What an option says: behind its stem, or alone."""
    return world.rules.read(f"{item.stem} {option}") or world.rules.read(option)


def faults(world: World, items: Iterable[Item] | None = None) -> list[str]:
    """One line per broken promise; none where all items are fair."""
    follows = consequences(world)
    text = "\n".join(d.text for d in world.documents)
    held = {(f.relation, f.object) for f in follows}
    used = {f.relation for f in follows}
    found = []
    for item in world.items if items is None else items:
        if stated(world, item, item.options[item.gold]) not in (item.fact, None):
            found.append(f"{item.id}: its right option does not state its fact")
        if item.fact not in follows:
            found.append(f"{item.id}: does not follow from the documents")
        if (item.sentence in text) != (item.split == CONTROL):
            found.append(f"{item.id}: {'stands' if item.split != CONTROL else 'does not stand'} in a document")
        if len(set(item.options)) < len(item.options):
            found.append(f"{item.id}: the same option twice")
        for i, option in enumerate(item.options):
            other = stated(world, item, option) or Fact(item.fact.subject, item.fact.relation, option)
            if i not in item.right and other in follows and not weaker(other, item.fact):
                found.append(f"{item.id}: {option!r} is right, too")
            whole = world.rules.read(option) is not None or other.relation != item.fact.relation  # the option names both, or the relation
            if other.relation not in used or not (whole or (other.relation, other.object) in held or option in text):
                found.append(f"{item.id}: {option!r} holds of no entity")
    return found


def weaker(other: Fact, fact: Fact) -> bool:
    """ "some glon are dax" where all are: true, and not the strongest that is."""
    return other.relation == "some" and fact.relation == "all" and {other.subject, other.object} == {fact.subject, fact.object}
