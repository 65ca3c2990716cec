"""qlora, loftq and qalora on the four families: the maths of each, and the traps that other implementations fell into."""

# ruff: noqa: E402  (the imports below need these packages)

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

for package in ("torch", "peft", "bitsandbytes"):
    pytest.importorskip(package)

import peft
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModel, GPT2Config, GPT2LMHeadModel

from limbeck import recipes, registry
from limbeck.adapters.loftq import best_of_rank, initialise, measure, residuals
from limbeck.engine.load import CAUSAL, ENCODER, SEQ2SEQ, load_base, read_model
from limbeck.engine.lowrank import LowRank, PackedLinear, counts, keep_small, layers_in, linears, plain, swap, to_quantise, weight_of
from limbeck.engine.quant import Format, dequantise, quantise, read_format
from limbeck.errors import MissingExtra, ModelError, UsageError
from limbeck.testing.toys import toy
from limbeck.types import Recipe, Value

FAMILIES = (ENCODER, SEQ2SEQ, CAUSAL, "gpt2")
RECIPES = ("qlora:r4", "loftq:r4:nf4", "loftq:r4:int2", "qalora:4:g32:r4", "qalora:3:g24:r4")


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("bases")
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=100, n_embd=64, n_layer=2, n_head=4, n_positions=64, bos_token_id=2, eos_token_id=3)
    GPT2LMHeadModel(config).save_pretrained(folder / "gpt2")
    return {family: folder / "gpt2" if family == "gpt2" else toy(folder / family, family) for family in FAMILIES}


def recipe_of(text: str, **values: Any) -> Recipe:
    return recipes.parse(f"{text}@minilm").model_copy(
        update={"values": tuple(Value(name=n, value=v, why="test") for n, v in values.items())}
    )


def attached(text: str, folder: Path, **values: Any) -> Any:
    recipe = recipe_of(text, **values)
    return registry.take("adapters", recipe.adapter).attach(read_model(folder), recipe).eval()


def moved(model: Any) -> Any:
    """Every trained number away from its start."""
    torch.manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            if p.requires_grad:
                p.add_(0.02 * torch.randn_like(p))
    return model


def batch(family: str) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(2)
    ids = lambda length: torch.randint(4, 60, (3, length), generator=draw)  # noqa: E731
    found = {"input_ids": ids(9), "attention_mask": torch.ones(3, 9, dtype=torch.int64)}
    return {**found, "decoder_input_ids": ids(5)} if family == SEQ2SEQ else found


def answers(model: Any, family: str) -> torch.Tensor:
    with torch.no_grad():
        return model(**batch(family))[0]


# ---- all three ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", RECIPES)
@pytest.mark.parametrize("family", FAMILIES)
def test_merged_answers_are_the_unmerged_ones_in_the_class_of_the_base(text: str, family: str, bases: dict[str, Path]):
    base, model = read_model(bases[family]), moved(attached(text, bases[family]))
    apart = answers(model, family)
    adapter = registry.take("adapters", text.partition(":")[0])
    merged = adapter.merge(model)
    assert (answers(merged, family) - apart).abs().max() < 1e-5
    assert (answers(base, family) - apart).abs().max() > 1e-3
    assert type(merged) is type(base)
    if adapter.save is None:
        assert {name: p.shape for name, p in merged.state_dict().items()} == {name: p.shape for name, p in base.state_dict().items()}


@pytest.mark.parametrize("text", RECIPES)
@pytest.mark.parametrize("family", FAMILIES)
def test_as_many_numbers_train_as_the_formula_says_and_packing_halves_no_total(text: str, family: str, bases: dict[str, Path]):
    base, model = read_model(bases[family]), attached(text, bases[family])
    shapes = [weight_of(layer).shape for layer in linears(base).values()]
    group = {"32": 32, "24": 24}.get(text.partition(":g")[2][:2], 1)
    found = counts(model)
    assert found.trainable == sum(4 * (out + -(-inputs // group)) for out, inputs in shapes)
    assert found.total == found.trainable + sum(p.numel() for p in base.parameters())
    assert found.percent == pytest.approx(100 * found.trainable / found.total)


@pytest.mark.parametrize("text", ["qlora:r4", "loftq:r4:nf4", "qalora:4:g32:r4"])
@pytest.mark.parametrize("family", [ENCODER, "gpt2"])
def test_frozen_layers_are_quantised_and_not_adapted(text: str, family: str, bases: dict[str, Path]):
    base, model = read_model(bases[family]), moved(attached(text, bases[family], freeze_layers=1))
    below, above = (f"{'layer' if family == ENCODER else 'h'}.{i}." for i in (0, 1))
    moving = [name for name, p in model.named_parameters() if p.requires_grad]
    assert moving and all(above in name for name in moving)
    apart, adapter = answers(model, family), registry.take("adapters", text.partition(":")[0])
    merged = adapter.merge(model)
    assert (answers(merged, family) - apart).abs().max() < 1e-5
    weights = {name: weight_of(layer) for name, layer in linears(base).items() if below in name}
    for name, weight in weights.items():
        error = (
            (merged.get_submodule(name).weight.detach().float().reshape(-1).sort().values - weight.reshape(-1).sort().values).abs().max()
        )
        assert 0 < error < weight.abs().max() / 3, "in fewer bits, and by nothing but that"


@pytest.mark.parametrize("family", [SEQ2SEQ, CAUSAL, "gpt2"])
def test_tables_of_words_and_of_answers_are_not_adapted_and_both_stacks_of_a_t5_are(family: str, bases: dict[str, Path]):
    names = set(linears(read_model(bases[family])))
    assert not [name for name in names if "lm_head" in name or "embed" in name or "shared" in name or "wte" in name]
    assert len(names) == {SEQ2SEQ: 2 * 6 + 2 * 10, CAUSAL: 2 * 7, "gpt2": 2 * 4}[family]


def test_what_is_quantised_is_never_quantised_again(bases: dict[str, Path]):
    for text in ("qlora:r4", "qalora:r4"):
        model = attached(text, bases[ENCODER])
        with pytest.raises(UsageError, match="quantised already"):
            to_quantise(model)


@pytest.mark.parametrize("method", ["gptq", "awq"])
def test_a_base_with_integer_zero_points_is_refused_with_the_reason(method: str, tmp_path: Path):
    folder = toy(tmp_path / method)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(
        json.dumps({**config, "quantization_config": {"quant_method": method, "bits": 4, "group_size": 128}})
    )
    with pytest.raises(UsageError, match=f"method {method}; integer zero points") as refused:
        load_base(str(folder))
    assert refused.value.do.startswith("take the base in float16")


class Other(nn.Module):
    """Two layers of one part each."""

    def __init__(self, part: nn.Module):
        super().__init__()
        self.layers = nn.ModuleList([part, nn.GELU()])


def test_a_model_without_linear_layers_and_layers_of_another_kind_are_refused():
    with pytest.raises(UsageError, match="no linear layer"):
        linears(Other(nn.LayerNorm(8)))
    for part in (nn.MultiheadAttention(8, 2), nn.Conv1d(4, 4, 3)):
        with pytest.raises(UsageError, match="cannot be quantised"):
            to_quantise(Other(part))


def test_without_bitsandbytes_the_extra_is_named(bases: dict[str, Path], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingExtra, match=r"limbeck\[quant\]"):
        attached("qlora", bases[ENCODER])


@pytest.mark.parametrize("text", ["qlora:r8", "loftq", "loftq:r8:int3", "loftq:int2", "qalora", "qalora:3", "qalora:2:g64:r8"])
def test_recipes_are_read(text: str):
    assert recipes.parse(f"{text}@minilm").text == f"{text}@minilm"


@pytest.mark.parametrize("text", ["qlora:4", "loftq:int8", "qalora:5", "qalora:g0"])
def test_recipes_that_mean_nothing_are_refused(text: str):
    with pytest.raises(UsageError, match="cannot read"):
        recipes.parse(f"{text}@minilm")


def test_two_formats_in_one_recipe_are_refused():
    with pytest.raises(UsageError, match="one thing twice"):
        registry.take("adapters", "loftq").numbers(recipe_of("loftq:nf4:int2"), None, 0)


# ---- qlora -------------------------------------------------------------------------------------------------------


def test_qlora_answers_in_eval_mode_what_it_answers_in_training(bases: dict[str, Path]):
    """bitsandbytes repacks the weights and rounds to bfloat16 in eval mode, on a processor with AVX512-BF16."""
    model = moved(attached("qlora:r4", bases[CAUSAL]))
    before = {name: p.clone() for name, p in model.named_parameters()}
    calm = answers(model, CAUSAL)
    assert torch.equal(calm, answers(model.train(), CAUSAL))  # no dropout in a Llama
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())


def test_qlora_holds_nf4_with_scales_in_eight_bits_and_float_adapters(bases: dict[str, Path]):
    import bitsandbytes

    model = attached("qlora:r4", bases[ENCODER])
    pairs = list(layers_in(model, peft.tuners.lora.LoraLayer))
    assert len(pairs) == 12
    for _, layer in pairs:
        base = layer.get_base_layer()
        assert type(layer).__module__ == "peft.tuners.lora.bnb" and isinstance(base, bitsandbytes.nn.Linear4bit)
        assert base.weight.quant_state.nested and base.weight.quant_state.quant_type == "nf4" and base.weight.quant_state.blocksize == 64
        assert layer.lora_A["default"].weight.dtype == torch.float32


def test_layers_that_t5_keeps_in_float32_are_adapted_and_not_quantised(bases: dict[str, Path]):
    model = attached("qlora:r4", bases[SEQ2SEQ])
    kept = {n.rpartition(".")[2] for n, m in layers_in(model, peft.tuners.lora.LoraLayer) if type(m.get_base_layer()) is nn.Linear}
    assert kept == {"wo"}


# ---- loftq -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(40, 64), (64, 40)])
def test_the_low_rank_part_is_that_of_a_whole_decomposition(shape: tuple[int, int]):
    rest = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    A, B = best_of_rank(rest, 6)
    U, S, V = torch.linalg.svd(rest.double(), full_matrices=False)
    torch.testing.assert_close(B @ A, ((U[:, :6] * S[:6]) @ V[:6]).float(), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(A.norm(dim=1), B.norm(dim=0), atol=1e-4, rtol=1e-4)  # the roots on either side
    assert not any(part.isnan().any() for part in best_of_rank(torch.zeros(shape), 6))


@pytest.mark.parametrize("name", ["nf4", "int4", "int3", "int2"])
def test_the_best_step_is_kept_and_no_step_is_worse_than_plain_quantising_at_first(name: str):
    weight = torch.randn(48, 80, generator=torch.Generator().manual_seed(3))
    form = read_format(name, 16)
    start = initialise(weight, form, rank=6, scale=2.0, iterations=5)
    error = (weight - dequantise(start.parts, form, (48, 80)) - 2.0 * start.B @ start.A).norm() / weight.norm()
    assert len(start.errors) == 5 and start.errors[start.best - 1] == min(start.errors)
    assert float(error) == pytest.approx(min(start.errors), rel=1e-4)
    assert start.errors[0] < start.plain_error


def test_what_training_begins_with_does_not_depend_on_alpha(bases: dict[str, Path]):
    """peft multiplies the start by alpha / r."""
    low, high = (answers(attached("loftq:r4:int2", bases[ENCODER], alpha=alpha), ENCODER) for alpha in (1, 16))
    torch.testing.assert_close(low, high, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["nf4", "int2"])
def test_loftq_begins_nearer_to_the_base_than_qlora_in_every_layer(family: str, name: str, bases: dict[str, Path]):
    base, model = read_model(bases[family]), attached(f"loftq:r8:{name}", bases[family])
    x = torch.randn(200, 256, generator=torch.Generator().manual_seed(0))
    found = residuals(model)
    (told,) = measure(model)
    assert told.name == "residual" and told.value == pytest.approx(sum(f["loftq"] for f in found.values()) / len(found), abs=1e-4)
    assert set(found) == set(linears(base))
    for layer_name, layer in linears(base).items():
        weight, ours = weight_of(layer), model.get_submodule(layer_name)
        seen = x[:, : weight.shape[1]]
        rough = dequantise(quantise(weight, ours.base.form), ours.base.form, tuple(weight.shape))
        gone = lambda out, seen=seen, weight=weight: float((out - seen @ weight.T).norm())  # noqa: E731
        bias = 0 if ours.bias is None else ours.bias
        with torch.no_grad():
            assert gone(ours(seen) - bias) < 0.95 * gone(seen @ rough.T), layer_name
        assert found[layer_name]["loftq"] < found[layer_name]["plain"] and 1 <= found[layer_name]["iteration"] <= 5


def test_a_rank_above_a_side_of_a_matrix_is_refused(bases: dict[str, Path]):
    with pytest.raises(UsageError, match="rank 65"):
        attached("loftq:r65", bases[ENCODER])


# ---- qalora ------------------------------------------------------------------------------------------------------


def test_peft_ignores_its_own_qalora_on_a_plain_linear_layer_and_ours_pools():
    config = peft.LoraConfig(r=4, target_modules=["0"], use_qalora=True, qalora_group_size=16)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = peft.get_peft_model(nn.Sequential(nn.Linear(64, 48)), config)
    assert sum(p.numel() for p in theirs.parameters() if p.requires_grad) == 4 * (64 + 48)
    assert sum(p.numel() for p in pooled(64, 48, group=16).parameters() if p.requires_grad) == 4 * (64 // 16 + 48)


def pooled(inputs: int, out: int, group: int, bits: int = 4) -> LowRank:
    torch.manual_seed(0)
    form = Format("int", bits, group)
    base = PackedLinear(quantise(0.1 * torch.randn(out, inputs), form), form, (out, inputs), torch.randn(out))
    return LowRank(base, torch.randn(4, -(-inputs // group)), 0.1 * torch.randn(out, 4), scale=2.0, pool=group)


def merged(layer: LowRank) -> PackedLinear:
    model = nn.Sequential(layer)
    return registry.take("adapters", "qalora").merge(model)[0]


@pytest.mark.parametrize(("inputs", "group"), [(64, 16), (64, 64), (70, 16), (20, 32)])
@pytest.mark.parametrize("bits", [2, 3, 4])
def test_the_zero_points_take_up_the_update_exactly_and_nothing_else_changes(inputs: int, group: int, bits: int):
    layer = pooled(inputs, 48, group, bits)
    x = torch.randn(30, inputs)
    before, codes, scales = layer(x).detach(), layer.base.codes.clone(), layer.base.scales.clone()
    size = (before - layer.base(x)).abs().max()
    after = merged(layer)
    assert size > 0.05 and (after(x) - before).abs().max() < 1e-5
    assert torch.equal(after.codes, codes) and torch.equal(after.scales, scales) and after.zeros.dtype == torch.float32


def test_rounding_the_merged_zero_points_would_lose_the_whole_update():
    layer = pooled(64, 48, 16)
    with torch.no_grad():
        layer.lora_B.mul_(0.02)  # as small as a trained one
        x = torch.randn(30, 64)
        layer.base.zeros = layer.base.zeros.round()
        layer.base.kept = None
        bare, before = layer.base(x), layer(x)
        after = merged(layer)
        assert (after(x) - before).abs().max() < 1e-5
        after.zeros = after.zeros.round()
        after.kept = None
        assert torch.equal(after(x), bare) and not torch.equal(before, bare)


def test_unpacking_in_each_pass_changes_no_bit_of_answers_and_gradients(bases: dict[str, Path]):
    model = moved(attached("qalora:4:g16:r4", bases[ENCODER]))
    found = []
    for limit_mb in (600.0, 0.0):
        keep_small(model, limit_mb).zero_grad()
        out = model(**batch(ENCODER))[0]
        out.square().sum().backward()
        found.append((out.detach(), [p.grad.clone() for p in model.parameters() if p.requires_grad]))
    assert all(layer.kept is None for _, layer in layers_in(model, PackedLinear))
    torch.testing.assert_close(found[0][0], found[1][0], atol=0, rtol=0)
    torch.testing.assert_close(found[0][1], found[1][1], atol=1e-6, rtol=1e-5)


def test_half_precision_for_the_rest_leaves_scales_and_zero_points_whole():
    layer = merged(pooled(64, 48, 16))
    zeros = layer.zeros.clone()
    layer.to(torch.bfloat16)
    assert layer.bias.dtype == torch.bfloat16 and torch.equal(layer.zeros, zeros) and layer.zeros.dtype == torch.float32


@pytest.fixture
def folder(bases: dict[str, Path], tmp_path: Path) -> Iterator[tuple[Path, Any]]:
    """A saved qalora student of four bits, and what was saved."""
    adapter = registry.take("adapters", "qalora")
    model = adapter.merge(moved(attached("qalora:4:g64:r4", bases[CAUSAL])))
    adapter.save(model, tmp_path / "saved")
    yield tmp_path / "saved", model


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("text", ["qalora:4:g32:r4", "qalora:3:g24:r4"])
def test_saved_and_loaded_it_answers_the_same_and_is_packed_as_before(text: str, family: str, bases: dict[str, Path], tmp_path: Path):
    adapter, model = registry.take("adapters", "qalora"), moved(attached(text, bases[family]))
    before = answers(model, family)
    adapter.save(model, tmp_path)  # unmerged: merged on the way, and left as it is
    assert list(layers_in(model, LowRank))
    loaded = adapter.load(tmp_path)
    assert (answers(loaded, family) - before).abs().max() < 1e-5
    adapter.save(loaded, tmp_path / "again")
    first, second = load_file(tmp_path / "packed.safetensors"), load_file(tmp_path / "again" / "packed.safetensors")
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
    assert {t.dtype for name, t in first.items() if name.endswith(".codes")} == {torch.uint8}


def test_a_layer_of_four_bits_takes_at_most_three_tenths_of_its_float16_size_on_disk(tmp_path: Path):
    form = Format("int", 4, 64)
    layer = PackedLinear(quantise(torch.randn(384, 1536), form), form, (384, 1536), torch.zeros(384))
    save_file(dict(layer.state_dict()), tmp_path / "packed.safetensors")
    save_file({"weight": torch.zeros(384, 1536).half(), "bias": torch.zeros(384).half()}, tmp_path / "whole.safetensors")
    assert (tmp_path / "packed.safetensors").stat().st_size <= 0.30 * (tmp_path / "whole.safetensors").stat().st_size


def test_others_refuse_the_folder_instead_of_reading_random_layers(folder: tuple[Path, Any]):
    with pytest.raises(OSError):
        AutoModel.from_pretrained(folder[0])
    with pytest.raises(UsageError, match="quantised already"):
        load_base(str(folder[0]))


def test_the_folder_says_how_inputs_were_pooled_and_another_way_is_refused(folder: tuple[Path, Any]):
    config = json.loads((folder[0] / "config.json").read_text())
    facts = config["quantization_config"]
    assert (facts["pool"], facts["zero_points"], facts["bits"], facts["group_size"]) == ("mean", "float32", 4, 64)
    config["quantization_config"] = {**facts, "pool": "sum"}
    (folder[0] / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="'pool': 'sum'"):
        registry.take("adapters", "qalora").load(folder[0])


def test_a_folder_with_rounded_or_missing_zero_points_is_refused(folder: tuple[Path, Any]):
    load, file = registry.take("adapters", "qalora").load, folder[0] / "packed.safetensors"
    whole = load_file(file)
    name = next(n for n in whole if n.endswith(".zeros"))
    save_file({**whole, name: whole[name].round().to(torch.int32)}, file)
    with pytest.raises(ModelError, match="int32, not float32"):
        load(folder[0])
    save_file({n: t for n, t in whole.items() if n != name}, file)
    with pytest.raises(ModelError, match="zeros"):
        load(folder[0])
    file.unlink()
    with pytest.raises(ModelError):
        load(folder[0])


def test_a_conv1d_comes_back_the_way_round_that_it_was(bases: dict[str, Path]):
    model = read_model(bases["gpt2"])
    before = answers(model, "gpt2")
    for name, layer in linears(model).items():
        swap(model, name, plain(weight_of(layer), layer.bias, transposed=True))
    assert torch.equal(answers(model, "gpt2"), before)


def test_the_state_of_a_paged_optimizer_is_kept_and_goes_on_to_the_same_weights():
    """bitsandbytes hands its moments out in a dict within the dict, on every device."""
    import bitsandbytes

    from limbeck.engine import checkpoint

    def begun() -> tuple[torch.nn.Parameter, object]:
        torch.manual_seed(0)
        weight = torch.nn.Parameter(torch.randn(20, 20))
        return weight, bitsandbytes.optim.PagedAdamW32bit([weight], lr=1e-2)

    def step(weight, optimizer, k: int) -> None:
        weight.grad = torch.randn(20, 20, generator=torch.Generator().manual_seed(k))
        optimizer.step()

    whole, optimizer = begun()
    for k in range(6):
        step(whole, optimizer, k)
        if k == 2:
            kept, state = whole.detach().clone(), {n: t.clone() for n, t in checkpoint.optimizer_tensors(optimizer).items()}
    assert set(state) == {"0.step", "0.state1", "0.state2"}
    resumed, optimizer = begun()
    resumed.data.copy_(kept)
    checkpoint.restore_optimizer(optimizer, state)
    for k in range(3, 6):
        step(resumed, optimizer, k)
    assert torch.equal(resumed, whole)
