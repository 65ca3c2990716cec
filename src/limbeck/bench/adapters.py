"""Every adapter on the same base, rows and seeds, at equal steps and at equal time: one cell of the study, in this process.

python -m limbeck.bench.adapters cell.json      cell in, result out (a process of its own: memory is its peak)"""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from limbeck import derived, recipes, registry
from limbeck.metrics.numbers import spearman
from limbeck.types import Example, Kind, Recipe, Task, Value

SINGLE = 30  # calls of one row for the latency
WARM_ROWS = 64


def task_of(name: str, rows: list[dict[str, Any]]) -> Task:
    """The instruction does not matter to an encoder; kind and labels are read off the rows."""
    outputs = [str(r["output"]) for r in rows]
    try:
        values = [float(o) for o in outputs]
        if len(set(outputs)) > 5:
            return Task(name=name, instruction="Rate it.", kind=Kind.SCORE, low=min(values), high=max(values), metric="spearman")
    except ValueError:
        pass
    return Task(name=name, instruction="Name the label.", kind=Kind.LABEL, labels=tuple(sorted(set(outputs))), metric="accuracy")


def examples(rows: list[dict[str, Any]], n: int, seed: int) -> list[Example]:
    """n of them at random, or all."""
    some = rows if len(rows) <= n else random.Random(seed).sample(rows, n)
    return [Example(id=str(r["id"]), input=r["input"], output=str(r["output"])) for r in some]


def run_cell(cell: dict[str, Any]) -> dict[str, Any]:
    """cell: experiment, data, seed, config, rows = {train, test, similar}. Two trainings: `steps` steps, and as many as take
    `seconds` seconds. Seconds are those of the processor, since other work may share the machine."""
    from limbeck.engine.device import set_threads

    config = cell["config"]
    set_threads(config["threads"])
    task = task_of(cell["data"], cell["rows"]["train"])
    train = examples(cell["rows"]["train"], config["train_rows"], cell["seed"])
    test = examples(cell["rows"]["test"], config["test_rows"], 0)
    recipe = recipes.parse(config["recipe"])
    sizes = derived.Sizes(len(train), 0, len(test), 0, len(task.labels), sum(len(e.input) for e in train) / len(train), 0)
    recipe = derived.with_values(recipe, task, sizes, {})
    result: dict[str, Any] = {k: cell[k] for k in ("experiment", "data", "seed")} | {"recipe": recipe.text}
    warm(recipe, task, train, config)
    steps = train_and_measure(recipe, task, train, test, cell, {"steps": config["steps"]})
    result["equal_steps"] = steps
    more = max(8, round(config["seconds"] / steps["train_s"] * config["steps"]))
    result["equal_time"] = time_bound = train_and_measure(recipe, task, train, test, cell, {"steps": more})
    time_bound["peak_memory_mb"] = steps["peak_memory_mb"]  # the second training finds its memory there already
    result |= static_facts(recipe, task, train, test, config)
    return result


def job_of(
    recipe: Recipe, task: Task, train: list[Example], seed: int, folder: Path, config: dict[str, Any], **values: Any
) -> registry.FitJob:
    own = {v.name: v for v in recipe.values} | {
        n: Value(name=n, value=v, why="the study") for n, v in {**config["values"], **values}.items()
    }
    recipe = recipe.model_copy(update={"values": tuple(own.values())})
    return registry.FitJob(
        task=task, recipe=recipe, train=train, dev=(), seed=seed, folder=folder, threads=config["threads"], dtype=config["dtype"]
    )


def warm(recipe: Recipe, task: Task, train: list[Example], config: dict[str, Any]) -> None:
    """Imports, first allocations and the weights' first read are no part of the time of the first training."""
    from limbeck.engine.train import fit_model

    with tempfile.TemporaryDirectory() as folder:
        fit_model(job_of(recipe, task, train[:WARM_ROWS], 0, Path(folder), config, steps=2), registry.take("adapters", recipe.adapter))


def train_and_measure(
    recipe: Recipe, task: Task, train: list[Example], test: list[Example], cell: dict[str, Any], values: dict[str, Any]
) -> dict[str, Any]:
    from limbeck.engine.memory import peak_memory_mb
    from limbeck.engine.train import fit_model

    with tempfile.TemporaryDirectory() as folder:
        job = job_of(recipe, task, train, cell["seed"], Path(folder) / "fit", cell["config"], **values)
        ticks: list[float] = []
        job = replace(job, note=lambda done, total, what: ticks.append(time.process_time()))
        with peak_memory_mb() as peak:
            fitted = fit_model(job, registry.take("adapters", recipe.adapter))
        seconds = (ticks[-1] - ticks[1]) * values["steps"] / max(1, len(ticks) - 2)  # the first tick may be a word on the way
        found = fitted.predictor.predict([e.blind() for e in test])
        assert fitted.save is not None
        fitted.save(Path(folder) / "model")
        size = sum(p.stat().st_size for p in (Path(folder) / "model").rglob("*") if p.is_file() and p.suffix == ".safetensors")
    metric = registry.take("metrics", task.metric)
    if metric.corpus is not None:
        value, right = metric.corpus(task, test, found), []
    else:
        right = [int(metric.row(task, e, p) or 0) for e, p in zip(test, found, strict=True)]
        value = sum(right) / len(right)
    steps = values["steps"]
    rows_s = steps * min(job.recipe.value("batch_rows", 32), len(train)) / seconds
    return {
        "steps": steps,
        "metric": task.metric,
        "value": round(float(value or 0.0), 5),
        "right": "".join(map(str, right)),
        "train_s": round(seconds, 2),
        "train_s_per_1000_rows": round(1000 / rows_s, 2),
        "peak_memory_mb": peak(),
        "trainable_parameters": fitted.trainable_parameters,
        "file_mb": round(size / 1e6, 2),
        "last_loss": fitted.history[-1]["train_loss"],
        "forgetting": forgetting(fitted.predictor, cell["rows"]["similar"]),
    }


def forgetting(predictor: Any, pairs: list[dict[str, Any]]) -> float | None:
    """Spearman of cosine similarities against people's on sentence pairs that the base embeds well, after training minus
    before: what general skill the training has cost. None for what is no encoder."""
    import numpy as np

    if not pairs or not hasattr(predictor, "vectors"):
        return None
    from limbeck.engine.embed import embed

    left, right = [p["meta"]["sentence1"] for p in pairs], [p["meta"]["sentence2"] for p in pairs]
    gold = [float(p["output"]) for p in pairs]
    tuned = [predictor.vectors(side) for side in (left, right)]
    base = [embed(side) for side in (left, right)]
    after, before = (spearman(np.sum(a * b, 1).tolist(), gold) or 0.0 for a, b in (tuned, base))
    return round(after - before, 4)


def static_facts(recipe: Recipe, task: Task, train: list[Example], test: list[Example], config: dict[str, Any]) -> dict[str, Any]:
    """Latency of single calls with the adapter beside the base and with it merged: weights do not matter to it."""
    from limbeck.engine.load import encoder_base
    from limbeck.engine.numbers import read_numbers
    from limbeck.engine.predict import StudentPredictor
    from limbeck.engine.start import new_student

    adapter: registry.Adapter = registry.take("adapters", recipe.adapter)
    base = encoder_base(recipe.base)
    student = new_student(base, task, train, read_numbers(recipe))
    assert adapter.attach is not None
    facts: dict[str, Any] = {"base_ms": latency(StudentPredictor(student, base.tokenizer, task, 256), test)}
    student.backbone = adapter.attach(student.backbone, recipe)
    facts["unmerged_ms"] = latency(StudentPredictor(student, base.tokenizer, task, 256), test)
    facts["merged_ms"] = None
    if adapter.merge is not None:
        student.backbone = adapter.merge(student.backbone)
        facts["merged_ms"] = latency(StudentPredictor(student, base.tokenizer, task, 256), test)
    return facts


def latency(predictor: Any, test: list[Example]) -> float:
    found = []
    for row in test[: SINGLE + 3]:
        began = time.perf_counter()
        predictor.predict([row.blind()])
        found.append(1000 * (time.perf_counter() - began))
    return round(statistics.median(found[3:] or found), 3)


if __name__ == "__main__":
    given = json.loads(Path(sys.argv[1]).read_bytes())
    print(json.dumps(run_cell(given)))
