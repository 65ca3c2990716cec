"""Weights in 2 to 4 bits, in plain torch on any device: NF4 as QLoRA has it, and group-wise integers with float zero points.

    W (out, in) --quantise--> parts {name: tensor} --dequantise--> W' (out, in) float32

    nf4    w' = level[q] * m_b        m_b: largest |w| of block b of 64 weights in row order; m itself in 8 bits, 256 to a block
    intB   w' = s_g * (q - z_g)       g: L neighbouring inputs of one output; s bfloat16, z float32 (no integer, see qalora)

NF4: Dettmers et al. 2023, arXiv 2305.14314, section 3. The 8-bit type of its scales: Dettmers et al. 2022, arXiv 2110.02861."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.errors import ModelError, UsageError

Parts = dict[str, Tensor]

# quantiles of N(0, 1) scaled to [-1, 1], as the QLoRA paper prints them (appendix E)
NF4_LEVELS = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
)  # fmt: skip
NF4_BLOCK, SCALE_BLOCK = 64, 256
_WORD = {2: (4, 1), 3: (8, 3), 4: (2, 1)}  # bits -> (codes, bytes) that fill each other exactly


@dataclass(frozen=True)
class Format:
    """kind: nf4 | int. bits of one code. group: weights that share a scale (nf4: a block of 64 in row order; int: that
    many inputs of one output, the last group of a row may be shorter)."""

    kind: str
    bits: int
    group: int

    def __post_init__(self) -> None:
        if self.kind not in ("nf4", "int") or self.bits not in _WORD or self.group < 1 or (self.kind == "nf4" and self.bits != 4):
            raise UsageError(
                f"no such format of quantised weights: {self.kind} with {self.bits} bits in groups of {self.group}",
                "there are nf4, int4, int3, int2, in groups of 1 or more",
                "for example loftq:int2, qalora:4:g64",
            )

    @property
    def name(self) -> str:
        return "nf4" if self.kind == "nf4" else f"int{self.bits}"


def read_format(name: str, group: int) -> Format:
    """nf4 | int4 | int3 | int2. group counts for integers alone."""
    return Format("nf4", 4, NF4_BLOCK) if name == "nf4" else Format(name[:3], int(name[3:] or 0), group)


@torch.no_grad()
def quantise(weight: Tensor, form: Format) -> Parts:
    """weight (out, in) of any float type -> parts on its device. Raises ModelError where it holds NaN or infinity."""
    weight = weight.detach().float()
    if weight.ndim != 2 or not bool(weight.isfinite().all()):
        raise ModelError(
            "these weights cannot be quantised",
            f"shape {tuple(weight.shape)}, {int((~weight.isfinite()).sum())} of {weight.numel()} are NaN or infinite",
            "take the weights of a training that did not diverge",
        )
    return quantise_nf4(weight) if form.kind == "nf4" else quantise_int(weight, form.bits, form.group)


def dequantise(parts: Parts, form: Format, shape: tuple[int, int]) -> Tensor:
    """-> (out, in) float32."""
    return dequantise_nf4(parts, shape) if form.kind == "nf4" else dequantise_int(parts, form, shape)


# ---- NF4, double quantisation ------------------------------------------------------------------------------------


def quantise_nf4(weight: Tensor) -> Parts:
    """codes: packed. absmax (blocks,) uint8: places in `scale_levels`; absmax_scale (blocks / 256,); absmax_mean ()."""
    levels = weight.new_tensor(NF4_LEVELS)
    blocks = in_blocks(weight, NF4_BLOCK)  # (blocks, 64)
    absmax = blocks.abs().amax(1)
    share = blocks * (1 / absmax).nan_to_num(posinf=0.0)[:, None]  # a block of zeros stays zero
    codes = nearest(share, levels).reshape(-1)[: weight.numel()]
    mean = absmax.mean()
    outer = in_blocks(absmax - mean, SCALE_BLOCK)
    outer_max = outer.abs().amax(1)
    places = nearest(outer * (1 / outer_max).nan_to_num(posinf=0.0)[:, None], scale_levels().to(weight.device))
    return {"codes": pack(codes, 4), "absmax": places.reshape(-1)[: len(absmax)], "absmax_scale": outer_max, "absmax_mean": mean}


def dequantise_nf4(parts: Parts, shape: tuple[int, int]) -> Tensor:
    n = shape[0] * shape[1]
    codes = unpack(parts["codes"], 4, n)
    outer = parts["absmax_scale"].repeat_interleave(SCALE_BLOCK)[: len(parts["absmax"])]
    absmax = scale_levels().to(codes.device)[parts["absmax"].int()] * outer + parts["absmax_mean"]  # (blocks,)
    values = torch.tensor(NF4_LEVELS, device=codes.device)[codes.int()]
    return (values * absmax.repeat_interleave(NF4_BLOCK)[:n]).reshape(shape)


@lru_cache(maxsize=1)
def scale_levels() -> Tensor:
    """The 256 values of the signed dynamic 8-bit type, sorted: 0, 1, and for each power of ten from 1e-6 to 1 the middles
    of 1, 2, 4, ... 64 equal parts of [0.1, 1] times it, with both signs."""
    positive = []
    for i in range(7):
        edges = torch.linspace(0.1, 1.0, 2**i + 1)
        positive.append(10.0 ** (i - 6) * (edges[:-1] + edges[1:]) / 2)
    half = torch.cat(positive)
    return torch.cat([-half, half, torch.tensor([0.0, 1.0])]).sort().values


def in_blocks(values: Tensor, size: int) -> Tensor:
    """Any shape -> (blocks, size), the last block filled up with zeros."""
    flat = values.reshape(-1)
    return F.pad(flat, (0, -len(flat) % size)).reshape(-1, size)


def nearest(values: Tensor, levels: Tensor) -> Tensor:
    """Place of the nearest level, uint8. levels sorted."""
    return torch.bucketize(values, (levels[:-1] + levels[1:]) / 2).to(torch.uint8)


# ---- group-wise integers -----------------------------------------------------------------------------------------


def quantise_int(weight: Tensor, bits: int, group: int) -> Parts:
    """codes: packed. scales (out, groups) bfloat16: float16 has no room for a group whose weights hardly differ.
    zeros (out, groups) float32 = -lowest / scale. The codes are chosen for the rounded scale."""
    out, inputs = weight.shape
    short = -inputs % group
    wide = torch.cat([weight, weight[:, -1:].expand(out, short)], 1).reshape(out, -1, group)  # filled up with its last column
    low, high = wide.amin(2), wide.amax(2)
    scales = ((high - low) / (2**bits - 1)).to(torch.bfloat16)
    scales = torch.where(scales == 0, torch.ones_like(scales), scales)  # all the same: the zero point alone carries it
    zeros = -low / scales.float()
    codes = (wide / scales.float()[..., None] + zeros[..., None]).round().clamp(0, 2**bits - 1).to(torch.uint8)
    return {"codes": pack(codes.reshape(out, -1)[:, :inputs], bits), "scales": scales, "zeros": zeros}


def dequantise_int(parts: Parts, form: Format, shape: tuple[int, int]) -> Tensor:
    out, inputs = shape
    if not parts["zeros"].is_floating_point():
        raise ModelError(
            "these zero points are integers",
            f"they are of the type {parts['zeros'].dtype}; what was learnt lies between the integers, and rounding loses it",
            "save the student again with limbeck, which keeps float32",
        )
    codes = unpack(parts["codes"], form.bits, out * inputs).reshape(shape).float()
    if inputs % form.group == 0:
        wide = codes.reshape(out, -1, form.group)
        return ((wide - parts["zeros"][..., None]) * parts["scales"].float()[..., None]).reshape(shape)
    spread = lambda each: each.float().repeat_interleave(form.group, 1)[:, :inputs]  # noqa: E731
    return (codes - spread(parts["zeros"])) * spread(parts["scales"])


def group_sizes(inputs: int, group: int) -> Tensor:
    """(groups,) float32: how many inputs each has."""
    whole, rest = divmod(inputs, group)
    return torch.tensor([float(group)] * whole + ([float(rest)] if rest else []))


# ---- codes in bytes ----------------------------------------------------------------------------------------------


def pack(codes: Tensor, bits: int) -> Tensor:
    """Codes below 2**bits, any shape -> uint8 (bytes,), lowest bits first: 4, 8 or 2 codes of 2, 3 or 4 bits fill 1, 3 or 1 bytes."""
    each, length = _WORD[bits]
    flat = codes.reshape(-1)
    assert not len(flat) or int(flat.max()) < 2**bits, "a code needs more bits"
    wide = F.pad(flat, (0, -len(flat) % each)).reshape(-1, each).to(torch.int32)
    word = (wide << (bits * torch.arange(each, dtype=torch.int32, device=flat.device))).sum(1, dtype=torch.int32)
    return (word[:, None] >> (8 * torch.arange(length, dtype=torch.int32, device=flat.device)) & 255).to(torch.uint8).reshape(-1)


def unpack(packed: Tensor, bits: int, count: int) -> Tensor:
    """What `pack` packed -> uint8 (count,)."""
    each, length = _WORD[bits]
    word = packed
    if length > 1:
        word = sum(packed[i::length].to(torch.int32) << 8 * i for i in range(length))
    shifts = bits * torch.arange(each, dtype=word.dtype, device=packed.device)
    return ((word[:, None] >> shifts) & (2**bits - 1)).to(torch.uint8).reshape(-1)[:count]
