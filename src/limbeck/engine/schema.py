"""Answers that fit a JSON schema: at each place only those tokens are allowed that some fitting object goes on with.

The grammar is llguidance's (extra `text`). What is written here: the object as our students learn it (keys in order of the
alphabet, `", "` and `": "` between them, as render.answer spells it), the mask as a logits processor for any way of decoding, and
the end: an object that would outgrow its room is closed in time, by the shortest way that we see."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import LogitsProcessor

from limbeck.errors import UsageError
from limbeck.need import need

_INNER = ("properties", "patternProperties", "$defs", "definitions")  # {name: schema}
_PROBE = '{"a": 1}'
_LONGEST_WAY = 200  # tokens; a schema that asks for more is not closed in time
_LOOK = 32  # tokens before the end of the room from which on the way out is watched
_SLACK = 4  # tokens that one step may add to the way out: a quote, a bracket, a comma
_PLAIN = "--set constrained=false"


class Constraint:
    """Of one task and one tokenizer. Raises MissingExtra without llguidance, UsageError where the schema cannot be read or the
    tokenizer cannot write it."""

    def __init__(self, tokenizer: Any, schema: str | None, ends: set[int]):
        guide = need("llguidance", extra="text")
        about = in_order(json.loads(schema or '{"type": "object"}'))
        options = {"item_separator": ", ", "key_separator": ": ", "whitespace_flexible": False, "coerce_one_of": True}
        grammar = f'start: " "? answer\nanswer: %json {json.dumps({**about, "x-guidance": options})}\n'  # the blank goes with the prompt
        words = vocabulary(guide, tokenizer, ends)
        self.start = guide.LLMatcher(words, guide.LLMatcher.grammar_from_lark(grammar), log_level=0)
        if self.start.is_error():
            raise UsageError("this JSON schema cannot steer what is written", self.start.get_error()[:300], f"correct it, or {_PLAIN}")
        read = tokenizer.decode(tokenizer(_PROBE, add_special_tokens=False)["input_ids"], skip_special_tokens=True)
        if read.strip() != _PROBE:
            have = f"its tokenizer reads {_PROBE} back as {read}"
            raise UsageError(
                "this base cannot write JSON", have, "take another base: T5's own tokenizer has no braces, byte-level ones have"
            )

        pieces = [words.decode_bytes([i]) for i in range(len(tokenizer))]
        self.closes = np.array([closing_rank(piece) for piece in pieces])  # (V,)
        self.unquotes = np.array([closing_rank(piece) if piece.startswith(b'"') else -len(piece) for piece in pieces])
        self.brackets = [i for i, piece in enumerate(pieces) if piece in (b"]", b"}")]

    def processor(self, start: int, ends: set[int], room: int) -> Masked:
        """start: so many tokens of a row are no answer. ends: what ends one. room: tokens of an answer, its end included."""
        return Masked(self, start, ends, room)

    def way_out(self, state: Any) -> list[int]:
        """Tokens that close the object from here: brackets and quotes first, else the longest token that is allowed."""
        state, way = state.deep_copy(), []
        while not state.is_accepting():
            may = allowed(state, len(self.closes))
            in_string = len(self.brackets) > 1 and may[self.brackets].all()  # nowhere else may either of the two come next
            ranks = np.where(may, self.unquotes if in_string else self.closes, -np.inf)
            if len(way) == _LONGEST_WAY or not np.isfinite(ranks.max()):
                break
            way.append(int(ranks.argmax()))
            state.consume_token(way[-1])
        return way


class Masked(LogitsProcessor):
    """The state of a row follows from what it has written, so that beams may change places. closed: rows, as far as they
    were written, that had to be closed."""

    def __init__(self, constraint: Constraint, start: int, ends: set[int], room: int):
        self.constraint, self.begin, self.ends, self.room = constraint, start, ends, room
        self.states: dict[tuple[int, ...], Any] = {(): constraint.start}  # written -> matcher, of this step and the last
        self.near = 2 * len(constraint.way_out(constraint.start)) + _LOOK
        self.closed: set[tuple[int, ...]] = set()

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """input_ids (B, T), scores (B, V): -inf on what does not fit. A row that has ended is left alone."""
        states: dict[tuple[int, ...], Any] = {}
        masks = []
        for row in input_ids[:, self.begin :].tolist():
            written = tuple(row)
            if self.ends & set(row):
                masks.append(np.ones(scores.shape[1], dtype=bool))
                continue
            if written not in states:
                states[written] = self.state(written)
            masks.append(self.mask(states[written], written, scores.shape[1]))
        self.states = states
        return scores.masked_fill(~torch.from_numpy(np.stack(masks)).to(scores.device), -torch.inf)

    def mask(self, state: Any, written: tuple[int, ...], size: int) -> np.ndarray:
        """(V,) bool; near the end of the room the one token that leads out."""
        found = allowed(state, size)
        left = self.room - len(written)
        if left > self.near or len(way := self.constraint.way_out(state)) + 1 + _SLACK < left:  # 1: the end token
            return found
        self.closed.add(written)
        if way:
            found[:] = False
            found[way[0]] = True
        else:
            found &= np.isin(np.arange(size), list(self.ends))
        return found

    def state(self, written: tuple[int, ...]) -> Any:
        if not written:
            return self.states[()]
        before = self.states.get(written[:-1])
        if before is None:  # a beam that is no child of the last step's
            before = self.state(written[:-1])
        after = before.deep_copy()
        after.consume_token(written[-1])
        return after

    def was_closed(self, written: Sequence[int]) -> bool:
        return any(tuple(written[:n]) in self.closed for n in range(len(written) + 1))


def closing_rank(piece: bytes) -> float:
    """How well a token leads out of an object: closing brackets, then quotes, then what goes on with the next key; of all
    others the longest, since what has to be spelled out (a key, one of an enum) is over sooner. In a string: the quote first."""
    signs = piece.strip()
    if not signs or any(c not in b'"}],' for c in signs):
        return float(len(piece))
    return 1000.0 + 100 * sum(map(signs.count, (b"}", b"]"))) + 10 * (b'"' in signs) - 200 * (b"," in signs) - len(piece)


def allowed(matcher: Any, size: int) -> np.ndarray:
    """(size,) bool: the tokens that may come next; none beyond the tokenizer's own."""
    bits = np.unpackbits(np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8), bitorder="little").astype(bool)
    return np.pad(bits[:size], (0, max(0, size - len(bits))))


def in_order(schema: Any) -> Any:
    """Keys of every object in order of the alphabet, in which answers are written."""
    if isinstance(schema, dict):
        found = {key: in_order(value) for key, value in schema.items()}
        return {k: dict(sorted(v.items())) if k in _INNER and isinstance(v, dict) else v for k, v in found.items()}
    return [in_order(value) for value in schema] if isinstance(schema, list) else schema


# ---- tokens as bytes -----------------------------------------------------------------------------------------------


def vocabulary(guide: Any, tokenizer: Any, ends: set[int]) -> Any:
    """llguidance's view of a tokenizer. It reads byte-level ones and those with bytes to fall back on; pieces that mark a
    blank with U+2581 (T5) are spelled out for it."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or not ends:
        have = "it is no fast tokenizer" if backend is None else "it has no token that ends a text"
        raise UsageError("this base's tokenizer cannot be constrained", have, _PLAIN)
    try:
        return need("llguidance.hf", extra="text").from_tokenizer(tokenizer, eos_token=sorted(ends), slices=[])
    except ValueError as unread:
        if '"Metaspace"' not in json.dumps(json.loads(backend.to_str()).get("decoder")):
            raise UsageError("this base's tokenizer cannot be constrained", str(unread)[:200], _PLAIN) from unread
    return guide.LLTokenizer(guide.TokenizerWrapper(Pieces(tokenizer)), eos_token=sorted(ends), slices=[])


class Pieces:
    """What guide.TokenizerWrapper asks for: the bytes of every token."""

    def __init__(self, tokenizer: Any):
        pieces: Sequence[str] = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        self.tokenizer, self.eos_token_id, self.bos_token_id = tokenizer, tokenizer.eos_token_id, tokenizer.bos_token_id
        self.special_token_ids = sorted({*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder})
        self.tokens = [as_bytes(piece) for piece in pieces]

    def __call__(self, text: bytes | str) -> list[int]:
        return list(self.tokenizer(text if isinstance(text, str) else text.decode(errors="replace"), add_special_tokens=False)["input_ids"])


def as_bytes(piece: str) -> bytes:
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        return bytes([int(piece[3:5], 16)])
    return piece.replace("\u2581", " ").encode()
