"""What the report says of the rationales that candidates learnt from: whose they are, what was dropped and why, how many disagree."""

from __future__ import annotations

import limbeck.report.format as f
from limbeck.types import Report

Lines = list[tuple[str, ...]]


def sentences(report: Report) -> list[str]:
    """[] where no candidate learns from rationales."""
    facts = report.rationales
    if not facts:
        return []
    n, rows = facts["human"] + facts["teacher"], facts["rows"]
    said = [f"{n:,} of {rows:,} training rows have a rationale: {facts['human']:,} by persons, {facts['teacher']:,} by the teacher."]
    if facts["teacher"] or facts["dropped"]:
        how = "was shown each row's label" if facts["asked"] == "seen" else "was not shown the labels"
        many = f"; the majority of {facts['samples']} samples counts" if facts["samples"] > 1 else ""
        kept = " Rationales that argue for another answer than the label are kept." if facts["keep"] == "all" else ""
        said.append(f"The teacher {how}{many}.{kept}")
    if facts["by_teacher_label"]:
        said.append(f"{facts['by_teacher_label']:,} of them came with the row's label, in one completion.")
    if facts["judged"]:
        share = f.percent(facts["disagree"] / facts["judged"])
        said.append(f"The teacher's own answer is another than the label at {facts['disagree']:,} of {facts['judged']:,} rows ({share}).")
    if facts["usd"]:
        said.append(f"They cost {f.usd(facts['usd'])}.")
    return said


def short(report: Report) -> str:
    """One line for the terminal."""
    facts = report.rationales
    if not facts:
        return ""
    dropped = sum(facts["dropped"].values())
    out = f", {dropped:,} dropped" if dropped else ""
    return f"Rationales: {facts['human']:,} by persons, {facts['teacher']:,} by the teacher ({facts['asked']}){out}, {facts['none']:,} rows without."


def dropped(report: Report) -> Lines:
    """[] where nothing was."""
    lost = report.rationales.get("dropped", {})
    return [("dropped because", "rows"), *((reason, f"{n:,}") for reason, n in lost.items())] if lost else []


def examples(report: Report) -> Lines:
    found = report.rationales.get("examples", [])
    lines = [(one["id"], one["why"].partition(":")[0], one["label"], one["answer"], one["rationale"]) for one in found]
    return [("row", "dropped because", "label", "its answer", "rationale"), *lines] if lines else []
