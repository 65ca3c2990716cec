"""`limbeck prompt tune`: structures of a prompt are tried on dev rows, and the best is kept only where it is shown to be better.

levers -> a fractional factorial on a dev subset -> what each lever is worth -> the best few and their layouts -> all of dev ->
paired against the plain prompt, Holm-corrected over everything that was tried -> structure.json. Test rows are never asked about.
Nothing but the store is kept on the way: the same command asks the same questions again, and pays for none of them twice."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from limbeck import derived, factorial, hallway, recipes, registry, structuring
from limbeck.candidates import Record
from limbeck.errors import CapReached, MissingError, UsageError
from limbeck.estimate import ASKED_AGAIN, one_call
from limbeck.log import Log
from limbeck.planning import asker, sizes_of
from limbeck.preflight import Given, preflight
from limbeck.registry import Ask
from limbeck.render_structure import COMPLETE_STEPS, PLAIN, Structure
from limbeck.run import RunFolder, read_json, read_lines, write_json
from limbeck.teachers.store import Store
from limbeck.trials import (
    FINALISTS,
    Desk,
    Effect,
    Trial,
    answer,
    attempt,
    best_of,
    effects_of,
    judged,
    recipe_of,
    reference,
    refinements,
    switched,
)
from limbeck.types import Example, Frozen, Settings, Task

PURPOSE = "tune"
TRIALS = 20  # structures, the plain one among them
FEWEST_TRIALS = 10  # eight runs of a factorial, and two that follow from them
SUBSET = 200  # dev rows that every structure answers
FEWEST_ROWS = 40  # of a subset that is made smaller to keep the budget
LEVEL = 0.05


class Tuned(Frozen):
    """The outcome. rows: of the subset; dev_rows: all. usd: what tuning has cost. training: the trials that training gets."""

    task: str
    metric: str
    teacher: str
    rows: int
    dev_rows: int
    design: str
    effects: tuple[Effect, ...]
    trials: tuple[Trial, ...]
    chosen: Structure
    changed: bool
    verdict: str
    training: str
    usd: float
    notes: tuple[str, ...] = ()


def tune(settings: Settings, prompt: str, folder: RunFolder, log: Log, trials: int = TRIALS, texts: str = "rules") -> Tuned:
    """The whole of it, in a run folder. Raises UsageError where nothing could be tuned, CapReached where money or time end."""
    began = time.monotonic()
    if trials < FEWEST_TRIALS:
        raise UsageError(
            f"{trials} trials are too few for a factorial", f"eight runs, and two that follow: {FEWEST_TRIALS}", f"--trials {TRIALS}"
        )
    given = preflight(settings.model_copy(update={"structure": None}), prompt)
    teacher = given.teacher
    if teacher is None:
        raise MissingError(
            "tuning asks a teacher, and there is none", "a structure is tried by sending it", "--teacher http://host/v1#model"
        )
    if teacher.recording:
        raise UsageError(
            "a recording answers the same whatever stands in the prompt", f"the teacher is {teacher.name}", "--teacher http://host/v1#model"
        )
    measured = given.dev is not None and given.test is not None  # nothing is cut, so no rows have to be made
    if given.makes_rows and not measured and not folder.marker("rows").exists():
        raise MissingError(
            "tuning needs labelled rows, and makes none",
            "dev and test rows are cut from --rows, or given both; no call was made",
            f"--rows FILE, or --dev FILE with --test FILE; limbeck rows {settings.prompt} makes some",
        )
    folder.create()
    with folder.locked(), closing(Store(folder.store, cap_usd=settings.budget_usd, log=log)) as store:
        store.cap_usd += store.spent_usd - spent(store)  # what was spent on other things is not tuning's
        log.path = folder.events
        hallway.save_prompt(folder, given)
        task = hallway.find_task(folder, given, store, log)
        if not measured:
            hallway.make_rows(folder, given, task, store, log, began)
        splits = hallway.find_examples(folder, given, task, log)
        ask = asker(store, teacher, log, began + settings.budget_s)(PURPOSE)
        desk = set_up(given, task, splits, folder, ask, log)
        must_be_able_to_show(desk, trials)
        base = texts_for(desk, texts, teacher.name)
        runs, rows, notes = plan(desk, trials)
        if settings.structure:
            notes.append(f"compared with the plain prompt, not with the structure {settings.structure}")
        desk.subset = desk.subset[:rows]
        found = search(desk, base, runs, trials, notes, teacher.name, store)
    write_json(folder.path / "3-tuning.json", found)
    structuring.write(folder.path / "structure.json", found.chosen)
    log.event("tuned", verdict=found.verdict)
    return found


def spent(store: Store) -> float:
    return float(store.ledger()["by_purpose"].get(PURPOSE, {}).get("spent_usd", 0.0))


def set_up(given: Given, task: Task, splits: Any, folder: RunFolder, ask: Ask, log: Log) -> Desk:
    every = read_lines(folder.rows, Example)
    by_id = {row.id: row for row in every}
    dev = [by_id[i] for i in splits.dev.ids]
    assert not {row.id for row in dev} & set(splits.test.ids), "a test row was about to be asked about"
    if not dev:
        raise UsageError("there are no dev rows to tune on", splits.how, "more rows with --rows, or --dev FILE")
    subset = random.Random(given.settings.seed).sample(dev, min(SUBSET, len(dev)))
    sizes, *_ = sizes_of(given, task, splits, every)
    metric: registry.Metric = registry.take("metrics", task.metric)
    return Desk(task, given, ask, folder, sizes, subset, dev, log, -1.0 if metric.lower_is_better else 1.0)


def must_be_able_to_show(desk: Desk, trials: int) -> None:
    """Even rows that all change for the better prove something only where there are enough of them (the sign test, corrected)."""
    needed = math.ceil(math.log2(2 * (trials - 1) / LEVEL))
    if len(desk.dev) < needed:
        raise UsageError(
            f"{len(desk.dev)} dev rows are too few to show that a structure is better",
            f"among {trials} trials at least {needed} rows have to change for the better; no trial was made",
            "more rows with --rows, or --dev FILE",
        )


def texts_for(desk: Desk, texts: str, teacher: str) -> Structure:
    """All levers on, with the texts that role and details have in every trial: the user's, else the teacher's or the rules'."""
    settings = desk.given.settings
    base = structuring.with_own_texts(Structure(role=True, details=True), settings.role, settings.details)
    if texts == "teacher" and not (base.role_text and base.details_text):
        role, details, whose = structuring.texts_by_teacher(desk.task, desk.ask, teacher)
        more = {"role_text": base.role_text or role, "details_text": base.details_text or details}
        whose = f"{base.texts_from} and {whose}" if base.texts_from else whose
        base = base.model_copy(update={**more, "texts_from": whose})
    return base


def plan(desk: Desk, trials: int) -> tuple[int, int, list[str]]:
    """(runs of the factorial, rows of the subset, notes): as much as the budget is expected to pay. Raises CapReached where it does
    not even pay for the least."""
    settings, rows, notes = desk.given.settings, len(desk.subset), []
    calls = [
        one_call(desk.task, recipe_of(desk, s), desk.subset, desk.subset, desk.given.teacher, settings.seed)
        for s in (PLAIN, COMPLETE_STEPS)
    ]  # type: ignore[arg-type]
    usd = sum(call.times(1, ASKED_AGAIN).middle for call in calls) / 2
    finals = (1 + FINALISTS) * (len(desk.dev) - rows) * usd
    runs = 16 if trials >= 18 else 8
    if usd and (trials * rows * usd + finals) > settings.budget_usd:
        fit = int((settings.budget_usd - finals) / (trials * usd))
        least = min(FEWEST_ROWS, rows)
        if fit < least:
            needed = trials * least * usd + finals
            raise CapReached(
                f"tuning is expected to cost more than the budget of ${settings.budget_usd:.2f}",
                f"{trials} trials on {least} dev rows come to about ${needed:.2f}; nothing was spent",
                f"--budget {needed * 1.2:.2f}usd, or --trials {FEWEST_TRIALS}",
            )
        notes.append(f"{fit} of {rows} dev rows are asked about in each trial, to keep the budget")
        rows = fit
    text = f"{trials} trials on {rows} dev rows: about ${trials * rows * usd + finals:.2f} of ${settings.budget_usd:.2f}"
    desk.log.event("note", text=text)
    return runs, rows, notes


# ---- the search --------------------------------------------------------------------------------------------------------


def search(desk: Desk, base: Structure, runs: int, trials: int, notes: list[str], teacher: str, store: Store) -> Tuned:
    levers = structuring.levers_of(desk.task, base.role_text or None)
    if "role" not in levers:
        notes.append("the prompt says itself who answers: the lever role was not tried")
    made = factorial.design(len(levers), runs)
    for on in made.runs:
        attempt(desk, switched(base, levers, on), "factorial")
    effects = effects_of(desk, base, levers, made)
    for structure in refinements(desk, base, levers, effects):
        if len(desk.tried) >= trials:
            break
        attempt(desk, structure, "refined")
    finalists = best_of(desk)
    for text in (*finalists, reference(desk)):
        answer(desk, text, desk.dev)
    found = judged(desk, finalists)
    return outcome(desk, found, effects, made, levers, notes, teacher, spent(store))


# ---- the verdict -------------------------------------------------------------------------------------------------------


def outcome(
    desk: Desk, found: Sequence[tuple[str, Trial]], effects: tuple[Effect, ...], made: factorial.Design, levers: Sequence[str],
    notes: Sequence[str], teacher: str, usd: float,
) -> Tuned:  # fmt: skip
    """Keep the best that is shown to be better, else the plain prompt, and say which and why."""
    metric = desk.task.metric

    def clear(trial: Trial) -> bool:
        v = trial.versus
        ends = (desk.sign * v.low, desk.sign * v.high) if v else (0.0, 0.0)
        return trial.finalist and min(ends) > 0 and (trial.p_holm or 0.0) < LEVEL

    sure = [trial for _, trial in found if clear(trial)]
    best = max(sure, key=lambda t: desk.sign * t.versus.difference if t.versus else 0.0, default=None)
    if best is not None and best.versus is not None:
        gap = f"{metric} {best.versus.difference:+.3f} [{best.versus.low:+.3f}, {best.versus.high:+.3f}] on {len(desk.dev)} dev rows"
        verdict = f"{best.told} is better than the plain prompt, {gap}, p={best.p_holm:.2g} after Holm's correction for {len(found) - 1} comparisons."
        plain = next(trial for _, trial in found if trial.versus is None)
        if best.usd_per_1000 and plain.usd_per_1000:
            verdict += f" 1,000 calls cost ${best.usd_per_1000:.3g} instead of ${plain.usd_per_1000:.3g}."
    elif all(trial.versus is None or trial.versus.difference == 0 for _, trial in found):
        verdict = "No difference: every structure scores what the plain prompt scores. The default stays."
    else:
        verdict = f"No structure is shown to be better than the plain prompt over {len(found) - 1} comparisons. The default stays."
    facts = {
        "trials": len(found),
        "rows": len(desk.subset),
        "teacher": teacher,
        "usd": round(usd, 9),
        "verdict": verdict,
        "training": training(desk),
    }
    chosen = (best.structure if best else PLAIN).model_copy(update={"name": "tuned" if best else PLAIN.name, "tuned": facts})
    return Tuned(
        task=desk.task.name, metric=metric, teacher=teacher, rows=len(desk.subset), dev_rows=len(desk.dev),
        design=f"{len(made.runs)} runs of {len(levers)} levers, resolution {made.resolution}", effects=effects,
        trials=tuple(trial for _, trial in found), chosen=chosen, changed=best is not None, verdict=verdict,
        training=facts["training"], usd=facts["usd"], notes=tuple(notes),
    )  # fmt: skip


def training(desk: Desk) -> str:
    """How often training looks at dev: of the run in this folder, else of a run that names no candidates."""
    paths = sorted(desk.folder.students.glob("*/dev.json"))
    done = [r for r in (read_json(path, Record) for path in paths) if r.group == "student" and r.state == "ok"]
    if done:
        return f"Training in this folder: {len(done)} students, {sum(max(1, len(r.history)) for r in done)} looks at dev."
    names = derived.defaults(desk.task, desk.sizes, teacher=False, recording=False)
    planned = [derived.with_values(r, desk.task, desk.sizes, {}) for r in recipes.parse_all(names)]
    students = [r for r in planned if registry.take("adapters", r.adapter).group == "student"]
    looks = sum(int(r.value("epochs", 1)) for r in students)
    return f"Training in a run of the usual candidates: {len(students)} students, one setting each, at most {looks} looks at dev (epochs)."
