"""What candidates looked things up in, and how often the right passage was among what they found."""

from __future__ import annotations

from typing import Any

import limbeck.report.format as f
from limbeck.types import Report


def said(report: Report) -> list[str]:
    """In sentences; [] where no candidate looks anything up."""
    return list(report.retrieval.get("said", []))


def measured(report: Report) -> list[tuple[str, ...]]:
    """A header, then one line per way of searching: recall with its 95 % interval, and the mean reciprocal rank."""
    lines = [
        (
            WAYS.get(str(one["way"]), str(one["way"])),
            *(share(one[f"recall@{k}"]) for k in (1, 5, 10)),
            f.metric(one["mrr"]),
            f"{one['n']:,}",
        )
        for one in report.retrieval.get("measured", [])
    ]
    return [("searched by", "recall@1", "recall@5", "recall@10", "MRR", "rows"), *lines] if lines else []


WAYS = {"fused": "both, fused", "words": "words (BM25)", "meaning": "meaning (embeddings)", "reranked": "reranked by the teacher"}


def share(found: dict[str, Any]) -> str:
    return f"{f.metric(found['value'])} [{f.metric(found['low'])}, {f.metric(found['high'])}]"


def skipped(report: Report) -> list[tuple[str, str]]:
    return [(str(one["document"]), str(one["reason"])) for one in report.retrieval.get("skipped", [])]
