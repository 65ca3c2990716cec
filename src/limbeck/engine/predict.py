"""A trained student as a Predictor: the same answer alone, in a batch, and in any order."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from limbeck import render
from limbeck.engine.batches import by_length
from limbeck.engine.encoder import EncoderStudent
from limbeck.engine.tokens import Tokens, pad, pad_id, tokenise
from limbeck.types import Example, Kind, Prediction, Status, Task

_BEST = 10  # so many scores are kept per prediction


class StudentPredictor:
    """student, tokenizer: as trained. max_length: tokens of one input. truncated: rows cut so far."""

    def __init__(self, student: EncoderStudent, tokenizer: Any, task: Task, max_length: int):
        self.student, self.tokenizer, self.task, self.max_length = student, tokenizer, task, max_length
        self.truncated = 0

    def predict(self, inputs: Sequence[Example]) -> list[Prediction]:
        """float32, whatever the training precision was. latency_ms is measured where there is one row."""
        start = time.perf_counter()
        answered = [example for example in inputs if self.task.kind is not Kind.CHOICE or example.choices]
        tokens = self.tokenise(answered)
        found = iter(zip(answered, self.logits(answered, tokens), tokens.ids, tokens.whole, strict=True))
        self.truncated += tokens.truncated
        predictions = []
        for example in inputs:
            if self.task.kind is Kind.CHOICE and not example.choices:
                predictions.append(Prediction(id=example.id, status=Status.ERROR, detail="the row has no options to choose from"))
                continue
            _, logits, ids, whole = next(found)
            cut = f"input cut at {len(ids)} tokens; it has {whole}" if whole > len(ids) else ""
            predictions.append(to_prediction(self.task, example, logits).model_copy(update={"tokens_in": len(ids), "detail": cut}))
        if len(inputs) == 1:
            latency_ms = (time.perf_counter() - start) * 1e3
            predictions[0] = predictions[0].model_copy(update={"latency_ms": round(latency_ms, 3)})
        return predictions

    def tokenise(self, examples: Sequence[Example]) -> Tokens:
        return tokenise(self.tokenizer, [render.source_text(self.task, e) for e in examples], self.max_length)

    @torch.inference_mode()
    def logits(self, examples: Sequence[Example], tokens: Tokens | None = None, dtype: torch.dtype = torch.float32) -> list[np.ndarray]:
        """Per row: (C,) over the labels, (options,) or (1,) the score. dtype: other than float32 only to choose an epoch."""
        if not examples:
            return []
        training = self.student.training
        self.student.eval()
        try:
            with torch.autocast(self.device.type, dtype, enabled=dtype is not torch.float32):
                embedding = self.embed((tokens or self.tokenise(examples)).ids)  # (n, d)
                if self.task.kind is not Kind.CHOICE:
                    wide = self.student.answer(embedding).logits  # (n, C), or (n,) for scores
                    return list(wide.reshape(len(examples), -1).double().cpu().numpy())
                texts = list(dict.fromkeys(c for e in examples for c in e.choices or ()))
                place = {text: i for i, text in enumerate(texts)}
                each = self.embed(tokenise(self.tokenizer, texts, self.max_length).ids)  # (different options, d)
                index = torch.tensor([place[c] for e in examples for c in e.choices or ()], device=each.device)
                row = torch.tensor([i for i, e in enumerate(examples) for _ in e.choices or ()], device=each.device)
                wide = self.student.answer(embedding, each[index], row).logits.double().cpu().numpy()  # (n, most options)
            return [line[: len(e.choices or ())] for line, e in zip(wide, examples, strict=True)]
        finally:
            self.student.train(training)

    def embed(self, ids: Sequence[Sequence[int]]) -> Tensor:
        """n token lists -> (n, d), in batches of like length."""
        rows = by_length([len(row) for row in ids])
        parts = []
        for batch in rows:
            input_ids, attention_mask = pad([ids[i] for i in batch], pad_id(self.tokenizer))
            parts.append(self.student.embed(input_ids.to(self.device), attention_mask.to(self.device)))
        back = torch.tensor([i for batch in rows for i in batch]).argsort().to(self.device)
        return torch.cat(parts)[back]

    @property
    def device(self) -> torch.device:
        return next(self.student.parameters()).device


def to_prediction(task: Task, example: Example, logits: np.ndarray) -> Prediction:
    """logits float64, as `StudentPredictor.logits` gives them per row."""
    if task.kind is Kind.SCORE:
        return Prediction(id=example.id, text=score_text(task, float(logits[0])))
    allowed = render.allowed_answers(task, example)
    best = int(np.round(logits, 4).argmax())  # padding moves the last bits: what ties but for them goes to the first
    shares = softmax(logits)
    order = sorted(range(len(allowed)), key=lambda i: (-shares[i], i))[:_BEST]
    scores = {allowed[i]: round(float(shares[i]), 7) for i in order}
    return Prediction(id=example.id, text=allowed[best], confidence=scores.get(allowed[best]), scores=scores)


def score_text(task: Task, value: float) -> str:
    """Clipped to the task's range, four significant digits, spelled as render.number spells a number."""
    low = task.low if task.low is not None else -np.inf
    high = task.high if task.high is not None else np.inf
    rounded = float(f"{min(max(value, low), high):.4g}")
    return f"{min(max(rounded, low), high):g}"


def softmax(logits: np.ndarray) -> np.ndarray:
    shares = np.exp(logits - logits.max())
    return shares / shares.sum()
