"""Why each training row's answer is its answer: which candidates need to know, who says it, and how the run remembers it.

training rows --> a person's rationale: taken as it is
              +-> none: the teacher is asked (augment.rationales), blind or seen --> 2-rationales.jsonl, 2-rationales-rejected.jsonl
unlabelled    --> label and rationale from one completion ------------------------> 2-labelled.jsonl"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from limbeck import registry, render, render_reasons
from limbeck.augment.exemplars import Shots, find_shots
from limbeck.augment.rationales import Agrees, Extracted, Rationale, disagreeing, extract
from limbeck.making import Made
from limbeck.preflight import Given
from limbeck.registry import Ask, Metric
from limbeck.run import RunFolder, read_lines, write_lines
from limbeck.types import Example, Kind, Prediction, Recipe, Settings, Task, Value, sha_of

SAME = 0.5  # a free answer says what the label says where the task's metric is at least this (right-or-wrong ones give 0 or 1)
NEAR = 0.1  # of the range: a score that near agrees
EXAMPLES = 2  # of each reason, for the report


def learns(recipe: Recipe) -> bool:
    """Does its loss look at rationales, where there are some?"""
    name = recipe.objective.partition(":")[0]
    return bool(name) and bool(registry.take("objectives", name).rationales)


def needs(recipe: Recipe) -> bool:
    """Is it worth asking a teacher for them?"""
    name, _, form = recipe.objective.partition(":")
    return learns(recipe) and form not in registry.take("objectives", name).without


def wanted(recipes: Sequence[Recipe]) -> bool:
    return any(needs(recipe) for recipe in recipes)


def keep_rule(settings: Settings) -> str:
    """agreeing | all: whether rationales that argue for another answer than the label are dropped."""
    return str(settings.overrides.get("keep_rationales", "agreeing"))


def files(folder: RunFolder) -> tuple[Path, Path, Path]:
    """(kept, rejected, what was said about rows that got their label with it)."""
    names = ("2-rationales.jsonl", "2-rationales-rejected.jsonl", "2-labelled-rationales.jsonl")
    return folder.path / names[0], folder.path / names[1], folder.path / names[2]


def inputs(given: Given, task: Task, rows: Sequence[Example]) -> dict[str, Any]:
    """What the rationales of these rows depend on."""
    settings = given.settings
    return {
        "rows": sha_of([(r.id, r.input, r.output, r.choices, r.rationale) for r in rows]),
        "task": task.sha(),
        "teacher": given.teacher.fingerprint if given.teacher else "",
        "rationales": settings.rationales,
        "samples": settings.rationale_samples,
        "keep": keep_rule(settings),
        "seed": settings.seed,
        "render": [render.VERSION, render_reasons.VERSION],
    }


def unexplained(groups: Iterable[Sequence[Example]]) -> list[Example]:
    """The rows of all candidates that learn from rationales, each once, that have a label and no rationale yet. A row that
    the teacher labelled had its chance: label and rationale come from one completion."""
    every = {row.id: row for group in groups for row in group}
    return [r for r in every.values() if not r.rationale and r.output is not None and not by_reasons(r)]


def by_reasons(row: Example) -> bool:
    return (row.origin.template or "").startswith("reasons.")


# ---- asking --------------------------------------------------------------------------------------------------------


def shots(given: Given, task: Task, train: Sequence[Example], ask: Ask) -> Shots:
    """Of training rows alone. A recording answers the same whatever stands in the prompt: it is shown none."""
    assert given.teacher is not None
    if given.teacher.recording:
        return Shots(())
    seen = given.settings.rationales == "seen"
    return find_shots(task, train, ask, agrees=agreement(task), seen=seen, price=given.teacher.price, seed=given.settings.seed)


def explain_rows(given: Given, task: Task, train: Sequence[Example], rows: Sequence[Example], ask: Ask) -> Extracted:
    """A rationale for each of `rows`, which are training rows; what was said for the demonstrations is used, not asked again."""
    settings, teacher = given.settings, given.teacher
    assert teacher is not None
    first = shots(given, task, train, ask)
    have = {r.id: r for r in first.found.kept} if first.found else {}
    found = extract(
        task,
        [r for r in rows if r.id not in have],
        ask,
        first.rows,
        agrees=agreement(task),
        seen=settings.rationales == "seen",
        samples=settings.rationale_samples,
        keep=keep_rule(settings),
        price=teacher.price,
        seed=settings.seed,
    )
    ids = {r.id for r in rows}
    kept = (*(r for r in have.values() if r.id in ids), *found.kept)
    counts = dict(Counter(found.counts) + Counter({"kept": len(kept) - len(found.kept)}))
    cost_usd = found.cost_usd + (first.found.cost_usd if first.found else 0.0)
    return Extracted(kept, found.dropped, counts | shown(first), (shown_text(first), *found.said), cost_usd)


def shown(first: Shots) -> dict[str, int]:
    return {"shots.person": first.by_person, "shots.teacher": len(first.rows) - first.by_person}


def shown_text(first: Shots) -> str:
    if not first.rows:
        return "the teacher was asked for reasons without demonstrations"
    return f"the teacher was shown {len(first.rows)} worked rows, {first.by_person} with a person's rationale"


def label_rows(
    folder: RunFolder, given: Given, task: Task, train: Sequence[Example], rows: Sequence[Example], ask: Ask, votes: int
) -> Made:
    """Unlabelled rows with the teacher's answer, and its rationale where that passes the checks; what was said of each is kept."""
    assert given.teacher is not None
    first = shots(given, task, train, ask)
    price, seed, samples = given.teacher.price, given.settings.seed, max(votes, given.settings.rationale_samples)
    found = extract(task, rows, ask, first.rows, agrees=agreement(task), samples=samples, price=price, seed=seed)
    write_lines(files(folder)[2], [*found.kept, *found.dropped])
    by_id = {r.id: r for r in (*found.kept, *found.dropped)}
    labelled = [labelled_with(row, by_id[row.id]) for row in rows if by_id[row.id].answer]
    unanswered = [(row, by_id[row.id].why) for row in rows if not by_id[row.id].answer]
    return Made(tuple(labelled), tuple(unanswered), found.counts, (shown_text(first), *found.said), found.cost_usd)


def labelled_with(row: Example, one: Rationale) -> Example:
    origin = one.origin.model_copy(update={"source": row.origin.source, "row": row.origin.row})
    why = one.rationale if not one.why else None
    return row.model_copy(update={"output": one.answer, "rationale": why, "confidence": one.agreement, "origin": origin})


def agreement(task: Task) -> Agrees:
    """(row with its label, another answer) -> do they say the same? Closed answers to the letter, fields as JSON, scores within a
    tenth of the range, free text by the task's own metric."""
    metric: Metric | None = registry.take("metrics", task.metric) if task.kind is Kind.TEXT and task.metric else None
    row_metric = (metric.row if metric else None) or registry.take("metrics", "token_f1").row

    def agrees(row: Example, answer: str) -> bool:
        label = row.output or ""
        if label == answer:
            return True
        if task.kind is Kind.FIELDS:
            return render.find_json(label) == render.find_json(answer)
        if task.kind is Kind.SCORE:
            span = task.high - task.low if task.high is not None and task.low is not None else abs(float(label))
            return abs(float(label) - float(answer)) <= NEAR * span + 1e-9
        if task.kind is Kind.TEXT:
            value = row_metric(task, row, Prediction(id=row.id, text=answer))
            return value is not None and value >= SAME
        return False

    return agrees


# ---- what the run remembers ----------------------------------------------------------------------------------------


def write(folder: RunFolder, found: Extracted) -> None:
    kept, rejected, _ = files(folder)
    write_lines(kept, found.kept)
    write_lines(rejected, found.dropped)


def forget(folder: RunFolder) -> None:
    """Nobody was asked this time."""
    for path in files(folder)[:2]:
        folder.clear(path)
    folder.forget("rationales")


def forget_labels(folder: RunFolder) -> None:
    folder.clear(files(folder)[2])


def read(folder: RunFolder) -> tuple[list[Rationale], list[Rationale]]:
    """(kept, rejected), both [] where nobody was asked."""
    kept, rejected, _ = files(folder)
    return (read_lines(kept, Rationale), read_lines(rejected, Rationale)) if kept.exists() else ([], [])


def with_rationales(rows: Sequence[Example], bought: dict[str, str]) -> list[Example]:
    """A person's stays; rows for which the teacher had none stay without."""
    return [r if r.rationale or r.id not in bought else r.model_copy(update={"rationale": bought[r.id]}) for r in rows]


def measured(rows: Sequence[Example]) -> Value:
    """For the candidate's numbers: how many of its training rows had a rationale."""
    n = sum(bool(row.rationale) for row in rows)
    why = f"of {len(rows)} training rows; the others teach the label alone"
    return Value(name="rationales", value=n, why=why)


def none_of_them(teacher: bool) -> str:
    """Why a candidate that learns from rationales is skipped, and what to type."""
    if teacher:
        return "no training row has a rationale: none of the teacher's could be used (2-rationales-rejected.jsonl says why)"
    return "no training row has a rationale, and there is no teacher to write them: --teacher SPEC, or a column 'rationale' in the rows"


def summary(given: Given, task: Task, folder: RunFolder, rows: Sequence[Example], said: Sequence[str], complete: bool) -> dict[str, Any]:
    """For the report. rows: of training, with their rationales. human, teacher, none: how many; by_teacher_label: of the teacher's,
    those whose label came with it. dropped: {reason: n}. disagree of judged: the teacher's own answer is not the label."""
    kept, rejected = read(folder)
    path = files(folder)[2]
    with_label = read_lines(path, Rationale) if path.exists() else []
    bought = {r.id for r in (*kept, *with_label) if not r.why}
    dropped = [r for r in (*rejected, *with_label) if r.why]
    wrong, judged = disagreeing([*kept, *rejected], agreement(task))
    costs = [r.origin.cost_usd for r in (*kept, *rejected, *with_label) if r.origin.cost_usd is not None]
    return {
        "rows": len(rows),
        "human": sum(bool(r.rationale) and r.id not in bought for r in rows),
        "teacher": sum(bool(r.rationale) and r.id in bought for r in rows),
        "by_teacher_label": sum(not r.why for r in with_label),
        "none": sum(not r.rationale for r in rows),
        "asked": given.settings.rationales,
        "samples": given.settings.rationale_samples,
        "keep": keep_rule(given.settings),
        "dropped": dict(Counter(reason(r) for r in dropped).most_common()),
        "disagree": wrong,
        "judged": judged,
        "examples": examples(dropped),
        "usd": sum(costs) if costs else None,
        "said": list(said),
        "complete": complete,
    }


def warnings(facts: dict[str, Any]) -> list[str]:
    """What a reader of the report has to know about the rationales (of `summary`)."""
    if not facts:
        return []
    n, rows = facts["human"] + facts["teacher"], facts["rows"]
    found = []
    if not facts["complete"]:
        found.append(f"rationales are there for {n} of {rows} training rows: money, time or the provider ended; the same command goes on")
    if facts["asked"] == "seen" and facts["teacher"]:
        found.append("the teacher was shown the labels when it was asked for rationales: they may justify a label instead of leading to it")
    return found


def reason(one: Rationale) -> str:
    return one.why.partition(":")[0]


def examples(dropped: Sequence[Rationale]) -> list[dict[str, str]]:
    groups: dict[str, list[Rationale]] = defaultdict(list)
    for one in dropped:
        if len(groups[reason(one)]) < EXAMPLES and one.rationale:
            groups[reason(one)].append(one)
    return [
        {"why": one.why, "id": one.id, "label": one.label or "", "answer": one.answer, "rationale": one.rationale[:300]}
        for group in groups.values()
        for one in group
    ]


def sources_of(folder: RunFolder) -> dict[str, Rationale]:
    """{row id: what the teacher was heard to say}, for `limbeck explain`."""
    kept, rejected = read(folder)
    path = files(folder)[2]
    return {r.id: r for r in (*(read_lines(path, Rationale) if path.exists() else ()), *kept, *rejected)}
