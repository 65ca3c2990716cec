"""Rows -> batches of like length under a token budget: deterministic by seed and epoch, equally many in every epoch."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from limbeck.engine.tokens import pad

_POOL = 32  # batches that are drawn at random together and then sorted by length: the padding falls by a fifth against 8


class LengthBatches:
    """The batch sampler of training. lengths: tokens per row. A batch holds at most `rows` rows and `budget` padded
    tokens (one longer row stands alone).

    The schedule needs a fixed number of steps per epoch, so every epoch is planned here, and in those that come out
    with fewer batches than the fullest the largest batches are halved. epoch: set it before iterating."""

    def __init__(self, lengths: Sequence[int], rows: int, budget: int, epochs: int, seed: int):
        self.epoch = 0
        self.batch_size = rows  # accelerate asks for it when it deals batches out to several processes
        self.drop_last = False
        self.plans = [draw(lengths, rows, budget, random.Random(f"{seed}/{epoch}")) for epoch in range(epochs)]
        most = max((len(plan) for plan in self.plans), default=0)
        for plan in self.plans:
            while len(plan) < most:
                at = max(range(len(plan)), key=lambda i: len(plan[i]))
                half = len(plan[at]) // 2
                plan[at : at + 1] = [plan[at][:half], plan[at][half:]]

    def __len__(self) -> int:
        return len(self.plans[0])

    def __iter__(self) -> Iterator[list[int]]:
        return iter(self.plans[self.epoch])


def draw(lengths: Sequence[int], rows: int, budget: int, rng: random.Random) -> list[list[int]]:
    """One epoch: shuffle, sort by length within pools, cut, shuffle the batches."""
    order = rng.sample(range(len(lengths)), len(lengths))
    batches: list[list[int]] = []
    for start in range(0, len(order), rows * _POOL):
        batches += cut(sorted(order[start : start + rows * _POOL], key=lambda i: lengths[i]), lengths, rows, budget)
    rng.shuffle(batches)
    return batches


def by_length(lengths: Sequence[int], rows: int = 64, budget: int = 8192) -> list[list[int]]:
    """All rows once, for inference: like lengths together, longest first, so that memory runs out at once or never."""
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    return cut(order, lengths, rows, budget)


def cut(order: Sequence[int], lengths: Sequence[int], rows: int, budget: int) -> list[list[int]]:
    batches: list[list[int]] = []
    longest = 0
    for i in order:
        longest = max(longest, lengths[i])
        if not batches or len(batches[-1]) == rows or (len(batches[-1]) + 1) * longest > budget:
            batches.append([])
            longest = lengths[i]
        batches[-1].append(i)
    return batches


def length_of(feature: dict[str, Any]) -> int:
    """Tokens that one training item costs: as it says itself, else its input and all its options."""
    if "tokens" in feature:
        return int(feature["tokens"])
    return len(feature["input_ids"]) + sum(map(len, feature.get("options", ())))


def collate(features: Sequence[dict[str, Any]], pad_token_id: int) -> dict[str, Tensor]:
    """B features -> input_ids, attention_mask (B, T); labels (B,) int64 or float32; weight (B,) float32, where rows do not
    count alike. With options (N over the whole batch): option_ids, option_mask (N, To) and option_row (N,), the row that each
    option belongs to.

    With rationales (R of the rows have one): rationale_ids, rationale_mask (R, Tr) and rationale_row (R,), the row of input_ids
    that each is written from; one with a `rationale_input` of its own gets a further row there, behind the B, so that one
    pass reads them all. rationale_span (N, To): 1 where an option, the only one of its row, holds a rationale. given, rationale_given: so many first tokens stand there already and are not learnt (mask 0)."""
    batch: dict[str, Tensor] = {}
    told = [i for i, f in enumerate(features) if f.get("rationale")]
    apart = [i for i in told if "rationale_input" in features[i]]
    inputs = [f["input_ids"] for f in features] + [features[i]["rationale_input"] for i in apart]
    batch["input_ids"], batch["attention_mask"] = pad(inputs, pad_token_id)
    if "options" in features[0]:
        batch["option_ids"], batch["option_mask"] = pad([o for f in features for o in f["options"]], pad_token_id)
        batch["option_row"] = torch.tensor([i for i, f in enumerate(features) for _ in f["options"]])
        learn_from(batch["option_mask"], [f.get("given", 0) for f in features for _ in f["options"]])
    if told:
        batch["rationale_ids"], batch["rationale_mask"] = pad([features[i]["rationale"] for i in told], pad_token_id)
        batch["rationale_row"] = torch.tensor([len(features) + apart.index(i) if i in apart else i for i in told])
        learn_from(batch["rationale_mask"], [features[i].get("rationale_given", 0) for i in told])
    if any("span" in f for f in features):
        begin, end = torch.tensor([f.get("span", (0, 0)) for f in features]).T[:, :, None]  # each (B, 1)
        place = torch.arange(batch["option_ids"].shape[1])
        batch["rationale_span"] = ((place >= begin) & (place < end)).long()
    if "labels" in features[0]:
        batch["labels"] = torch.tensor([f["labels"] for f in features])
    if "weight" in features[0]:
        batch["weight"] = torch.tensor([f["weight"] for f in features])
        batch |= {"rationale_weight": batch["weight"][told]} if told else {}
    return batch


def learn_from(mask: Tensor, given: Sequence[int]) -> None:
    """Each row's mask (N, T) becomes 0 on its first `given` tokens."""
    mask[torch.arange(mask.shape[1]) < torch.tensor(given)[:, None]] = 0
