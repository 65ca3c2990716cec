"""On a CUDA device: every adapter trains there, merges there, and what was trained there answers the same on a CPU."""

import pytest

pytest.importorskip("torch")

import torch

from limbeck import registry
from limbeck.engine import loop
from limbeck.engine.device import pick_device
from limbeck.engine.load import CAUSAL, ENCODER, load_base
from limbeck.engine.numbers import read_numbers
from limbeck.engine.predict import load_predictor
from limbeck.registry import Objective
from limbeck.testing import adapters
from limbeck.testing.toys import toy
from limbeck.types import Kind

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and torch sees none here")]

ATTACHED = [name for name in registry.names("adapters") if registry.take("adapters", name).attach is not None]


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    return {family: str(toy(tmp_path_factory.mktemp("toys") / family, family)) for family in (ENCODER, CAUSAL)}


@pytest.fixture
def trained(bases, tmp_path):
    """name, values -> (adapter, the attached model after three steps on one batch in bfloat16, the three losses, the optimizer)."""

    def train(name, **values):
        numbers = {"epochs": 3, "batch_rows": 8, "average": 0.0, "warmup": 0.0, "edit_dropout": 0.0, **values}
        job = adapters.job_of(name, Kind.LABEL, bases[CAUSAL], tmp_path, **numbers)
        adapter = registry.take("adapters", name)
        torch.manual_seed(0)
        model = adapter.attach(load_base(bases[CAUSAL]).model, job.recipe).to(pick_device())
        objective = Objective("causal", (Kind.TEXT,), list, causal_loss)
        features = [{"input_ids": row} for row in torch.randint(4, 60, (8, 12)).tolist()]
        run = loop.Loop(loop.Training(model, objective, features, read_numbers(job.recipe), 0, 0, tmp_path, "gpu", bf16=True))
        run.train()
        return adapter, model, [line["train_loss"] for line in run.progress.history], getattr(run.optimizer, "optimizer", run.optimizer)

    return train


def causal_loss(model, batch):
    labels = batch["input_ids"].clone()
    labels[:, :8] = -100
    return model(**batch, labels=labels).loss, {}


def logits(model):
    ids = torch.randint(4, 60, (3, 12), generator=torch.Generator().manual_seed(1)).to(pick_device())
    prompt = {"prompt_mask": torch.ones_like(ids)} if getattr(model, "takes_prompt_mask", False) else {}
    with torch.no_grad():
        return model.to(pick_device()).eval()(input_ids=ids, attention_mask=torch.ones_like(ids), **prompt).logits.float()


@pytest.mark.parametrize("name", ATTACHED)
def test_three_steps_lower_the_loss_and_merging_keeps_the_answers(name, trained, tmp_path):
    if name in ("qlora", "loftq"):
        pytest.importorskip("bitsandbytes")
    adapter, model, losses, _ = trained(name)
    assert len(losses) == 3 and losses[2] < losses[0], losses
    before = logits(model)
    if adapter.merge is None:
        adapter.save(model, tmp_path / "model")
    after = logits(adapter.merge(model) if adapter.merge else adapter.load(tmp_path / "model"))
    assert (after - before).norm() / before.norm() < 2e-2  # bfloat16 keeps 8 bits


def test_qlora_computes_in_bfloat16_with_four_bits_on_the_device_and_pages_its_optimizer(trained):
    bnb = pytest.importorskip("bitsandbytes")
    _, model, _, optimizer = trained("qlora", optimizer="paged_adamw", rank=2048)  # only states of 100,000 numbers and more are paged
    packed = [m for m in model.modules() if isinstance(m, bnb.nn.Linear4bit)]
    assert packed and {(m.compute_dtype, m.weight.dtype, m.weight.device.type) for m in packed} == {(torch.bfloat16, torch.uint8, "cuda")}
    assert type(optimizer) is bnb.optim.PagedAdamW32bit and optimizer.is_paged
    assert any(getattr(state["state1"], "is_paged", False) for state in optimizer.state.values())
    assert type(trained("lora")[3]) is torch.optim.AdamW  # where nothing asks for pages


@pytest.mark.parametrize(("name", "family"), [("full", ENCODER), ("lora", CAUSAL), ("qlora", ENCODER), ("loreft", CAUSAL)])
def test_what_was_trained_here_answers_the_same_on_a_cpu(name, family, bases, tmp_path):
    if name == "qlora":
        pytest.importorskip("bitsandbytes")
    job = adapters.job_of(name, Kind.LABEL, bases[family], tmp_path / "fit")
    fitted = adapters.fit(job)
    assert {p.device.type for p in fitted.predictor.student.parameters()} == {"cuda"}
    fitted.save(tmp_path / "model")
    loaded = load_predictor(tmp_path / "model")
    assert {p.device.type for p in loaded.student.parameters()} == {"cpu"}
    for here, there in zip(*(each.predict(adapters.blind(job)) for each in (fitted.predictor, loaded)), strict=True):
        assert here.text == there.text and here.confidence == pytest.approx(there.confidence, abs=2e-3)
