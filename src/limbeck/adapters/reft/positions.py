"""Where the prompt's tokens are: explicit indices computed from masks, the same under left and right padding.

A row with n prompt tokens gets min(n // 2, f) of its first and min(n // 2, l) of its last ones, as in pyreft (for an odd
n the paper's text rounds the suffix up; its published numbers come from the code). So the two never overlap, and a row of
one token is left alone. A slot that a short row lacks is marked as not real: it edits nothing, no pad token included."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from limbeck.adapters.reft.config import Positions
from limbeck.errors import UsageError


@dataclass(frozen=True)
class Plan:
    """Of one forward. index: (B, P) int64 columns, first positions before last ones. real: (B, P) bool, false where a
    short row lacks that slot. flat: (B * P,) places in the (B * T, d) hidden states. closed: (B * P, U r) bool, true where
    a slot is not that unit's, or not real; r times for each unit. tokens: T."""

    index: Tensor
    real: Tensor
    flat: Tensor
    closed: Tensor
    tokens: int

    def at(self, tokens: int) -> Plan:
        """The same columns in inputs that have become longer (generation without a cache)."""
        return self if tokens == self.tokens else replace(self, flat=flat_places(self.index, tokens), tokens=tokens)


def plan_of(prompt: Tensor, positions: Positions, units: int = 1, rank: int = 1) -> Plan:
    """prompt: (B, T), true on prompt tokens, wherever they stand. units: 1, or 2 = one for first and one for last tokens."""
    prompt = prompt.bool()
    n = prompt.sum(-1, keepdim=True)  # (B, 1)
    order = torch.argsort(prompt.logical_not().to(torch.int8), dim=-1, stable=True)  # columns of the prompt's tokens come first
    first = torch.arange(positions.first, device=prompt.device).expand(len(prompt), -1)
    real_first = first < n // 2
    used = (n // 2).clamp(max=positions.last)  # (B, 1), of the last positions
    slot = torch.arange(positions.last, device=prompt.device).expand(len(prompt), -1)
    which = torch.cat([first, n - used + slot], -1).clamp(max=prompt.shape[1] - 1)  # (B, P): the k-th prompt token
    real = torch.cat([real_first, slot < used], -1)
    index = order.gather(-1, which.masked_fill(~real, 0))
    open_ = real.unsqueeze(-1)  # (B, P, 1)
    if units == 2:
        of_first = torch.arange(real.shape[1], device=real.device).unsqueeze(-1) < positions.first  # (P, 1)
        open_ = open_ & torch.cat([of_first, ~of_first], -1)
    closed = ~open_.flatten(0, 1).repeat_interleave(rank, -1)
    return Plan(index, real, flat_places(index, prompt.shape[1]), closed, prompt.shape[1])


def flat_places(index: Tensor, tokens: int) -> Tensor:
    """Columns (B, P) -> (B * P,) rows of a (B * T, d) matrix."""
    return (index + torch.arange(len(index), device=index.device).unsqueeze(-1) * tokens).flatten()


def before_the_answer(labels: Tensor) -> Tensor:
    """(B, T) -> true before the first token that has a label; -100 = none."""
    return (labels != -100).cumsum(-1) == 0


def check_mask(name: str, mask: Tensor, rows: int, tokens: int) -> Tensor:
    """The mask as booleans, with rows repeated where beams or samples have repeated the inputs."""
    if mask.ndim != 2:
        raise UsageError(
            f"the positions of the prompt cannot be read from {name}",
            f"its shape is {tuple(mask.shape)}",
            "give prompt_mask of shape (B, T), 1 on the tokens of the prompt",
        )
    mask = mask.bool()
    if len(mask) != rows and len(mask) and rows % len(mask) == 0:
        mask = mask.repeat_interleave(rows // len(mask), 0)
    if mask.shape != (rows, tokens):
        raise UsageError(
            f"{name} does not fit the input",
            f"its shape is {tuple(mask.shape)}, the input has {rows} rows of {tokens} tokens",
            "give one number per token",
        )
    return mask
