"""Text -> token ids, and messages -> text by a base's chat template. Every truncated row is counted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from limbeck.engine.load import SEQ2SEQ
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


def prompt_ids(tokenizer: Any, family: str, prompt: str) -> list[int]:
    """A chat template writes its own special tokens; a plain prompt gets those of the tokenizer, but no end. No prompt is
    the token that texts begin with, or else the one that ends them."""
    if not prompt and family != SEQ2SEQ:
        return [tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id]
    if getattr(tokenizer, "chat_template", None):
        return list(tokenizer(prompt, add_special_tokens=False)["input_ids"])
    ids = tokenise(tokenizer, [prompt], 1 << 20).ids[0]
    return ids[:-1] if family != SEQ2SEQ and ids and ids[-1] == tokenizer.eos_token_id else ids


# ---- chat ----------------------------------------------------------------------------------------------------------


def chat_text(tokenizer: Any, messages: Sequence[Message]) -> str:
    """What a generative base reads, up to where its answer begins. A template that knows no system role gets its text
    at the head of the user's turn."""
    if not getattr(tokenizer, "chat_template", None):
        return "\n\n".join(m.content for m in messages)  # render ends the last message with "Answer:"
    from jinja2 import TemplateError

    turns = [m.model_dump() for m in messages]
    try:
        return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))
    except TemplateError:
        if len(turns) < 2 or turns[0]["role"] != "system":
            raise
        first = {**turns[1], "content": f"{turns[0]['content']}\n\n{turns[1]['content']}"}
        return str(tokenizer.apply_chat_template([first, *turns[2:]], tokenize=False, add_generation_prompt=True))


def answer_end(tokenizer: Any) -> int | None:
    """The token that ends an answer: what the chat template puts behind an assistant's turn, where it is a special token
    (often another one than the end of a text), else the tokenizer's end."""
    template = getattr(tokenizer, "chat_template", None)
    return _turn_end(tokenizer, str(template)) if template else tokenizer.eos_token_id


@lru_cache(maxsize=4)
def _turn_end(tokenizer: Any, template: str) -> int | None:
    from jinja2 import TemplateError

    asked, said = [{"role": "user", "content": "a"}], "b"
    try:
        begun = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
        whole = tokenizer.apply_chat_template([*asked, {"role": "assistant", "content": said}], tokenize=False)
    except TemplateError:  # it wants other turns than these
        return tokenizer.eos_token_id
    after = whole.rpartition(said)[2] if not whole.startswith(begun + said) else whole[len(begun + said) :]
    ids = tokenizer(after.lstrip(), add_special_tokens=False)["input_ids"]
    return ids[0] if ids and ids[0] in tokenizer.all_special_ids else tokenizer.eos_token_id
