"""A model is asked what follows: from one statement (local), from one document with the others in context (global).

statements, documents --> replies, `samples` each --> lines --> what most samples say (self-consistency) --> inferences
                                                                 a second teacher, if there is one: yes | no <--+"""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from limbeck import render_inferences as asking
from limbeck.augment.inferences import Inference, agreed
from limbeck.errors import LimbeckError
from limbeck.registry import Ask
from limbeck.types import Message, Origin, Price, Reply, Request

TEMPERATURE = 0.7  # of several samples: at 0 they would all be the same
LOCAL_TOKENS, GLOBAL_TOKENS = 200, 800  # room of a reply: about eight lines of a statement, thirty of a document
AT_ONCE = 20  # statements in one question to the second teacher


@dataclass(frozen=True)
class Asked:
    """inferences: before they are checked. counts: requests, samples, unreadable (lines), disagreed (statements that too few samples
    made), and errors of the provider by name. left_out: documents that did not fit into a global question, on average."""

    inferences: tuple[Inference, ...]
    counts: dict[str, int]
    cost_usd: float = 0.0
    left_out: float = 0.0


@dataclass
class Job:
    """One question. uses: {number in the prompt: id}; of a local one {0: the statement's id}."""

    messages: tuple[Message, ...]
    uses: Mapping[int, str]
    samples: list[list[Inference]] = field(default_factory=list)


def ask_local(
    statements: Mapping[str, str], titles: Mapping[str, str], ask: Ask, *, samples: int = 1, price: Price | None = None, seed: int = 0
) -> Asked:
    """statements: {id: text}; titles: {id: what it is about}, where that is known. Equal statements are asked about once by the store."""
    jobs = [Job(asking.local_messages(text, titles.get(name, "")), {0: name}) for name, text in statements.items()]
    return gather(jobs, "local", ask, LOCAL_TOKENS, samples, price, seed)


def ask_global(
    documents: Mapping[str, str],
    ask: Ask,
    *,
    room: int,
    size: Callable[[str], int],
    samples: int = 1,
    price: Price | None = None,
    seed: int = 0,
) -> Asked:
    """One question per document, about it and the others; as many of these as fit into `room` (in `size`), drawn by the seed where not
    all do. A document has the same number in every question."""
    names = {number: name for number, name in enumerate(documents, 1)}
    sizes = {number: size(documents[name]) + 4 for number, name in names.items()}
    jobs = []
    for focus in names:
        chosen = fitting(focus, sizes, room, seed)
        shown = {number: documents[names[number]] for number in chosen}
        jobs.append(Job(asking.global_messages(shown, focus), {number: names[number] for number in chosen}))
    found = gather(jobs, "global", ask, GLOBAL_TOKENS, samples, price, seed)
    left_out = sum(len(names) - len(job.uses) for job in jobs) / max(1, len(jobs))
    return Asked(found.inferences, found.counts, found.cost_usd, left_out)


def fitting(focus: int, sizes: Mapping[int, int], room: int, seed: int) -> list[int]:
    """The focus, and whatever of the others fits beside it, in the order of their numbers."""
    if sum(sizes.values()) <= room:
        return sorted(sizes)
    left = room - sizes[focus]
    chosen = [focus]
    others = [number for number in sizes if number != focus]
    for number in random.Random(f"{seed} {focus}").sample(others, len(others)):
        if sizes[number] <= left:
            chosen.append(number)
            left -= sizes[number]
    return sorted(chosen)


def gather(jobs: Sequence[Job], scope: str, ask: Ask, tokens: int, samples: int, price: Price | None, seed: int) -> Asked:
    requests = [
        Request(messages=job.messages, temperature=TEMPERATURE if samples > 1 else 0.0, max_tokens=tokens, n=samples, seed=seed)
        for job in jobs
    ]
    counts: Counter[str] = Counter()
    cost_usd = 0.0
    for job, request, outcome in zip(jobs, requests, ask(requests) if requests else [], strict=True):
        counts["requests"] += 1
        if not isinstance(outcome, Reply):
            count_error(outcome, counts)
            continue
        usd = price.of(outcome.tokens_in, outcome.tokens_out) if price is not None else None
        cost_usd += usd or 0.0
        job.samples = [lines_of(text, job, scope, outcome, request, counts) for text in outcome.texts]
        written = {one.text for sample in job.samples for one in sample}
        share = None if usd is None else usd / max(1, len(written))
        job.samples = [[signed(one, share) for one in sample] for sample in job.samples]
    found: list[Inference] = []
    for job in jobs:
        held, fewer = agreed(job.samples, least=len(job.samples) // 2 + 1)
        counts["disagreed"] += fewer
        found += held
    return Asked(tuple(found), {name: n for name, n in counts.items() if n}, cost_usd)


def count_error(outcome: Exception, counts: Counter[str]) -> None:
    """An error of the provider, or of a model that has no room for the question, costs this question alone."""
    if not isinstance(outcome, LimbeckError):
        raise outcome
    counts[type(outcome).__name__.lower()] += 1


def lines_of(text: str, job: Job, scope: str, reply: Reply, request: Request, counts: Counter[str]) -> list[Inference]:
    lines, lost = asking.read(text, scope)
    counts["samples"] += 1
    counts["unreadable"] += lost
    origin = Origin(
        kind="inferred",
        teacher=reply.model or None,
        request=reply.address or None,
        template=f"{scope}.{asking.VERSION}",
        temperature=request.temperature,
    )
    found = []
    for line in lines:
        uses = tuple(job.uses.get(number, f"[{number}]") for number in line.uses) if scope == "global" else (job.uses[0],)
        found.append(Inference(text=line.text, uses=uses, why=line.why, scope="global" if scope == "global" else "local", origin=origin))
    return found


def signed(one: Inference, usd: float | None) -> Inference:
    origin = None if one.origin is None else one.origin.model_copy(update={"cost_usd": usd})
    return one.model_copy(update={"origin": origin})


def second_opinion(
    inferences: Sequence[Inference], sources: Mapping[str, str], ask: Ask, *, price: Price | None = None, seed: int = 0
) -> tuple[list[bool | None], dict[str, int], float]:
    """(what another teacher says of each: it follows, it does not, None = nothing was said; counts; USD). Statements that rest on the
    same sources are asked about together."""
    groups: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for place, one in enumerate(inferences):
        groups[one.uses].append(place)
    parts = [(uses, places[i : i + AT_ONCE]) for uses, places in groups.items() for i in range(0, len(places), AT_ONCE)]
    requests = [
        Request(
            messages=asking.second_messages([sources[name] for name in uses], [inferences[i].text for i in places]),
            max_tokens=8 * AT_ONCE,
            seed=seed,
        )
        for uses, places in parts
    ]
    said: list[bool | None] = [None] * len(inferences)
    counts: Counter[str] = Counter()
    cost_usd = 0.0
    for (_, places), outcome in zip(parts, ask(requests) if requests else [], strict=True):
        counts["opinion.requests"] += 1
        if not isinstance(outcome, Reply):
            count_error(outcome, counts)
            continue
        cost_usd += price.of(outcome.tokens_in, outcome.tokens_out) if price is not None else 0.0
        for place, opinion in zip(places, asking.read_second(outcome.texts[0], len(places)), strict=True):
            said[place] = opinion
    return said, dict(counts), cost_usd
