"""Which data set fits a prompt: recall@5 and MRR of each way of ranking alone and of all fused, over public data and the catalogue.

    python bench/retrieval/bench.py          a minute; without ../shared over the catalogue alone, and says so
    python bench/retrieval/bench.py --tune   the tuning prompts alone, for whoever changes the ranking

Texts and weights were chosen on the prompts under "tune". Those under "test" were committed before they were first ranked.

words, meaning, matching: the three parts of the score, of the same cards and prompts. Two more embeddings stand beside them, so
that the fused score is not held against a weak one: "apart" embeds the whole card and its description each by itself and takes the
nearer (the best single ranking on the tuning prompts), "before" is the one text of 300 characters that the first version embedded."""

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

from limbeck.engine.rank import WORDS, by_meaning, ranks  # noqa: E402
from limbeck.sources import rank_data  # noqa: E402
from limbeck.sources.datasets import Dataset, Limits, open_source, sift  # noqa: E402
from limbeck.tasks.parse import parse  # noqa: E402

DRAWS, SEED = 10_000, 0
WAYS = ("words", "meaning", "matching", "apart", "before", "fused")
LOOKS = (
    "1 look at the 110 test prompts, after the last change to the ranking. The thirty that were the test of the first version "
    "had been looked at twice, and are tuning prompts now."
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
    task = parse(prompt["prompt"], "prompt")
    parts = rank_data.query_parts(task)
    found = rank_data.rank(parts, cards)
    hits = [(place, f) for place, f in enumerate(found, 1) if f.dataset.name in prompt["targets"]]
    if not hits:
        return None
    targets = np.array([card.name in prompt["targets"] for card in cards])
    more = {
        "apart": np.maximum(*(by_meaning(" ".join(parts[:2]), texts(cards)) for texts in (whole, descriptions))),
        "before": by_meaning("\n".join(parts), whole(cards)),
    }
    places = {way: int(ranks(scores)[targets].min()) for way, scores in more.items()}
    return {**{way: min(getattr(f, way) for _, f in hits) for way in WAYS[:3]}, **places, "fused": hits[0][0]}


def whole(cards: list[Dataset]) -> list[str]:
    told = [[card.description, ", ".join(card.tags)] if card.description or card.tags else card.sample for card in cards]
    return [". ".join(part for part in (card.title, *about) if part)[:300] for card, about in zip(cards, told, strict=True)]


def descriptions(cards: list[Dataset]) -> list[str]:
    return [card.description or card.title for card in cards]


def figures(ranks: list[dict[str, float]]) -> dict[str, Any]:
    """Per way its figures with 95 % intervals; fused minus each of the others, paired: the same prompts are drawn for both."""
    ways = {way: np.array([r[way] for r in ranks]) for way in WAYS}
    values = {way: {"recall@5": (r <= 5).astype(float), "mrr": 1 / r} for way, r in ways.items()}
    drawn = np.random.default_rng(SEED).integers(0, len(ranks), (DRAWS, len(ranks)))

    def interval(rows: np.ndarray) -> dict[str, float]:
        low, high = np.quantile(rows[drawn].mean(1), [0.025, 0.975])
        return {"value": round(float(rows.mean()), 4), "low": round(float(low), 4), "high": round(float(high), 4)}

    table: dict[str, Any] = {way: {m: interval(rows) for m, rows in by.items()} for way, by in values.items()}
    for other in WAYS[:-1]:
        table[f"fused - {other}"] = {m: interval(values["fused"][m] - values[other][m]) for m in ("recall@5", "mrr")}
    return table


def main() -> None:
    began = time.perf_counter()
    prompts = json.loads((HERE / "prompts.json").read_text(encoding="utf-8"))
    cards, over = pool()
    result: dict[str, Any] = {"over": over, "looks_at_test": LOOKS, "datasets": len(cards), "weight_of_words": WORDS}
    for split in ("tune",) if "--tune" in sys.argv else ("tune", "test"):
        answers = [first_ranks(p, cards) for p in prompts[split]]
        known = [r for r in answers if r is not None]
        table = figures(known)
        result[split] = {"prompts": len(known), **table, "ranks": answers}
        print(f"{split}: {len(known)} prompts over {len(cards)} data sets of {over}")
        for way, row in table.items():
            print(f"  {way:17}" + "   ".join(f"{m} {v['value']:6.3f} [{v['low']:6.3f}, {v['high']:6.3f}]" for m, v in row.items()))
    result["seconds"] = round(time.perf_counter() - began, 1)
    print(f"{result['seconds']} s; {LOOKS}")
    if "test" in result:
        save(HERE, "result", result)


if __name__ == "__main__":
    main()
