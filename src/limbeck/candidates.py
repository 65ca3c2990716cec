"""One recipe -> fitted, asked, written down. Every candidate goes through the same two doors: on_dev, then on_test.

What a candidate is and cost lies in 4-students/<id>/{dev,test}.json, what it answered in 4-predictions/, its weights in
4-students/<id>/model. A done-marker per candidate and split makes each of them resumable. A candidate that fails is a
record with a reason, not a crash."""

from __future__ import annotations

import random
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from limbeck import demonstrating, knowing, reasoning, recipes, registry, render, render_reasons, render_structure, showing
from limbeck.augment.statements import whole
from limbeck.curate.leak import HeldOut
from limbeck.errors import CapReached, DiskFull, LimbeckError, MissingExtra, MissingKey, ProviderError, Transient
from limbeck.indexing import Library, looks_up
from limbeck.knowing import Knowledge
from limbeck.log import Log
from limbeck.need import extras_told
from limbeck.registry import Adapter, Ask, FitJob, Fitted
from limbeck.run import RunFolder, read_json, read_lines, write_json, write_lines
from limbeck.types import SYNTHETIC, Example, Frozen, Message, Prediction, Predictor, Price, Recipe, Splits, Status, Task, Value, sha_of

SINGLE_CALLS = 40  # how many test rows are answered one at a time, for p50 and p95
OUT_OF_TIME = "the time budget was used up (--budget)"
UNANSWERED = {error.__name__ for error in (CapReached, Transient, ProviderError)}  # worth asking again on another day


class Record(Frozen):
    """What fitting and asking one candidate gave and cost. state: ok | failed | skipped | partial.
    prompt: what it sends for the first dev row, to the letter."""

    recipe: Recipe
    group: str
    state: str = "ok"
    reason: str = ""
    fitted_on: str = "train"
    chosen: dict[str, Any] = {}
    history: tuple[dict[str, float], ...] = ()
    trainable_parameters: int | None = None
    size_mb: float | None = None
    train_s: float | None = None
    peak_memory_mb: float | None = None
    truncated: int = 0
    single_ms: tuple[float, ...] = ()
    throughput_rows_s: float | None = None
    not_deterministic: str = ""
    measured: tuple[Value, ...] = ()
    prompt: tuple[Message, ...] = ()


@dataclass
class Bench:
    """What all candidates of a run share. ask_for(purpose) -> Ask. deadline: time.monotonic() when the budget ends.
    rationales: {row id: the teacher's}, for rows that have none of a person's."""

    folder: RunFolder
    task: Task
    splits: Splits
    train: Sequence[Example]
    labelled: Sequence[Example]
    dev: Sequence[Example]
    test: Sequence[Example]
    seed: int
    log: Log
    ask_for: Callable[[str], Ask] | None = None
    price: Price | None = None
    teacher: str = ""
    recording: bool = False
    threads: int | None = None
    dtype: str | None = None
    deadline: float = float("inf")
    rationales: dict[str, str] = field(default_factory=dict)
    alive: dict[str, Predictor] = field(default_factory=dict)  # students that are still in memory
    library: Library | None = None  # of candidates that look things up
    knowledge: Knowledge | None = None  # of students that learn documents
    about_knowledge: dict[str, Any] = field(default_factory=dict)  # of inferring.summary

    def rows_for(self, recipe: Recipe) -> list[Example]:
        """Training rows: all there are, or those that the recipe names; with rationales, where its objective looks at them."""
        train, labelled = list(self.train), list(self.labelled)
        if reasoning.learns(recipe):
            train = reasoning.with_rationales(train, self.rationales)
        if recipe.rows == "rows:gold":
            return [row for row in train if row.origin.kind not in SYNTHETIC]
        if recipe.rows == "rows:generated":
            return [row for row in train if row.origin.kind in ("generated", "retrieved")]
        rows = labelled if recipe.rows == "rows:teacher" else train + labelled
        return rows + self.knowledge.rows(recipe) if self.knowledge is not None and self.knows(recipe) else rows

    def knows(self, recipe: Recipe) -> bool:
        """Does it learn the documents?"""
        return self.knowledge is not None and recipes.learns_documents(recipe, bool(self.train or self.labelled))

    def showable(self) -> list[Example]:
        """The training rows, which alone may be demonstrations, with what the teacher said of why; where there are none, documents."""
        rows = reasoning.with_rationales(list(self.train), self.rationales)
        return rows if rows or self.knowledge is None else whole(self.knowledge.texts)

    def inputs(self, recipe: Recipe, split: str, **more: Any) -> dict[str, Any]:
        """What the outcome depends on; a change of any of these runs the candidate again."""
        facts = {
            "recipe": recipe.sha(),
            "task": self.task.sha(),
            "train": self.splits.train.digest,
            split: getattr(self.splits, split).digest,
            "seed": self.seed,
            "render": render.VERSION,
            **more,
        }
        if demonstrating.reasons_first(recipe):
            facts["rationales"] = [render_reasons.VERSION, sha_of([(row.id, row.rationale) for row in self.showable()])]
        if recipe.asks_teacher:
            facts["teacher"] = self.teacher
        else:
            facts["labelled"] = len(self.labelled)
        if recipe.asks_teacher and render_structure.of_recipe(recipe) != render_structure.PLAIN:
            facts["structure"] = render_structure.VERSION
        if looks_up(recipe) and self.library is not None:
            facts["passages"] = self.library.digest
        if recipe.context == "many" and self.knowledge is not None and not self.train:
            facts["documents"] = self.knowledge.digest
        if self.knows(recipe):
            facts["knowledge"] = sha_of([(row.id, row.input, row.output, row.confidence) for row in self.rows_for(recipe)])
        if reasoning.learns(recipe):
            facts["rationales"] = sha_of([(row.id, row.rationale) for row in self.rows_for(recipe)])
        return facts


def on_dev(bench: Bench, recipe: Recipe) -> Record:
    """Fit on train, answer dev. Finished before with the same inputs: read, not done again."""
    step, inputs = f"dev-{recipe.id}", bench.inputs(recipe, "dev")
    if bench.folder.is_done(step, inputs):
        return read_json(place(bench, recipe) / "dev.json", Record)
    adapter: Adapter = registry.take("adapters", recipe.adapter)
    if reason := cannot(bench, recipe, adapter):
        return write(bench, Record(recipe=recipe, group=adapter.group, state="skipped", reason=reason), "dev")

    def work() -> tuple[Record, list[Prediction]]:
        with peak_memory() as peak:
            record, fitted = fit(bench, recipe, adapter, bench.rows_for(recipe), bench.dev, "train", "dev")
            if fitted.save is not None and trains(adapter):
                fitted.save(place(bench, recipe) / "model")
                bench.alive[recipe.id] = fitted.predictor
            record = record.model_copy(update={"prompt": sent(bench, recipe, fitted)})
            found = answer(fitted.predictor, bench.dev, recipe.asks_teacher)
        if not trains(adapter) and not recipe.asks_teacher:
            record = record.model_copy(update={"peak_memory_mb": peak()})  # it works when it answers
        return record, found

    return finish(bench, recipe, adapter, work, "dev", step, inputs)


def on_test(bench: Bench, recipe: Recipe, refit: bool, keep: bool = False) -> Record:
    """Answer test once: from a fit on train + dev for the chosen student and for whatever refits in seconds, from the
    fit on train for the others; a prompt is put together again. Measures single calls and throughput on the way. keep: a prompt
    that may be deployed is written down too."""
    step, inputs = f"test-{recipe.id}", bench.inputs(recipe, "test", dev=bench.splits.dev.digest, refit=refit)
    adapter: Adapter = registry.take("adapters", recipe.adapter)
    model = place(bench, recipe) / "model"
    kept = model.is_dir() or not keep or recipe.asks_teacher
    if kept and bench.folder.is_done(step, inputs):
        return read_json(place(bench, recipe) / "test.json", Record)
    before = read_json(place(bench, recipe) / "dev.json", Record)
    if before.state in ("failed", "skipped"):
        return before

    def work() -> tuple[Record, list[Prediction]]:
        if refit or not trains(adapter):
            rows = bench.rows_for(recipe) + (list(bench.dev) if trains(adapter) else [])
            fixed = recipe.model_copy(update={"values": (*recipe.values, *chosen_values(recipe, before))})
            on = "train+dev" if trains(adapter) else before.fitted_on
            record, fitted = fit(bench, fixed, adapter, rows, () if trains(adapter) else bench.dev, on, "test")
            record = record.model_copy(update={"recipe": recipe, "chosen": before.chosen})
            predictor = fitted.predictor
            if fitted.save is not None and (keep or trains(adapter)):
                fitted.save(model)
        else:
            record, predictor = before, bench.alive.get(recipe.id) or load_model(model)
        bench.alive.pop(recipe.id, None)
        began = time.perf_counter()
        predictions = answer(predictor, bench.test, recipe.asks_teacher)
        rate = len(bench.test) / max(1e-9, time.perf_counter() - began)
        if recipe.asks_teacher:
            return record.model_copy(update={"single_ms": tuple(p.latency_ms for p in predictions if p.latency_ms)}), predictions
        memory = record.peak_memory_mb if trains(adapter) else before.peak_memory_mb
        measured = {"single_ms": single_calls(predictor, bench.test), "throughput_rows_s": rate, "peak_memory_mb": memory}
        return record.model_copy(update=measured), predictions

    return finish(bench, recipe, adapter, work, "test", step, inputs)


def trains(adapter: Adapter) -> bool:
    """Whether fitting learns anything; a prompt is only put together."""
    return adapter.group != "prompt"


def sent(bench: Bench, recipe: Recipe, fitted: Fitted) -> tuple[Message, ...]:
    """One prompt as it goes out: of the first dev row (of test, where there is no dev), with the passages that are looked up for it."""
    if fitted.prompt is None or not (bench.dev or bench.test):
        return ()
    rows = [(bench.dev or bench.test)[0].blind()]
    rows = bench.library.with_passages(recipe, rows) if looks_up(recipe) and bench.library is not None else rows
    return tuple(fitted.prompt(rows[0]))


def single_calls(predictor: Predictor, rows: Sequence[Example]) -> tuple[float, ...]:
    """Milliseconds of single calls; the first two warm up."""
    found = []
    for row in rows[: SINGLE_CALLS + 2]:
        began = time.perf_counter()
        predictor.predict([row.blind()])
        found.append(round(1000 * (time.perf_counter() - began), 3))
    return tuple(found[2:] or found)


def chosen_values(recipe: Recipe, before: Record) -> list[Value]:
    """What dev chose, as values for the refit; they stand behind the derived ones and win."""
    return [Value(name=name, value=value, why="chosen on dev") for name, value in before.chosen.items()]


def fit(
    bench: Bench, recipe: Recipe, adapter: Adapter, rows: Sequence[Example], dev: Sequence[Example], fitted_on: str, split: str
) -> tuple[Record, Fitted]:
    values = {v.name: v for v in recipe.values}  # the last of a name counts
    recipe = recipe.model_copy(update={"values": tuple(values.values())})
    library = bench.library if looks_up(recipe) else None
    here = not recipe.asks_teacher
    if library is not None and here:
        rows, dev = library.with_passages(recipe, rows), library.with_passages(recipe, dev)
    shots = demonstrations(bench, recipe, split)
    if shots is not None and here:
        rows = showing.shown(rows, shots) if trains(adapter) else rows
        dev = showing.shown(dev, shots)
    job = FitJob(
        task=bench.task,
        recipe=recipe,
        train=rows,
        dev=dev,
        seed=bench.seed,
        folder=bench.folder.students / recipe.id / f"checkpoints-{split}",
        note=lambda done, total, what: bench.log.progress(f"{recipe.text} ({split})", done, total, what),
        ask=bench.ask_for(f"{recipe.text} {split}") if bench.ask_for and recipe.asks_teacher else None,
        shots=shots if recipe.asks_teacher else None,
        price=bench.price,
        objective=registry.take("objectives", recipe.objective.partition(":")[0] or "sft") if adapter.attach else None,
        threads=bench.threads,
        dtype=bench.dtype,
        deadline_s=bench.deadline - time.monotonic(),
    )
    began = time.perf_counter()
    with peak_memory() as peak:
        fitted = fit_with(adapter, job)
    fitted = library.wrap(recipe, fitted) if library is not None else fitted
    fitted = showing.wrap(recipe, fitted, shots, bench.seed) if shots is not None and here else fitted
    record = Record(
        recipe=recipe,
        group=adapter.group,
        fitted_on=fitted_on,
        chosen=fitted.chosen,
        history=fitted.history,
        trainable_parameters=fitted.trainable_parameters,
        size_mb=fitted.size_mb,
        train_s=round(time.perf_counter() - began, 3) if trains(adapter) else None,
        peak_memory_mb=peak() if here else None,
        truncated=fitted.truncated,
        not_deterministic=fitted.not_deterministic,
        measured=(
            *fitted.measured,
            *(shots.measured(recipe) if shots else []),
            *([reasoning.measured(rows)] if reasoning.learns(recipe) else []),
            *(knowing.measured(bench.about_knowledge, recipe) if bench.knows(recipe) else []),
        ),
    )
    return record, fitted


def fit_with(adapter: Adapter, job: FitJob) -> Fitted:
    if adapter.fit is not None:
        return adapter.fit(job)
    from limbeck.engine.train import fit_model

    return fit_model(job, adapter)


def demonstrations(bench: Bench, recipe: Recipe, split: str) -> demonstrating.Shots | None:
    """Training rows to show before each input; none of them may be of dev or test."""
    if not demonstrating.shows(recipe):
        return None
    held_out = HeldOut({"dev": bench.dev, "test": bench.test})
    found = demonstrating.demonstrations(bench.task, recipe, bench.showable(), bench.seed, [*bench.dev, *bench.test], held_out)
    if found is not None:
        found.prepare(bench.test if split == "test" else bench.dev)
    return found


def answer(predictor: Predictor, rows: Sequence[Example], one_by_one: bool = False) -> list[Prediction]:
    """Predictions without the noise: what was answered in a batch has no latency of its own; a teacher's answers have."""
    found = predictor.predict([row.blind() for row in rows])
    assert [p.id for p in found] == [r.id for r in rows], "a predictor answers every row, in order"
    return found if one_by_one else [p.model_copy(update={"latency_ms": None}) for p in found]


def finish(
    bench: Bench,
    recipe: Recipe,
    adapter: Adapter,
    work: Callable[[], tuple[Record, list[Prediction]]],
    split: str,
    step: str,
    inputs: dict[str, Any],
) -> Record:
    """Do the work and write it down. A provider or a method that fails is a record; a wrong key or a full disk stops."""
    bench.log.event("candidate", recipe=recipe.text, split=split)
    try:
        with extras_told():
            record, predictions = work()
    except (MissingKey, DiskFull):
        raise
    except MissingExtra as absent:
        bench.log.warn(f"{recipe.text}: {absent.what} ({absent.do})")
        return write(bench, Record(recipe=recipe, group=adapter.group, state="failed", reason=f"{absent.what}: {absent.do}"), split)
    except LimbeckError as error:
        bench.log.warn(f"{recipe.text}: {error.what}", detail=str(error))
        return write(bench, Record(recipe=recipe, group=adapter.group, state="failed", reason=error.what), split)
    except Exception as error:
        bench.log.warn(f"{recipe.text} failed: {error!r}", traceback=traceback.format_exc())
        reason = f"{type(error).__name__}: {error}"[:300] + " (a bug of ours; events.jsonl has the traceback)"
        return write(bench, Record(recipe=recipe, group=adapter.group, state="failed", reason=reason), split)
    write_lines(bench.folder.predictions / f"{recipe.id}.{split}.jsonl", predictions)
    record = write(bench, partial(record, predictions), split)
    if record.state == "ok":
        path = place(bench, recipe)
        bench.folder.mark_done(step, inputs, [path / f"{split}.json", bench.folder.predictions / f"{recipe.id}.{split}.jsonl"])
    return record


def partial(record: Record, predictions: Sequence[Prediction]) -> Record:
    """Rows that the cap or the provider left unanswered make the record partial; they are asked again on resume."""
    kinds = [p.detail.partition(":")[0] for p in predictions if p.status is Status.ERROR]
    missing = [k for k in kinds if k in UNANSWERED]
    if not missing:
        return record
    why = "the money cap was reached" if CapReached.__name__ in missing else "the provider did not answer"
    return record.model_copy(update={"state": "partial", "reason": f"{why}: {len(missing)} of {len(predictions)} rows are unanswered"})


def cannot(bench: Bench, recipe: Recipe, adapter: Adapter) -> str:
    """Why this candidate cannot run on this task, or ""."""
    if bench.task.kind not in adapter.kinds:
        return f"{recipe.adapter} does not answer tasks of kind {bench.task.kind} in this version"
    if recipe.asks_teacher and bench.ask_for is None:
        return "there is no teacher (--teacher)"
    if demonstrating.shows(recipe) and (reason := demonstrating.none_to_show(recipe, bench.showable())):
        return reason
    if looks_up(recipe) and bench.library is None:
        return "there are no documents to look things up in (--docs DIR)"
    if trains(adapter) and not bench.rows_for(recipe):
        if bench.knowledge is not None:
            return "there are no labelled rows, and it cannot learn documents for questions (--rows FILE)"
        return "there are no rows of this kind to train on"
    if reasoning.needs(recipe) and not any(row.rationale for row in bench.rows_for(recipe)):
        return reasoning.none_of_them(bench.ask_for is not None)
    if time.monotonic() > bench.deadline:
        return OUT_OF_TIME
    return ""


def place(bench: Bench, recipe: Recipe) -> Path:
    return bench.folder.students / recipe.id


def write(bench: Bench, record: Record, split: str) -> Record:
    write_json(place(bench, record.recipe) / f"{split}.json", record)
    return record


def load_model(folder: Path) -> Predictor:
    from limbeck.engine.reader import load_student

    return load_student(folder)


def peak_memory() -> Any:
    from limbeck.engine.memory import peak_memory_mb

    return peak_memory_mb()


def predictions(folder: RunFolder, recipe: Recipe, split: str) -> list[Prediction]:
    path = folder.predictions / f"{recipe.id}.{split}.jsonl"
    return read_lines(path, Prediction) if path.exists() else []


def growth(bench: Bench, recipe: Recipe, shares: Sequence[float] = (0.25, 0.5, 1.0)) -> list[dict[str, Any]]:
    """Dev answers of a cheap recipe fitted on nested shares of train: what more rows bring. Not resumed: seconds."""
    rows = bench.rows_for(recipe)
    rows = random.Random(bench.seed).sample(rows, len(rows))
    found = []
    for share in shares:
        n = max(2, round(share * len(rows)))
        _, fitted = fit(bench, recipe, registry.take("adapters", recipe.adapter), rows[:n], bench.dev, "train", "growth")
        found.append({"rows": n, "predictions": answer(fitted.predictor, bench.dev)})
    return found
