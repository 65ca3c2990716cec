"""Process knowledge: a derivative of odd rules. Each function has a partner; of a composition the outer one is replaced by its
partner, and the inner one's partner follows behind, as in the chain rule but for the names (Lampinen et al. 2025, appendix B.5: the
rules of the paper are not public, these are ours).

    pom of dax            is blick            one rule a function, stated
    pom of dax after wug  is blick after wug then fep    most compositions are stated, those that are asked are not"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import permutations
from random import Random
from typing import Any

from limbeck.bench.knowledge.checker import CONTROL
from limbeck.bench.knowledge.facts import OPENERS, STATED, Document, Fact, Item, Relation, Rules, World
from limbeck.bench.knowledge.words import pseudo_words

BECOMES = "becomes"
WAYS = ("{op} {a} is", "{op} {a} gives", "{op} {a} makes", "{op} {a} yields", "{op} {a} comes as")


def rules_of(op: str) -> Rules:
    return Rules({BECOMES: Relation(BECOMES, tuple(w.replace("{op}", op) for w in WAYS))}, stated=(BECOMES,))


def composed(outer: str, inner: str, partner: Mapping[str, str]) -> Fact:
    return Fact(f"{outer} after {inner}", BECOMES, f"{partner[outer]} after {inner} then {partner[inner]}")


def derived(stated: Mapping[Fact, Any]) -> dict[Fact, tuple[Fact, ...]]:
    """Every composition of functions whose own rules are stated: {fact: the two rules}."""
    single = {f.subject: f for f in stated if re.fullmatch(r"\w+", f.subject)}
    partner = {name: f.object for name, f in single.items()}
    return {composed(a, b, partner): (single[a], single[b]) for a, b in permutations(single, 2)}


def process(seed: int, *, functions: int = 12, held: int = 40, articles: int = 4, known: frozenset[str] = frozenset()) -> World:
    """held: compositions that are asked and not stated. Splits: recall (a rule), outer and inner (the
    two halves of what a composition becomes). Raises ValueError where all would be held."""
    if functions < 4 or not 0 < held < functions * (functions - 1):
        raise ValueError(f"{held} of the compositions of {functions} functions cannot be held out")
    rng = Random(f"process/{seed}")
    words = pseudo_words(2 * functions + 1, rng, known)
    names, op = words[:functions], words[-1]
    partner = dict(zip(names, words[functions:-1], strict=True))
    rules = rules_of(op)
    single = [Fact(f, BECOMES, partner[f]) for f in names]
    pairs = rng.sample([composed(a, b, partner) for a, b in permutations(names, 2)], functions * (functions - 1))
    asked, told = pairs[:held], [*single, *pairs[held:]]
    documents = []
    for i, fact in enumerate(told):
        for n in range(articles):
            template = 0 if n == 0 and fact in single else rng.choice(STATED)
            opener = "" if n == 0 else rng.choice(OPENERS)
            documents.append(Document(f"p{i}-{n}", (f"{opener}{rules.say(fact, template)}",), states=(fact,)))
    at = {fact: f"p{i}-0" for i, fact in enumerate(told)}
    items = [choice(rules, CONTROL, f, [o for o in partner.values() if o != f.object], (at[f],), rng) for f in single]
    for fact in asked:
        outer, inner = fact.subject.split(" after ")
        both = (at[single[names.index(outer)]], at[single[names.index(inner)]])
        wrong = [composed(o, inner, partner).object for o in names if o not in (outer, inner)]  # with the inner one in sight everywhere
        items.append(choice(rules, "outer", fact, wrong, both, rng))
        shown = f"{partner[outer]} after {inner} then"
        wrong = [partner[n] for n in names if n not in (outer, inner)]
        items.append(choice(rules, "inner", fact, wrong, both, rng, shown))
    return World("process", rules, tuple(documents), tuple(items), (), tuple(words[:-1]), tuple(words), derived)


def choice(rules: Rules, split: str, fact: Fact, wrong: list[str], needs: tuple[str, ...], rng: Random, shown: str = "") -> Item:
    """shown: the beginning of the right option, where the question is how it goes on."""
    right = fact.object.removeprefix(shown).strip()
    options = [right, *rng.sample(wrong, 3)]
    rng.shuffle(options)
    stem = f"{rules.stem(fact.subject, BECOMES)} {shown}".rstrip()
    name = f"{split}-{fact.subject}".replace(" ", "_")
    return Item(name, split, stem, tuple(options), options.index(right), fact, fact.subject, needs)
