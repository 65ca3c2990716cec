"""What computes on this machine is shown demonstrations in its rows, a prompted base and a student alike.

A prompt of a teacher takes its picker as it is (FitJob.shots). A student is trained with demonstrations before each row, never the
row itself (no picker shows a row to itself), and both are served with the same picker as they were measured with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from limbeck.contexts.shots import NUMBERS
from limbeck.demonstrating import Shots
from limbeck.engine.demonstrator import Demonstrator
from limbeck.registry import Fitted
from limbeck.types import Example, Recipe

ALIKE = ("random", "many")  # pickers that show every input the same rows


def picker_of(recipe: Recipe) -> tuple[str, int]:
    """(name on the shelf `contexts`, k) of few:k[:name]; many is a picker of its own, of all that it holds."""
    name, *rest = recipe.context.split(":")
    if name == "many":
        return name, 0
    return (rest[1] if len(rest) > 1 else "random"), int(rest[0])


def shown(rows: Sequence[Example], shots: Shots) -> list[Example]:
    """Each row with the demonstrations that inputs get."""
    if len(rows) > 1:
        shots.prepare(rows)
    return [row.model_copy(update={"shots": tuple(shots(row)) or None}) for row in rows]


def wrap(recipe: Recipe, fitted: Fitted, shots: Shots, seed: int) -> Fitted:
    """The fitted predictor, shown demonstrations before it answers; what is saved holds them, or the rows they are picked from."""
    name, k = picker_of(recipe)
    alike = name in ALIKE
    rows = list(shots.pick(Example(id="", input=""))) if alike else list(shots.pool)
    values = {value.name: recipe.value(value.name, value.value) for value in NUMBERS.get(name, ())}
    predictor = Demonstrator(fitted.predictor, shots, "" if alike else name, k, seed, rows, values)
    save, prompt = fitted.save, fitted.prompt
    sent = None if prompt is None else lambda row: prompt(shown([row], shots)[0])
    if save is None:
        return replace(fitted, predictor=predictor, prompt=sent)

    def both(folder: Path) -> None:
        save(folder)
        predictor.save(folder)

    return replace(fitted, predictor=predictor, prompt=sent, save=both)
