"""Supervised fine-tuning: cross-entropy over the allowed answers, squared error for scores; for students that write,
cross-entropy of the answer's tokens (writing_losses)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck import render
from limbeck.engine.encoder import side_by_side
from limbeck.engine.framing import Reading
from limbeck.engine.gold import target
from limbeck.engine.tokens import tokenise
from limbeck.engine.writer import Written, writing_features
from limbeck.registry import Objective
from limbeck.types import Example, Kind, Task


def features(
    task: Task, examples: Sequence[Example], tokenizer: Any, max_length: int, reading: Reading | None = None
) -> list[dict[str, Any]]:
    """One item per row: input_ids; labels (an index, or the score); options (a list per option) for choices;
    truncated (0 or 1); weight, where a row carries a confidence. Raises BadRows where an answer is none of the task's.
    reading: of a student that writes, whose items engine.writer makes."""
    if reading is not None:
        return weighted(writing_features(task, examples, reading), examples)
    tokens = tokenise(tokenizer, [render.source_text(task, e) for e in examples], max_length)
    items: list[dict[str, Any]] = [
        {"input_ids": ids, "labels": target(task, e), "truncated": int(whole > len(ids))}
        for e, ids, whole in zip(examples, tokens.ids, tokens.whole, strict=True)
    ]
    if task.kind is Kind.CHOICE:
        texts = list(dict.fromkeys(c for e in examples for c in e.choices or ()))
        ids_of = dict(zip(texts, tokenise(tokenizer, texts, max_length).ids, strict=True))
        for item, e in zip(items, examples, strict=True):
            item["options"] = [ids_of[c] for c in e.choices or ()]
    return weighted(items, examples)


def weighted(items: list[dict[str, Any]], examples: Sequence[Example]) -> list[dict[str, Any]]:
    if any(e.confidence is not None for e in examples):
        for item, e in zip(items, examples, strict=True):
            item["weight"] = 1.0 if e.confidence is None else e.confidence
    return items


def loss(model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """batch as engine.batches.collate makes it; whole labels are answers, real ones are scores."""
    return answer_loss(model(**{name: tensor for name, tensor in batch.items() if name not in TARGETS}), batch)


TARGETS = ("labels", "weight", "rationale_weight", "rationale_span")  # of a batch, what the loss reads and the model does not


def answer_loss(found: Any, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """found: what the student gave for the batch, Written or Answer. The loss of what is written is a mean over rows of the mean
    over an answer's tokens, so that a long answer counts as much as a short one."""
    labels = batch["labels"]
    if isinstance(found, Written):
        parts = writing_losses(found, labels)
        return mean(torch.stack(list(parts.values())).sum(0), batch.get("weight")), {
            name: float(each.detach().mean()) for name, each in parts.items()
        }
    logits, unit, label_smoothing, *_ = found
    if labels.is_floating_point():
        each = F.mse_loss(logits / unit, labels / unit, reduction="none")
    else:
        each = cross_entropy(logits, labels, label_smoothing)
    return mean(each, batch.get("weight")), {}


def mean(each: Tensor, weight: Tensor | None) -> Tensor:
    """each (B,), weight (B,) -> (): the weighted mean; a batch of rows that nobody trusts teaches nothing."""
    return each.mean() if weight is None else (each * weight).sum() / len(each)


def cross_entropy(logits: Tensor, labels: Tensor, label_smoothing: float = 0.0) -> Tensor:
    """(B,): per row. logits (B, C), -inf = no such answer in this row; labels (B,). Smoothing is spread over the answers
    there are."""
    if not label_smoothing:
        return F.cross_entropy(logits, labels, reduction="none")
    real = logits.isfinite()
    log_p = torch.log_softmax(logits, -1).masked_fill(~real, 0.0)
    right = log_p.gather(-1, labels[:, None]).squeeze(-1)
    spread = log_p.sum(-1) / real.sum(-1)
    return -((1 - label_smoothing) * right + label_smoothing * spread)


# ---- of students that write ------------------------------------------------------------------------------------------

SAFE = 1e-2  # of T-Few's code (r-three/t-few 114dece, EncoderDecoder.py:85): log 0 of a token that is quite sure


def writing_losses(found: Written, labels: Tensor) -> dict[str, Tensor]:
    """{name: (B,)}, weight 1 each; labels (B,): the place of the right answer among its row's. T-Few (Liu et al. 2022, arXiv
    2205.05638, section 3.2); p over the tokens t of an answer, T of them:

    lm  -1/T sum log p(right answer)
    ul  -sum log(1 - p) over the tokens of all wrong answers / their number
    ln  cross-entropy of softmax over answers of 1/T sum log p"""
    log_p, mask, row, losses, smoothing, *_ = found
    tokens = mask.sum(-1)  # (N,)
    means = log_p.sum(-1) / tokens.clamp(min=1)  # (N,)
    counts = torch.bincount(row, minlength=len(labels))
    gold = counts.cumsum(0) - counts + labels  # (B,) the place of each right answer in N
    parts = {"lm": -means[gold]}
    if "ul" in losses:
        wrong = torch.ones_like(tokens).index_fill(0, gold, 0)  # (N,)
        unlikely = -(torch.log(1 - log_p.exp() + SAFE) * mask).sum(-1) * wrong
        total = unlikely.new_zeros(len(labels)).index_add(0, row, unlikely)
        parts["ul"] = total / unlikely.new_zeros(len(labels)).index_add(0, row, (tokens * wrong).to(unlikely.dtype)).clamp(min=1)
    if "ln" in losses:
        parts["ln"] = cross_entropy(side_by_side(means, row, len(labels)), labels, smoothing)
    return parts


SFT = Objective(name="sft", kinds=tuple(Kind), features=features, loss=loss)
