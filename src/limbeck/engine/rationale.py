"""A small decoder that writes the rationale over an encoder's states: only training has it, the student that ships does not.

    states (B, T, d) of the student's own pass --------------------> keys, values
    rationale, shifted right --> words (V', d) + places --> layer x 1 or 2 --> norm --> words^T --> V' log-probabilities

V' are the tokens that occur in the training rationales: a softmax over a base's 30,000 would cost more than the decoder.
Input and output share one matrix (tied), which begins as the base's own embeddings of these tokens."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.engine.load import Base

GAIN = 0.3  # a base's embeddings are about 1 long: logits then begin within 0.3 of the log shares


class Told(NamedTuple):
    """Of every rationale token of a batch, n in all: log_probs (n,) float32, and which (n,) of the batch's rationales it is of."""

    log_probs: Tensor
    which: Tensor


class RationaleDecoder(nn.Module):
    """words (V', d): where the matrix begins. counts: {the base's token: how often}, V' of them in order; the bias begins at
    their log shares, so that the first step already teaches what depends on the input. vocabulary: how many tokens the base has."""

    def __init__(self, words: Tensor, counts: dict[int, int], vocabulary: int, heads: int, layers: int, dropout: float):
        super().__init__()
        hidden = words.shape[1]
        self.words = nn.Parameter(words.detach().clone())
        self.begin = nn.Parameter(torch.zeros(hidden))  # stands where the first token's left neighbour would
        self.bias = nn.Parameter((torch.tensor([float(n) for n in counts.values()]) / sum(counts.values())).log())
        self.norm_in, self.norm_out = nn.LayerNorm(hidden), nn.LayerNorm(hidden)
        nn.init.constant_(self.norm_out.weight, GAIN)
        self.layers = nn.ModuleList(
            nn.TransformerDecoderLayer(hidden, heads, 2 * hidden, dropout, "gelu", batch_first=True, norm_first=True) for _ in range(layers)
        )
        place = torch.zeros(vocabulary, dtype=torch.int64)
        place[list(counts)] = torch.arange(len(counts))
        self.register_buffer("place", place, persistent=False)

    def forward(self, states: Tensor, attention_mask: Tensor, rationale_ids: Tensor, rationale_mask: Tensor, rationale_row: Tensor) -> Told:
        """states (B, T, d), attention_mask (B, T): of the inputs. rationale_ids, rationale_mask (R, Tr): targets, padded right,
        their end token included; rationale_row (R,): the input of each."""
        targets = self.place[rationale_ids]  # (R, Tr), in 0 .. V' - 1
        begin = self.begin.expand(len(targets), 1, -1)
        seen = torch.cat([begin, self.words[targets[:, :-1]]], 1)  # (R, Tr, d)
        hidden = self.norm_in(seen) + places(seen.shape[1], seen.shape[2], seen.device)
        later = nn.Transformer.generate_square_subsequent_mask(seen.shape[1], device=seen.device, dtype=hidden.dtype)
        memory, padding = states[rationale_row], attention_mask[rationale_row] == 0
        for layer in self.layers:
            hidden = layer(hidden, memory, tgt_mask=later, tgt_is_causal=True, memory_key_padding_mask=padding)
        real = rationale_mask.bool()
        logits = self.norm_out(hidden[real]) @ self.words.T + self.bias  # (n, V')
        with torch.autocast(logits.device.type, enabled=False):
            log_probs = -F.cross_entropy(logits.float(), targets[real], reduction="none")
        return Told(log_probs, real.nonzero()[:, 0])


def places(length: int, hidden: int, device: Any) -> Tensor:
    """(length, hidden): sines and cosines (Vaswani et al. 2017, section 3.5), which need no training on few rows."""
    at = torch.arange(length, device=device)[:, None]
    rate = torch.exp(torch.arange(0, hidden, 2, device=device) * (-math.log(10_000.0) / hidden))
    return torch.stack([torch.sin(at * rate), torch.cos(at * rate)], -1).reshape(length, -1)[:, :hidden]


def rationale_decoder(base: Base, features: Sequence[dict[str, Any]], layers: int, dropout: float | None) -> RationaleDecoder:
    """Over the tokens of the features' rationales. dropout None: the base's own, else 0.1."""
    counts = dict(sorted(Counter(token for f in features for token in f.get("rationale", ())).items()))
    table, config = base.model.get_input_embeddings().weight, base.model.config
    heads = int(getattr(config, "num_attention_heads", 0) or max(1, base.hidden_size // 64))
    p = dropout if dropout is not None else float(getattr(config, "hidden_dropout_prob", 0.1))
    return RationaleDecoder(table[list(counts)], counts, table.shape[0], heads, layers, p)
