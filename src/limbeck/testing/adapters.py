"""What every adapter has to keep, on a toy base and eight rows. Each function raises AssertionError with what broke.

A plug-in's author calls `check(name, kind, base, folder)`; ours are called one by one in tests/contract."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from limbeck import registry
from limbeck.engine import checkpoint, loop
from limbeck.engine.load import load_base
from limbeck.engine.numbers import read_numbers
from limbeck.engine.predict import load_predictor
from limbeck.engine.start import new_student
from limbeck.engine.tokens import pad_id
from limbeck.engine.train import fit_model
from limbeck.registry import Adapter, FitJob, Fitted
from limbeck.testing.toys import eight_rows
from limbeck.types import Example, Kind, Prediction, Recipe, Status, Value

CLOSED = (Kind.LABEL, Kind.CHOICE, Kind.SCORE)
BY_HEART = {"epochs": 20, "batch_rows": 4, "lr": 5e-3, "head_lr": 2e-2, "weight_decay": 0.0, "freeze_embeddings": False, "average": 0.6}
BY_HEART |= {"C": 1e4, "ridge_alpha": 1e-6, "patience": 20}
BY_HEART |= {"group_size": 4}  # a toy is 64 wide; 32 would leave two means
OWN = {name: {"rank": 8, "lr": 1e-2} for name in ("loreft", "direft")}  # a few tokens are edited: forty steps of 5e-3 are too few


def cases() -> list[tuple[str, Kind]]:
    """Every adapter on the shelf that needs no teacher, with each closed kind that it takes."""
    adapters = [registry.take("adapters", name) for name in registry.names("adapters")]
    return [(a.name, kind) for a in adapters for kind in CLOSED if kind in a.kinds and not a.needs_teacher]


def job_of(name: str, kind: Kind, base: str, folder: Path, *, seed: int = 0, **values: object) -> FitJob:
    """Eight rows to train on, the same eight as dev."""
    task, rows = eight_rows(kind)
    adapter: Adapter = registry.take("adapters", name)
    recipe = Recipe(
        adapter=name,
        base=base if adapter.needs_base else "",
        values=tuple(Value(name=n, value=v, why="test") for n, v in {**BY_HEART, **OWN.get(name, {}), **values}.items()),
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


def answers_every_row(job: FitJob, fitted: Fitted) -> None:
    """One Prediction per row, in order, spelled as the task or the row spells it; a probability where there is one."""
    found = fitted.predictor.predict(blind(job))
    assert [p.id for p in found] == [e.id for e in job.train]
    for row, p in zip(job.train, found, strict=True):
        assert p.status is Status.OK
        allowed = job.task.labels or row.choices
        assert p.text in allowed if allowed else job.task.low <= float(p.text) <= job.task.high  # type: ignore[operator]
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
        if a.scores is None and a.text != b.text:
            assert abs(float(a.text) - float(b.text)) <= 1.1e-3, (a.text, b.text)
        else:
            assert a.text == b.text, (a.text, b.text)
        for answer, share in (a.scores or {}).items():
            assert abs(share - (b.scores or {})[answer]) < 1e-5, (a, b)


def learns_by_heart(job: FitJob, fitted: Fitted) -> None:
    """A student repeats its eight rows; a baseline need not."""
    if registry.take("adapters", job.recipe.adapter).group != "student":
        return
    for row, p in zip(job.train, fitted.predictor.predict(blind(job)), strict=True):
        if job.task.kind is Kind.SCORE:
            assert abs(float(p.text) - float(row.output or "nan")) < 0.5, (row.output, p.text)
        else:
            assert p.text == row.output, (row.output, p.scores)


def loss_falls(job: FitJob, fitted: Fitted) -> None:
    losses = [line["train_loss"] for line in fitted.history]
    assert not losses or losses[-1] < 0.5 * losses[0], losses


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
        if steps == 23:  # of two an epoch, 40 in all: in the middle of the 12th, and averaging has begun
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
    before = {name: tensor.clone() for name, tensor in student.state_dict().items()}
    declared = set(checkpoint.trainable(student))
    objective = registry.take("objectives", "sft")
    features = objective.features(job.task, job.train, base.tokenizer, base.max_length)
    few = replace(numbers, epochs=3, average=0.0, warmup=0.0)
    loop.run(loop.Training(student, objective, features, few, pad_id(base.tokenizer), 0, folder, "moved"))
    moved = {name for name, tensor in student.state_dict().items() if not torch.equal(tensor, before[name])}
    unused = {name for name in declared if "token_type" in name or "position" in name}  # rows of a table that no row of ours touches
    assert moved <= declared, sorted(moved - declared)
    assert declared - moved <= unused, sorted(declared - moved)


def merging_changes_no_answer(job: FitJob) -> None:
    """merge(attach(model)) computes what attach(model) does, with every trained number away from its start; it is of the
    base's class, and a plain model unless the adapter saves it in a way of its own."""
    adapter: Adapter = registry.take("adapters", job.recipe.adapter)
    if adapter.attach is None or adapter.merge is None:
        return
    plain = load_base(job.recipe.base).model
    model = adapter.attach(load_base(job.recipe.base).model, job.recipe).eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for p in checkpoint.trainable(model).values():
            p.add_(0.02 * torch.randn_like(p))
        batch = {"input_ids": torch.randint(4, 60, (3, 9)), "attention_mask": torch.ones(3, 9, dtype=torch.int64)}
        apart = model(**batch).last_hidden_state
        merged = adapter.merge(model)
        together = merged(**batch).last_hidden_state
        assert not torch.allclose(plain(**batch).last_hidden_state, together, atol=1e-3), "the perturbation has to show"
    if adapter.save is None:
        assert type(merged) is type(plain)
        assert set(merged.state_dict()) == set(plain.state_dict())
    torch.testing.assert_close(apart, together, atol=1e-5, rtol=1e-4)
