"""qalora: a base in groups of integers, and an update that folds into their zero points (Xu et al. 2023, arXiv 2309.14717).

    x (..., in) --> W' = s_g (q - z_g) in 4, 3 or 2 bits, frozen -------------------------------> + -->
      \\--> mean of each group of L inputs --> dropout --> A (r, groups) --> B (out, r) --> * alpha / r /

The update is the same for all inputs of a group, alpha / r * (B A)_g / L, so z_g -= alpha / r * (B A)_g / (L s_g) takes it
up exactly: merged, the model is as small as its base and stays so on disk. The zero points are float32; rounded to the
integers of other formats they would lose the whole update. Written qalora:4:g32:r16. With means of L the update of peft 0.21
(mean times the number of groups) or of a sum (times L) is another one for the same A and B: the folder says "mean"."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

from limbeck.adapters.arguments import RANK, argument, rank_of, why
from limbeck.errors import ModelError
from limbeck.registry import Adapter
from limbeck.types import Kind, Recipe, Task, Value

BITS, GROUP = "[432]", r"g[1-9]\d*"
WEIGHTS, METHOD = "packed.safetensors", "limbeck-groups"
FACTS = {"quant_method": METHOD, "version": 1, "zero_points": "float32", "pool": "mean"}


def attach(model: Any, recipe: Recipe) -> Any:
    """Every linear layer of the stacks of layers; with `freeze_layers` the lowest ones are quantised and not adapted.
    A: Xavier, B: zero. Raises UsageError as engine.lowrank.to_quantise does."""
    import torch
    from transformers.pytorch_utils import Conv1D

    from limbeck.engine.lowrank import LowRank, PackedLinear, keep_small, linears, swap, to_quantise, weight_of
    from limbeck.engine.numbers import read_numbers
    from limbeck.engine.quant import Format, quantise

    layers, rank = to_quantise(model), rank_of(recipe)
    upper = linears(model, read_numbers(recipe).freeze_layers)
    form = Format("int", bits_of(recipe), group_of(recipe))
    scale = recipe.value("alpha", 2 * rank) / rank
    model.requires_grad_(False)
    for name, layer in layers.items():
        weight = weight_of(layer)
        out, inputs = weight.shape
        packed = PackedLinear(quantise(weight, form), form, (out, inputs), layer.bias, isinstance(layer, Conv1D))
        if name not in upper:
            swap(model, name, packed)
            continue
        A = torch.nn.init.xavier_uniform_(torch.empty(rank, -(-inputs // form.group))).to(weight.device)
        B = torch.zeros(out, rank, device=weight.device)
        swap(model, name, LowRank(packed, A, B, scale, pool=form.group, dropout=recipe.value("lora_dropout", 0.0)))
    moving = sum(p.numel() for p in model.parameters() if p.requires_grad)
    pairs = [m.base for m in model.modules() if isinstance(m, LowRank)]
    assert moving == sum(rank * (-(-m.in_features // form.group) + m.out_features) for m in pairs)
    return keep_small(model)


def merge(model: Any) -> Any:
    """The same model without adapters, as quantised as before."""
    from limbeck.engine.lowrank import LowRank, keep_small, layers_in, swap
    from limbeck.engine.quant import group_sizes

    for name, layer in layers_in(model, LowRank):
        base = layer.base
        update = layer.scale * (layer.lora_B.double() @ layer.lora_A.double())  # (out, groups)
        sizes = group_sizes(base.in_features, layer.pool).to(update)
        base.zeros = (base.zeros.double() - update / (sizes * base.scales.double())).detach().float()
        swap(model, name, base)
    return keep_small(model)


# ---- on disk -----------------------------------------------------------------------------------------------------------


def save(model: Any, folder: Path) -> None:
    """config.json with everything that `load` needs under quantization_config, packed.safetensors with codes, scales, zero
    points and all the rest. Under the usual name transformers would read it as a model with random layers; so it
    refuses the folder. An unmerged model is merged on the way."""
    from safetensors.torch import save_file

    from limbeck.engine.lowrank import LowRank, PackedLinear, layers_in

    if next(layers_in(model, LowRank), None):
        model = merge(copy.deepcopy(model))
    packed = list(layers_in(model, PackedLinear))
    form = packed[0][1].form
    config = copy.deepcopy(model.config)
    config.architectures = [type(model).__name__]
    layers = {name: {"shape": list(layer.shape), "transposed": layer.transposed, "bias": layer.bias is not None} for name, layer in packed}
    config.quantization_config = {**FACTS, "bits": form.bits, "group_size": form.group, "layers": layers}
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(folder)
    if getattr(model, "generation_config", None) is not None:
        model.generation_config.save_pretrained(folder)
    whole: dict[int, str] = {}  # a tied table once
    tensors = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in model.state_dict().items()
        if whole.setdefault(tensor.data_ptr() if tensor.numel() else -len(whole), name) == name
    }
    save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})


def load(folder: Path) -> Any:
    """What `save` wrote, in eval mode. Raises ModelError where a file is missing, or holds something else."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from transformers import AutoConfig

    try:
        facts = json.loads((folder / "config.json").read_bytes()).get("quantization_config") or {}
        refuse_foreign(facts, folder)
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        tensors = load_file(folder / WEIGHTS)
        for name in facts["layers"]:
            if not tensors[f"{name}.zeros"].dtype == torch.float32:
                raise refused(folder, f"the zero points of {name} are {tensors[f'{name}.zeros'].dtype}, not float32")
        return restore(config, facts, tensors, folder)
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError, AttributeError) as broken:
        raise refused(folder, (str(broken).splitlines() or [type(broken).__name__])[0]) from broken


def restore(config: Any, facts: dict[str, Any], tensors: dict[str, Any], folder: Path) -> Any:
    """The architecture of the config with packed layers in their places and these weights in it."""
    from transformers import AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM, GenerationConfig

    from limbeck.engine import load as engine_load
    from limbeck.engine.lowrank import PackedLinear, keep_small, swap
    from limbeck.engine.quant import Format

    form = Format("int", int(facts["bits"]), int(facts["group_size"]))
    kinds = {engine_load.SEQ2SEQ: AutoModelForSeq2SeqLM, engine_load.CAUSAL: AutoModelForCausalLM, engine_load.ENCODER: AutoModel}
    model = kinds[engine_load.family_of(config)].from_config(config, trust_remote_code=False).float()
    if not any(name.startswith("pooler.") for name in tensors) and getattr(model, "pooler", None) is not None:
        model.pooler = None  # students pool by the mean
    for name, layer in facts["layers"].items():
        parts = {part: tensors[f"{name}.{part}"] for part in ("codes", "scales", "zeros")}
        bias = tensors[f"{name}.bias"] if layer["bias"] else None
        swap(model, name, PackedLinear(parts, form, tuple(layer["shape"]), bias, layer["transposed"]))
    missing, unexpected = model.load_state_dict(tensors, strict=False)
    model.tie_weights()
    tied = set(getattr(model, "all_tied_weights_keys", None) or ())
    if set(missing) - tied or unexpected:
        raise refused(folder, f"missing: {sorted(set(missing) - tied)[:3]}, unexpected: {sorted(unexpected)[:3]}")
    if (folder / "generation_config.json").is_file():
        model.generation_config = GenerationConfig.from_pretrained(folder)
    return keep_small(model.requires_grad_(False).eval())


def refuse_foreign(facts: dict[str, Any], folder: Path) -> None:
    from limbeck.engine.load import INTEGER_ZEROS

    different = {name: facts.get(name) for name, value in FACTS.items() if facts.get(name) != value}
    if facts.get("quant_method") in INTEGER_ZEROS:
        raise refused(folder, f"it is a {facts['quant_method']} model, whose zero points are integers: rounding would lose what was learnt")
    if different:
        raise refused(folder, f"config.json has {different} under quantization_config, and {FACTS} was expected")


def refused(folder: Path, have: str) -> ModelError:
    return ModelError(f"the quantised student in {folder} cannot be loaded", have, "copy the folder again, or train it again from the base")


# ---- what stands in the recipe -------------------------------------------------------------------------------------------


def bits_of(recipe: Recipe) -> int:
    return int(argument(recipe, BITS) or recipe.value("bits", 4))


def group_of(recipe: Recipe) -> int:
    return int(argument(recipe, GROUP)[1:] or recipe.value("group_size", 32))


def numbers(recipe: Recipe, task: Task, rows: int) -> list[Value]:
    rank = rank_of(recipe)
    return [
        Value(name="bits", value=bits_of(recipe), why=why(recipe, BITS, "a quarter of float16, little lost")),
        Value(name="group_size", value=group_of(recipe), why=why(recipe, GROUP, "as in the paper")),
        Value(name="rank", value=rank, why=why(recipe, RANK, "as lora's")),
        Value(name="alpha", value=2 * rank, why="twice the rank, the usual scale of 2"),
        Value(name="lora_dropout", value=0.0, why="as in the reference recipe"),
    ]


QALORA = Adapter(
    name="qalora",
    group="student",
    args=f"{BITS}|{GROUP}|{RANK}",
    takes="bits: 4, 3 or 2; inputs of a group (g32); a rank (r16)",
    kinds=tuple(Kind),
    modifiers=("rows", "objective"),
    attach=attach,
    merge=merge,
    save=save,
    load=load,
    numbers=numbers,
)
