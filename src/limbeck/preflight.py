"""Before anything is spent: read and check all that the user gave, cut the rows, guard test against leaks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limbeck import recipes, registry, render
from limbeck.curate.leak import remove_leaks
from limbeck.curate.split import make_splits, split_of
from limbeck.errors import MissingError, UsageError
from limbeck.registry import Teacher
from limbeck.sources.files import Rejected, read_rows
from limbeck.tasks import parse
from limbeck.teachers import open_teacher
from limbeck.types import Example, Kind, Recipe, Settings, Splits, Status, Task, sha_of


@dataclass
class Given:
    """What the user gave, read and checked before anything is spent."""

    settings: Settings
    prompt: str
    gold: list[Example]
    dev: list[Example] | None
    test: list[Example] | None
    unlabelled: list[Example]
    rejected: list[Rejected]
    warnings: list[str]
    teacher: Teacher | None
    wanted: list[Recipe] = field(default_factory=list)


def preflight(settings: Settings, prompt: str) -> Given:
    """Read and check all that was given: a mistake in any of it costs nothing."""
    if not prompt.strip():
        raise UsageError(
            f"{settings.prompt} is empty", "a prompt file holds what you send to an LLM today", "write the instruction into it"
        )
    wanted = recipes.parse_all(settings.candidates)
    if unknown := set(settings.overrides) - recipes.known_values():
        name = sorted(unknown)[0]
        raise UsageError(
            f"--set {name}: there is no such number", registry.near(name, sorted(recipes.known_values())), "limbeck info recipes"
        )
    warnings: list[str] = []
    rejected: list[Rejected] = []

    def rows_of(paths: Sequence[str], labelled: bool) -> list[Example]:
        found: list[Example] = []
        for path in paths:
            rows, bad = read_rows(Path(path), settings.columns, warnings.append, need_output=labelled)
            found += rows
            rejected.extend(bad)
        return found

    gold = rows_of(settings.rows, True)
    dev = rows_of([settings.dev], True) if settings.dev else None
    test = rows_of([settings.test], True) if settings.test else None
    unlabelled = rows_of([settings.unlabelled], False) if settings.unlabelled else []
    unlabelled = [r.model_copy(update={"output": None, "origin": r.origin.model_copy(update={"kind": "unlabelled"})}) for r in unlabelled]
    if not gold:
        raise MissingError(
            "there are no rows, and making rows from the prompt alone is not part of this version",
            "a run needs labelled rows: --rows FILE with columns input and output",
            f"limbeck run {settings.prompt} --rows rows.csv",
        )
    gold, dev, test, unlabelled = own_ids(gold, dev, test, unlabelled)
    teacher = open_the_teacher(settings)
    if teacher is None and any(r.adapter == "prompt" for r in wanted):
        raise UsageError(
            "a candidate asks a teacher, and there is none", ", ".join(settings.candidates), "--teacher http://host:port/v1#model"
        )
    return Given(settings, prompt, gold, dev, test, unlabelled, rejected, warnings, teacher, wanted)


def open_the_teacher(settings: Settings) -> Teacher | None:
    if settings.teacher is None:
        return None
    teacher = open_teacher(settings.teacher, settings.price)
    if teacher.remote and teacher.price is None:
        raise UsageError(
            f"the price of {teacher.model!r} is not known, so a budget of ${settings.budget_usd:g} cannot be kept",
            "no call was made",
            "--price IN/OUT in USD per million tokens, for example --price 0.15/0.60, or --price 0/0 if it is yours",
        )
    return teacher


def own_ids(*groups: list[Example] | None) -> list[Any]:
    """Ids stay as given unless two files share one: then the later row carries its file's name too."""
    seen: set[str] = set()
    result: list[Any] = []
    for group in groups:
        if group is None:
            result.append(None)
            continue
        fresh = []
        for row in group:
            name = row.id if row.id not in seen else f"{row.origin.source}:{row.origin.row}:{row.id}"
            seen.add(name)
            fresh.append(row if name == row.id else row.model_copy(update={"id": name}))
        result.append(fresh)
    return result


def task_name(file: Path) -> str:
    """The prompt file's own name; its folder's, where the file is only called prompt."""
    return file.absolute().parent.name if file.stem.lower() in ("prompt", "readme", "task") else file.stem


def by_rules(given: Given) -> Task:
    return parse.parse(given.prompt, task_name(Path(given.settings.prompt)), [*given.gold, *(given.test or [])], given.settings.kind)


def rows_sha(given: Given) -> str:
    groups = (given.gold, given.dev or [], given.test or [], given.unlabelled)
    return sha_of([[(r.id, r.input, r.output, r.choices, r.rationale) for r in group] for group in groups])


def cut(given: Given, task: Task) -> tuple[Given, Splits, list[Example]]:
    """(given with leaks taken out, splits, every row of train, dev, test and unlabelled)."""
    gold, dev, test = (None if g is None else spelled(task, g, given) for g in (given.gold, given.dev, given.test))
    splits, train, dev, test = make_splits(task, gold or [], dev, test, given.settings.seed)
    others = {"train": train, "dev": dev, "unlabelled": given.unlabelled}
    shown = [Example(id=f"demonstration-{i}", input=d.input, output=d.output) for i, d in enumerate(task.demonstrations)]
    kept, gone, _ = remove_leaks(test, {**others, "demonstrations": shown})
    if any(gone[where] for where in others):
        given.warnings.append(
            "taken out because a test row says the same: "
            + ", ".join(f"{n} of {where}" for where, n in gone.items() if n and where in others)
        )
    if gone["demonstrations"]:
        given.warnings.append(
            f"{gone['demonstrations']} demonstrations in the prompt are test rows too: what a prompt scores on those is not its merit"
        )
    given.unlabelled = kept["unlabelled"]
    splits = splits.model_copy(update={"train": split_of(kept["train"]), "dev": split_of(kept["dev"])})
    unseen = {r.output for r in test} - {r.output for r in kept["train"]} if task.kind is Kind.LABEL else set()
    if unseen:
        n = sum(r.output in unseen for r in test)
        given.warnings.append(
            f"{n} test rows have a label that training lacks ({', '.join(sorted(str(u) for u in unseen)[:5])}): students get them wrong"
        )
    return given, splits, [*kept["train"], *kept["dev"], *test, *given.unlabelled]


def spelled(task: Task, rows: Sequence[Example], given: Given) -> list[Example]:
    """Gold answers in the task's own spelling; one that is no possible answer is put aside with its reason."""
    kept, bad = [], []
    for row in rows:
        text, status = render.canonical(task, row, row.output or "")
        if status is Status.OK:
            kept.append(row.model_copy(update={"output": text}))
        else:
            bad.append(
                Rejected(
                    source=row.origin.source,
                    row=row.origin.row or 0,
                    reason="its output is no possible answer",
                    text=(row.output or "")[:200],
                )
            )
    if bad:
        given.rejected.extend(bad)
        given.warnings.append(
            f"{len(bad)} rows were put aside, their output is no possible answer; the first: {bad[0].source} row {bad[0].row}"
        )
    return kept
