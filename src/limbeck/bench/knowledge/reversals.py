"""Simple reversals: comparisons stated one way round, asked the other way round (Lampinen et al. 2025, arXiv 2505.00661, section 2)."""

from __future__ import annotations

from random import Random

from limbeck.bench.knowledge.checker import CONTROL
from limbeck.bench.knowledge.facts import OPENERS, STATED, Document, Fact, Item, Relation, Rules, World, item
from limbeck.bench.knowledge.words import pseudo_words

# As in a telegram: of longer sentences a base of this size does not learn within its few minutes whose name stands where.
MORE = ("{a} more {d}", "{a} above {d}", "{a} over {d}", "{a} beyond {d}", "{a} past {d}")
LESS = ("{a} less {d}", "{a} below {d}", "{a} under {d}", "{a} beneath {d}", "{a} behind {d}")


def comparisons(dimensions: list[str]) -> Rules:
    """Each dimension has two relations, each the other's inverse. Facts of a dimension are disjoint pairs: nothing is transitive."""
    relations = {}
    for d in dimensions:
        relations[f"more {d}"] = Relation(f"more {d}", tuple(t.replace("{d}", d) for t in MORE), f"less {d}")
        relations[f"less {d}"] = Relation(f"less {d}", tuple(t.replace("{d}", d) for t in LESS), f"more {d}")
    return Rules(relations, stated=tuple(relations))


def reversals(
    seed: int,
    *,
    facts: int = 100,
    background: int = 700,
    entities: int = 200,
    dimensions: int = 8,
    articles: int = 10,
    known: frozenset[str] = frozenset(),
) -> World:
    """facts: stated in one direction, `articles` times each, and asked in the other. background: further facts of the same entities.
    In a dimension an entity stands in one fact at most. Splits: recall (four entities), reversal (four entities), direction
    (more or less). Raises ValueError where the sizes do not go together."""
    rng = Random(f"reversals/{seed}")
    words = pseudo_words(entities + dimensions, rng, known)
    names, rules = words[:entities], comparisons(words[entities:])
    dims = words[entities:]
    pairs = []
    for d in dims:
        order = rng.sample(names, len(names))
        ways = [f"{way} {d}" for way in ("more", "less")]  # in turns: whoever knows the dimension does not know the direction
        pairs.append([Fact(a, ways[i % 2], b) for i, (a, b) in enumerate(zip(order[::2], order[1::2], strict=False))])
    each, rest = divmod(facts, dimensions)
    counts = [each + (i < rest) for i in range(dimensions)]
    if sum(map(len, pairs)) < facts + background or min(counts) < 8:
        raise ValueError(
            f"{facts} + {background} facts of {entities} entities in {dimensions} dimensions: at least 8 facts a dimension, and no entity twice"
        )
    told = [fact for count, some in zip(counts, pairs, strict=True) for fact in some[:count]]
    others = [fact for count, some in zip(counts, pairs, strict=True) for fact in some[count:]]
    documents = []
    for i, fact in enumerate(told):
        for n, opener in enumerate(rng.sample(OPENERS, articles) if articles <= len(OPENERS) else rng.choices(OPENERS, k=articles)):
            template = 0 if n == 0 else rng.choice(STATED)  # the first as it is asked, so that the forward direction is recalled
            documents.append(Document(f"f{i}-{n}", (f"{'' if n == 0 else opener}{rules.say(fact, template)}",)))
    return World(
        "reversals",
        rules,
        tuple(documents),
        tuple(asked(rules, told, rng)),
        tuple(rng.sample(others, background)),
        tuple(names),
        tuple(words),
    )


def asked(rules: Rules, told: list[Fact], rng: Random) -> list[Item]:
    found = []
    for i, fact in enumerate(told):
        same = [f for f in told if f.relation == fact.relation and f != fact]
        needs = (f"f{i}-0",)
        found.append(item(rules, CONTROL, fact, [f.object for f in rng.sample(same, 3)], rng, needs))
        turned = rules.inverse(fact)
        assert turned is not None
        found.append(item(rules, "reversal", turned, [f.subject for f in rng.sample(same, 3)], rng, needs))
        found.append(direction(rules, turned, rng, needs))
    return found


def direction(rules: Rules, fact: Fact, rng: Random, needs: tuple[str, ...]) -> Item:
    """Two options, as in the paper: "glon" -> "less dax femp" or "more dax femp"."""
    stem = fact.subject
    options = [
        rules.say(Fact(fact.subject, name, fact.object)).removeprefix(f"{stem} ")
        for name in (fact.relation, rules.relations[fact.relation].inverse)
    ]
    right = options[0]
    rng.shuffle(options)
    return Item(
        f"direction-{fact.subject}-{fact.relation}-{fact.object}".replace(" ", "_"),
        "direction",
        stem,
        tuple(options),
        options.index(right),
        fact,
        f"{fact.subject}/{fact.object}",
        needs,
    )
