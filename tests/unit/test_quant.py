"""Weights in 2 to 4 bits: equal to bitsandbytes' own, exact where exactness is promised, refused where they cannot be kept."""

# ruff: noqa: E402  (the imports below need torch)

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from limbeck.engine.lowrank import group_means
from limbeck.engine.quant import (
    NF4_BLOCK,
    Format,
    dequantise,
    dequantise_nf4,
    in_blocks,
    pack,
    quantise,
    read_format,
    scale_levels,
    unpack,
)
from limbeck.errors import ModelError, UsageError

NF4 = read_format("nf4", NF4_BLOCK)
SHAPES = [(96, 256), (64, 64), (7, 13), (33, 50), (1, 5)]


def weights(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.05 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# ---- NF4 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", SHAPES)
def test_nf4_codes_are_those_of_bitsandbytes(shape: tuple[int, int]):
    functional = pytest.importorskip("bitsandbytes").functional
    weight = weights(*shape)
    theirs, state = functional.quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
    ours = quantise(weight, NF4)
    assert torch.equal(unpack(ours["codes"], 4, weight.numel()), codes_of(theirs, weight.numel()))
    assert torch.equal(ours["absmax_mean"], state.offset) and torch.equal(ours["absmax_scale"], state.state2.absmax)


def test_scales_are_those_of_bitsandbytes_and_nearest_where_its_quick_kernel_on_a_cpu_misses_now_and_then():
    functional = pytest.importorskip("bitsandbytes").functional
    weight = weights(384, 1536)
    _, state = functional.quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
    centred = in_blocks(weight, 64).abs().amax(1) - state.offset
    exact, _ = torch.ops.bitsandbytes.quantize_blockwise(
        centred.double(), state.state2.code, 256
    )  # of this type it compares with every level
    ours, quick = quantise(weight, NF4)["absmax"], state.absmax.flatten()
    assert torch.equal(ours, exact)
    share = centred / state.state2.absmax.repeat_interleave(256)[: len(centred)]
    off = lambda places: (share - scale_levels()[places.int()]).abs()  # noqa: E731
    assert (ours == quick).float().mean() > 0.99 and (off(ours) <= off(quick) + 1e-7).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_dequantising_what_bitsandbytes_quantised_gives_its_own_numbers(shape: tuple[int, int]):
    functional = pytest.importorskip("bitsandbytes").functional
    packed, state = functional.quantize_4bit(weights(*shape), quant_type="nf4", compress_statistics=True)
    parts = {
        "codes": pack(codes_of(packed, shape[0] * shape[1]), 4),
        "absmax": state.absmax.flatten(),
        "absmax_scale": state.state2.absmax,
        "absmax_mean": state.offset,
    }
    torch.testing.assert_close(dequantise_nf4(parts, shape), functional.dequantize_4bit(packed, state).reshape(shape), atol=1e-8, rtol=1e-6)


def codes_of(packed: torch.Tensor, count: int) -> torch.Tensor:
    """bitsandbytes puts the first of two codes into the high bits."""
    flat = packed.flatten()
    return torch.stack([flat >> 4, flat & 15], 1).flatten()[:count]


def test_the_levels_of_the_scales_are_those_of_bitsandbytes():
    functional = pytest.importorskip("bitsandbytes").functional
    assert len(scale_levels()) == 256 and torch.equal(scale_levels(), functional.create_dynamic_map())


def test_a_matrix_of_zeros_stays_zero():
    for form in (NF4, Format("int", 2, 64)):
        assert not dequantise(quantise(torch.zeros(8, 80), form), form, (8, 80)).any()


# ---- groups of integers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("inputs", [64, 70, 5])
def test_an_integer_is_off_by_half_a_step_at_most_in_a_last_shorter_group_too(bits: int, inputs: int):
    weight, form = weights(12, inputs), Format("int", bits, 16)
    parts = quantise(weight, form)
    assert parts["scales"].shape == parts["zeros"].shape == (12, -(-inputs // 16))
    step = parts["scales"].float().repeat_interleave(16, 1)[:, :inputs]
    rounded_away = (2**bits - 1) * 2**-8  # of a step: a scale has 8 bits of mantissa, and may lie below range / levels
    assert ((dequantise(parts, form, (12, inputs)) - weight).abs() <= step * (0.5 + rounded_away)).all()


def test_a_group_of_one_value_is_kept_exactly_and_a_shorter_group_has_its_own_scale():
    weight = torch.cat([torch.full((3, 8), 0.37), torch.full((3, 8), 5e-9), 100 * weights(3, 4)], 1)
    form = Format("int", 2, 8)
    back = dequantise(quantise(weight, form), form, (3, 20))
    torch.testing.assert_close(back[:, :16], weight[:, :16], atol=0, rtol=1e-6)
    assert (back[:, 16:] - weight[:, 16:]).abs().max() < 3


@pytest.mark.parametrize("bits", [2, 3, 4])
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 1001])
def test_codes_come_out_of_their_bytes_as_they_went_in(bits: int, count: int):
    codes = torch.randint(0, 2**bits, (count,), dtype=torch.uint8)
    packed = pack(codes, bits)
    assert packed.dtype == torch.uint8 and len(packed) <= -(-count * bits // 8) + 2
    assert torch.equal(unpack(packed, bits, count), codes)


def test_a_code_with_more_bits_is_never_packed():
    with pytest.raises(AssertionError):
        pack(torch.tensor([0, 8], dtype=torch.uint8), 3)


def test_integer_zero_points_are_refused_and_not_rounded():
    form = Format("int", 4, 8)
    parts = quantise(weights(4, 16), form)
    parts["zeros"] = parts["zeros"].round().to(torch.int32)
    with pytest.raises(ModelError, match="integers"):
        dequantise(parts, form, (4, 16))


def test_a_diverged_matrix_and_an_unknown_format_are_refused():
    broken = weights(4, 16)
    broken[1, 2] = float("nan")
    with pytest.raises(ModelError, match="1 of 64 are NaN"):
        quantise(broken, NF4)
    for kind, bits, group in (("int", 5, 32), ("nf4", 3, 64), ("int", 4, 0)):
        with pytest.raises(UsageError, match="no such format"):
            Format(kind, bits, group)


def test_means_of_groups_divide_a_last_shorter_one_by_its_own_size():
    x = torch.arange(10.0).expand(2, 3, 10)
    assert torch.equal(group_means(x, 4)[0, 0], torch.tensor([1.5, 5.5, 8.5]))
    assert torch.equal(group_means(x, 5)[1, 2], torch.tensor([2.0, 7.0]))
