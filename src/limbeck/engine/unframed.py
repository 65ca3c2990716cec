"""Texts that answer nothing, as tokens: what stands before them is read as it is, without a frame, and they are written behind it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from limbeck.engine.load import CAUSAL
from limbeck.engine.score import Asked, ask
from limbeck.engine.tokens import answer_end, prompt_ids
from limbeck.types import Example


def unframed(tokenizer: Any, family: str, example: Example, max_length: int) -> tuple[Asked, int]:
    """(a row of knowledge, tokens of its input before cutting); of an input that is too long the beginning goes."""
    text = (example.output or "").strip()
    asked = ask(tokenizer, family, example.input, [text]) if example.input.strip() else bare(tokenizer, family, [text])
    whole = len(asked.prompt)
    prompt = asked.prompt if whole <= max_length else [asked.prompt[0], *asked.prompt[1 - max_length :]]
    return Asked(prompt, asked.answers), whole


def bare(tokenizer: Any, family: str, texts: Sequence[str]) -> Asked:
    """Texts behind nothing but the token that texts begin with; an encoder reads an empty input."""
    if family != CAUSAL:
        return ask(tokenizer, family, "", texts)
    end = answer_end(tokenizer)
    rows = tokenizer(list(texts), add_special_tokens=False)["input_ids"]
    return Asked(prompt_ids(tokenizer, family, ""), [[*ids, *([] if end is None else [end])] for ids in rows])
