"""One recipe -> one fitted student: load the base, put a head on it, attach the adapter, train, merge."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from limbeck import registry, render
from limbeck.engine import checkpoint, loop
from limbeck.engine.device import Speed, measure, pick_device, set_threads
from limbeck.engine.gold import dev_score, target
from limbeck.engine.load import ENCODER, Base, load_base
from limbeck.engine.numbers import read_numbers
from limbeck.engine.predict import StudentPredictor, save_predictor, softmax, to_prediction
from limbeck.engine.start import new_student
from limbeck.engine.tokens import pad_id
from limbeck.errors import UsageError
from limbeck.registry import Adapter, FitJob, Fitted
from limbeck.run import write_json
from limbeck.types import Example, Kind, Task, sha_of


def fit_model(job: FitJob, adapter: Adapter) -> Fitted:
    """Train the base with the parameters that the adapter lets move. dev chooses the epoch; chosen = {"epochs": n}.
    The same job in the same folder is taken up where it was killed."""
    assert adapter.attach is not None and adapter.merge is not None
    speed = settle_speed(job)
    set_threads(speed.threads)
    numbers = read_numbers(job.recipe)
    base = encoder_base(job.recipe.base)
    length = min(numbers.max_length or base.max_length, base.max_length)
    objective = job.objective or registry.take("objectives", (job.recipe.objective or "sft").partition(":")[0])

    student = new_student(base, job.task, job.train, numbers)
    torch.manual_seed(job.seed)  # what an adapter adds may start at random
    student.backbone = adapter.attach(student.backbone, job.recipe)
    student.to(pick_device())
    trainable = sum(p.numel() for p in checkpoint.trainable(student).values())
    predictor = StudentPredictor(student, base.tokenizer, job.task, length)
    features = objective.features(job.task, job.train, base.tokenizer, length)
    dev = predictor.tokenise(job.dev)
    dtype = torch.bfloat16 if speed.dtype == "bfloat16" else torch.float32
    progress = loop.run(
        loop.Training(
            model=student, objective=objective, features=features, numbers=numbers, pad_token_id=pad_id(base.tokenizer),
            seed=job.seed, folder=job.folder, fingerprint=fingerprint(job, base), bf16=dtype is torch.bfloat16,
            judge=(lambda: judge(job.task, job.dev, predictor.logits(job.dev, dev, dtype))) if job.dev else None, note=job.note, deadline_s=job.deadline_s,
        )
    )  # fmt: skip
    student.backbone = adapter.merge(student.backbone)
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
    )


def encoder_base(name: str, *, shared: bool = False) -> Base:
    """A base that students of this version can be made of; fresh weights, or the shared ones."""
    base = load_base(name, shared=shared)
    if base.family != ENCODER:
        raise UsageError(
            f"{name} cannot be trained with a head", f"it is a {base.family} model", "take an encoder as the base, such as minilm"
        )
    return base


def judge(task: Task, dev: Sequence[Example], logits: Sequence[np.ndarray]) -> tuple[float, float]:
    """(the task's metric, mean log-probability of the right answer or minus the squared error): few rows tie often.
    logits per row, as engine.predict gives them."""
    score = dev_score(task, dev, [to_prediction(task, e, line) for e, line in zip(dev, logits, strict=True)])
    gold = [target(task, e) for e in dev]
    if task.kind is Kind.SCORE:
        return score, -float(np.mean([(line[0] - value) ** 2 for line, value in zip(logits, gold, strict=True)]))
    return score, float(np.mean([np.log(softmax(line)[value] + 1e-12) for line, value in zip(logits, gold, strict=True)]))


def settle_speed(job: FitJob) -> Speed:
    """Threads and precision of this fit: as the job says, as this folder's fit began with, or measured now."""
    kept = job.folder / "speed.json"
    if job.threads and job.dtype:
        speed = Speed(job.threads, job.dtype, "as this run began with")
    elif kept.is_file():
        speed = Speed(**json.loads(kept.read_bytes()))
    else:
        speed = measure(job.threads)
    write_json(kept, asdict(speed))
    return speed


def fingerprint(job: FitJob, base: Base) -> str:
    """Of everything that decides the weights, so that a checkpoint of another job is never taken up."""
    rows = [[(e.id, e.input, e.output, e.choices) for e in part] for part in (job.train, job.dev)]
    return sha_of([job.recipe.id, job.task.sha(), job.seed, base.sha, render.VERSION, rows])


def size_mb(student: Any) -> float:
    """Of the weights as they are shipped, float32, in 10^6 bytes."""
    return round(sum(p.numel() for p in student.parameters()) * 4 / 1e6, 1)
