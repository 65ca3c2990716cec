"""Text -> token ids, and messages -> text by a base's chat template. Every truncated row is counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from limbeck.types import Message


@dataclass(frozen=True)
class Tokens:
    """ids: n lists, special tokens included, none longer than max_length. whole: the length of each before cutting."""

    ids: list[list[int]]
    whole: list[int]

    @property
    def truncated(self) -> int:
        return sum(length > len(row) for row, length in zip(self.ids, self.whole, strict=True))


def tokenise(tokenizer: Any, texts: Sequence[str], max_length: int) -> Tokens:
    """The special tokens survive the cut."""
    if not texts:
        return Tokens([], [])
    ids = tokenizer(list(texts), truncation=True, max_length=max_length)["input_ids"]
    full = [i for i, row in enumerate(ids) if len(row) >= max_length]
    whole = [len(row) for row in ids]
    if full:
        uncut = tokenizer([texts[i] for i in full], truncation=False, verbose=False)["input_ids"]
        for i, row in zip(full, uncut, strict=True):
            whole[i] = len(row)
    return Tokens(ids, whole)


def pad(rows: Sequence[Sequence[int]], value: int = 0, *, left: bool = False) -> tuple[Tensor, Tensor]:
    """B lists -> input_ids (B, T) int64 filled with `value`, attention_mask (B, T) int64; T = the longest list."""
    longest = max(map(len, rows), default=0)
    ids, mask = [], []
    for row in rows:
        gap = longest - len(row)
        ids.append([value] * gap + list(row) if left else list(row) + [value] * gap)
        mask.append([0] * gap + [1] * len(row) if left else [1] * len(row) + [0] * gap)
    return torch.tensor(ids, dtype=torch.int64), torch.tensor(mask, dtype=torch.int64)


def pad_id(tokenizer: Any) -> int:
    """What fills a batch; it is masked, so a tokenizer without a padding token lends its end token."""
    if tokenizer.pad_token_id is not None:
        return int(tokenizer.pad_token_id)
    return int(tokenizer.eos_token_id or 0)


def chat_text(tokenizer: Any, messages: Sequence[Message]) -> str:
    """What a generative base reads, up to where its answer begins."""
    if getattr(tokenizer, "chat_template", None):
        turns = [m.model_dump() for m in messages]
        return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
    return "\n\n".join(m.content for m in messages)  # render ends the last message with "Answer:"
