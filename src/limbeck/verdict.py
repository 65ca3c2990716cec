"""The winner rule: what dev chose and test measured -> ship, keep prompting, or label more rows; and what it pays back."""

from __future__ import annotations

from collections.abc import Sequence

from limbeck.report.table import cost
from limbeck.types import Frozen, Row

MARGIN = 0.02  # a student may lose this much to a prompt, at the lower end of the interval, and still be shipped

RULE = (
    "Chosen on dev by {metric}: the best student, and the best of baselines and prompts. Both are then scored on the test "
    "rows, once, and compared row by row. The student is shipped if it is better, or if the 95 % interval of the difference "
    "to a prompt stays above -{margin} (as good, and cheaper). Otherwise the prompt or the baseline is kept; where the "
    "interval leaves it open, more rows are asked for."
)


class Choice(Frozen):
    """What dev chose: recipe ids. Nothing about test."""

    best_student: str | None = None
    best_baseline: str | None = None
    dev: dict[str, float] = {}


def with_break_even(
    row: Row, rows: Sequence[Row], labels_usd: float, machine: float, lower_is_better: bool = False, inferences_usd: float = 0.0
) -> Row:
    """Calls after which the student has paid back its labels, its inferences (where it learns any) and its training, against the
    prompt that is best on dev."""
    prompts = [r for r in rows if r.group == "prompt" and r.usd_per_1000 and r.state == "ok"]
    if row.group != "student" or not prompts or row.usd_per_1000 is None:
        return row
    sign = -1 if lower_is_better else 1
    rival = max(prompts, key=lambda r: sign * r.dev.value if r.dev and r.dev.value is not None else float("-inf"))
    saved = ((rival.usd_per_1000 or 0) - row.usd_per_1000) / 1000
    inferred = inferences_usd if "+augment:" in row.recipe else 0.0
    one_off = (0.0 if "rows:gold" in row.recipe else labels_usd) + inferred + (row.train_s or 0) / 3600 * machine
    return row.model_copy(update={"break_even_calls": one_off / saved if saved > 0 else None})


def decide(rows: Sequence[Row], choice: Choice, tested: int) -> tuple[str, str, str | None]:
    """(one sentence, ship | prompt | label-more | none, id of the winner)."""
    by_id = {r.id: r for r in rows}
    student, rival = by_id.get(choice.best_student or ""), by_id.get(choice.best_baseline or "")
    if student is None or student.test is None or student.test.value is None:
        if rival is None or rival.test is None:
            return "No candidate could be scored, so there is nothing to recommend.", "none", None
        word = "Keep prompting" if rival.group == "prompt" else "Nothing to ship"
        why = "no student could be trained here" if any(r.group == "student" for r in rows) else "no student was among the candidates"
        return (
            f"{word}: {why}, and {rival.recipe} gets {said(rival)}.",
            "prompt" if rival.group == "prompt" else "none",
            rival.id,
        )
    if rival is None or rival.test is None or student.versus is None:
        return (
            f"Nothing was compared: {student.recipe} gets {said(student)}, and there is no baseline to hold it against.",
            "none",
            student.id,
        )
    gap, low, high = student.versus.difference, student.versus.low, student.versus.high
    between = f"{said(student)} against {said(rival)} for {rival.recipe}, difference {signed(gap)} [{signed(low)}, {signed(high)}]"
    price = cheaper(student, rival)
    if low > 0:
        return f"Ship {student.recipe}: it beats {rival.recipe}, {between}{price}.", "ship", student.id
    if rival.group == "prompt" and low > -MARGIN:
        return f"Ship {student.recipe}: as good as the prompt within {MARGIN:g}, {between}{price}.", "ship", student.id
    if high < 0 or (rival.group == "prompt" and gap < 0):
        word = "Keep prompting" if rival.group == "prompt" else f"Keep {rival.recipe}"
        return (
            f"{word}: {rival.recipe} beats every student, {between}."
            if high < 0
            else f"{word} for now: the student is not shown to be as good, {between}.",
            ("prompt" if rival.group == "prompt" else "none"),
            rival.id,
        )
    need = more_rows(student, rival, tested)
    return f"Too close to call: {between}. Label about {need} more rows to tell them apart.", "label-more", rival.id


def said(row: Row) -> str:
    return f"{row.test.metric} {row.test.value:.3f}" if row.test and row.test.value is not None else "no score"


def signed(value: float) -> str:
    return f"{value:+.3f}"


def cheaper(student: Row, rival: Row) -> str:
    if not rival.usd_per_1000 or student.usd_per_1000 is None or student.usd_per_1000 >= rival.usd_per_1000:
        return ""
    return f", at {cost(student)} instead of {cost(rival)} per 1,000 calls"


def more_rows(student: Row, rival: Row, tested: int) -> int:
    """Test rows that would narrow the interval to the size of the observed gap (at least the margin), to two digits."""
    assert student.versus is not None
    half = (student.versus.high - student.versus.low) / 2
    aim = max(abs(student.versus.difference), MARGIN)
    need = tested * (half / aim) ** 2 - tested
    step = 10 if need < 500 else 100
    return max(step, int(-(-need // step) * step))
