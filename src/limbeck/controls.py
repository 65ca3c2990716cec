"""Whether rationales help here: stepwise against the best of its controls, paired by dev row, over seeds.

A second target can help a student without a word of its meaning: more compute, a second loss, more varied tokens. So the
gain is measured against the best of what has all that and no rationale of its own: label, label2x, echo, shuffled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from functools import cache
from random import Random
from statistics import fmean

from limbeck import stats
from limbeck.types import Frozen, Recipe

CONTROLS = ("label", "label2x", "echo", "shuffled")  # plain training first: on a tie the cheapest is the best
SEEDS = 2  # a claim about rationales needs at least so many: one training differs from the next by luck

Outcomes = Sequence[Sequence[float]]  # per seed, per dev row: 1 = right (or any score where higher is better)


class Grade(StrEnum):
    """What may be said."""

    HELP = "help"  # better than the best control, over rows and seeds
    AHEAD = "ahead"  # better than the best control over rows, in one training
    OPEN = "open"  # the interval holds zero
    HURT = "hurt"  # worse than the best control, over rows and seeds
    UNTESTED = "untested"  # no control was run


class Finding(Frozen):
    """ours - the best control on dev, with its 95 % interval over rows and seeds. by_seed: the difference in each.
    controls: {control: mean on dev}. seeds, rows: of the comparison."""

    grade: Grade
    ours: str
    control: str = ""
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    by_seed: tuple[float, ...] = ()
    controls: dict[str, float] = {}
    rows: int = 0

    @property
    def seeds(self) -> int:
        return len(self.by_seed)

    @property
    def recommended(self) -> bool:
        """Whether dev says to take it in place of its best control."""
        return self.grade in (Grade.HELP, Grade.AHEAD)


def judge(outcomes: Mapping[str, Outcomes], ours: str = "stepwise", controls: Sequence[str] = CONTROLS, seed: int = 0) -> Finding:
    """outcomes: {arm: per seed, per dev row}; every arm has the same seeds and rows in the same order. The best control is
    the one with the highest mean over seeds; it was picked for that, so the bar is a little higher than the interval says.
    Raises ValueError where arms differ in seeds or rows."""
    there = [name for name in controls if outcomes.get(name)]
    if not there or not outcomes.get(ours):
        return Finding(grade=Grade.UNTESTED, ours=ours)
    shapes = {tuple(map(len, outcomes[name])) for name in (ours, *there)}
    if len(shapes) > 1 or len(set(next(iter(shapes)))) > 1:
        raise ValueError(f"arms of different seeds or rows cannot be compared: {sorted(shapes)}")
    means = {name: fmean(map(fmean, outcomes[name])) for name in there}
    best = max(there, key=means.__getitem__)
    gaps = tuple(tuple(a - b for a, b in zip(x, y, strict=True)) for x, y in zip(outcomes[ours], outcomes[best], strict=True))
    low, high = interval(gaps, seed)
    by_seed = tuple(map(fmean, gaps))
    return Finding(
        grade=grade(low, high, len(gaps)),
        ours=ours, control=best, difference=fmean(by_seed), low=low, high=high,
        by_seed=by_seed, controls=means, rows=len(gaps[0]),
    )  # fmt: skip


def grade(low: float, high: float, seeds: int) -> Grade:
    if low > 0:
        return Grade.HELP if seeds >= SEEDS else Grade.AHEAD
    return Grade.HURT if high < 0 and seeds >= SEEDS else Grade.OPEN


@cache
def interval(gaps: tuple[tuple[float, ...], ...], seed: int, resamples: int = stats.RESAMPLES) -> tuple[float, float]:
    """95 % interval of the mean gap: rows and seeds are both drawn anew, so that one lucky seed carries no claim. Of three
    seeds each is alone in one draw of 27: an interval clear of zero needs every one of them on the same side, about."""
    rng, n = Random(seed), len(gaps) * len(gaps[0])
    drawn = []
    for rows in stats.draws(len(gaps[0]), seed, resamples):
        pick = stats.picker(rows)
        drawn.append(sum(sum(pick(gap)) for gap in rng.choices(gaps, k=len(gaps))) / n)
    return stats.middle(drawn)


# ---- among the candidates of a run -----------------------------------------------------------------------------------


def arm(recipe: Recipe) -> str:
    """label for plain training, the name of a control, the recipe's own text where it learns from rationales."""
    word, _, form = recipe.objective.partition(":")
    if word != "stepwise":
        return "label" if not word else ""
    return form if form in CONTROLS else recipe.text


def learns_from_rationales(recipe: Recipe) -> bool:
    return arm(recipe) == recipe.text


def controls_of(recipe: Recipe, others: Sequence[Recipe]) -> list[Recipe]:
    """Those that differ from it in the objective alone, and are controls."""
    plain = {"objective": "", "values": ()}
    same = recipe.model_copy(update=plain)
    return [other for other in others if other.model_copy(update=plain) == same and arm(other) in CONTROLS]


def to_run(recipe: Recipe) -> list[str]:
    """The recipes of its controls, as they are typed."""
    return [recipe.model_copy(update={"objective": "" if name == "label" else f"stepwise:{name}"}).text for name in CONTROLS]


# ---- in words ----------------------------------------------------------------------------------------------------


def sentence(found: Finding, what: str = "accuracy") -> str:
    """One plain sentence, nulls included."""
    if found.grade is Grade.UNTESTED or found.difference is None or found.low is None or found.high is None:
        return f"Nothing can be said about rationales: {found.ours} was not run beside a control."
    gap = f"{found.difference:+.3f} [{found.low:+.3f}, {found.high:+.3f}] in {what} on {found.rows:,} dev rows"
    over = f"over {found.seeds} seeds" if found.seeds > 1 else "in one training"
    against = f"{gap} {over}, against {found.control}, the best control"
    if found.grade is Grade.HELP:
        return f"Rationales help here: {against}."
    if found.grade is Grade.AHEAD:
        return f"The student with rationales is ahead: {against}; whether rationales help here takes a second seed to say."
    if found.grade is Grade.HURT:
        return f"Rationales hurt here: {against}."
    return f"Rationales are not shown to help here: {against}."


def advice(recipe: Recipe, found: Finding, metric: str) -> str:
    """What a report says of one candidate that learns from rationales."""
    if found.grade is Grade.UNTESTED:
        return f"{recipe.text} ran beside none of its controls, so nothing is said of its rationales; add {', '.join(to_run(recipe))}."
    return f"{recipe.text}: {sentence(found, metric)}"
