"""Frozen lower layers are computed once: the same losses, the same weights after a kill, and less work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from limbeck import registry
from limbeck.engine import loop, prefix
from limbeck.engine.dropout import set_back, set_dropout
from limbeck.engine.layers import layers_of
from limbeck.engine.load import CAUSAL, ENCODER, SEQ2SEQ, load_base
from limbeck.engine.numbers import read_numbers
from limbeck.engine.start import new_student
from limbeck.engine.tokens import pad_id
from limbeck.testing.adapters import fit as fit_job
from limbeck.testing.adapters import job_of, resumes_to_the_same_weights
from limbeck.testing.toys import toy
from limbeck.types import Kind


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(toy(tmp_path_factory.mktemp("toy"), ENCODER))


def student_of(base: str, kind: Kind, folder: Path, freeze: int = 1, adapter: str = "full") -> tuple[Any, Any, Any, Any]:
    """(student with its lowest layers frozen, features, numbers, tokenizer)."""
    job = job_of(adapter, kind, base, folder, freeze_layers=freeze, freeze_embeddings=True, epochs=5, average=0.0, warmup=0.0)
    loaded, numbers = load_base(base), read_numbers(job.recipe)
    torch.manual_seed(0)
    student = new_student(loaded, job.task, job.train, numbers)
    student.backbone = registry.take("adapters", adapter).attach(student.backbone, job.recipe)
    features = registry.take("objectives", "sft").features(job.task, job.train, loaded.tokenizer, loaded.max_length)
    return student, features, numbers, loaded.tokenizer


def losses(base: str, kind: Kind, folder: Path, on: bool, adapter: str = "full") -> list[float]:
    student, features, numbers, tokenizer = student_of(base, kind, folder, adapter=adapter)
    training = loop.Training(
        student, registry.take("objectives", "sft"), features, replace(numbers, reuse_prefix=False), pad_id(tokenizer), 0, folder, "x"
    )
    with prefix.reuse(student, features, pad_id(tokenizer), folder, on=on) as said:
        assert ("computed once" in said) is on, said
        return [line["train_loss"] for line in loop.run(training).history]


@pytest.mark.parametrize(
    ("kind", "adapter"),
    [(Kind.LABEL, "full"), (Kind.CHOICE, "full"), (Kind.SCORE, "full"), (Kind.LABEL, "lora"), (Kind.LABEL, "loreft")],
)
def test_losses_over_five_epochs_are_those_without_reuse(base: str, tmp_path: Path, kind: Kind, adapter: str) -> None:
    ours, plain = losses(base, kind, tmp_path / "a", True, adapter), losses(base, kind, tmp_path / "b", False, adapter)
    assert ours == pytest.approx(plain, rel=1e-5) and ours[-1] < ours[0]


def test_frozen_layers_do_not_run_again(base: str, tmp_path: Path) -> None:
    student, features, numbers, tokenizer = student_of(base, Kind.LABEL, tmp_path)
    calls = 0

    def count(*_: Any) -> None:
        nonlocal calls
        calls += torch.is_grad_enabled()

    layers_of(student.backbone)[0].register_forward_hook(count)
    loop.run(loop.Training(student, registry.take("objectives", "sft"), features, numbers, pad_id(tokenizer), 0, tmp_path, "x"))
    assert calls == 0, "the lowest layer ran in training although it is frozen"


def test_the_model_is_whole_again_afterwards(base: str, tmp_path: Path) -> None:
    student, features, _, tokenizer = student_of(base, Kind.LABEL, tmp_path)
    names, chances = list(student.state_dict()), [m.p for m in student.modules() if isinstance(m, torch.nn.Dropout)]
    with prefix.reuse(student, features, pad_id(tokenizer), tmp_path):
        assert list(student.state_dict()) != names
    assert list(student.state_dict()) == names
    assert chances == [m.p for m in student.modules() if isinstance(m, torch.nn.Dropout)] and max(chances) > 0


def test_a_row_that_was_never_seen_goes_through_the_layers(base: str, tmp_path: Path) -> None:
    student, features, _, tokenizer = student_of(base, Kind.LABEL, tmp_path)
    ids = torch.tensor([[2, 9, 17, 30, 3]])
    student.eval()
    plain = student(ids, torch.ones_like(ids)).logits
    with prefix.reuse(student, features, pad_id(tokenizer), tmp_path):
        torch.testing.assert_close(student(ids, torch.ones_like(ids)).logits, plain)


def test_a_killed_training_resumes_to_the_same_weights_with_reuse(base: str, tmp_path: Path) -> None:
    job = job_of("full", Kind.LABEL, base, tmp_path / "fit", freeze_layers=1, freeze_embeddings=True)
    resumes_to_the_same_weights(job, fit_job(job), tmp_path / "killed")


def test_what_does_not_fit_into_memory_lies_in_a_file_and_is_removed(base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefix, "MEMORY_SHARE", 0.0)
    student, features, _, tokenizer = student_of(base, Kind.LABEL, tmp_path)
    with prefix.reuse(student, features, pad_id(tokenizer), tmp_path) as said:
        assert "in a file" in said and (tmp_path / "prefix.tmp").exists()
    assert not (tmp_path / "prefix.tmp").exists()
    monkeypatch.setattr(prefix, "DISK_SHARE", 0.0)
    with prefix.reuse(student, features, pad_id(tokenizer), tmp_path) as said:
        assert "fit nowhere" in said


def test_nothing_is_reused_where_the_embeddings_move(base: str, tmp_path: Path) -> None:
    student, features, _, tokenizer = student_of(base, Kind.LABEL, tmp_path)
    student.backbone.embeddings.requires_grad_(True)
    with prefix.reuse(student, features, pad_id(tokenizer), tmp_path) as said:
        assert said == ""


def test_a_decoder_only_base_reuses_under_either_padding(tmp_path: Path) -> None:
    loaded = load_base(str(toy(tmp_path / "llama", CAUSAL)))
    model = loaded.model.requires_grad_(False)
    layers_of(model)[1].requires_grad_(True)
    model.train()
    rows = [[2, 9, 17, 30], [2, 11]]
    wide = torch.tensor([[2, 9, 17, 30], [2, 11, 0, 0]]), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    plain = model(input_ids=wide[0], attention_mask=wide[1]).logits
    with prefix.reuse(model, [{"input_ids": r} for r in rows], 0, tmp_path) as said:
        assert "computed once" in said, said
        ours = model(input_ids=wide[0], attention_mask=wide[1]).logits
        assert ours.requires_grad
    real = wide[1].bool()
    torch.testing.assert_close(ours[real], plain[real])


def test_lora_above_frozen_layers_reuses_them(base: str, tmp_path: Path) -> None:
    job = job_of("lora", Kind.LABEL, base, tmp_path, freeze_layers=1, rank=4)
    model = registry.take("adapters", "lora").attach(load_base(base).model, job.recipe)
    assert prefix.frozen_layers(model) == 1
    assert not [n for n, p in model.named_parameters() if p.requires_grad and ".0." in n]


@pytest.mark.parametrize(("family", "frozen"), [(SEQ2SEQ, 1), (SEQ2SEQ, 3), (CAUSAL, 1)])
def test_a_student_that_writes_trains_above_frozen_layers_as_it_does_without_reuse(tmp_path: Path, family: str, frozen: int) -> None:
    """Three frozen layers of the encoder-decoder are its encoder and one layer of its decoder."""
    base = str(toy(tmp_path / "toy", family))
    said: list[str] = []

    def trained(reuse: bool) -> list[float]:
        job = job_of(
            "lora", Kind.LABEL, base, tmp_path / str(reuse), freeze_layers=frozen, rank=4, epochs=2, patience=2, reuse_prefix=reuse
        )
        assert prefix.frozen_layers(registry.take("adapters", "lora").attach(load_base(base).model, job.recipe)) == frozen
        return [line["train_loss"] for line in fit_job(replace(job, note=lambda done, total, what: said.append(what))).history]

    assert trained(True) == trained(False)
    assert not [what for what in said if "frozen" in what]


def test_dropout_that_attention_keeps_as_a_plain_number_is_set_and_set_back(tmp_path: Path) -> None:
    """Llama has no nn.Dropout at all, and its config may say 0 in place of 0.0."""
    model = load_base(str(toy(tmp_path / "llama", CAUSAL))).model.train()
    attention = layers_of(model)[0].self_attn
    attention.attention_dropout = 0
    ids = torch.tensor([[2, 9, 17, 30, 8, 40]])
    before = set_dropout(model.modules(), 0.5)
    assert attention.attention_dropout == 0.5 and not torch.equal(model(ids).logits, model(ids).logits)
    set_back(before)
    assert attention.attention_dropout == 0 and torch.equal(model(ids).logits, model(ids).logits)
