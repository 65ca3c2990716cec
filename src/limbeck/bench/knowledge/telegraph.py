"""The same world with one wording a relation, its name: subject, relation, object, and no opener before them.

    so , glon above dax femp     ->     glon more dax femp

In the product's long frame a base of a few minutes did not learn five wordings (docs/LOG.md)."""

from __future__ import annotations

from dataclasses import replace

from limbeck.bench.knowledge.checker import CONTROL
from limbeck.bench.knowledge.facts import Relation, World

SPLITS = (CONTROL, "reversal")  # whose options are objects


def telegraphic(world: World) -> World:
    rules = replace(
        world.rules, relations={name: Relation(name, (f"{{a}} {name}",) * 5, one.inverse) for name, one in world.rules.relations.items()}
    )
    documents = [
        replace(d, sentences=tuple(rules.say(fact) for fact in map(world.rules.read, d.sentences) if fact)) for d in world.documents
    ]
    items = [replace(i, stem=rules.stem(i.fact.subject, i.fact.relation)) for i in world.items if i.split in SPLITS]
    return replace(world, rules=rules, documents=tuple(documents), items=tuple(items))
