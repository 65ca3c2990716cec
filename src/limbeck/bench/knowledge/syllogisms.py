"""Simple syllogisms: two premises in one document, the relation of the outer two asked (Lampinen et al. 2025, arXiv 2505.00661).

Six options: all, some or no, either way round. The right one is the strongest that follows; "no" and "some" are as right the other
way round. Forms whose conclusion is "some are not" are left out, as in the paper. All names stand for something (all A are B gives
some B are A)."""

from __future__ import annotations

from itertools import cycle, product
from random import Random

from limbeck.bench.knowledge.checker import closure
from limbeck.bench.knowledge.facts import STATED, Document, Fact, Item, Relation, Rules, World
from limbeck.bench.knowledge.words import pseudo_words

ALL, SOME, NO = "all", "some", "no"
RULES = Rules(
    {
        ALL: Relation(ALL, ("all {a} are", "every one of the {a} is one of the", "whatever is {a} counts as", "if it is {a} then it is", "{a} are without exception"), SOME),
        SOME: Relation(SOME, ("some {a} are", "a few of the {a} are", "there are {a} that count as", "it may be {a} and yet be", "{a} are now and then"), SOME),
        NO: Relation(NO, ("no {a} are", "not one of the {a} is one of the", "nothing that is {a} counts as", "if it is {a} then it is never", "{a} are under no condition"), NO),
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


def syllogisms(seed: int, *, items: int = 69, known: frozenset[str] = frozenset()) -> World:
    """One document an item; all, some and no are concluded equally often (else "some" alone would be right in half of them), each by
    its forms in turn. Its only split is called syllogism."""
    rng = Random(f"syllogisms/{seed}")
    names = pseudo_words(3 * items, rng, known)
    by_conclusion: dict[str, list[Form]] = {}
    for form in rng.sample(valid_forms(), len(valid_forms())):
        right = conclusion(premises(form, "s", "m", "p"), "s", "p")
        assert right is not None
        by_conclusion.setdefault(right.relation, []).append(form)
    turns = [cycle(forms) for forms in by_conclusion.values()]
    documents, asked = [], []
    for i in range(items):
        s, m, p = names[3 * i : 3 * i + 3]
        given = premises(next(turns[i % len(turns)]), s, m, p)
        said = [RULES.say(f, rng.choice(STATED)) for f in rng.sample(given, 2)]
        documents.append(Document(f"s{i}", (f"this is how {s} , {m} and {p} go together", *said)))
        right = conclusion(given, s, p)
        assert right is not None
        asked.append(question(right, s, p, f"s{i}", rng))
    return World("syllogisms", RULES, tuple(documents), tuple(asked), (), tuple(names), tuple(names))


def question(right: Fact, s: str, p: str, document: str, rng: Random) -> Item:
    facts = [Fact(a, q, b) for q in (ALL, SOME, NO) for a, b in ((s, p), (p, s))]
    rng.shuffle(facts)
    same = RULES.inverse(right)
    also = tuple(i for i, f in enumerate(facts) if f == same and f.relation == right.relation)
    options = tuple(RULES.say(f) for f in facts)
    return Item(
        f"syllogism-{s}-{p}",
        "syllogism",
        f"this is how {s} and {p} go together .",
        options,
        facts.index(right),
        right,
        document,
        (document,),
        also,
    )
