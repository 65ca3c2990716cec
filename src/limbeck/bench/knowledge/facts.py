"""What a world of facts is made of: facts, the sentences that state them, documents, questions with their options.

A relation is stated by several templates, each of which ends with the object, so that a question is a sentence without its last
word. Some templates are for the documents, some for rephrasing, one for the questions: no question stands in a document."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from random import Random
from typing import Any

END = " ."  # of a sentence within a document
ASKED, STATED, REPHRASED = (0,), (1, 2), (3, 4)  # which of a relation's templates are used where
OPENERS = (
    "",
    "well , ",
    "indeed , ",
    "so , ",
    "now , ",
    "note that ",
    "it is known that ",
    "they say that ",
    "remember that ",
    "once more , ",
)


@dataclass(frozen=True, order=True)
class Fact:
    subject: str
    relation: str
    object: str


@dataclass(frozen=True)
class Relation:
    """templates: texts with {a}, the subject; the object follows behind. inverse: the relation of object to subject, "" = none."""

    name: str
    templates: tuple[str, ...]
    inverse: str = ""


@dataclass(frozen=True)
class Rules:
    """chains: (a r b) and (b s c) give (a t c): {(r, s): t}. stated: the relations that documents state."""

    relations: Mapping[str, Relation]
    chains: Mapping[tuple[str, str], str] = field(default_factory=dict)
    stated: tuple[str, ...] = ()

    def stem(self, subject: str, relation: str, template: int = 0) -> str:
        return self.relations[relation].templates[template].format(a=subject)

    def say(self, fact: Fact, template: int = 0) -> str:
        return f"{self.stem(fact.subject, fact.relation, template)} {fact.object}"

    def inverse(self, fact: Fact) -> Fact | None:
        name = self.relations[fact.relation].inverse
        return Fact(fact.object, name, fact.subject) if name else None

    def read(self, sentence: str) -> Fact | None:
        """The fact that a sentence states, in whatever words; None = it states none."""
        text = sentence.strip().removesuffix(".").strip()
        for opener in OPENERS[1:]:
            text = text.removeprefix(opener)
        for name, patterns in self.patterns:
            for pattern in patterns:
                if found := pattern.fullmatch(text):
                    return Fact(found["a"], name, found["b"])
        return None

    @cached_property
    def patterns(self) -> list[tuple[str, list[re.Pattern[str]]]]:
        def pattern(template: str) -> re.Pattern[str]:
            return re.compile(re.escape(template).replace(re.escape("{a}"), r"(?P<a>\w+)") + r" (?P<b>\w+)")

        return [(name, [pattern(t) for t in r.templates]) for name, r in self.relations.items()]


@dataclass(frozen=True)
class Document:
    """about: the entity whose article it is, "" = of no one. states: its facts, where they cannot be read from its sentences."""

    id: str
    sentences: tuple[str, ...]
    about: str = ""
    states: tuple[Fact, ...] = ()

    @property
    def text(self) -> str:
        return "".join(f"{s}{END} " for s in self.sentences).rstrip()


@dataclass(frozen=True)
class Item:
    """A forced choice: which option goes on after the stem. cluster: what its interval is drawn over. needs: documents that hold
    what the answer follows from. also: options that say the same as the right one."""

    id: str
    split: str
    stem: str
    options: tuple[str, ...]
    gold: int
    fact: Fact
    cluster: str
    needs: tuple[str, ...] = ()
    also: tuple[int, ...] = ()

    @property
    def right(self) -> tuple[int, ...]:
        return (self.gold, *self.also)

    @property
    def sentence(self) -> str:
        return f"{self.stem} {self.options[self.gold]}"


@dataclass(frozen=True)
class World:
    """documents: all there is to learn from. background: facts of other entities, or other
    facts of the same ones, that a base may know in every direction beforehand.
    further: what follows by rules that are no chain of two facts: stated facts -> {fact: what it rests on}.
    tell: of a world whose documents are more than their facts, rng and names that are free -> (a document as its documents are, what
    a question on it is and its answer); an episode is made of these."""

    name: str
    rules: Rules
    documents: tuple[Document, ...]
    items: tuple[Item, ...]
    background: tuple[Fact, ...]
    entities: tuple[str, ...]
    pseudo: tuple[str, ...]
    further: Callable[[Mapping[Fact, Any]], Mapping[Fact, tuple[Fact, ...]]] | None = None
    tell: Callable[[Random, Iterator[str]], tuple[str, str]] | None = None

    @cached_property
    def facts(self) -> dict[Fact, tuple[str, ...]]:
        """What the documents state, read from their sentences: {fact: ids of the documents}."""
        found: dict[Fact, list[str]] = {}
        for document in self.documents:
            for fact in document.states or filter(None, map(self.rules.read, document.sentences)):
                found.setdefault(fact, []).append(document.id)
        return {fact: tuple(dict.fromkeys(ids)) for fact, ids in found.items()}

    @property
    def splits(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(item.split for item in self.items))


def item(rules: Rules, split: str, fact: Fact, wrong: Sequence[str], rng: Random, needs: Sequence[str] = (), template: int = 0) -> Item:
    """The right option at a random place."""
    options = [fact.object, *wrong]
    rng.shuffle(options)
    stem = rules.stem(fact.subject, fact.relation, template)
    return Item(
        f"{split}-{fact.subject}-{fact.relation}-{fact.object}".replace(" ", "_"), split, stem, tuple(options),
        options.index(fact.object), fact, f"{fact.subject}/{fact.object}", tuple(needs),
    )  # fmt: skip
