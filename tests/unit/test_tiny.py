"""The embedded bases of our own: they load with no network, are what they were, give text back, and learn."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck import registry
from limbeck.bases import embedded
from limbeck.engine.generate import prompt_ids
from limbeck.engine.load import CAUSAL, SEQ2SEQ, Base, family_of_name, load_base
from limbeck.engine.score import ask, likelihoods
from limbeck.engine.train import fit_model
from limbeck.errors import ModelError
from limbeck.registry import FitJob
from limbeck.testing.toys import eight_rows
from limbeck.types import Kind, Recipe, Value

BASES = {"tiny": SEQ2SEQ, "tiny-lm": CAUSAL}
PRETRAIN = Path(__file__).resolve().parents[2] / "bench" / "pretrain"


@pytest.fixture(scope="module", params=list(BASES))
def base(request: pytest.FixtureRequest) -> Base:
    return load_base(request.param)


@pytest.fixture
def pretrain(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """pretrain("sources") -> that module of bench/pretrain."""
    monkeypatch.syspath_prepend(str(PRETRAIN.parent))
    monkeypatch.syspath_prepend(str(PRETRAIN))
    before = set(sys.modules)

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    yield load
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "") or "").startswith(str(PRETRAIN)):
            del sys.modules[name]


# ---- what ships ------------------------------------------------------------------------------------------------------


def test_they_load_by_alias_with_no_network_in_float32(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    assert base.family == BASES[base.name] == family_of_name(base.name)
    assert base.max_length == 512
    assert base.licence == "apache-2.0"
    assert {p.dtype for p in base.model.parameters()} == {torch.float32}
    assert sum(p.numel() for p in base.model.parameters()) <= 2_000_000


def test_both_together_take_less_than_16_mb_and_their_weights_are_float16() -> None:
    from safetensors import safe_open

    files = [file for name in ("tiny", "tiny_lm") for file in embedded.shipped_folder(name).iterdir()]
    assert sum(file.stat().st_size for file in files) < 16_000_000
    for file in files:
        if file.suffix == ".safetensors":
            with safe_open(file, "pt") as weights:
                assert {weights.get_slice(key).get_dtype() for key in weights.keys()} == {"F16"}  # noqa: SIM118


def test_other_weights_under_the_same_name_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil
    from dataclasses import replace

    from limbeck.engine import load

    folder = tmp_path / "tiny"
    shutil.copytree(embedded.TINY.folder(), folder)
    with (folder / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    monkeypatch.setattr(embedded, "TINY", replace(embedded.TINY, folder=lambda: folder))
    load._read.cache_clear()
    with pytest.raises(ModelError, match="not what they should be"):
        load_base("tiny")


@pytest.mark.parametrize("name", ["tiny", "tiny_lm"])
def test_the_data_card_names_every_source_and_every_made_task(name: str, pretrain: Any) -> None:
    card = (embedded.shipped_folder(name) / "README.md").read_text(encoding="utf-8")
    for source in pretrain("sources").SOURCES:
        assert f"| {source.name} | {source.origin} | {source.licence} |" in card
    for left_out, why in pretrain("sources").LEFT_OUT.items():
        assert f"- {left_out}: {why}" in card
    own = list(pretrain("mixture").GENERATORS) + (list(pretrain("episodes").EPISODES) if name == "tiny_lm" else [])
    assert [task for task in own if task not in card] == []
    assert card.startswith("---\nlicense: apache-2.0")


# ---- the tokenizer -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(BASES))
@settings(max_examples=150, deadline=None)
@given(text=st.text(st.characters(blacklist_categories=["Cs"]), max_size=60))
def test_any_text_comes_back_to_the_letter(name: str, text: str) -> None:
    tokenizer = load_base(name, shared=True).tokenizer
    assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text


@pytest.mark.parametrize(
    "text",
    ["", " ", "\n\n x \t", "  two  blanks  ", "a </s> b <extra_id_0> c <pad><s>", "▁Ġ", "( ( 18.0 - 10.0 ) * 15.0 )", "日本 👩‍🚀 é\u0301"],
)
def test_blanks_and_names_of_special_tokens_come_back_too(base: Base, text: str) -> None:
    ids = base.tokenizer(text)["input_ids"]
    assert base.tokenizer.decode(ids, skip_special_tokens=True) == text
    inside = ids[:-1] if base.family == SEQ2SEQ else ids[1:]
    assert not set(inside) & set(base.tokenizer.all_special_ids)


def test_every_digit_is_a_token_of_its_own(base: Base) -> None:
    digits = base.tokenizer.tokenize("he has 1984 apples and 07")
    assert [t.lstrip("Ġ") for t in digits if any(c.isdigit() for c in t)] == list("198407")


def test_offsets_point_at_the_text(base: Base) -> None:
    text = "Input: where is my parcel, 12 days late?"
    found = base.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    assert found["offset_mapping"][-1][1] == len(text)
    joined = "".join(text[a:b] for a, b in found["offset_mapping"])
    assert joined.replace(" ", "") == text.replace(" ", "")


def test_an_answers_first_word_is_the_token_that_it_is_inside_a_prompt(base: Base) -> None:
    """Copying from the prompt is then copying tokens."""
    asked = ask(base.tokenizer, base.family, "Input: it is late\nAnswer:", ["late"])
    assert asked.answers[0][0] in asked.prompt
    assert asked.answers[0][-1] == base.tokenizer.eos_token_id


def test_a_causal_prompt_begins_and_does_not_end_and_a_seq2seq_prompt_ends(base: Base) -> None:
    ids = prompt_ids(base.tokenizer, base.family, "Input: a\nAnswer:")
    assert (ids[0] == base.tokenizer.bos_token_id) == (base.family == CAUSAL)
    assert (ids[-1] == base.tokenizer.eos_token_id) == (base.family == SEQ2SEQ)


# ---- the models ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("adapter", ["full", "lora"])
def test_eight_rows_are_learnt_by_heart(base: Base, adapter: str, tmp_path: Path) -> None:
    task, rows = eight_rows(Kind.TEXT)
    numbers: dict[str, Any] = {
        "epochs": 100 if (adapter, base.family) == ("lora", SEQ2SEQ) else 40, "batch_rows": 8, "lr": 5e-3 if adapter == "full" else 2e-2, "weight_decay": 0.0, "dropout": 0.0, "instruct": False,
        "max_answer": 12, "average": 0.0, "patience": 99,
    }  # fmt: skip
    recipe = Recipe(adapter=adapter, base=base.name, values=tuple(Value(name=n, value=v, why="test") for n, v in numbers.items()))
    job = FitJob(task=task, recipe=recipe, train=rows, dev=rows, seed=0, folder=tmp_path, threads=1, dtype="float32")
    found = fit_model(job, registry.take("adapters", adapter)).predictor.predict([row.blind() for row in rows])
    assert [p.text for p in found] == [row.output for row in rows]


def test_pre_training_left_something_it_expects_answers_of_the_form_that_is_wanted(base: Base) -> None:
    """Random weights give every token log 1/4096 = -8.3; these know a label, and an equation, when one is due."""
    prompts = [
        "Input: what a lovely story !\nAnswer:",
        "Input: Tom has 5 apples. Ida gives Tom 3 more apples. How many apples does Tom have now?\nAnswer:",
    ]
    found = likelihoods(base, prompts, [["positive"], ["( 5 + 3 )"]])
    assert all(one.mean > -4 for (one,) in found), found
