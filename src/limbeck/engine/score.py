"""How likely a generative model finds given answers: the way such a model answers a closed question, and what its loss is made of.

Answers are scored, never parsed out of free text. An answer's end token counts too, where `with_end`: "card" is then no
prefix of "card payment". What answers share is computed once: the encoder's states, or the cache of a prompt."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from limbeck.engine.batches import by_length, learn_from
from limbeck.engine.load import CAUSAL, SEQ2SEQ, Base
from limbeck.engine.opening import Opening, numbers_per_token, takes, takes_prompt_mask, with_opening
from limbeck.engine.tokens import answer_end, pad, pad_id, prompt_ids

_LOGITS = 2**27  # so many numbers at once, where nothing is trained: half a gigabyte


class Likelihood(NamedTuple):
    """log_prob: natural, summed over the answer's tokens. mean: per token. tokens: so many were scored."""

    log_prob: float
    mean: float
    tokens: int


class Pair(NamedTuple):
    """prompt and answer as token ids, cut where the answer begins."""

    prompt: list[int]
    answer: list[int]


class Asked(NamedTuple):
    """One prompt and all its answers as token ids. given: so many first tokens of every answer stand there already (of a base
    with a decoder of its own; another has them in its prompt) and are not scored."""

    prompt: list[int]
    answers: list[list[int]]
    given: int = 0

    @property
    def tokens(self) -> int:
        return len(self.prompt) + sum(map(len, self.answers))


# ---- text -> tokens ----------------------------------------------------------------------------------------------


def split(base: Base, prompt: str, answer: str, with_end: bool) -> Pair:
    asked = ask(base.tokenizer, base.family, prompt, [answer], with_end)
    return Pair(asked.prompt, asked.answers[0])


def ask(tokenizer: Any, family: str, prompt: str, answers: Sequence[str], with_end: bool = True, *, chat: bool = False) -> Asked:
    """For a causal model prompt and answer are tokenised as one text, since a blank may belong to the answer's first
    token; the answer begins at the first token that reaches beyond the prompt. (Tokenised apart, " red" can come out as
    two tokens that the model never saw in a row.) chat: the prompt is a chat template's, whose last character is its own:
    no blank, no special tokens. Tokens that the answers do not agree on count to the answers, so that there is one prompt."""
    eos, stop = tokenizer.eos_token_id, answer_end(tokenizer)
    end = [stop] if with_end and stop is not None else []
    if family == SEQ2SEQ:
        targets = tokenizer(text_target=list(answers))["input_ids"] if answers else []
        return Asked(prompt_ids(tokenizer, family, prompt), [strip_end(ids, eos) + end for ids in targets])
    stem, blank = (prompt, "") if chat else (prompt.rstrip(), " ")
    return behind(tokenizer, stem, [f"{stem}{blank}{answer}" for answer in answers], end, special=not chat)


def behind(tokenizer: Any, stem: str, texts: Sequence[str], end: Sequence[int] = (), *, special: bool = True) -> Asked:
    """What stands behind `stem` in texts that all begin with it, tokenised whole; see `ask`. end: tokens behind each.
    special: the tokenizer's own stand around the texts; an end of text among them is no part of what is scored."""
    eos = tokenizer.eos_token_id
    found = tokenizer(list(texts), return_offsets_mapping=True, add_special_tokens=special)
    rows = [strip_end(ids, eos) if special else list(ids) for ids in found["input_ids"]]
    begins = [
        next((i for i, (_, stop) in enumerate(spans[: len(ids)]) if stop > len(stem)), len(ids))
        for ids, spans in zip(rows, found["offset_mapping"], strict=True)
    ]
    cut = min(begins)
    while any(ids[:cut] != rows[0][:cut] for ids in rows):
        cut -= 1
    return Asked(rows[0][:cut], [ids[cut:] + list(end) for ids in rows])


def strip_end(ids: list[int], eos: int | None) -> list[int]:
    return ids[:-1] if ids and ids[-1] == eos else list(ids)


# ---- tokens -> log-probabilities -----------------------------------------------------------------------------------


@torch.inference_mode()
def likelihoods(base: Base, prompts: Sequence[str], answers: Sequence[Sequence[str]], with_end: bool = True) -> list[list[Likelihood]]:
    """One list per prompt, one Likelihood per answer; batched over prompts of like length. causal: log p(answer | prompt)
    of the text prompt + " " + answer; seq2seq: of the decoder's text, the encoder reading the prompt."""
    rows = [ask(base.tokenizer, base.family, prompt, row, with_end) for prompt, row in zip(prompts, answers, strict=True)]
    return score_rows(base.model, base.family, rows, pad_id(base.tokenizer))


def score_rows(model: Any, family: str, rows: Sequence[Asked], pad_token_id: int, opening: Opening | None = None) -> list[list[Likelihood]]:
    """The same for what is tokenised already. Call it without gradients. opening: keeps what the prompts of a decoder-only model
    begin with, from call to call."""
    found: list[list[Likelihood]] = [[] for _ in rows]
    shared = opening.of(model, [row.prompt for row in rows]) if opening is not None and family == CAUSAL else []
    most = 32 if not shared else max(1, min(32, _LOGITS // (len(shared) * numbers_per_token(model.config))))
    for batch in by_length([row.tokens - len(shared) for row in rows], rows=most, budget=4096):
        input_ids, attention_mask = pad([rows[i].prompt[len(shared) :] for i in batch], pad_token_id)
        option_ids, option_mask = pad([a for i in batch for a in rows[i].answers], pad_token_id)
        option_row = torch.tensor([n for n, i in enumerate(batch) for _ in rows[i].answers])
        learn_from(option_mask, [rows[i].given for i in batch for _ in rows[i].answers])
        device = next(model.parameters()).device
        inputs = [t.to(device) for t in (input_ids, attention_mask, option_ids, option_mask, option_row)]
        if shared and opening is not None:
            sums = (_after_prompt(model, *inputs, opening) * inputs[3]).sum(-1).tolist()
        else:
            sums = answer_log_probs(model, family, *inputs).sum(-1).tolist()  # (N,)
        counts = option_mask.sum(-1).tolist()
        for n, total, tokens in zip(option_row.tolist(), sums, counts, strict=True):
            found[batch[n]].append(Likelihood(total, total / max(tokens, 1), tokens))
    return found


def answer_log_probs(
    model: Any, family: str, input_ids: Tensor, attention_mask: Tensor, option_ids: Tensor, option_mask: Tensor, option_row: Tensor
) -> Tensor:
    """(N, To) float32: log-probability of every answer token after its prompt and the tokens before it, 0 on padding.

    input_ids, attention_mask (B, T): prompts, padded on either side. option_ids, option_mask (N, To): answers, padded right.
    option_row (N,): the prompt of each. A model with `takes_prompt_mask` is called with whole rows and prompt_mask, 1 on
    the prompt's tokens."""
    if family == SEQ2SEQ:
        log_p = _seq2seq(model, input_ids, attention_mask, option_ids, option_row)
    else:
        assert family == CAUSAL
        several = len(option_ids) > len(input_ids) and not torch.is_grad_enabled()
        share = several and takes(model, "position_ids") and not takes_prompt_mask(model)
        log_p = (_after_prompt if share else _whole)(model, input_ids, attention_mask, option_ids, option_mask, option_row)
    return log_p * option_mask


Group = tuple[Tensor, Tensor, Tensor]  # ids, mask (N, To), row (N,) of answers


def both_log_probs(model: Any, family: str, input_ids: Tensor, attention_mask: Tensor, first: Group, second: Group) -> list[Tensor]:
    """answer_log_probs of two groups of answers, short ones and long ones, from one pass over the prompts. The encoder runs once;
    its decoder once where both answer the same prompts, else once per group: no short answer is padded to a long one."""
    if family == SEQ2SEQ and not takes_prompt_mask(model):
        states = model.get_encoder()(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state  # (B, T, d)
        if packable(model, len(states), first[2], second[2]):
            return _packed(model, states, attention_mask, first, second)
        found = []
        for ids, mask, row in (first, second):
            of, shifted = (states[row], attention_mask[row]), _shifted(model, ids)
            logits = model(encoder_outputs=(of[0],), attention_mask=of[1], decoder_input_ids=shifted, use_cache=False).logits
            found.append(token_log_probs(logits, ids) * mask)
        return found
    if family == SEQ2SEQ:
        return [answer_log_probs(model, family, input_ids, attention_mask, *group) for group in (first, second)]
    length = max(first[0].shape[1], second[0].shape[1])
    ids, mask = (torch.cat([F.pad(group[k], (0, length - group[k].shape[1])) for group in (first, second)]) for k in (0, 1))
    log_p = answer_log_probs(model, family, input_ids, attention_mask, ids, mask, torch.cat([first[2], second[2]]))
    parts = log_p.split([len(first[0]), len(second[0])])
    return [part[:, : group[0].shape[1]] for part, group in zip(parts, (first, second), strict=True)]


def packable(model: Any, rows: int, first: Tensor, second: Tensor) -> bool:
    """One answer of the first group for every prompt, at most one of the second, and places that count from token to token alone
    (T5), so that an answer does not notice what stands before it."""
    relative = getattr(model.config, "relative_attention_num_buckets", 0) and hasattr(model.config, "decoder_start_token_id")
    return bool(relative) and first.tolist() == list(range(rows)) and len(set(second.tolist())) == len(second)


def _packed(model: Any, states: Tensor, attention_mask: Tensor, first: Group, second: Group) -> list[Tensor]:
    """Both answers of a prompt in one row of the decoder, each blind to the other: keys and values of the states are computed once."""
    (ids, mask, _), (other, other_mask, row) = first, second
    wide = other.new_zeros(len(states), other.shape[1]).index_copy(0, row, other)  # (B, To2), zeros where a prompt has none
    decoder = torch.cat([_shifted(model, ids), _shifted(model, wide)], 1)
    block = torch.arange(decoder.shape[1], device=ids.device) >= ids.shape[1]
    sees = (block[:, None] == block) & torch.ones_like(block).expand(len(block), -1).tril()
    blind = torch.zeros_like(sees, dtype=states.dtype).masked_fill(~sees, torch.finfo(states.dtype).min)
    logits = model(
        encoder_outputs=(states,), attention_mask=attention_mask, decoder_input_ids=decoder,
        decoder_attention_mask=blind.expand(len(states), 1, -1, -1), use_cache=False,
    ).logits  # fmt: skip
    log_p = token_log_probs(logits, torch.cat([ids, wide], 1))
    return [log_p[:, : ids.shape[1]] * mask, log_p[row, ids.shape[1] :] * other_mask]


def _shifted(model: Any, ids: Tensor) -> Tensor:
    """(N, To) -> (N, To): what the decoder reads, its start token first."""
    return torch.cat([ids.new_full((len(ids), 1), model.config.decoder_start_token_id), ids[:, :-1]], 1)


def _seq2seq(model: Any, input_ids: Tensor, attention_mask: Tensor, option_ids: Tensor, row: Tensor) -> Tensor:
    decoder = _shifted(model, option_ids)
    if takes_prompt_mask(model) or len(option_ids) == len(input_ids):
        mask = attention_mask[row]
        more = {"prompt_mask": mask} if takes_prompt_mask(model) else {}
        logits = model(input_ids=input_ids[row], attention_mask=mask, decoder_input_ids=decoder, **more).logits
        return token_log_probs(logits, option_ids)
    states = model.get_encoder()(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state  # (B, T, d), once
    parts = []
    for some in _portions(model, option_ids):
        of = row[some]
        logits = model(encoder_outputs=(states[of],), attention_mask=attention_mask[of], decoder_input_ids=decoder[some]).logits
        parts.append(token_log_probs(logits, option_ids[some]))
    return torch.cat(parts)


def _whole(model: Any, input_ids: Tensor, attention_mask: Tensor, option_ids: Tensor, option_mask: Tensor, row: Tensor) -> Tensor:
    """Prompt and answer as one row, padded right; logits only from where the first answer begins."""
    mask = torch.cat([attention_mask[row], option_mask], 1)  # (N, T + To)
    length = int(mask.sum(1).max())
    order = mask.argsort(dim=1, descending=True, stable=True)[:, :length]  # real tokens to the left, in order
    ids, mask = torch.cat([input_ids[row], option_ids], 1).gather(1, order), mask.gather(1, order)
    prompt = attention_mask.sum(1)[row]  # (N,) tokens
    place = torch.arange(length, device=ids.device)
    more: dict[str, Any] = {"prompt_mask": (place < prompt[:, None]).to(mask.dtype)} if takes_prompt_mask(model) else {}
    first = max(int(prompt.min()), 1)
    kept = place[first - 1 : -1]  # position t predicts token t + 1
    if takes(model, "logits_to_keep"):
        logits = model(input_ids=ids, attention_mask=mask, logits_to_keep=kept, **more).logits
    else:
        logits = model(input_ids=ids, attention_mask=mask, **more).logits[:, kept]
    log_p = token_log_probs(logits, ids[:, first:])  # (N, K)
    columns = prompt[:, None] - first + torch.arange(option_ids.shape[1], device=ids.device)
    return log_p.gather(1, columns.clamp(max=log_p.shape[1] - 1))


def _after_prompt(
    model: Any,
    input_ids: Tensor,
    attention_mask: Tensor,
    option_ids: Tensor,
    option_mask: Tensor,
    row: Tensor,
    opening: Opening | None = None,
) -> Tensor:
    """The prompts once, padded left; then every answer on a copy of its prompt's cache. With an opening the prompts begin behind it."""
    order = attention_mask.argsort(dim=1, stable=True)
    ids, mask = input_ids.gather(1, order), attention_mask.gather(1, order)
    more: dict[str, Any] = {"logits_to_keep": 1} if takes(model, "logits_to_keep") else {}
    if opening is not None:
        mask = with_opening(mask, len(opening.ids))
        more["past_key_values"] = opening.copies(len(ids))
    positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
    read = model(input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, **more)
    first = torch.log_softmax(read.logits[:, -1].float(), -1)[row].gather(1, option_ids[:, :1])  # (N, 1)
    if option_ids.shape[1] == 1:
        return first
    further = positions[:, -1:] + 1 + torch.arange(option_ids.shape[1] - 1, device=ids.device)  # (B, To - 1)
    parts = []
    for some in _portions(model, option_ids, mask.shape[1]):
        past, of = copy.deepcopy(read.past_key_values), row[some]
        past.batch_select_indices(of)
        both = torch.cat([mask[of], option_mask[some, :-1]], 1)
        logits = model(
            input_ids=option_ids[some, :-1], attention_mask=both, position_ids=further[of], past_key_values=past, use_cache=True
        ).logits
        parts.append(token_log_probs(logits, option_ids[some, 1:]))
    return torch.cat([first, torch.cat(parts)], 1)


def _portions(model: Any, option_ids: Tensor, cached: int = 0) -> Iterator[slice]:
    """Answers in portions whose logits, and copies of a cache of so many tokens, fit into memory; all at once where gradients need
    them all anyway."""
    n, length = option_ids.shape
    per_answer = length * int(getattr(model.config, "vocab_size", 50_000)) + cached * numbers_per_token(model.config)
    size = n if torch.is_grad_enabled() else max(1, _LOGITS // per_answer)
    for start in range(0, n, size):
        yield slice(start, start + size)


def token_log_probs(logits: Tensor, ids: Tensor) -> Tensor:
    """logits (N, T, V) that predict ids (N, T) -> (N, T) float32."""
    with torch.autocast(logits.device.type, enabled=False):
        return torch.log_softmax(logits.float(), -1).gather(-1, ids.unsqueeze(-1)).squeeze(-1)
