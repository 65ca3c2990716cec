"""Supervised fine-tuning: cross-entropy over the allowed answers, squared error for scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck import render
from limbeck.engine.gold import target
from limbeck.engine.tokens import tokenise
from limbeck.registry import Objective
from limbeck.types import Example, Kind, Task


def features(task: Task, examples: Sequence[Example], tokenizer: Any, max_length: int) -> list[dict[str, Any]]:
    """One item per row: input_ids; labels (an index, or the score); options (a list per option) for choices;
    truncated (0 or 1); weight, where a row carries a confidence. Raises BadRows where an answer is none of the task's."""
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
    if any(e.confidence is not None for e in examples):
        for item, e in zip(items, examples, strict=True):
            item["weight"] = 1.0 if e.confidence is None else e.confidence
    return items


def loss(model: Any, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
    """batch as engine.batches.collate makes it; whole labels are answers, real ones are scores."""
    inputs = {name: tensor for name, tensor in batch.items() if name not in ("labels", "weight")}
    labels = batch["labels"]
    logits, unit, label_smoothing = model(**inputs)
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


SFT = Objective(name="sft", kinds=(Kind.LABEL, Kind.CHOICE, Kind.SCORE), features=features, loss=loss)
