"""Prompts -> written answers of a causal or encoder-decoder model in this process. The only place where tokens are chosen.

greedy      the likeliest token at each place
beam:4      the likeliest answer among the four that lead at each place, its log-probability per token
sample:0.7  drawn at this temperature. The draw is greedy decoding of log p / temperature + Gumbel noise (Gumbel 1954), the
            noise seeded by the row: a row's answer is the same alone and in any batch"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from transformers import LogitsProcessor, StoppingCriteria, StoppingCriteriaList

from limbeck.engine.device import pick_device
from limbeck.engine.load import ENCODER, SEQ2SEQ, Base, context_of, load_base
from limbeck.engine.score import takes_prompt_mask
from limbeck.engine.tokens import answer_end, chat_text, pad, pad_id, prompt_ids
from limbeck.errors import UsageError
from limbeck.types import Message

if TYPE_CHECKING:
    from limbeck.engine.schema import Constraint

MAX_BEAMS = 64


@dataclass(frozen=True)
class Decoding:
    """How tokens are chosen. beams 1 and temperature 0: greedy."""

    beams: int = 1
    temperature: float = 0.0

    def __str__(self) -> str:
        return f"beam:{self.beams}" if self.beams > 1 else f"sample:{self.temperature:g}" if self.temperature else "greedy"


GREEDY = Decoding()


def read_decoding(text: str) -> Decoding:
    """The value `decode` of a recipe. Raises UsageError where it is none of ours."""
    name, _, number = str(text).partition(":")
    try:
        if name == "greedy" and not number:
            return GREEDY
        if name == "beam" and 2 <= int(number) <= MAX_BEAMS:
            return Decoding(beams=int(number))
        if name == "sample" and 0 < float(number) <= 10:
            return Decoding(temperature=float(number))
    except ValueError:
        pass
    have = f"there are greedy, beam:2 to beam:{MAX_BEAMS}, and sample:T with a temperature above 0"
    raise UsageError(f"cannot read the decoding {text!r}", have, "--set decode=beam:4")


# ---- a teacher in this process ---------------------------------------------------------------------------------------


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
        self.context_tokens = context_of("", self.model.config)

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
        """The same for a text that is already rendered. seed None: other draws every time."""
        prompt_ids = self.prompt_ids(prompt)
        room = max_tokens if self.base.family == SEQ2SEQ else min(max_tokens, self.context_tokens - len(prompt_ids))
        if room < 1 or len(prompt_ids) > self.context_tokens:
            have = f"the prompt has {len(prompt_ids)} tokens, the model reads {self.context_tokens}"
            raise UsageError("the prompt leaves no room to answer", have, "fewer demonstrations (few:k), or a model of longer context")
        first = int(torch.randint(2**48, ()).item()) if seed is None else seed
        different = n if temperature > 0 else 1
        found = decode(
            self.model, self.tokenizer, self.base.family, [prompt_ids] * different, room, Decoding(temperature=temperature),
            seeds=[seed_of(first, i) for i in range(different)],
        )  # fmt: skip
        found = found * (n // different)
        return [d.text for d in found], [d.finish for d in found], len(prompt_ids), sum(d.tokens for d in found)

    def prompt_ids(self, prompt: str) -> list[int]:
        return prompt_ids(self.tokenizer, self.base.family, prompt)


# ---- decoding --------------------------------------------------------------------------------------------------------


class Decoded(NamedTuple):
    """finish: "stop" | "length", which an object that had to be closed has, too. tokens: written, the end token included. ids: of
    the text."""

    text: str
    finish: str
    tokens: int
    ids: tuple[int, ...] = ()


# what a base's own generation_config may set, and nobody here asked for
_PLAIN: dict[str, Any] = {
    "do_sample": False, "repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "encoder_repetition_penalty": 1.0, "min_length": 0,
    "early_stopping": False, "length_penalty": 1.0, "diversity_penalty": 0.0, "renormalize_logits": False,
}  # fmt: skip


@torch.inference_mode()
def decode(
    model: Any,
    tokenizer: Any,
    family: str,
    prompts: Sequence[Sequence[int]],
    max_tokens: int,
    decoding: Decoding = GREEDY,
    constraint: Constraint | None = None,
    seeds: Sequence[int] | None = None,
    lead: Sequence[int] = (),
    stop: Sequence[int] = (),
    until: Sequence[str] = (),
) -> list[Decoded]:
    """One text per prompt, in order. constraint: what may be written at all (engine.schema). seeds: of the draws, one per
    prompt; without them a row's tokens are its seed. lead: what an encoder-decoder's answer begins with and need not write;
    stop: tokens that end an answer as its end token does. until: texts behind which nothing more is written; they stay in the
    text. The batch is padded left, whatever the tokenizer says, since a causal
    model writes on at the right end; padding is masked, so neighbours change nothing."""
    input_ids, attention_mask = pad(prompts, pad_id(tokenizer), left=True)
    inputs = {"input_ids": input_ids.to(model.device), "attention_mask": attention_mask.to(model.device)}
    if takes_prompt_mask(model):
        inputs["prompt_mask"] = inputs["attention_mask"]
    start = 1 + len(lead) if family == SEQ2SEQ else input_ids.shape[1]  # the decoder begins with its start token
    if lead:
        inputs["decoder_input_ids"] = torch.tensor([[model.config.decoder_start_token_id, *lead]] * len(prompts), device=model.device)
    stopping = StoppingCriteriaList(([Behind(start, stop)] if stop else []) + ([Said(start, tokenizer, until)] if until else []))
    ends = end_ids(model, tokenizer)
    mask = None if constraint is None else constraint.processor(start, ends, max_tokens)
    processors: list[LogitsProcessor] = [] if mask is None else [mask]
    if decoding.temperature > 0:
        processors.append(Draw(decoding.temperature, seeds or [seed_of(*row) for row in prompts]))
    out = model.generate(
        **inputs, **_PLAIN, max_new_tokens=max_tokens, num_beams=decoding.beams, num_return_sequences=1, pad_token_id=pad_id(tokenizer),
        eos_token_id=sorted(ends) or None, logits_processor=processors, stopping_criteria=stopping,
    )  # fmt: skip
    found = []
    for row in out[:, start:].tolist():
        end = next((i for i, token in enumerate(row) if token in ends), None)
        at, size = (end, 1) if (mark := find(row[:end], stop)) is None else (mark, len(stop))
        written = row[:at]
        text = tokenizer.decode(written, skip_special_tokens=True).strip()
        cut = (at is None and not any(said in text for said in until)) or (mask is not None and mask.was_closed(written))
        found.append(Decoded(text, "length" if cut else "stop", len(written) + (0 if at is None else size), tuple(written)))
    return found


def find(row: Sequence[int], marks: Sequence[int]) -> int | None:
    """Where marks begin in a row, None = nowhere."""
    places = range(len(row) - len(marks) + 1) if marks else ()
    return next((i for i in places if list(row[i : i + len(marks)]) == list(marks)), None)


def before(text: str, until: Sequence[str]) -> str:
    """Up to where the first of these texts begins."""
    places = [at for one in until if one and (at := text.find(one)) >= 0]
    return text[: min(places)] if places else text


def up_to(text: str, marks: Sequence[str]) -> str:
    """What stands before the first of the marks, blanks around it taken off; the blanks before the text are gone already."""
    return "" if any(text.startswith(mark.strip()) for mark in marks) else before(text, marks).strip()


class Behind(StoppingCriteria):
    """A row is done when it ends with these marks, written from `start` on."""

    def __init__(self, start: int, marks: Sequence[int]):
        self.start, self.marks = start, list(marks)

    def __call__(self, input_ids: Tensor, scores: Any, **more: Any) -> Tensor:
        """input_ids (B, T) so far -> (B,) done."""
        written = input_ids[:, self.start :]
        last = written[:, -len(self.marks) :].tolist()
        return torch.tensor([row == self.marks for row in last], device=input_ids.device)


class Said(StoppingCriteria):
    """A row is done when one of these texts stands in what was written from `start` on."""

    def __init__(self, start: int, tokenizer: Any, until: Sequence[str]):
        self.start, self.tokenizer, self.until = start, tokenizer, until
        self.reach = max(len(text.encode()) for text in until) + 1  # tokens: none is shorter than a byte

    def __call__(self, input_ids: Tensor, scores: Any, **more: Any) -> Tensor:
        """input_ids (B, T) so far -> (B,) done."""
        last = self.tokenizer.batch_decode(input_ids[:, self.start :][:, -self.reach :], skip_special_tokens=True)
        return torch.tensor([any(text in tail for text in self.until) for tail in last], device=input_ids.device)


def end_ids(model: Any, tokenizer: Any) -> set[int]:
    """Whatever the model, its tokenizer or its chat template ends an answer with."""
    ends = model.generation_config.eos_token_id
    found = set(ends if isinstance(ends, list) else [ends]) | {tokenizer.eos_token_id, answer_end(tokenizer)}
    return {end for end in found if end is not None}


def seed_of(*numbers: int) -> int:
    return int.from_bytes(hashlib.sha256(repr(numbers).encode()).digest()[:7], "big")


class Draw(LogitsProcessor):
    """argmax(log p / temperature + Gumbel noise) is a draw from softmax(log p / temperature). One generator per row."""

    def __init__(self, temperature: float, seeds: Sequence[int]):
        self.temperature = temperature
        self.generators = [torch.Generator().manual_seed(seed) for seed in seeds]

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """scores (B, V) float."""
        noise = torch.stack([-torch.empty(scores.shape[1]).exponential_(generator=g).log() for g in self.generators])
        return scores.float() / self.temperature + noise.to(scores.device)
