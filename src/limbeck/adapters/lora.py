"""lora: low-rank updates beside the frozen linear layers (Hu et al. 2022, arXiv 2106.09685).

    x (B, T, in) --> W (out, in), frozen ------------------------> + --> (B, T, out)
          \\--> dropout --> A (r, in) --> B (out, r) --> * alpha / r /        B starts at zero

Written lora:r16, or with values rank, alpha, lora_dropout, loraplus. Merged: W + alpha / r * B A, a plain model again.
    lora:rslora   scale alpha / sqrt(r) (Kalajdzievski 2023, arXiv 2312.03732)
    lora:dora     a learnt length per output unit, low rank for the direction (Liu et al. 2024, arXiv 2402.09353)
    lora:pissa    A and B begin as the base's largest singular directions, which leave the base (Meng et al. 2024, arXiv
                  2404.02948). What they leave is another base than the original: we ship merged weights, never A and B.

Every linear layer inside the base's layers is adapted (attention and feed-forward; QLoRA, Dettmers et al. 2023, arXiv
2305.14314, section 4: all layers are what matches full tuning): BERT query, key, value and three dense; T5 q, k, v, o, wi,
wo of encoder and decoder; Llama, Qwen, Gemma q, k, v, o, gate, up, down; GPT-2's Conv1D c_attn, c_proj, c_fc. Embeddings
and an output matrix never are."""

from __future__ import annotations

import math
import warnings
from typing import Any

from limbeck.adapters.arguments import RANK, argument, rank_of, why
from limbeck.need import need
from limbeck.registry import Adapter
from limbeck.types import Kind, Recipe, Task, Value

VARIANTS = ("dora", "rslora", "pissa")


def attach(model: Any, recipe: Recipe) -> Any:
    """Every linear layer of the model's layers gets an A and a B, of the upper ones alone with `freeze_layers`; nothing else
    moves. Raises UsageError where there is none."""
    from limbeck.engine.lowrank import linears
    from limbeck.engine.numbers import read_numbers

    peft = need("peft", extra="train")
    rank, variants = read_args(recipe)
    layers = linears(model, read_numbers(recipe).freeze_layers)
    config = peft.LoraConfig(
        r=rank,
        lora_alpha=recipe.value("alpha", default_alpha(rank, variants)),
        lora_dropout=recipe.value("lora_dropout", 0.0),
        target_modules=list(layers),
        use_dora="dora" in variants,
        use_rslora="rslora" in variants,
        init_lora_weights="pissa" if "pissa" in variants else True,
        fan_in_fan_out=any(type(m).__name__ == "Conv1D" for m in layers.values()),
        bias="none",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft 0.21 reads an attribute that transformers 5 has renamed
        wrapped = peft.get_peft_model(model, config)
    moving = sum(p.numel() for p in wrapped.parameters() if p.requires_grad)
    assert moving == expected(layers, rank, variants), "a layer was passed over"
    return wrapped


def expected(layers: dict[str, Any], rank: int, variants: tuple[str, ...]) -> int:
    """Trained numbers: r (in + out) per layer, with DoRA out more."""
    sizes = [m.weight.shape for m in layers.values()]  # (out, in), or (in, out) of a Conv1D
    lengths = sum(m.weight.shape[1 if type(m).__name__ == "Conv1D" else 0] for m in layers.values()) if "dora" in variants else 0
    return sum(rank * (a + b) for a, b in sizes) + lengths


def merge(model: Any) -> Any:
    return model.merge_and_unload(safe_merge=True)


def read_args(recipe: Recipe) -> tuple[int, tuple[str, ...]]:
    """lora:r16:dora -> 16, ("dora",); the rank else from the value `rank`, else 16. Raises UsageError for two ranks."""
    return rank_of(recipe), tuple(variant for variant in VARIANTS if argument(recipe, variant))


def default_alpha(rank: int, variants: tuple[str, ...]) -> float:
    """The one that gives a scale of 2, as in the examples of LoRA's own code (r 8, alpha 16)."""
    return 2 * math.sqrt(rank) if "rslora" in variants else 2 * rank


def numbers(recipe: Recipe, task: Task, rows: int) -> list[Value]:
    rank, variants = read_args(recipe)
    alpha = default_alpha(rank, variants)
    reason = "twice the root of the rank: alpha / sqrt(r) is then 2" if "rslora" in variants else "twice the rank, the usual scale of 2"
    usual = why(recipe, RANK, "enough for a 384-wide encoder on a small closed task")
    return [Value(name="rank", value=rank, why=usual), Value(name="alpha", value=alpha, why=reason)]


LORA = Adapter(
    name="lora",
    group="student",
    args="|".join((RANK, *VARIANTS)),
    takes="a rank (r16), and a variant: dora, rslora, pissa",
    kinds=tuple(Kind),
    modifiers=("rows", "objective"),
    attach=attach,
    merge=merge,
    numbers=numbers,
)
