"""Answers in the precision of training, for studies that compare many students: a third of the time, the same for all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from limbeck.engine.answers import to_prediction
from limbeck.engine.written import WriterPredictor
from limbeck.types import Example, Prediction


def answers(predictor: Any, rows: Sequence[Example], dtype: str = "bfloat16") -> list[Prediction]:
    """predictor: of an encoder or of a student that writes. dtype: bfloat16 | float32, of the forward pass."""
    precision = {"bfloat16": torch.bfloat16, "float32": torch.float32}[dtype]
    if isinstance(predictor, WriterPredictor):
        return predictor.answers(rows, precision)
    return [to_prediction(predictor.task, e, line) for e, line in zip(rows, predictor.logits(rows, None, precision), strict=True)]
