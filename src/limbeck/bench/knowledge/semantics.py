"""Semantic structure: categories in a tree, properties of their own and inherited ones, told in articles of several sentences
(Lampinen et al. 2025, arXiv 2505.00661, section 2: 110 categories; all content words are pseudo-words).

    rephrased   a property of its own, in words that no article uses
    reversal    whose own property it is
    syllogism   a property of what it is a kind of: its article and another one together say so
    holdout     the same of a category of which one sentence, what it is a kind of, is all there is"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

from limbeck.bench.knowledge.checker import CONTROL, closure
from limbeck.bench.knowledge.facts import OPENERS, STATED, Document, Fact, Item, Relation, Rules, World, item
from limbeck.bench.knowledge.words import pseudo_words

KIND, KINDS = "is", "includes"
VERB = ("all {a} {v}", "every {a} can {v}", "you may see {a} {v}", "what {a} do is to {v}", "for sure {a} will {v}")
BY = ("{a} is {v} by", "what can {v} {a} is", "to {v} {a} is for", "those that {v} {a} are", "it takes them to {v} {a} :")


def hierarchy(verbs: Sequence[str]) -> Rules:
    """is, and one relation a verb; each with its inverse. What holds of a kind holds of all that are of this kind."""
    relations = {
        KIND: Relation(
            KIND,
            ("all {a} are", "every {a} is among the", "you may call {a} a sort of", "what {a} are is", "for sure {a} belong to"),
            KINDS,
        ),
        KINDS: Relation(KINDS, ("some {a} are", "one sort of {a} is", "among the {a} are", "to {a} belong", "{a} is said of"), KIND),
    }
    for v in verbs:
        relations[v] = Relation(v, tuple(t.replace("{v}", v) for t in VERB), f"{v} by")
        relations[f"{v} by"] = Relation(f"{v} by", tuple(t.replace("{v}", v) for t in BY), v)
    return Rules(relations, {(KIND, KIND): KIND, **{(KIND, v): v for v in verbs}}, stated=(KIND, *verbs))


@dataclass(frozen=True)
class Tree:
    """parents: category -> what it is a kind of, "" at the top. own: category -> (verb, property)."""

    parents: dict[str, str]
    own: dict[str, list[tuple[str, str]]]

    def facts(self, of: Iterable[str]) -> list[Fact]:
        found = [Fact(c, KIND, self.parents[c]) for c in of if self.parents[c]]
        return found + [Fact(c, v, p) for c in of for v, p in self.own[c]]


def grow(names: Sequence[str], properties: Iterable[str], verbs: Sequence[str], most: int, rng: Random) -> Tree:
    """A tenth of the names stand at the top, the others below an earlier one, at most three levels deep and four beside each
    other. 1 to `most` properties a category, each its own alone."""
    free, parents, own = iter(properties), {}, {}
    depth: dict[str, int] = {}
    for i, name in enumerate(names):
        room = [n for n in parents if depth[n] < 2 and list(parents.values()).count(n) < 4]
        top = i < max(2, len(names) // 10) or not room
        parents[name] = "" if top else rng.choice(room)
        depth[name] = 0 if top else depth[parents[name]] + 1
        own[name] = [(rng.choice(verbs), next(free)) for _ in range(rng.randint(1, most))]
    return Tree(parents, own)


def semantics(
    seed: int,
    *,
    categories: int = 30,
    held: int = 5,
    articles: int = 6,
    most: int = 6,
    verbs: int = 4,
    background: int = 30,
    asked: int = 100,
    known: frozenset[str] = frozenset(),
) -> World:
    """categories, of which `held` are held out. articles: a category. most: properties of a category. background: categories of
    another tree that a base may know beforehand. asked: items of a split at most. Raises ValueError where there is no room."""
    if categories - held < 8 or held < 1:
        raise ValueError(f"{categories} categories, {held} of them held out: at least 8 have to be left, and 1 held out")
    rng = Random(f"semantics/{seed}")
    n = categories + background
    words = pseudo_words(n + verbs + n * most, rng, known)
    names, does, things = words[:n], words[n : n + verbs], words[n + verbs :]
    rules = hierarchy(does)
    inner = categories - held
    tree = grow(names[:inner], things[: inner * most], does, most, rng)
    homes = [c for c in names[:inner] if tree.own[c]]
    for name in names[inner:categories]:
        tree.parents[name], tree.own[name] = rng.choice(homes), []
    other = grow(names[categories:], things[n * most // 2 :], does, most, rng)
    documents = [d for c in names[:inner] for d in write_articles(c, tree, rules, articles, rng)]
    documents += [mention(c, tree, rules, k, rng) for c in names[inner:categories] for k in range(articles)]
    used = [p for t in (tree, other) for each in t.own.values() for _, p in each]
    whole = World(
        "semantics",
        rules,
        tuple(documents),
        (),
        tuple(other.facts(names[categories:])),
        tuple([*names, *used]),
        tuple([*names, *does, *used]),
    )
    questions = ask(whole, tree, names[inner:categories], asked, rng)
    return World(whole.name, rules, whole.documents, tuple(questions), whole.background, whole.entities, whole.pseudo)


def write_articles(name: str, tree: Tree, rules: Rules, n: int, rng: Random) -> list[Document]:
    """4 to 20 sentences each, every fact of the category in turn."""
    facts = tree.facts([name])
    found = []
    for k in range(n):
        length, told = rng.randint(4, min(20, max(4, 3 * len(facts)))), []
        while len(told) < length:
            told += rng.sample(facts, len(facts))
        said = [f"{rng.choice(OPENERS)}{rules.say(f, rng.choice(STATED))}" for f in told[:length]]
        found.append(Document(f"{name}-{k}", tuple(said), name))
    return found


def mention(name: str, tree: Tree, rules: Rules, k: int, rng: Random) -> Document:
    """What a held-out category is a kind of, alone: within its parent's articles the name would be learnt beside the properties."""
    fact = Fact(name, KIND, tree.parents[name])
    return Document(f"{name}-{k}", (f"{rng.choice(OPENERS)}{rules.say(fact, rng.choice(STATED))}",))


def ask(world: World, tree: Tree, held: Sequence[str], most: int, rng: Random) -> list[Item]:
    """Wrong options hold the same relation elsewhere, and do not follow for this subject."""
    rules, stated = world.rules, world.facts
    follows = closure(stated, rules)
    own = [f for f in stated if f.relation != KIND]
    plain = [(f, f) for f in own]
    turned = [(b, f) for f in own if (b := rules.inverse(f))]
    inherited = [(f, f) for f, how in follows.items() if f.relation in rules.stated and f.relation != KIND and how.steps]
    groups = {
        CONTROL: plain, "rephrased": plain, "reversal": turned,
        "syllogism": [p for p in inherited if p[0].subject not in held], "holdout": [p for p in inherited if p[0].subject in held],
    }  # fmt: skip
    text = "\n".join(d.text for d in world.documents)
    length = {d.id: len(d.sentences) for d in world.documents}
    found = []
    for split, facts in groups.items():
        for fact, ground in rng.sample(facts, min(most, len(facts))):
            pool = [f for f, _ in inherited] if split in ("syllogism", "holdout") else own  # as often told of others as the right one
            others = sorted({wrong(f, split) for f in pool if f.relation == ground.relation} - {fact.object})
            unfit = [o for o in others if Fact(fact.subject, fact.relation, o) in follows]
            options = [o for o in others if o not in unfit]
            if len(options) < 3:
                continue
            needs = [min(stated[f], key=length.__getitem__) for f in follows[fact].of]
            template = next(t for t in STATED if rules.say(fact, t) in text) if split == CONTROL else 0
            found.append(item(rules, split, fact, rng.sample(options, 3), rng, needs, template))
    return found


def wrong(fact: Fact, split: str) -> str:
    return fact.subject if split == "reversal" else fact.object
