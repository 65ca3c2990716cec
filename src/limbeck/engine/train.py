"""One recipe -> one fitted student: load the base, put a head on an encoder, attach the adapter, train, merge."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from limbeck import registry, render
from limbeck.engine import checkpoint, loop
from limbeck.engine.device import pick_device, set_threads, settle_speed
from limbeck.engine.load import Base, load_base
from limbeck.engine.numbers import read_numbers
from limbeck.engine.predict import WriterPredictor, predictor_of, save_predictor, size_mb
from limbeck.engine.start import new_student
from limbeck.engine.tokens import pad_id
from limbeck.registry import Adapter, FitJob, Fitted
from limbeck.types import Value, sha_of


def fit_model(job: FitJob, adapter: Adapter) -> Fitted:
    """Train the base with the parameters that the adapter lets move. dev chooses the epoch; chosen = {"epochs": n}.
    The same job in the same folder is taken up where it was killed."""
    assert adapter.attach is not None
    speed = settle_speed(job)
    set_threads(speed.threads)
    numbers = read_numbers(job.recipe)
    base = load_base(job.recipe.base)
    objective = job.objective or registry.take("objectives", (job.recipe.objective or "sft").partition(":")[0])
    objective = objective.bind(job.recipe, job.seed) if objective.bind else objective
    if objective.refuse:
        objective.refuse(job.recipe, base.family)

    student = new_student(base, job.task, job.train, numbers)
    torch.manual_seed(job.seed)  # what an adapter adds may start at random
    student.backbone = adapter.attach(student.backbone, job.recipe)
    measured = tuple(adapter.measure(student.backbone)) if adapter.measure else ()
    trainable = sum(p.numel() for p in checkpoint.trainable(student).values())
    predictor = predictor_of(student, base, job.task, numbers)
    if isinstance(predictor, WriterPredictor) and objective.read:
        predictor = WriterPredictor(predictor.student, job.task, objective.read(predictor.reading, base))
    reads = {"reading": predictor.reading} if isinstance(predictor, WriterPredictor) else {}
    train = job.train if numbers.weight_by_confidence else [e.model_copy(update={"confidence": None}) for e in job.train]
    features = objective.features(job.task, train, base.tokenizer, predictor.max_length, **reads)
    if objective.start:
        objective.start(student, base, features)
    if objective.rationales:
        measured += about_rationales(student, features, trainable)
    student.to(pick_device())
    dtype = torch.bfloat16 if speed.dtype == "bfloat16" else torch.float32
    progress = members(
        numbers.members,
        loop.Training(
            model=student, objective=objective, features=features, numbers=numbers, pad_token_id=pad_id(base.tokenizer),
            seed=job.seed, folder=job.folder, fingerprint=fingerprint(job, base), bf16=dtype is torch.bfloat16,
            judge=(lambda: predictor.judge(job.dev, dtype)) if job.dev else None, note=job.note, deadline_s=job.deadline_s,
        ),
    )  # fmt: skip
    if objective.finish:
        objective.finish(student)
    student.backbone = adapter.merge(student.backbone) if adapter.merge else student.backbone
    student.adapter = adapter.name if adapter.save else ""
    student.requires_grad_(False).eval()
    by_clock = progress.stopped if "clock" in progress.stopped else ""
    return Fitted(
        predictor=predictor,
        chosen={"epochs": progress.best_epoch or len(progress.history)},
        history=tuple(progress.history),
        trainable_parameters=trainable,
        size_mb=size_mb(student),
        save=lambda folder: save_predictor(predictor, folder),
        truncated=sum(f.get("truncated", 0) for f in features),
        not_deterministic=by_clock,
        measured=measured,
    )


def about_rationales(student: Any, features: list[dict[str, Any]], trainable: int) -> tuple[Value, ...]:
    """For the report: how many rows taught one, how many were too long, what trained beside the student."""
    told = [f for f in features if "rationale_cut" in f]
    beside = sum(p.numel() for p in checkpoint.trainable(student).values()) - trainable
    return (
        Value(name="rationales", value=len(told), why=f"of {len(features)} rows taught one"),
        Value(name="rationales_cut", value=sum(f["rationale_cut"] for f in told), why="were longer than rationale_tokens"),
        Value(name="beside_parameters", value=beside, why="trained beside the student, and were dropped"),
    )


def members(n: int, training: loop.Training) -> loop.Progress:
    """n trainings from the same start with different seeds, their weights averaged (model soup, Wortsman et al. 2022,
    arXiv 2203.05482): better than one training of n times the length. The history is the first one's."""
    if n == 1:
        return loop.run(training)
    start = checkpoint.snapshot(training.model)
    mean: dict[str, torch.Tensor] = {}
    first, best_epoch = None, 0
    for k in range(n):
        checkpoint.restore(training.model, start)
        part = replace(training, seed=training.seed + 1000 * k, folder=training.folder / f"member-{k + 1}")
        progress = loop.run(
            replace(
                part, note=lambda done, total, what, k=k: training.note(k * total + done, n * total, f"{what}, training {k + 1} of {n}")
            )
        )
        kept = checkpoint.snapshot(training.model)
        mean = {name: w if not mean else torch.lerp(mean[name], w, 1 / (k + 1)) for name, w in kept.items()}
        first, best_epoch = first or progress, max(best_epoch, progress.best_epoch)
    checkpoint.restore(training.model, mean)
    assert first is not None
    first.best_epoch = best_epoch
    return first


def fingerprint(job: FitJob, base: Base) -> str:
    """Of everything that decides the weights, so that a checkpoint of another job is never taken up."""
    rows = [[(e.id, e.input, e.output, e.choices, e.confidence, e.rationale) for e in part] for part in (job.train, job.dev)]
    return sha_of([job.recipe.id, job.task.sha(), job.seed, base.sha, render.VERSION, rows])
