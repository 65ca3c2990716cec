"""Distilling step-by-step beside its controls: one cell of the study. What it trains is what a run of the product trains.

Weights of the last step and of the step that was best on validation are both kept and both scored; test is scored once."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from limbeck import derived, recipes, registry
from limbeck.bench import stepgrid, steprows
from limbeck.bench.stepgrid import Cell
from limbeck.bench.steprows import Told
from limbeck.types import Example, Recipe, Task, Value, sha_of


class Splits:
    """Rows of one data set, read once for all its cells."""

    def __init__(self, shared: Path, name: str, default: dict[str, Any]):
        about = default["sets"][name]
        self.read = lambda other: steprows.read(shared, other, "train", default["sets"][other], default["teacher"])
        self.task = steprows.task_of(name, about)
        self.train, self.valid, self.test = (
            steprows.read(shared, name, split, about, default["teacher"]) for split in ("train", "valid", "test")
        )

    def teacher(self) -> dict[str, Any]:
        """Digests too: bits of cells and of the teacher are paired only where they are of the same rows."""
        return {
            split: {**packed(steprows.teacher_bits(self.task, rows)), "rows": digest(rows)}
            for split, rows in (("train", self.train), ("valid", self.valid), ("test", self.test))
        }


def write_teachers(place: Path, splits: dict[str, Splits]) -> None:
    """The teacher's bits beside the results, so that tables need no data. Written only where something is new: grids may
    run side by side."""
    path, before = place / "results" / "teacher.json", stepgrid.teachers(place)
    known = {**before, **{name: each.teacher() for name, each in splits.items()}}
    if known == before:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(dict(sorted(known.items())), indent=1) + "\n", encoding="utf-8")


def digest(rows: Sequence[Told]) -> str:
    return sha_of([(t.row.id, t.row.output) for t in rows])


def packed(bits: str) -> dict[str, Any]:
    """ "0110" -> n and hexadecimal digits, four rows each."""
    return {"n": len(bits), "right": bits.count("1"), "hex": f"{int('1' + bits, 2):x}" if bits else ""}


def unpacked(found: dict[str, Any]) -> str:
    return f"{int(found['hex'], 16):b}"[1:] if found["n"] else ""


def run_cell(cell: Cell, splits: Splits, bases: dict[str, str]) -> dict[str, Any]:
    """bases: {the grid's name of a base: where it lies}. Seconds are those of the processor."""
    config, task = cell.config, splits.task
    rows = steprows.chosen(splits.train, cell.rows, cell.seed)
    rows += splits.read(config["further_rows"]) if config["further_rows"] else []
    train, left_out = steprows.as_arm(task, rows, config)
    valid, test = ([steprows.seen(t.row, t, config) for t in part] for part in (splits.valid, splits.test))
    recipe = recipe_of(cell, task, train, bases)
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        last = Last(schedule(cell, len(train))["passes_per_look"])
        fitted, seconds = fit(recipe, task, train, valid, cell, Path(folder), last)
        trained = time.process_time()
        parts = {"best": score(fitted.predictor, task, valid, test, config["dtype"])}
        if fitted.chosen["epochs"] != len(fitted.history):
            last.restore(fitted.predictor.student)
            parts["last"] = score(fitted.predictor, task, valid, test, config["dtype"])
    return {
        **{k: getattr(cell, k) for k in ("experiment", "data", "base", "rows", "seed")},
        "recipe": recipe.model_copy(update={"base": cell.base}).text,  # a path of this machine says nothing elsewhere
        "base_sha": base_sha(recipe),
        "parameters": sum(p.numel() for p in fitted.predictor.student.parameters()),
        "trainable_parameters": fitted.trainable_parameters,
        "train_rows": len(train),
        "train_ids": sha_of([e.id for e in train]),
        "left_out": left_out,
        "steps": last.steps,
        "train_s": round(seconds, 2),
        "with_looks_s": round(trained - began, 2),
        "score_s": round(time.process_time() - trained, 2),
        "valid_rows": digest(splits.valid),
        "test_rows": digest(splits.test),
        "metric": task.metric,
        "best_look": fitted.chosen["epochs"],
        "history": fitted.history,
        "truncated": fitted.truncated,
        "measured": {v.name: v.value for v in fitted.measured},
        **parts,
    }


def schedule(cell: Cell, rows: int) -> dict[str, int]:
    """How often validation is looked at, and after how many passes each; a set may have its own."""
    every = {**cell.config, **cell.config["sets"][cell.data].get("schedule", {})}
    at = next((i for i, most in enumerate(every["rows_up_to"]) if rows <= most), len(every["rows_up_to"]))
    return {name: every[name][at] for name in ("looks", "passes_per_look")}


def recipe_of(cell: Cell, task: Task, train: Sequence[Example], bases: dict[str, str]) -> Recipe:
    config = cell.config
    head = f"{config['adapter']}{'+' + config['objective'] if config['objective'] else ''}"
    recipe = recipes.parse(f"{head}@{bases.get(cell.base, cell.base)}")
    sizes = derived.Sizes(len(train), 0, 0, 0, len(task.labels), sum(len(e.input) for e in train) / len(train), 0)
    recipe = derived.with_values(recipe, task, sizes, {})
    family = "writer" if recipe.value("instruct") is not None else "encoder"
    ours = config["sets"][cell.data].get("values", {})
    own = {
        "epochs": schedule(cell, len(train))["looks"],
        **config["values"],
        **config["values_of"].get(family, {}),
        **ours,
        **config["own_values"],
    }
    table = {v.name: v for v in recipe.values} | {n: Value(name=n, value=v, why="the study") for n, v in own.items()}
    return recipe.model_copy(update={"values": tuple(table.values())})


class Last:
    """Stands between the loop and its objective: counts steps, keeps the weights of the last one, and lets one of the loop's
    epochs be several passes over few rows, so that validation is looked at equally often whatever their number."""

    def __init__(self, passes: int):
        self.passes, self.steps, self.student, self.weights, self.clock = passes, 0, None, {}, []

    def around(self, objective: registry.Objective) -> registry.Objective:
        def bind(recipe: Recipe, seed: int) -> registry.Objective:
            bound = objective.bind(recipe, seed) if objective.bind else objective

            def features(*given: Any, **named: Any) -> list[dict[str, Any]]:
                return bound.features(*given, **named) * self.passes

            def loss(model: Any, batch: Any) -> Any:
                self.student = model
                return bound.loss(model, batch)

            return replace(bound, features=features, loss=loss, bind=None)

        return replace(objective, bind=bind)

    def note(self, done: int, total: int, what: str) -> None:
        from limbeck.engine import checkpoint

        self.clock.append(time.process_time())
        self.steps = done
        if done == total:  # before the loop looks at validation, and puts the best weights back
            self.weights = checkpoint.snapshot(self.student)

    def restore(self, student: Any) -> None:
        student.load_state_dict(self.weights, strict=False)  # what stood beside it in training is gone


def fit(
    recipe: Recipe, task: Task, train: Sequence[Example], valid: Sequence[Example], cell: Cell, folder: Path, last: Last
) -> tuple[registry.Fitted, float]:
    """(fitted, processor seconds of its steps; what lies between them, looking at validation, is left out)."""
    from limbeck.engine.train import fit_model

    objective = registry.take("objectives", (recipe.objective or "sft").partition(":")[0])
    job = registry.FitJob(
        task=task, recipe=recipe, train=train, dev=valid, seed=cell.seed, folder=folder, note=last.note,
        objective=last.around(objective), threads=cell.config["threads"], dtype=cell.config["dtype"],
    )  # fmt: skip
    fitted = fit_model(job, registry.take("adapters", recipe.adapter))
    gaps = sorted(b - a for a, b in zip(last.clock, last.clock[1:], strict=False))
    middle = gaps[: max(1, len(gaps) - len(fitted.history))]  # the longest hold a look each
    return fitted, sum(middle) / max(1, len(middle)) * last.steps


def score(predictor: Any, task: Task, valid: Sequence[Example], test: Sequence[Example], dtype: str) -> dict[str, Any]:
    from limbeck.engine.quick import answers

    return {
        split: packed(steprows.grade(task, rows, answers(predictor, [e.blind() for e in rows], dtype)))
        for split, rows in (("valid", valid), ("test", test))
    }


def base_sha(recipe: Recipe) -> str:
    from limbeck.engine.load import load_base

    return str(load_base(recipe.base, shared=True).sha)
