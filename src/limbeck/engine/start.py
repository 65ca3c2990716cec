"""What a head starts from: fits in closed or convex form on embeddings of the frozen base."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from limbeck import render
from limbeck.engine.dropout import set_dropout
from limbeck.engine.embed import embed
from limbeck.engine.encoder import CosineHead, EncoderStudent, PairHead, ScoreHead, side_by_side
from limbeck.engine.gold import target
from limbeck.engine.load import ENCODER, Base
from limbeck.engine.numbers import Numbers
from limbeck.engine.writer import WriterStudent, new_writer
from limbeck.errors import UsageError
from limbeck.types import Example, Kind, Task


def sources(task: Task, examples: Sequence[Example]) -> list[str]:
    return [render.source_text(task, e) for e in examples]


def new_student(base: Base, task: Task, train: Sequence[Example], numbers: Numbers) -> EncoderStudent | WriterStudent:
    """A base that writes as it is; an encoder with a head that already answers: class means, the base's own similarity, or
    ridge regression."""
    if base.family != ENCODER:
        if numbers.dropout is not None:
            set_dropout(base.model.modules(), numbers.dropout)
        return new_writer(base, task, numbers)
    if task.kind in (Kind.TEXT, Kind.FIELDS):
        have = f"the task is of kind {task.kind}, and {base.name} is an encoder"
        raise UsageError("an encoder cannot write an answer", have, "take a base that writes: an encoder-decoder or a causal model")
    if task.kind is Kind.LABEL:
        head, name = cosine_head(base, task, train, numbers), "cosine"
    elif task.kind is Kind.CHOICE:
        head, name = PairHead(base.hidden_size, scale=numbers.scale), "pair"
        head.weight.requires_grad_(False)  # tuned, the backbone itself moves; the extra features are for frozen ones
    else:
        vectors = embed(sources(task, train), base.name, numbers.max_length)
        head, name = score_head(vectors, np.array([target(task, e) for e in train]), alpha=1.0), "score"
    if not numbers.learn_scale and not isinstance(head, ScoreHead):
        head.log_scale.requires_grad_(False)
    if numbers.dropout is not None:
        set_dropout(base.model.modules(), numbers.dropout)
    return EncoderStudent(base.model, name, head, numbers.label_smoothing)


def cosine_head(base: Base, task: Task, train: Sequence[Example], numbers: Numbers) -> CosineHead:
    """Class vectors = mean of the normalised embeddings of a class; a label without rows begins at its own name."""
    vectors = embed(sources(task, train), base.name, numbers.max_length)
    gold = np.array([target(task, e) for e in train])
    names = embed([label.replace("_", " ") for label in task.labels], base.name, numbers.max_length)
    means = [vectors[gold == i].mean(0) if (gold == i).any() else names[i] for i in range(len(task.labels))]
    head = CosineHead(base.hidden_size, len(task.labels), numbers.scale)
    with torch.no_grad():
        head.weight.copy_(F.normalize(torch.from_numpy(np.stack(means)), dim=1))
    return head


def score_head(vectors: np.ndarray, values: np.ndarray, alpha: float) -> ScoreHead:
    """vectors (n, d), values (n,): ridge regression on standardised values."""
    head = ScoreHead(vectors.shape[1])
    mean, std = float(values.mean()), float(values.std()) or 1.0
    weight, bias = ridge(vectors, (values - mean) / std, alpha)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weight)[None])
        head.bias.fill_(bias)
        head.mean.fill_(mean)
        head.std.fill_(std)
    return head


def ridge(x: np.ndarray, y: np.ndarray, alpha: float) -> tuple[np.ndarray, float]:
    """argmin |x w + b - y|^2 + alpha |w|^2, the intercept b not penalised. x (n, d) -> w (d,) float32, b."""
    centre = x.mean(0, dtype=np.float64)
    z = x - centre
    weight = np.linalg.solve(z.T @ z + alpha * np.eye(x.shape[1]), z.T @ (y - y.mean()))
    return weight.astype(np.float32), float(y.mean() - centre @ weight)


def pair_head(inputs: np.ndarray, options: np.ndarray, row: np.ndarray, gold: np.ndarray, C: float, scale: float = 20.0) -> PairHead:
    """Conditional logit (McFadden 1974): softmax over a row's options of scale * cos + w . [u * v, |u - v|].

    inputs (n, d), options (N, d), row (N,) in order, gold (n,) = the place of the right option. Minimises the summed
    cross-entropy + |w|^2 / (2 C); scale is free. L-BFGS, full batch: deterministic."""
    head = PairHead(inputs.shape[1], scale=scale)
    u, v, rows, right = (torch.from_numpy(a) for a in (inputs, options, row, gold))
    optimizer = torch.optim.LBFGS(head.parameters(), max_iter=200, history_size=20, line_search_fn="strong_wolfe", tolerance_change=1e-7)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        wide = side_by_side(head(u, v, rows), rows, len(u))
        loss = F.cross_entropy(wide, right, reduction="sum") + head.weight.square().sum() / (2 * C)
        loss = loss + (head.log_scale - np.log(scale)).square()  # separable rows would send it to infinity
        loss.backward()
        return loss

    optimizer.step(closure)
    return head
