"""The steps in order: prompt -> task -> rows -> examples -> recipes -> labels -> rationales -> inferences -> students -> report -> deployment.

Read `run` aloud. Each step reads what is before it, writes what is after it, and puts its done-marker last; the same
command again does only what is missing, or what a changed prompt, row or setting has made stale."""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from limbeck import candidates, compare, indexing, inferring, making, reasoning, recipes, registry, render, scoring, starting, supply
from limbeck.candidates import Bench, Record
from limbeck.engine.named import fetch_config
from limbeck.errors import CapReached, LimbeckError, NoWinner, ProviderError
from limbeck.log import Log
from limbeck.planning import (
    Plan,
    asker,
    keep_embeddings,
    make_plan,
    probes_of,
    settle_speed,
    sizes_of,
    supply_plan,
    update_settings,
    write_settings,
)
from limbeck.preflight import Given, by_rules, cut, measured, preflight, rows_sha
from limbeck.registry import Teacher
from limbeck.run import RunFolder, read_json, read_lines, write_bytes, write_json, write_lines
from limbeck.tasks import by_teacher
from limbeck.teachers.store import Store
from limbeck.types import TEACHER, Example, Recipe, Report, Settings, Splits, Task, sha_of
from limbeck.verdict import Choice


def run(settings: Settings, prompt: str, folder: RunFolder, log: Log) -> Report:
    """The whole hallway, from the prompt to the deployed student."""
    began = time.monotonic()
    given = preflight(settings, prompt)
    folder.create()
    with folder.locked(), closing(Store(folder.store, cap_usd=settings.budget_usd, log=log)) as store:
        log.path = folder.events
        log.event("run", settings=settings.model_dump(mode="json"))
        keep_embeddings(folder, given)
        announce(folder, given, log)
        save_prompt(folder, given)
        task = find_task(folder, given, store, log)
        make_rows(folder, given, task, store, log, began)
        splits = find_examples(folder, given, task, log)
        find_bases(folder, given, task, splits, store, log)
        plan = find_recipes(folder, given, task, splits, log)
        labelled = find_labels(folder, given, task, splits, plan, store, log)
        bench = set_up_bench(folder, given, task, splits, labelled, store, log, began)
        find_rationales(bench, given, plan, log)
        find_passages(bench, given, plan, store, log)
        find_inferences(bench, given, plan, store, log)
        choice = find_students(bench, plan, log)
        report = write_report(folder, log, time.monotonic() - began)
        deploy(folder, bench, choice, report, log)
    return must_have_verdict(report, settings)


def rows(settings: Settings, prompt: str, folder: RunFolder, log: Log) -> tuple[Task, list[Example], dict[str, Any]]:
    """`limbeck rows`: the hallway as far as the rows, in the same folder, so that a run takes them up at no cost.
    (task, rows, facts: counts, used, said)."""
    began = time.monotonic()
    given = preflight(settings, prompt)
    folder.create()
    with folder.locked(), closing(Store(folder.store, cap_usd=settings.budget_usd, log=log)) as store:
        log.path = folder.events
        keep_embeddings(folder, given)
        save_prompt(folder, given)
        task = find_task(folder, given, store, log)
        made = make_rows(folder, given, task, store, log, began)
        return task, made, {**supply.facts(folder), "spent_usd": store.spent_usd}


def rows_wanted(settings: Settings, prompt: str) -> int:
    """How many rows `limbeck rows` makes where nobody says."""
    return int(supply.how_many(by_rules(preflight(settings.model_copy(update={"make": 1}), prompt)), settings).value)


def look(settings: Settings, prompt: str) -> tuple[Given, Plan, Splits]:
    """--dry-run: everything that costs nothing. Writes nothing, asks nobody."""
    given = preflight(settings, prompt, ask_hub=False)
    given.warnings += given.downloads
    task = by_rules(given)
    if given.makes_rows:
        return given, *supply_plan(given, task)
    given, splits, every = cut(given, task)
    return given, make_plan(given, task, *sizes_of(given, task, splits, every)), splits


def announce(folder: RunFolder, given: Given, log: Log) -> None:
    """Say which steps the changes since the last run have made stale, before money is spent; and what is not here yet."""
    for text in given.downloads:
        log.event("note", text=text)
    own = examples_inputs(given)  # what depends on other steps (task, made) is not known yet: the task's own inputs stand for it
    since = {*folder.was_done_otherwise("task", task_inputs(given)), *folder.was_done_otherwise("examples", own)}
    if changed := sorted(since & {*task_inputs(given), *own}):
        log.event(
            "stale",
            step="examples",
            because=changed,
            text=f"changed since the last run: {', '.join(changed)}; what depends on them runs again",
        )


# ---- prompt, task, examples ----------------------------------------------------------------------------------------


def save_prompt(folder: RunFolder, given: Given) -> None:
    write_bytes(folder.prompt, given.prompt.encode())


def task_inputs(given: Given) -> dict[str, Any]:
    return {
        "prompt": sha_of(given.prompt),
        "kind": given.settings.kind,
        "metric": given.settings.metric,
        "rows": rows_sha(given),
        "teacher": given.teacher.fingerprint if given.teacher else "",
    }


def find_task(folder: RunFolder, given: Given, store: Store, log: Log) -> Task:
    """The rules read the prompt; a teacher is asked too, and the rules check it."""
    inputs = task_inputs(given)
    if folder.is_done("task", inputs):
        return read_json(folder.task, Task)
    log.event("step", step="task")
    task = by_rules(given)
    if given.teacher is not None and not given.teacher.recording:
        ask = asker(store, given.teacher, log, None)("parse")
        task, _ = by_teacher.parse_with(ask, task, given.prompt, [*given.gold, *given.made, *(given.test or [])])
        task = measured(task, given.settings)
    write_json(folder.task, task)
    folder.mark_done("task", inputs, [folder.task])
    return task


def make_rows(folder: RunFolder, given: Given, task: Task, store: Store, log: Log, began: float) -> list[Example]:
    """Rows from the prompt alone: data sets that fit are looked for, the teacher writes more, votes label them."""
    if not given.makes_rows:
        return []
    inputs = supply.inputs(given, task)
    changed = folder.was_done_otherwise("rows", inputs)
    if changed and not (given.settings.make is None and changed == ["make"]):
        log.event("stale", step="rows", because=changed, text=f"rows are made again, for there is another {', '.join(changed)}")
    if not folder.is_done("rows", inputs) and not (given.settings.make is None and changed == ["make"]):
        log.event("note", text=f"the prompt asks for a {task.kind}, compared by {task.metric}" + "".join(f"; {n}" for n in task.notes))
        log.event("step", step="rows", wanted=supply.how_many(task, given.settings).value)
        deadline = began + given.settings.budget_s
        ask_for = asker(store, given.teacher, log, deadline) if given.teacher else None
        label_for = asker(store, given.labeller, log, deadline) if given.labeller else None
        found = supply.make(given, task, ask_for, label_for, log)
        supply.write(folder, found)
        if found.complete:
            folder.mark_done("rows", inputs, supply.files(folder))
        for text in found.said:
            log.event("note", text=text)
        if not found.complete:
            log.warn("not all rows could be made: money, time or the provider; the same command goes on")
    given.supplied, put_aside = supply.read(folder)
    given.rejected += put_aside
    return given.supplied


def examples_inputs(given: Given) -> dict[str, Any]:
    return {"rows": rows_sha(given), "seed": given.settings.seed}


def find_examples(folder: RunFolder, given: Given, task: Task, log: Log) -> Splits:
    """Clean, cut, guard against leaks, freeze. Test is fixed here, before anything is trained."""
    inputs = {**examples_inputs(given), "task": task.sha(), "made": sha_of([(r.id, r.input, r.output) for r in given.supplied])}
    if folder.is_done("examples", inputs):
        return read_json(folder.splits, Splits)
    log.event("step", step="examples")
    given, splits, rows = cut(given, task)
    for text in dict.fromkeys(given.warnings):
        log.warn(text)
    write_lines(folder.rows, rows)
    write_lines(folder.rejected, given.rejected)
    write_json(folder.splits, splits)
    folder.mark_done("examples", inputs, [folder.rows, folder.splits, folder.rejected], warnings=given.warnings)
    return splits


# ---- recipes, with the estimate before money is spent ----------------------------------------------------------------


def find_bases(folder: RunFolder, given: Given, task: Task, splits: Splits, store: Store, log: Log) -> None:
    """Where neither candidates nor rows are the user's, the base is looked for too; --bases N does so in any case."""
    settings = given.settings
    if given.wanted or importlib.util.find_spec("torch") is None or not (given.supplied or settings.bases):
        return
    sizes, *_ = sizes_of(given, task, splits, read_lines(folder.rows, Example))
    inputs = {
        "task": task.sha(),
        "train": sizes.train,
        "bases": settings.bases,
        "teacher": given.teacher.fingerprint if given.teacher else "",
    }
    path = folder.path / "3-bases.json"
    if not folder.is_done("bases", inputs):
        log.event("step", step="bases")
        ask = asker(store, given.teacher, log, None)("bases") if given.teacher and not given.teacher.recording else None
        facts = starting.propose(folder, task, sizes, settings, ask)
        log.event("bases", recipes=facts["recipes"], notes=facts["notes"])
        folder.mark_done("bases", inputs, [path])
    given.proposed = json.loads(path.read_bytes())["recipes"]
    for text in given.proposed:
        fetch_config(text.rpartition("@")[2])


def find_recipes(folder: RunFolder, given: Given, task: Task, splits: Splits, log: Log) -> Plan:
    plan = make_plan(given, task, *sizes_of(given, task, splits, read_lines(folder.rows, Example)), known=probes_of(folder))
    write_json(
        folder.recipes, {"recipes": [r.model_dump(mode="json") for r in plan.recipes], "estimate": plan.estimate.model_dump(mode="json")}
    )
    write_settings(folder, given, plan)
    log.event("plan", recipes=[r.text for r in plan.recipes], **plan.estimate.model_dump(mode="json"))
    settings = given.settings
    if plan.estimate.usd_low > settings.budget_usd:
        log.warn(f"the estimate starts at ${plan.estimate.usd_low:.2f} and the cap is ${settings.budget_usd:.2f}: prompts will be partial")
    return plan


# ---- labels and students ---------------------------------------------------------------------------------------------


def find_labels(folder: RunFolder, given: Given, task: Task, splits: Splits, plan: Plan, store: Store, log: Log) -> list[Example]:
    """Unlabelled rows, labelled by the teacher, those first that say most beyond the labelled ones: where the money ends,
    it has bought the best. A row that got no answer is put aside, and asked about again on resume. Where a candidate learns
    from rationales, label and rationale come from one completion."""
    if not given.unlabelled or given.teacher is None or not any(recipes.learns_labels(recipe) for recipe in plan.recipes):
        return []
    ids = {r.id for r in given.unlabelled}
    every = read_lines(folder.rows, Example)
    rows = [r for r in every if r.id in ids]
    votes = 1 if given.teacher.recording else supply.votes_of(given.settings, made=False)
    inputs = {
        "rows": sha_of([(r.id, r.input, r.choices) for r in rows]),
        "task": task.sha(),
        "teacher": given.teacher.fingerprint,
        "votes": votes,
        "render": render.VERSION,
    }
    in_train = set(splits.train.ids)
    train = [r for r in every if r.id in in_train]
    explained = reasoning.wanted(plan.recipes)
    if explained:
        inputs |= {"rationales": reasoning.inputs(given, task, train)}
    path = folder.path / "2-labelled.jsonl"
    if not folder.is_done("labels", inputs):
        log.event("step", step="labels", rows=len(rows))
        rows = supply.worth_first(rows, train)
        ask_for = asker(store, given.teacher, log, None)
        if explained:
            found = reasoning.label_rows(folder, given, task, train, rows, ask_for("rationales"), votes)
        else:
            reasoning.forget_labels(folder)
            found = making.label_rows(task, rows, ask_for("label"), votes, price=given.teacher.price, seed=given.settings.seed)
        write_lines(path, [signed(row, given.teacher) for row in found.rows])
        if len(found.rows) < len(rows):
            log.warn(f"{len(rows) - len(found.rows)} of {len(rows)} unlabelled rows got no usable answer ({'; '.join(found.said)})")
        if not supply.left_undone(found.counts):
            folder.mark_done("labels", inputs, [path])
    labelled = read_lines(path, Example)
    update_settings(
        folder,
        labelled_origins={"teacher": len(labelled)},
        sizes={**json.loads(folder.settings.read_bytes())["sizes"], "labelled": len(labelled)},
    )
    return labelled


def signed(row: Example, teacher: Teacher) -> Example:
    return row.model_copy(update={"origin": row.origin.model_copy(update={"kind": "teacher", "detail": teacher.name})})


def find_rationales(bench: Bench, given: Given, plan: Plan, log: Log) -> None:
    """Why each training row's answer is its answer, for the candidates that learn from it: a person's rationale where there is
    one, else the teacher's. Rows of dev and test are never asked about, nor shown."""
    folder, task = bench.folder, bench.task
    if not reasoning.wanted(plan.recipes):
        return update_settings(folder, rationales={})
    rows = reasoning.unexplained(bench.rows_for(recipe) for recipe in plan.recipes if reasoning.needs(recipe))
    held_out = {*bench.splits.dev.ids, *bench.splits.test.ids}
    assert held_out.isdisjoint(row.id for row in (*bench.train, *rows)), "a held-out row was about to be asked about"
    said: Sequence[str] = ()
    complete = True
    if given.teacher is None or bench.ask_for is None or not rows:
        reasoning.forget(folder)
    else:
        inputs = reasoning.inputs(given, task, [*bench.train, *rows])
        if not folder.is_done("rationales", inputs):
            log.event("step", step="rationales", rows=len(rows))
            found = reasoning.explain_rows(given, task, bench.train, rows, bench.ask_for("rationales"))
            reasoning.write(folder, found)
            said, complete = found.said, not supply.left_undone(found.counts)
            for text in said:
                log.event("note", text=text)
            if complete:
                folder.mark_done("rationales", inputs, reasoning.files(folder)[:2], said=said)
            else:
                log.warn("not every row was asked about: money, time or the provider; the same command goes on")
        else:
            said = folder.facts("rationales")["said"]
    bench.rationales = {r.id: r.rationale for r in reasoning.read(folder)[0]}
    asked = {row.id: row for recipe in plan.recipes if reasoning.needs(recipe) for row in bench.rows_for(recipe)}
    update_settings(folder, rationales=reasoning.summary(given, task, folder, list(asked.values()), said, complete))


def set_up_bench(
    folder: RunFolder, given: Given, task: Task, splits: Splits, labelled: list[Example], store: Store, log: Log, began: float
) -> Bench:
    every = {row.id: row for row in read_lines(folder.rows, Example)}
    speed = settle_speed(folder, given, log)
    deadline = began + given.settings.budget_s
    teacher = given.teacher
    return Bench(
        folder=folder,
        task=task,
        splits=splits,
        train=[every[i] for i in splits.train.ids],
        labelled=labelled,
        dev=[every[i] for i in splits.dev.ids],
        test=[every[i] for i in splits.test.ids],
        seed=given.settings.seed,
        log=log,
        ask_for=asker(store, teacher, log, deadline) if teacher else None,
        price=teacher.price if teacher else None,
        teacher=teacher.fingerprint if teacher else "",
        recording=bool(teacher and teacher.recording),
        threads=speed.get("threads", given.settings.threads),
        dtype=speed.get("dtype"),
        deadline=deadline,
    )


def find_passages(bench: Bench, given: Given, plan: Plan, store: Store, log: Log) -> None:
    """The user's documents, for the candidates that look things up: 2-index/docs."""
    rows = {"train": [*bench.train, *bench.labelled], "dev": bench.dev, "test": bench.test}
    ask_for = None if bench.recording else bench.ask_for  # a recording puts nothing in order
    means = indexing.Means(store, ask_for, bench.price, bench.teacher, bench.deadline)
    bench.library, said = indexing.find_index(bench.folder, given.settings, bench.task, plan.recipes, rows, log, means)
    update_settings(bench.folder, retrieval=said)


def find_inferences(bench: Bench, given: Given, plan: Plan, store: Store, log: Log) -> None:
    """The user's documents, and what follows from them, for the students that learn them: 2-inferences.jsonl."""
    rows = {"dev": bench.dev, "test": bench.test}
    bench.knowledge, bench.about_knowledge = inferring.find(
        bench.folder, given, plan.recipes, rows, lambda teacher: asker(store, teacher, log, bench.deadline), log
    )
    update_settings(bench.folder, knowledge=bench.about_knowledge)


def find_students(bench: Bench, plan: Plan, log: Log) -> Choice:
    """Every candidate is fitted and answers dev; dev chooses; only then does each answer test, once."""
    folder = bench.folder
    log.event("step", step="students", candidates=len(plan.recipes))
    records: list[Record] = []
    for i, recipe in enumerate(plan.recipes):
        log.progress("candidates", i, len(plan.recipes), recipe.text)
        records.append(candidates.on_dev(bench, recipe))
    if head := next((r for r in plan.recipes if r.adapter == "head"), None):
        inputs = bench.inputs(head, "dev")
        if not folder.is_done("growth", inputs):
            update_settings(folder, growth=growth_curve(bench, head, records))
            folder.mark_done("growth", inputs, [])
    answers = {r.recipe.id: candidates.predictions(folder, r.recipe, "dev") for r in records}
    choice = scoring.choose(bench.task, records, bench.dev, {k: v for k, v in answers.items() if v})
    inputs = {"dev": choice.model_dump(mode="json"), "splits": bench.splits.sha()}
    if not folder.is_done("choice", inputs):
        count_test_scoring(folder, bench)
        folder.mark_done("choice", inputs, [], choice=choice.model_dump(mode="json"))
    log.event("choice", **choice.model_dump(mode="json"))
    for i, record in enumerate(records):
        log.progress("test", i, len(records), record.recipe.text)
        cheap = registry.take("adapters", record.recipe.adapter).cheap
        chosen = record.recipe.id in (choice.best_student, choice.best_baseline)
        candidates.on_test(bench, record.recipe, refit=cheap or record.recipe.id == choice.best_student, keep=chosen)
    return choice


def growth_curve(bench: Bench, head: Recipe, records: Sequence[Record]) -> list[dict[str, float]]:
    """What more rows bring, read off the cheapest student; nothing where that student could not be fitted."""
    if next((r.state for r in records if r.recipe.id == head.id), "") != "ok":
        return []
    metric = registry.take("metrics", bench.task.metric)
    points = candidates.growth(bench, head)
    return [
        {"rows": p["rows"], "dev": v} for p in points if (v := scoring.figure(metric, bench.task, bench.dev, p["predictions"])) is not None
    ]


def count_test_scoring(folder: RunFolder, bench: Bench) -> None:
    """How often this very test split has been scored after another choice: told in the report."""
    before = json.loads(folder.settings.read_bytes()).get("tested", {})
    digest = bench.splits.test.digest
    tested = {**before, digest: before.get(digest, 0) + 1}
    update_settings(folder, tested=tested, test_scored=tested[digest])


# ---- report and deployment -------------------------------------------------------------------------------------------


def write_report(folder: RunFolder, log: Log, seconds: float) -> Report:
    update_settings(folder, seconds={"this_run": round(seconds, 1)})
    report = rebuild_report(folder)
    log.event("report", verdict=report.verdict, winner=report.winner)
    return report


def rebuild_report(folder: RunFolder) -> Report:
    """5-report.{json,md,html} from the stored predictions and measurements; no model, no teacher."""
    from limbeck.report import markdown, page

    report = compare.build_report(folder)
    write_json(folder.report, report)
    write_bytes(folder.report_md, markdown(report).encode())
    write_bytes(folder.report_html, page(report).encode())
    return report


def deploy(folder: RunFolder, bench: Bench, choice: Choice, report: Report, log: Log) -> None:
    """The best student becomes a folder of its own, and has to give its test answers again from there; or the prompt of a local
    base, where that has won."""
    best = choice.best_baseline if is_local_prompt(report, choice.best_baseline) else choice.best_student
    row = next((r for r in report.rows if r.id == best), None)
    if row is None:
        return
    model = folder.students / row.id / "model"
    if row.test is None or not model.is_dir():
        return
    inputs = {
        "student": row.id,
        "test": sha_of([r.model_dump(mode="json") for r in candidates.predictions(folder, recipe_of(folder, row.id), "test")]),
    }
    if folder.is_done("deploy", inputs):
        return
    from limbeck.deployment import write_student

    write_student(folder, model, report, row, bench.test, candidates.predictions(folder, recipe_of(folder, row.id), "test"), log)
    folder.mark_done("deploy", inputs, [folder.deploy])


def is_local_prompt(report: Report, recipe_id: str | None) -> bool:
    """Whether the prompt of a base on this machine is what the verdict says to keep."""
    row = next((r for r in report.rows if r.id == recipe_id), None)
    return row is not None and row.group == "prompt" and report.winner == row.recipe and not row.recipe.endswith(f"@{TEACHER}")


def recipe_of(folder: RunFolder, recipe_id: str) -> Recipe:
    found = [Recipe.model_validate(r) for r in json.loads(folder.recipes.read_bytes())["recipes"]]
    return next(r for r in found if r.id == recipe_id)


def must_have_verdict(report: Report, settings: Settings) -> Report:
    """Exit codes of a run that ended: 4 without a verdict, 5 with --require-win where no student won."""
    if report.winner is None:
        reasons = sorted({r.reason for r in report.rows if r.reason})
        if any(r.group == "prompt" and r.state in ("failed", "partial") for r in report.rows):
            raise ProviderError(
                "no verdict: the teacher did not answer, and nothing else could be compared",
                "; ".join(reasons),
                "the same command again resumes",
            )
        if reasons and all(r.reason in ("", candidates.OUT_OF_TIME) for r in report.rows):
            raise CapReached(
                "no verdict: the time was up before a candidate could be scored", reasons[0], "--budget with more time; it resumes"
            )
        raise LimbeckError(
            "no verdict: no candidate could be scored", "; ".join(reasons), "limbeck report, and events.jsonl in the run folder"
        )
    if settings.require_win and report.winner != report.best_student:
        raise NoWinner("no student beat the best baseline (--require-win)", report.verdict, "label more rows, or keep prompting")
    return report
