"""Rows that were generated, labelled or retrieved -> rows that may be trained on, each rejection with its reason.

The order, and why: what one row shows by itself comes first (1 to 6), for it is cheap; the leak guard (7) next, so that no
copy of a test row lives on as the head of a group; then contradictions (8), while all votes are still there; then copies
by text (9), by wording (10) and by meaning (11). Every row ends in `rows` or in `rejected`, never in both or neither."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from limbeck.curate import checks
from limbeck.curate.clean import groups, key_text, near_duplicates, words_of
from limbeck.curate.leak import leaks
from limbeck.curate.near import COSINE, Embed, meaning_pairs, same_numbers
from limbeck.registry import names, take
from limbeck.types import Example, Frozen, Kind, Task

STEPS = (
    "empty",
    "not an answer",
    "filters",
    "language",
    "length",
    "leak",
    "contradiction",
    "duplicate",
    "near duplicate",
    "same meaning",
)
TOO_MUCH = 1 / 3  # a check of language or length that would take more than this is wrong about the rows, and takes none


class Numbers(Frozen):
    """cosine: from which two inputs mean the same. The rest (Jaccard 0.8 on 3-word shingles, six deviations of the
    length) stands beside its step."""

    cosine: float = COSINE


class PutAside(Frozen):
    """One row that is not used. step: the name in STEPS or of a filter. reason: "step: what exactly". source, row,
    text: as in the files' own rejections. other: the id of the row that it copies, leaks from, or loses against."""

    id: str
    step: str
    reason: str
    source: str = ""
    row: int = 0
    text: str = ""
    other: str = ""


@dataclass
class Curated:
    """counts: {step: rows put aside}, in the order of the steps, noughts left out. said: sentences for the report."""

    rows: list[Example]
    rejected: list[PutAside] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)


def curate(
    task: Task,
    rows: Sequence[Example],
    guard: Mapping[str, Sequence[Example]],
    embed: Embed | None = None,
    numbers: Numbers | None = None,
    language_of: Callable[[str], str] | None = None,
    filters: Mapping[str, checks.Filter] | None = None,
) -> Curated:
    """rows: labelled or not. guard: {dev, test, demonstrations: their rows}, of which no copy may stay. embed: None = no
    step "same meaning". filters: None = all that lie on the shelf. The same rows give the same result."""
    numbers = numbers or Numbers()
    filters = {name: take("filters", name) for name in names("filters")} if filters is None else filters
    work = Curated(rows=list(rows))
    each(work, "empty", checks.empty)
    spell(work, task)
    for name, one in filters.items():
        run_filter(work, task, name, one)
    known = [row for guarded in guard.values() for row in guarded]
    if language_of is not None:
        moderate(work, "language", checks.language_check(task, known, language_of))
    check, usual = checks.length_check(task, work.rows)
    moderate(work, "length", check, f" (usual: {usual})" if usual else "")
    guard_leaks(work, guard)
    settle_contradictions(work, task)
    fold_copies(work)
    if embed is not None:
        pairs = [p for p in meaning_pairs(work.rows, embed, numbers.cosine) if agree(work.rows[p[0]], work.rows[p[1]])]
        fold(work, "same meaning", pairs)
    work.counts = dict(sorted(Counter(r.step for r in work.rejected).items(), key=lambda item: place(item[0])))
    taken = ", ".join(f"{n} {step}" for step, n in work.counts.items()) or "none"
    work.said.insert(0, f"Curation kept {len(work.rows):,} of {len(rows):,} rows; put aside: {taken}.")
    return work


def place(step: str) -> tuple[int, str]:
    return (STEPS.index(step) if step in STEPS else STEPS.index("filters"), step)


# ---- row by row ---------------------------------------------------------------------------------------------------


def put_aside(row: Example, step: str, reason: str, other: str = "") -> PutAside:
    origin = row.origin
    return PutAside(id=row.id, step=step, reason=reason, source=origin.source, row=origin.row or 0, text=row.input[:200], other=other)


def each(work: Curated, step: str, check: checks.Check) -> None:
    found = [(row, check(row)) for row in work.rows]
    work.rows = [row for row, reason in found if reason is None]
    work.rejected += [put_aside(row, step, reason) for row, reason in found if reason is not None]


def spell(work: Curated, task: Task) -> None:
    kept: list[Example] = []
    for row in work.rows:
        found = checks.spelled(task, row)
        if isinstance(found, str):
            work.rejected.append(put_aside(row, "not an answer", found))
        else:
            kept.append(found)
    work.rows = kept


def run_filter(work: Curated, task: Task, name: str, one: checks.Filter) -> None:
    """A filter that raises on a row has not judged it: the row stays, and the report says so."""
    raised: list[str] = []

    def check(row: Example) -> str | None:
        try:
            reason = one(task, row)
        except Exception as error:
            raised.append(f"row {row.id}: {type(error).__name__}: {error}")
            return None
        return reason if reason is None or reason.startswith(f"{name}:") else f"{name}: {reason}"

    each(work, name, check)
    if raised:
        work.said.append(f"The filter {name} failed on {len(raised)} rows, which were kept; the first: {raised[0]}.")


def moderate(work: Curated, step: str, check: checks.Check, usual: str = "") -> None:
    """Rows of persons are as they are. A check that would take more than a third of the others takes none."""
    others = [row for row in work.rows if not checks.by_person(row)]
    bad = {row.id: reason for row in others if (reason := check(row)) is not None}
    if len(bad) > TOO_MUCH * len(others):
        first = next(iter(bad.values()))
        work.said.append(f"The check of {step} would take {len(bad)} of {len(others)} rows, so it took none; the first reason: {first}.")
        return
    if bad and usual:
        work.said.append(f"Put aside for their {step}: {len(bad)} rows{usual}.")
    each(work, step, lambda row: None if checks.by_person(row) else bad.get(row.id))


# ---- against the guarded rows ---------------------------------------------------------------------------------------


def guard_leaks(work: Curated, guard: Mapping[str, Sequence[Example]]) -> None:
    """No row that says what a dev, test or demonstration row says, exactly or nearly."""
    own = {id(row): str(at) for at, row in enumerate(work.rows)}  # ids of guarded rows and ours may be equal
    numbered = [row.model_copy(update={"id": own[id(row)]}) for row in work.rows]
    reasons: dict[int, tuple[str, str]] = {}
    for where, guarded in guard.items():
        for leak in leaks(guarded, {"rows": numbered}):
            how = "the same text" if leak.jaccard == 1.0 else f"Jaccard {leak.jaccard:.2f}"
            reasons.setdefault(int(leak.other_id), (f"leak: says what {where} row {leak.test_id} says ({how})", leak.test_id))
    work.rejected += [put_aside(work.rows[at], "leak", *reasons[at]) for at in sorted(reasons)]
    work.rows = [row for at, row in enumerate(work.rows) if at not in reasons]


# ---- against each other ---------------------------------------------------------------------------------------------


def agree(a: Example, b: Example) -> bool:
    return a.output is None or b.output is None or a.output == b.output


def weight(row: Example) -> float:
    return 1.0 if row.confidence is None else row.confidence


def settle_contradictions(work: Curated, task: Task) -> None:
    """The same input with different answers: the answer with most confidence behind it stays, a person's before all
    others; a draw puts all of them aside. Nearly the same input, a few words apart: a row goes where those around it
    outweigh it; on a draw all stay, for a word may turn the answer, and rows of persons always stay.
    Free text has many right answers: there differing answers are no contradiction."""
    if task.kind is Kind.TEXT:
        return
    rows = work.rows
    pairs = near_duplicates(rows)
    losers: dict[int, tuple[str, str]] = {}
    for members in groups(rows, [pair for pair in pairs if pair[2] == 1.0]):
        labelled = [i for i in members if rows[i].output is not None]
        winner, words = vote([rows[i] for i in labelled])
        if words and winner is None:
            losers.update({i: (f"contradiction: the same input has {words}, and none prevails", "") for i in labelled})
        elif words:
            head = next(rows[i].id for i in labelled if rows[i].output == winner)
            losers.update({i: (f"contradiction: the same input has {words}", head) for i in labelled if rows[i].output != winner})
    drawn = outweighed(rows, pairs, losers)
    if drawn:
        work.said.append(f"{drawn} rows have a nearly equal one with another answer and no majority between them; they were kept.")
    work.rejected += [put_aside(rows[i], "contradiction", *losers[i]) for i in sorted(losers)]
    work.rows = [row for i, row in enumerate(rows) if i not in losers]


def outweighed(rows: Sequence[Example], pairs: Sequence[tuple[int, int, float]], losers: dict[int, tuple[str, str]]) -> int:
    """Adds to `losers` the rows that their direct neighbours outvote; gives how many contradict one and were kept."""
    around: dict[int, set[int]] = defaultdict(set)
    first: dict[int, int] = {j: i for i, j, how in pairs if how == 1.0}  # near pairs are between first rows of a text
    copies: dict[int, list[int]] = defaultdict(list)
    for i in range(len(rows)):
        if i not in losers and rows[i].output is not None:
            copies[first.get(i, i)].append(i)
    for i, j, how in pairs:
        if how < 1.0 and few_words_apart(rows[i], rows[j]):
            around[i].add(j)
            around[j].add(i)
    kept, lost = 0, {}
    for head, near in around.items():
        own = copies[head]
        members = [*own, *(k for other in sorted(near) for k in copies[other])]
        winner, words = vote([rows[i] for i in members])
        if not own or not words:
            continue
        goes = [i for i in own if winner is not None and rows[i].output != winner and not checks.by_person(rows[i])]
        kept += len(own) - len(goes) if winner is None else 0
        if goes:
            to = next(rows[i].id for i in members if rows[i].output == winner)
            lost.update({i: (f"contradiction: nearly the same input has {words}", to) for i in goes})
    losers.update(lost)
    return kept


def few_words_apart(a: Example, b: Example) -> bool:
    """At most two words changed, or four added, and the same numbers: a passage with another question is another input."""
    x, y = Counter(words_of(key_text(a))), Counter(words_of(key_text(b)))
    return (x - y).total() + (y - x).total() <= 4 and same_numbers(a, b)


def vote(rows: Sequence[Example]) -> tuple[str | None, str]:
    """(the answer with most weight, None on a draw; "2 a, 1 b" where there are several answers, else "")."""
    counts = Counter(row.output or "" for row in rows)
    if len(counts) < 2:
        return (next(iter(counts), None), "")
    words = ", ".join(f"{n} {answer[:40]!r}" for answer, n in counts.most_common())
    voters = [row for row in rows if checks.by_person(row)] or rows
    weights: dict[str, float] = defaultdict(float)
    for row in voters:
        weights[row.output or ""] += weight(row)
    ranked = sorted(weights.items(), key=lambda item: -item[1])
    if len(ranked) > 1 and ranked[0][1] - ranked[1][1] < 1e-9:
        return None, words
    return ranked[0][0], words


def fold_copies(work: Curated) -> None:
    """One row per text, then one per group of near copies that agree and name the same numbers."""
    rows, same = work.rows, defaultdict(list)
    for i, row in enumerate(rows):
        same[words_of(key_text(row))].append(i)
    best = {words: min(members, key=lambda i: preference(rows, i)) for words, members in same.items()}
    gone = {i: rows[best[words]].id for words, members in same.items() for i in members if i != best[words]}
    work.rejected += [put_aside(rows[i], "duplicate", f"duplicate: of row {gone[i]}", gone[i]) for i in sorted(gone)]
    work.rows = rows = [row for i, row in enumerate(rows) if i not in gone]
    near = [p for p in near_duplicates(rows) if agree(rows[p[0]], rows[p[1]]) and same_numbers(rows[p[0]], rows[p[1]])]
    fold(work, "near duplicate", near)


def preference(rows: Sequence[Example], i: int) -> tuple[bool, bool, float, int]:
    """Smallest first: a person's, labelled, the surest, the first."""
    return not checks.by_person(rows[i]), rows[i].output is None, -weight(rows[i]), i


def fold(work: Curated, step: str, pairs: Sequence[tuple[int, int, float]]) -> None:
    """The best row first, and of its neighbours none: a row goes only where it is itself near one that stays, so that a
    chain of small changes does not fold into a single row. Rows of persons stay."""
    near: dict[int, dict[int, float]] = defaultdict(dict)
    for i, j, how in pairs:
        near[i][j] = near[j][i] = how
    rows = work.rows
    gone: dict[int, tuple[str, str]] = {}
    for i in sorted(near, key=lambda i: preference(rows, i)):
        if i not in gone:
            for j, how in near[i].items():
                if j not in gone and preference(rows, i) < preference(rows, j) and not checks.by_person(rows[j]):
                    gone[j] = (f"{step}: of row {rows[i].id} ({how:.2f})", rows[i].id)
    work.rejected += [put_aside(rows[i], step, *gone[i]) for i in sorted(gone)]
    work.rows = [row for i, row in enumerate(rows) if i not in gone]
