"""Episodes in the product's own frame: facts as quoted passages, a question with its options, the answer, and further questions.

    bare     wug are more dax than fep . blick are ... . therefore fep are less dax than wug .
    framed   what `render` puts before a prompted base, passages and options and all, then the answer; then questions without passages

Whatever stands around the facts is rendered by the functions that render a run's prompts, so that the base infers in the very text
that `prompt+rag:k@base` and `prompt+many@base` show it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from limbeck import render
from limbeck.bench.knowledge.checker import closure
from limbeck.bench.knowledge.facts import END, OPENERS, Fact, Rules, World
from limbeck.engine.tokens import chat_text
from limbeck.types import Example, Kind, Task

TASK = Task(name="knowledge", instruction="Go on.", kind=Kind.CHOICE)  # as a prompt file of a run states it
PASSAGES = (1, 2, 4, 4, 4, 4, 6, 8, 12)  # of an episode; as many as are looked up most often
ROOM = 22  # passages and questions of an episode: passages are read once for all its questions, and a base has 512 positions
OPTIONS = 4
NUMBERED = 64  # passages whose number the tokenizer knows


def shown(example: Example, task: Task = TASK) -> str:
    """What a prompted base without a chat template reads, up to where its answer begins."""
    return chat_text(None, render.messages(task, example))


def asked(fact: Fact, rules: Rules, options: Sequence[str], passages: Sequence[str] = ()) -> Example:
    """A question as a row; its answer is the fact's object."""
    stem = rules.stem(fact.subject, fact.relation)
    return Example(id="", input=stem, output=fact.object, choices=tuple(options), passages=tuple(passages) or None)


def framed(world: World, rng: Random) -> str:
    """One episode. Facts about names drawn at random; a name may stand in several of them, so that its relation has to be read, too."""
    rules = world.rules
    given = moments(world, rng.choice(PASSAGES), rng)
    follows = [fact for fact, how in closure(given, rules).items() if how.steps]
    follows += list(world.further(dict.fromkeys(given))) if world.further else []
    told = rng.sample([*given, *follows], min(len(given) + len(follows), (ROOM - len(given)) * 2 // 3))
    passages = [f"{rng.choice(OPENERS) if rng.random() < 0.3 else ''}{rules.say(f, rng.randrange(3))}{END}" for f in given]
    known = {*given, *closure(given, rules), *follows}
    rows = [asked(fact, rules, options_of(fact, known, world, rng)) for fact in told]
    first = shown(rows[0].model_copy(update={"passages": tuple(passages)}))
    return "\n\n".join([f"{first} {rows[0].output}", *render.demonstrated(TASK, rows[1:])])


def moments(world: World, wanted: int, rng: Random) -> list[Fact]:
    """So many facts, each of other names in its relation; every third name stands in one of another relation already."""
    rules, names = world.rules, world.entities
    found: list[Fact] = []
    used: dict[str, set[str]] = {}  # relation, or its inverse -> names
    while len(found) < wanted:
        relation = rng.choice(rules.stated)
        both = {relation, rules.relations[relation].inverse or relation}
        taken = set().union(*(used.get(name, set()) for name in both))
        old = [n for f in found for n in (f.subject, f.object) if n not in taken]
        a, b = (rng.choice(old) if old and rng.random() < 0.33 else rng.choice(names) for _ in range(2))
        if a == b or a in taken or b in taken:
            continue
        found.append(Fact(a, relation, b))
        for name in both:
            used.setdefault(name, set()).update((a, b))
    return found


def options_of(fact: Fact, known: set[Fact], world: World, rng: Random) -> list[str]:
    """The right one, others of the same passages as far as there are some, the rest from anywhere; none that is right too."""
    near = sorted({f.object for f in known if len(f.object.split()) == len(fact.object.split())} - {fact.subject, fact.object})
    wrong = [o for o in near if Fact(fact.subject, fact.relation, o) not in known]
    chosen = rng.sample(wrong, min(rng.randrange(OPTIONS), len(wrong)))
    while len(chosen) < OPTIONS - 1:
        name = rng.choice(world.entities)
        if name not in (*chosen, fact.subject, fact.object) and Fact(fact.subject, fact.relation, name) not in known:
            chosen.append(name)
    return rng.sample([fact.object, *chosen], OPTIONS)


def frames(world: World, n: int, seed: int) -> list[str]:
    rng = Random(f"frames/{seed}")
    return [framed(world, rng) for _ in range(n)]


def words() -> list[str]:
    """Texts that hold every word that the frame may use."""
    many = shown(Example(id="", input="", choices=("",) * 26, passages=("",) * NUMBERED))
    return [many, shown(Example(id="", input=""))]


def marks(tokenizer: Any) -> tuple[list[int], list[int]]:
    """(tokens that an answer follows, tokens that the next question begins with)."""
    begins = ids_of(tokenizer, render.NEXT_QUESTION[0])
    both = ids_of(tokenizer, render.demonstrated(TASK, [Example(id="", input="", output="")])[0])
    return both[len(begins) :], begins


def ids_of(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def answers_alone(tokenizer: Any) -> Callable[[Any], Any]:
    """option_ids (N, To) -> (N, To) int64, 1 on what is learnt: of a framed episode its answers, of any other text everything. What was
    drawn at random teaches nothing but noise."""
    cue, begins = marks(tokenizer)

    def places(ids: list[int]) -> Iterator[int]:
        answering = False
        for i in range(len(ids)):
            answering = (answering or ids[max(0, i - len(cue)) : i] == cue) and ids[i : i + len(begins)] != begins
            yield int(answering)

    def learnt(option_ids: Any) -> Any:
        rows = [list(places(row)) for row in option_ids.tolist()]
        return option_ids.new_tensor([row if any(row) else [1] * len(row) for row in rows])

    return learnt
