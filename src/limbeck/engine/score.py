"""How likely a generative model finds each allowed answer: the way such a model answers a closed question.

Answers are scored, never parsed out of free text. An answer's end token counts too, where `with_end`: "card" is then no
prefix of "card payment"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from limbeck.engine.batches import by_length
from limbeck.engine.load import CAUSAL, SEQ2SEQ, Base
from limbeck.engine.tokens import pad, pad_id


class Likelihood(NamedTuple):
    """log_prob: natural, summed over the answer's tokens. mean: per token. tokens: so many were scored."""

    log_prob: float
    mean: float
    tokens: int


class Pair(NamedTuple):
    """prompt and answer as token ids, cut where the answer begins."""

    prompt: list[int]
    answer: list[int]


@torch.inference_mode()
def likelihoods(base: Base, prompts: Sequence[str], answers: Sequence[Sequence[str]], with_end: bool = True) -> list[list[Likelihood]]:
    """One list per prompt, one Likelihood per answer; batched over all pairs of like length. causal: log p(answer | prompt)
    of the text prompt + " " + answer; seq2seq: of the decoder's text, the encoder reading the prompt."""
    pairs = [split(base, prompt, answer, with_end) for prompt, row in zip(prompts, answers, strict=True) for answer in row]
    flat: list[Likelihood | None] = [None] * len(pairs)
    for batch in by_length([len(p.prompt) + len(p.answer) for p in pairs], rows=32, budget=4096):
        score = _causal if base.family == CAUSAL else _seq2seq
        for i, found in zip(batch, score(base, [pairs[i] for i in batch]), strict=True):
            flat[i] = found
    at = iter(flat)
    return [[next(at) for _ in row] for row in answers]  # type: ignore[misc]


def split(base: Base, prompt: str, answer: str, with_end: bool) -> Pair:
    """For a causal model prompt and answer are tokenised as one text, since a blank may belong to the answer's first
    token; the answer begins at the first token that reaches beyond the prompt. (Tokenised apart, " red" can come out as
    two tokens that the model never saw in a row.)"""
    eos = base.tokenizer.eos_token_id
    end = [eos] if with_end and eos is not None else []
    if base.family == SEQ2SEQ:
        ids = strip_end(base.tokenizer(text_target=answer)["input_ids"], eos)
        return Pair(base.tokenizer(prompt)["input_ids"], ids + end)
    prompt = prompt.rstrip()
    whole = base.tokenizer(f"{prompt} {answer}", return_offsets_mapping=True)
    ids = strip_end(whole["input_ids"], eos)
    spans = whole["offset_mapping"][: len(ids)]
    begins = next(i for i, (start, stop) in enumerate(spans) if stop > len(prompt))
    return Pair(ids[:begins], ids[begins:] + end)


def strip_end(ids: list[int], eos: int | None) -> list[int]:
    return ids[:-1] if ids and ids[-1] == eos else list(ids)


def _causal(base: Base, pairs: Sequence[Pair]) -> list[Likelihood]:
    input_ids, attention_mask = pad([p.prompt + p.answer for p in pairs], pad_id(base.tokenizer))  # (B, T), padded right
    labels, _ = pad([[-100] * len(p.prompt) + p.answer for p in pairs], -100)  # (B, T)
    device = base.model.device
    logits = base.model(input_ids=input_ids.to(device), attention_mask=attention_mask.to(device)).logits
    return gather(logits[:, :-1], labels[:, 1:].to(device))  # position t predicts token t + 1


def _seq2seq(base: Base, pairs: Sequence[Pair]) -> list[Likelihood]:
    input_ids, attention_mask = pad([p.prompt for p in pairs], pad_id(base.tokenizer))
    labels, _ = pad([p.answer for p in pairs], -100)  # (B, T)
    device = base.model.device
    inputs: dict[str, Any] = {"input_ids": input_ids.to(device), "attention_mask": attention_mask.to(device)}
    logits = base.model(**inputs, labels=labels.to(device)).logits  # the model shifts the labels to the right itself
    return gather(logits, labels.to(device))


def gather(logits: Tensor, labels: Tensor) -> list[Likelihood]:
    """logits (B, T, V) that predict labels (B, T); -100 = not part of the answer."""
    real = labels != -100
    log_p = torch.log_softmax(logits.float(), -1).gather(-1, labels.clamp(min=0).unsqueeze(-1)).squeeze(-1)  # (B, T)
    sums, counts = (log_p * real).sum(-1).tolist(), real.sum(-1).tolist()
    return [Likelihood(total, total / max(n, 1), n) for total, n in zip(sums, counts, strict=True)]
