"""Texts -> one hidden state per token, at a layer of a frozen base. Nothing is pooled, nothing kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from limbeck.engine.batches import by_length
from limbeck.engine.encoder import unit_length
from limbeck.engine.load import ENCODER, Base, load_base
from limbeck.engine.tokens import pad, pad_id, tokenise
from limbeck.errors import UsageError


@dataclass(frozen=True)
class TokenStates:
    """states: (T, d) float32, rows of length 1, the tokens at either end included. words: (T,) bool, False for those."""

    states: np.ndarray
    words: np.ndarray


def at_hand(hub_id: str) -> bool:
    """Whether a base of the Hub lies in the cache of this machine: config and safetensors, whole or in parts."""
    from huggingface_hub import try_to_load_from_cache

    weights = ("model.safetensors", "model.safetensors.index.json")
    return isinstance(try_to_load_from_cache(hub_id, "config.json"), str) and any(
        isinstance(try_to_load_from_cache(hub_id, file), str) for file in weights
    )


def token_states(texts: Sequence[str], base: str, layer: int) -> list[TokenStates]:
    """Of each text, at the output of `layer` (1 = the first, as BERTScore counts). A text is cut where the model's
    positions end, not where a pooled embedding would cut it. Raises UsageError for a base without states or layer."""
    loaded = load_base(base, shared=True)
    if loaded.family != ENCODER:
        raise UsageError(f"{base} has no states to compare", f"it is a {loaded.family} model", "use an encoder, such as minilm")
    if not 0 < layer <= loaded.model.config.num_hidden_layers:
        raise UsageError(f"{base} has no layer {layer}", f"it has {loaded.model.config.num_hidden_layers}", "name one of them")
    found: dict[int, TokenStates] = dict(computed(loaded, texts, layer))
    return [found[i] for i in range(len(texts))]


@torch.inference_mode()
def computed(base: Base, texts: Sequence[str], layer: int) -> Iterator[tuple[int, TokenStates]]:
    """(number of the text, its states), batch by batch."""
    ids = tokenise(base.tokenizer, texts, min(int(base.tokenizer.model_max_length), positions(base))).ids
    ends = {base.tokenizer.cls_token_id, base.tokenizer.sep_token_id}
    for rows in by_length([len(row) for row in ids]):
        input_ids, attention_mask = pad([ids[i] for i in rows], pad_id(base.tokenizer))
        out = base.model(input_ids=input_ids, attention_mask=attention_mask, output_hidden_states=True)
        states = unit_length(out.hidden_states[layer])  # (B, T, d); entry 0 is the embedding
        for i, row in zip(rows, states, strict=True):
            yield i, TokenStates(row[: len(ids[i])].numpy().copy(), np.array([token not in ends for token in ids[i]], bool))


def positions(base: Base) -> int:
    """Tokens that the model has positions for."""
    offset = 2 if base.model.config.model_type in ("roberta", "xlm-roberta", "camembert") else 0
    return int(getattr(base.model.config, "max_position_embeddings", 512)) - offset
