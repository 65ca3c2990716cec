"""What every adapter has to keep, on toy bases and eight rows. Each function raises AssertionError with what broke.

A plug-in's author calls `check(name, kind, base, folder)`; ours are called one by one in tests/contract, for every adapter
on the shelf, with encoders, encoder-decoders and causal models, and for every kind that it takes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from limbeck import recipes, registry
from limbeck.engine import checkpoint, loop
from limbeck.engine.layers import layers_of
from limbeck.engine.load import CAUSAL, ENCODER, SEQ2SEQ, Base, family_of_name, load_base
from limbeck.engine.numbers import read_numbers
from limbeck.engine.predict import load_predictor, predictor_of
from limbeck.engine.start import new_student
from limbeck.engine.tokens import pad_id
from limbeck.engine.train import fit_model
from limbeck.engine.written import WriterPredictor
from limbeck.errors import UsageError
from limbeck.registry import Adapter, FitJob, Fitted
from limbeck.testing.toys import eight_rows
from limbeck.types import Example, Kind, Prediction, Recipe, Status, Value

KINDS = {
    ENCODER: (Kind.LABEL, Kind.CHOICE, Kind.SCORE),
    SEQ2SEQ: (Kind.LABEL, Kind.CHOICE, Kind.TEXT),
    CAUSAL: (Kind.LABEL, Kind.CHOICE, Kind.TEXT),
}
BY_HEART = {"epochs": 20, "batch_rows": 4, "lr": 5e-3, "head_lr": 2e-2, "weight_decay": 0.0, "freeze_embeddings": False, "average": 0.6}
BY_HEART |= {"group_size": 4}  # a toy is 64 wide; 32 would leave two means
BY_HEART |= {"C": 1e4, "ridge_alpha": 1e-6, "patience": 60}
WRITING = {"epochs": 30, "instruct": False, "max_answer": 6, "average": 0.3, "dropout": 0.0, "lr": 1e-2}
SMALL = {
    "ia3": {"lr": 0.3, "epochs": 30}
}  # a few hundred numbers on a random base: too few for eight rows by heart, so only the loss has to fall
REFT = ("loreft", "direft")
OWN = {name: {"rank": 8, "lr": 1e-2} for name in REFT}  # a few tokens are edited: forty steps of 5e-3 are too few
OWN_WRITING = {  # with three tokens at either end a frozen random decoder never sees the rest of the row: 6 of 8, whatever the rate
    name: {"rank": 32, "positions": "f12l12", "edit_dropout": 0.0, "lr": 2e-2, "epochs": 120} for name in REFT
} | {"loftq": {"epochs": 60}}


def cases() -> list[tuple[str, str, Kind]]:
    """Every adapter on the shelf but prompts, with each family and kind that it takes. What fits in its own way
    (a head, a majority) takes encoders alone, or none."""
    adapters = [registry.take("adapters", name) for name in registry.names("adapters")]
    return [
        (a.name, family, kind)
        for a in adapters
        for family, kinds in KINDS.items()
        for kind in kinds
        if kind in a.kinds and a.group != "prompt" and (family == ENCODER or a.attach is not None)
    ]


def job_of(name: str, kind: Kind, base: str, folder: Path, *, seed: int = 0, **values: object) -> FitJob:
    """Eight rows to train on, the same eight as dev."""
    task, rows = eight_rows(kind)
    adapter: Adapter = registry.take("adapters", name)
    numbers: dict[str, Any] = BY_HEART | OWN.get(name, {})
    if adapter.needs_base and family_of_name(base) != ENCODER:
        numbers |= WRITING | OWN_WRITING.get(name, {}) | ({"epochs": 40} if kind is Kind.TEXT else {})
    numbers |= SMALL.get(name, {})
    recipe = Recipe(
        adapter=name,
        base=base if adapter.needs_base else "",
        values=tuple(Value(name=n, value=v, why="test") for n, v in {**numbers, **values}.items()),
    )
    return FitJob(task=task, recipe=recipe, train=rows, dev=rows, seed=seed, folder=folder, threads=1, dtype="float32")


def fit(job: FitJob) -> Fitted:
    adapter: Adapter = registry.take("adapters", job.recipe.adapter)
    return adapter.fit(job) if adapter.fit else fit_model(job, adapter)


def blind(job: FitJob) -> list[Example]:
    return [row.blind() for row in job.train]


# ---- the contract ------------------------------------------------------------------------------------------------


def check(name: str, kind: Kind, base: str, folder: Path) -> None:
    """All of it. base: a toy folder, or an alias."""
    job = job_of(name, kind, base, folder / "fit")
    fitted = fit(job)
    answers_every_row(job, fitted)
    same_answers_in_any_batch(job, fitted)
    learns_by_heart(job, fitted)
    loss_falls(job, fitted)
    saved_and_loaded_answers_the_same(job, fitted, folder / "model")
    same_seed_same_answers(job, fitted, folder / "again")
    resumes_to_the_same_weights(job, fitted, folder / "killed")
    only_declared_parameters_move(job, folder / "moved")
    merging_changes_no_answer(job)
    starts_as_the_base(job)
    disabling_restores_the_base(job)
    two_adapters_switch_on_one_base(job)
    a_wrong_argument_gets_a_suggestion(name)


def answers_every_row(job: FitJob, fitted: Fitted) -> None:
    """One Prediction per row, in order, spelled as the task or the row spells it; a probability where there is one."""
    found = fitted.predictor.predict(blind(job))
    assert [p.id for p in found] == [e.id for e in job.train]
    for row, p in zip(job.train, found, strict=True):
        if p.status is Status.EMPTY and job.task.kind is Kind.TEXT and job.recipe.adapter in (*SMALL, *REFT):
            continue  # it has not learnt what to write
        assert p.status is Status.OK, p
        allowed = job.task.labels or row.choices
        if job.task.kind is Kind.SCORE:
            assert job.task.low <= float(p.text) <= job.task.high  # type: ignore[operator]
        assert not allowed or p.text in allowed
        assert p.confidence is None or 0.0 <= p.confidence <= 1.0
        assert p.scores is None or (len(p.scores) <= 10 and max(p.scores.values()) == p.confidence)
    assert fitted.predictor.predict([]) == []


def same_answers_in_any_batch(job: FitJob, fitted: Fitted) -> None:
    """Alone, together, backwards, beside a long row: the same text, scores within 1e-5."""
    rows = blind(job)
    whole = fitted.predictor.predict(rows)
    alone = [fitted.predictor.predict([row])[0] for row in rows]
    backwards = fitted.predictor.predict(rows[::-1])[::-1]
    long = rows[0].model_copy(update={"id": "long", "input": "the kettle leaks " * 30})
    crowded = fitted.predictor.predict([*rows, long])[:-1]
    for other in (alone, backwards, crowded):
        must_agree(whole, other)


def must_agree(left: Sequence[Prediction], right: Sequence[Prediction]) -> None:
    """Same answers; a score may differ by one step of its rounding, which a last bit can tip over."""
    for a, b in zip(left, right, strict=True):
        assert (a.id, a.status) == (b.id, b.status)
        if a.scores is None and a.text != b.text and a.tokens_out is None:
            assert abs(float(a.text) - float(b.text)) <= 1.1e-3, (a.text, b.text)
        else:
            assert a.text == b.text, (a.text, b.text)
        for answer, share in (a.scores or {}).items():
            assert abs(share - (b.scores or {})[answer]) < 1e-5, (a, b)


def learns_by_heart(job: FitJob, fitted: Fitted) -> None:
    """A student repeats its eight rows; a baseline, or an adapter with too few numbers for it, need not."""
    if job.recipe.adapter in REFT and job.task.kind is Kind.TEXT:
        return  # edits of the prompt steer a frozen random decoder's first word, not its fourth; the loss has to fall
    if registry.take("adapters", job.recipe.adapter).group != "student" or job.recipe.adapter in SMALL:
        return
    for row, p in zip(job.train, fitted.predictor.predict(blind(job)), strict=True):
        if job.task.kind is Kind.SCORE:
            assert abs(float(p.text) - float(row.output or "nan")) < 0.5, (row.output, p.text)
        else:
            assert p.text == row.output, (row.output, p.scores)


def loss_falls(job: FitJob, fitted: Fitted) -> None:
    losses = [line["train_loss"] for line in fitted.history]
    share = 0.85 if job.recipe.adapter in SMALL else 0.5
    assert not losses or min(losses[-3:]) < share * losses[0], losses


def saved_and_loaded_answers_the_same(job: FitJob, fitted: Fitted, folder: Path) -> None:
    if fitted.save is None:
        return
    fitted.save(folder)
    assert not [p for p in folder.iterdir() if p.suffix in (".bin", ".pt", ".pth", ".pkl")], "no pickle is shipped"
    must_agree(fitted.predictor.predict(blind(job)), load_predictor(folder).predict(blind(job)))


def same_seed_same_answers(job: FitJob, fitted: Fitted, folder: Path) -> None:
    again = fit(replace(job, folder=folder))
    assert again.chosen == fitted.chosen
    for a, b in zip(fitted.predictor.predict(blind(job)), again.predictor.predict(blind(job)), strict=True):
        assert (a.text, a.scores) == (b.text, b.scores)


def resumes_to_the_same_weights(job: FitJob, fitted: Fitted, folder: Path) -> None:
    """Interrupted in the middle of an epoch and begun again: bit for bit the weights of the uninterrupted fit."""
    if not fitted.history:
        return
    steps = 0

    def pull_the_plug(done: int, total: int, what: str) -> None:
        nonlocal steps
        steps += 1
        if steps == 31:  # of two an epoch, 40 to 60 in all: in the middle of the 16th; where there are 40, averaging has begun
            raise KeyboardInterrupt

    killed = replace(job, folder=folder, note=pull_the_plug)
    try:
        fit(killed)
        raise AssertionError("the fit was not interrupted")
    except KeyboardInterrupt:
        pass
    resumed = fit(killed)
    assert [line["train_loss"] for line in resumed.history] == [line["train_loss"] for line in fitted.history]
    ours, theirs = (f.predictor.student.state_dict() for f in (fitted, resumed))  # type: ignore[attr-defined]
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def only_declared_parameters_move(job: FitJob, folder: Path) -> None:
    """What requires no gradient after `attach` is the same, bit for bit, after training; all the rest moved."""
    adapter: Adapter = registry.take("adapters", job.recipe.adapter)
    if adapter.attach is None:
        return
    base, numbers = load_base(job.recipe.base), read_numbers(job.recipe)
    student = new_student(base, job.task, job.train, numbers)
    student.backbone = adapter.attach(student.backbone, job.recipe)
    before = {name: tensor.clone() for name, tensor in tensors_of(student).items()}
    declared = set(checkpoint.trainable(student))
    assert declared, "nothing trains"
    predictor = predictor_of(student, base, job.task, numbers)
    reads = {"reading": predictor.reading} if isinstance(predictor, WriterPredictor) else {}
    objective = registry.take("objectives", "sft")
    features = objective.features(job.task, job.train, base.tokenizer, predictor.max_length, **reads)
    few = replace(numbers, epochs=3, average=0.0, warmup=0.0)
    loop.run(loop.Training(student, objective, features, few, pad_id(base.tokenizer), 0, folder, "moved"))
    moved = {name for name, tensor in tensors_of(student).items() if not torch.equal(tensor, before[name])}
    unused = {name for name in declared if "token_type" in name or "position" in name}  # rows of a table that no row of ours touches
    if base.family == CAUSAL:  # what the last layer gives at the first tokens reaches no answer
        unused |= {name for name in declared if f".{len(layers_of(base.model)) - 1}.first." in name}
    assert moved <= declared, sorted(moved - declared)
    assert declared - moved <= unused, sorted(declared - moved)


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """Parameters, a tied one once, and buffers."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


# ---- the attached model itself, without training -----------------------------------------------------------------------


def outputs(model: Any, family: str) -> Tensor:
    """(3, T, d or vocabulary) of three rows of random tokens, one of them padded."""
    generator = torch.Generator().manual_seed(0)
    ids = torch.randint(4, 60, (3, 9), generator=generator)
    mask = torch.ones_like(ids)
    mask[1, 6:] = 0
    batch = {"input_ids": ids, "attention_mask": mask}
    if family == SEQ2SEQ:
        batch["decoder_input_ids"] = torch.randint(4, 60, (3, 4), generator=generator)
    if getattr(model, "takes_prompt_mask", False):
        batch["prompt_mask"] = mask
    with torch.no_grad():
        found = model.eval()(**batch)
    return (found.last_hidden_state if family == ENCODER else found.logits)[mask.bool() if family != SEQ2SEQ else slice(None)]


def attached(job: FitJob, model: Any, seed: int = 1) -> Any:
    """With every trained number away from its start."""
    adapter: Adapter = registry.take("adapters", job.recipe.adapter)
    assert adapter.attach is not None
    return disturb(adapter.attach(model, job.recipe), seed)


def disturb(model: Any, seed: int) -> Any:
    torch.manual_seed(seed)
    with torch.no_grad():
        for p in checkpoint.trainable(model).values():
            p.add_(0.02 * torch.randn_like(p))
    return model


def merging_changes_no_answer(job: FitJob) -> None:
    """merge(attach(model)) computes what attach(model) does. An adapter that cannot merge ships itself; one with files of its
    own may merge into a model of another class."""
    adapter: Adapter = registry.take("adapters", job.recipe.adapter)
    if adapter.attach is None:
        return
    if adapter.merge is None:
        assert adapter.save is not None and adapter.load is not None, "what cannot be merged has to be saved and loaded as it is"
        return
    base = load_base(job.recipe.base)
    plain = copy.deepcopy(base.model)
    model = attached(job, base.model)
    apart = outputs(model, base.family)
    merged = adapter.merge(model)
    together = outputs(merged, base.family)
    assert (outputs(plain, base.family) - together).abs().max() > 1e-3, "the disturbance has to show"
    if adapter.save is None:
        assert type(merged) is type(plain)
        assert set(merged.state_dict()) == set(plain.state_dict())
    scale = max(1.0, float(apart.abs().max()))
    torch.testing.assert_close(apart, together, atol=1e-5 * scale, rtol=1e-4)


def starts_as_the_base(job: FitJob) -> None:
    """Before any training: within 1e-6 of the base, for adapters that leave its weights alone (peft's habit)."""
    if job.recipe.adapter not in STARTS_AS_THE_BASE:
        return
    base = load_base(job.recipe.base)
    before = outputs(base.model, base.family)
    model = registry.take("adapters", job.recipe.adapter).attach(base.model, job.recipe)
    assert (outputs(model, base.family) - before).abs().max() <= 1e-6 * max(1.0, float(before.abs().max()))


STARTS_AS_THE_BASE = {"full", "lora", "ia3"}
CHANGES_THE_BASE = {"full", "qlora", "loftq", "qalora"}  # these move or quantise the base itself: there is nothing to switch off to


def disabling_restores_the_base(job: FitJob) -> None:
    """Bit for bit, with every trained number away from its start."""
    if not can_switch(job):
        return
    base: Base = load_base(job.recipe.base)
    before = outputs(base.model, base.family)
    model = attached(job, base.model)
    assert not torch.equal(outputs(model, base.family), before)
    with model.disable_adapter():
        assert torch.equal(outputs(model, base.family), before)
    assert not torch.equal(outputs(model, base.family), before)


def two_adapters_switch_on_one_base(job: FitJob) -> None:
    """Each computes what it computes alone, however often they are switched."""
    if not can_switch(job):
        return
    base: Base = load_base(job.recipe.base)
    model = attached(job, base.model)
    first, *_ = configs = model.peft_config if hasattr(model, "peft_config") else model.reft_config
    model.add_adapter("second", configs[first])
    one = outputs(model, base.family)
    model.set_adapter("second")
    disturb(model, seed=2)
    two = outputs(model, base.family)
    assert not torch.equal(one, two)
    for name, expected in ((first, one), ("second", two), (first, one)):
        model.set_adapter(name)
        assert torch.equal(outputs(model, base.family), expected), name


def can_switch(job: FitJob) -> bool:
    """Does the adapter lie beside the base, so that it can be switched off?"""
    adapter: Adapter = registry.take("adapters", job.recipe.adapter)
    return adapter.attach is not None and adapter.name not in CHANGES_THE_BASE


# ---- what is typed wrong -------------------------------------------------------------------------------------------


def a_wrong_argument_gets_a_suggestion(name: str) -> None:
    adapter: Adapter = registry.take("adapters", name)
    if not adapter.needs_base or adapter.attach is None:
        return
    with pytest.raises(UsageError) as refused:
        recipes.parse(f"{name}:rx8@minilm")
    assert name in str(refused.value) and refused.value.have and refused.value.do
    with pytest.raises(UsageError, match=f"did you mean .*{name}"):
        recipes.parse(f"{name}{name[-1]}@minilm")
