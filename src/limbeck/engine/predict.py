"""A trained student as a Predictor: the same answer alone, in a batch, and in any order."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from limbeck import registry, render
from limbeck.engine.answers import judge, score_text, softmax, to_prediction
from limbeck.engine.batches import by_length
from limbeck.engine.encoder import HEADS, EncoderStudent, unit_length
from limbeck.engine.framing import Reading, reading_of
from limbeck.engine.load import Base, read_model, read_tokenizer
from limbeck.engine.lowrank import PackedLinear, layers_in
from limbeck.engine.numbers import Numbers
from limbeck.engine.tokens import Tokens, pad, pad_id, tokenise
from limbeck.engine.writer import WriterStudent
from limbeck.engine.written import WriterPredictor
from limbeck.errors import ModelError
from limbeck.run import room_on_disk
from limbeck.types import Example, Kind, Prediction, Status, Task

__all__ = [
    "StudentPredictor",
    "answer_logits",
    "judge",
    "load_predictor",
    "predictor_of",
    "save_predictor",
    "score_text",
    "size_mb",
    "softmax",
    "to_prediction",
]

HEAD, WRITES = "head.safetensors", "writes"


def predictor_of(student: EncoderStudent | WriterStudent, base: Base, task: Task, numbers: Numbers) -> StudentPredictor | WriterPredictor:
    if isinstance(student, WriterStudent):
        return WriterPredictor(student, task, reading_of(base, task, numbers))
    return StudentPredictor(student, base.tokenizer, task, min(numbers.max_length or base.max_length, base.max_length))


class StudentPredictor:
    """student, tokenizer: as trained. max_length: tokens of one input. truncated: rows cut so far."""

    def __init__(self, student: EncoderStudent, tokenizer: Any, task: Task, max_length: int):
        self.student, self.tokenizer, self.task, self.max_length = student, tokenizer, task, max_length
        self.truncated = 0
        self.known: tuple[Sequence[Example], Tokens] | None = None  # the dev rows, tokenised once

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

    def judge(self, dev: Sequence[Example], dtype: torch.dtype) -> tuple[float, float]:
        """See `judge`."""
        if self.known is None or self.known[0] is not dev:
            self.known = (dev, self.tokenise(dev))
        return judge(self.task, dev, self.logits(dev, self.known[1], dtype))

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
                vectors = self.embed((tokens or self.tokenise(examples)).ids)  # (n, d)
                if self.task.kind is not Kind.CHOICE:
                    return answer_logits(self.student, examples, vectors)
                texts = list(dict.fromkeys(c for e in examples for c in e.choices or ()))  # each different option once
                each = self.embed(tokenise(self.tokenizer, texts, self.max_length).ids)
                place = {text: i for i, text in enumerate(texts)}
                return answer_logits(self.student, examples, vectors, each[[place[c] for e in examples for c in e.choices or ()]])
        finally:
            self.student.train(training)

    @torch.inference_mode()
    def vectors(self, texts: Sequence[str]) -> np.ndarray:
        """(n, d) float32, rows of length 1: the student's own embeddings, in the form that `engine.embed` gives the base's."""
        return unit_length(self.embed(tokenise(self.tokenizer, texts, self.max_length).ids)).cpu().numpy()

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


@torch.inference_mode()
def answer_logits(student: EncoderStudent, examples: Sequence[Example], vectors: Tensor, options: Tensor | None = None) -> list[np.ndarray]:
    """vectors (n, d); options (N, d), those of all rows in order -> per row (C,), (its options,), or (1,) for scores."""
    if options is None:
        return list(student.answer(vectors).logits.reshape(len(examples), -1).double().cpu().numpy())
    row = torch.tensor([i for i, e in enumerate(examples) for _ in e.choices or ()], device=vectors.device)
    wide = student.answer(vectors, options, row).logits.double().cpu().numpy()  # (n, most options of a row)
    return [line[: len(e.choices or ())] for line, e in zip(wide, examples, strict=True)]


# ---- on disk ---------------------------------------------------------------------------------------------------


def save_predictor(predictor: StudentPredictor | WriterPredictor, folder: Path) -> None:
    """config.json, model.safetensors, tokenizer files, head.safetensors (task, kind and sizes in its metadata; without a
    tensor where the student writes). No pickle."""
    student = predictor.student
    with room_on_disk(folder):
        folder.mkdir(parents=True, exist_ok=True)
        if student.adapter:
            registry.take("adapters", student.adapter).save(student.backbone, folder)
        else:
            student.backbone.save_pretrained(folder)
        predictor.tokenizer.save_pretrained(folder)
        about: dict[str, Any] = {"adapter": student.adapter, "max_length": predictor.max_length}
        about["task"] = predictor.task.model_dump(mode="json")
        weights: dict[str, Tensor] = {}
        if isinstance(predictor, WriterPredictor):
            about |= {"head": WRITES, "normalise": predictor.student.normalise, "reading": predictor.reading.saved()}
        else:
            head = predictor.student.head
            weights = {name: tensor.detach().cpu().contiguous() for name, tensor in head.state_dict().items()}
            about |= {"head": predictor.student.head_name, "hidden": student.backbone.config.hidden_size}
            about |= {"answers": len(predictor.task.labels)}
        save_file(weights, folder / HEAD, metadata={"limbeck": json.dumps(about)})


def load_predictor(folder: Path) -> StudentPredictor | WriterPredictor:
    """Raises ModelError where a file is missing or is not what was written."""
    try:
        with safe_open(folder / HEAD, "pt") as file:
            about = json.loads(file.metadata()["limbeck"])
        task = Task.model_validate(about["task"])
        if about["head"] == WRITES:
            reads, normalise = dict(about["reading"]), about["normalise"]
        else:
            head = HEADS[about["head"]](about["hidden"], about["answers"])
            head.load_state_dict(load_file(folder / HEAD))
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as broken:
        raise ModelError(
            f"the head of the student in {folder} cannot be read", str(broken), "copy the folder again, or export it again"
        ) from broken
    adapter = about.get("adapter", "")
    backbone = registry.take("adapters", adapter).load(folder) if adapter else read_model(folder)
    tokenizer = read_tokenizer(folder)
    if about["head"] == WRITES:
        reading = Reading(tokenizer, **reads)
        writer = WriterStudent(backbone, reading.family, normalise=normalise).requires_grad_(False).eval()
        writer.adapter = adapter
        return WriterPredictor(writer, task, reading)
    student = EncoderStudent(backbone, about["head"], head).requires_grad_(False).eval()
    student.adapter = adapter
    return StudentPredictor(student, tokenizer, task, about["max_length"])


def size_mb(student: Any) -> float:
    """Of the weights as they are shipped, in 10^6 bytes: float32, and packed ones as they are packed."""
    packed = sum(tensor.nbytes for _, layer in layers_in(student, PackedLinear) for tensor in layer.buffers())
    return round((sum(p.numel() for p in student.parameters()) * 4 + packed) / 1e6, 1)
