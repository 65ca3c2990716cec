"""Texts in parts -> what an encoder makes of each token. One pass serves the mean of a text, the mean of a part, and single tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
import torch
from safetensors import SafetensorError, safe_open

from limbeck.engine.batches import by_length
from limbeck.engine.load import ENCODER, Base, load_base
from limbeck.engine.tokens import pad, pad_id
from limbeck.errors import LimbeckError, UsageError
from limbeck.run import write_bytes
from limbeck.types import sha_of

Parts = Sequence[tuple[str, int]]  # (text, tokens of it that are read at most), in the order in which they stand
KEPT = 3000  # texts in the file; a reading takes about 40 KB
WORTH = 30  # fresh texts from which on they are written: fewer are read faster than the file
_readings: dict[str, dict[str, Reading]] = {}  # sha of the base -> sha of the parts -> reading


@dataclass(frozen=True)
class Reading:
    """ids (t,) int32, special tokens included. states (t, d) float16: last hidden state; rounded when fresh too, so that a
    kept one scores the same. spans: (start, end) per part, start == end where it is empty."""

    ids: np.ndarray
    states: np.ndarray
    spans: tuple[tuple[int, int], ...]

    def mean(self, *parts: int) -> np.ndarray:
        """(d,) float32 of length 1, over the tokens of these parts, of all where none is named or they are empty."""
        chosen = [i for part in parts for i in range(*self.spans[part])] or [i for span in self.spans for i in range(*span)]
        mean = self.states[chosen or slice(None)].astype(np.float32).mean(0)
        return mean / max(float(np.linalg.norm(mean)), 1e-9)  # type: ignore[no-any-return]


def read(texts: Sequence[Parts], base: str = "minilm", file: Path | None = None) -> list[Reading]:
    """One reading per text. file: where readings are kept from one process to the next; a file that is damaged or cannot be
    written costs time alone. Raises UsageError for a base that is no encoder."""
    loaded = load_base(base, shared=True)
    if loaded.family != ENCODER:
        raise UsageError(f"{base} cannot embed texts", f"it is a {loaded.family} model", "use an encoder, such as minilm")
    known = _readings.setdefault(loaded.sha, {})
    keys = [sha_of([list(part) for part in parts]) for parts in texts]
    if file is not None and not known.keys() >= set(keys):
        known.update({key: one for key, one in load(file, loaded.sha).items() if key not in known})
    fresh = [i for key, i in {key: i for i, key in enumerate(keys)}.items() if key not in known]
    known.update(zip([keys[i] for i in fresh], compute(loaded, [texts[i] for i in fresh]), strict=True))
    if file is not None and len(fresh) >= WORTH:
        asked = dict.fromkeys(keys)
        save(file, loaded.sha, {key: known[key] for key in [*asked, *(k for k in known if k not in asked)][:KEPT]})
    return [known[key] for key in keys]


@torch.inference_mode()
def compute(base: Base, texts: Sequence[Parts]) -> list[Reading]:
    """Without the cache."""
    rows, spans = [], []
    for parts in texts:
        ids = [base.tokenizer.cls_token_id]
        places = []
        for text, most in parts:
            start = len(ids)
            ids += base.tokenizer(text, add_special_tokens=False, truncation=True, max_length=most)["input_ids"] if text.strip() else []
            places.append((start, min(len(ids), base.max_length - 1)))
        rows.append([*ids[: base.max_length - 1], base.tokenizer.sep_token_id])
        spans.append(tuple((min(start, end), end) for start, end in places))
    made: dict[int, Reading] = {}
    for chosen in by_length([len(row) for row in rows]):
        input_ids, attention_mask = pad([rows[i] for i in chosen], pad_id(base.tokenizer))
        hidden = base.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state.to(torch.float16).numpy()
        for row, i in enumerate(chosen):
            made[i] = Reading(np.array(rows[i], np.int32), hidden[row, : len(rows[i])].copy(), spans[i])
    return [made[i] for i in range(len(texts))]


def save(file: Path, base: str, readings: dict[str, Reading]) -> None:
    """ids and states of all texts, one after the other; keys, lengths and spans as JSON."""
    facts = [[key, len(one.ids), one.spans] for key, one in readings.items()]
    tensors = {"ids": np.concatenate([r.ids for r in readings.values()]), "states": np.concatenate([r.states for r in readings.values()])}
    try:
        write_bytes(file, safetensors.numpy.save(tensors, metadata={"base": base, "texts": json.dumps(facts)}))
    except (OSError, LimbeckError):
        return


def load(file: Path, base: str) -> dict[str, Reading]:
    try:
        with safe_open(file, framework="numpy") as held:
            facts = held.metadata()
            if facts["base"] != base:
                return {}
            ids, states = held.get_tensor("ids"), held.get_tensor("states")
        found, at = {}, 0
        for key, length, spans in json.loads(facts["texts"]):
            found[key] = Reading(ids[at : at + length], states[at : at + length], tuple((start, end) for start, end in spans))
            at += length
        return found
    except (OSError, SafetensorError, ValueError, KeyError, TypeError):
        return {}
