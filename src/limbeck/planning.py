"""What a run decides and writes down before it works: sizes, candidates with their numbers, the estimate, settings and
versions, threads; and how a teacher is asked."""

from __future__ import annotations

import importlib.util
import json
import platform
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from limbeck import demonstrating, derived, knowing, reasoning, recipes, supply
from limbeck.augment.statements import whole
from limbeck.errors import UsageError
from limbeck.estimate import Estimate, estimate, with_inferences, with_making, with_rationales
from limbeck.log import Log
from limbeck.preflight import Given
from limbeck.probing import Probe, probe
from limbeck.registry import Ask, Teacher
from limbeck.run import RunFolder, write_json
from limbeck.teachers.store import Store
from limbeck.types import Example, Recipe, Splits, Task, Value


@dataclass
class Plan:
    """What is going to be done, and what it may take."""

    task: Task
    sizes: derived.Sizes
    recipes: list[Recipe]
    estimate: Estimate
    probes: dict[str, Probe] = field(default_factory=dict)  # by recipe id


def sizes_of(given: Given, task: Task, splits: Splits, rows: Sequence[Example]) -> tuple[derived.Sizes, list[Example], list[Example]]:
    """(sizes, training rows, the other rows)."""
    by_id = {r.id: r for r in rows}
    train = [by_id[i] for i in splits.train.ids]
    sizes = derived.Sizes(
        train=len(train),
        dev=len(splits.dev.ids),
        test=len(splits.test.ids),
        unlabelled=len(given.unlabelled) if given.teacher else 0,
        labels=len(task.labels),
        chars=sum(len(r.input) for r in train) / max(1, len(train)),
        options=sum(len(r.choices or ()) for r in train) / max(1, len(train)),
        pieces=len(given.knowledge.texts) if given.knowledge else 0,
        statements=len(given.knowledge.statements) if given.knowledge else 0,
    )
    if given.knowledge and not train:
        sizes = replace(sizes, chars=sum(len(text.whole) for text in given.knowledge.texts) / sizes.pieces)
    in_train = set(splits.train.ids)
    return sizes, train, [r for r in rows if r.id not in in_train]


def supply_plan(given: Given, task: Task) -> tuple[Plan, Splits]:
    """Before there are rows: as many as are wanted, as long as the demonstrations are."""
    sizes, train, splits = supply.expected(given, task)
    return make_plan(given, task, sizes, train), splits


def make_plan(
    given: Given,
    task: Task,
    sizes: derived.Sizes,
    train: Sequence[Example],
    asked: Sequence[Example] = (),
    known: Mapping[str, Probe] | None = None,
) -> Plan:
    """asked: the rows of dev and test, and those without a label, which a teacher would be asked about. known: what was measured
    before, by recipe id."""
    teacher = given.teacher
    usual = derived.defaults(task, sizes, teacher is not None, bool(teacher and teacher.recording))
    if given.asks_documents:
        usual = documents_alone(given)
    if given.settings.docs and teacher is not None and not teacher.recording and not given.asks_documents:
        usual.append("prompt+rag:4@teacher")
    wanted = given.wanted or recipes.parse_all([*usual, *given.proposed])
    if sizes.unlabelled and not any(recipes.learns_labels(recipe) for recipe in wanted):
        sizes = replace(sizes, unlabelled=0)
        given.warnings.append(NOBODY_LEARNS)
    demonstrating.check_values(given.settings.overrides)
    planned = [
        demonstrating.with_window(derived.with_values(recipe, task, sizes, given.settings.overrides), given.settings.teacher)
        for recipe in wanted
    ]
    explained = teacher is not None and reasoning.wanted(planned)
    shown = train or (whole(given.knowledge.texts) if given.knowledge else ())
    for place, recipe in enumerate(planned):
        window = given.settings.overrides.get("window")
        planned[place], left_out = demonstrating.trimmed_to_window(
            task, recipe, shown, given.settings.seed, asked, given.settings.teacher, window
        )
        given.warnings += [left_out] if left_out else []
    probes = dict(known or {})

    def probed(recipe: Recipe) -> float | None:
        if recipe.id not in probes and (found := probe(task, recipe, shown, asked, given.settings.seed, given.settings.threads)):
            probes[recipe.id] = found
        return probes[recipe.id].seconds(sizes.dev, sizes.test) if recipe.id in probes else None

    foreseen = estimate(task, planned, sizes, shown, teacher, asked, given.settings.seed, labels=not explained, probed=probed)
    if teacher is not None and explained:
        seen, samples = given.settings.rationales == "seen", given.settings.rationale_samples
        foreseen = with_rationales(foreseen, task, sizes, train, teacher, asked, seen, samples)
    infers = [recipe for recipe in planned if knowing.infers(recipe)]
    if teacher is not None and given.knowledge and infers and knowing.writer_of(given.settings, not teacher.recording) == "teacher":
        scopes = {scope for recipe in infers for scope in knowing.scopes_of(recipe)}
        samples, room = knowing.samples_of(given.settings), knowing.context_of(given.settings)
        foreseen = with_inferences(foreseen, given.knowledge, scopes, samples, room, teacher, given.labeller)
    if teacher is not None and given.makes_rows and not given.supplied:
        n = int(supply.how_many(task, given.settings).value)
        foreseen = with_making(foreseen, task, n, supply.votes_of(given.settings), teacher, [*given.gold, *train], given.labeller)
    return Plan(task, sizes, planned, foreseen, probes)


NOBODY_LEARNS = "the unlabelled rows are not labelled: no candidate trains on them"


def documents_alone(given: Given) -> list[str]:
    """The candidates of a run over documents and questions that names none: retrieval and as much as fits into the prompt, against
    learning the documents plain and with what follows from them. What nobody here can do is left out, and told."""
    able, base = given.teacher is not None and not given.teacher.recording, derived.KNOWER
    names = ["prompt@teacher", "prompt+rag:4@teacher", "prompt+many@teacher"] if able else [f"prompt+rag:4@{base}", f"prompt+many@{base}"]
    if able and "window" not in given.settings.overrides:
        try:
            demonstrating.with_window(
                Recipe(adapter="prompt", context="many", base="teacher", values=(Value(name="window", value=None, why=""),)),
                given.settings.teacher,
            )
        except UsageError:
            names.remove("prompt+many@teacher")
            given.warnings.append("prompt+many@teacher was left out: nobody knows how many tokens the teacher takes (--set window=N)")
    names.append(f"full@{base}")
    if able or given.settings.relations or given.settings.inferences_by:
        names.append(f"full+augment:both@{base}")
    else:
        given.warnings.append(
            f"full+augment:both@{base} was left out: nobody can write what follows from the documents (--teacher, or relations in the "
            "front matter; --inferences-by base lets the base try)"
        )
    return names


def write_settings(folder: RunFolder, given: Given, plan: Plan) -> None:
    examples = folder.facts("examples")
    before = json.loads(folder.settings.read_bytes()) if folder.settings.exists() else {}
    write_json(
        folder.settings,
        {
            **{k: before[k] for k in ("speed", "growth", "test_scored", "tested", "seconds", "rationales", "knowledge") if k in before},
            "settings": given.settings.model_dump(mode="json"),
            "curated": supply.facts(folder)["said"],
            "versions": versions(),
            "sizes": {"train": plan.sizes.train, "dev": plan.sizes.dev, "test": plan.sizes.test, "unlabelled": plan.sizes.unlabelled},
            "warnings": list(dict.fromkeys([*examples.get("warnings", []), *given.warnings])),
            "rejected": dict(Counter(r.reason.partition(":")[0] for r in given.rejected)),
            "probes": {name: found.model_dump() for name, found in plan.probes.items()},
            "machine_usd_per_hour": float(given.settings.overrides.get("machine_usd_per_hour", 0.05)),
        },
    )


def probes_of(folder: RunFolder) -> dict[str, Probe]:
    """What was measured when this run began: a resumed one does not measure again."""
    kept = json.loads(folder.settings.read_bytes()).get("probes", {}) if folder.settings.exists() else {}
    return {name: Probe.model_validate(found) for name, found in kept.items()}


def update_settings(folder: RunFolder, **facts: Any) -> None:
    write_json(folder.settings, {**json.loads(folder.settings.read_bytes()), **facts})


def versions() -> dict[str, str]:
    found = {"limbeck": "", "python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}"}
    for name in ("limbeck", "torch", "transformers", "peft", "scikit-learn", "openai", "pydantic"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def keep_embeddings(folder: RunFolder, given: Given) -> None:
    """From here on: a resumed run reads the vectors that it read before. One thread, until `settle_speed` has measured: two
    on a machine that others use too are slower than one."""
    if importlib.util.find_spec("torch") is not None:
        from limbeck.engine.device import set_threads
        from limbeck.engine.embed import remember

        set_threads(given.settings.threads or 1)
        remember(folder.path / "2-index" / "embeddings")


def settle_speed(folder: RunFolder, given: Given, log: Log) -> dict[str, Any]:
    """Threads and precision, measured once and kept: a resumed run computes as it began. {} without the train extra."""
    if importlib.util.find_spec("torch") is None:
        return {}
    from limbeck.engine.device import measure

    kept = json.loads(folder.settings.read_bytes()).get("speed")
    if kept and given.settings.threads in (None, kept["threads"]):
        return dict(kept)

    speed = asdict(measure(given.settings.threads))
    log.event("speed", **speed)
    update_settings(folder, speed=speed)
    return speed


def asker(store: Store, teacher: Teacher, log: Log, deadline: float | None) -> Any:
    """purpose -> Ask: the teacher behind the store."""

    def for_purpose(purpose: str) -> Ask:
        def ask(requests: Any) -> Any:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            return store.ask(
                teacher,
                requests,
                purpose=purpose,
                note=lambda d, t, what: log.progress(purpose, d, t, what.removeprefix(f"{purpose}, ")),
                deadline_s=left,
            )

        return ask

    return for_purpose
