"""The yardstick: a plain fine-tuning script, as one would write it by hand. Prints accuracy as JSON.

all-MiniLM-L6-v2, mean pooling, a cosine head that starts from the class means, every weight trained with AdamW at 1e-4,
bf16, 12 epochs of shuffled batches of 32, no dev rows, no choosing."""

from __future__ import annotations

import json
import random
import sys

import torch
from torch.nn.functional import cross_entropy, normalize
from transformers import AutoModel, AutoTokenizer

from limbeck.bases.embedded import MINILM


def read(path: str) -> list[dict]:
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def main(train_file: str, test_file: str, seed: int, epochs: int = 12) -> None:
    torch.manual_seed(seed)
    rng = random.Random(seed)
    folder = MINILM.folder()
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    train, test = read(train_file), read(test_file)
    labels = sorted({r["output"] for r in train})

    def embed(rows: list[dict]) -> torch.Tensor:
        batch = tokenizer([r["input"] for r in rows], padding=True, truncation=True, max_length=128, return_tensors="pt")
        with torch.autocast("cpu", torch.bfloat16, enabled=model.training):
            states = model(**batch).last_hidden_state
        mask = batch["attention_mask"].unsqueeze(-1)
        return normalize((states.float() * mask).sum(1) / mask.sum(1), dim=-1)

    def embed_all(rows: list[dict]) -> torch.Tensor:
        with torch.no_grad():
            return torch.cat([embed(rows[i : i + 64]) for i in range(0, len(rows), 64)])

    model.eval()
    gold = torch.tensor([labels.index(r["output"]) for r in train])
    start = embed_all(train)
    weight = torch.nn.Parameter(torch.stack([start[gold == i].mean(0) for i in range(len(labels))]))
    optimizer = torch.optim.AdamW([*model.parameters(), weight], lr=1e-4)
    steps = epochs * -(-len(train) // 32)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda s: min(1.0, (s + 1) / (0.1 * steps)) * (1 - s / steps))
    model.train()
    for _ in range(epochs):
        order = rng.sample(range(len(train)), len(train))
        for i in range(0, len(order), 32):
            part = order[i : i + 32]
            loss = cross_entropy(20 * embed([train[j] for j in part]) @ normalize(weight, dim=-1).T, gold[part])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
    model.eval()
    best = (embed_all(test) @ normalize(weight.detach(), dim=-1).T).argmax(1)
    right = sum(labels[j] == r["output"] for j, r in zip(best.tolist(), test, strict=True))
    print(json.dumps({"accuracy": right / len(test), "rows": len(train), "epochs": epochs}))


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[4]) if len(sys.argv) > 4 else torch.get_num_threads())
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
