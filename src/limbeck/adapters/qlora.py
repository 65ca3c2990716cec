"""qlora: LoRA beside a base in four bits (Dettmers et al. 2023, arXiv 2305.14314), through bitsandbytes and peft.

    x --> W in NF4 (blocks of 64, their scales in 8 bits), frozen ----> + -->
      \\--> dropout --> A (r, in) --> B (out, r) --> * alpha / r /

Written qlora:r16. There is no exact way back into four bits (peft issue 2321), so what is merged is the dequantised base:
W' + alpha / r * B A, in a plain model of the base's class. Layers that the model's authors keep in float32 (T5's wo: the
model reads its type and would cast the activations to bytes) keep their own weights, and are adapted like the others."""

from __future__ import annotations

import warnings
from typing import Any

from limbeck.adapters.arguments import RANK, rank_of, why
from limbeck.need import need
from limbeck.registry import Adapter
from limbeck.types import Kind, Recipe, Task, Value


def attach(model: Any, recipe: Recipe) -> Any:
    """Every linear layer of the stacks of layers, and nothing above or below them; with `freeze_layers` the lowest ones are
    quantised and not adapted. Raises MissingExtra without bitsandbytes, UsageError where the base has nothing to adapt or is quantised already."""
    from limbeck.engine.lowrank import linears, swap, to_quantise
    from limbeck.engine.numbers import read_numbers

    bitsandbytes, peft = need("bitsandbytes", extra="quant"), need("peft", extra="train")
    layers, rank = to_quantise(model), rank_of(recipe)
    upper = linears(model, read_numbers(recipe).freeze_layers)
    model.requires_grad_(False)
    keep = set(getattr(model, "_keep_in_fp32_modules", None) or ())
    for name, layer in layers.items():
        if not keep & set(name.split(".")):
            swap(model, name, in_four_bits(layer, bitsandbytes))
    config = peft.LoraConfig(
        r=rank,
        lora_alpha=recipe.value("alpha", 2 * rank),
        lora_dropout=recipe.value("lora_dropout", 0.0),
        target_modules=list(upper),
        bias="none",
        fan_in_fan_out=False,
    )
    model.is_loaded_in_4bit = True  # peft asks for it before it looks at a layer's class
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft 0.21 reads an attribute that transformers 5 has renamed
        wrapped = peft.get_peft_model(model, config)
    moving = sum(p.numel() for p in wrapped.parameters() if p.requires_grad)
    adapted = [m for _, m in wrapped.named_modules() if isinstance(m, peft.tuners.lora.LoraLayer)]
    assert len(adapted) == len(upper) and moving == sum(rank * (m.in_features + m.out_features) for m in adapted)
    return wrapped


def in_four_bits(layer: Any, bitsandbytes: Any) -> Any:
    """The layer as Linear4bit, on the layer's device; quantised on the accelerator where there is one.

    bfloat16 on a GPU. On a CPU float32, and never the shortcut that bitsandbytes 0.50 takes in eval mode where the
    processor has AVX512-BF16: it rounds activations and scales to bfloat16 (another answer than in training) and
    repacks the weights in place."""
    import torch
    from transformers.pytorch_utils import Conv1D

    from limbeck.engine.device import pick_device
    from limbeck.engine.lowrank import weight_of

    weight, home = weight_of(layer), layer.weight.device
    half = pick_device().type == "cuda" and torch.cuda.is_bf16_supported()
    dtype = torch.bfloat16 if half else torch.float32
    new = bitsandbytes.nn.Linear4bit(
        weight.shape[1], weight.shape[0], bias=layer.bias is not None, compute_dtype=dtype, quant_type="nf4", device="meta"
    )
    packed = bitsandbytes.nn.Params4bit(weight, requires_grad=False, compress_statistics=True, quant_type="nf4", module=new)
    new.weight = packed.to("cuda" if home.type == "cpu" and pick_device().type == "cuda" else home).to(home)
    if layer.bias is not None:
        new.whole_bias = layer.bias.detach().float()  # forward would cast the parameter in place
        new.bias = torch.nn.Parameter(layer.bias.detach().to(dtype), requires_grad=False)
    new.support_avx512bf16_for_cpu = False
    new.transposed = isinstance(layer, Conv1D)
    return new


def merge(model: Any) -> Any:
    """Exact with respect to the dequantised base, in float32."""
    from limbeck.engine.lowrank import layers_in, plain, swap

    peft = need("peft", extra="train")
    base = model.get_base_model()
    four_bits = need("bitsandbytes", extra="quant").nn.Linear4bit
    adapted = list(layers_in(base, peft.tuners.lora.LoraLayer))
    inside = {id(layer.get_base_layer()) for _, layer in adapted}
    for name, layer in (*adapted, *((name, m) for name, m in layers_in(base, four_bits) if id(m) not in inside)):
        inner = layer.get_base_layer() if hasattr(layer, "get_base_layer") else layer
        weight = dequantised(inner) + (layer.get_delta_weight("default").float() if inner is not layer else 0)
        bias = getattr(inner, "whole_bias", inner.bias)
        swap(base, name, plain(weight, None if bias is None else bias.to(weight.device), getattr(inner, "transposed", False)))
    base.is_loaded_in_4bit = False
    return base


def dequantised(layer: Any) -> Any:
    """(out, in) float32 of a Linear4bit, or of a layer that was not quantised."""
    from limbeck.engine.lowrank import weight_of

    state = getattr(layer.weight, "quant_state", None)
    if state is None:
        return weight_of(layer)
    return need("bitsandbytes", extra="quant").functional.dequantize_4bit(layer.weight.data, state).float()


def numbers(recipe: Recipe, task: Task, rows: int) -> list[Value]:
    rank = rank_of(recipe)
    return [
        Value(name="rank", value=rank, why=why(recipe, RANK, "as lora's; the paper's 64 is for bases of billions")),
        Value(name="alpha", value=2 * rank, why="twice the rank, the usual scale of 2"),
        Value(name="optimizer", value="paged_adamw", why="on a GPU its state may leave for the host's memory; on a CPU plain AdamW"),
        Value(name="lora_dropout", value=0.0, why="as in the reference recipe below 13 billion parameters without instruction data"),
    ]


QLORA = Adapter(
    name="qlora",
    group="student",
    args=RANK,
    takes="a rank (r16)",
    kinds=tuple(Kind),
    modifiers=("rows", "objective"),
    attach=attach,
    merge=merge,
    numbers=numbers,
)
