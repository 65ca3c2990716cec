"""Texts -> vectors of a frozen base, each text embedded once per run.

The last bits of a vector depend on what else was in its batch. So a run keeps its vectors in its folder: a resumed run
reads the same ones, and a fit on top of them comes out the same."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
import torch
from safetensors import safe_open

from limbeck.engine.batches import by_length
from limbeck.engine.encoder import mean_pool, unit_length
from limbeck.engine.load import ENCODER, Base, load_base
from limbeck.engine.tokens import pad, pad_id, tokenise
from limbeck.errors import UsageError
from limbeck.run import write_bytes
from limbeck.types import sha_of

_kept: dict[tuple[str, int], dict[str, np.ndarray]] = {}  # (sha of the base, max_length) -> text -> (d,)

_folder: list[Path] = []  # where the run at work keeps them; empty = in memory alone


def remember(folder: Path) -> None:
    """From here on vectors are kept in this folder; what it holds is read, what memory held is forgotten."""
    _kept.clear()
    _folder[:] = [folder.absolute()]  # whoever embeds later may stand elsewhere
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="numpy") as held:
            facts = held.metadata()
            texts, vectors = json.loads(facts["texts"]), held.get_tensor("vectors")
        _kept.setdefault((facts["base"], int(facts["length"])), {}).update(zip(texts, vectors, strict=True))


def keep(base: str, length: int, texts: list[str], vectors: np.ndarray) -> None:
    facts = {"base": base, "length": str(length), "texts": json.dumps(texts, ensure_ascii=False)}
    data = safetensors.numpy.save({"vectors": np.ascontiguousarray(vectors)}, metadata=facts)
    write_bytes(_folder[0] / f"{sha_of([base, length, texts])}.safetensors", data)


def embed(texts: Sequence[str], base: str = "minilm", max_length: int | None = None, *, cached: bool = True) -> np.ndarray:
    """(n, d) float32, rows of length 1: the mean over tokens of the last hidden state. Cached by text, unless what is
    asked for is what a single call costs."""
    loaded = load_base(base, shared=True)
    if loaded.family != ENCODER:
        raise UsageError(f"{base} cannot embed texts", f"it is a {loaded.family} model", "use an encoder, such as minilm")
    length = min(max_length or loaded.max_length, loaded.max_length)
    if not cached:
        return compute(loaded, texts, length)
    kept = _kept.setdefault((loaded.sha, length), {})
    fresh = [text for text in dict.fromkeys(texts) if text not in kept]
    if fresh:
        vectors = compute(loaded, fresh, length)
        if _folder:
            keep(loaded.sha, length, fresh, vectors)
        kept.update(zip(fresh, vectors, strict=True))
    return np.stack([kept[text] for text in texts]) if texts else np.zeros((0, loaded.hidden_size), np.float32)


@dataclass(frozen=True)
class Encoder:
    """A base as the embedder of an index: texts -> (n, d), rows of length 1. name: on the shelf, a hub id, or a folder."""

    name: str

    @property
    def identity(self) -> str:
        """Of its weights: a folder that holds others is another embedder."""
        return load_base(self.name, shared=True).sha

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        return embed(texts, self.name, cached=len(texts) > 1)  # one alone is told what it costs

    def passages(self, texts: Sequence[str]) -> np.ndarray:
        """Of texts that the index keeps itself."""
        return embed(texts, self.name, cached=False)


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
