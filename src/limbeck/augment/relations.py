"""Relations that the user has declared: what follows from statements that use them, by rules, and what contradicts them.

    relations: [{a: heavier than, inverse: lighter than, transitive: true}, {a: married to, symmetric: true}]

A statement is read where it has the form `SUBJECT [is] heavier than OBJECT`. No model is asked."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from limbeck.augment.inferences import NEGATIONS, Inference
from limbeck.errors import UsageError
from limbeck.render import squeeze
from limbeck.types import Frozen

HOPS = 3  # statements that are chained at most
ARTICLES = frozenset("the a an every all".split())
COPULA = r"(?:is|are|was|were|has been|have been)"
MOST_WORDS = 5  # of a subject or an object, its article included
DO = 'relations: [{"a": "heavier than", "inverse": "lighter than", "transitive": true}]'


class Relation(Frozen):
    """a: the words between subject and object. inverse: those that say the same from the object's side; symmetric: they are the same.
    transitive: x a y and y a z make x a z."""

    a: str
    inverse: str | None = None
    transitive: bool = False
    symmetric: bool = False

    @property
    def back(self) -> str | None:
        return self.a if self.symmetric else self.inverse


class Fact(NamedTuple):
    """subject, phrase, object as they are compared; said: the same three as they are written, the verb with the phrase."""

    subject: str
    phrase: str
    object: str
    said: tuple[str, str, str]

    @property
    def key(self) -> tuple[str, str, str]:
        return self.subject, self.phrase, self.object

    @property
    def text(self) -> str:
        return self.told("A")

    def told(self, like: str) -> str:
        """As a sentence that begins as `like` does."""
        return f"{begun(' '.join(self.said), like)}."


def read_relations(declared: Iterable[Any]) -> tuple[Relation, ...]:
    """Raises UsageError where one is no relation."""
    found = []
    for one in declared:
        try:
            relation = Relation.model_validate(one)
        except ValueError as error:
            raise UsageError("a relation in the front matter cannot be read", f"it is {str(one)[:80]!r}", DO) from error
        if not re.search(r"\w", relation.a) or (relation.inverse and relation.symmetric):
            raise UsageError("a relation has words of its own, and an inverse or symmetric, not both", f"it is {str(one)[:80]!r}", DO)
        found.append(relation)
    return tuple(found)


def fact_in(sentence: str, relations: Sequence[Relation]) -> Fact | None:
    """The declared relation that a sentence states, None where it states none, denies one, or says more than that."""
    return _fact_in(sentence, tuple(relations))


@lru_cache(maxsize=1 << 16)
def _fact_in(sentence: str, relations: tuple[Relation, ...]) -> Fact | None:
    flat = " ".join(sentence.split()).rstrip(" .!?")
    if NEGATIONS & set(squeeze(flat).split()):
        return None
    phrases = sorted({p for r in relations for p in (r.a, r.inverse) if p}, key=len, reverse=True)
    for phrase in phrases:
        found = re.fullmatch(rf"(.+?)\s+((?:{COPULA}\s+)?){re.escape(phrase)}\s+(.+)", flat, re.I)
        if found is None:
            continue
        subject, verb, thing = found[1].rpartition(" that ")[2], " ".join(found[2].split()).lower(), found[3]
        if max(len(subject.split()), len(thing.split())) <= MOST_WORDS:
            return Fact(entity(subject), phrase, entity(thing), (lowered(subject), f"{verb} {phrase}".strip(), lowered(thing)))
    return None


def entity(text: str) -> str:
    words = squeeze(text).split()
    return " ".join(words[1:] if len(words) > 1 and words[0] in ARTICLES else words)


def lowered(text: str, small: frozenset[str] = ARTICLES) -> str:
    """As it stands within a sentence: its first word is small where it is an article, or one of `small`."""
    first, blank, rest = text.partition(" ")
    return f"{first.lower()}{blank}{rest}" if first.lower() in small else text


def begun(text: str, like: str) -> str:
    """With a capital where `like` begins with one: who writes no capitals may have a tokenizer that knows none."""
    small = like.lstrip()[:1].islower()
    return text if small else f"{text[:1].upper()}{text[1:]}"


def stated_in(statements: Mapping[str, str], relations: Sequence[Relation]) -> dict[str, Fact]:
    """{id: the relation that it states}. A word that begins a sentence, and is small elsewhere, is written small."""
    small = ARTICLES | {word for text in statements.values() for word in re.findall(r"[^\W_]+", text) if word.islower()}
    found = {name: fact for name, text in statements.items() if (fact := fact_in(text, relations))}
    return {name: fact._replace(said=(lowered(fact.said[0], small), *fact.said[1:])) for name, fact in found.items()}


def turned(fact: Fact, relations: Sequence[Relation]) -> Fact | None:
    """The same, told from the object's side."""
    for relation in relations:
        for ours, theirs in ((relation.a, relation.back), (relation.inverse, relation.a)):
            if ours == fact.phrase and theirs:
                verb = fact.said[1].removesuffix(fact.phrase).strip()
                return Fact(fact.object, theirs, fact.subject, (fact.said[2], f"{verb} {theirs}".strip(), fact.said[0]))
    return None


def infer(statements: Mapping[str, str], relations: Sequence[Relation], documents: Mapping[str, str]) -> list[Inference]:
    """Local: each statement from its other side. Global: chains of at most HOPS statements, from both sides. statements: {id: text};
    documents: {id of a statement: its document}, which a global inference names."""
    stated = stated_in(statements, relations)
    found = [
        Inference(text=back.told(statements[name]), uses=(name,), why=f"{fact.phrase}, from the other side", scope="local")
        for name, fact in stated.items()
        if (back := turned(fact, relations))
    ]
    for fact, names, path in chains(stated, relations):
        uses = tuple(dict.fromkeys(documents[name] for name in names))
        for one in (fact, turned(fact, relations)):
            if one is not None:
                found.append(
                    Inference(text=one.told(statements[names[0]]), uses=uses, why=f"{fact.phrase}: {' > '.join(path)}", scope="global")
                )
    return found


def chains(stated: Mapping[str, Fact], relations: Sequence[Relation]) -> list[tuple[Fact, tuple[str, ...], tuple[str, ...]]]:
    """(what follows, ids of the statements, things that are passed) of transitive relations, two to HOPS statements long."""
    made = []
    for relation in (r for r in relations if r.transitive):
        forward: dict[str, list[tuple[Fact, str]]] = {}
        for name, fact in stated.items():
            for one in (fact, turned(fact, relations)):
                if one is not None and one.phrase == relation.a:
                    forward.setdefault(one.subject, []).append((one, name))
        for start, firsts in forward.items():
            seen = {start, *(fact.object for fact, _ in firsts)}
            edge: list[tuple[Fact, tuple[str, ...], tuple[str, ...]]] = [(f, (n,), (f.subject, f.object)) for f, n in firsts]
            for _ in range(HOPS - 1):
                further = []
                for fact, names, path in edge:
                    for step, name in forward.get(fact.object, ()):
                        if step.object not in seen:
                            seen.add(step.object)
                            whole = Fact(fact.subject, relation.a, step.object, (fact.said[0], fact.said[1], step.said[2]))
                            further.append((whole, (*names, name), (*path, step.object)))
                made += further
                edge = further
    return made


def truths(statements: Mapping[str, str], relations: Sequence[Relation]) -> tuple[set[tuple[str, str, str]], set[tuple[str, str, str]]]:
    """(what the statements say, what follows from them beyond that), as keys of facts: what inferences are held against."""
    stated = stated_in(statements, relations)
    said = {fact.key for fact in stated.values()}
    beyond = {
        one.key
        for fact in [*stated.values(), *(fact for fact, _, _ in chains(stated, relations))]
        for one in (fact, turned(fact, relations))
        if one is not None
    }
    return said, beyond - said


def against(statements: Mapping[str, str], relations: Sequence[Relation]) -> Callable[[str, str], bool]:
    """For `checked`: does a text say of two things the reverse of what the statements say or imply? Relations that are symmetric, or
    have no inverse, are never reversed."""
    said, beyond = truths(statements, relations)
    known = said | beyond
    one_way = {phrase for r in relations if r.inverse and not r.symmetric for phrase in (r.a, r.inverse)}

    def contradicts(text: str, source: str) -> bool:
        fact = fact_in(text, relations)
        return fact is not None and fact.phrase in one_way and (fact.object, fact.phrase, fact.subject) in known and fact.key not in known

    return contradicts
