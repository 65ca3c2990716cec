"""lora: low-rank updates beside the frozen linear layers (Hu et al. 2022, arXiv 2106.09685).

    x (B, T, in) --> W (out, in), frozen ------------------------> + --> (B, T, out)
          \\--> dropout --> A (r, in) --> B (out, r) --> * alpha / r /        B starts at zero

Written lora:r16, or with values rank, alpha (2 * rank), lora_dropout. Merged: W + alpha / r * B A, a plain model again."""

from __future__ import annotations

import warnings
from typing import Any

from limbeck.need import need
from limbeck.registry import Adapter
from limbeck.types import Kind, Recipe, Task, Value


def attach(model: Any, recipe: Recipe) -> Any:
    """Every linear layer of the encoder's layers gets an A and a B; nothing else moves."""
    from torch import nn

    from limbeck.engine.load import layers_of

    peft = need("peft", extra="train")
    rank = rank_of(recipe)
    inside = {id(m) for m in layers_of(model).modules()}
    layers = {name: m for name, m in model.named_modules() if isinstance(m, nn.Linear) and id(m) in inside}
    config = peft.LoraConfig(
        r=rank,
        lora_alpha=recipe.value("alpha", 2 * rank),
        lora_dropout=recipe.value("lora_dropout", 0.0),
        target_modules=list(layers),
        bias="none",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft 0.21 reads an attribute that transformers 5 has renamed
        wrapped = peft.get_peft_model(model, config)
    moving = sum(p.numel() for p in wrapped.parameters() if p.requires_grad)
    assert moving == sum(rank * (m.in_features + m.out_features) for m in layers.values())
    return wrapped


def merge(model: Any) -> Any:
    return model.merge_and_unload(safe_merge=True)


def rank_of(recipe: Recipe) -> int:
    """lora:r16 -> 16; else the value `rank`, else 16."""
    return int(recipe.args[0][1:]) if recipe.args else int(recipe.value("rank", 16))


def numbers(recipe: Recipe, task: Task, rows: int) -> list[Value]:
    rank = rank_of(recipe)
    why = "as written in the recipe" if recipe.args else "enough for a 384-wide encoder on a small closed task"
    return [Value(name="rank", value=rank, why=why), Value(name="alpha", value=2 * rank, why="twice the rank, the usual scale of 2")]


LORA = Adapter(
    name="lora",
    group="student",
    args=r"r[1-9]\d*",
    kinds=(Kind.LABEL, Kind.CHOICE, Kind.SCORE),
    modifiers=("rows", "objective"),
    attach=attach,
    merge=merge,
    numbers=numbers,
)
