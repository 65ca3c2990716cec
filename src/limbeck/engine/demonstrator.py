"""A predictor that is shown worked rows: for each input some are picked, and stand before it when it is read.

What it was measured with is what it is served with: the same rows, picked the same way. A folder holds demonstrations.json:
{picker, k, seed, values, rows}. Where every input gets the same ones the rows are those, and picker is "": nobody has to pick."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from limbeck import registry
from limbeck.engine.around import Around
from limbeck.errors import ModelError
from limbeck.run import write_json
from limbeck.types import Example, Prediction, Predictor, Task

DEMONSTRATIONS = "demonstrations.json"
KEPT = ("id", "input", "output", "choices", "rationale")  # of a row
Picker = Callable[[Example], Sequence[Example]]


@dataclass(frozen=True)
class Demonstrator(Around):
    """predictor: who answers. pick: input -> demonstrations. picker, k, seed, rows, values: how pick is made again."""

    predictor: Predictor
    pick: Picker
    picker: str
    k: int
    seed: int
    rows: Sequence[Example]
    values: dict[str, Any] = field(default_factory=dict)

    def predict(self, inputs: Sequence[Example]) -> list[Prediction]:
        """latency_ms: the picking included."""
        began = time.perf_counter()
        ready = getattr(self.pick, "prepare", None)
        if ready is not None and len(inputs) > 1:
            ready(inputs)
        rows = [row.model_copy(update={"shots": tuple(self.pick(row)) or None}) for row in inputs]
        pick_ms = (time.perf_counter() - began) * 1e3 / max(1, len(inputs))
        return [
            p if p.latency_ms is None else p.model_copy(update={"latency_ms": round(p.latency_ms + pick_ms, 3)})
            for p in self.predictor.predict(rows)
        ]

    def save(self, folder: Path) -> None:
        """Beside a model that is there already."""
        rows = [row.model_dump(mode="json", include=set(KEPT), exclude_none=True) for row in self.rows]
        write_json(folder / DEMONSTRATIONS, {"picker": self.picker, "k": self.k, "seed": self.seed, "values": self.values, "rows": rows})


def with_demonstrations(predictor: Predictor, folder: Path, task: Task) -> Predictor:
    """The predictor of a model folder with what it is shown; itself, where that is nothing. Raises ModelError."""
    path = folder / DEMONSTRATIONS
    if not path.is_file():
        return predictor
    try:
        how = json.loads(path.read_bytes())
        rows = [Example.model_validate(row) for row in how["rows"]]
        picker, k, seed, values = str(how["picker"]), int(how["k"]), int(how["seed"]), dict(how["values"])
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as broken:
        raise ModelError(f"{path} cannot be read", str(broken)[:300], "copy the folder again, or export it again") from broken
    pick = registry.take("contexts", picker)(task, rows, k, seed, values) if picker else lambda row: rows
    return Demonstrator(predictor, pick, picker, k, seed, rows, values)
