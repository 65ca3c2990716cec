"""A predictor that looks things up: for each input passages are found, and stand before it when it is read.

What it was trained with is what it is served with: the same index, the same number of passages, the same way of finding
them. A student's folder holds a copy of the index and passages-reader.json: {passages, way}."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from limbeck import registry, render
from limbeck.engine.demonstrator import with_demonstrations
from limbeck.errors import ModelError
from limbeck.run import write_json
from limbeck.types import Example, Kind, Prediction, Predictor, Status

READER = "passages-reader.json"


class Index(Protocol):
    """What lies on the shelf `retrievers`, opened from a folder. search: at most n hits per query, best first."""

    def search(
        self, queries: Sequence[str], n: int, way: str = ..., without: Sequence[Collection[int]] | None = ...
    ) -> list[list[Any]]: ...

    def passage(self, number: int) -> Any: ...  # with `shown` and `citation`

    def copy_to(self, folder: Path) -> None: ...


class Reader:
    """predictor: who answers. k: passages per input, the best first. way: fused | words | meaning."""

    def __init__(self, predictor: Predictor, index: Index, k: int, way: str):
        self.predictor, self.index, self.k, self.way = predictor, index, k, way

    @property
    def task(self) -> Any:
        return self.predictor.task  # type: ignore[attr-defined]

    @property
    def max_length(self) -> int:
        return int(self.predictor.max_length)  # type: ignore[attr-defined]

    def predict(self, inputs: Sequence[Example]) -> list[Prediction]:
        """latency_ms: the search included."""
        began = time.perf_counter()
        rows, cited = look_up(self.index, inputs, self.k, self.way)
        search_ms = (time.perf_counter() - began) * 1e3 / max(1, len(inputs))
        found = []
        for row, where, p in zip(rows, cited, self.predictor.predict(rows), strict=True):
            latency = None if p.latency_ms is None else round(p.latency_ms + search_ms, 3)
            kind = getattr(getattr(self.predictor, "task", None), "kind", None)
            said = "; ".join(part for part in (p.detail, rests_on(kind, row, p)) if part)
            found.append(p.model_copy(update={"passages": where, "latency_ms": latency, "detail": said}))
        return found

    def save(self, folder: Path) -> None:
        """Beside a model that is there already."""
        self.index.copy_to(folder)
        write_json(folder / READER, {"passages": self.k, "way": self.way})


def look_up(
    index: Index, rows: Sequence[Example], k: int, way: str, own: Mapping[str, Collection[int]] | None = None
) -> tuple[list[Example], list[tuple[str, ...]]]:
    """(rows with their passages, where those stand). own: {row id: passages that it may not see}, for those that hold the row
    itself: a student that trains on them learns to copy."""
    hits = index.search([row.input for row in rows], k, way, [(own or {}).get(row.id, ()) for row in rows])
    found = [[index.passage(hit.number) for hit in line] for line in hits]
    shown = [tuple(p.shown for p in line) or None for line in found]
    return [r.model_copy(update={"passages": s}) for r, s in zip(rows, shown, strict=True)], [
        tuple(p.citation for p in line) for line in found
    ]


def rests_on(kind: Kind | None, row: Example, prediction: Prediction) -> str:
    """Which of the passages hold a written answer, word by word; "" where none does, or the answer is no text."""
    if kind is not Kind.TEXT or prediction.status is not Status.OK or not row.passages:
        return ""
    answer = f" {render.squeeze(prediction.text)} "
    places = [f"[{i}]" for i, text in enumerate(row.passages, 1) if answer in f" {render.squeeze(text)} "]
    return f"the answer stands in {' '.join(places)}" if places else "the answer stands in none of its passages"


def load_student(folder: Path) -> Any:
    """The student of a model folder, with what it is shown and what it looks things up in. Raises ModelError where a file is missing."""
    from limbeck.engine.predict import load_predictor

    predictor = load_predictor(folder)
    predictor = with_demonstrations(predictor, folder, predictor.task)
    if not (folder / READER).is_file():
        return predictor
    try:
        how = json.loads((folder / READER).read_bytes())
        k, way = int(how["passages"]), str(how["way"])
    except (OSError, ValueError, KeyError, TypeError) as broken:
        raise ModelError(f"{folder / READER} cannot be read", str(broken), "copy the folder again, or export it again") from broken
    return Reader(predictor, registry.take("retrievers", "docs")(folder), k, way)
