"""LoRA's variants, LoRA+ and IA3 in all three families and GPT-2: counts, starts, merges, and what is refused."""

# ruff: noqa: E402  (the imports below need torch)

import copy
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from peft.optimizers import create_loraplus_optimizer
from transformers import GPT2Config, GPT2LMHeadModel

from limbeck import derived, recipes
from limbeck.adapters import full, ia3, lora
from limbeck.engine.groups import parameter_groups
from limbeck.engine.load import CAUSAL, ENCODER, SEQ2SEQ, load_base
from limbeck.engine.numbers import Numbers
from limbeck.errors import UsageError
from limbeck.testing.adapters import disturb, outputs
from limbeck.testing.toys import toy
from limbeck.types import Recipe, Value

VARIANTS = [(), ("dora",), ("rslora",), ("pissa",)]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    folder = tmp_path_factory.mktemp("toys")
    found = {family: load_base(str(toy(folder / family, family))).model for family in (ENCODER, SEQ2SEQ, CAUSAL)}
    torch.manual_seed(0)
    found["gpt2"] = GPT2LMHeadModel(GPT2Config(vocab_size=90, n_positions=64, n_embd=32, n_layer=2, n_head=2)).eval()
    return found


def family_of(name: str) -> str:
    return CAUSAL if name == "gpt2" else name


def moving(model: torch.nn.Module) -> int:
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda v: v[0] if v else "lora")
@pytest.mark.parametrize("name", [ENCODER, SEQ2SEQ, CAUSAL, "gpt2"])
def test_lora_begins_as_the_base_and_merges_to_what_it_computes(models, name: str, variant: tuple[str, ...]) -> None:
    base = models[name]
    before = outputs(base, family_of(name))
    scale = max(1.0, float(before.abs().max()))
    model = lora.attach(copy.deepcopy(base), Recipe(adapter="lora", args=("r4", *variant)))
    begun = outputs(model, family_of(name))
    assert (begun - before).abs().max() <= (1e-5 if variant == ("pissa",) else 1e-6) * scale
    apart = outputs(disturb(model, 1), family_of(name))
    merged = lora.merge(model)
    assert (apart - before).abs().max() > 1e-3
    assert type(merged) is type(base) and set(merged.state_dict()) == set(base.state_dict())
    torch.testing.assert_close(outputs(merged, family_of(name)), apart, atol=1e-5 * scale, rtol=1e-4)


def test_lora_counts_are_the_formulas(models) -> None:
    d, ff, kv = 64, 128, 32
    expected = {
        SEQ2SEQ: 2 * (4 * 2 * d + 2 * (d + ff)) + 2 * (8 * 2 * d + 2 * (d + ff)),  # encoder: q k v o wi wo; decoder: also across
        CAUSAL: 2 * (2 * 2 * d + 2 * (d + kv) + 3 * (d + ff)),
        "gpt2": 2 * ((32 + 96) + (32 + 32) + 2 * (32 + 128)),
    }
    for name, sizes in expected.items():
        assert moving(lora.attach(copy.deepcopy(models[name]), Recipe(adapter="lora", args=("r4",)))) == 4 * sizes
    dora = lora.attach(copy.deepcopy(models["gpt2"]), Recipe(adapter="lora", args=("r4", "dora")))
    assert moving(dora) == 4 * expected["gpt2"] + 2 * (96 + 32 + 128 + 32)


@pytest.mark.parametrize("name", [SEQ2SEQ, CAUSAL, "gpt2"])
def test_embeddings_and_the_output_matrix_are_never_adapted(models, name: str) -> None:
    model = lora.attach(copy.deepcopy(models[name]), Recipe(adapter="lora"))
    touched = [n for n, p in model.named_parameters() if p.requires_grad]
    assert touched and not [n for n in touched if any(word in n for word in ("lm_head", "embed", "shared", "wte", "wpe"))]


def test_what_pissa_leaves_is_another_base_so_its_vectors_do_not_fit_the_original(models) -> None:
    """Why merged weights are shipped: switched off, PiSSA is not the base."""
    model = lora.attach(copy.deepcopy(models[CAUSAL]), Recipe(adapter="lora", args=("r4", "pissa")))
    with model.disable_adapter():
        assert (outputs(model, CAUSAL) - outputs(models[CAUSAL], CAUSAL)).abs().max() > 1e-3


def test_loraplus_is_pefts(models) -> None:
    model = lora.attach(copy.deepcopy(models[CAUSAL]), Recipe(adapter="lora", args=("r4",)))
    ours = {id(p): g["lr"] for g in parameter_groups(model, Numbers(lr=1e-4, loraplus=16.0)) for p in g["params"]}
    theirs = create_loraplus_optimizer(model, torch.optim.AdamW, lr=1e-4, loraplus_lr_ratio=16.0)
    expected = {id(p): g["lr"] for g in theirs.param_groups for p in g["params"]}
    assert ours == pytest.approx(expected) and sorted(set(ours.values())) == pytest.approx([1e-4, 1.6e-3])


def test_ia3_counts_are_the_formulas_and_the_attention_output_is_left_alone(models) -> None:
    for name, count in {ENCODER: 2 * (64 + 64 + 128), SEQ2SEQ: 2 * (64 * 2 + 128) + 2 * (64 * 4 + 128), CAUSAL: 2 * (32 * 2 + 128)}.items():
        model = ia3.attach(copy.deepcopy(models[name]), Recipe(adapter="ia3"))
        assert moving(model) == count
        assert not [n for n, p in model.named_parameters() if p.requires_grad and "attention.output" in n]
    assert moving(ia3.attach(copy.deepcopy(models["gpt2"]), Recipe(adapter="ia3"))) == 2 * (96 + 128)


@pytest.mark.parametrize("name", [ENCODER, SEQ2SEQ, CAUSAL, "gpt2"])
def test_ia3_merges_exactly(models, name: str) -> None:
    before = outputs(models[name], family_of(name))
    model = ia3.attach(copy.deepcopy(models[name]), Recipe(adapter="ia3"))
    assert (outputs(model, family_of(name)) - before).abs().max() <= 1e-6
    apart = outputs(disturb(model, 1), family_of(name))
    scale = max(1.0, float(before.abs().max()))
    torch.testing.assert_close(outputs(ia3.merge(model), family_of(name)), apart, atol=1e-5 * scale, rtol=1e-4)


def test_ia3_scales_nothing_in_frozen_layers(models) -> None:
    recipe = Recipe(adapter="ia3", values=(Value(name="freeze_layers", value=1, why=""),))
    model = ia3.attach(copy.deepcopy(models[ENCODER]), recipe)
    names = [n for n, p in model.named_parameters() if p.requires_grad]
    assert names and all("layer.1." in n for n in names)


def test_a_pattern_that_finds_nothing_is_an_error(models) -> None:
    other = copy.deepcopy(models["gpt2"])
    other.config.model_type = "llama"
    with pytest.raises(UsageError, match="nothing to scale"):
        ia3.attach(other, Recipe(adapter="ia3"))
    other.config.model_type = "quite-new"
    with pytest.raises(UsageError, match="keys and values"):
        ia3.attach(other, Recipe(adapter="ia3"))
    other.transformer.h = torch.nn.ModuleList([torch.nn.LayerNorm(32)])
    with pytest.raises(UsageError, match="no linear layer"):
        lora.attach(other, Recipe(adapter="lora"))


@pytest.mark.parametrize("name", [ENCODER, SEQ2SEQ, CAUSAL, "gpt2"])
def test_full_freezes_the_lowest_layers_and_the_embeddings(models, name: str) -> None:
    values = (Value(name="freeze_layers", value=1, why=""), Value(name="freeze_embeddings", value=True, why=""))
    model = full.attach(copy.deepcopy(models[name]), Recipe(adapter="full", values=values))
    stays = {n for n, p in model.named_parameters() if not p.requires_grad}
    first = {ENCODER: "encoder.layer.0.", SEQ2SEQ: "encoder.block.0.", CAUSAL: "model.layers.0.", "gpt2": "transformer.h.0."}[name]
    words = ("embeddings.", "shared.", "embed_tokens.", "wte.", "wpe.")
    assert {n for n, _ in model.named_parameters() if n.startswith(first) or any(w in n for w in words)} == stays
    with pytest.raises(UsageError, match="one has to move"):
        full.attach(copy.deepcopy(models[name]), Recipe(adapter="full", values=(Value(name="freeze_layers", value=9, why=""),)))


def test_variants_are_read_and_what_is_misspelt_gets_a_suggestion() -> None:
    assert lora.read_args(recipes.parse("lora:r8:dora@minilm")) == (8, ("dora",))
    with pytest.raises(UsageError, match="did you mean pissa"):
        recipes.parse("lora:pisa@minilm")
    with pytest.raises(UsageError, match="twice"):
        lora.read_args(recipes.parse("lora:r8:r16@minilm"))


def test_numbers_of_a_writer_are_known_and_carry_reasons(tmp_path: Path) -> None:
    from limbeck.types import Kind, Task

    task = Task(name="t", instruction="Say it.", kind=Kind.LABEL, labels=("a", "b"))
    sizes = derived.Sizes(100, 20, 20, 0, 2, 80.0, 0)
    recipe = recipes.parse(f"lora@{toy(tmp_path, CAUSAL)}")
    found = derived.with_values(recipe, task, sizes, {"losses": "lm+ul+ln", "loraplus": 16})
    assert found.value("losses") == "lm+ul+ln" and found.value("loraplus") == 16 and all(v.why for v in found.values)
    assert {"losses", "normalise", "instruct", "loraplus"} <= derived.known_values()
    assert "losses" not in {v.name for v in derived.with_values(recipes.parse("lora@minilm"), task, sizes, {}).values}
