"""What a candidate is shown: demonstrations from the training rows, for prompts of a local base and for students alike.

A prompt of a teacher takes its picker as it is (FitJob.shots). What computes on this machine reads them in its rows: a student is
trained with demonstrations before each row, never the row itself, and both are served with the same picker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from limbeck import registry
from limbeck.engine.demonstrator import Demonstrator, Picker
from limbeck.registry import Fitted
from limbeck.types import Example, Recipe, Task

ALIKE = ("random", "many")  # pickers that show every input the same rows


def shows(recipe: Recipe) -> bool:
    return recipe.context.partition(":")[0] in ("few", "many")


def picker_of(recipe: Recipe) -> tuple[str, int]:
    """(name on the shelf `contexts`, k) of few:k[:name]."""
    _, k, *rest = recipe.context.split(":")
    return (rest[0] if rest else "random"), int(k)


def make_picker(task: Task, recipe: Recipe, rows: Sequence[Example], seed: int, more: int = 0) -> Picker:
    """more: so many above k."""
    name, k = picker_of(recipe)
    return registry.take("contexts", name)(task, list(rows), k + more, seed)  # type: ignore[no-any-return]


def shown(task: Task, recipe: Recipe, rows: Sequence[Example], source: Sequence[Example], seed: int) -> list[Example]:
    """Each row with demonstrations from `source`, as inputs get them; a row of the source with k others, none that says the same."""
    name, k = picker_of(recipe)
    pick, one_more = (make_picker(task, recipe, source, seed, more) for more in (0, 1))
    own = {row.id for row in source}

    def others(row: Example) -> Sequence[Example]:
        if row.id not in own:
            return pick(row)
        found = [shot for shot in one_more(row) if shot.id != row.id and shot.input != row.input]
        return found[:k] if name in ALIKE else found[-k:]

    return [row.model_copy(update={"shots": tuple(others(row)) or None}) for row in rows]


def wrap(task: Task, recipe: Recipe, fitted: Fitted, source: Sequence[Example], seed: int) -> Fitted:
    """The fitted predictor, shown demonstrations before it answers; what is saved holds them, or the rows they are picked from."""
    name, k = picker_of(recipe)
    pick = make_picker(task, recipe, source, seed)
    alike = name in ALIKE
    rows = list(pick(source[0])) if alike and source else list(source)
    shown = Demonstrator(fitted.predictor, pick, "" if alike else name, k, seed, rows)
    save = fitted.save
    if save is None:
        return replace(fitted, predictor=shown)

    def both(folder: Path) -> None:
        save(folder)
        shown.save(folder)

    return replace(fitted, predictor=shown, save=both)
