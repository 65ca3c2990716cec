"""A data set out of a teacher: few-shot requests in batches, steered by how new what they bring is.

    wishes (labels, topics, template) --> prompts --> ask --> rows --> novelty --> the next batch
                                                                 '--> votes of inputs that are known

The course is fixed by the seed and the replies in their order: with a store behind `ask`, the same call asks nothing
twice, and one that was interrupted goes on where it was."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence

from limbeck.errors import CapReached, Declined, ProviderError, Transient
from limbeck.registry import Ask, Note
from limbeck.sources import templates
from limbeck.sources.novelty import COPY, Novelty, Seen
from limbeck.sources.replies import EMPTY, read
from limbeck.sources.state import Generated, State, cost_of, key_text
from limbeck.sources.steer import NARROWEST, Heat, Plan, Quota, batch_size, fading, width
from limbeck.sources.templates import TEMPLATES, Wish, compose
from limbeck.sources.topics import Topic, Topics
from limbeck.types import Example, Kind, Origin, Price, Reply, Request, Task

OWNED_SHOWN, MADE_SHOWN = 5, 10  # most examples of either sort in a prompt
FEW, FEW_CALLS = 50, 10  # rows wanted, calls allowed: below that asking for topics is not worth a request
DIVISIONS = 4  # of topics in a row that do not bring novelty back


def generate(
    task: Task,
    n: int,
    ask: Ask,
    novelty: Novelty,
    gold: Sequence[Example] = (),
    plan: Plan | None = None,
    price: Price | None = None,
    note: Note = lambda done, total, what: None,
) -> Generated:
    """n rows of distinct inputs where the teacher has as many, else what there was until money, calls or novelty ended.

    gold: the user's rows: shown, counted in the label quota, and never repeated. Refusals, replies without rows and rows that
    are none are counted and told apart. Raises what `ask` raises, and outcomes that are no provider's error."""
    state = set_up(task, n, novelty, gold, plan or Plan(), price)
    if state.plan.topics and n >= FEW and (state.left is None or state.left > FEW_CALLS):
        state.next_seed()
        state.pay(state.topics.plant(ask, state.plan.seed * 1_000_003 + 1))
    stopped = "" if n > 0 else "no rows wanted"
    while not stopped:
        stopped = one_batch(state, ask)
        note(min(state.have, n), n, f"rows, {100 * (state.recent or 0):.0f} % new")
        if not stopped:
            divide(state, ask)
    return finish(state, stopped)


def set_up(task: Task, n: int, novelty: Novelty, gold: Sequence[Example], plan: Plan, price: Price | None) -> State:
    demonstrations = [Example(id=f"demonstration-{i}", input=d.input, output=d.output) for i, d in enumerate(task.demonstrations, 1)]
    owned = [*demonstrations, *(row for row in gold if row.output is not None)]
    shown = [Example(id="", input=r["input"], choices=r.get("choices")) for _, _, rows in templates.META for r in rows]
    ours = [key_text(row) for row in shown]  # a teacher may repeat these, too
    theirs = [key_text(row) for row in (*demonstrations, *gold)]
    novelty.measure_by(list(dict.fromkeys(theirs)))
    state = State(
        task, n, plan, novelty, Topics(task), Quota(task.labels, Counter(r.output or "" for r in owned)), Heat(plan), price, owned
    )
    state.owner = {seen.at: None for seen in novelty.see([*ours, *theirs])}
    return state


def one_batch(state: State, ask: Ask) -> str:
    """Ask, read, learn. "" = go on, else why it ends."""
    missing = state.wanted - state.have
    useful = state.have / max(1, sum(h["asked"] for h in state.history)) if state.history else 1.0
    wide = state.plan.wide or width(missing, state.wanted, state.plan.rows_per_request, useful)
    if state.plan.wide is None and (1.0 if state.recent is None else state.recent) < state.plan.wanted_novelty:
        wide = min(wide, NARROWEST)  # whether more is worth its money is seen sooner
    count = batch_size(missing, state.plan.rows_per_request, state.left, wide)
    if count == 0:
        return f"all {state.plan.max_requests} requests that were allowed are used"
    heat = state.heat.next(state.have / state.wanted, state.recent)
    wishes = make_wishes(state, count)
    requests = [make_request(state, wish, heat) for wish, _ in wishes]
    outcomes = ask(requests)
    before = state.have
    found = [rows_of(state, wish, request, outcome) for (wish, _), request, outcome in zip(wishes, requests, outcomes, strict=True)]
    every = [row for rows in found for row in rows]
    seen = state.novelty.see([key_text(row) for row in every])  # a whole batch at once: embedding is the slow part
    for row, one in zip(every, seen, strict=True):
        accept(state, row, one)
    new_rows, read_rows = credit(wishes, found, seen), len(every)
    empty = sum(isinstance(o, Reply) and not rows for o, rows in zip(outcomes, found, strict=True))
    replies = [o for o in outcomes if isinstance(o, Reply)]
    state.heat.learn(heat, empty / len(replies) if replies else 0.0)
    if replies and sum("length" in r.finish for r in replies) > len(replies) / 5:
        state.roomier = min(8, 2 * state.roomier)
    figures = {"requests": count, "asked": sum(w.rows for w, _ in wishes), "read": read_rows, "kept": state.have - before}
    state.history.append({**figures, "new": new_rows, "novelty": new_rows / max(1, read_rows), "temperature": heat})
    return why_stop(state, outcomes)


def why_stop(state: State, outcomes: Sequence[Reply | Exception]) -> str:
    """ "" where another batch makes sense."""
    if state.have >= state.wanted:
        return "all rows that were wanted"
    if any(isinstance(o, CapReached) for o in outcomes):
        return "the money or the time is used up"
    if all(isinstance(o, Declined) for o in outcomes) and not state.answers:
        return f"the teacher declines to write rows ({str(outcomes[0]).splitlines()[0]})"
    if len(state.history) >= 2 and not any(h["read"] for h in state.history[-2:]):
        return "two batches brought no row at all"
    if fading([(int(h["new"]), int(h["read"])) for h in state.history[state.judged_from :]], state.plan.least_novelty):
        new, got = (sum(int(h[k]) for h in state.history[-2:]) for k in ("new", "read"))
        return f"novelty ran out: of the last {got} rows {new} were new, less than {state.plan.least_novelty:.0%}"
    return ""


# ---- towards the teacher -------------------------------------------------------------------------------------------


def make_wishes(state: State, count: int) -> list[tuple[Wish, Topic | None]]:
    """What the requests of a batch ask for: templates in turn, topics by worth, the rarest labels by name."""
    rng = random.Random(f"{state.plan.seed}:{len(state.history)}")
    planned: Counter[str] = Counter()
    names = list(TEMPLATES)
    wishes = []
    for i, topic in enumerate(state.topics.draw(count, rng)):
        rows = min(state.plan.rows_per_request, state.wanted)
        labels = state.quota.rarest(rows, planned, rng) if state.task.kind is Kind.LABEL else ()
        template = names[(state.counts["requests"] + i) % len(names)]
        wishes.append((Wish(template, rows, labels, topic.name if topic else ""), topic))
    return wishes


def make_request(state: State, wish: Wish, heat: float) -> Request:
    seed = state.next_seed()
    rng = random.Random(f"{state.plan.seed}/{seed}")
    owned = rng.sample(state.owned, min(len(state.owned), OWNED_SHOWN))
    composed = compose(state.task, wish, owned, draw_made(state, rng), rng, state.plan.prompt_tokens)
    if composed.left_out:
        state.counts["examples_left_out"] += composed.left_out
        state.counts["prompts_shortened"] += 1
    schema = templates.reply_schema(state.task, wish.rows)
    return Request(messages=composed.messages, reply_schema=schema, temperature=heat, max_tokens=reply_tokens(state, wish.rows), seed=seed)


def draw_made(state: State, rng: random.Random) -> list[Example]:
    """1 to 10 rows generated before. Twice as many are drawn and those that lay farthest from all others are shown: what
    a teacher sees is what it writes more of."""
    if not state.groups:
        return []
    count = rng.randint(1, min(state.have, MADE_SHOWN))
    drawn = rng.sample(range(state.have), min(state.have, 2 * count))
    far = sorted(drawn, key=lambda g: (state.distance[g], g))[:count]
    return [state.answers[state.groups[g][0]] for g in rng.sample(far, len(far))]


def reply_tokens(state: State, rows: int) -> int:
    """Room for the reply: three times what known rows take, 120 tokens a row where none is known."""
    known = [*state.owned[:50], *state.answers[:200]]
    each = sum(templates.tokens_of(r.input + (r.output or "") + "".join(r.choices or ())) for r in known) / len(known) if known else 40
    return min(8000, int(256 + rows * (3 * each + 40)) // 64 * 64 * state.roomier)


# ---- back from the teacher -----------------------------------------------------------------------------------------


def rows_of(state: State, wish: Wish, request: Request, outcome: Reply | Exception) -> list[Example]:
    """The rows of one outcome, each with its origin and its share of the cost; what is none is put aside or counted."""
    if not isinstance(outcome, Reply):
        if not isinstance(outcome, ProviderError):
            raise outcome
        state.counts[type_of(outcome)] += 1
        return []
    state.counts["replies"] += 1
    state.pay([outcome])
    origin = Origin(
        kind="generated",
        teacher=outcome.model or None,
        request=outcome.address or None,
        template=wish.template,
        temperature=request.temperature,
    )
    found = [read(state.task, text, origin) for text in outcome.texts or ("",)]
    rows = [row for one in found for row in one.rows]
    state.rejected += [item for one in found for item in one.rejected]
    state.counts["unreadable_replies"] += not rows
    state.counts["empty_replies"] += any(why == EMPTY for one in found for _, why in one.rejected)
    share = cost_of(outcome, state.price)
    if rows and share is not None:
        rows = [row.model_copy(update={"origin": row.origin.model_copy(update={"cost_usd": share / len(rows)})}) for row in rows]
    return rows


def type_of(error: ProviderError) -> str:
    """The count that an error belongs to; a library's own kind of one of ours is still that."""
    return next(sort.__name__ for sort in (CapReached, Declined, Transient, ProviderError) if isinstance(error, sort)).lower()


def credit(wishes: Sequence[tuple[Wish, Topic | None]], found: Sequence[Sequence[Example]], seen: Sequence[Seen]) -> int:
    """New rows of the batch; each topic learns what came of it. seen: one per row, in the order of `found`."""
    at = new = 0
    for (_, topic), rows in zip(wishes, found, strict=True):
        fresh = sum(one.novel for one in seen[at : at + len(rows)])
        at, new = at + len(rows), new + fresh
        if topic and rows:
            topic.learn(len(rows), fresh)
    return new


def accept(state: State, row: Example, seen: Seen) -> None:
    """A row of its own, a vote for one that is there, or a copy of the user's."""
    state.counts["rows_read"] += 1
    if not seen.how:
        state.counts["novel"] += seen.novel
        if state.have >= state.wanted:
            state.counts["beyond_wanted"] += 1
            return
        state.owner[seen.at] = state.have
        state.groups.append([len(state.answers)])
        state.distance.append(seen.nearest)
        state.answers.append(row)
        state.quota.have[row.output or ""] += 1
        return
    state.counts["copies" if seen.how == COPY else "near_copies"] += 1
    if seen.at not in state.owner:  # repeats a row beyond those wanted
        return
    group = state.owner[seen.at]
    if group is None:
        state.counts["copies_of_yours"] += 1
        state.rejected.append((row, f"{seen.how} of an example that the teacher was shown"))
    else:
        state.groups[group].append(len(state.answers))
        state.answers.append(row)


def divide(state: State, ask: Ask) -> None:
    """Novelty is low: go into narrower topics, and judge novelty anew from there. Four times without success are enough."""
    if (state.recent or 0) >= state.plan.wanted_novelty:
        state.divisions = 0
        return
    if not state.topics.leaves or state.divisions >= DIVISIONS:
        return
    left = state.left if state.left is not None else len(state.topics.leaves)
    before = state.topics.asked
    replies = state.topics.divide(ask, state.plan.seed * 1_000_003 + state.counts["requests"] + 1, left)
    state.pay(replies)
    state.counts["requests"] += state.topics.asked - before
    if replies:
        state.divisions, state.judged_from = state.divisions + 1, len(state.history)


def finish(state: State, stopped: str) -> Generated:
    for error in state.topics.errors:
        state.counts[type_of(error)] += 1
    counts = dict(state.counts)
    read_rows = max(1, counts.get("rows_read", 0))
    copies, near, novel = (counts.get(k, 0) for k in ("copies", "near_copies", "novel"))
    said = [
        f"{state.have} of {state.wanted} rows generated in {counts.get('requests', 0)} requests; it ended: {stopped}",
        f"of {counts.get('rows_read', 0)} rows read {copies} ({copies / read_rows:.1%}) were copies, {near} ({near / read_rows:.1%}) near copies, "
        f"{novel} ({novel / read_rows:.1%}) new (nearest neighbour below {state.novelty.threshold:g})",
        *state.topics.said,
    ]
    if state.task.kind is Kind.LABEL and state.have:
        said.append(state.quota.report(state.wanted + len(state.owned)))
    if failed := {k: counts[k] for k in ("unreadable_replies", "declined", "transient", "capreached", "providererror") if counts.get(k)}:
        said.append("requests that brought nothing: " + ", ".join(f"{k.replace('_', ' ')} {n}" for k, n in failed.items()))
    if counts.get("prompts_shortened"):
        said.append(
            f"{counts['prompts_shortened']} prompts were too long for all their examples: {counts['examples_left_out']} were left out"
        )
    return Generated(
        answers=tuple(state.answers),
        groups=tuple(tuple(g) for g in state.groups),
        rejected=tuple(state.rejected),
        counts=counts,
        said=tuple(said),
        history=tuple(state.history),
        quota={label: state.quota.have[label] for label in state.task.labels},
        cost_usd=state.cost_usd,
        stopped=stopped,
    )
