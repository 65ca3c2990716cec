"""Steps of `stepwise` against the reference's two full passes, on a small T5: forward and backward, CPU seconds, paired.

make bench-stepwise_speed        writes bench/stepwise_speed/result.json

The reference (google-research/distilling-step-by-step, model_utils.py) calls the whole model once on the label batch and once
on the rationale batch. Inputs of 128 tokens; rationales of 32, about what PaLM-540B's median of 24 words comes to, and of 64.
One batch, the arms in turn in every round; a ratio is of one round's two figures, the median stands."""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import T5Config, T5ForConditionalGeneration

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import save

from limbeck.engine.batches import collate
from limbeck.engine.load import SEQ2SEQ
from limbeck.engine.writer import WriterStudent
from limbeck.objectives import streams

HERE = Path(__file__).resolve().parent
ROWS, INPUT, LABEL, VOCABULARY, MARK = 8, 128, 3, 4096, 3


def model() -> Any:
    """d 128, two layers in encoder and decoder, no dropout: every arm draws the same numbers."""
    torch.manual_seed(0)
    shape = {"d_model": 128, "d_kv": 32, "d_ff": 512, "num_layers": 2, "num_heads": 4, "dropout_rate": 0.0}
    return T5ForConditionalGeneration(T5Config(vocab_size=VOCABULARY, decoder_start_token_id=0, pad_token_id=0, **shape)).train()


def draw(n: int, length: int) -> list[list[int]]:
    return torch.randint(4, VOCABULARY, (n, length)).tolist()


def batches(rationale: int) -> tuple[dict[str, Tensor], dict[str, Tensor], list[dict[str, Tensor]]]:
    """(separate, shared, the reference's two): the same inputs and targets; shared has the task's mark before both targets."""
    torch.manual_seed(1)
    inputs, other, labels, told = draw(ROWS, INPUT), draw(ROWS, INPUT), draw(ROWS, LABEL), draw(ROWS, rationale)
    mark, other_mark = draw(2, MARK)
    rows = list(zip(inputs, other, labels, told, strict=True))
    separate = [{"input_ids": x, "rationale_input": z, "options": [y], "rationale": r, "labels": 0} for x, z, y, r in rows]
    shared = [
        {"input_ids": x, "options": [mark + y], "given": MARK, "rationale": other_mark + r, "rationale_given": MARK, "labels": 0}
        for x, _, y, r in rows
    ]
    full = torch.ones(ROWS, INPUT, dtype=torch.int64)
    two = [{"input_ids": torch.tensor(x), "attention_mask": full, "labels": torch.tensor(y)} for x, y in ((inputs, labels), (other, told))]
    return collate(separate, 0), collate(shared, 0), two


def seconds(net: Any, loss: Callable[[], Tensor]) -> tuple[float, float]:
    """(CPU seconds of a forward and backward pass, the loss)."""
    net.zero_grad(set_to_none=True)
    began = time.process_time()
    found = loss()
    found.backward()
    return time.process_time() - began, float(found.detach())


def study(rationale: int, rounds: int) -> dict[str, Any]:
    net = model()
    student = WriterStudent(net, SEQ2SEQ)
    separate, shared, (label, told) = batches(rationale)
    arms: dict[str, Callable[[], Tensor]] = {
        "reference": lambda: 0.5 * net(**label).loss + 0.5 * net(**told).loss,
        "separate": lambda: streams.loss(student, separate)[0],
        "shared": lambda: streams.loss(student, shared, form="shared")[0],
    }
    found: dict[str, list[float]] = {name: [] for name in arms}
    losses: dict[str, float] = {}
    for i in range(-2, rounds):  # two to warm up
        for name in sorted(arms, key=lambda name, i=i: (list(arms).index(name) + i) % len(arms)):
            taken, losses[name] = seconds(net, arms[name])
            if i >= 0:
                found[name].append(taken)
    ratios = {name: [a / b for a, b in zip(found[name], found["reference"], strict=True)] for name in ("separate", "shared")}
    quarters = {name: statistics.quantiles(each, n=4) for name, each in ratios.items()}
    return {
        "rationale_tokens": rationale,
        "ms": {name: round(1e3 * statistics.median(each), 1) for name, each in found.items()},
        "ratio": {name: round(statistics.median(each), 3) for name, each in ratios.items()},
        "middle_half": {name: [round(q[0], 3), round(q[2], 3)] for name, q in quarters.items()},
        "separate_loss_is_the_reference_s": abs(losses["separate"] - losses["reference"]) < 1e-5 * losses["reference"],
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=25)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    found = [study(rationale, rounds) for rationale in (32, 64)]
    for one in found:
        print(one)
    sizes = {
        "rows": ROWS,
        "input_tokens": INPUT,
        "label_tokens": LABEL,
        "vocabulary": VOCABULARY,
        "rounds": rounds,
        "clock": "process CPU time",
    }
    save(HERE, "result", {"what": "CPU time of a step (forward, backward) over the reference's two passes", "sizes": sizes, "cells": found})


if __name__ == "__main__":
    main()
