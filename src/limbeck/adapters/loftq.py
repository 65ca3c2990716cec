"""loftq: LoRA whose start makes up for what quantising the base loses (Li et al. 2023, arXiv 2310.08659).

    x --> Q in 2 to 4 bits, frozen ---------------------> + -->      Q + alpha / r * B A is as near to W as can be
      \\--> dropout --> A (r, in) --> B (out, r) --> * alpha / r /

Alternating, T times: Q_t = quantise(W - L_{t-1}); L_t = the best rank-r part of W - Q_t (algorithm 1). Of the T steps the
one with the least |W - Q_t - L_t| (Frobenius) is kept. B A = L * r / alpha: undivided, as in peft, training would begin
with alpha / r times the correction. Written loftq:r16:nf4 (or int4, int3, int2); merged like qlora: a plain model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from limbeck.adapters.arguments import RANK, argument, rank_of, why
from limbeck.errors import UsageError
from limbeck.registry import Adapter
from limbeck.types import Kind, Recipe, Task, Value

FORMAT = "nf4|int[432]"
GROUP = 64  # of the integers; NF4 has blocks of 64, too


@dataclass(frozen=True)
class Start:
    """parts: Q, of engine.quant. A (r, in), B (out, r): scale * B A = L. errors: |W - Q_t - L_t| / |W| for t = 1..T.
    plain_error: |W - quantise(W)| / |W|, what qlora begins with in this format. best: the t that was kept."""

    parts: Any
    A: Any
    B: Any
    errors: tuple[float, ...]
    plain_error: float
    best: int


def attach(model: Any, recipe: Recipe) -> Any:
    """Every linear layer of the stacks of layers, on any device; with `freeze_layers` the lowest ones are quantised and not
    adapted. Raises UsageError as engine.lowrank.to_quantise does, and where the rank is greater than a side of a matrix."""
    import torch
    from transformers.pytorch_utils import Conv1D

    from limbeck.engine.device import pick_device
    from limbeck.engine.lowrank import LowRank, PackedLinear, keep_small, linears, swap, to_quantise, weight_of
    from limbeck.engine.numbers import read_numbers
    from limbeck.engine.quant import quantise, read_format

    layers, rank = to_quantise(model), rank_of(recipe)
    upper = linears(model, read_numbers(recipe).freeze_layers)
    scale = recipe.value("alpha", 2 * rank) / rank
    form = read_format(format_of(recipe), GROUP)
    model.requires_grad_(False)
    for name, layer in layers.items():
        weight, home = weight_of(layer), layer.weight.device
        if name not in upper:
            swap(model, name, PackedLinear(quantise(weight, form), form, tuple(weight.shape), layer.bias, isinstance(layer, Conv1D)))
            continue
        if rank > min(weight.shape):
            raise UsageError(
                f"rank {rank} is more than the layer {name} has",
                f"it is {weight.shape[0]} x {weight.shape[1]}",
                f"write loftq:r{min(weight.shape)}",
            )
        near = torch.device("cuda") if home.type == "cpu" and pick_device().type == "cuda" else home
        start = initialise(weight.to(near), form, rank, scale, int(recipe.value("loftq_iterations", 5)))
        parts = {part: tensor.to(home) for part, tensor in start.parts.items()}
        packed = PackedLinear(parts, form, tuple(weight.shape), layer.bias, isinstance(layer, Conv1D))
        new = LowRank(packed, start.A.to(home), start.B.to(home), scale, dropout=recipe.value("lora_dropout", 0.0))
        new.about = {"plain": start.plain_error, "loftq": start.errors[start.best - 1], "iteration": start.best}
        swap(model, name, new)
    moving = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert moving == sum(rank * (m.base.in_features + m.base.out_features) for m in model.modules() if isinstance(m, LowRank))
    return keep_small(model)


def initialise(weight: Any, form: Any, rank: int, scale: float, iterations: int = 5) -> Start:
    """weight (out, in) float32 -> the best of `iterations` steps, on the weight's device."""
    from limbeck.engine.quant import dequantise, quantise

    if iterations < 1:
        raise UsageError("LoftQ needs a step to begin with", f"loftq_iterations is {iterations}", "--set loftq_iterations=5")
    whole, errors, kept, plain_error = float(weight.norm()) or 1.0, [], None, 0.0
    target = weight
    for _ in range(iterations):
        parts = quantise(target, form)
        rest = weight - dequantise(parts, form, tuple(weight.shape))
        plain_error = plain_error if errors else float(rest.norm()) / whole
        A, B = best_of_rank(rest, rank)
        error = float((rest - B @ A).norm()) / whole
        kept = (parts, A, B) if not errors or error < min(errors) else kept
        errors.append(error)
        target = weight - B @ A
    assert kept is not None
    parts, A, B = kept
    return Start(parts, A / scale**0.5, B / scale**0.5, tuple(errors), plain_error, 1 + errors.index(min(errors)))


def best_of_rank(rest: Any, rank: int) -> tuple[Any, Any]:
    """A (r, in), B (out, r): B A = the r greatest singular triples of rest (out, in), the roots of the values on either side.
    From the eigenvectors of the smaller Gram matrix in float64: a tenth of the time of a whole decomposition."""
    import torch

    wide = rest.double()
    if rest.shape[0] > rest.shape[1]:
        B, A = best_of_rank(rest.T, rank)
        return A.T.contiguous(), B.T.contiguous()
    squares, vectors = torch.linalg.eigh(wide @ wide.T)
    left = vectors[:, -rank:].flip(1)  # (out, r), greatest first
    roots = squares[-rank:].flip(0).clamp(min=0).sqrt().sqrt()  # square roots of the singular values
    A = (left.T @ wide) / roots.clamp(min=1e-12)[:, None]
    return torch.where(roots[:, None] > 1e-12, A, torch.zeros_like(A)).float(), (left * roots).float()


def merge(model: Any) -> Any:
    """Q + scale * B A in float32: a plain model of the base's class, exact with respect to the dequantised base."""
    from limbeck.engine.lowrank import LowRank, PackedLinear, layers_in, plain, swap

    for name, layer in layers_in(model, LowRank):
        weight = layer.base.weight + (layer.lora_B @ layer.lora_A).float() * layer.scale
        swap(model, name, plain(weight, layer.base.bias, layer.base.transposed))
    for name, layer in layers_in(model, PackedLinear):  # of frozen layers
        swap(model, name, plain(layer.weight, layer.bias, layer.transposed))
    return model


def residuals(model: Any) -> dict[str, dict[str, float]]:
    """Layer -> {"plain": |W - quantise(W)| / |W|, "loftq": with the low-rank part, "iteration": the step that was kept}, of
    an attached model that is not merged."""
    from limbeck.engine.lowrank import LowRank, layers_in

    return {name: dict(layer.about) for name, layer in layers_in(model, LowRank)}


def measure(model: Any) -> list[Value]:
    """The mean residual over layers, for the report."""
    found = list(residuals(model).values())
    plain, ours = (sum(f[key] for f in found) / len(found) for key in ("plain", "loftq"))
    why = f"mean over {len(found)} layers of |W - what training starts from| / |W|; quantised without LoftQ it is {plain:.4f}"
    return [Value(name="residual", value=round(ours, 4), why=why)]


# ---- what stands in the recipe ---------------------------------------------------------------------------------------


def format_of(recipe: Recipe) -> str:
    return argument(recipe, FORMAT) or str(recipe.value("format", "nf4"))


def numbers(recipe: Recipe, task: Task, rows: int) -> list[Value]:
    rank = rank_of(recipe)
    return [
        Value(name="rank", value=rank, why=why(recipe, RANK, "as lora's")),
        Value(name="alpha", value=2 * rank, why="twice the rank; the start is divided by the scale of 2"),
        Value(name="lora_dropout", value=0.0, why="few steps"),
        Value(name="format", value=format_of(recipe), why=why(recipe, FORMAT, "four bits, as qlora")),
        Value(name="loftq_iterations", value=5, why="as in the paper's examples; the best of them is kept"),
    ]


LOFTQ = Adapter(
    name="loftq",
    group="student",
    args=f"{RANK}|{FORMAT}",
    takes="a rank (r16), and a format: nf4, int4, int3, int2",
    kinds=tuple(Kind),
    modifiers=("rows", "objective"),
    attach=attach,
    merge=merge,
    numbers=numbers,
    measure=measure,
)
