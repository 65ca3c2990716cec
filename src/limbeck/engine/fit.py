"""One recipe -> one fitted candidate: by the adapter's own way, or attach -> train -> merge."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from limbeck import registry, render
from limbeck.errors import UsageError
from limbeck.registry import Adapter, FitJob, Fitted
from limbeck.run import write_json
from limbeck.types import Example, sha_of

if TYPE_CHECKING:
    from limbeck.engine.device import Speed
    from limbeck.engine.load import Base


def fit(job: FitJob) -> Fitted:
    """Raises UsageError where adapter, kind and base do not go together; the same job in the same folder resumes."""
    adapter: Adapter = registry.take("adapters", job.recipe.adapter)
    if job.task.kind not in adapter.kinds:
        raise UsageError(
            f"{adapter.name} cannot answer a task of kind {job.task.kind}",
            f"it takes {', '.join(adapter.kinds)}",
            f"leave {job.recipe.text} out of --candidates",
        )
    return adapter.fit(job) if adapter.fit else tune(job, adapter)


def tune(job: FitJob, adapter: Adapter) -> Fitted:
    """Train the base with the parameters that the adapter lets move. dev chooses the epoch; chosen = {"epochs": n}."""
    import torch

    from limbeck.engine import checkpoint
    from limbeck.engine.device import pick_device, set_threads
    from limbeck.engine.numbers import read_numbers
    from limbeck.engine.predict import StudentPredictor
    from limbeck.engine.start import new_student
    from limbeck.engine.store import save_student
    from limbeck.engine.tokens import pad_id
    from limbeck.engine.train import Training, train

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
    dtype = torch.bfloat16 if speed.dtype == "bfloat16" else torch.float32
    progress = train(
        Training(
            model=student, objective=objective, features=features, numbers=numbers, pad_token_id=pad_id(base.tokenizer),
            seed=job.seed, folder=job.folder, fingerprint=fingerprint(job, base), bf16=dtype is torch.bfloat16,
            judge=(lambda: judge(predictor, job.dev, dtype)) if job.dev else None, note=job.note, deadline_s=job.deadline_s,
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
        save=lambda folder: save_student(predictor, folder),
        truncated=sum(f.get("truncated", 0) for f in features),
        not_deterministic=by_clock,
    )


def encoder_base(name: str) -> Base:
    """Fresh weights of a base that students of this version can be made of."""
    from limbeck.engine.load import ENCODER, load_base

    base = load_base(name)
    if base.family != ENCODER:
        raise UsageError(f"{name} cannot be trained with a head", f"it is a {base.family} model", "take an encoder as the base, such as minilm")
    return base


def judge(predictor: Any, dev: Sequence[Example], dtype: Any) -> tuple[float, float]:
    """(the task's metric, mean log-probability of the right answer or minus the squared error): few rows tie often."""
    import numpy as np

    from limbeck.engine.gold import dev_score, target
    from limbeck.engine.predict import softmax, to_prediction

    logits = predictor.logits(dev, dtype=dtype)
    task = predictor.task
    score = dev_score(task, dev, [to_prediction(task, e, line) for e, line in zip(dev, logits, strict=True)])
    gold = [target(task, e) for e in dev]
    if task.kind == "score":
        return score, -float(np.mean([(line[0] - value) ** 2 for line, value in zip(logits, gold, strict=True)]))
    return score, float(np.mean([np.log(softmax(line)[value] + 1e-12) for line, value in zip(logits, gold, strict=True)]))


def settle_speed(job: FitJob) -> Speed:
    """Threads and precision of this fit: as the job says, as this folder's fit began with, or measured now."""
    from limbeck.engine.device import Speed, measure

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
