"""Time and money before the run: a range, and what it rests on. Nominal rates; the run itself measures."""

from __future__ import annotations

from collections.abc import Sequence

from limbeck import registry, render
from limbeck.recipes import Sizes, trained_on
from limbeck.registry import Teacher
from limbeck.types import Example, Frozen, Kind, Recipe, Task

TRAIN_TOKENS_S = 1800.0  # a 22.7M encoder, one core, bf16, 32 x 32 tokens: measured 1,000 to 3,000
EMBED_TOKENS_S = 6000.0
CALL_S = 1.0  # a hosted model, one call
CONCURRENCY = 8
REPLY_TOKENS = {Kind.LABEL: 15, Kind.CHOICE: 20, Kind.SCORE: 10, Kind.FIELDS: 80, Kind.TEXT: 120}


class Estimate(Frozen):
    """usd_*, seconds_*: low and high end. lines: one per candidate, as shown. calls: requests to the teacher."""

    usd_low: float
    usd_high: float
    seconds_low: float
    seconds_high: float
    calls: int
    lines: tuple[dict[str, float | str], ...] = ()


def tokens_of(text: str) -> int:
    """About four characters a token: an estimate, good to a factor of 1.5."""
    return len(text) // 4 + 2


def estimate(task: Task, recipes: Sequence[Recipe], sizes: Sizes, train: Sequence[Example], teacher: Teacher | None) -> Estimate:
    """Cached replies cost nothing again, so a resumed run stays below it."""
    lines: list[dict[str, float | str]] = []
    calls = 0
    trained: list[float] = []
    for recipe in recipes:
        usd, seconds = 0.0, 0.2
        if recipe.adapter == "prompt" and teacher is not None:
            n = sizes.dev + sizes.test
            usd, seconds, calls = money(task, train, teacher, shots_in(recipe)) * n, n * CALL_S / CONCURRENCY, calls + n
            if not teacher.remote:
                usd, seconds = 0.0, n * 0.002
        elif registry.take("adapters", recipe.adapter).attach is not None:
            tokens = (sizes.chars / 4 + 2) * max(1.0, 1 + sizes.options)
            per_epoch = trained_on(recipe, sizes) * tokens / TRAIN_TOKENS_S
            seconds = per_epoch * float(recipe.value("epochs", 10)) + (sizes.dev + sizes.test) * tokens / EMBED_TOKENS_S
            trained.append(seconds)
        elif recipe.adapter in ("head", "nearest"):
            tokens = (sizes.chars / 4 + 2) * max(1.0, 1 + sizes.options)
            seconds = (sizes.train + sizes.unlabelled + sizes.dev + sizes.test) * tokens / EMBED_TOKENS_S + 2
        lines.append({"recipe": recipe.text, "usd": usd, "seconds": round(seconds, 1)})
    refit = max(trained, default=0.0)
    usd = sum(float(line["usd"]) for line in lines)
    seconds = sum(float(line["seconds"]) for line in lines) + refit + 8
    if sizes.unlabelled and teacher is not None:
        label = money(task, train, teacher, 0) * sizes.unlabelled if teacher.remote else 0.0
        usd, calls = usd + label, calls + sizes.unlabelled
        seconds += sizes.unlabelled * (CALL_S / CONCURRENCY if teacher.remote else 0.002)
        lines.append({"recipe": "labels for unlabelled rows", "usd": label, "seconds": round(sizes.unlabelled * CALL_S / CONCURRENCY, 1)})
    return Estimate(
        usd_low=usd * 0.6, usd_high=usd * 1.6, seconds_low=seconds * 0.5, seconds_high=seconds * 2.5, calls=calls, lines=tuple(lines)
    )


def shots_in(recipe: Recipe) -> int:
    return int(recipe.context.split(":")[1]) if recipe.context.startswith("few:") else 0


def money(task: Task, train: Sequence[Example], teacher: Teacher, shots: int) -> float:
    """USD of one call: the prompt as it would be rendered, and a usual reply."""
    if teacher.price is None or not train:
        return 0.0
    some = list(train)[:: max(1, len(train) // 20)][:20]
    size = sum(tokens_of("".join(m.content for m in render.messages(task, row.blind(), list(train)[:shots]))) for row in some) / len(some)
    return teacher.price.of(round(size), REPLY_TOKENS[task.kind])
