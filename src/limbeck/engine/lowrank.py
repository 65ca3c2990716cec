"""Quantised linear layers with a low-rank update beside them, and how they are put into a model and taken out again.

    x (..., in) --> W' (out, in), packed, frozen ----------------------------------------> + --> (..., out)
        \\--> mean of each group of inputs (..., groups) --> dropout --> A --> B --> * scale /
            (QA-LoRA; without groups A reads x itself, as in LoRA)

A (r, groups or in), B (out, r). A model whose unpacked weights are small keeps them in memory beside the packed ones, which
changes no bit of an answer; a large one unpacks a layer when it is needed, in the forward and again in the backward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from limbeck.engine.layers import layers_of
from limbeck.engine.load import refuse_quantised
from limbeck.engine.quant import Format, Parts, dequantise, group_sizes
from limbeck.errors import UsageError

KEEP_MB = 600  # unpacked weights of a whole model, float32


class PackedLinear(nn.Module):
    """parts: of engine.quant, held as buffers. shape (out, in). transposed: it stands for a Conv1D (gpt2), whose weight is
    (in, out). keep: unpacked weights stay in memory."""

    def __init__(self, parts: Parts, form: Format, shape: tuple[int, int], bias: Tensor | None, transposed: bool = False):
        super().__init__()
        self.form, self.shape, self.transposed, self.names = form, shape, transposed, tuple(parts)
        self.out_features, self.in_features = shape
        self.keep = False
        self.kept: Tensor | None = None
        for name, tensor in parts.items():
            self.register_buffer(name, tensor)
        self.register_buffer("bias", None if bias is None else bias.detach().clone())

    @property
    def parts(self) -> Parts:
        return {name: getattr(self, name) for name in self.names}

    @property
    def weight(self) -> Tensor:
        """(out, in) float32, requires no gradient. T5 reads its dtype."""
        if self.kept is not None:
            return self.kept
        with torch.inference_mode(False), torch.no_grad():  # kept, it may meet a backward pass later
            weight = dequantise(self.parts, self.form, self.shape)
        if self.keep:
            self.kept = weight
        return weight

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias) if self.keep else Unpacking.apply(x, self)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> PackedLinear:
        """To another device, never to another type: half a zero point is half an adapter."""
        self.kept = None
        for name in self.names:
            before = getattr(self, name)
            after = fn(before)
            setattr(self, name, after if after.dtype == before.dtype else before.to(after.device))
        self.bias = None if self.bias is None else fn(self.bias)
        return self

    def _load_from_state_dict(self, *arguments: Any, **more: Any) -> None:
        self.kept = None
        super()._load_from_state_dict(*arguments, **more)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "kept": None}  # of a copy, too

    def extra_repr(self) -> str:
        return f"{self.in_features} -> {self.out_features}, {self.form.name} in groups of {self.form.group}"


class Unpacking(torch.autograd.Function):
    """x W'^T + b that keeps neither x nor W' for the backward pass."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: PackedLinear) -> Tensor:
        ctx.layer = layer
        return F.linear(x, layer.weight, layer.bias)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient @ ctx.layer.weight.to(gradient.dtype), None


class LowRank(nn.Module):
    """scale: what multiplies B A. pool: size of the groups whose mean A reads, 0 = A reads every input.
    about: facts of its start, for reports."""

    def __init__(self, base: PackedLinear, A: Tensor, B: Tensor, scale: float, pool: int = 0, dropout: float = 0.0):
        super().__init__()
        self.base, self.scale, self.pool = base, scale, pool
        self.dropout = nn.Dropout(dropout)
        self.lora_A, self.lora_B = nn.Parameter(A.contiguous()), nn.Parameter(B.contiguous())  # as optimizer states come from disk
        self.about: dict[str, Any] = {}

    def forward(self, x: Tensor) -> Tensor:
        seen = group_means(x, self.pool) if self.pool else x
        return self.base(x) + F.linear(F.linear(self.dropout(seen.to(self.lora_A.dtype)), self.lora_A), self.lora_B) * self.scale

    @property
    def weight(self) -> Tensor:
        return self.base.weight

    @property
    def bias(self) -> Tensor | None:
        return self.base.bias


def group_means(x: Tensor, group: int) -> Tensor:
    """(..., in) -> (..., groups); a last, shorter group is divided by its own size."""
    inputs = x.shape[-1]
    if inputs % group == 0:
        return x.unflatten(-1, (-1, group)).mean(-1)
    sums = F.pad(x, (0, -inputs % group)).unflatten(-1, (-1, group)).sum(-1)
    return sums / group_sizes(inputs, group).to(x)


# ---- into a model and out of it ------------------------------------------------------------------------------------


def linears(model: nn.Module, above: int = 0) -> dict[str, nn.Module]:
    """name -> every linear layer (nn.Linear, or gpt2's Conv1D) inside the model's layers, but for the lowest `above` of them;
    never the embeddings, the table of answers above the layers, or what shares its weight with them. Raises UsageError
    where there is nothing to adapt."""
    inside = {id(m) for layer in list(layers_of(model))[above:] for m in layer.modules()}
    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    found = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | Conv1D) and id(module) in inside and id(module.weight) not in tables
    }
    if not found:
        raise UsageError(
            "this base has no linear layer that could be adapted",
            f"it is a {type(model).__name__}" + (f", and its lowest {above} layers stay as they are" if above else ""),
            "take a model of the BERT, T5, Llama or GPT-2 family, such as minilm" + (", or fewer freeze_layers" if above else ""),
        )
    return found


def to_quantise(model: nn.Module) -> dict[str, nn.Module]:
    """What `linears` gives of all layers. Raises UsageError where something inside them is packed already, or cannot be."""
    refuse_quantised(getattr(model, "config", None))
    inside = {id(m) for layer in layers_of(model) for m in layer.modules()}
    for name, module in model.named_modules():
        if id(module) not in inside:
            continue
        if isinstance(module, PackedLinear) or hasattr(module, "qweight") or hasattr(getattr(module, "weight", None), "quant_state"):
            raise UsageError(
                "this model is quantised already", f"{name} is a {type(module).__name__}", "attach an adapter to the base as it was loaded"
            )
        other = next((part for part, p in module.named_parameters(recurse=False) if p.ndim > 2), None)
        if other or (isinstance(module, nn.Linear) and type(module) is not nn.Linear):
            raise UsageError(
                f"the layer {name} of this base cannot be quantised",
                f"it is a {type(module).__name__}" + (f" with a table {other} of more than two axes" if other else ""),
                "take lora, which leaves it as it is, or a base of linear layers",
            )
    return linears(model)


def weight_of(layer: Any) -> Tensor:
    """(out, in) float32, whichever way round the layer holds it."""
    weight = layer.weight.detach().float()
    return weight.T.contiguous() if isinstance(layer, Conv1D) else weight


def plain(weight: Tensor, bias: Tensor | None, transposed: bool) -> nn.Module:
    """weight (out, in) -> nn.Linear, or the Conv1D that it was."""
    out, inputs = weight.shape
    layer = Conv1D(out, inputs) if transposed else nn.Linear(inputs, out, bias=bias is not None)
    layer.weight = nn.Parameter((weight.T if transposed else weight).detach().contiguous(), requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias.detach().float(), requires_grad=False)
    return layer


def swap(model: nn.Module, name: str, layer: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    layer.train(model.training)
    setattr(model.get_submodule(parent), last, layer)


def layers_in(model: nn.Module, kind: type) -> Iterator[tuple[str, Any]]:
    """Those of a kind, listed before any of them is taken out."""
    yield from [(name, module) for name, module in model.named_modules() if isinstance(module, kind)]


def keep_small(model: nn.Module, limit_mb: float = KEEP_MB) -> nn.Module:
    """Decides for all layers whether their weights stay unpacked in memory."""
    packed = [layer for _, layer in layers_in(model, PackedLinear)]
    keep = sum(layer.in_features * layer.out_features for layer in packed) * 4 / 1e6 <= limit_mb
    for layer in packed:
        layer.keep, layer.kept = keep, None
    return model


@dataclass(frozen=True)
class Counts:
    """Numbers of the model as it computes: a packed matrix counts out * in, whatever it takes in bytes."""

    trainable: int
    total: int

    @property
    def percent(self) -> float:
        return 100 * self.trainable / self.total


def counts(model: nn.Module) -> Counts:
    """bitsandbytes holds two weights in a byte: numel would give half of them."""
    total = 0
    for p in model.parameters():
        state = getattr(p, "quant_state", None)
        total += p.numel() if state is None else torch.Size(state.shape).numel()
    for _, layer in layers_in(model, PackedLinear):
        total += layer.in_features * layer.out_features + (0 if layer.bias is None else layer.bias.numel())
    return Counts(sum(p.numel() for p in model.parameters() if p.requires_grad), total)
