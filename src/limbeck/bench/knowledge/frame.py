"""Episodes in the product's own frame, beside bare ones: facts of a moment, questions about them, what follows.

    bare     wug are more dax than fep . blick are ... . therefore fep are less dax than wug .
    quoted   the facts as passages, then a question as it stands: what a student without a frame reads, and goes on from
    framed   what `render` puts before a prompted base, passages and options and all, then the answer; then questions without passages

Whatever stands around the facts is rendered by the functions that render a run's prompts, so that the base infers in the very text
that `prompt+rag:k@base` and `prompt+many@base` show it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from limbeck import render
from limbeck.bench.knowledge.base import MARK
from limbeck.bench.knowledge.checker import closure
from limbeck.bench.knowledge.facts import END, Fact, Rules, World
from limbeck.engine.tokens import chat_text
from limbeck.types import Example, Kind, Origin, Task

TASK = Task(name="knowledge", instruction="Go on.", kind=Kind.CHOICE)  # as a prompt file of a run states it
ROOM = 22  # passages and questions of an episode: passages are read once for all its questions, and a base has 512 positions
QUESTIONS = 8  # of an episode; the same one may come again, with other options
OPTIONS = 4
NUMBERED = 64  # passages whose number the tokenizer knows


def shown(example: Example, task: Task = TASK) -> str:
    """What a prompted base without a chat template reads, up to where its answer begins."""
    return chat_text(None, render.messages(task, example))


def asked(fact: Fact, rules: Rules, options: Sequence[str], passages: Sequence[str] = ()) -> Example:
    """A question as a row; its answer is the fact's object."""
    stem = rules.stem(fact.subject, fact.relation)
    return Example(id="", input=stem, output=fact.object, choices=tuple(options), passages=tuple(passages) or None)


@dataclass(frozen=True)
class Moment:
    """given: facts about names drawn at random. follows: what they imply beyond themselves."""

    given: list[Fact]
    follows: list[Fact]

    @property
    def known(self) -> set[Fact]:
        return {*self.given, *self.follows}


def moment(world: World, facts: int, rng: Random) -> Moment:
    given = moments(world, facts, rng)
    follows = [fact for fact, how in closure(given, world.rules).items() if how.steps]
    return Moment(given, [*follows, *(world.further(dict.fromkeys(given)) if world.further else ())])


def bare(world: World, facts: int, rng: Random) -> str:
    now = moment(world, facts, rng)
    told = rng.choices([*now.given, *now.follows], k=max(QUESTIONS, facts))
    return " ".join([*stated(world, now.given), MARK, *stated(world, told)])


def quoted(world: World, facts: int, rng: Random) -> Example:
    now = moment(world, facts, rng)
    fact = rng.choice([*now.given, *now.follows])
    question = asked(fact, world.rules, (), stated(world, now.given))
    text = chat_text(None, render.student_messages(TASK, question, instruct=False, frame=False))
    return Example(id="", input=text, output=fact.object, origin=Origin(kind="document"))


def framed(world: World, facts: int, rng: Random) -> str:
    now = moment(world, facts, rng)
    told = rng.choices([*now.given, *now.follows], k=min(QUESTIONS, (ROOM - facts) * 2 // 3))
    rows = [asked(fact, world.rules, options_of(fact, now.known, world, rng)) for fact in told]
    first = shown(rows[0].model_copy(update={"passages": tuple(stated(world, now.given))}))
    return "\n\n".join([f"{first} {rows[0].output}", *render.demonstrated(TASK, rows[1:])])


def stated(world: World, facts: Sequence[Fact]) -> list[str]:
    """Each as a document's first sentence on it and the questions say it: where all five wordings were mixed, a base of this size did
    not learn in its few minutes to find a name in its sentence."""
    return [f"{world.rules.say(fact)}{END}" for fact in facts]


def moments(world: World, wanted: int, rng: Random) -> list[Fact]:
    """So many facts, each of other names in its relation; every third name stands in one of another relation already, so that a
    question's relation has to be read, too."""
    rules, names = world.rules, world.entities
    found: list[Fact] = []
    used: dict[str, set[str]] = {}  # relation -> names that stand in it or in its inverse
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


def episodes(world: World, n: int, facts: int, mix: Sequence[int], rng: Random) -> list[str | Example]:
    """n of them. facts: of most episodes, the others have fewer. mix: how many of the three ways, bare, quoted, framed, are drawn against
    each other."""
    ways: Sequence[Callable[[World, int, Random], str | Example]] = (bare, quoted, framed)
    return [way(world, facts if rng.random() < 0.7 else rng.randint(1, facts), rng) for way in rng.choices(ways, mix, k=n)]


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


def learnt(tokenizer: Any, stops: bool = True) -> Callable[[Any], Any]:
    """option_ids (N, To) -> (N, To) int64, 1 on what is learnt: of a framed episode its answers, of sentences what each ends with, of
    anything else all but the end of the text. What was drawn at random teaches nothing but noise. stops: and the full stop, without
    which a base does not know where to end when it writes."""
    cue, begins = marks(tokenizer)
    full_stop, end = ids_of(tokenizer, END), tokenizer.eos_token_id

    def answers(ids: list[int]) -> Iterator[bool]:
        answering = False
        for i in range(len(ids)):
            answering = (answering or ids[max(0, i - len(cue)) : i] == cue) and ids[i : i + len(begins)] != begins
            yield answering

    def which(ids: list[int]) -> list[int]:
        found = list(answers(ids))
        if not any(found):
            size = len(full_stop)
            found = [ids[i + 1 : i + 1 + size] == full_stop or (stops and ids[i : i + size] == full_stop) for i in range(len(ids))]
        if not any(found):
            found = [True] * len(ids)
        return [int(one and token != end) for one, token in zip(found, ids, strict=True)]

    return lambda option_ids: option_ids.new_tensor([which(row) for row in option_ids.tolist()])
