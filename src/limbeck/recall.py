"""Retrieval measured by itself: how often the right passage is among those that are found, where it is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from limbeck import stats
from limbeck.contexts.rerank import Reranker, told
from limbeck.contexts.search import WAYS, PassageIndex
from limbeck.render import squeeze
from limbeck.types import Example, Kind, Task

COMPARISONS = 6_000_000  # rows x passages that are looked through for the gold passage: about 5 s
LISTED = 10  # so many ranks are looked at


def measure(
    index: PassageIndex,
    task: Task,
    rows: Sequence[Example],
    passages: Sequence[tuple[str, str]],
    rerank: Reranker | None = None,
    way: str = "fused",
) -> dict[str, Any]:
    """{gold: how the right passage is known, ways: [{way, n, recall@k with its 95 % interval, mrr}], reranked: what became of the
    calls}, over rows of test. rerank: puts what `way` finds in order, for all rows: the calls are those of the candidate's own
    test answers, and paid for once."""
    some = list(rows)[: max(1, COMPARISONS // max(1, len(passages)))]
    gold = gold_passages(task, some, passages)
    known = [(row, right) for row, right in zip(some, gold, strict=True) if right]
    calls: dict[str, int] = {}
    order: dict[str, list[int]] = {}
    if rerank is not None and rows:
        hits = index.search([row.input for row in rows], max(rerank.depth, LISTED), way)
        numbers = [[h.number for h in line] for line in hits]
        ranked = rerank([row.blind() for row in rows], [[index.passage(n).shown for n in line] for line in numbers])
        order = {row.id: [line[p] for p in one.order] for row, line, one in zip(rows, numbers, ranked, strict=True)}
        calls = told(ranked)
    if not known:
        why = "Retrieval by itself was not measured: no test row names its passage (column passage), and no answer stands in just one"
        return {"gold": why + " passage.", "ways": [], "reranked": calls}
    named = sum(row.passage is not None for row, _ in known)
    how = f"{named} by the column passage, {len(known) - named} because the answer stands in that passage alone"
    ways = [one for one in WAYS if index.facts["meaning"] or one == "words"]
    table = []
    for one in ways:
        hits = index.search([row.input for row, _ in known], LISTED, one)
        ranks = [first_rank([h.number for h in line], right) for line, (_, right) in zip(hits, known, strict=True)]
        table.append({"way": one, **figures(ranks)})
    if order:
        table.append({"way": "reranked", **figures([first_rank(order[row.id][:LISTED], right) for row, right in known])})
    return {"reranked": calls, "gold": f"The right passage is known for {len(known)} of {len(some)} test rows ({how}).", "ways": table}


def gold_passages(task: Task, rows: Sequence[Example], passages: Sequence[tuple[str, str]]) -> list[set[int]]:
    """Per row the passages that count as right; empty where that is not known. A document's name makes all of its passages
    right. An answer makes a passage right where it stands in that one alone, or in two neighbours that overlap."""
    names: dict[str, set[int]] = {}
    for number, (document, _) in enumerate(passages):
        names.setdefault(document, set()).add(number)
    texts = [f" {squeeze(text)} " for _, text in passages]

    def right(row: Example) -> set[int]:
        if row.passage is not None:
            needle = f" {squeeze(row.passage)} "
            return names.get(row.passage) or {n for n, text in enumerate(texts) if needle in text or (len(text) > 40 and text in needle)}
        answers = [squeeze(a) for a in {row.output, *(row.answers or ())} if a and squeeze(a)] if task.kind is Kind.TEXT else []
        found = [n for n, text in enumerate(texts) if any(f" {a} " in text for a in answers)]
        neighbours = len(found) == 2 and found[1] == found[0] + 1 and passages[found[0]][0] == passages[found[1]][0]
        return set(found) if len(found) == 1 or neighbours else set()

    return [right(row) for row in rows]


def first_rank(numbers: Sequence[int], right: set[int]) -> int | None:
    """1-based rank of the first right one, None where there is none."""
    return next((rank for rank, number in enumerate(numbers, 1) if number in right), None)


def figures(ranks: Sequence[int | None]) -> dict[str, Any]:
    n = len(ranks)
    found: dict[str, Any] = {"n": n, "mrr": round(sum(1 / r for r in ranks if r) / n, 4)}
    for k in (1, 5, LISTED):
        hits = sum(r is not None and r <= k for r in ranks)
        low, high = stats.wilson(hits, n)
        found[f"recall@{k}"] = {"value": round(hits / n, 4), "low": round(low, 4), "high": round(high, 4)}
    return found
