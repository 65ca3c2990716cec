"""The loss of a language model head without ever holding all logits: on a CPU they cost more than the layers."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

CHUNK = 512  # rows of logits at a time: 8 MB at 4,096 entries, which stays in the cache


class HeadLoss(torch.autograd.Function):
    """hidden (N, d), weight (V, d), target (N,), count (N,) -> sum(count * cross-entropy) / sum(count), a scalar.

    The gradient is computed on the way forward, in bfloat16 where `half`."""

    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, target: Tensor, count: Tensor, half: bool) -> Tensor:
        total = count.sum().clamp(min=1.0)
        kind = torch.bfloat16 if half else torch.float32
        w = weight.detach().to(kind)
        d_hidden = torch.empty_like(hidden, dtype=torch.float32)
        d_weight = torch.zeros_like(weight, dtype=torch.float32)
        loss = hidden.new_zeros((), dtype=torch.float32)
        for start in range(0, len(hidden), CHUNK):
            some = slice(start, start + CHUNK)
            h, t, c = hidden[some].detach().to(kind), target[some], count[some]
            logits = (h @ w.T).float()  # (n, V)
            norm = torch.logsumexp(logits, -1, keepdim=True)
            loss += (c * (norm.squeeze(1) - logits.gather(1, t[:, None]).squeeze(1))).sum()
            gradient = logits.sub_(norm).exp_()
            gradient.scatter_add_(1, t[:, None], torch.full_like(c, -1.0)[:, None])
            gradient = gradient.mul_((c / total)[:, None]).to(kind)
            d_hidden[some] = (gradient @ w).float()
            d_weight += (gradient.T @ h).float()
        ctx.save_for_backward(d_hidden.to(hidden.dtype), d_weight)
        return loss / total

    @staticmethod
    def backward(ctx: Any, *up: Tensor) -> tuple[Any, ...]:
        d_hidden, d_weight = ctx.saved_tensors
        return d_hidden * up[0], d_weight * up[0], None, None, None


def head_loss(hidden: Tensor, weight: Tensor, target: Tensor, count: Tensor, half: bool = False) -> Tensor:
    return HeadLoss.apply(hidden, weight, target, count, half)
