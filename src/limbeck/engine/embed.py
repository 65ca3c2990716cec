"""Texts -> vectors of a frozen base, each text embedded once per process."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from limbeck.engine.batches import by_length
from limbeck.engine.encoder import mean_pool, unit_length
from limbeck.engine.load import ENCODER, Base, load_base
from limbeck.engine.tokens import pad, pad_id, tokenise
from limbeck.errors import UsageError

_kept: dict[tuple[str, int], dict[str, np.ndarray]] = {}  # (sha of the base, max_length) -> text -> (d,)


def embed(texts: Sequence[str], base: str = "minilm", max_length: int | None = None) -> np.ndarray:
    """(n, d) float32, rows of length 1: the mean over tokens of the last hidden state. Cached by text."""
    loaded = load_base(base, shared=True)
    if loaded.family != ENCODER:
        raise UsageError(f"{base} cannot embed texts", f"it is a {loaded.family} model", "use an encoder, such as minilm")
    length = min(max_length or loaded.max_length, loaded.max_length)
    kept = _kept.setdefault((loaded.sha, length), {})
    fresh = [text for text in dict.fromkeys(texts) if text not in kept]
    if fresh:
        kept.update(zip(fresh, compute(loaded, fresh, length), strict=True))
    return np.stack([kept[text] for text in texts]) if texts else np.zeros((0, loaded.hidden_size), np.float32)


@torch.inference_mode()
def compute(base: Base, texts: Sequence[str], max_length: int) -> np.ndarray:
    """(n, d) float32 without the cache."""
    ids = tokenise(base.tokenizer, texts, max_length).ids
    vectors = np.zeros((len(texts), base.hidden_size), np.float32)
    for rows in by_length([len(row) for row in ids]):
        input_ids, attention_mask = pad([ids[i] for i in rows], pad_id(base.tokenizer))
        hidden = base.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        vectors[rows] = unit_length(mean_pool(hidden, attention_mask)).numpy()
    return vectors
