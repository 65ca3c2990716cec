"""A base that takes no instructions writes what follows: it reads a statement and the beginning of its other side, and goes on.

    The dax is heavier than the wug. Therefore the wug is lighter than     ->     the dax.

The declared relations say where to begin; what is written after that is the model's own, and is checked like any other inference. What
states no relation any more, since the model did not end, is unreadable.
Where a statement begins small, so does what is written: a tokenizer of whole words knows wug, and may not know Wug."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from limbeck.augment.ask_inferences import TEMPERATURE, Asked, count_error
from limbeck.augment.inferences import Inference, agreed
from limbeck.augment.relations import Relation, begun, fact_in, stated_in, turned
from limbeck.registry import Ask
from limbeck.types import Message, Origin, Reply, Request

MAX_TOKENS = 16  # an article and a name, in pieces


def ask_cues(statements: Mapping[str, str], relations: Sequence[Relation], ask: Ask, *, samples: int = 1, seed: int = 0) -> Asked:
    """The other side of every statement that states a declared relation with one."""
    cues = {}
    for name, fact in stated_in(statements, relations).items():
        if back := turned(fact, relations):
            cues[name] = " ".join(back.said[:2])
    requests = [
        Request(
            messages=(Message(role="user", content=f"{statements[name].strip()} {begun('therefore', statements[name])} {cue}"),),
            temperature=TEMPERATURE if samples > 1 else 0.0, max_tokens=MAX_TOKENS, n=samples, seed=seed,
        )
        for name, cue in cues.items()
    ]  # fmt: skip
    counts: Counter[str] = Counter()
    found: list[Inference] = []
    for (name, cue), outcome in zip(cues.items(), ask(requests) if requests else [], strict=True):
        counts["requests"] += 1
        if not isinstance(outcome, Reply):
            count_error(outcome, counts)
            continue
        origin = Origin(kind="inferred", teacher=outcome.model or None, request=outcome.address or None, template="cue.1")
        written = [re.split(r"[.\n!?]", text.strip())[0].strip() for text in outcome.texts]
        said = [f"{begun(cue, statements[name])} {end}." if end else "" for end in written]
        said = [text if text and fact_in(text, relations) else "" for text in said]
        counts["unreadable"] += said.count("")
        made = [
            [Inference(text=text, uses=(name,), why="gone on from its other side", scope="local", origin=origin)] for text in said if text
        ]
        held, fewer = agreed(made, least=len(written) // 2 + 1)
        counts["disagreed"] += fewer
        found += held
    return Asked(tuple(found), {name: n for name, n in counts.items() if n})
