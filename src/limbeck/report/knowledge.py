"""What the report says of documents that were learnt: how many, what was inferred from them, by whom, and how much that can repair."""

from __future__ import annotations

import limbeck.report.format as f
from limbeck.types import Report

Lines = list[tuple[str, ...]]


def sentences(report: Report) -> list[str]:
    """[] where no candidate learns documents."""
    facts = report.knowledge
    if not facts:
        return []
    said = list(facts.get("said", ()))
    if facts.get("usd"):
        said.append(f"What was inferred cost {f.usd(facts['usd'])}, once; the break-even of augmented students counts it.")
    return said


def measured(report: Report) -> Lines:
    """A header, then a line per kind of augmentation; [] where nobody was asked."""
    lines = [
        (f"augment:{how}", *(share(one[name], one.get(f"{name}_of")) for name in ("coverage", "precision", "repair")))
        for how, one in report.knowledge.get("measured", {}).items()
    ]
    return [("rows", "coverage", "precision", "product"), *lines] if lines else []


def share(value: float | None, of: int | None) -> str:
    if value is None:
        return "not known"
    return f"{f.metric(value)} of {of:,}" if of else f.metric(value)


def complement(report: Report) -> Lines:
    """Scores on the test questions that no inference says word for word; [] where there are none that one does."""
    rest = report.knowledge.get("complement", {})
    lines = [(name, f.metric(value)) for name, value in rest.get("scores", {}).items()]
    return [("candidate", f"{report.task.metric} on the {rest['n']:,} questions that nobody wrote down"), *lines] if lines else []


def examples(report: Report) -> Lines:
    """Kept ones by their scope, dropped ones by their reason."""
    lines = [(one["what"], one["text"], one["uses"], one["why"]) for one in report.knowledge.get("examples", ())]
    return [("scope, or dropped because", "inference", "rests on", "how it follows"), *lines] if lines else []


def short(report: Report) -> str:
    """One line for the terminal."""
    facts = report.knowledge
    if not facts:
        return ""
    kept, dropped = facts.get("kept", {}), sum(facts.get("dropped", {}).values())
    inferred = f"; {kept.get('local', 0):,} local and {kept.get('global', 0):,} global inferences by {facts['writer']}, {dropped:,} dropped"
    return f"Documents: {facts['texts']:,} pieces of {facts['documents']:,} were learnt{inferred if facts.get('by') else ''}."
