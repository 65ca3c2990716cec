"""Rows -> why their answer is the answer, asked of a teacher by few-shot chain of thought.

Distilling step-by-step (Hsieh et al. 2023, arXiv 2305.02301, section 3.1), with what its release leaves out: a completion that
cannot be read is dropped and counted, never trained on as a blank; so is one that argues for another answer than the label.

rows --> completions, `samples` each --> read --> majority answer (self-consistency, Wang et al. 2022)
     --> does it agree with the label? --> a rationale of a sample that argues for it --> checks --> kept, or put aside with a reason"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from limbeck import render_reasons
from limbeck.augment.filters import Check, checks
from limbeck.errors import ProviderError, UsageError
from limbeck.registry import Ask
from limbeck.types import Example, Frozen, Kind, Origin, Price, Reply, Request, Status, Task

TEMPERATURE = 0.7  # of several samples: at 0 they would all be the same (Wang et al. 2022, section 3.1)
MAX_TOKENS = 320  # 120 words and an answer; a free answer has room of its own
ROOM = 512  # more, where the answer itself is text or fields
KEEP = ("agreeing", "all")

Agrees = Callable[[Example, str], bool]  # (row with its label, another answer) -> do they say the same?


class Rationale(Frozen):
    """What a teacher said about one row. answer: the majority's, agreement: its share of the `samples` that could be read.
    why: "" = kept, else the reason why it is put aside ("name: detail"). label: what it should argue for, None = the
    row had none and took the answer. seen: the teacher was shown the label. origin: kind teacher, with the reply's address."""

    id: str
    rationale: str
    answer: str = ""
    agreement: float = 0.0
    samples: int = 1
    why: str = ""
    label: str | None = None
    seen: bool = False
    origin: Origin = Origin(kind="teacher")


@dataclass(frozen=True)
class Extracted:
    """kept, dropped: one Rationale per row that the teacher was asked about. counts: requests, samples, kept, dropped.<reason>,
    and errors of the provider by name. said: what a user should read. cost_usd: of all replies."""

    kept: tuple[Rationale, ...]
    dropped: tuple[Rationale, ...]
    counts: dict[str, int]
    said: tuple[str, ...]
    cost_usd: float = 0.0


@dataclass
class Asked:
    """One row's completions as they come in. errors: the provider's, by name."""

    row: Example
    read: list[tuple[render_reasons.Reasoned, Origin]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    cost_usd: float | None = None


def extract(
    task: Task,
    rows: Sequence[Example],
    ask: Ask,
    shots: Sequence[Example] = (),
    *,
    agrees: Agrees | None = None,
    seen: bool = False,
    samples: int = 1,
    keep: str = "agreeing",
    price: Price | None = None,
    seed: int = 0,
    check: Check | None = None,
) -> Extracted:
    """A rationale for every row that the teacher has a good one for. Rows with an output are asked about blind (the label is
    hidden, and compared with the teacher's own answer) or `seen`; rows without one take the teacher's answer.

    agrees: whether an answer says the same as the label; default the same spelling. keep "all": rationales that argue for
    another answer are kept too, as the published data does. check: default `filters.checks`, which remembers duplicates.
    Errors of a provider cost their row and are counted, all others are raised. Raises UsageError for options that make no sense."""
    check_options(samples, keep)
    asked = [Asked(row) for row in rows]
    counts: Counter[str] = Counter()
    for turn in range(2):  # a server that gives fewer samples than asked for is asked once more, for those that are missing
        open_ = [one for one in asked if len(one.read) < samples and not one.errors and (turn == 0 or one.read)]
        requests = [question(task, one.row, shots, samples - len(one.read), samples, seed * 1000 + turn, seen) for one in open_]
        for one, request, outcome in zip(open_, requests, ask(requests) if requests else [], strict=True):
            counts["requests"] += 1
            take_in(task, one, request, outcome, price, seen, counts)
    judge = check or checks(task)
    found = [decide(one, agrees or same_spelling, judge, seen, keep) for one in asked]
    counts.update("kept" if not r.why else f"dropped.{r.why.partition(':')[0]}" for r in found)
    cost_usd = sum(one.cost_usd or 0.0 for one in asked)
    said = sentences(found, counts, samples, seen)
    return Extracted(tuple(r for r in found if not r.why), tuple(r for r in found if r.why), dict(counts), tuple(said), cost_usd)


def check_options(samples: int, keep: str) -> None:
    """Raises UsageError, before anything is spent."""
    if samples < 1:
        raise UsageError("a rationale needs one sample at least", f"it is {samples}", "--rationale-samples 1, or 3 or 5")
    if keep not in KEEP:
        raise UsageError(f"unknown rule {keep!r} for keeping rationales", f"there are: {', '.join(KEEP)}", "--set keep_rationales=all")


def question(task: Task, row: Example, shots: Sequence[Example], n: int, samples: int, seed: int, seen: bool) -> Request:
    others = [s for s in shots if s.id != row.id]  # no row is its own demonstration
    return Request(
        messages=render_reasons.messages(task, row.blind(), others, row.output if seen else None),
        temperature=TEMPERATURE if samples > 1 else 0.0,
        max_tokens=MAX_TOKENS + (ROOM if task.kind in (Kind.TEXT, Kind.FIELDS) else 0),
        n=n,
        seed=seed,
        row=row.blind(),
    )


def take_in(
    task: Task, one: Asked, request: Request, outcome: Reply | Exception, price: Price | None, seen: bool, counts: Counter[str]
) -> None:
    """One outcome: samples that can be read or not, or an error of the provider."""
    if not isinstance(outcome, Reply):
        if not isinstance(outcome, ProviderError):
            raise outcome
        one.errors.append(type(outcome).__name__)
        counts[type(outcome).__name__.lower()] += 1
        return
    if price is not None:
        one.cost_usd = (one.cost_usd or 0.0) + price.of_reply(outcome)
    origin = Origin(
        kind="teacher",
        source=one.row.origin.source,
        row=one.row.origin.row,
        teacher=outcome.model or None,
        request=outcome.address or None,
        template=f"reasons.{render_reasons.VERSION}{'.seen' if seen else ''}",
        temperature=request.temperature,
    )
    for text in outcome.texts:
        counts["samples"] += 1
        one.read.append((render_reasons.read(task, one.row, text, one.row.output if seen else None), origin))


def decide(one: Asked, agrees: Agrees, check: Check, seen: bool, keep: str) -> Rationale:
    """The majority's answer, and the shortest rationale that argues for it and passes the checks: small students learn more
    from short ones (arXiv 2502.12143)."""
    row, good = one.row, [(found, origin) for found, origin in one.read if found.status is Status.OK]
    about = Rationale(id=row.id, rationale="", samples=len(one.read), label=row.output, seen=seen and row.output is not None)
    if not one.read:
        return about.model_copy(update={"why": f"not answered: {one.errors[0] if one.errors else 'the reply was empty'}"})
    if not good:
        found, origin = one.read[0]
        why = f"unreadable: no answer in {len(one.read)} samples ({found.status})"
        return about.model_copy(update={"rationale": found.rationale, "why": why, "origin": priced(one, origin)})
    groups = alike(row, [found.answer for found, _ in good], agrees)
    answer, votes = Counter(groups).most_common(1)[0]  # of equally frequent ones the first
    arguing = sorted((pair for pair, group in zip(good, groups, strict=True) if group == answer), key=lambda pair: len(pair[0].rationale))
    about = about.model_copy(update={"answer": answer, "agreement": votes / len(good)})
    other = row.output is not None and not agrees(row, answer)
    reasons: list[str] = []
    for found, origin in arguing:
        reasons.append(OTHER if other and keep == "agreeing" else check(row.model_copy(update={"output": answer}), found.rationale))
        if not reasons[-1] or reasons[-1] == OTHER:
            return about.model_copy(update={"rationale": found.rationale, "why": reasons[-1], "origin": priced(one, origin)})
    found, origin = arguing[-1]
    return about.model_copy(update={"rationale": found.rationale, "why": reasons[-1], "origin": priced(one, origin)})


OTHER = "another answer: it argues for another answer than the label"


def alike(row: Example, answers: Sequence[str], agrees: Agrees) -> list[str]:
    """Each answer as the first of those that say the same."""
    firsts: list[str] = []
    groups = []
    for answer in answers:
        first = next((f for f in firsts if f == answer or agrees(row.model_copy(update={"output": f}), answer)), None)
        if first is None:
            firsts.append(first := answer)
        groups.append(first)
    return groups


def same_spelling(row: Example, answer: str) -> bool:
    return " ".join((row.output or "").casefold().split()) == " ".join(answer.casefold().split())


def priced(one: Asked, origin: Origin) -> Origin:
    """The whole row's cost: samples that are not kept were paid, too."""
    return origin.model_copy(update={"cost_usd": one.cost_usd})


def disagreeing(found: Sequence[Rationale], agrees: Agrees | None = None) -> tuple[int, int]:
    """(rows whose label the teacher's own answer is not, rows with a label whose answer could be read)."""
    judged = [r for r in found if r.label is not None and r.answer]
    same = agrees or same_spelling
    return sum(not same(Example(id=r.id, input="", output=r.label), r.answer) for r in judged), len(judged)


def sentences(found: Sequence[Rationale], counts: Counter[str], samples: int, seen: bool) -> list[str]:
    kept = counts["kept"]
    how = "" if samples == 1 else f", {samples} samples each"
    said = [f"{kept} of {len(found)} rows got a rationale from the teacher{how}{' who was shown the label' if seen else ''}"]
    if lost := {name.partition(".")[2]: n for name, n in counts.items() if name.startswith("dropped.")}:
        said.append("rationales put aside: " + ", ".join(f"{n} {name}" for name, n in sorted(lost.items(), key=lambda item: -item[1])))
    if counts["capreached"]:
        said.append("asking for rationales ended early: the money or the time is used up; the same command with a higher cap goes on")
    return said


__all__ = ["Extracted", "Rationale", "disagreeing", "extract"]
