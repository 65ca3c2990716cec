"""What `limbeck prompt tune` does with one structure after another: ask about dev rows, compare, see which lever is worth what."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from limbeck import derived, factorial, recipes, registry, scoring, stats, structuring
from limbeck.candidates import UNANSWERED
from limbeck.errors import CapReached
from limbeck.log import Log
from limbeck.preflight import Given
from limbeck.registry import Ask, FitJob
from limbeck.render import messages
from limbeck.render_structure import PLAIN, Structure
from limbeck.run import RunFolder
from limbeck.types import Example, Frozen, Prediction, Recipe, Status, Task, Versus, sha_of

FINALISTS = 3


class Effect(Frozen):
    """What one lever is worth: the mean over the runs that have it less the mean over those that do not, in the metric's units,
    positive = better, with the 95 % interval over rows. aliases: pairs of levers it may stem from as well."""

    lever: str
    effect: float
    low: float
    high: float
    aliases: tuple[str, ...] = ()


class Trial(Frozen):
    """One structure on dev. stage: factorial | refined. value: on the subset. malformed: answers that could not be read.
    usd_per_1000: calls, re-asks included; None = the price is not known.
    versus: against the plain prompt; over all of dev for a finalist, over the subset for others. p_holm: over all trials."""

    structure: Structure
    told: str
    stage: str
    value: float | None
    malformed: int = 0
    usd_per_1000: float | None = None
    finalist: bool = False
    versus: Versus | None = None
    p_holm: float | None = None


@dataclass
class Desk:
    """What all trials share. answers: {name of the structure's text: [per row]}, on the subset, or on all of dev."""

    task: Task
    given: Given
    ask: Ask
    folder: RunFolder
    sizes: derived.Sizes
    subset: list[Example]
    dev: list[Example]
    log: Log
    sign: float
    answers: dict[str, dict[str, Prediction]] = field(default_factory=dict)
    tried: dict[str, tuple[Structure, str]] = field(default_factory=dict)  # text -> (structure, stage), in the order of trying


def switched(base: Structure, levers: Sequence[str], on: Sequence[bool]) -> Structure:
    """The plain structure with some levers on; texts only where they are used, so that equal prompts are equal values."""
    used = {lever for lever, is_on in zip(levers, on, strict=True) if is_on}
    more: dict[str, Any] = {lever: "tags" if lever == "delimiters" else True for lever in used}
    more |= {name: getattr(base, name) for name, lever in (("role_text", "role"), ("details_text", "details")) if lever in used}
    if used & {"role", "details"}:
        more["texts_from"] = base.texts_from
    return Structure(**more)


def attempt(desk: Desk, structure: Structure, stage: str) -> None:
    """Ask it about the subset, unless it has been; a structure that gives the same text as another is not another."""
    text = text_of(desk, structure)
    if text in desk.tried:
        return
    desk.tried[text] = (structure, stage)
    answer(desk, text, desk.subset)


def text_of(desk: Desk, structure: Structure) -> str:
    """A name for what it sends."""
    sent = messages(desk.task, desk.subset[0].blind(), structure=structure)
    return sha_of([structure.steps, [m.model_dump() for m in sent]])


def reference(desk: Desk) -> str:
    return text_of(desk, PLAIN)


def recipe_of(desk: Desk, structure: Structure) -> Recipe:
    overrides = {**desk.given.settings.overrides, "structure": structuring.value_of(structure)}
    return derived.with_values(recipes.parse("prompt@teacher"), desk.task, desk.sizes, overrides)


def answer(desk: Desk, text: str, rows: Sequence[Example]) -> None:
    """As the candidate itself would answer, re-asks and all. Raises CapReached where money, time or the provider gave out."""
    structure, _ = desk.tried[text]
    known = desk.answers.setdefault(text, {})
    asked = [row.blind() for row in rows if row.id not in known]
    job = FitJob(
        desk.task, recipe_of(desk, structure), (), (), desk.given.settings.seed, desk.folder.path,
        ask=desk.ask, price=desk.given.teacher.price if desk.given.teacher else None,
    )  # fmt: skip
    desk.log.progress("structures", len(desk.tried) - 1, len(desk.tried), structure.told())
    predictor = registry.take("adapters", "prompt").fit(job).predictor
    found: list[Prediction] = predictor.predict(asked) if asked else []
    missing = [p for p in found if p.status is Status.ERROR and p.detail.partition(":")[0] in UNANSWERED]
    if missing:
        raise CapReached(
            f"tuning was stopped in trial {len(desk.tried)}: {len(missing)} rows are unanswered",
            f"{missing[0].detail}; what was paid for is stored, and nothing was chosen",
            "the same command with a larger --budget goes on, and pays for nothing twice",
        )
    known.update({p.id: p for p in found})


def given_by(desk: Desk, text: str, rows: Sequence[Example]) -> list[Prediction]:
    return [desk.answers[text][row.id] for row in rows]


def value_on(desk: Desk, text: str, rows: Sequence[Example]) -> float | None:
    return scoring.figure(registry.take("metrics", desk.task.metric), desk.task, rows, given_by(desk, text, rows))


def effects_of(desk: Desk, base: Structure, levers: Sequence[str], made: factorial.Design) -> tuple[Effect, ...]:
    """Mean of the runs with a lever less mean of those without, over the same resampled rows; 0 where nothing was scored."""
    found = []
    answers = [given_by(desk, text_of(desk, switched(base, levers, on)), desk.subset) for on in made.runs]
    gap_of = row_gap if registry.take("metrics", desk.task.metric).corpus is None else corpus_gap
    for i, lever in enumerate(levers):
        gap = gap_of(desk, answers, *factorial.halves(made.runs, i))
        joint = tuple(" x ".join(levers[j] for j in pair) for pair in made.aliases.get(i, ()))
        found.append(Effect(lever=lever, effect=gap[0], low=min(gap[1:]), high=max(gap[1:]), aliases=joint))
    return tuple(found)


Gap = tuple[float, float, float]  # effect, and the ends of its interval


def row_gap(desk: Desk, answers: Sequence[Sequence[Prediction]], with_it: Sequence[int], without: Sequence[int]) -> Gap:
    """Of a metric that is a mean over rows: per row first, then over rows."""
    metric = registry.take("metrics", desk.task.metric)
    columns = [scoring.row_values(metric, desk.task, desk.subset, found) for found in answers]

    def means(runs: Sequence[int]) -> list[float | None]:
        scored = ([v for run in runs if (v := columns[run][row]) is not None] for row in range(len(desk.subset)))
        return [sum(values) / len(values) if values else None for values in scored]

    try:
        gap = stats.paired_difference(means(with_it), means(without), seed=desk.given.settings.seed, resamples=RESAMPLES)
    except ValueError:
        return 0.0, 0.0, 0.0
    return desk.sign * gap.difference, desk.sign * gap.low, desk.sign * gap.high


def corpus_gap(desk: Desk, answers: Sequence[Sequence[Prediction]], with_it: Sequence[int], without: Sequence[int]) -> Gap:
    """Of a figure over all rows at once (macro-F1, correlations)."""
    figures = [scoring.statistic(desk.task, desk.subset, found) for found in answers]

    def gap(index: Sequence[int]) -> float | None:
        ours, theirs = ([v for run in runs if (v := figures[run](index)) is not None] for runs in (with_it, without))
        return desk.sign * (sum(ours) / len(ours) - sum(theirs) / len(theirs)) if ours and theirs else None

    n = len(desk.subset)
    effect = gap(range(n))
    if effect is None:
        return 0.0, 0.0, 0.0
    return effect, *stats.bootstrap_difference(gap, n, seed=desk.given.settings.seed, resamples=RESAMPLES)[:2]


RESAMPLES = 400  # of an interval that guides; what decides is `scoring.versus`, with its own


def refinements(desk: Desk, base: Structure, levers: Sequence[str], effects: Sequence[Effect]) -> list[Structure]:
    """What the effects say is best, then that, and the best that was seen, in other orders and layouts."""
    likely = switched(base, levers, [e.effect > 0 for e in effects])
    sure = switched(base, levers, [e.low > 0 for e in effects])
    seen = [desk.tried[text][0] for text in ranked(desk)[:FINALISTS]]
    heads = [likely, sure, *seen]
    layouts: list[dict[str, Any]] = [{"order": "last"}, {"order": "both"}, {"layout": "user"}, {"delimiters": "headings"}]
    if desk.task.demonstrations:
        layouts.insert(0, {"layout": "turns"})
    both = [{"order": "both", "delimiters": "tags"}, {"order": "last", "layout": "user"}]
    return [likely, sure, *(head.model_copy(update=more) for head in heads for more in (*layouts, *both))]


def ranked(desk: Desk) -> list[str]:
    """Texts, best on the subset first; on a tie the one with fewer levers, then the one tried first."""
    scored = [(text, value) for text in desk.tried if (value := value_on(desk, text, desk.subset)) is not None]
    return [text for text, _ in sorted(scored, key=lambda item: (-desk.sign * item[1], len(desk.tried[item[0]][0].on())))]


def best_of(desk: Desk) -> list[str]:
    """The best few that are ahead of the plain prompt on the subset."""
    plain = value_on(desk, reference(desk), desk.subset)
    ahead = [text for text in ranked(desk) if plain is None or desk.sign * ((value_on(desk, text, desk.subset) or 0.0) - plain) > 0]
    return [text for text in ahead if text != reference(desk)][:FINALISTS]


def cost(found: Sequence[Prediction]) -> float | None:
    """USD of 1,000 calls."""
    known = [p.cost_usd for p in found if p.cost_usd is not None]
    return 1000 * sum(known) / len(known) if known else None


def judged(desk: Desk, finalists: Sequence[str]) -> list[tuple[str, Trial]]:
    """Every trial against the plain prompt. The finalists were picked on rows that they are compared on, so their p is corrected for
    all that were tried, not for the few that were left."""
    plain, seed = reference(desk), desk.given.settings.seed
    found: list[tuple[str, Trial]] = []
    for text, (structure, stage) in desk.tried.items():
        rows = desk.dev if text in finalists else desk.subset
        mine = given_by(desk, text, desk.subset)
        against = (
            None
            if text == plain
            else scoring.versus(desk.task, rows, given_by(desk, text, rows), given_by(desk, plain, rows), "plain", seed)
        )
        found.append((text, Trial(
            structure=structure, told=structure.told(), stage=stage, value=value_on(desk, text, desk.subset),
            malformed=sum(p.status is not Status.OK for p in mine), usd_per_1000=cost(mine), finalist=text in finalists, versus=against,
        )))  # fmt: skip
    corrected = stats.holm([trial.versus.p_value for _, trial in found if trial.versus is not None])
    at = iter(corrected)
    return [(text, trial.model_copy(update={"p_holm": next(at)}) if trial.versus else trial) for text, trial in found]
