"""Several rows of a decoder-only model in one, each blind to the others: the same log-probabilities with less padding.

    row 0   p p p a a | p p a a a | . .        p: prompt, a: answer; positions begin anew at every |
    row 1   p p p p p p a a a | p p a          and that is what keeps attention within a row (transformers.masking_utils)

Exact where the model takes position_ids and sees places through them and the mask alone; `must_pack_exactly` tries it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from limbeck.engine.load import CAUSAL
from limbeck.engine.score import answer_log_probs, takes, takes_prompt_mask, token_log_probs
from limbeck.errors import UsageError

ROOM = 512  # tokens of a packed row, where no single one is longer


def packed_log_probs(
    model: Any, input_ids: Tensor, attention_mask: Tensor, option_ids: Tensor, option_mask: Tensor, option_row: Tensor
) -> Tensor:
    """As `score.answer_log_probs`, (N, To) float32, 0 on padding."""
    prompts = [ids[mask.bool()].tolist() for ids, mask in zip(input_ids, attention_mask, strict=True)]
    answers = [ids[mask.bool()].tolist() for ids, mask in zip(option_ids, option_mask, strict=True)]
    rows = [prompts[i] + answer for i, answer in zip(option_row.tolist(), answers, strict=True)]
    bins = fill([len(row) for row in rows], max([ROOM, *map(len, rows)]))
    length = max(sum(len(rows[i]) for i in some) for some in bins)
    ids = torch.zeros(len(bins), length, dtype=torch.int64)
    positions = torch.zeros(len(bins), length, dtype=torch.int64)  # 0 after 0: a filler reads itself alone
    place = torch.zeros(option_ids.shape, dtype=torch.int64)  # (N, To): where an answer's token lies, over all bins
    for b, some in enumerate(bins):
        at = 0
        for i in some:
            end = at + len(rows[i])
            ids[b, at:end] = torch.tensor(rows[i])
            positions[b, at:end] = torch.arange(len(rows[i]))
            place[i, : len(answers[i])] = b * (length - 1) + torch.arange(end - len(answers[i]), end) - 1  # t predicts t + 1
            at = end
    device = input_ids.device
    ids = ids.to(device)
    logits = model(input_ids=ids, position_ids=positions.to(device), attention_mask=None, use_cache=False).logits
    log_p = token_log_probs(logits[:, :-1], ids[:, 1:]).flatten()
    return log_p[place.to(device)] * option_mask


def fill(lengths: list[int], room: int) -> list[list[int]]:
    """First fit, the longest first: bins of rows, none longer than room."""
    bins: list[list[int]] = []
    left: list[int] = []
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        b = next((b for b, free in enumerate(left) if free >= lengths[i]), len(bins))
        if b == len(bins):
            bins.append([])
            left.append(room)
        bins[b].append(i)
        left[b] -= lengths[i]
    return bins


@torch.no_grad()
def must_pack_exactly(model: Any, family: str) -> None:
    """Raises UsageError where packing would change what a row reads. model: in eval mode."""
    if family != CAUSAL or not takes(model, "position_ids") or takes_prompt_mask(model):
        raise UsageError("rows cannot be packed", f"the model is {family}, a {type(model).__name__}", "--set pack=false")
    device = next(model.parameters()).device
    ids = torch.arange(24, device=device).reshape(2, 12) % model.config.vocab_size
    inputs = (ids[:, :7], torch.ones_like(ids[:, :7]), ids[:, 7:], torch.ones_like(ids[:, 7:]), torch.arange(2, device=device))
    gap = float((packed_log_probs(model, *inputs) - answer_log_probs(model, family, *inputs)).abs().max())
    if gap > 1e-4:
        have = f"a row beside another gets log-probabilities that differ by {gap:.2g}"
        raise UsageError("rows of this base cannot be packed", have, "--set pack=false")
