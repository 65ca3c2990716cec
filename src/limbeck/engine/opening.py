"""What all prompts of a decoder-only model begin with, the task and its demonstrations, is computed once.

    opening [ task, shots .......... ]  its keys and values (1, P) are kept from call to call
    rest    [ ----------- ][ input 1 ]  a batch reads on from a copy of them: padding stands between the two, and is masked

Exact up to the last bits of a float. A call whose prompts begin with what is kept reads on from there; else what they begin with
in common, with the last prompt that was seen, is computed and kept instead, where that is long enough to pay."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

FEWEST = 32  # tokens: a shorter opening costs as much as the copying


class Opening:
    """ids: of what is kept; cache: its keys and values, of batch size 1. reused: so many tokens were not computed again so far."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.cache: Any = None
        self.last: list[int] = []
        self.reused = 0

    @torch.inference_mode()
    def of(self, model: Any, prompts: Sequence[Sequence[int]]) -> list[int]:
        """The tokens that these prompts need not compute: the kept ones or new ones, each prompt longer by a token at least; [] where
        it does not pay."""
        if not prompts or not can_share(model):
            return []
        if self.cache is not None and begins(prompts, self.ids):
            found = common([*prompts, self.last]) if self.last else []
            if len(found) < 2 * len(self.ids):
                self.last = list(prompts[-1])
                return self.ids
        found = common([*prompts, self.last] if self.last else prompts)
        if len(found) < FEWEST and len(prompts) > 1:
            found = common(prompts)
        several = len(prompts) > 1 or bool(self.last)
        self.last = list(prompts[-1])
        if len(found) < FEWEST or not several:
            return []
        ids = torch.tensor([found], device=next(model.parameters()).device)
        self.cache = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=True, logits_to_keep=1).past_key_values
        self.ids = found
        return found

    def copies(self, n: int) -> Any:
        """The kept cache for a batch of n, which may be written on."""
        cache = copy.deepcopy(self.cache)
        cache.batch_repeat_interleave(n)
        self.reused += n * len(self.ids)
        return cache


def common(prompts: Sequence[Sequence[int]]) -> list[int]:
    """What all of them begin with, short of the last token of the shortest: something has to be read to predict from."""
    first, last = min(prompts), max(prompts)  # in the order of lists these two differ the earliest
    n = min(map(len, prompts)) - 1
    at = next((i for i in range(max(n, 0)) if first[i] != last[i]), max(n, 0))
    return list(first[:at])


def begins(prompts: Sequence[Sequence[int]], ids: Sequence[int]) -> bool:
    return all(len(prompt) > len(ids) and list(prompt[: len(ids)]) == list(ids) for prompt in prompts)


def can_share(model: Any) -> bool:
    """Whether what was read can be taken up again behind padding: plain attention over all that stands before, and positions that
    are told."""
    config = getattr(model, "config", None)
    windows = getattr(config, "sliding_window", None) or any("full" not in kind for kind in getattr(config, "layer_types", None) or ())
    return not windows and takes(model, "position_ids") and takes(model, "logits_to_keep") and not takes_prompt_mask(model)


def numbers_per_token(config: Any) -> int:
    """Of a decoder-only model's cache: keys and values of all layers."""
    heads = int(getattr(config, "num_attention_heads", 1))
    wide = int(getattr(config, "head_dim", 0) or config.hidden_size // heads)
    return 2 * wide * int(getattr(config, "num_key_value_heads", 0) or heads) * int(getattr(config, "num_hidden_layers", 1))


def with_opening(attention_mask: Tensor, size: int) -> Tensor:
    """(B, T) -> (B, size + T): everybody sees the opening."""
    return torch.cat([attention_mask.new_ones(len(attention_mask), size), attention_mask], 1)


def takes_prompt_mask(model: Any) -> bool:
    return bool(getattr(model, "takes_prompt_mask", False))


def takes(model: Any, name: str) -> bool:
    """Does the forward of the model, or of what an adapter wraps, have this parameter?"""
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    return name in inspect.signature(inner.forward).parameters
