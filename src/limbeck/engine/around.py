"""What a predictor that stands around another tells of it."""

from __future__ import annotations

from typing import Any

from limbeck.types import Predictor


class Around:
    """predictor: who answers."""

    predictor: Predictor

    @property
    def task(self) -> Any:
        return self.predictor.task  # type: ignore[attr-defined]

    @property
    def max_length(self) -> int:
        return int(self.predictor.max_length)  # type: ignore[attr-defined]
