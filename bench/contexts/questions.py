"""Squad's questions over documents made from its contexts: which passages a search finds, on a tuning half and on test."""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from common import data

from limbeck.contexts.passages import build
from limbeck.contexts.rerank import Reranker, told
from limbeck.contexts.search import COMMON, DEPTH, WAYS, PassageIndex, fuse
from limbeck.contexts.search import K as FUSED_K
from limbeck.types import Example, Kind, Task

DRAWS, SEED, LISTED = 10_000, 0, 10
SIZES = ((60, 10), (100, 15), (150, 20))  # words of a passage, and of its overlap
KS, WEIGHTS, SHARES = (2, 5, 10, 20, 60), (1.0, 1.5, 2.0), (1.0, 0.3, 0.2, 0.1)
TASK = Task(name="squad", instruction="Answer the question.", kind=Kind.TEXT, metric="exact_match")


@dataclass(frozen=True)
class Asked:
    """document, start, end: where the annotators marked the answer."""

    question: str
    document: str
    start: int
    end: int


def write_documents(folder: Path, titled: bool) -> dict[str, list[Asked]]:
    """One document per article, its contexts as paragraphs; titled: under its title as a heading. {tune, test}: the questions;
    tune are those of train and valid, and no article has questions in both."""
    rows = [(split, row) for split in ("train", "valid", "test") for row in data("squad", split)]
    articles: dict[str, dict[str, None]] = defaultdict(dict)
    for _, row in rows:
        articles[article(row)].setdefault(context(row))
    texts, places = {}, {}
    for number, (title, contexts) in enumerate(sorted(articles.items())):
        name = f"{number:03}.md"
        text = f"# {title.replace('_', ' ')}\n\n" if titled and " " not in title else ""  # the adversarial sets have no titles
        for one in contexts:
            places[title, one] = (name, len(text))
            text += one + "\n\n"
        texts[name] = text
        (folder / name).write_text(text, encoding="utf-8")
    found: dict[str, list[Asked]] = {"tune": [], "test": []}
    for split, row in rows:
        name, at = places[article(row), context(row)]
        answer = (row["meta"].get("answers") or [row["output"]])[0]
        starts = row["meta"].get("answer_start")
        start = starts[0] if starts else context(row).find(answer)
        if start >= 0 and texts[name][at + start :].startswith(answer):
            found["test" if split == "test" else "tune"].append(Asked(row["meta"]["question"], name, at + start, at + start + len(answer)))
    return found


def article(row: dict[str, Any]) -> str:
    return str(row["meta"].get("title") or row["meta"]["source"])


def context(row: dict[str, Any]) -> str:
    return str(row["input"].partition("\ncontext: ")[2])


def as_typed(question: str) -> str:
    """As people type into a search field, and as nq_open's questions stand: lower case, no mark."""
    return question.lower().rstrip("?. ")


@contextmanager
def indexed(words: int, overlap: int, titled: bool) -> Iterator[tuple[PassageIndex, dict[str, list[Asked]], float]]:
    """(index by words and by minilm's meaning, questions, seconds to build it)."""
    from limbeck.engine.embed import Encoder

    with tempfile.TemporaryDirectory() as place:
        docs = Path(place) / "docs"
        docs.mkdir()
        asked = write_documents(docs, titled)
        began = time.perf_counter()
        index = build(Path(place) / "index", docs, words=words, overlap=overlap, embed=Encoder("minilm"))
        yield index, asked, time.perf_counter() - began


def right_passages(index: PassageIndex, asked: Sequence[Asked]) -> list[set[int]]:
    by_document: dict[str, list[tuple[int, int, int]]] = defaultdict(list)
    for number, p in enumerate(index.passages()):
        by_document[p.document].append((number, p.start, p.end))
    return [{n for n, start, end in by_document[a.document] if start <= a.start and a.end <= end} for a in asked]


def ranks(hits: Sequence[Sequence[int]], right: Sequence[set[int]]) -> np.ndarray:
    """(n,) 1-based rank of the first right passage among ten, inf where there is none."""
    found = [next((r for r, n in enumerate(line[:LISTED], 1) if n in ours), float("inf")) for line, ours in zip(hits, right, strict=True)]
    return np.array(found, float)


def numbers(lines: Sequence[Sequence[Any]]) -> list[list[int]]:
    return [[h.number for h in line] for line in lines]


# ---- the tuning half -------------------------------------------------------------------------------------------------


def tune() -> dict[str, Any]:
    """Every setting on the tuning questions. The grid: passage size, title over the passage or not, share of passages above which
    a word of the query is left out, K of the fusion, weight of meaning."""
    lines = []
    for (words, overlap), titled in [*((size, True) for size in SIZES), (SIZES[1], False)]:
        with indexed(words, overlap, titled) as (index, asked, _):
            queries, right = [a.question for a in asked["tune"]], right_passages(index, asked["tune"])
            meaning = numbers(index.search(queries, DEPTH, "meaning"))
            base = {"words": words, "overlap": overlap, "titled": titled, "passages": len(index)}
            lines.append({**base, "way": "meaning", **plain(ranks(meaning, right))})
            for share in SHARES:
                index.common = share
                by_words = numbers(index.search(queries, DEPTH, "words"))
                lines.append({**base, "way": "words", "common": share, **plain(ranks(by_words, right))})
                for k in KS:
                    for weight in WEIGHTS:
                        both = [
                            [h.number for h in fuse(one, other, k=k, weights=(1.0, weight))]
                            for one, other in zip(by_words, meaning, strict=True)
                        ]
                        lines.append(
                            {**base, "way": "fused", "common": share, "k": k, "meaning_weight": weight, **plain(ranks(both, right))}
                        )
    return {"questions": len(right), "grid": lines}


def plain(found: np.ndarray) -> dict[str, float]:
    return {**{f"recall@{k}": round(float((found <= k).mean()), 4) for k in (1, 5, 10)}, "mrr": round(float((1 / found).mean()), 4)}


# ---- test, once --------------------------------------------------------------------------------------------------------


def report(rerank: Reranker | None = None) -> dict[str, Any]:
    """With what a run has by default: recall and MRR per way, as written and as typed, and what fusing adds, paired."""
    with indexed(*SIZES[1], titled=True) as (index, asked, built_s):
        right = right_passages(index, asked["test"])
        facts = {"documents": index.facts["documents"], "passages": len(index), "build_s": round(built_s, 1)}
        facts |= {"k": FUSED_K, "depth": DEPTH, "common": COMMON}
        facts["left out"] = sum(not r for r in right)  # the answer stands across a cut: no passage is right
        for style, spell in (("as written", str), ("as typed", as_typed)):
            queries = [spell(a.question) for a in asked["test"]]
            found = {way: ranks(numbers(index.search(queries, LISTED, way)), right) for way in WAYS}
            if rerank is not None and style == "as written":
                hits = numbers(index.search(queries, max(rerank.depth, LISTED)))
                texts = [[index.passage(n).shown for n in line] for line in hits]
                ordered = rerank([Example(id=str(i), input=q) for i, q in enumerate(queries)], texts)
                found["reranked"] = ranks([[line[p] for p in o.order] for line, o in zip(hits, ordered, strict=True)], right)
                facts["reranking"] = told(ordered)
            facts[style] = figures(found)
        return facts


def figures(by_way: dict[str, np.ndarray]) -> dict[str, Any]:
    """Per way recall@{1,5,10} and MRR@10 with 95 % intervals of 10,000 draws that all ways share; fused minus the others."""
    n = len(by_way["fused"])
    drawn = np.random.default_rng(SEED).integers(0, n, (DRAWS, n))

    def interval(rows: np.ndarray) -> dict[str, float]:
        low, high = np.quantile(rows[drawn].mean(1), [0.025, 0.975])
        return {"value": round(float(rows.mean()), 4), "low": round(float(low), 4), "high": round(float(high), 4)}

    per_way = {
        way: {**{f"recall@{k}": interval((r <= k).astype(float)) for k in (1, 5, 10)}, "mrr": interval(1 / r)} for way, r in by_way.items()
    }
    less = {
        way: {f"recall@{k}": interval((by_way["fused"] <= k).astype(float) - (r <= k)) for k in (1, 5)}
        | {"mrr": interval(1 / by_way["fused"] - 1 / r)}
        for way, r in by_way.items()
        if way != "fused"
    }
    return {"n": n, "ways": per_way, "fused minus": less}
