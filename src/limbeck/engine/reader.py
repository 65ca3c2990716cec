"""A predictor that looks things up: for each input passages are found, and stand before it when it is read.

What it was trained with is what it is served with: the same index, the same number of passages, the same way of finding
them. A student's folder holds a copy of the index and passages-reader.json: {passages, way}."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from limbeck import registry, render
from limbeck.engine.around import Around
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


class Reranked(Protocol):
    """What a reranker says of one row's passages: order of their places, why it is none (""), and what the call cost."""

    order: tuple[int, ...]
    why_not: str
    tokens_in: int
    tokens_out: int
    latency_ms: float
    cost_usd: float | None


Rerank = Callable[[Sequence[Example], Sequence[Sequence[str]]], Sequence[Any]]  # rows, passages of each -> Reranked of each


class Reader(Around):
    """predictor: who answers. k: passages per input, the best first. way: fused | words | meaning. rerank: who puts `depth`
    passages in order, of which the first k are read."""

    def __init__(self, predictor: Predictor, index: Index, k: int, way: str, rerank: Rerank | None = None, depth: int = 0):
        self.predictor, self.index, self.k, self.way, self.rerank, self.depth = predictor, index, k, way, rerank, depth

    def predict(self, inputs: Sequence[Example]) -> list[Prediction]:
        """latency_ms: the search included."""
        began = time.perf_counter()
        rows, places, ranked = look_up(self.index, inputs, self.k, self.way, None, self.rerank, self.depth)
        search_ms = (time.perf_counter() - began) * 1e3 / max(1, len(inputs))
        found = []
        for i, (row, where, p) in enumerate(zip(rows, places, self.predictor.predict(rows), strict=True)):
            calls: Reranked | None = ranked[i] if ranked else None
            ms = search_ms if calls is None else calls.latency_ms  # the time of reranking is that of its calls, stored with them
            latency = None if p.latency_ms is None else round(p.latency_ms + ms, 3)
            kind = getattr(getattr(self.predictor, "task", None), "kind", None)
            fell_back = f"not reranked: {calls.why_not}" if calls is not None and calls.why_not else ""
            text, cites = cited(p.text, len(where)) if kind is Kind.TEXT else (p.text, "")
            p = p.model_copy(update={"text": text})
            said = "; ".join(part for part in (p.detail, rests_on(kind, row, p), cites, fell_back) if part)
            p = p.model_copy(update={"passages": where, "latency_ms": latency, "detail": said})
            found.append(p if calls is None else with_cost(p, calls))
        return found

    def save(self, folder: Path) -> None:
        """Beside a model that is there already."""
        self.index.copy_to(folder)
        write_json(folder / READER, {"passages": self.k, "way": self.way})


def with_cost(p: Prediction, calls: Reranked) -> Prediction:
    """The answer's call and the one that put its passages in order."""
    usd = None if p.cost_usd is None or calls.cost_usd is None else p.cost_usd + calls.cost_usd
    tokens = {"tokens_in": (p.tokens_in or 0) + calls.tokens_in, "tokens_out": (p.tokens_out or 0) + calls.tokens_out}
    return p.model_copy(update={**tokens, "cost_usd": usd if calls.tokens_in else p.cost_usd})


def look_up(
    index: Index,
    rows: Sequence[Example],
    k: int,
    way: str,
    own: Mapping[str, Collection[int]] | None = None,
    rerank: Rerank | None = None,
    depth: int = 0,
) -> tuple[list[Example], list[tuple[str, ...]], Sequence[Any]]:
    """(rows with their passages, where those stand, what the reranker says of each row, () without one). own: {row id: passages
    that it may not see}, for those that hold the row itself: a student that trains on them learns to copy."""
    n = max(k, depth) if rerank else k
    hits = index.search([row.input for row in rows], n, way, [(own or {}).get(row.id, ()) for row in rows])
    found = [[index.passage(hit.number) for hit in line] for line in hits]
    ranked: Sequence[Any] = ()
    if rerank is not None:
        ranked = rerank(rows, [[p.shown for p in line] for line in found])
        found = [[line[place] for place in one.order][:k] for line, one in zip(found, ranked, strict=True)]
    shown = [tuple(p.shown for p in line) or None for line in found]
    asked = [r.model_copy(update={"passages": s}) for r, s in zip(rows, shown, strict=True)]
    return asked, [tuple(p.citation for p in line) for line in found], ranked


ENDS_WITH_IDS = re.compile(r"(?:\s+(?:\[\d+(?:\s*[,;]\s*\d+)*\]|<passage id=\"\d+\"\s*/?>))+\s*\.?\s*$")


def cited(answer: str, n: int) -> tuple[str, str]:
    """(the answer without the ids of passages that it ends with, which of n passages they name). An id that no passage has is
    told as such, and taken for no citation. Where nothing is left, the answer stays as it is."""
    found = ENDS_WITH_IDS.search(answer) if n else None
    if found is None or not answer[: found.start()].strip():
        return answer, ""
    ids = [int(number) for number in dict.fromkeys(re.findall(r"\d+", found[0]))]
    real = " ".join(f"[{i}]" for i in ids if 1 <= i <= n)
    none = " ".join(f"[{i}]" for i in ids if not 1 <= i <= n)
    said = "; ".join(part for part in (f"it cites {real}" if real else "", f"there is no passage {none}" if none else "") if part)
    return answer[: found.start()].rstrip(), said


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
