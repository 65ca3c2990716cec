"""The one training path: transformers.Trainer with our batches, our loss, and checkpoints that resume to the same weights.

epoch: batches -> loss -> clip -> AdamW -> schedule;  then the dev score, the best weights, a checkpoint; stop?"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_callback import PrinterCallback
from transformers.trainer_utils import SchedulerType

from limbeck.engine import checkpoint, prefix
from limbeck.engine.batches import LengthBatches, collate, length_of
from limbeck.engine.groups import parameter_groups
from limbeck.engine.numbers import Numbers
from limbeck.need import need
from limbeck.registry import Note, Objective

Judge = Callable[[], tuple[float, float]]  # (dev score, tie-breaker) of the model as it is; higher is better


@dataclass(frozen=True)
class Training:
    """What the loop needs. judge None = no dev: train for all epochs. fingerprint: of the job, so that a checkpoint of
    another job is never resumed. bf16: autocast of the forward pass."""

    model: nn.Module
    objective: Objective
    features: list[dict[str, Any]]
    numbers: Numbers
    pad_token_id: int
    seed: int
    folder: Path
    fingerprint: str
    bf16: bool = False
    judge: Judge | None = None
    note: Note = lambda done, total, what: None
    deadline_s: float | None = None


@dataclass
class Progress:
    """What a checkpoint keeps beside the tensors. best: the highest (dev, tie-breaker).
    best_epoch: the one that is kept. stopped: why it ended early ("" = it did not)."""

    history: list[dict[str, float]] = field(default_factory=list)
    best: tuple[float, float] | None = None
    best_epoch: int = 0
    averaged: int = 0
    stopped: str = ""


def run(training: Training) -> Progress:
    """Trains model in place and leaves the best epoch's weights in it. A finished or killed training of the same job in
    the same folder is taken up where it stands."""
    finished = checkpoint.find(training.folder, "trained", training.fingerprint)
    if finished:
        weights, facts = checkpoint.read(finished)
        checkpoint.restore(training.model, weights)
        return read_progress(facts)
    loop = Loop(training)
    before = checkpoint.find(training.folder, "epoch-*", training.fingerprint)
    if before is not None and read_progress(checkpoint.read(before)[1]).stopped:
        loop.take_up(before)
    else:
        with reused(training) as said:
            if said:
                training.note(0, 1, said)
            loop.train(resume_from_checkpoint=str(before) if before else None)
    checkpoint.restore(training.model, loop.kept())
    if loop.args.should_save:
        facts = {"fingerprint": training.fingerprint, **vars(loop.progress)}
        checkpoint.write(training.folder, "trained", checkpoint.snapshot(training.model), facts)
        loop.forget_epochs()
    return loop.progress


def reused(training: Training) -> AbstractContextManager[str]:
    """Frozen lower layers computed once, where the numbers allow it."""
    if not training.numbers.reuse_prefix:
        return nullcontext("")
    return prefix.reuse(training.model, training.features, training.pad_token_id, training.folder, training.bf16)


def read_progress(facts: dict[str, Any]) -> Progress:
    known = {name: facts[name] for name in Progress.__dataclass_fields__}
    return Progress(**{**known, "best": tuple(known["best"]) if known["best"] else None})


class Loop(Trainer):
    """The Trainer, with what is ours overridden: batches, optimizer, loss, checkpoints."""

    def __init__(self, training: Training):
        self.job, self.progress = training, Progress()
        self.moving = list(checkpoint.trainable(training.model).items())
        self.start = checkpoint.snapshot(training.model) if training.numbers.interpolate != 1.0 else {}
        self.best: dict[str, Tensor] = {}
        self.average: dict[str, Tensor] = {}
        self.losses: list[Tensor] = []
        self.parts: dict[str, list[float]] = {}
        n = training.numbers
        lengths = [length_of(f) for f in training.features]
        self.batches = LengthBatches(lengths, n.batch_rows, n.batch_tokens, n.epochs, training.seed)
        if n.steps:  # whole epochs are planned, the last one is broken off
            epochs = -(-n.steps // len(self.batches))
            self.batches = LengthBatches(lengths, n.batch_rows, n.batch_tokens, epochs, training.seed)
        steps = n.steps or n.epochs * len(self.batches)
        args = TrainingArguments(
            output_dir=str(training.folder), num_train_epochs=n.epochs, max_steps=n.steps or -1, per_device_train_batch_size=n.batch_rows,
            max_grad_norm=n.clip, lr_scheduler_type=SchedulerType(n.schedule), warmup_steps=round(n.warmup * steps),
            seed=training.seed, report_to=[], disable_tqdm=True, logging_strategy="no", save_strategy="no", eval_strategy="no",
            logging_nan_inf_filter=False, dataloader_pin_memory=False, remove_unused_columns=False, label_names=["labels"],
        )  # fmt: skip
        super().__init__(
            model=training.model,
            args=args,
            train_dataset=training.features,  # type: ignore[arg-type]  # a list is a map-style data set
            data_collator=partial(collate, pad_token_id=training.pad_token_id),
            callbacks=[Watch(self)],
        )
        self.remove_callback(PrinterCallback)

    # ---- batches, optimizer, loss ------------------------------------------------------------------------------

    def get_train_dataloader(self) -> DataLoader:
        loader = DataLoader(self.job.features, batch_sampler=self.batches, collate_fn=self.data_collator)  # type: ignore[arg-type]
        return self.accelerator.prepare(loader) if self.accelerator.num_processes > 1 else loader

    def create_optimizer(self, model: nn.Module | None = None) -> torch.optim.Optimizer:
        if self.optimizer is None:
            groups, where = parameter_groups(self.model, self.job.numbers), self.args.device.type
            if self.job.numbers.optimizer == "paged_adamw" and where == "cuda":  # elsewhere there is nothing to page out
                self.optimizer = need("bitsandbytes", extra="quant").optim.PagedAdamW32bit(groups)
            else:
                self.optimizer = torch.optim.AdamW(groups, fused=where in ("cpu", "cuda"))
        return self.optimizer

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Tensor], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> Tensor:
        with torch.autocast(self.args.device.type, torch.bfloat16, enabled=self.job.bf16):
            loss, parts = self.job.objective.loss(model, inputs)
        self.losses.append(loss.detach())
        for name, value in parts.items():
            self.parts.setdefault(name, []).append(value)
        return loss

    # ---- weights to judge and to keep --------------------------------------------------------------------------

    @torch.no_grad()
    def add_to_average(self) -> None:
        """Running mean of the trained weights over the last steps."""
        self.progress.averaged += 1
        for name, p in self.moving:
            if name in self.average:
                self.average[name].lerp_(p, 1 / self.progress.averaged)
            else:
                self.average[name] = p.detach().clone()

    def kept(self) -> dict[str, Tensor]:
        """The best epoch's weights, or where there is no dev the last ones (averaged, where averaging had begun)."""
        return self.best or self.blend(self.average or checkpoint.snapshot(self.model))

    def blend(self, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Part of the way from where training began (WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903)."""
        share = self.job.numbers.interpolate
        return weights if share == 1.0 else {name: torch.lerp(self.start[name], w, share) for name, w in weights.items()}

    def judge(self) -> float:
        """Dev score of what would be kept now; remembers it where it is the best so far, or as good within the slack."""
        assert self.job.judge is not None
        now = checkpoint.snapshot(self.model)
        checkpoint.restore(self.model, self.blend(self.average or now))
        score = self.job.judge()
        best, slack = self.progress.best, self.job.numbers.slack
        if best is None or score > best or (slack and score[0] >= best[0] - slack):
            self.progress.best = score if best is None else max(best, score)
            self.progress.best_epoch = len(self.progress.history) + 1
            self.best = checkpoint.snapshot(self.model)
        checkpoint.restore(self.model, now)
        return score[0]

    # ---- checkpoints: the Trainer's own are pickles, and can be cut in half by a kill ----------------------------

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        if not self.args.should_save:
            return
        assert self.optimizer is not None and self.lr_scheduler is not None
        tensors = {
            **checkpoint.prefixed("model", checkpoint.snapshot(self.model)),
            **checkpoint.prefixed("best", self.best),
            **checkpoint.prefixed("average", self.average),
            **checkpoint.prefixed("optimizer", checkpoint.optimizer_tensors(self.optimizer)),
            "rng.cpu": torch.random.get_rng_state(),
        }
        if torch.cuda.is_available():
            tensors["rng.cuda"] = torch.cuda.get_rng_state()
        facts = {"fingerprint": self.job.fingerprint, "schedule": self.lr_scheduler.state_dict(), **vars(self.progress)}
        facts["schedule"].pop("lr_lambdas", None)
        self.state.save_to_json(str(self.job.folder / "trainer_state.json"))
        state = (self.job.folder / "trainer_state.json").read_text()
        name = f"epoch-{len(self.progress.history)}"
        checkpoint.write(self.job.folder, name, tensors, facts, files={"trainer_state.json": state})
        self.forget_epochs(but=name)

    def forget_epochs(self, but: str = "") -> None:
        for old in [*self.job.folder.glob("epoch-*"), *self.job.folder.glob(".epoch-*")]:
            if old.name != but:
                shutil.rmtree(old)
        (self.job.folder / "trainer_state.json").unlink(missing_ok=True)

    def take_up(self, folder: Path) -> dict[str, Tensor]:
        """Weights, best, average and progress of a checkpoint; returns all of its tensors."""
        tensors, facts = checkpoint.read(folder)
        checkpoint.restore(self.model, checkpoint.under("model", tensors))
        self.best, self.average = checkpoint.under("best", tensors), checkpoint.under("average", tensors)
        self.progress, self.schedule = read_progress(facts), facts.get("schedule", {})
        return tensors

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        self.taken_up = self.take_up(Path(resume_from_checkpoint))

    def _load_optimizer_and_scheduler(self, checkpoint_folder: str | None) -> None:
        assert self.optimizer is not None and self.lr_scheduler is not None
        checkpoint.restore_optimizer(self.optimizer, checkpoint.under("optimizer", self.taken_up))
        self.lr_scheduler.load_state_dict({**self.lr_scheduler.state_dict(), **self.schedule})
        for group, rate in zip(self.optimizer.param_groups, self.schedule["_last_lr"], strict=True):
            group["lr"] = rate

    def _load_rng_state(self, checkpoint_folder: str | None) -> None:
        torch.random.set_rng_state(self.taken_up["rng.cpu"])
        if torch.cuda.is_available() and "rng.cuda" in self.taken_up:
            torch.cuda.set_rng_state(self.taken_up["rng.cuda"])


class Watch(TrainerCallback):
    """Between the epochs: count, average, judge, stop."""

    def __init__(self, loop: Loop):
        self.loop = loop

    def on_train_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self.start = self.epoch_start = time.monotonic()

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        self.loop.batches.epoch = round(state.epoch or 0)
        self.epoch_start = time.monotonic()
        self.loop.losses, self.loop.parts = [], {}

    def on_step_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        if state.global_step > (1 - self.loop.job.numbers.average) * state.max_steps:
            self.loop.add_to_average()
        if state.is_world_process_zero:
            self.loop.job.note(state.global_step, state.max_steps, f"epoch {int(state.epoch - 1e-9) + 1} of {args.num_train_epochs:g}")

    def on_epoch_end(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        job, progress = self.loop.job, self.loop.progress
        line = {"epoch": float(len(progress.history) + 1), "train_loss": float(torch.stack(self.loop.losses).mean())}
        line |= {f"loss_{name}": sum(each) / len(each) for name, each in self.loop.parts.items()}  # of the steps that had this part
        if job.judge is not None:
            line["dev"] = self.loop.judge()
        now = time.monotonic()
        line["seconds"] = round(now - self.epoch_start, 2)
        progress.history.append(line)
        epoch = len(progress.history)
        if job.judge is not None and epoch - progress.best_epoch >= job.numbers.patience:
            progress.stopped = f"no better dev score for {job.numbers.patience} epochs"
        elif job.deadline_s is not None and epoch < args.num_train_epochs and now - self.start + line["seconds"] > job.deadline_s:
            progress.stopped = f"stopped by the clock after epoch {epoch} of {args.num_train_epochs:g}"
        if progress.stopped:
            control.should_training_stop = True
            if state.is_world_process_zero:
                job.note(state.global_step, state.max_steps, progress.stopped)
        control.should_save = True
