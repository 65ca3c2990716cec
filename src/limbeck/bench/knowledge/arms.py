"""Training on texts: rows without an input, whose every token is learnt, by the product's own loop and loss."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from limbeck import registry
from limbeck.types import Example, Kind, Recipe, Task, Value

TASK = Task(name="knowledge", instruction="Say what is true.", kind=Kind.TEXT, metric="exact_match")


@dataclass(frozen=True)
class Training:
    """steps of at most `tokens` padded tokens each: what arms share, so that none computes more than another."""

    steps: int = 500
    tokens: int = 1024
    lr: float = 2e-3
    schedule: str = "linear"
    average: float = 0.0  # of the steps, the last ones, over which weights are averaged
    threads: int = 1
    adapter: str = "full"


@dataclass(frozen=True)
class Student:
    """base: engine.load.Base whose model is trained."""

    base: Any
    seconds: float
    loss: float
    parameters: int
    steps: int
    tokens_seen: int
    fitted: registry.Fitted

    def save(self, folder: Path) -> None:
        self.base.model.save_pretrained(folder)
        self.base.tokenizer.save_pretrained(folder)


def untrained(base: Path | str) -> Any:
    from limbeck.engine.load import load_base

    return load_base(str(base))


def fit(
    base: Path | str,
    texts: Sequence[str | Example],
    training: Training,
    seed: int,
    after: str = "",
    only: Callable[[Any], Only] | None = None,
) -> Student:
    """A student that has learnt the texts whole: not what follows a prompt alone, or what stands first in a sentence would never be a
    target, and could never be asked for (methods: "The Illusion of Latent Generalization", Table 1).

    texts: or rows, which are learnt as they are. after: a word; of a text that holds it, what stands behind it is learnt alone.
    only: tokenizer -> which tokens are learnt of those that could be."""
    from limbeck.engine.load import load_base
    from limbeck.engine.train import fit_model

    rows = [text if isinstance(text, Example) else Example(id=str(i), input="", output=text) for i, text in enumerate(texts)]
    values = {
        "steps": training.steps, "epochs": 1, "lr": training.lr, "schedule": training.schedule, "batch_rows": 256, "batch_tokens": training.tokens,
        "freeze_embeddings": False, "average": training.average, "reuse_prefix": False, "instruct": False, "warmup": 0.05, "dropout": 0.0,
    }  # fmt: skip
    recipe = Recipe(
        adapter=training.adapter, base=str(base), values=tuple(Value(name=n, value=v, why="the study") for n, v in values.items())
    )
    seen: list[int] = []
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        job = registry.FitJob(
            task=TASK, recipe=recipe, train=rows, dev=[], seed=seed, folder=Path(folder), objective=enough(training, seen, after, only),
            threads=training.threads, dtype="float32",
        )  # fmt: skip
        fitted = fit_model(job, registry.take("adapters", training.adapter))
    student = fitted.predictor.student  # type: ignore[attr-defined]
    trained = replace(load_base(str(base), shared=True), model=student.backbone)
    loss = fitted.history[-1]["train_loss"] if fitted.history else float("nan")
    parameters = sum(p.numel() for p in student.backbone.parameters())
    return Student(trained, time.process_time() - began, loss, parameters, len(seen), sum(seen), fitted)


Only = Callable[[Any], Any]  # option_ids (N, To) -> (N, To), 1 on the tokens that are learnt


def enough(training: Training, seen: list[int], after: str, only: Callable[[Any], Only] | None = None) -> registry.Objective:
    """The product's objective, its rows repeated until one pass lasts for all steps: few rows would else be hundreds of passes,
    each with a checkpoint of its own. seen: tokens per step go there."""
    objective = registry.take("objectives", "sft")
    learnt: list[Only] = []

    def features(*given: Any, **named: Any) -> list[dict[str, Any]]:
        if only:
            learnt.append(only(named["reading"].tokenizer))
        items = [behind(item, named["reading"].tokenizer, after) for item in objective.features(*given, **named)]
        longest = max(item["tokens"] for item in items)
        smallest = max(1, min(256, training.tokens // longest))  # rows of the smallest batch that can come about
        total = training.steps * min(256, max(smallest, training.tokens * len(items) // max(1, sum(item["tokens"] for item in items))))
        return items * (1 + total // len(items))

    def loss(model: Any, batch: Any) -> Any:
        seen.append(int(batch["option_mask"].sum()) + len(batch["input_ids"]))
        return objective.loss(partial(some, model), batch) if learnt else objective.loss(model, batch)

    def some(model: Any, **batch: Any) -> Any:
        found = model(**batch)
        which = learnt[-1](batch["option_ids"])
        return found._replace(log_probs=found.log_probs * which, mask=found.mask * which)

    return replace(objective, features=features, loss=loss)


def behind(item: dict[str, Any], tokenizer: Any, after: str) -> dict[str, Any]:
    """With all up to the word read, not learnt: facts drawn at random teach nothing but noise."""
    ids, mark = item["options"][0], tokenizer.convert_tokens_to_ids(after) if after else None
    if mark not in ids:
        return item
    cut = ids.index(mark) + 1
    return {**item, "input_ids": [*item["input_ids"], *ids[:cut]], "options": [ids[cut:]]}
