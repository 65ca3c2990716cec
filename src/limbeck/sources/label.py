"""Inputs -> answers of a teacher, several per input, as many as it takes to be sure of the majority.

An input whose votes cannot be overturned any more is not asked again: of five votes most rows need three."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from limbeck import render
from limbeck.errors import ProviderError, UsageError
from limbeck.registry import Ask, Note
from limbeck.types import Example, Origin, Price, Reply, Request, Status, Task

TEMPERATURE = 0.7  # of votes: at 0 every vote would be the same (self-consistency, Wang et al. 2022, section 3.1)


@dataclass(frozen=True)
class Labelled:
    """answers: one row per usable vote, the row that was asked about with that output. counts: requests, votes, and what became of
    unusable ones by status. unanswered: ids without any usable vote. cost_usd: of all replies."""

    answers: tuple[Example, ...]
    counts: dict[str, int]
    unanswered: tuple[str, ...]
    said: tuple[str, ...]
    cost_usd: float


def label_inputs(
    task: Task,
    rows: Sequence[Example],
    ask: Ask,
    votes: int = 3,
    have: Mapping[str, Sequence[str]] | None = None,
    shots: Sequence[Example] = (),
    seed: int = 0,
    max_tokens: int = 512,
    price: Price | None = None,
    note: Note = lambda done, total, what: None,
) -> Labelled:
    """Up to `votes` answers per row, in the task's spelling; fewer where the majority stands before.

    have: votes cast already, by row id, in the same spelling; they count towards `votes`. shots: demonstrations for every
    question. One vote is asked for at temperature 0, several at 0.7, each round with a seed of its own. Outcomes that are errors of
    a provider are counted, all others raised; after CapReached nothing more is asked."""
    check_votes(votes)
    cast = {row.id: Counter((have or {}).get(row.id, ())) for row in rows}
    tried = {row.id: cast[row.id].total() for row in rows}
    counts: Counter[str] = Counter()
    answers: list[Example] = []
    cost_usd = 0.0
    for turn in range(votes):  # every turn uses up at least one try of each row that is still open
        open_rows = [row for row in rows if tried[row.id] < votes and not is_decided(cast[row.id], votes - tried[row.id])]
        if not open_rows or counts["capreached"]:
            break
        requests = [
            question(task, row, shots, needed(cast[row.id], votes - tried[row.id]), votes, seed * 1000 + turn, max_tokens)
            for row in open_rows
        ]
        for row, request, outcome in zip(open_rows, requests, ask(requests), strict=True):
            counts["requests"] += 1
            tried[row.id] += request.n
            if not isinstance(outcome, Reply):
                if not isinstance(outcome, ProviderError):
                    raise outcome
                counts[type(outcome).__name__.lower()] += 1
                continue
            tried[row.id] += min(0, len(outcome.texts) - request.n)  # fewer texts than asked for: those are still open
            cost = None if price is None else price.of_reply(outcome)
            cost_usd += cost or 0.0
            found = read(task, row, request, outcome, cost, counts)
            cast[row.id].update(answer.output or "" for answer in found)
            answers += found
        note(len(rows) - len(open_rows), len(rows), f"rows labelled, round {turn + 1}")
    unanswered = tuple(row.id for row in rows if not cast[row.id])
    return Labelled(tuple(answers), dict(counts), unanswered, tuple(sentences(rows, counts, unanswered)), cost_usd)


def check_votes(votes: int) -> None:
    if votes < 1:
        raise UsageError("an input needs one vote at least", f"votes is {votes}", "3 or 5 votes: an odd number ties less often")


def question(task: Task, row: Example, shots: Sequence[Example], n: int, votes: int, seed: int, max_tokens: int) -> Request:
    """One input, asked about as a prompted teacher would be."""
    return Request(
        messages=render.messages(task, row.blind(), shots),
        reply_schema=render.reply_schema(task, row),
        temperature=TEMPERATURE if votes > 1 else 0.0,
        max_tokens=max_tokens,
        n=n,
        seed=seed,
        row=row.blind(),
    )


def is_decided(cast: Counter[str], left: int) -> bool:
    """Whether `left` more votes cannot change who is first."""
    first, second = [*(n for _, n in cast.most_common(2)), 0, 0][:2]
    return first - second > left


def needed(cast: Counter[str], left: int) -> int:
    """Fewest further votes that could decide, were they all for who is first: at least 1, at most `left`."""
    first, second = [*(n for _, n in cast.most_common(2)), 0, 0][:2]
    return next((k for k in range(1, left) if first + k - second > left - k), max(1, left))


def read(task: Task, row: Example, request: Request, reply: Reply, cost_usd: float | None, counts: Counter[str]) -> list[Example]:
    """The usable votes of one reply; the others are counted by status."""
    found = []
    for text in reply.texts:
        answer, status = render.answer(task, row, text)
        counts["votes" if status is Status.OK else str(status)] += 1
        if status is Status.OK:
            origin = Origin(
                kind="teacher",
                source=row.origin.source,
                row=row.origin.row,
                teacher=reply.model or None,
                request=reply.address or None,
                template=f"label.{render.VERSION}",
                temperature=request.temperature,
            )
            found.append(row.model_copy(update={"output": answer, "origin": origin, "confidence": None}))
    if cost_usd is None or not found:
        return found
    share = {"cost_usd": cost_usd / len(found)}
    return [answer.model_copy(update={"origin": answer.origin.model_copy(update=share)}) for answer in found]


def sentences(rows: Sequence[Example], counts: Counter[str], unanswered: Sequence[str]) -> list[str]:
    said = [f"{counts['votes']} votes on {len(rows)} inputs in {counts['requests']} requests"]
    lost = {k: counts[k] for k in ("empty", "malformed", "declined", "transient", "capreached", "providererror") if counts[k]}
    if lost:
        said.append("votes that could not be used: " + ", ".join(f"{name} {n}" for name, n in lost.items()))
    if unanswered:
        said.append(f"{len(unanswered)} of {len(rows)} inputs got no usable answer")
    if counts["capreached"]:
        said.append("labelling ended early: the money or the time is used up; the same command with a higher cap goes on")
    return said
