"""Which base models enter as candidates where the user names none: the catalogue, ranked for this task and this machine."""

from __future__ import annotations

from typing import Any

from limbeck.bases.retrieve import Limits, as_recipes, shortlist
from limbeck.derived import WRITTEN, Sizes
from limbeck.registry import Ask
from limbeck.run import RunFolder, write_json
from limbeck.types import Settings, Task

SHOWN = 5
CHARS_PER_TOKEN = 4
SHARE_OF_TIME = 0.25  # of the time budget: a candidate is fitted twice, and there are others


def limits_of(task: Task, sizes: Sizes, settings: Settings) -> Limits:
    """Without --bases nothing is downloaded: a run that was asked for a verdict does not fetch gigabytes by itself."""
    tokens = max(16, round(sizes.chars / CHARS_PER_TOKEN * max(1.0, 1 + sizes.options)))
    families = ("seq2seq", "causal") if task.kind in WRITTEN else ("encoder",)
    return Limits(
        families=families,
        adapters=("full", "lora"),
        rows=max(1, sizes.train + sizes.unlabelled),
        tokens=min(tokens, 512),
        train_s=settings.budget_s * SHARE_OF_TIME,
        here=settings.bases == 0,
    )


def propose(folder: RunFolder, task: Task, sizes: Sizes, settings: Settings, ask: Ask | None) -> dict[str, Any]:
    """3-bases.json: {recipes, found: the best five with reasons, notes}. ask: the teacher, for the card of the ideal base."""
    known = shortlist(task, limits_of(task, sizes, settings), ask, max(SHOWN, settings.bases))
    taken = list(known.found)[: settings.bases or 1]
    facts = {
        "recipes": as_recipes(taken),
        "found": [f.model_dump(mode="json") for f in known.found],
        "how": known.how,
        "notes": list(known.notes),
    }
    write_json(folder.path / "3-bases.json", facts)
    return facts
