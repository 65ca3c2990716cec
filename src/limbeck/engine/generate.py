"""Messages -> replies of a causal or encoder-decoder model in this process. The only place where tokens are sampled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from transformers import StoppingCriteria, StoppingCriteriaList

from limbeck.engine.device import pick_device
from limbeck.engine.load import ENCODER, SEQ2SEQ, Base, load_base
from limbeck.engine.score import takes_prompt_mask
from limbeck.engine.tokens import chat_text, pad, pad_id, tokenise
from limbeck.errors import UsageError
from limbeck.types import Message


def open_generator(path: str) -> Generator:
    """A local folder or a hub id. Raises MissingError, ModelError, and UsageError for a model that cannot write."""
    base = load_base(path)
    if base.family == ENCODER:
        raise UsageError(f"{path} cannot write answers", "it is an encoder", "take a causal or an encoder-decoder model")
    return Generator(base)


class Generator:
    """base: its model writes. context_tokens: prompt and reply together have to fit in it."""

    def __init__(self, base: Base):
        self.base, self.tokenizer = base, base.tokenizer
        self.model = base.model.to(pick_device()).eval()
        self.context_tokens = int(
            getattr(self.model.config, "max_position_embeddings", 0) or getattr(self.model.config, "n_positions", 0) or 512
        )

    def reply(
        self, messages: Sequence[Message], max_tokens: int, temperature: float = 0.0, n: int = 1, seed: int | None = None
    ) -> tuple[list[str], list[str], int, int]:
        """(n texts, n finishes "stop" | "length", tokens in, tokens out over all n). temperature 0: the likeliest token at
        each place, so that n > 1 gives n times the same. Raises UsageError where the prompt leaves no room to answer."""
        return self.write(chat_text(self.tokenizer, messages), max_tokens, temperature, n, seed)

    @torch.inference_mode()
    def write(
        self, prompt: str, max_tokens: int, temperature: float = 0.0, n: int = 1, seed: int | None = None
    ) -> tuple[list[str], list[str], int, int]:
        """The same for a text that is already rendered."""
        prompt_ids = self.prompt_ids(prompt)
        room = max_tokens if self.base.family == SEQ2SEQ else min(max_tokens, self.context_tokens - len(prompt_ids))
        if room < 1 or len(prompt_ids) > self.context_tokens:
            have = f"the prompt has {len(prompt_ids)} tokens, the model reads {self.context_tokens}"
            raise UsageError("the prompt leaves no room to answer", have, "fewer demonstrations (few:k), or a model of longer context")
        if seed is not None:
            torch.manual_seed(seed)
        found = decode(self.model, self.tokenizer, self.base.family, [prompt_ids], room, temperature, n if temperature > 0 else 1)
        found = found if temperature > 0 else found * n
        return [d.text for d in found], [d.finish for d in found], len(prompt_ids), sum(d.tokens for d in found)

    def prompt_ids(self, prompt: str) -> list[int]:
        return prompt_ids(self.tokenizer, self.base.family, prompt)


class Decoded(NamedTuple):
    """finish: "stop" | "length". tokens: written, the end token included. ids: of the text."""

    text: str
    finish: str
    tokens: int
    ids: tuple[int, ...] = ()


@torch.inference_mode()
def decode(
    model: Any, tokenizer: Any, family: str, prompts: Sequence[Sequence[int]], max_tokens: int, temperature: float = 0.0, n: int = 1,
    lead: Sequence[int] = (), stop: Sequence[int] = (),
) -> list[Decoded]:  # fmt: skip
    """n texts per prompt, in order. temperature 0: the likeliest token at each place. The batch is padded left, whatever
    the tokenizer says, since a causal model writes on at the right end; padding is masked, so neighbours change nothing.
    lead: what an encoder-decoder's answer begins with and need not write; stop: tokens that end an answer as its end token does."""
    input_ids, attention_mask = pad(prompts, pad_id(tokenizer), left=True)
    inputs = {"input_ids": input_ids.to(model.device), "attention_mask": attention_mask.to(model.device)}
    if takes_prompt_mask(model):
        inputs["prompt_mask"] = inputs["attention_mask"]
    sampling = {"do_sample": True, "temperature": temperature, "top_k": 0, "top_p": 1.0} if temperature > 0 else {"do_sample": False}
    start = 1 + len(lead) if family == SEQ2SEQ else input_ids.shape[1]  # the decoder begins with its start token
    more: dict[str, Any] = {}
    if lead:
        more["decoder_input_ids"] = torch.tensor([[model.config.decoder_start_token_id, *lead]] * len(prompts), device=model.device)
    if stop:
        more["stopping_criteria"] = StoppingCriteriaList([Behind(start, stop)])
    out = model.generate(
        **inputs, **more, max_new_tokens=max_tokens, num_beams=1, pad_token_id=pad_id(tokenizer), num_return_sequences=n,
        repetition_penalty=1.0, **sampling,
    )  # fmt: skip
    ends = end_ids(model, tokenizer)
    found = []
    for row in out[:, start:].tolist():
        end = next((i for i, token in enumerate(row) if token in ends), None)
        at, size = (end, 1) if (mark := find(row[:end], stop)) is None else (mark, len(stop))
        written = row[:at]
        text = tokenizer.decode(written, skip_special_tokens=True).strip()
        found.append(Decoded(text, "length" if at is None else "stop", len(written) + (0 if at is None else size), tuple(written)))
    return found


def find(row: Sequence[int], marks: Sequence[int]) -> int | None:
    """Where marks begin in a row, None = nowhere."""
    places = range(len(row) - len(marks) + 1) if marks else ()
    return next((i for i in places if list(row[i : i + len(marks)]) == list(marks)), None)


class Behind(StoppingCriteria):
    """A row is done when it ends with these marks, written from `start` on."""

    def __init__(self, start: int, marks: Sequence[int]):
        self.start, self.marks = start, list(marks)

    def __call__(self, input_ids: torch.Tensor, scores: Any, **more: Any) -> torch.Tensor:
        """input_ids (B, T) so far -> (B,) done."""
        written = input_ids[:, self.start :]
        last = written[:, -len(self.marks) :].tolist()
        return torch.tensor([row == self.marks for row in last], device=input_ids.device)


def prompt_ids(tokenizer: Any, family: str, prompt: str) -> list[int]:
    """A chat template writes its own special tokens; a plain prompt gets those of the tokenizer, but no end."""
    if getattr(tokenizer, "chat_template", None):
        return list(tokenizer(prompt, add_special_tokens=False)["input_ids"])
    ids = tokenise(tokenizer, [prompt], 1 << 20).ids[0]
    return ids[:-1] if family != SEQ2SEQ and ids and ids[-1] == tokenizer.eos_token_id else ids


def end_ids(model: Any, tokenizer: Any) -> set[int]:
    ends = model.generation_config.eos_token_id
    found = set(ends if isinstance(ends, list) else [ends]) | {tokenizer.eos_token_id}
    return {end for end in found if end is not None}
