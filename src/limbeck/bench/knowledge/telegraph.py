"""The same world told in as few words as can be: subject, relation, object; one wording each.

    glon are more dax than femp     ->     glon more dax femp

A base of a few minutes finds a name among several sentences where nothing stands between it and its relation, and does so
late or never where five wordings put it in different places."""

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
