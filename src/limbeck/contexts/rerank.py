"""Passages that a search found, put in order by a teacher: one call per input, checked; where the reply is no order, or there is
none, they stay as they were found, and that is counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from limbeck import render_ranking
from limbeck.registry import Ask
from limbeck.types import Example, Price, Reply, Request, Task

TOKENS_EACH = 6  # of an id in a reply, with its comma
UNREADABLE = "the reply names no passage"


@dataclass(frozen=True)
class Reranked:
    """order: places of the passages, best first. why_not: why it is the one that the search had ("" = it is the teacher's).
    unanswered: money, time or the provider; another day it may be had."""

    order: tuple[int, ...]
    why_not: str = ""
    unanswered: bool = False
    unknown: int = 0
    missing: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    latency_ms: float = 0.0
    cost_usd: float | None = None


@dataclass(frozen=True)
class Reranker:
    """depth: so many passages are put in order, the first ones; any others follow as they stood. price: of the teacher behind ask."""

    task: Task
    ask: Ask
    depth: int
    price: Price | None = None
    max_tokens: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "max_tokens", 32 + TOKENS_EACH * self.depth)

    def __call__(self, rows: Sequence[Example], passages: Sequence[Sequence[str]]) -> list[Reranked]:
        """passages: per row, as the search found them. One passage, or none, needs no order and no call."""
        some = [i for i, texts in enumerate(passages) if len(texts) > 1]
        outcomes = dict(zip(some, self.ask([self.request(rows[i], passages[i][: self.depth]) for i in some]), strict=True)) if some else {}
        return [self.read(outcomes.get(i), min(self.depth, len(texts)), len(texts)) for i, texts in enumerate(passages)]

    def request(self, row: Example, passages: Sequence[str]) -> Request:
        return Request(
            messages=render_ranking.messages(self.task, row, passages),
            reply_schema=render_ranking.reply_schema(),
            max_tokens=self.max_tokens,
            row=row,
        )

    def read(self, outcome: Reply | Exception | None, n: int, every: int) -> Reranked:
        as_found = tuple(range(every))
        if outcome is None:
            return Reranked(as_found)
        if not isinstance(outcome, Reply):
            what = str(getattr(outcome, "what", outcome))
            return Reranked(as_found, why_not=what, unanswered=type(outcome).__name__ != "Declined")
        cost = self.price.of(outcome.tokens_in, outcome.tokens_out) if self.price else None
        found = render_ranking.ranking(outcome.texts[0] if outcome.texts else "", n)
        order, why_not = ((*found.order, *range(n, every)), "") if found else (as_found, UNREADABLE)
        unknown, missing = (found.unknown, found.missing) if found else (0, 0)
        return Reranked(
            order, why_not, False, unknown, missing, outcome.tokens_in, outcome.tokens_out, outcome.latency_ms, cost
        )  # fmt: skip


def told(found: Sequence[Reranked]) -> dict[str, int]:
    """What became of the calls: {rows, fell_back, unanswered, unknown, missing}, rows counted that fell back or had such ids."""
    counts = Counter(
        name
        for one in found
        for name, yes in (("fell_back", one.why_not), ("unanswered", one.unanswered), ("unknown", one.unknown), ("missing", one.missing))
        if yes
    )
    return {"rows": len(found), **{name: counts[name] for name in ("fell_back", "unanswered", "unknown", "missing")}}
