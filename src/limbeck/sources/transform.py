"""Foreign rows -> rows of the task: as they are where they fit, their labels mapped, or rewritten by a teacher (plan, rewrite, check)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

from limbeck import render
from limbeck.errors import CapReached, LimbeckError
from limbeck.registry import Ask, Note
from limbeck.sources.datasets import Dataset, Dropped
from limbeck.types import Example, Kind, Message, Origin, Price, Reply, Request, Status, Task

WAVE = 32  # rows that are asked about at a time: what is stopped early has not been paid for
MOST_FAILED = 1 / 3  # of the rows wanted: then the data set does not suit
LEAST_MAPPED = 0.5  # of the rows, or of the task's labels, must have a counterpart: else the label sets are about different things
PLAN_ROWS = 5


@dataclass
class Outcome:
    """What became of one data set's rows. how: as-is | mapped | rewritten | "" = nothing fits, and `said` tells why."""

    rows: list[Example] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    how: str = ""
    said: list[str] = field(default_factory=list)
    capped: bool = False  # money or time is used up: no other data set needs to be tried


def transform(
    task: Task, card: Dataset, rows: Sequence[Example], ask: Ask | None = None, note: Note = lambda done, total, what: None, price: Price | None = None
) -> Outcome:  # fmt: skip
    """rows: of one data set, input and output as they stand there, their origin set. price: of the teacher, for origins."""
    if task.kind is Kind.LABEL:
        mapping, origin, said = map_labels(task, card, rows, ask, price)
        covered = sum(row.output in mapping for row in rows)
        met = len(set(mapping.values()))
        if rows and (covered >= LEAST_MAPPED * len(rows) or met >= max(2, LEAST_MAPPED * len(task.labels))):
            if ask is None:
                said.append(f"{card.name}: labels go by their spelling, nobody checked that they mean the same here (no teacher)")
            return as_they_are(task, rows, mapping, origin, said)
        why = f"{covered} of {len(rows)} rows have a label that means one of the task's"
    else:
        fits, why, said = fits_as_is(task, card, rows, ask)
        if fits:
            return as_they_are(task, rows, {}, {}, said)
    if ask is None:
        return Outcome(said=[*said, f"{card.name}: {why}, and there is no teacher to rewrite its rows (--teacher)"])
    return rewrite(task, card, rows, ask, note, price, [*said, f"{card.name}: {why}: its rows are rewritten"])


# ---- as they are ----------------------------------------------------------------------------------------------------


def as_they_are(task: Task, rows: Sequence[Example], mapping: dict[str, str], origin: dict[str, Origin], said: list[str]) -> Outcome:
    """Every row that passes the check, its label in the task's spelling."""
    done = Outcome(said=said, how="mapped" if any(a != b for a, b in mapping.items()) else "as-is")
    for row in rows:
        output = row.output or ""
        if mapping and output not in mapping:
            done.dropped.append(drop(row, f"label {output[:40]!r} has no counterpart in the task"))
            continue
        bought = origin.get(output, Origin()).model_dump(include={"teacher", "request", "template"}, exclude_none=True)
        told = row.model_copy(update={"output": mapping.get(output, output), "origin": row.origin.model_copy(update=bought)})
        settle(task, told, done)
    return done


def settle(task: Task, row: Example, done: Outcome) -> None:
    """Into rows in canonical spelling, or into dropped with the reason."""
    checked = check(task, row)
    if isinstance(checked, str):
        done.dropped.append(drop(row, checked))
    else:
        done.rows.append(checked)


def check(task: Task, row: Example) -> Example | str:
    """The row in canonical spelling, or why it cannot be used: empty, no valid answer, or equal to a demonstration. A row
    whose text merely stands inside a demonstration is fine: short inputs always do."""
    if not row.input.strip():
        return "empty input"
    if not (row.output or "").strip():
        return "empty output"
    if task.kind is Kind.CHOICE and not row.choices:
        return "no options"
    answer, status = render.canonical(task, row, row.output or "")
    if task.kind is Kind.FIELDS:
        answer, status = render.answer(task, row, row.output or "")
    if status is not Status.OK:
        return f"not an answer of the task: {(row.output or '')[:60]!r}"
    if any(" ".join(row.input.split()) == " ".join(d.input.split()) for d in task.demonstrations):
        return "a copy of a demonstration"
    return row.model_copy(update={"output": answer})


def drop(row: Example, reason: str) -> Dropped:
    return Dropped(source=row.origin.source, row=row.origin.row, reason=reason)


# ---- labels ---------------------------------------------------------------------------------------------------------


def map_labels(
    task: Task, card: Dataset, rows: Sequence[Example], ask: Ask | None, price: Price | None
) -> tuple[dict[str, str], dict[str, Origin], list[str]]:
    """({foreign label: ours}, {foreign label: what its counterpart was bought with}, said). The same spelling first, then up
    to case and punctuation; what is left is asked of the teacher, once for all of it."""
    foreign = list(dict.fromkeys(row.output or "" for row in rows))
    mapping = {}
    for name in foreign:
        answer, status = render.canonical(task, Example(id="", input=""), name)
        if status is Status.OK and render.squeeze(answer) == render.squeeze(name):  # no label is read out of a sentence here
            mapping[name] = answer
    rest = [name for name in foreign if name not in mapping]
    if not rest or ask is None or len(rest) > 200:
        return mapping, {}, []
    outcome = ask([mapping_request(task, card, rows, rest)])[0]
    if not isinstance(outcome, Reply):
        return mapping, {}, [f"{card.name}: the labels could not be mapped by the teacher ({first_line(outcome)})"]
    reply = render.find_json(outcome.texts[0] if outcome.texts else "")
    told = reply.get("labels") if isinstance(reply, dict) else None
    if not isinstance(told, dict):
        return mapping, {}, [f"{card.name}: the teacher's mapping of labels was malformed"]
    found = {name: ours for name in rest if (ours := told.get(name)) in task.labels}
    origin = {name: bought(outcome, price, "map-labels", len(rows)) for name in found}
    said = [f"{card.name}: labels mapped by the teacher: {', '.join(f'{a} -> {b}' for a, b in list(found.items())[:8])}"] if found else []
    return {**mapping, **found}, origin, said


def mapping_request(task: Task, card: Dataset, rows: Sequence[Example], labels: Sequence[str]) -> Request:
    example = {name: next(row.input for row in rows if row.output == name)[:200] for name in labels}
    listed = "\n".join(f"- {name}   e.g. {text}" for name, text in example.items())
    system = (
        "A data set has labels of its own. For each say which label of the task means the same, or covers all that it means; null where "
        "none does. Do not guess."
    )
    user = f"The task:\n{task.instruction[:2000]}\nIts labels: {', '.join(task.labels)}\n\nThe data set {card.name}: {card.description[:300]}\nIts labels:\n{listed}"
    one = {"type": ["string", "null"], "enum": [*task.labels, None]}
    inner = {"type": "object", "properties": {name: one for name in labels}, "required": list(labels), "additionalProperties": False}
    schema = {"type": "object", "properties": {"labels": inner}, "required": ["labels"], "additionalProperties": False}
    messages = (Message(role="system", content=system), Message(role="user", content=user))
    return Request(messages=messages, reply_schema=json.dumps(schema, ensure_ascii=False), max_tokens=200 + 30 * len(labels))


def fits_as_is(task: Task, card: Dataset, rows: Sequence[Example], ask: Ask | None) -> tuple[bool, str, list[str]]:
    """(whether rows of a task without labels may stand as they are, why not, said). Form is checked by rule; whether free text
    answers this task only a teacher can tell, and without one it is taken so, and said."""
    good = sum(isinstance(check(task, row), Example) for row in rows)
    if good < LEAST_MAPPED * len(rows) or not rows:
        return False, f"{good} of {len(rows)} rows have the form of an answer", []
    if ask is None:
        return True, "", [f"{card.name}: nobody checked that its answers are what this task wants (no teacher)"]
    shown = "\n\n".join(f"Input: {row.input[:600]}\nOutput: {(row.output or '')[:300]}" for row in rows[:PLAN_ROWS])
    system = "Say whether these rows could stand among the training rows of the task just as they are: the same kind of input, and an output that carries out the instruction in its form."
    schema = {"type": "object", "properties": {"fits": {"type": "boolean"}, "why": {"type": "string"}}, "required": ["fits", "why"], "additionalProperties": False}  # fmt: skip
    user = f"{told(task)}\n\nRows of {card.name}:\n{shown}"
    outcome = ask([Request(messages=(Message(role="system", content=system), Message(role="user", content=user)), reply_schema=json.dumps(schema), max_tokens=200)])[0]  # fmt: skip
    reply = render.find_json(outcome.texts[0]) if isinstance(outcome, Reply) and outcome.texts else None
    if not isinstance(reply, dict) or not isinstance(reply.get("fits"), bool):
        return False, f"the teacher did not say whether its rows fit ({first_line(outcome)})", []
    return reply["fits"], f"its rows do not fit as they are ({str(reply.get('why', ''))[:120]})", []


def told(task: Task) -> str:
    """The task and how its rows look."""
    worked = "\n\n".join(f"Input: {d.input[:600]}\nOutput: {d.output[:300]}" for d in task.demonstrations[:3])
    return f"The task:\n{render.system(task)[:3000]}" + (f"\n\nRows of the task:\n{worked}" if worked else "")


# ---- plan, rewrite, check -------------------------------------------------------------------------------------------

PLAN = "Rows of another data set are to become training rows of the task. Say in a few numbered steps how one of its rows is turned into an input and an output of the task, using what it holds; and when a row has to be skipped."
REWRITE = "Turn the row into one training row of the task, following the plan. The input is what the task would be given, the output the right answer to it, in the form that the task asks for. Where the row cannot be used, leave both empty."
ROW_SCHEMA = json.dumps(
    {
        "type": "object",
        "properties": {"input": {"type": "string"}, "output": {"type": "string"}},
        "required": ["input", "output"],
        "additionalProperties": False,
    }
)


def rewrite(task: Task, card: Dataset, rows: Sequence[Example], ask: Ask, note: Note, price: Price | None, said: list[str]) -> Outcome:
    """Row by row in waves. Stops when more than a third of all have failed, or the money is used up; what came in is kept."""
    done = Outcome(said=said, how="rewritten")
    if task.kind is Kind.CHOICE:
        return Outcome(said=[*said, f"{card.name}: options that differ from row to row are not invented"])
    planned = ask([plan_request(task, card, rows)])[0]
    if not isinstance(planned, Reply) or not planned.texts or not planned.texts[0].strip():
        done.capped = isinstance(planned, CapReached)
        return Outcome(said=[*said, f"{card.name}: no plan for its rows ({first_line(planned)})"], capped=done.capped)
    failed = 0
    for start in range(0, len(rows), WAVE):
        wave = rows[start : start + WAVE]
        try:
            outcomes = ask([row_request(task, card, planned.texts[0], row) for row in wave])
        except LimbeckError as error:
            done.said.append(f"{card.name}: stopped after {len(done.rows)} rows, which are kept: {error.what}")
            return done
        for row, outcome in zip(wave, outcomes, strict=True):
            before = len(done.rows)
            take(task, row, outcome, price, done)
            failed += len(done.rows) == before
        note(start + len(wave), len(rows), card.name)
        if done.capped:
            done.said.append(f"{card.name}: money or time is used up after {len(done.rows)} rows, which are kept")
            break
        if failed > MOST_FAILED * len(rows):
            done.said.append(f"{card.name}: stopped, {failed} of the {start + len(wave)} rows tried failed; the {len(done.rows)} good ones are kept")  # fmt: skip
            break
    return done


def take(task: Task, row: Example, outcome: Reply | Exception, price: Price | None, done: Outcome) -> None:
    """One reply becomes one row, or one reason."""
    if not isinstance(outcome, Reply):
        done.capped = done.capped or isinstance(outcome, CapReached)
        done.dropped.append(drop(row, f"no reply: {first_line(outcome)}"))
        return
    reply = render.find_json(outcome.texts[0] if outcome.texts else "")
    if not isinstance(reply, dict) or not isinstance(reply.get("input"), str) or not isinstance(reply.get("output"), str | int | float):
        done.dropped.append(drop(row, "malformed reply"))
        return
    if not reply["input"].strip() and not str(reply["output"]).strip():
        done.dropped.append(drop(row, "the teacher could not use it"))
        return
    about = bought(outcome, price, "rewrite-row", 1).model_dump(include={"teacher", "request", "template", "cost_usd"}, exclude_none=True)
    settle(task, row.model_copy(update={"input": reply["input"], "output": str(reply["output"]), "rationale": None, "origin": row.origin.model_copy(update=about)}), done)  # fmt: skip


def bought(reply: Reply, price: Price | None, template: str, rows: int) -> Origin:
    """cost_usd: this row's share."""
    cost = price.of_reply(reply) / max(1, rows) if price else None
    return Origin(teacher=reply.model or None, request=reply.address or None, template=template, cost_usd=cost)


def plan_request(task: Task, card: Dataset, rows: Sequence[Example]) -> Request:
    shown = "\n\n".join(f"Input: {row.input[:600]}\nOutput: {(row.output or '')[:300]}" for row in rows[:PLAN_ROWS])
    user = f"{told(task)}\n\nRows of {card.name} ({card.description[:200]}):\n{shown}"
    return Request(messages=(Message(role="system", content=PLAN), Message(role="user", content=user)), max_tokens=500)


def row_request(task: Task, card: Dataset, plan: str, row: Example) -> Request:
    user = f"{told(task)}\n\nThe plan:\n{plan[:2000]}\n\nThe row of {card.name}:\nInput: {row.input[:3000]}\nOutput: {(row.output or '')[:1000]}"
    return Request(
        messages=(Message(role="system", content=REWRITE), Message(role="user", content=user)), reply_schema=ROW_SCHEMA, max_tokens=800
    )


def first_line(outcome: object) -> str:
    if isinstance(outcome, Reply):
        return "empty or malformed reply"
    return str(outcome).splitlines()[0] if str(outcome) else type(outcome).__name__
