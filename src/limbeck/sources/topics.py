"""What could the inputs be about? A tree of topics, asked of the teacher, which requests walk through.

A topic that no longer brings new texts is divided; a teacher that will not name topics is done without."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from limbeck.errors import ProviderError
from limbeck.registry import Ask
from limbeck.render import find_json
from limbeck.types import Message, Reply, Request, Task

ROOTS, BRANCHES = 12, 6  # topics asked for at first, and below one topic
DEEPEST = 2  # levels below the roots
DIVIDED_AT_ONCE = 6  # topics, the most exhausted first

SYSTEM = "You plan a data set that is to be varied. You name topics; you write no examples and do not carry out the task."


@dataclass
class Topic:
    """shown: rows that requests on this topic brought, novel: how many of them were new, each older request counting
    half of the one after it. depth: 0 at the root."""

    name: str
    depth: int = 0
    shown: float = 0.0
    novel: float = 0.0
    divided: bool = False

    @property
    def worth(self) -> float:
        """Expected share of new rows, 3 of 4 before anything is known."""
        return (self.novel + 3) / (self.shown + 4)

    def learn(self, shown: int, novel: int) -> None:
        self.shown, self.novel = self.shown / 2 + shown, self.novel / 2 + novel


@dataclass
class Topics:
    """The leaves of the tree. said: why there are none, or fewer."""

    task: Task
    leaves: list[Topic] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    asked: int = 0
    errors: list[ProviderError] = field(default_factory=list)

    def plant(self, ask: Ask, seed: int) -> list[Reply]:
        """Ask for the roots. What went wrong is said, and the tree stays empty."""
        names, replies = self.names_for([("", seed)], ask)
        self.leaves = [Topic(name) for name in names[0]]
        if not self.leaves:
            self.said.append("the teacher named no topics: rows are asked for without them")
        return replies

    def divide(self, ask: Ask, seed: int, at_most: int) -> list[Reply]:
        """Ask for narrower topics below the leaves that bring least, and put those into their place."""
        tired = sorted((t for t in self.leaves if not t.divided and t.shown and t.depth < DEEPEST), key=lambda t: (t.worth, t.name))
        tired = tired[: max(0, min(DIVIDED_AT_ONCE, at_most, -(-len(self.leaves) // 2)))]
        if not tired:
            return []
        names, replies = self.names_for([(topic.name, seed + i) for i, topic in enumerate(tired)], ask)
        for topic, below in zip(tired, names, strict=True):
            topic.divided = True
            known = {leaf.name.casefold() for leaf in self.leaves}
            fresh = [Topic(name, topic.depth + 1) for name in below if name.casefold() not in known]
            if fresh:
                at = self.leaves.index(topic)
                self.leaves[at : at + 1] = fresh
        return replies

    def names_for(self, above: Sequence[tuple[str, int]], ask: Ask) -> tuple[list[list[str]], list[Reply]]:
        """The topics below each of `above` ("" = the task itself), [] where the reply was no use."""
        outcomes = ask([request(self.task, name, seed) for name, seed in above])
        self.asked += len(above)
        if unknown := [o for o in outcomes if isinstance(o, Exception) and not isinstance(o, ProviderError)]:
            raise unknown[0]
        self.errors += [o for o in outcomes if isinstance(o, ProviderError)]
        names = [read(o.texts[0]) if isinstance(o, Reply) and o.texts else [] for o in outcomes]
        if failed := sum(not found for found in names):
            why = next((str(o).splitlines()[0] for o in outcomes if isinstance(o, Exception)), "the reply was no list of topics")
            self.said.append(f"{failed} of {len(above)} questions for topics got no answer ({why})")
        return names, [o for o in outcomes if isinstance(o, Reply)]

    def draw(self, count: int, rng: random.Random) -> list[Topic | None]:
        """A topic per request, the worthy more often, none twice before all had a turn."""
        if not self.leaves:
            return [None] * count
        drawn: list[Topic | None] = []
        while len(drawn) < count:
            turn = sorted(self.leaves, key=lambda t: rng.random() ** (1 / t.worth), reverse=True)  # Efraimidis & Spirakis 2006
            drawn += turn[: count - len(drawn)]
        return drawn


def request(task: Task, above: str, seed: int) -> Request:
    """A question for topics of a task, or below one of them."""
    count = BRANCHES if above else ROOTS
    what = f'the topic "{above}" into {count} narrower ones' if above else f"the inputs that this task may meet into {count} topics"
    text = (
        f"The task:\n{task.instruction.strip()}\n\nDivide {what}: subjects, situations or kinds of input that differ as much as possible "
        'and do not overlap, two to six words each.\nReply with one JSON object: {"topics": ["...", "..."]}'
    )
    shape = {
        "type": "object",
        "properties": {"topics": {"type": "array", "items": {"type": "string"}}},
        "required": ["topics"],
        "additionalProperties": False,
    }
    messages = (Message(role="system", content=SYSTEM), Message(role="user", content=text))
    return Request(messages=messages, reply_schema=json.dumps(shape), temperature=0.7, max_tokens=600, seed=seed)


def read(text: str) -> list[str]:
    """The topics of a reply: {"topics": [...]}, or the bare list; [] where it is neither."""
    value = find_json(text)
    names = value.get("topics") if isinstance(value, dict) else value
    if not isinstance(names, list):
        return []
    flat = [" ".join(name.split())[:80] for name in names if isinstance(name, str) and name.strip()]
    return list({name.casefold(): name for name in reversed(flat)}.values())[::-1][:40]
