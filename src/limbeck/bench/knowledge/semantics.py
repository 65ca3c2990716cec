"""Semantic structure: categories in a tree, properties of their own and inherited ones, told in articles of several sentences
(Lampinen et al. 2025, arXiv 2505.00661, section 2: 110 categories; all content words are pseudo-words).

    rephrased   a property of its own, in words that no article uses
    reversal    whose own property it is
    syllogism   a property of what it is a kind of: its article and another one together say so
    holdout     the same of a category of which one sentence, what it is a kind of, is all there is"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random

from limbeck.bench.knowledge.checker import CONTROL, closure
from limbeck.bench.knowledge.facts import OPENERS, STATED, Document, Fact, Item, Relation, Rules, World, item
from limbeck.bench.knowledge.words import pseudo_words

KIND, KINDS = "is", "includes"
VERB = ("{a} do {v}", "{a} can {v}", "{a} may {v}", "{a} will {v}", "{a} must {v}")
BY = ("{a} from {v}", "{a} by {v}", "{a} of {v}", "{a} through {v}", "{a} after {v}")


def hierarchy(verbs: Sequence[str]) -> Rules:
    """is, and one relation a verb; each with its inverse. What holds of a kind holds of all that are of this kind."""
    relations = {
        KIND: Relation(KIND, ("{a} are all", "{a} count as", "{a} belong to", "{a} fall under", "{a} rank among"), KINDS),
        KINDS: Relation(KINDS, ("{a} take in", "{a} stand over", "{a} reach down", "{a} spread to", "{a} split into"), KIND),
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

    def below(self, top: str) -> list[str]:
        """It and all that are of its kind."""
        return [top, *(n for child, parent in self.parents.items() if parent == top for n in self.below(child))]

    def facts(self, of: Iterable[str]) -> list[Fact]:
        found = [Fact(c, KIND, self.parents[c]) for c in of if self.parents[c]]
        return found + [Fact(c, v, p) for c in of for v, p in self.own[c]]


def grow(names: Sequence[str], properties: Iterable[str], verbs: Sequence[str], most: int, rng: Random) -> Tree:
    """A sixth of the names, and four at least, stand at the top; each of those gets one below it, then the others stand below any
    earlier one, at most three levels deep and four beside each other. 1 to `most` properties a category, each its own alone."""
    free, parents, own = iter(properties), {}, {}
    depth: dict[str, int] = {}
    tops = max(4, len(names) // 6)
    for i, name in enumerate(names):
        room = [n for n in parents if depth[n] < 2 and list(parents.values()).count(n) < 4]
        above = "" if i < tops else names[i - tops] if i < 2 * tops else rng.choice(room or [""])
        parents[name] = above
        depth[name] = depth[above] + 1 if above else 0
        own[name] = [(rng.choice(verbs), next(free)) for _ in range(rng.randint(1, most))]
    return Tree(parents, own)


def semantics(
    seed: int,
    *,
    categories: int = 30,
    held: int = 8,
    articles: int = 6,
    most: int = 6,
    verbs: int = 2,
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
    homes = [rng.sample(tree.below(top), len(tree.below(top))) for top in names[:inner] if not tree.parents[top]]
    for i, name in enumerate(names[inner:categories]):  # one tree after the other, so that their options can be one another's
        home = homes[i % len(homes)]
        tree.parents[name], tree.own[name] = home[i // len(homes) % len(home)], []
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
    """Questions in fours over the same four options, each of which is right once: who knows how often a thing is told, and not of
    whom, is right by chance. (What is inherited is told of many, and asked of many: with wrong options drawn from all there are,
    counting was right in .69 of `syllogism` and .44 of `holdout` once `global` had written it.)"""
    rules, stated = world.rules, world.facts
    follows = closure(stated, rules)
    own = [f for f in stated if f.relation != KIND]
    inherited = [f for f, how in follows.items() if f.relation in rules.stated and f.relation != KIND and how.steps]
    groups = {
        CONTROL: own, "rephrased": own, "reversal": [back for f in own if (back := rules.inverse(f))],
        "syllogism": [f for f in inherited if f.subject not in held], "holdout": [f for f in inherited if f.subject in held],
    }  # fmt: skip
    text = "\n".join(d.text for d in world.documents)
    length = {d.id: len(d.sentences) for d in world.documents}
    found = []
    for split, facts in groups.items():
        fours = foursomes(facts, follows, rng)[: max(1, most // 4)]
        if not fours:
            raise ValueError(
                f"no four questions of {split} have fair options among {len(tree.parents)} categories: more categories, or fewer verbs"
            )
        for four in fours:
            for fact in four:
                needs = [min(stated[f], key=length.__getitem__) for f in follows[fact].of]
                template = next(t for t in STATED if rules.say(fact, t) in text) if split == CONTROL else 0
                made = item(rules, split, fact, [f.object for f in four if f is not fact], rng, needs, template)
                found.append(replace(made, id=f"{made.id}-{len(found)}"))  # a fact may be asked among several fours
    return found


def foursomes(facts: Sequence[Fact], follows: Collection[Fact], rng: Random) -> list[list[Fact]]:
    """Of one relation each, of different subjects and objects, of which none holds for another's subject. A fact that is in none
    yet takes those that are in few; one that finds no three others is left out."""
    times = dict.fromkeys(rng.sample(facts, len(facts)), 0)
    found = []
    for first in list(times):
        if times[first]:
            continue
        four = [first]
        for other in sorted(times, key=times.__getitem__):
            if len(four) < 4 and all(goes_with(other, one, follows) for one in four):
                four.append(other)
        if len(four) == 4:
            found.append(four)
            times.update({fact: times[fact] + 1 for fact in four})
    return found


def goes_with(one: Fact, other: Fact, follows: Collection[Fact]) -> bool:
    crossed = (Fact(one.subject, one.relation, other.object), Fact(other.subject, other.relation, one.object))
    return one.relation == other.relation and one.subject != other.subject and not any(f in follows for f in crossed)
