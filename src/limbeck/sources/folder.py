"""`folder:DIR`: a tree of data sets, a sub-folder each with data files and perhaps a card; or one README with a table for all."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

from limbeck.errors import LimbeckError, UsageError
from limbeck.sources.cards import from_table, held_out, read_card, read_tables
from limbeck.sources.datasets import Dataset, Source
from limbeck.sources.files import as_text
from limbeck.sources.readers import READERS, Record, read_records

KINDS = (*READERS, "parquet")
HELD = ("test", "valid", "validation", "dev", "eval")  # file names whose rows are not trained on
PEEK = 5000  # records looked at for columns, answers and a sample: many files are sorted by their answer, so the first few tell little
SAMPLE, LONGEST = 8, 240  # records shown as text, and characters of each field
ANSWERS = 200  # a set of answers larger than this is no set of labels


def open_source(where: str) -> Source:
    """Raises UsageError for a folder that is not there or holds no data set."""
    root = Path(where).expanduser()
    if not where or not root.is_dir():
        raise UsageError(
            f"there is no folder {where!r}" if where else "which folder?", f"you are in {Path.cwd()}", "--source folder:DIR, a folder with a sub-folder per data set"
        )  # fmt: skip
    found: list[Dataset] = []

    def search(query: str) -> list[Dataset]:
        if not found:
            found.extend(cards(root))
        return list(found)

    return Source("folder", search, records, local=True)


def cards(root: Path) -> list[Dataset]:
    """One per sub-folder with data files, in the order of their names; the folder itself, where it has data files."""
    table = read_tables(readme(root)) if readme(root) else {}
    folders = [f for f in sorted(root.rglob("*")) if f.is_dir() and data_files(f)]
    if data_files(root):
        folders.insert(0, root)
    if not folders:
        raise UsageError(
            f"{root} holds no data sets", f"no sub-folder with {', '.join(KINDS)} files", "give each data set a folder of its own"
        )
    return [card(root, folder, table) for folder in folders]


def readme(folder: Path) -> str:
    file = next((f for name in ("README.md", "readme.md", "card.md") if (f := folder / name).is_file()), None)
    return file.read_text(encoding="utf-8", errors="replace") if file else ""


def data_files(folder: Path) -> list[Path]:
    return sorted(f for f in folder.iterdir() if f.is_file() and f.name.lower().removesuffix(".gz").rpartition(".")[2] in KINDS)


def training_files(folder: Path) -> list[Path]:
    """Files named after train first, then those named after no split; never test or validation."""
    stems = {f: f.name.lower().partition(".")[0] for f in data_files(folder)}
    usable = [f for f, stem in stems.items() if not any(stem == h or stem.startswith((f"{h}-", f"{h}_")) or stem.endswith((f"-{h}", f"_{h}")) for h in HELD)]  # fmt: skip
    return sorted(usable, key=lambda f: ("train" not in stems[f], f.name))


def card(root: Path, folder: Path, table: dict[str, dict[str, Any]]) -> Dataset:
    name = str(folder.relative_to(root)) if folder != root else folder.resolve().name
    own = readme(folder) if folder != root else ""
    row = table.get(name) or table.get(folder.name)
    facts: dict[str, Any] = {"title": folder.name.replace("_", " "), **(from_table(row) if row else {}), **(read_card(own) if own else {})}
    files = training_files(folder)
    reason = held_out(own + " ".join(str(v) for v in (row or {}).values()))
    if not files:
        reason = reason or f"it has no training part ({', '.join(f.name for f in data_files(folder)[:4])})"
    peek: list[Record] = []
    for file in files[:1] or data_files(folder)[:1]:
        try:
            peek = [record for _, record, _ in itertools.islice(read_records(file, ignore), PEEK) if isinstance(record, dict)]
        except LimbeckError as error:
            reason = reason or error.what
    columns = tuple(dict.fromkeys(str(key) for record in peek[:200] for key in record))
    size_mb = sum(f.stat().st_size for f in data_files(folder)) / 1e6
    seen = {"columns": columns, "sample": sample(peek), "answers": answers(peek), "size_mb": round(size_mb, 3), "held_out": reason}
    return Dataset(**{**facts, **{k: v for k, v in seen.items() if v or k == "held_out"}}, name=name, source="folder", where=str(folder))


def sample(peek: list[Record]) -> tuple[str, ...]:
    """A few records as text, spread over those looked at. Bulky side fields and ids are left out."""
    texts = [
        " ".join(as_text(v)[:LONGEST] for k, v in record.items() if isinstance(v, str | float) and k not in ("id", "idx", "uid"))
        for record in peek[:: max(1, -(-len(peek) // SAMPLE))]
    ]
    return tuple(t[: 2 * LONGEST] for t in texts if t.strip())


def answers(peek: list[Record]) -> tuple[str, ...]:
    """The distinct answers, the frequent first, where they are a set of labels: few, and most of them seen more than once."""
    counts = Counter(as_text(r.get("output", r.get("label"))) for r in peek)
    del counts[""]
    often = sum(n > 1 for n in counts.values())
    return tuple(text for text, _ in counts.most_common()) if len(counts) <= ANSWERS and often * 2 > len(counts) else ()


def records(dataset: Dataset, most: int) -> list[tuple[int, Record]]:
    """At most `most` records of the training files, numbered through; unreadable ones are skipped, their numbers stay."""
    taken: list[tuple[int, Record]] = []
    before = 0
    for file in training_files(Path(dataset.where)):
        number = 0
        for number, record, _ in read_records(file, ignore):
            if isinstance(record, dict):
                taken.append((before + number, record))
            if len(taken) >= most:
                return taken
        before += number
    return taken


def ignore(text: str) -> None:
    """Warnings about single rows: what is dropped is counted by who asked for the records."""
