"""ReFT on whole models: any padding, generation, several adapters, checkpoints, compile, LoRA, files."""

from __future__ import annotations

import copy
import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertModel,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from limbeck.adapters.reft import ReftConfig, ReftModel, get_reft_model, load_pyreft
from limbeck.errors import ModelError, UsageError
from limbeck.registry import take
from tests.golden.golden_bases import ROWS, golden_llama, golden_roberta

GOLDEN = Path(__file__).resolve().parent.parent / "golden"

D, V = 32, 40
SHAPE = {"hidden_size": D, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 48}
ENDS: dict[str, Any] = {"pad_token_id": 0, "bos_token_id": 2, "eos_token_id": None}
LONG, SHORT = [5, 9, 14, 7, 3, 11, 0, 6, 8], [8, 4, 0, 17]  # 0 is pad and unk at once; no row begins with a BOS


def make(family: str) -> Any:
    torch.manual_seed(0)
    if family == "llama":
        return LlamaForCausalLM(LlamaConfig(vocab_size=V, num_key_value_heads=2, **SHAPE, **ENDS)).eval()
    if family == "gpt2":
        return GPT2LMHeadModel(GPT2Config(vocab_size=V, n_embd=D, n_layer=2, n_head=4, n_positions=64, **ENDS)).eval()
    if family == "bert":
        return BertModel(BertConfig(vocab_size=V, **SHAPE, pad_token_id=0), add_pooling_layer=False).eval()
    return T5ForConditionalGeneration(
        T5Config(vocab_size=V, d_model=D, d_kv=8, d_ff=48, num_layers=2, num_heads=4, decoder_start_token_id=0, **ENDS)
    ).eval()


def reft_of(family: str, **values: Any) -> ReftModel:
    base = make(family)
    torch.manual_seed(1)
    model = get_reft_model(base, ReftConfig(**{"rank": 3, "positions": "f2+l2", "tied": False, **values})).eval()
    with torch.no_grad():
        for p in model.interventions.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return model


def padded(rows: list[list[int]], side: str) -> dict[str, torch.Tensor]:
    most = max(map(len, rows))
    fill = lambda row, what: [what] * (most - len(row)) if side == "left" else []  # noqa: E731
    tail = lambda row, what: [what] * (most - len(row)) if side == "right" else []  # noqa: E731
    ids = torch.tensor([fill(r, 0) + r + tail(r, 0) for r in rows])
    mask = torch.tensor([fill(r, 0) + [1] * len(r) + tail(r, 0) for r in rows])
    return {"input_ids": ids, "attention_mask": mask}


def out(model: Any, family: str, **inputs: Any) -> torch.Tensor:
    """(B, T, ...) of the prompt's tokens; of a T5 what its decoder says to two tokens."""
    with torch.no_grad():
        if family == "t5":
            return model(**inputs, decoder_input_ids=torch.tensor([[0, 5]]).expand(len(inputs["input_ids"]), -1)).logits
        if family == "bert":
            return model(**inputs).last_hidden_state
        if "attention_mask" in inputs:
            inputs["position_ids"] = (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        return model(**inputs).logits


# ---- the right tokens ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert", "t5"])
@pytest.mark.parametrize("tied", [True, False])
def test_a_padded_row_is_edited_as_it_is_alone(family, tied):
    model = reft_of(family, tied=tied)
    alone = [out(model, family, input_ids=torch.tensor([r]))[0] for r in (LONG, SHORT)]
    plain = out(model.base_model, family, input_ids=torch.tensor([LONG]))[0]
    with model.disable_adapter():
        assert (out(model, family, input_ids=torch.tensor([LONG]))[0] - alone[0]).abs().max() > 0.02, "the edits have to show"
    assert (plain - alone[0]).abs().max() < 1e-6, "the base itself is edited too: its hooks are ours"
    for side in ("left", "right") if family != "bert" else ("right",):
        together = out(model, family, **padded([LONG, SHORT], side))
        for row, n, one in ((0, len(LONG), alone[0]), (1, len(SHORT), alone[1])):
            if family != "t5":
                got = together[row, -n:] if side == "left" else together[row, :n]
            else:
                got = together[row]
                if side == "left" and n < len(LONG):
                    continue  # T5's relative positions see through pads only up to rounding of buckets
            torch.testing.assert_close(got, one, atol=2e-5, rtol=1e-4)


def test_only_the_positions_asked_for_are_edited():
    """Of the first block: the rest of its output is the base's, bit for bit."""
    seen: dict[str, torch.Tensor] = {}
    model = reft_of("llama", layers=(0,), tied=True)
    model.base_model.model.layers[0].register_forward_hook(lambda m, a, o: seen.__setitem__("h", o if torch.is_tensor(o) else o[0]))
    inputs = padded([LONG, SHORT], "left")
    with torch.no_grad():
        model(**inputs)
        edited = seen["h"]
        with model.disable_adapter():
            model(**inputs)
    changed = (edited != seen["h"]).any(-1)
    assert changed.int().tolist() == [[1, 1, 0, 0, 0, 0, 0, 1, 1], [0, 0, 0, 0, 0, 1, 1, 1, 1]]


def test_labels_and_prompt_mask_name_the_same_prompt():
    model = reft_of("llama")
    ids = torch.tensor([LONG, LONG[::-1]])
    labels = ids.clone()
    labels[0, :5], labels[1, :6] = -100, -100
    mask = (labels == -100).long()
    by_labels, by_mask, by_all = model(ids, labels=labels).logits, model(ids, prompt_mask=mask).logits, model(ids).logits
    assert torch.equal(by_labels, by_mask)
    assert not torch.allclose(by_labels, by_all, atol=1e-3)


def test_labels_on_every_token_are_refused():
    ids = torch.tensor([LONG])
    with pytest.raises(UsageError, match="no row of the batch has a prompt"):
        reft_of("llama")(ids, labels=ids)


def test_a_mask_of_another_shape_is_refused():
    with pytest.raises(UsageError, match="prompt_mask"):
        reft_of("llama")(torch.tensor([LONG]), prompt_mask=torch.ones(1, 3))


# ---- generation -----------------------------------------------------------------------------------------------------------

WRITE = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0}


@pytest.mark.parametrize("family", ["llama", "gpt2", "t5"])
@pytest.mark.parametrize("beams", [1, 3])
def test_generation_with_and_without_cache_and_padding_agree(family, beams):
    model = reft_of(family)
    inputs = padded([LONG, SHORT], "left" if family != "t5" else "right")
    more = {**WRITE, "num_beams": beams, "output_scores": True, "return_dict_in_generate": True}
    cached = model.generate(**inputs, use_cache=True, **more)
    full = model.generate(**inputs, use_cache=False, **more)
    assert torch.equal(cached.sequences, full.sequences)
    for a, b in zip(cached.scores, full.scores, strict=True):
        torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)
    for i, row in enumerate((LONG, SHORT)):
        ids = torch.tensor([row])
        one = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **more)
        for k, (a, b) in enumerate(zip(one.scores, cached.scores, strict=True)):
            same = one.sequences[0, -6:].tolist() == cached.sequences[i, -6:].tolist()
            assert same, (one.sequences, cached.sequences)
            if beams == 1 or k == 0:
                torch.testing.assert_close(a, b[i * beams : (i + 1) * beams], atol=1e-4, rtol=1e-4)


def test_generation_edits_the_prompt_and_nothing_after_it():
    """Greedy steps by hand, each a whole forward with the prompt marked, say the same."""
    model = reft_of("llama")
    ids, n = torch.tensor([LONG]), len(LONG)
    written = model.generate(ids, attention_mask=torch.ones_like(ids), output_scores=True, return_dict_in_generate=True, **WRITE)
    for k in range(6):
        sofar = written.sequences[:, : n + k]
        mask = torch.zeros_like(sofar)
        mask[:, :n] = 1
        with torch.no_grad():
            logits = model(sofar, prompt_mask=mask).logits[:, -1]
            everywhere = model(sofar).logits[:, -1]
        torch.testing.assert_close(logits, written.scores[k], atol=1e-5, rtol=1e-4)
        assert k == 0 or not torch.allclose(everywhere, written.scores[k], atol=1e-3), "editing what was written would show"


def test_several_samples_of_several_rows_are_edited_alike():
    model = reft_of("llama")
    inputs = padded([LONG, SHORT], "left")
    for cache in (True, False):
        torch.manual_seed(0)
        found = model.generate(
            **inputs, do_sample=True, num_return_sequences=3, max_new_tokens=2, pad_token_id=0, use_cache=cache,
            output_logits=True, return_dict_in_generate=True,
        )  # fmt: skip
        first = found.logits[0]
        torch.testing.assert_close(first[:3], first[:1].expand(3, -1))
        one = model.generate(
            torch.tensor([SHORT]), attention_mask=torch.ones(1, 4).long(), output_logits=True, return_dict_in_generate=True, **WRITE
        )
        torch.testing.assert_close(first[3:4], one.logits[0], atol=1e-5, rtol=1e-4)


def test_generation_takes_a_prompt_mask():
    model = reft_of("llama")
    ids = torch.tensor([LONG])
    mask = torch.zeros_like(ids)
    mask[:, 2:6] = 1
    found = model.generate(
        ids, attention_mask=torch.ones_like(ids), prompt_mask=mask, output_logits=True, return_dict_in_generate=True, **WRITE
    )
    with torch.no_grad():
        torch.testing.assert_close(found.logits[0], model(ids, prompt_mask=mask).logits[:, -1], atol=1e-5, rtol=1e-4)


# ---- adapters on one base -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["llama", "gpt2", "bert", "t5"])
def test_disabling_restores_the_base_bit_for_bit(family):
    ids = torch.tensor([LONG])
    before = out(make(family), family, input_ids=ids)
    model = reft_of(family)
    with model.disable_adapter():
        assert torch.equal(out(model, family, input_ids=ids), before)
    assert not torch.allclose(out(model, family, input_ids=ids), before, atol=1e-3)
    assert torch.equal(out(model.unload(), family, input_ids=ids), before)


def test_two_adapters_are_switched_on_one_base(tmp_path):
    model = reft_of("llama")
    ids = torch.tensor([LONG])
    first = model(ids).logits
    model.add_adapter("other", ReftConfig(kind="direft", rank=2, layers=(1,), positions="l1"))
    assert torch.equal(model(ids).logits, first), "adding is not switching"
    model.set_adapter("other")
    second = model(ids).logits
    assert not torch.allclose(first, second, atol=1e-3)
    assert {n for n, p in model.named_parameters() if p.requires_grad} == {
        f"interventions.other.1.all.{p}" for p in ("raw", "weight", "bias")
    }
    model.save_pretrained(tmp_path)
    with pytest.raises(UsageError, match="in use"):
        model.delete_adapter("other")
    model.set_adapter("default")
    assert torch.equal(model(ids).logits, first)
    model.delete_adapter("other")
    with pytest.raises(UsageError, match="no adapter"):
        model.set_adapter("other")
    model.load_adapter(tmp_path / "other", "again")
    model.set_adapter("again")
    assert torch.equal(model(ids).logits, second)


def test_only_the_adapter_trains_and_is_counted(capsys):
    model = reft_of("llama")
    moving, every = model.get_nb_trainable_parameters()
    assert moving == 2 * 2 * (2 * 3 * D + 3) and every == moving + sum(p.numel() for p in make("llama").parameters())
    model.print_trainable_parameters()
    assert f"trainable params: {moving:,d}" in capsys.readouterr().out
    model(torch.tensor([LONG])).logits.sum().backward()
    assert {n for n, p in model.named_parameters() if p.grad is not None} == {n for n, p in model.named_parameters() if p.requires_grad}


def test_a_copy_has_hooks_of_its_own():
    model = reft_of("llama")
    ids = torch.tensor([LONG])
    before = model(ids).logits
    twin = copy.deepcopy(model)
    with torch.no_grad():
        for p in twin.interventions.parameters():
            p.add_(0.5)
    assert torch.equal(model(ids).logits, before) and not torch.allclose(twin(ids).logits, before, atol=1e-3)


@pytest.mark.parametrize(
    ("call", "part"),
    [
        (lambda m: m.merge_and_unload(), "cannot be merged"),
        (lambda m: get_reft_model(m, ReftConfig()), "edited already"),
        (lambda m: m.add_adapter("default", ReftConfig()), "under the name"),
        (lambda m: m.add_adapter("a.b", ReftConfig()), "under the name"),
        (lambda m: m.add_adapter("x", ReftConfig(rank=D + 1)), "larger than the hidden size"),
        (lambda m: m.add_adapter("x", ReftConfig(layers=(7,))), "no layer 7"),
        (lambda m: m.set_adapter("defualt"), "did you mean default"),
    ],
)
def test_what_cannot_be_done_is_refused_with_the_reason(call, part):
    with pytest.raises(UsageError) as refused:
        call(reft_of("llama"))
    assert part in str(refused.value) and refused.value.have and refused.value.do


# ---- training machinery ----------------------------------------------------------------------------------------------------------


def gradients(model: ReftModel, **inputs: Any) -> dict[str, torch.Tensor]:
    model.zero_grad()
    model(**inputs).logits.float().square().mean().backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_gradient_checkpointing_gives_the_same_gradients(family, reentrant):
    model = reft_of(family).train()
    for m in model.modules():
        if isinstance(m, torch.nn.Dropout):
            m.p = 0.0
    model.config.use_cache = False
    inputs = padded([LONG, SHORT], "right")
    plain = gradients(model, **inputs)
    model.gradient_checkpointing_enable({"use_reentrant": reentrant})
    for name, grad in gradients(model, **inputs).items():
        torch.testing.assert_close(grad, plain[name], atol=1e-7, rtol=1e-4)
        assert grad.abs().max() > 0, name


def test_two_forwards_before_one_backward_keep_their_own_positions():
    model = reft_of("llama").train()
    a, b = padded([LONG, SHORT], "right"), padded([SHORT], "right")
    apart = [gradients(model, **x) for x in (a, b)]
    model.gradient_checkpointing_enable({"use_reentrant": False})
    model.zero_grad()
    (model(**a).logits.square().mean() + model(**b).logits.square().mean()).backward()
    for name, p in model.named_parameters():
        if p.requires_grad:
            torch.testing.assert_close(p.grad, apart[0][name] + apart[1][name], atol=1e-7, rtol=1e-4)


@pytest.mark.slow
def test_torch_compile_gives_the_same_without_a_break():
    import torch._dynamo
    from torch._dynamo.utils import counters

    torch._dynamo.reset()
    counters.clear()
    model = reft_of("llama").train()
    inputs = padded([LONG, SHORT], "right")
    plain = gradients(model, **inputs)
    compiled = torch.compile(model, backend="aot_eager")
    model.zero_grad()
    loss = compiled(**inputs).logits.float().square().mean()
    loss.backward()
    for name, p in model.named_parameters():
        if p.requires_grad:
            torch.testing.assert_close(p.grad, plain[name], atol=1e-6, rtol=1e-4)
    assert not counters["graph_break"] and counters["stats"]["unique_graphs"] == 1, counters
    torch._dynamo.reset()


def test_it_trains_together_with_lora():
    peft = pytest.importorskip("peft")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lora = peft.get_peft_model(make("llama"), peft.LoraConfig(r=2, target_modules=["q_proj", "v_proj"]))
    torch.manual_seed(1)
    model = get_reft_model(lora, ReftConfig(rank=3, positions="f2+l2", tied=False))
    inputs = padded([LONG, SHORT], "left")
    labels = inputs["input_ids"].clone()
    labels[:, :-2] = -100
    labels[inputs["attention_mask"] == 0] = -100
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-2)
    losses = []
    for _ in range(15):
        loss = model(**inputs, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.3
    moved = {n.split(".")[0] for n, p in model.named_parameters() if p.grad is not None}
    assert moved == {"base_model", "interventions"}
    assert all("lora" in n for n, p in model.named_parameters() if p.requires_grad and n.startswith("base_model"))
    model.eval()
    written = model.generate(**inputs, output_logits=True, return_dict_in_generate=True, **WRITE)
    with torch.no_grad():
        torch.testing.assert_close(written.logits[0], model(**inputs).logits[:, -1], atol=1e-5, rtol=1e-4)
        with model.disable_adapter():
            assert not torch.allclose(written.logits[0], model(**inputs).logits[:, -1], atol=1e-3)


def test_a_bfloat16_base_is_edited_and_trains():
    base = make("llama").to(torch.bfloat16)
    model = get_reft_model(base, ReftConfig(rank=3, positions="f2+l2"))
    assert all(p.dtype is torch.float32 for p in model.interventions.parameters())
    optimizer = torch.optim.AdamW(model.interventions.parameters(), lr=1e-2, weight_decay=0.01)
    ids, losses = torch.tensor([LONG]), []
    labels = torch.tensor([[-100] * 7 + LONG[7:]])
    for _ in range(20):
        loss = model(ids, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0] - 0.1
    for rows in (m.rows() for m in model.interventions.modules() if hasattr(m, "rows")):
        assert (rows @ rows.T - torch.eye(3)).abs().max() < 2e-6


# ---- files ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values", [{}, {"tied": True, "dtype": "bfloat16", "dropout": 0.1}, {"kind": "direft", "layers": (1,), "positions": "f3"}]
)
def test_saved_and_loaded_is_the_same_model(values, tmp_path):
    model = reft_of("llama", **values)
    ids = torch.tensor([LONG])
    model.save_pretrained(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["reft.safetensors", "reft_config.json"]
    again = ReftModel.from_pretrained(make("llama"), tmp_path)
    assert again.reft_config == model.reft_config
    assert torch.equal(again(ids).logits, model(ids).logits)
    assert not any(p.requires_grad for p in again.parameters())
    trained_on = ReftModel.from_pretrained(make("llama"), tmp_path, is_trainable=True)
    assert sum(p.requires_grad for p in trained_on.parameters()) == len(list(trained_on.interventions.parameters()))
    about = json.loads((tmp_path / "reft_config.json").read_text())
    assert (
        about["hidden_size"] == D
        and about["num_layers"] == 2
        and about["limbeck"]
        and about["reft"]["dropout"] == model.reft_config["default"].dropout
    )


def test_files_that_cannot_be_trusted_are_refused(tmp_path):
    model = reft_of("llama")
    model.save_pretrained(tmp_path)
    other = LlamaForCausalLM(LlamaConfig(vocab_size=V, **{**SHAPE, "hidden_size": 16}, num_key_value_heads=2, **ENDS))
    with pytest.raises(ModelError, match="another base"):
        ReftModel.from_pretrained(other, tmp_path)
    with pytest.raises(ModelError, match="no ReFT adapter"):
        ReftModel.from_pretrained(make("llama"), tmp_path / "absent")
    with pytest.raises(ModelError, match="load_pyreft"):
        ReftModel.from_pretrained(make("llama"), GOLDEN / "pyreft" / "loreft")
    tensors = load_file(tmp_path / "reft.safetensors")
    save_file({k: t for k, t in tensors.items() if "bias" not in k}, tmp_path / "reft.safetensors")
    with pytest.raises(ModelError, match="not what its config says"):
        ReftModel.from_pretrained(make("llama"), tmp_path)
    (tmp_path / "reft.safetensors").write_bytes(b"cut short")
    with pytest.raises(ModelError, match="cannot be read"):
        ReftModel.from_pretrained(make("llama"), tmp_path)


# ---- pyreft's folders and pyreft's numbers -----------------------------------------------------------------------------------------------

CASES = json.loads((GOLDEN / "pyreft" / "about.json").read_text())["cases"]


def golden_base(name: str) -> Any:
    return golden_roberta() if name == "roberta" else golden_llama()


@pytest.mark.parametrize("name", CASES)
def test_logits_are_pyrefts(name):
    """Of pyreft 0.1.0, in float32; under padding on either side as well."""
    expected = load_file(GOLDEN / "pyreft" / "logits.safetensors")
    model = load_pyreft(golden_base(name), GOLDEN / "pyreft" / name, CASES[name]["positions"])
    pad = 1 if name == "roberta" else 0
    with torch.no_grad():
        for i, row in enumerate(ROWS):
            want = expected[f"{name}.{i}"]
            torch.testing.assert_close(model(torch.tensor([row])).logits[0], want, atol=1e-6, rtol=0.0)
            if name != "roberta":
                for cut in (slice(3, None), slice(None, -3)):
                    ids = torch.tensor([[pad] * 3 + row] if cut.start else [row + [pad] * 3])
                    mask = torch.tensor([[0] * 3 + [1] * len(row)] if cut.start else [[1] * len(row) + [0] * 3])
                    positions = (mask.cumsum(-1) - 1).clamp(min=0)
                    got = model(ids, attention_mask=mask, position_ids=positions).logits[0, cut]
                    torch.testing.assert_close(got, want, atol=1e-6, rtol=0.0)
    wrong = load_pyreft(golden_base(name), GOLDEN / "pyreft" / name, "f1+l2")
    assert (wrong(torch.tensor([ROWS[0]])).logits[0] - expected[f"{name}.0"]).abs().max() > 1e-3, "other positions have to show"


def copied(name: str, to: Path) -> Path:
    to.mkdir()
    for file in (GOLDEN / "pyreft" / name).iterdir():
        (to / file.name).write_bytes(file.read_bytes())
    return to


def test_the_older_spelling_of_pyvenes_files_is_read(tmp_path):
    for name, old in (
        ("loreft_untied", "layer.{}.comp.block_output.unit.pos.nunit.1#"),
        ("roberta", "comp.roberta.encoder.layer[{}].output.unit.pos.nunit.1#"),
    ):
        folder = copied(name, tmp_path / name)
        for file in list(folder.glob("*.bin")):
            layer = "0" if "layer_0" in file.name or "[0]" in file.name else "1"
            file.rename(folder / f"intkey_{old.format(layer)}{file.stem[-1]}.bin")
        ids = torch.tensor([ROWS[0]])
        new = load_pyreft(golden_base(name), GOLDEN / "pyreft" / name, CASES[name]["positions"])(ids).logits
        assert torch.equal(load_pyreft(golden_base(name), folder, CASES[name]["positions"])(ids).logits, new)


class Hostile:
    def __reduce__(self) -> Any:
        return (exec, ("raise SystemExit('the pickle was run')",))


def test_a_pickle_with_code_in_it_is_refused_and_not_run(tmp_path):
    folder = copied("loreft", tmp_path / "x")
    victim = next(folder.glob("*.bin"))
    with pytest.raises(SystemExit):
        pickle.loads(pickle.dumps(Hostile()))
    torch.save({"weight": Hostile()}, victim)
    with pytest.raises(ModelError, match="cannot be read"):
        load_pyreft(golden_llama(), folder, "f2+l2")


def test_other_pyvene_folders_are_refused(tmp_path):
    folder = copied("loreft", tmp_path / "x")
    config = json.loads((folder / "config.json").read_text())
    config["intervention_types"] = ["<class 'pyvene.models.interventions.VanillaIntervention'>"] * 2
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ModelError, match="interventions that are not read"):
        load_pyreft(golden_llama(), folder, "f2+l2")
    folder = copied("loreft", tmp_path / "y")
    for file in list(folder.glob("*.bin")):
        file.rename(folder / file.name.replace("block_output", "mlp_output"))
    with pytest.raises(ModelError, match="not an edit of a block's output"):
        load_pyreft(golden_llama(), folder, "f2+l2")
    with pytest.raises(UsageError, match="do not fit"):
        load_pyreft(golden_llama(), GOLDEN / "pyreft" / "loreft_untied", "f2")


def test_rows_that_pyreft_has_lost_compute_what_they_did_there(tmp_path):
    """After a resume its R is no longer orthonormal; its forward goes on with it, and so does ours."""
    folder = copied("loreft", tmp_path / "x")
    for file in folder.glob("*.bin"):
        state = torch.load(file, weights_only=True)
        state["rotate_layer"] = state["rotate_layer"] * 0.7
        torch.save(state, file)
    with pytest.warns(UserWarning, match="off orthonormal"):
        model = load_pyreft(golden_llama(), folder, "f2+l2")
    assert model.reft_config["default"].kind == "noreft"
    layer = model.interventions["default"]["0"]
    one, h = layer["all"], torch.randn(3, D)
    up = one.raw
    torch.testing.assert_close(layer(h, torch.zeros(3, 1).bool()), (h @ one.weight.T + one.bias - h @ up.T) @ up, atol=1e-5, rtol=1e-4)
    assert (up @ up.T - 0.49 * torch.eye(3)).abs().max() < 1e-5


# ---- recipes ---------------------------------------------------------------------------------------------------------------------------------


def test_recipes_say_rank_and_positions_in_either_order():
    from limbeck import recipes
    from limbeck.adapters.arguments import rank_of
    from limbeck.adapters.loreft import USUAL_RANK, positions_of

    for text, rank, positions in (("loreft@minilm", 4, "f3l3"), ("loreft:r8:f7l7@minilm", 8, "f7l7"), ("direft:l1:r2@minilm", 2, "l1")):
        recipe = recipes.parse(text)
        assert (rank_of(recipe, USUAL_RANK), positions_of(recipe)) == (rank, positions)
    for wrong in ("loreft:8@minilm", "loreft:f0@minilm", "loreft:l7f7@minilm", "direft+few:8@minilm"):
        with pytest.raises(UsageError):
            recipes.parse(wrong)
    with pytest.raises(UsageError, match="twice"):
        rank_of(recipes.parse("loreft:r4:r8@minilm"))
    assert take("adapters", "loreft").merge is None


def test_a_model_that_passes_one_layer_many_times_is_refused():
    from transformers import AlbertConfig, AlbertModel

    shape = {"hidden_size": 32, "embedding_size": 16, "num_attention_heads": 2, "intermediate_size": 32}
    albert = AlbertModel(AlbertConfig(vocab_size=50, num_hidden_layers=3, **shape))
    with pytest.raises(UsageError, match="no stack of 3 blocks"):
        get_reft_model(albert, ReftConfig(rank=2))
