"""Plain text and mixture -> a tokenizer and arrays of token ids in the work folder, leak-checked.

    prepare.py text       the tokenizer; text.npz
    prepare.py mixture    mixture-tiny.npz, mixture-tiny-lm.npz (needs the tokenizer)

counts.json tells what was read, dropped and kept."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import leak
import tokens
from sources import pieces

WORK = Path(tempfile.gettempdir()) / "limbeck-pretrain"
ROWS = 120_000  # of the mixture


def prepare_text(work: Path) -> None:
    forbidden, read = leak.evaluation_grams()
    note(work, "evaluation_rows_compared", read)
    note(work, "evaluation_8_grams", len(forbidden))
    found = list(pieces())
    clean = list(leak.clean((p.text for p in found), forbidden))
    kept = [p for p, ok in zip(found, clean, strict=True) if ok]
    counts: dict[str, Any] = {}
    for name in dict.fromkeys(p.source for p in found):
        rows = [(p, ok) for p, ok in zip(found, clean, strict=True) if p.source == name]
        counts[name] = {
            "pieces": len(rows),
            "dropped_for_a_shared_8_gram": sum(not ok for _, ok in rows),
            "held_out": sum(ok and p.held for p, ok in rows),
            "characters_kept": sum(len(p.text) for p, ok in rows if ok),
        }
    bare = tokens.train(p.text for p in kept if not p.held)
    bare.save(str(work / "tokenizer.json"))
    ids = [e.ids for e in bare.encode_batch([p.text for p in kept], add_special_tokens=False)]
    for name, count in counts.items():
        count["tokens"] = sum(len(row) for row, p in zip(ids, kept, strict=True) if p.source == name)
    save_rows(work / "text.npz", ids, held=np.array([p.held for p in kept]))
    note(work, "text", counts)


def prepare_mixture(work: Path) -> None:
    from mixture import make_rows

    forbidden, _ = leak.evaluation_grams()
    rows = list(make_rows(ROWS, seed=0))
    clean = list(leak.clean((" ".join(row.parts) for row in rows), forbidden))
    kept = [row for row, ok in zip(rows, clean, strict=True) if ok]
    counts: dict[str, Any] = {}
    for row, ok in zip(rows, clean, strict=True):
        count = counts.setdefault(row.task, {"rows": 0, "dropped_for_a_shared_8_gram": 0, "held_out": 0, "only": row.only})
        count["rows"] += 1
        count["dropped_for_a_shared_8_gram"] += not ok
        count["held_out"] += ok and row.held
    note(work, "mixture", counts)
    bare = load_bare(work)
    for name, make in (("tiny", tokens.for_tiny), ("tiny-lm", tokens.for_tiny_lm)):
        own = make(bare)
        some = [row for row in kept if row.only in ("", name)]
        held = np.array([row.held for row in some])
        if name == "tiny":
            inputs = own(["".join(row.parts[:-1]) for row in some])["input_ids"]
            answers = own([row.parts[-1].strip() for row in some])["input_ids"]
            save_rows(work / f"mixture-{name}.npz", inputs, held=held, answers=answers)
        else:
            ids, taught = taught_tokens(own, some)
            save_rows(work / f"mixture-{name}.npz", ids, held=held, taught=taught)
        note(work, f"mixture_tokens_{name}", int(np.load(work / f"mixture-{name}.npz")["ids"].size))


def taught_tokens(tokenizer: Any, rows: list[Any]) -> tuple[list[list[int]], list[list[int]]]:
    """Whole rows as the decoder-only base reads them, </s> included, and 1 for each token that belongs to an answer."""
    texts = ["".join(row.parts) for row in rows]
    found = tokenizer(texts, return_offsets_mapping=True)
    ids, taught = [], []
    for row, some, spans in zip(rows, found["input_ids"], found["offset_mapping"], strict=True):
        ends, at = [], 0
        for part in row.parts:
            at += len(part)
            ends.append(at)
        marks, place = [], 0
        for start, stop in spans:
            while place < len(ends) - 1 and start >= ends[place]:
                place += 1
            marks.append(int(stop > start and place % 2 == 1))
        ids.append([*some, tokenizer.eos_token_id])
        taught.append([*marks, 1])
    return ids, taught


# ---- files -----------------------------------------------------------------------------------------------------------


def load_bare(work: Path) -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(work / "tokenizer.json"))


def save_rows(path: Path, rows: list[list[int]], **more: Any) -> None:
    """ids uint16, all rows in a row; ends int64 (rows,), where each stops; lists in `more` are kept the same way."""
    arrays = {"ids": flat(rows), "ends": ends_of(rows)}
    for name, value in more.items():
        if isinstance(value, list):
            arrays[name], arrays[f"{name}_ends"] = flat(value), ends_of(value)
        else:
            arrays[name] = value
    np.savez(path, **arrays)


def flat(rows: list[list[int]]) -> np.ndarray:
    return np.fromiter((i for row in rows for i in row), dtype=np.uint16)


def ends_of(rows: list[list[int]]) -> np.ndarray:
    return np.cumsum([len(row) for row in rows], dtype=np.int64)


def note(work: Path, key: str, value: Any) -> None:
    path = work / "counts.json"
    held = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**held, key: value}, indent=1) + "\n")


if __name__ == "__main__":
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("what", choices=("text", "mixture"))
    cli.add_argument("--work", type=Path, default=WORK)
    chosen = cli.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    {"text": prepare_text, "mixture": prepare_mixture}[chosen.what](chosen.work)
    print(f"{chosen.what}: {time.perf_counter() - began:.0f} s; {chosen.work / 'counts.json'}")
