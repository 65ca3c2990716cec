"""Several answers to one input become one row: the majority, and how large it was.

Self-consistency (Wang et al. 2022): answers are compared in their canonical spelling, so that "Refund." and "refund" are
one vote. Which rows are answers to the same input is an argument, so that near copies of an input may vote together."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence

from limbeck import render
from limbeck.types import Example, Frozen, Kind, Status, Task


class Verdict(Frozen):
    """answer: the most frequent. agreement = its votes / all votes, in (0, 1]. votes: {answer: how often}, first seen first."""

    answer: str
    agreement: float
    votes: dict[str, int]


class Voted(Frozen):
    """rows: one per input, in the order in which inputs were first seen. rejected: (first row of the group, why)."""

    rows: tuple[Example, ...]
    rejected: tuple[tuple[Example, str], ...]


def majority(answers: Sequence[str]) -> Verdict | None:
    """The most frequent answer; of equally frequent ones the shortest; of equally short ones the first. None without votes."""
    if not answers:
        return None
    votes = Counter(answers)  # keeps the order of first sight
    seen = {answer: at for at, answer in enumerate(votes)}
    best = min(votes, key=lambda a: (-votes[a], len(a), seen[a]))
    return Verdict(answer=best, agreement=votes[best] / len(answers), votes=dict(votes))


def usable(task: Task, row: Example) -> str | None:
    """The row's answer in canonical spelling, or None where it has none that the task allows."""
    if row.output is None or not row.output.strip():
        return None
    if task.kind is Kind.FIELDS:
        value = render.find_json(row.output)
        return json.dumps(value, ensure_ascii=False, sort_keys=True) if isinstance(value, dict) else None
    text, status = render.canonical(task, row, row.output.strip())
    return text if status is Status.OK and text else None


def one_spelling(answers: Sequence[str]) -> list[str]:
    """Free answers that differ in case, blanks or a full stop alone are one: the first of them."""
    first: dict[str, str] = {}
    return [first.setdefault(" ".join(a.casefold().split()).rstrip(". "), a) for a in answers]


def same_input(rows: Sequence[Example]) -> list[list[int]]:
    """Row numbers by input and options, to the letter; every row in exactly one group."""
    groups: dict[tuple[str, tuple[str, ...]], list[int]] = defaultdict(list)
    for at, row in enumerate(rows):
        groups[row.input, row.choices or ()].append(at)
    return list(groups.values())


def vote(task: Task, rows: Sequence[Example], groups: Sequence[Sequence[int]] | None = None) -> Voted:
    """One row per group of answers (default: per input). The row is the group's first with the majority's answer,
    the agreement as confidence, the votes and the whole group's cost in its origin."""
    kept, rejected = [], []
    for group in same_input(rows) if groups is None else groups:
        members = [rows[at] for at in group]
        answers = [answer for row in members if (answer := usable(task, row)) is not None]
        verdict = majority(one_spelling(answers) if task.kind is Kind.TEXT else answers)
        if verdict is None:
            given = [row.output for row in members if row.output]
            rejected.append((members[0], f"no usable answer: {given[0][:80]!r}" if given else "no answer"))
        else:
            kept.append(elected(members, verdict))
    return Voted(rows=tuple(kept), rejected=tuple(rejected))


def elected(members: Sequence[Example], verdict: Verdict) -> Example:
    """The first row of a group, as the majority has it."""
    costs = [row.origin.cost_usd for row in members if row.origin.cost_usd is not None]
    origin = members[0].origin.model_copy(update={"votes": verdict.votes, "cost_usd": sum(costs) if costs else None})
    return members[0].model_copy(update={"output": verdict.answer, "confidence": verdict.agreement, "origin": origin})
