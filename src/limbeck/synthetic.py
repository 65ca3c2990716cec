"""What a synthetic test is worth: the gap to rows that persons labelled, and the rows that a person should label next.

Reads stored predictions alone. Persons' labels are gold rows of the test split, and what `limbeck label` wrote into
2-human.jsonl; a synthetic test row that a person labelled has both labels, which makes the comparison a paired one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from limbeck import stats
from limbeck.curate.informative import most_worth_labelling
from limbeck.human import HumanAnswer
from limbeck.stats import Statistic
from limbeck.types import SYNTHETIC, Example, Gap, Prediction, Score

LEAST = 20  # rows labelled by persons, before a gap is worth printing
NAMED = 20  # rows that the report names
NEAR = 200  # rows that persons labelled, evenly taken, from which the named ones keep away
POOL = 2000  # candidates that are looked at, so that a report stays a matter of seconds

Measure = Callable[[Sequence[Example], Sequence[Prediction]], Statistic]  # the metric, as a function of row numbers


def is_synthetic(row: Example) -> bool:
    return row.origin.kind in SYNTHETIC


def unseen(test: Sequence[Example], human: Mapping[str, HumanAnswer]) -> list[Example]:
    """The test rows that no person has labelled, neither before the run nor with `limbeck label`."""
    return [row for row in test if is_synthetic(row) and row.id not in human]


def sentence(test: Sequence[Example], gaps: Sequence[Gap], human: Mapping[str, HumanAnswer]) -> str:
    """What goes with a verdict on a synthetic test, with the student's gap (the prompt's where there is no student);
    "" where persons labelled every test row."""
    bare = unseen(test, human)
    n = len(bare)
    if not n:
        return ""
    kinds = Counter(row.origin.kind for row in bare)
    how = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    said = f" Synthetic test, in which {n} of {len(test)} rows have no label of a person's ({how})."
    if not gaps:
        return f"{said} Too few rows are labelled by persons to say how far that is from the truth; `limbeck label` adds some."
    one = gaps[0]
    rows = f"the same {one.human.n} rows" if one.paired else f"{one.human.n} rows"
    figures = (
        f"{one.human.value or 0:.3f} instead of {one.synthetic.value or 0:.3f}, gap {one.difference:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"
    )
    return f"{said} On {rows} labelled by persons {one.recipe} gets {figures}."


# ---- the gap -------------------------------------------------------------------------------------------------------


def gaps(
    metric: str,
    measure: Measure,
    test: Sequence[Example],
    answers: Mapping[str, Sequence[Prediction]],
    candidates: Sequence[tuple[str, str]],
    human: Mapping[str, HumanAnswer],
    seed: int,
) -> tuple[Gap, ...]:
    """candidates: (id, name) of those whose gap is wanted. answers: id -> predictions on test."""
    found = [gap(name, metric, measure, test, answers[key], human, seed) for key, name in dict.fromkeys(candidates)]
    return tuple(one for one in found if one is not None)


def gap(
    recipe: str,
    metric: str,
    measure: Measure,
    test: Sequence[Example],
    found: Sequence[Prediction],
    human: Mapping[str, HumanAnswer],
    seed: int,
) -> Gap | None:
    """One candidate's. Paired over the rows with both labels where there are 20; else rows that persons labelled
    against synthetic ones. None with fewer than 20 of either, or where the metric cannot be computed."""
    both = [i for i, row in enumerate(test) if is_synthetic(row) and row.id in human]
    if len(both) >= LEAST:
        machine, answers = [test[i] for i in both], [found[i] for i in both]
        person = [row.model_copy(update={"output": human[row.id].output}) for row in machine]
        return paired(recipe, metric, measure, person, machine, answers, seed)
    person_rows = [i for i, row in enumerate(test) if not is_synthetic(row)] + both
    other_rows = [i for i, row in enumerate(test) if is_synthetic(row) and row.id not in human]
    if len(person_rows) < LEAST or len(other_rows) < LEAST:
        return None
    person = [test[i] if i not in both else test[i].model_copy(update={"output": human[test[i].id].output}) for i in person_rows]
    ours = measure(person, [found[i] for i in person_rows])
    theirs = measure([test[i] for i in other_rows], [found[i] for i in other_rows])
    return apart(recipe, metric, ours, len(person), theirs, len(other_rows), seed)


def paired(
    recipe: str,
    metric: str,
    measure: Measure,
    person: Sequence[Example],
    machine: Sequence[Example],
    answers: Sequence[Prediction],
    seed: int,
) -> Gap | None:
    n = len(answers)
    ours, theirs = measure(person, answers), measure(machine, answers)
    a, b = ours(range(n)), theirs(range(n))
    if a is None or b is None:
        return None

    def between(index: Sequence[int]) -> float | None:
        x, y = ours(index), theirs(index)
        return None if x is None or y is None else x - y

    try:
        low, high, _ = stats.bootstrap_difference(between, n, seed)
    except ValueError:
        return None
    human, synthetic = score(metric, ours, n, seed), score(metric, theirs, n, seed)
    if person_agrees(person, machine):  # no resample differs either; what n agreements leave possible is Wilson's limit at 0 of n
        low, high = -stats.wilson(0, n)[1], stats.wilson(0, n)[1]
    return Gap(recipe=recipe, metric=metric, human=human, synthetic=synthetic, difference=a - b, low=low, high=high, paired=True)


def person_agrees(person: Sequence[Example], machine: Sequence[Example]) -> bool:
    return all(a.output == b.output for a, b in zip(person, machine, strict=True))


def apart(recipe: str, metric: str, ours: Statistic, n_ours: int, theirs: Statistic, n_theirs: int, seed: int) -> Gap | None:
    found = stats.unpaired_difference(ours, n_ours, theirs, n_theirs, seed)
    if found is None:
        return None
    low, high = found.low, found.high
    columns = [[value([i]) for i in range(n)] for value, n in ((ours, n_ours), (theirs, n_theirs))]
    if metric == "accuracy" and any(len(set(column)) == 1 for column in columns):  # a side without spread
        (k1, k2), (n1, n2) = (sum(v or 0 for v in c) for c in columns), map(len, columns)
        low, high = stats.newcombe(int(k1), n1, int(k2), n2)
    human, synthetic = score(metric, ours, n_ours, seed), score(metric, theirs, n_theirs, seed)
    return Gap(
        recipe=recipe, metric=metric, human=human, synthetic=synthetic, difference=found.difference, low=low, high=high, paired=False
    )


def score(metric: str, value: Statistic, n: int, seed: int) -> Score:
    low, high = stats.bootstrap_statistics({"": value}, n, seed)[""]
    return Score(metric=metric, value=value(range(n)), low=low, high=high, n=n)


# ---- what persons said -----------------------------------------------------------------------------------------------


def summary(rows: Mapping[str, Example], test: Sequence[Example], human: Mapping[str, HumanAnswer]) -> dict[str, Any]:
    """{test, other: rows labelled by hand; compared, agreed: of those with a synthetic label as well, and how many have
    the same; shown: answers given after the synthetic one was seen}. {} where nobody labelled anything."""
    if not human:
        return {}
    ids = {row.id for row in test}
    compared = [rows[i] for i in human if i in rows and is_synthetic(rows[i]) and rows[i].output is not None]
    return {
        "test": sum(i in ids for i in human),
        "other": sum(i not in ids for i in human),
        "compared": len(compared),
        "agreed": sum(row.output == human[row.id].output for row in compared),
        "shown": sum(answer.shown for answer in human.values()),
    }


# ---- what to label next ------------------------------------------------------------------------------------------------


def worth_labelling(
    rows: Mapping[str, Example],
    where: Mapping[str, str],
    answers: Sequence[Mapping[str, Sequence[Prediction]]],
    best: str | None,
    human: Mapping[str, HumanAnswer],
    n: int = NAMED,
) -> tuple[dict[str, Any], ...]:
    """The rows that no person labelled, best first: {id, split, input, why, score, uncertainty, disagreement, distance}.
    rows: by id. where: id -> split. answers: one map of candidate -> predictions for each split. best: the chosen
    student. Of more than 2,000 rows those with predictions come first."""
    candidates = {name for split in answers for name in split}
    columns = {name: {p.id: p for split in answers for p in split.get(name, ())} for name in sorted(candidates)}
    student = columns.pop(best, {}) if best else {}
    others = list(columns.values())
    open_ = [row for row in rows.values() if row.id not in human and (is_synthetic(row) or row.output is None)]
    open_.sort(key=lambda row: row.id not in student)
    pool = open_[:POOL]
    known = [row for row in rows.values() if row.id in human or (row.output is not None and not is_synthetic(row))]
    known = known[:: -(-len(known) // NEAR) or 1]
    every = [*pool, *known]
    named = most_worth_labelling(
        every,
        [student.get(row.id) or voted(row) for row in every],
        [[column.get(row.id) for row in every] for column in others],
        n,
        labelled=range(len(pool), len(every)),
    )
    by_id = {row.id: row for row in pool}
    return tuple(
        {
            "split": where.get(w.id, "unlabelled"),
            "input": by_id[w.id].input[:600],
            "why": why(w.uncertainty, w.disagreement, answered(by_id[w.id], student)),
        }
        | w.model_dump()
        for w in named
    )


def voted(row: Example) -> Prediction | None:
    """A row that no student answered is as unsure as its teacher's votes were."""
    return None if row.confidence is None else Prediction(id=row.id, text=row.output or "", confidence=row.confidence)


def answered(row: Example, student: Mapping[str, Prediction]) -> bool | None:
    """By the student; by a teacher that says how sure it was (False); by neither (None)."""
    return True if row.id in student else False if row.confidence is not None else None


def why(unsure: float, apart: float, predicted: bool | None) -> str:
    parts = []
    if unsure >= 0.5 and predicted is not None:
        parts.append("the student is unsure" if predicted else "its teacher was unsure")
    if apart >= 0.3:
        parts.append("the candidates disagree")
    return " and ".join(parts) or "it is unlike the rows above it"
