"""results/*.json -> table.md and page.html. What was not run says so."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from limbeck.report.html import tag
from limbeck.report.page import document

TITLE = "Looking things up: recall, size, readers, poison"
WAYS = {"words": "words (BM25)", "meaning": "meaning (minilm)", "fused": "both, fused", "reranked": "fused, reranked by the teacher"}
Table = tuple[str, list[str], list[list[str]]]  # title and what to know, header, lines


def write(folder: Path) -> str:
    """Writes both files, returns the Markdown."""
    cells = {file.stem: json.loads(file.read_bytes()) for file in sorted((folder / "results").glob("*.json"))}
    tables = [*recall(cells), *tuning(cells), *scale(cells), *contexts(cells), *poisoned(cells)]
    text = f"# {TITLE}\n\n" + "\n".join(markdown(*table) for table in tables)
    (folder / "table.md").write_text(text, encoding="utf-8")
    (folder / "page.html").write_text(document(TITLE, tag("h1", TITLE), *(section(*table) for table in tables)), encoding="utf-8")
    return text


def markdown(title: str, head: list[str], lines: list[list[str]]) -> str:
    first, _, notes = title.partition("\n")
    shown = "".join(f"| {' | '.join(line)} |\n" for line in [head, ["---"] * len(head), *lines]) if lines else "not run\n"
    return f"## {first}\n\n{notes}\n\n{shown}" if notes else f"## {first}\n\n{shown}"


def section(title: str, head: list[str], lines: list[list[str]]) -> Any:
    first, _, notes = title.partition("\n")
    cells = [tag("tr", *(tag("th", name) for name in head)), *(tag("tr", *(tag("td", cell) for cell in line)) for line in lines)]
    return tag("section", tag("h2", first), *([tag("p", notes)] if notes else []), tag("table", *cells) if lines else tag("p", "not run"))


def span(found: dict[str, Any], sign: str = "") -> str:
    return f"{found['value']:{sign}.3f} [{found['low']:{sign}.3f}, {found['high']:{sign}.3f}]"


def recall(cells: dict[str, Any]) -> list[Table]:
    found: list[Table] = []
    mine = [cell for name, cell in cells.items() if name.split("-")[0] == "recall"]
    for cell in mine:
        for style in ("as written", "as typed"):
            part = cell[style]
            lines = [
                [WAYS[way], *(span(part["ways"][way][name]) for name in ("recall@1", "recall@5", "recall@10", "mrr"))]
                for way in WAYS
                if way in part["ways"]
            ]
            lines += [
                [f"fused - {way}", *(span(gap[name], "+") if name in gap else "" for name in ("recall@1", "recall@5", "recall@10", "mrr"))]
                for way, gap in part["fused minus"].items()
            ]
            if "reranked" not in part["ways"]:
                lines.append([WAYS["reranked"], "not run", "", "", ""])
            note = f"{part['n']:,} test questions, {cell['passages']:,} passages of {cell['documents']} documents; 95 % intervals of draws that all ways share. Tuned, on questions of other articles: k and common."
            found.append((f"squad's questions {style}\n{note}", ["searched by", "recall@1", "recall@5", "recall@10", "MRR@10"], lines))
    return found or [("squad's questions", [], [])]


def tuning(cells: dict[str, Any]) -> list[Table]:
    """The best of each way and passage size by MRR, and what a run has."""
    if "tune" not in cells:
        return [("What was tuned, and on what", [], [])]
    grid, names = cells["tune"]["grid"], ("recall@1", "recall@5", "recall@10", "mrr")
    lines = []
    for key in dict.fromkeys((one["words"], one["titled"], one["way"]) for one in grid):
        some = [one for one in grid if (one["words"], one["titled"], one["way"]) == key]
        best = max(some, key=lambda one: one["mrr"])
        setting = ", ".join(f"{name} {best[name]}" for name in ("common", "k", "meaning_weight") if name in best)
        lines.append([f"{key[0]} words{'' if key[1] else ', no title'}", WAYS[key[2]], setting, *(f"{best[name]:.3f}" for name in names)])
    note = f"{cells['tune']['questions']:,} questions of other articles (train and valid, 600 of them adversarial); the best setting of each by MRR@10."
    return [(f"What was tuned, and on what\n{note}", ["passages", "searched by", "best setting", *names], lines)]


def scale(cells: dict[str, Any]) -> list[Table]:
    lines = []
    for way in ("words", "meaning"):
        if (cell := cells.get(f"scale-{way}")) is None:
            lines.append([WAYS[way], *["not run"] * 6])
            continue
        lines.append(
            [
                WAYS[way],
                f"{cell['passages']:,}",
                f"{cell['build_s']:.0f} ({cell['build_cpu_s']:.0f} CPU)",
                f"{cell['peak_memory_mb']:,}",
                f"{cell['disk_mb']['index']:,.0f} + {cell['disk_mb']['kept']:,.0f}",
                f"{cell['query_p50_ms']:.1f}",
                f"{cell['query_p95_ms']:.1f}",
            ]
        )
    head = ["index", "passages", "build s", "peak MB", "disk MB: index + kept for the next build", "query p50 ms", "p95 ms"]
    return [("Large indexes: synthetic passages of 30 to 60 words, read from files", head, lines)]


def contexts(cells: dict[str, Any]) -> list[Table]:
    found: list[Table] = []
    for name, cell in cells.items():
        if not name.startswith("contexts-"):
            continue
        lines = [
            [row["recipe"], span(row["test"]) if row["test"] else row["state"], row["reason"] or "", f"{row['latency_p50_ms'] or 0:.0f}"]
            for row in cell["rows"]
        ]
        found.append(
            (f"{cell['base']} under every context\nOne command; chance is {cell['chance']:.3f}.", ["recipe", "test", "", "p50 ms"], lines)
        )
    return found or [("A base under every context", [], [])]


def poisoned(cells: dict[str, Any]) -> list[Table]:
    lines = []
    for name, cell in cells.items():
        if name.startswith("poisoned-"):
            gap = cell.get("naive minus ours")
            shares = [span(cell[part]) if cell[part]["value"] is not None else "no answer" for part in ("control", "naive", "ours")]
            lines.append([cell["model"], *shares, span(gap, "+") if gap else cell["said"]])
    head = ["model", "control: it is the instruction", "pasted in", "our rendering", "pasted in - ours"]
    return [("How often an instruction in a passage is followed", head, lines)]
