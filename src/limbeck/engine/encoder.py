"""The encoder student: backbone -> mean over tokens -> head. One class, and one small head per shape of answer.

input_ids (B, T) -> backbone -> (B, T, d) -> mean over unmasked tokens -> (B, d) -> head -> logits
  label   (B, C)            cosine with C class vectors (tuned), or a linear layer (fitted on frozen embeddings)
  choice  (B, O), -inf pad  the row's options, embedded too, against the input
  score   (B,)              on the task's own scale"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from limbeck.engine.rationale import Told


class Answer(NamedTuple):
    """logits as drawn above. unit: what one standard deviation of a score is worth (1 elsewhere). label_smoothing: of
    the recipe; here, so that a loss needs to know the batch and this alone. told: what the decoder beside it wrote."""

    logits: Tensor
    unit: Tensor
    label_smoothing: float
    told: Told | None = None


class CosineHead(nn.Module):
    """exp(log_scale) * cos(embedding, class vector). weight (C, d)."""

    def __init__(self, hidden: int, answers: int, scale: float = 20.0):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(answers, hidden))
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))

    def forward(self, embedding: Tensor) -> Tensor:
        return self.log_scale.exp() * unit_length(embedding) @ unit_length(self.weight).T  # (B, C)


class LinearHead(nn.Module):
    """Logistic regression on the normalised embedding. weight (C, d), bias (C,)."""

    def __init__(self, hidden: int, answers: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(answers, hidden))
        self.bias = nn.Parameter(torch.zeros(answers))

    def forward(self, embedding: Tensor) -> Tensor:
        return unit_length(embedding) @ self.weight.T + self.bias  # (B, C)


class ScoreHead(nn.Module):
    """mean + std * (w . normalised embedding + b): the regression works on standardised targets. weight (1, d)."""

    def __init__(self, hidden: int, answers: int = 1):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, hidden))
        self.bias = nn.Parameter(torch.zeros(1))
        self.register_buffer("mean", torch.tensor(0.0))
        self.register_buffer("std", torch.tensor(1.0))

    def forward(self, embedding: Tensor) -> Tensor:
        z = (unit_length(embedding) @ self.weight.T + self.bias).squeeze(-1)
        return self.mean + self.std * z  # (B,)


class PairHead(nn.Module):
    """scale * cos(u, v) + w . [u * v, |u - v|] for input u and option v, both normalised. With w = 0, as it starts, this
    is the base's own similarity. weight (2d,)."""

    def __init__(self, hidden: int, answers: int = 0, scale: float = 20.0):
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(math.log(scale)))
        self.weight = nn.Parameter(torch.zeros(2 * hidden))

    def forward(self, embedding: Tensor, options: Tensor, row: Tensor) -> Tensor:
        """embedding (B, d), options (N, d), row (N,) -> (N,)."""
        u, v = unit_length(embedding)[row], unit_length(options)
        return self.log_scale.exp() * (u * v).sum(-1) + torch.cat([u * v, (u - v).abs()], -1) @ self.weight


HEADS: dict[str, type[nn.Module]] = {"cosine": CosineHead, "linear": LinearHead, "score": ScoreHead, "pair": PairHead}


class EncoderStudent(nn.Module):
    """backbone: a transformers encoder. head_name: its key in HEADS, saved beside the weights. adapter: the one on the
    shelf that saves and loads the backbone, "" where it is a plain model. beside: a decoder of rationales while an objective
    trains one (objectives.stepwise), else None."""

    adapter = ""

    accepts_loss_kwargs = False  # the Trainer would read **kwargs otherwise

    def __init__(self, backbone: Any, head_name: str, head: nn.Module, label_smoothing: float = 0.0):
        super().__init__()
        self.backbone, self.head_name, self.head, self.label_smoothing = backbone, head_name, head, label_smoothing
        self.beside: nn.Module | None = None

    def embed(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, T) -> (B, d) float32: mean over the unmasked tokens, not normalised."""
        return mean_pool(self.states(input_ids, attention_mask), attention_mask)

    def states(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """(B, T) -> (B, T, d)."""
        return self.backbone(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        option_ids: Tensor | None = None,
        option_mask: Tensor | None = None,
        option_row: Tensor | None = None,
        **rationale: Tensor,
    ) -> Answer:
        """rationale: rationale_ids, rationale_mask, rationale_row for the decoder beside it, which reads the states of the same
        pass; none of them where there is none."""
        states = self.states(input_ids, attention_mask)
        options = self.embed(option_ids, option_mask) if option_ids is not None and option_mask is not None else None
        answer = self.answer(mean_pool(states, attention_mask), options, option_row)
        return answer._replace(told=self.beside(states, attention_mask, **rationale)) if self.beside and rationale else answer

    def answer(self, embedding: Tensor, options: Tensor | None = None, row: Tensor | None = None) -> Answer:
        """Embeddings (B, d), and of the options (N, d) with the row of each (N,) -> Answer, always in float32."""
        with torch.autocast(embedding.device.type, enabled=False):
            if options is not None and row is not None:
                logits = side_by_side(self.head(embedding, options, row), row, len(embedding))
            else:
                logits = self.head(embedding)
        unit = self.head.std if isinstance(self.head, ScoreHead) else logits.new_ones(())
        return Answer(logits, unit, self.label_smoothing)


def mean_pool(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """(B, T, d), (B, T) -> (B, d) float32."""
    mask = attention_mask.unsqueeze(-1).to(torch.float32)
    return (hidden.float() * mask).sum(1) / mask.sum(1).clamp(min=1.0)


def unit_length(vectors: Tensor) -> Tensor:
    return F.normalize(vectors.float(), dim=-1)


def side_by_side(flat: Tensor, row: Tensor, rows: int) -> Tensor:
    """Logits of all options in order of row, (N,) -> (rows, most options of a row), -inf where a row has fewer."""
    counts = torch.bincount(row, minlength=rows)
    place = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
    wide = flat.new_full((rows, int(counts.max())), float("-inf"))
    return wide.index_put((row, place), flat)
