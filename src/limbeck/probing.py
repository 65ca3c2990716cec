"""How long a prompt of a base on this machine takes: measured on a few rows, before the estimate is given.

A formula would have to know how answers are scored, what is cached between calls and who else uses the machine; a few rows know it."""

from __future__ import annotations

import importlib.util
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from limbeck import registry
from limbeck.candidates import SINGLE_CALLS
from limbeck.engine.named import bytes_of_name
from limbeck.estimate import expected_passages, picker, spread
from limbeck.types import Example, Frozen, Predictor, Recipe, Task

LARGEST = 600e6  # bytes of a base that is read for a probe; a larger one is put at its arithmetic
ROWS, ABOUT_S = 32, 2.0  # of the batch that is measured; it may take so long


class Probe(Frozen):
    """Seconds: to get ready, of one row in a batch, of one row alone."""

    ready_s: float
    row_s: float
    single_s: float

    def seconds(self, dev: int, test: int) -> float:
        """Ready twice, for dev and for test; all rows in batches, and some of test one at a time."""
        return 2 * self.ready_s + (dev + test) * self.row_s + min(test, SINGLE_CALLS + 2) * self.single_s


def probe(task: Task, recipe: Recipe, train: Sequence[Example], asked: Sequence[Example], seed: int, threads: int | None) -> Probe | None:
    """None where it cannot be measured: no prompt of a base that lies here, a large base, no row at hand, no train extra. What is
    wrong with a candidate is told when its turn comes."""
    rows = [row.blind() for row in spread(asked or train, ROWS)]
    size = bytes_of_name(recipe.base) if recipe.adapter == "prompt" and not recipe.asks_teacher else None
    if not rows or size is None or size > LARGEST or importlib.util.find_spec("torch") is None:
        return None
    try:
        began = time.perf_counter()
        pick = picker(task, recipe, train, seed, asked)
        passages = tuple(" ".join(["word"] * (len(text) // 6)) for text in expected_passages(recipe)) or None
        rows = [row.model_copy(update={"shots": tuple(pick(row)) or None, "passages": passages}) for row in rows]
        picked_s = time.perf_counter() - began
        return measured(put_together(task, recipe, seed, threads), rows, picked_s)
    except Exception:  # of ours or of the base's: `candidates.finish` tells it, and the other candidates go on
        return None


def put_together(task: Task, recipe: Recipe, seed: int, threads: int | None) -> Predictor:
    with tempfile.TemporaryDirectory() as folder:
        job = registry.FitJob(
            task=task, recipe=recipe, train=[], dev=[], seed=seed, folder=Path(folder), threads=threads or 1, dtype="float32"
        )
        return registry.take("adapters", recipe.adapter).fit(job).predictor


def measured(predictor: Predictor, rows: Sequence[Example], ready_s: float) -> Probe:
    """The first call warms up, and computes what all prompts begin with."""
    predictor.predict(rows[:1])
    single_s = min(timed(predictor, rows[i : i + 1]) for i in range(min(3, len(rows))))
    some = rows[: max(1, min(len(rows), round(ABOUT_S / max(single_s, 1e-4))))]
    row_s = timed(predictor, some) / len(some) if len(some) > 1 else single_s
    return Probe(ready_s=ready_s, row_s=row_s, single_s=single_s)


def timed(predictor: Predictor, rows: Sequence[Example]) -> float:
    began = time.perf_counter()
    predictor.predict(rows)
    return time.perf_counter() - began
