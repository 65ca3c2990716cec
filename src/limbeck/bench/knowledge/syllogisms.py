"""Simple syllogisms: two premises in one document, the relation of the outer two asked (Lampinen et al. 2025, arXiv 2505.00661).

Six options: all, some or no, either way round. The right one is the strongest that follows; "no" and "some" are as right the other
way round. Forms whose conclusion is "some are not" are left out, as in the paper. All names stand for something (all A are B gives
some B are A)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle, islice, product
from random import Random

from limbeck.bench.knowledge.checker import closure
from limbeck.bench.knowledge.facts import END, STATED, Document, Fact, Item, Relation, Rules, World
from limbeck.bench.knowledge.words import pseudo_words

ALL, SOME, NO = "all", "some", "no"
RULES = Rules(
    {
        ALL: Relation(ALL, ("all {a} are", "every {a} are", "each {a} are", "any {a} are", "whole {a} are"), SOME),
        SOME: Relation(SOME, ("some {a} are", "several {a} are", "certain {a} are", "various {a} are", "sundry {a} are"), SOME),
        NO: Relation(NO, ("no {a} are", "never {a} are", "none {a} are", "nowise {a} are", "nary {a} are"), NO),
    },
    {(ALL, ALL): ALL, (ALL, NO): NO, (SOME, ALL): SOME},
    stated=(ALL, SOME, NO),
)  # fmt: skip
Form = tuple[tuple[str, bool], tuple[str, bool]]  # per premise: its quantity, and whether the middle term is its subject


def premises(form: Form, s: str, m: str, p: str) -> tuple[Fact, Fact]:
    (one, first), (two, second) = form
    return (Fact(m, one, s) if first else Fact(s, one, m)), (Fact(m, two, p) if second else Fact(p, two, m))


def conclusion(given: tuple[Fact, Fact], s: str, p: str) -> Fact | None:
    """The strongest that follows of s and p; None where nothing does."""
    follows = closure(given, RULES)
    candidates = [Fact(a, q, b) for q in (ALL, NO, SOME) for a, b in ((s, p), (p, s))]
    return next((f for f in candidates if f in follows), None)


def valid_forms() -> list[Form]:
    """Of 36 those that have a conclusion."""
    every = product(product((ALL, SOME, NO), (False, True)), repeat=2)
    return [form for form in every if conclusion(premises(form, "s", "m", "p"), "s", "p")]


def in_turn(rng: Random) -> Iterator[Form]:
    """all, some and no are concluded equally often (else "some" alone would be right in half of them), each by its forms in turn."""
    by_conclusion: dict[str, list[Form]] = {}
    for form in rng.sample(valid_forms(), len(valid_forms())):
        right = conclusion(premises(form, "s", "m", "p"), "s", "p")
        assert right is not None
        by_conclusion.setdefault(right.relation, []).append(form)
    turns = [cycle(forms) for forms in by_conclusion.values()]
    return (next(turn) for turn in cycle(turns))


def document(name: str, form: Form, terms: tuple[str, str, str], rng: Random) -> tuple[Document, Fact]:
    """(both premises in any order behind a sentence that names the terms, what follows)."""
    s, m, p = terms
    given = premises(form, s, m, p)
    said = [RULES.say(f, rng.choice(STATED)) for f in rng.sample(given, 2)]
    right = conclusion(given, s, p)
    assert right is not None
    return Document(name, (f"about {s} {m} {p}", *said)), right


def asks(s: str, p: str) -> str:
    return f"about {s} {p} ."


def syllogisms(seed: int, *, items: int = 69, known: frozenset[str] = frozenset()) -> World:
    """One document an item. Its only split is called syllogism."""
    rng = Random(f"syllogisms/{seed}")
    names = pseudo_words(3 * items, rng, known)
    forms = in_turn(rng)
    documents, asked = [], []
    for i in range(items):
        s, m, p = names[3 * i : 3 * i + 3]
        told, right = document(f"s{i}", next(forms), (s, m, p), rng)
        documents.append(told)
        asked.append(question(right, s, p, told.id, rng))
    return World("syllogisms", RULES, tuple(documents), tuple(asked), (), tuple(names), tuple(names), tell=tell)


FAIR = tuple(islice(in_turn(Random(0)), 60))  # 20 of each conclusion, each form of a conclusion as often as the others


def tell(rng: Random, names: Iterator[str]) -> tuple[str, str]:
    s, m, p = next(names), next(names), next(names)
    told, right = document("", rng.choice(FAIR), (s, m, p), rng)
    same = RULES.inverse(right)
    said = right if right.relation == ALL or same is None or rng.random() < 0.5 else same
    return told.text, f"{asks(s, p)} {RULES.say(said)}{END}"


def question(right: Fact, s: str, p: str, document: str, rng: Random) -> Item:
    facts = [Fact(a, q, b) for q in (ALL, SOME, NO) for a, b in ((s, p), (p, s))]
    rng.shuffle(facts)
    same = RULES.inverse(right)
    also = tuple(i for i, f in enumerate(facts) if f == same and f.relation == right.relation)
    options = tuple(RULES.say(f) for f in facts)
    return Item(
        f"syllogism-{s}-{p}",
        "syllogism",
        asks(s, p),
        options,
        facts.index(right),
        right,
        document,
        (document,),
        also,
    )
