"""The choice on dev, the scores on test, the verdict. Reads the run folder alone: no model, no teacher.

Every number comes from a stored prediction (4-predictions) or a stored measurement (4-students/<id>/*.json)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from limbeck import controls, flops, indexing, provenance, reasoning, registry, repairing, stats, structuring, synthetic
from limbeck.candidates import UNANSWERED, Record, predictions
from limbeck.engine.load import family_of_name
from limbeck.engine.named import parameters_of_name
from limbeck.human import every_row, human_answers
from limbeck.registry import Metric
from limbeck.run import RunFolder, read_json, read_lines
from limbeck.scoring import STOP_RATE, chance_level, figure, findings, scores, statistic, stop_rate, versus
from limbeck.types import Example, Kind, Prediction, Recipe, Report, Row, Score, Splits, Status, Task
from limbeck.verdict import MARGIN, RULE, Choice, decide, with_break_even

FOR_ROWS = ("retrieve", "generate", "label", "rationales")  # purposes in the ledger: what rows and labels have cost
FOR_INFERENCES = ("inferences", "opinions")  # what augment:* has cost
FURTHER = {
    Kind.LABEL: ("macro_f1",),
    Kind.CHOICE: (),
    Kind.SCORE: ("pearson", "mae"),
    Kind.TEXT: ("exact_match", "rouge_l"),
    Kind.FIELDS: ("fields_exact",),
}


def build_report(folder: RunFolder) -> Report:
    """Everything that the pages show, from the run folder alone."""
    run = json.loads(folder.settings.read_bytes())
    task = read_json(folder.task, Task)
    splits = read_json(folder.splits, Splits)
    every = {row.id: row for row in read_lines(folder.rows, Example)}
    dev, test = [every[i] for i in splits.dev.ids], [every[i] for i in splits.test.ids]
    choice = Choice.model_validate(folder.facts("choice").get("choice", {}))
    seed = int(run["settings"]["seed"])
    recipes = [Recipe.model_validate(r) for r in json.loads(folder.recipes.read_bytes())["recipes"]]

    dev_records = [r for recipe in recipes if (r := record_of(folder, recipe, "dev"))]
    test_records = {r.recipe.id: r for recipe in recipes if (r := record_of(folder, recipe, "test"))}
    dev_answers = {r.recipe.id: predictions(folder, r.recipe, "dev") for r in dev_records}
    test_answers = {i: p for i, r in test_records.items() if len(p := predictions(folder, r.recipe, "test")) == len(test) and answered(p)}
    for recipe_id, found in test_answers.items():
        assert [p.id for p in found] == list(splits.test.ids), f"predictions of {recipe_id} do not fit the frozen test split"

    whole = {i: p for i, p in dev_answers.items() if len(p) == len(dev) and answered(p)}
    dev_scores = scores(task.metric, task, dev, whole, seed) if dev else {}
    test_scores = scores(task.metric, task, test, test_answers, seed)
    more = {name: scores(name, task, test, test_answers, seed) for name in FURTHER[task.kind]}
    more[STOP_RATE] = {i: score for i, found in test_answers.items() if (score := stop_rate(task, found))}
    machine = float(run.get("machine_usd_per_hour", 0.05))
    names = {r.id: r.text for r in recipes}
    rows = [
        row_of(
            task,
            r,
            test_records.get(r.recipe.id),
            dev_scores,
            test_scores,
            more,
            test,
            dev,
            test_answers,
            dev_answers,
            choice,
            machine,
            seed,
            names,
        )
        for r in dev_records
    ]
    ledger = read_ledger(folder)
    paid = bought(ledger, FOR_ROWS, rows)
    lower = registry.take("metrics", task.metric).lower_is_better
    inferred = bought(ledger, FOR_INFERENCES, rows)
    rows = [with_break_even(row, rows, paid, machine, lower, inferred) for row in rows]
    shown = prompt_shown(rows, task, dev_records)
    verdict, advice, winner = decide(rows, choice, len(test))
    if missing := [r for r in rows if r.group == "prompt" and r.state in ("partial", "failed")]:
        verdict += f" Not compared: {', '.join(f'{r.recipe} ({r.reason})' for r in missing)}."
    best = choice.best_student
    known = every_row(folder)
    came = provenance.sources([row for row in known.values() if row.output is not None])
    human = human_answers(folder)
    where = {i: name for name in ("train", "dev", "test") for i in getattr(splits, name).ids}
    asked = [(i, names[i]) for i in (best, best_prompt(rows, task)) if i in test_answers]
    gaps = synthetic.gaps(task.metric, lambda some, found: statistic(task, some, found), test, test_answers, asked, human, seed)
    verdict += synthetic.sentence(test, gaps, human)
    said = findings(task, [r.recipe for r in dev_records if r.state == "ok"], dev, dev_answers)
    verdict += "".join(f" {controls.advice(recipe, said[recipe.id], task.metric)}" for recipe in recipes if recipe.id in said)
    warnings = [
        *run.get("warnings", []),
        *cut_warnings([*dev_records, *test_records.values()], [dev_answers, test_answers]),
        *status_warnings(rows),
        *deaf_warnings(rows, test_answers, str(run["settings"].get("teacher") or "").startswith("recorded:")),
        *provenance.licence_warnings(came),
        *reasoning.warnings(run.get("rationales", {})),
        *indexing.warnings(run.get("retrieval", {})),
        *repairing.warnings(run.get("knowledge", {})),
    ]
    return Report(
        task=task,
        settings=run["settings"],
        versions=run["versions"],
        sizes=run["sizes"],
        split_how=splits.how,
        origins=dict(Counter(r.origin.kind for r in every.values() if r.output is not None) + Counter(run.get("labelled_origins", {}))),
        rejected=run.get("rejected", {}),
        warnings=tuple(dict.fromkeys(warnings)),
        rows=tuple(rows),
        chance=chance_level(task, test),
        best_baseline=name_of(rows, choice.best_baseline),
        best_student=name_of(rows, best),
        winner=name_of(rows, winner),
        verdict=verdict,
        advice=advice,
        rule=RULE.format(metric=task.metric, margin=MARGIN),
        partial=any(r.state in ("partial", "failed") or "budget" in r.reason for r in rows),
        ledger=ledger,
        confusion=confusion(task, test, test_answers[best]) if best in test_answers else (),
        errors=worth_reading(task, test, test_answers, rows, best),
        growth=tuple(run.get("growth", [])),
        not_deterministic=tuple(dict.fromkeys(r.not_deterministic for r in test_records.values() if r.not_deterministic)),
        test_scored=int(run.get("test_scored", 1)),
        seconds=run.get("seconds", {}),
        test_origins=dict(sorted(Counter(r.origin.kind for r in test).items())),
        synthetic_test=len(synthetic.unseen(test, human)),
        gaps=gaps,
        human=synthetic.summary(known, test, human),
        worth_labelling=synthetic.worth_labelling(known, where, [dev_answers, test_answers], best, human),
        sources=came,
        curated=tuple(run.get("curated", ())),
        retrieval=run.get("retrieval", {}),
        prompting=structuring.summary(task, shown.recipe, shown.prompt) if shown else {},
        rationales=run.get("rationales", {}),
        knowledge=with_complement(run.get("knowledge", {}), task, test, {names[i]: found for i, found in test_answers.items()}),
    )


def with_complement(facts: dict[str, Any], task: Task, test: Sequence[Example], answers: dict[str, list[Prediction]]) -> dict[str, Any]:
    """What was learnt of the documents, with every candidate's figure on the test questions that no inference says word for word."""
    literal = set(facts.get("literal", ()))
    rest = [place for place, row in enumerate(test) if row.id not in literal]
    if not literal or not rest:
        return facts
    metric: Metric = registry.take("metrics", task.metric)
    values = {name: figure(metric, task, [test[i] for i in rest], [found[i] for i in rest]) for name, found in answers.items()}
    return {**facts, "complement": {"n": len(rest), "scores": {name: value for name, value in values.items() if value is not None}}}


def answered(found: Sequence[Prediction]) -> bool:
    """Whether the candidate was asked at all: where money or the provider gave out before its first row, nothing is known of it."""
    return not found or any(p.status is not Status.ERROR or p.detail.partition(":")[0] not in UNANSWERED for p in found)


def record_of(folder: RunFolder, recipe: Recipe, split: str) -> Record | None:
    path = folder.students / recipe.id / f"{split}.json"
    return read_json(path, Record) if path.exists() else None


def best_prompt(rows: Sequence[Row], task: Task) -> str | None:
    """The prompt that is best on dev; on a tie the one named first."""
    sign = -1 if registry.take("metrics", task.metric).lower_is_better else 1
    prompts = [r for r in rows if r.group == "prompt" and r.state == "ok" and r.dev is not None and r.dev.value is not None]
    return max(prompts, key=lambda r: sign * (r.dev.value or 0.0) if r.dev else 0.0).id if prompts else None


def prompt_shown(rows: Sequence[Row], task: Task, records: Sequence[Record]) -> Record | None:
    """Whose text the report shows: the prompt that is best on dev, else the first that was sent."""
    best = best_prompt(rows, task)
    return max((r for r in records if r.prompt), key=lambda r: r.recipe.id == best, default=None)


def name_of(rows: Sequence[Row], recipe_id: str | None) -> str | None:
    return next((r.recipe for r in rows if r.id == recipe_id), None)


def row_of(
    task: Task,
    before: Record,
    after: Record | None,
    dev_scores: dict[str, Score],
    test_scores: dict[str, Score],
    more: dict[str, dict[str, Score]],
    test: Sequence[Example],
    dev: Sequence[Example],
    test_answers: dict[str, list[Prediction]],
    dev_answers: dict[str, list[Prediction]],
    choice: Choice,
    machine: float,
    seed: int,
    names: dict[str, str],
) -> Row:
    key = before.recipe.id
    record = after or before
    mine = test_answers.get(key, [])
    p50 = stats.percentile(record.single_ms, 50) if record.single_ms else None
    per_call = cost_per_call(record, mine, p50, machine)
    rival = choice.best_baseline
    graded, sure = confident(task, test, mine)
    dev_graded, dev_sure = confident(task, dev, dev_answers.get(key, []))
    return Row(
        recipe=before.recipe.text,
        id=key,
        group=record.group,
        state=record.state,
        reason=record.reason,
        fitted_on=record.fitted_on,
        dev=dev_scores.get(key),
        test=test_scores.get(key),
        more=tuple(found[key] for found in more.values() if key in found),
        versus=versus(task, test, mine, test_answers[rival], names[rival], seed)
        if mine and rival in test_answers and rival != key
        else None,
        statuses=dict(Counter(str(p.status) for p in mine)),
        latency_p50_ms=p50,
        latency_p95_ms=stats.percentile(record.single_ms, 95) if record.single_ms else None,
        throughput_rows_s=record.throughput_rows_s,
        usd_per_1000=None if per_call is None else 1000 * per_call,
        tokens_in_per_call=mean_of(p.tokens_in for p in mine),
        tokens_out_per_call=mean_of(p.tokens_out for p in mine),
        tokens_cached_per_call=mean_of(p.tokens_cached for p in mine) or None,
        flops_per_call=flops_per_call(record.recipe, mine),
        size_mb=record.size_mb or None,
        trainable_parameters=record.trainable_parameters,
        train_s=record.train_s,
        peak_memory_mb=record.peak_memory_mb,
        ece=stats.ece(sure, graded)[0] if sure else None,
        calibration=tuple(stats.ece(sure, graded)[1]) if sure else (),
        thresholds=tuple(stats.threshold_curve(dev_sure, dev_graded)) if dev_sure else (),
        history=before.history,
        values=(*before.recipe.values, *before.measured),
    )


def confident(task: Task, rows: Sequence[Example], found: Sequence[Prediction]) -> tuple[list[bool], list[float]]:
    """(right or wrong, confidence) of the rows whose prediction carries a confidence; closed answers only."""
    if task.kind not in (Kind.LABEL, Kind.CHOICE) or len(found) != len(rows):
        return [], []
    pairs = [
        (p.status is Status.OK and p.text == r.output, p.confidence) for r, p in zip(rows, found, strict=True) if p.confidence is not None
    ]
    return [right for right, _ in pairs], [float(c) for _, c in pairs]


def cost_per_call(record: Record, found: Sequence[Prediction], p50_ms: float | None, machine: float) -> float | None:
    """USD: what the provider bills, or what the machine is worth while it answers one call."""
    if record.recipe.asks_teacher:
        billed = [p.cost_usd for p in found if p.cost_usd is not None]
        return sum(billed) / len(billed) if billed else None
    return None if p50_ms is None else p50_ms / 1000 / 3600 * machine


def flops_per_call(recipe: Recipe, found: Sequence[Prediction]) -> float | None:
    """Of the base's own weights, over the tokens that were read and written for a test row; None where either is not known."""
    tokens = [p.tokens_in + (p.tokens_out or 0) for p in found if p.tokens_in]
    parameters = parameters_of_name(recipe.base) if recipe.base and not recipe.asks_teacher else None
    if not tokens or not parameters:
        return None
    return flops.per_call(parameters, sum(tokens) / len(tokens), family_of_name(recipe.base))


def bought(ledger: Mapping[str, Any], purposes: Sequence[str], rows: Sequence[Row]) -> float:
    """USD of what a student learns from. The replies of a recording cost nothing to play again; they are worth what the prompt costs
    in the same table, or students would be paid back by labels that somebody else paid for."""
    usd = 0.0
    per_call = next((row.usd_per_1000 / 1000 for row in rows if row.recipe == "prompt@teacher" and row.usd_per_1000), 0.0)
    for purpose in purposes:
        facts = ledger.get("by_purpose", {}).get(purpose, {})
        usd += facts.get("spent_usd", 0.0) or per_call * facts.get("replies", 0)
    return usd


def mean_of(numbers: Iterable[int | None]) -> float | None:
    found = [n for n in numbers if n is not None]
    return sum(found) / len(found) if found else None


def deaf_warnings(rows: Sequence[Row], answers: Mapping[str, Sequence[Prediction]], recorded: bool = False) -> list[str]:
    """Prompted candidates that were shown different things and got the same replies, word for word, on every row. recorded: of
    a recording this is so by itself, however few the rows are."""
    least = 1 if recorded else LEAST_ALIKE
    said: dict[tuple[str, ...], list[str]] = {}
    for row in rows:
        if row.group == "prompt" and len(found := answers.get(row.id, ())) >= least:
            said.setdefault(tuple(f"{p.status} {p.detail or p.text}" for p in found), []).append(row.recipe)
    return [DEAF.format(names=", ".join(names), n=len(key)) for key, names in said.items() if len(names) > 1]


LEAST_ALIKE = 20  # rows; a few short answers may well be the same
DEAF = (
    "{names} got the same replies, word for word, on all {n} test rows: what was shown changed nothing (a recording answers alike "
    "whatever it is shown). Between these rows the table compares costs, not contexts"
)


def cut_warnings(records: Sequence[Record], answers: Sequence[dict[str, list[Prediction]]]) -> list[str]:
    """Rows that are longer than a student reads."""
    train = max((r.truncated for r in records), default=0)
    asked = {p.id for part in answers for found in part.values() for p in found if p.detail.startswith("input cut")}
    parts = [f"{n} {where}" for n, where in ((train, "training rows"), (len(asked), "dev and test rows")) if n]
    return [f"longer than a student reads, and cut: {' and '.join(parts)}"] if parts else []


def status_warnings(rows: Sequence[Row]) -> list[str]:
    found = []
    for row in rows:
        bad = {k: n for k, n in row.statuses.items() if k != "ok"}
        if bad and row.state == "ok":
            found.append(
                f"{row.recipe}: {', '.join(f'{n} {k}' for k, n in sorted(bad.items()))} of {sum(row.statuses.values())} answers count as wrong"
            )
    return found


def confusion(task: Task, test: Sequence[Example], found: Sequence[Prediction]) -> tuple[dict[str, Any], ...]:
    if task.kind is not Kind.LABEL:
        return ()
    counts = Counter((r.output, p.text if p.status is Status.OK else f"({p.status})") for r, p in zip(test, found, strict=True))
    return tuple({"gold": g, "predicted": p, "n": n} for (g, p), n in sorted(counts.items(), key=lambda item: (-item[1], str(item[0]))))


def worth_reading(
    task: Task, test: Sequence[Example], answers: dict[str, list[Prediction]], rows: Sequence[Row], best: str | None
) -> tuple[dict[str, Any], ...]:
    """Test rows that the best student got wrong, the surest first: what each candidate said."""
    if best not in answers:
        return ()
    metric: Metric = registry.take("metrics", task.metric)
    names = {r.id: r.recipe for r in rows}

    def wrongness(i: int) -> float:
        p, row = answers[best][i], test[i]
        if task.kind is Kind.SCORE:
            return abs(float(p.text) - float(row.output or 0)) if p.status is Status.OK else 1e9
        value = metric.row(task, row, p) if metric.row else None
        return (1 - value) * (p.confidence or 0.5) if value is not None and value < 1 else 0.0

    order = sorted(range(len(test)), key=lambda i: (-wrongness(i), test[i].id))[:20]
    return tuple(
        {
            "id": test[i].id,
            "input": test[i].input[:600],
            "gold": test[i].output,
            "answers": {names[k]: (found[i].text or f"({found[i].status})") for k, found in answers.items() if k in names},
            "confidence": answers[best][i].confidence,
        }
        for i in order
        if wrongness(i) > 0
    )


def read_ledger(folder: RunFolder) -> dict[str, Any]:
    if not folder.store.exists():
        return {"spent_usd": 0.0, "replies": 0}
    from limbeck.teachers.store import Store

    store = Store(folder.store, cap_usd=0.0)
    try:
        return store.ledger()
    finally:
        store.close()
