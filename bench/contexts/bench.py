"""Retrieval by itself, its size, what a base makes of it, and poisoned documents; the same command again runs what is missing.

    python bench/contexts/bench.py                 the core: recall on test, every context on tiny, poisoning on tiny-lm
    python bench/contexts/bench.py --full          and the tuning grid, BM25 over 1,000,000 passages, minilm over 20,000
    python bench/contexts/bench.py --only recall   one cell; --table runs nothing
    ... --teacher SPEC --price IN/OUT              recall with the teacher's reranking, poisoning of that teacher
    ... --base FOLDER [--task FOLDER]              contexts and poisoning of a base of one's own, on a task that it can read

A task is a folder with prompt.md, rows.jsonl, dev.jsonl, test.jsonl and docs/.

Each cell is one file in results/, with versions and commit; table.md and page.html are made from those files."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

import tables  # noqa: E402
from common import stamp  # noqa: E402

RESULTS = HERE / "results"
REPLIES = HERE / ".replies.sqlite"  # of a teacher, paid for once
RERANKED = 20  # passages


def recall(spec: str | None, price: Any) -> dict[str, Any]:
    import questions

    from limbeck.contexts.rerank import Reranker
    from limbeck.teachers import open_teacher
    from limbeck.teachers.store import Store

    if spec is None:
        return questions.report()
    teacher = open_teacher(spec, price)
    with Store(REPLIES, cap_usd=5.0) as store:
        rerank = Reranker(questions.TASK, lambda requests: store.ask(teacher, requests, "rerank"), RERANKED, teacher.price)
        return {"teacher": teacher.name, **questions.report(rerank)}


def tune() -> dict[str, Any]:
    import questions

    return questions.tune()


def scale(way: str) -> dict[str, Any]:
    import scale as large

    return large.apart(way, large.PASSAGES[way])


def contexts(base: str, task: str | None) -> dict[str, Any]:
    import reading

    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "task"
        if task is None:
            reading.write_task(folder)
        else:
            shutil.copytree(task, folder)
        return {"base": plain(base), "task": plain(task or "rooms"), **reading.run(base, folder)}


def poisoned(spec: str, price: Any) -> dict[str, Any]:
    import poisoned as attack

    return attack.measure(spec, price, kept=None if spec.startswith("local:") else REPLIES)


def plan(given: argparse.Namespace) -> dict[str, Callable[[], dict[str, Any]]]:
    """Name of a cell -> what runs it, in the order in which they run."""
    from limbeck.teachers.prices import parse_price

    price = parse_price(given.price) if given.price else None
    cells: dict[str, Callable[[], dict[str, Any]]] = {}
    cells["recall" + (f"-{plain(given.teacher)}" if given.teacher else "")] = lambda: recall(given.teacher, price)
    base, model = given.base or "tiny", given.teacher or f"local:{given.base or 'tiny-lm'}"
    cells[f"contexts-{plain(base)}"] = lambda: contexts(base, given.task)
    cells[f"poisoned-{plain(model)}"] = lambda: poisoned(model, price)
    if given.full or given.only:
        cells["scale-words"], cells["scale-meaning"] = lambda: scale("words"), lambda: scale("meaning")
        cells["tune"] = tune
    return {name: run for name, run in cells.items() if not given.only or any(name.startswith(o) for o in given.only)}


def plain(name: str) -> str:
    """A file's name of it, without the folders it lies in."""
    return "".join(c if c.isalnum() or c in "-." else "-" for c in name.rstrip("/").rpartition("/")[2] or name)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    for flag in ("--full", "--table"):
        parser.add_argument(flag, action="store_true")
    parser.add_argument("--only", action="append", default=[])
    for flag in ("--teacher", "--price", "--base", "--task"):
        parser.add_argument(flag)
    given = parser.parse_args(arguments)
    RESULTS.mkdir(exist_ok=True)
    for name, run in {} if given.table else plan(given).items():
        file = RESULTS / f"{name}.json"
        if file.exists():
            continue
        print(f"{time.strftime('%H:%M:%S')} {name}", file=sys.stderr, flush=True)
        began = time.perf_counter()
        try:
            found = run()
        except Exception as failed:  # a cell that fails is missing, the others go on
            print(f"  failed: {type(failed).__name__}: {failed}", file=sys.stderr, flush=True)
            continue
        for place in (given.base, given.task):  # a result names no folder of the machine it was made on
            found = json.loads(json.dumps(found).replace(place, plain(place))) if place else found
        result = {**found, "seconds": round(time.perf_counter() - began, 1), "stamp": stamp()}
        beside = file.with_suffix(".tmp")
        beside.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        beside.rename(file)
    print(tables.write(HERE))


if __name__ == "__main__":
    main(sys.argv[1:])
