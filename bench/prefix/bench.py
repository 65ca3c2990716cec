"""Frozen-prefix reuse: five epochs with and without, paired, on minilm; the same losses, less time.

make bench-prefix        writes bench/prefix/result.json"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from common import save

from limbeck import registry
from limbeck.engine import loop, prefix
from limbeck.engine.layers import layers_of
from limbeck.engine.load import load_base
from limbeck.engine.numbers import Numbers
from limbeck.engine.start import new_student
from limbeck.engine.tokens import pad_id
from limbeck.types import Example, Kind, Task

HERE = Path(__file__).resolve().parent
WORDS = [
    "the",
    "my",
    "card",
    "order",
    "parcel",
    "is",
    "was",
    "not",
    "late",
    "lost",
    "paid",
    "please",
    "refund",
    "how",
    "when",
    "where",
    "account",
    "bank",
    "transfer",
    "fee",
    "open",
    "close",
    "new",
    "old",
]
NUMBERS = Numbers(epochs=5, average=0.0, batch_rows=32, reuse_prefix=False)


def rows(n: int, length: int) -> tuple[Task, list[Example]]:
    """Made-up inputs of about `length` tokens: time does not depend on what they say."""
    import random

    rng = random.Random(0)
    task = Task(name="prefix", instruction="Name the class.", kind=Kind.LABEL, labels=("a", "b", "c", "d"), metric="accuracy")
    made = [Example(id=str(i), input=" ".join(rng.choices(WORDS, k=length - 2)), output=rng.choice(task.labels)) for i in range(n)]
    return task, made


def train(frozen: int, lora: bool, on: bool, task: Task, made: list[Example]) -> tuple[float, list[float]]:
    """(processor seconds of the training, loss of each epoch). frozen: so many of the six layers stay; above them LoRA, or every weight."""
    base = load_base("minilm")
    torch.manual_seed(0)
    student = new_student(base, task, made, NUMBERS)
    if lora:
        student.backbone = lora_above(student.backbone, frozen)
    else:
        student.backbone.requires_grad_(False)
        for layer in list(layers_of(student.backbone))[frozen:]:
            layer.requires_grad_(True)
    objective = registry.take("objectives", "sft")
    features = objective.features(task, made, base.tokenizer, 256)
    with tempfile.TemporaryDirectory() as folder:
        training = loop.Training(student, objective, features, NUMBERS, pad_id(base.tokenizer), 0, Path(folder), "bench")
        began = time.process_time()  # one thread: seconds of the processor are those of a quiet machine
        with prefix.reuse(student, features, pad_id(base.tokenizer), Path(folder), on=on):
            progress = loop.run(replace(training))
        return time.process_time() - began, [line["train_loss"] for line in progress.history]


def lora_above(model: Any, frozen: int) -> Any:
    import peft

    names = [n for n, m in model.named_modules() if isinstance(m, torch.nn.Linear) and any(f"layer.{i}." in n for i in range(frozen, 6))]
    return peft.get_peft_model(model, peft.LoraConfig(r=16, lora_alpha=32, target_modules=names))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--pairs", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    task, made = rows(given.rows, given.tokens)
    train(4, True, True, task, made[:64])  # warm
    found = []
    for name, frozen, bar in (("upper third", 4, 1.5), ("upper half", 3, 1.25)):
        for lora in (True, False):
            pairs = [(train(frozen, lora, False, task, made), train(frozen, lora, True, task, made)) for _ in range(given.pairs)]
            ratios = [a[0] / b[0] for a, b in pairs]
            gap = max(abs(x - y) for a, b in pairs for x, y in zip(a[1], b[1], strict=True))
            line = {
                "adapter": f"{'lora' if lora else 'full'}, {name}", "times_faster_median": round(statistics.median(ratios), 3), "ratios": [round(r, 3) for r in ratios],
                "plain_s": round(statistics.median(a[0] for a, _ in pairs), 2), "reuse_s": round(statistics.median(b[0] for _, b in pairs), 2),
                "largest_loss_difference": gap, "bar": bar,
            }  # fmt: skip
            found.append(line)
            print(line, flush=True)
    save(HERE, "result", {"rows": given.rows, "tokens": given.tokens, "epochs": NUMBERS.epochs, "found": found})


if __name__ == "__main__":
    main()
