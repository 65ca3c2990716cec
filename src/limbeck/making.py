"""From a task alone to labelled rows: generate inputs, ask for answers, let them vote. Sources and curation know nothing of
each other; here they meet."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Any

from limbeck.curate.clean import shingles, words_of
from limbeck.curate.vote import vote
from limbeck.registry import Ask, Note
from limbeck.sources.generate import generate
from limbeck.sources.label import Labelled, check_votes, label_inputs
from limbeck.sources.novelty import Novelty
from limbeck.sources.state import Generated
from limbeck.sources.steer import Plan
from limbeck.types import Example, Origin, Price, Task

VOTES = 3  # labelling requests for each made row: the fewest of which a majority can stand
SHOTS = 8  # rows of the user that stand in a question for a label, beside the prompt's own demonstrations


@dataclass(frozen=True)
class Made:
    """rows: one per distinct input, with the majority's answer, its share as confidence, and where all of it came from.
    rejected: (row, why). counts: `generate.*`, `label.*` and `rows.*`. said: what a user should read. generated: the course of it."""

    rows: tuple[Example, ...]
    rejected: tuple[tuple[Example, str], ...]
    counts: dict[str, int]
    said: tuple[str, ...]
    cost_usd: float = 0.0
    generated: Generated | None = None


def make_rows(
    task: Task,
    n: int,
    ask: Ask,
    ask_label: Ask | None = None,
    gold: Sequence[Example] = (),
    price: Price | None = None,
    price_label: Price | None = None,
    seed: int = 0,
    note: Note = lambda done, total, what: None,
    votes: int = VOTES,
    plan: Plan | None = None,
    embed: Callable[[Sequence[str]], Any] | None = None,
) -> Made:
    """n labelled rows. The answer that an input came with is its first vote, further ones are asked for until `votes` are
    cast or the majority stands. ask_label: another, better teacher; then only its answers vote. votes 1 without ask_label:
    the rows as they were generated. price, price_label: of the two teachers. embed: texts -> vectors; default minilm where torch is installed.
    Raises UsageError for a plan that makes no sense or an instruction that is too long, and whatever `ask` raises."""
    check_votes(votes)  # before anything is spent
    novelty = Novelty(words_of, shingles, embed or embedding())
    generated = generate(task, n, ask, novelty, gold, replace(plan or Plan(), seed=seed), price, note)
    second = ask_label is not None
    have = {} if second else votes_at_hand(generated)
    known = [row for row in gold if row.output is not None]
    shots = random.Random(seed).sample(known, min(SHOTS, len(known)))
    labelled = None
    if votes > 1 or second:
        paid = price_label if second else price
        labelled = label_inputs(task, generated.rows, ask_label or ask, votes, have, shots, seed, price=paid, note=note)
    answers, groups = ballot(generated, labelled, only_second=second)
    voted = vote(task, answers, groups)
    return put_together(generated, labelled, voted.rows, voted.rejected, novelty.embed is not None)


def label_rows(
    task: Task,
    rows: Sequence[Example],
    ask: Ask,
    votes: int = 1,
    shots: Sequence[Example] = (),
    price: Price | None = None,
    seed: int = 0,
    note: Note = lambda done, total, what: None,
) -> Made:
    """The user's unlabelled inputs, labelled in the same way; their origin says which file and row they are."""
    labelled = label_inputs(task, rows, ask, votes, shots=shots, seed=seed, price=price, note=note)
    at: dict[str, list[int]] = {row.id: [] for row in rows}
    for i, answer in enumerate(labelled.answers):
        at[answer.id].append(i)
    voted = vote(task, labelled.answers, [group for group in at.values() if group])
    unanswered = [(row, "no usable answer") for row in rows if not at[row.id]]
    counts = {f"label.{k}": v for k, v in labelled.counts.items()} | {"rows.made": len(voted.rows)}
    return Made(voted.rows, (*voted.rejected, *unanswered), counts, labelled.said, labelled.cost_usd)


def embedding() -> Callable[[Sequence[str]], Any] | None:
    """texts -> vectors of the embedded base, or None without the train extra: then texts are compared by their words alone."""
    if find_spec("torch") is None:
        return None
    from limbeck.engine.embed import embed

    return embed


def votes_at_hand(generated: Generated) -> dict[str, list[str]]:
    """Row id -> the answers it came with, repeats and near copies included."""
    return {generated.answers[g[0]].id: [generated.answers[i].output or "" for i in g] for g in generated.groups}


def ballot(generated: Generated, labelled: Labelled | None, only_second: bool) -> tuple[list[Example], list[list[int]]]:
    """(answers, groups) for the vote: what each input came with, and what it was labelled. With a second teacher the
    first one's answers do not count; its row stays, without an answer, for the input and the origin."""
    answers = list(generated.answers)
    further: dict[str, list[int]] = defaultdict(list)
    for answer in labelled.answers if labelled else ():
        further[answer.id].append(len(answers))
        answers.append(answer)
    groups = [[*group, *further[generated.answers[group[0]].id]] for group in generated.groups]
    for own, group in zip(generated.groups, groups, strict=True):
        if labels := [answers[i].origin for i in group[len(own) :]]:
            answers[own[0]] = signed(answers[own[0]], labels, only_second)
        for i in own if only_second else ():
            answers[i] = answers[i].model_copy(update={"output": None})
    return answers, groups


def signed(row: Example, labels: Sequence[Origin], only_second: bool) -> Example:
    """The row with the requests that it was labelled in; and who answered, where that is another teacher."""
    detail = f"labelled in {', '.join(dict.fromkeys(o.request for o in labels if o.request)) or 'requests that no store kept'}"
    update: dict[str, Any] = {"detail": detail}
    if only_second:
        update = {"detail": f"input by {row.origin.teacher or 'the first teacher'}; {detail}", "teacher": labels[0].teacher}
    return row.model_copy(update={"origin": row.origin.model_copy(update=update)})


def put_together(
    generated: Generated, labelled: Labelled | None, rows: Sequence[Example], rejected: Sequence[tuple[Example, str]], by_meaning: bool
) -> Made:
    counts = {f"generate.{k}": v for k, v in generated.counts.items()} | {"rows.made": len(rows), "rows.rejected_in_vote": len(rejected)}
    said = list(generated.said)
    if not by_meaning:
        said.append("novelty is measured by words alone: embeddings need pip install 'limbeck[train]'")
    if labelled:
        counts |= {f"label.{k}": v for k, v in labelled.counts.items()}
        said += labelled.said
        if rows:
            voted = [row for row in rows if sum((row.origin.votes or {}).values()) > 1]
            alike = sum(row.confidence == 1 for row in voted)
            said.append(
                f"{alike} of {len(voted)} rows with several votes were answered alike by all of them; the others carry their share as confidence"
            )
            if len(voted) < len(rows):
                said.append(f"{len(rows) - len(voted)} rows have one vote alone, the answer that they came with")
    cost_usd = generated.cost_usd + (labelled.cost_usd if labelled else 0.0)
    return Made(tuple(rows), (*generated.rejected, *rejected), counts, tuple(said), cost_usd, generated)


__all__ = ["Made", "Plan", "label_rows", "make_rows"]
