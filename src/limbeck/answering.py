"""New rows -> a file of answers, a part at a time: what is answered is kept, and the same command goes on from there.

FILE.part  begun, with what it depends on in its first line, then an answer a line
FILE       all of them, and no FILE.part any more"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from limbeck.errors import UsageError
from limbeck.run import room_on_disk, sha_of_file, write_bytes
from limbeck.types import Example, Prediction, Predictor, sha_of

FEWEST, MOST, PART_S = 16, 4096, 5.0  # rows answered together; about so long, for a kill costs no more

Note = Callable[[int, int], None]  # rows answered, of how many


def answers(predictor: Predictor, rows: Sequence[Example]) -> Iterator[list[dict[str, Any]]]:
    """The lines of all rows, in order, in parts that take about PART_S each."""
    start, size = 0, FEWEST
    while start < len(rows):
        began = time.perf_counter()
        found = predictor.predict(rows[start : start + size])
        yield [line(p) for p in found]
        start += size
        rate = len(found) / max(1e-6, time.perf_counter() - began)
        size = max(1, min(MOST, 4 * size, round(rate * PART_S)))


def line(found: Prediction) -> dict[str, Any]:
    told = {"id": found.id, "output": found.text, "status": str(found.status), "confidence": found.confidence}
    return told if found.passages is None else told | {"passages": list(found.passages)}


def answer_file(load: Callable[[], Predictor], student: Path, rows: Sequence[Example], out: Path, note: Note) -> int:
    """out: an answer a line, once all rows are answered. load: the student of this folder; not called where nothing is left to ask.
    -> how many answers were there already. Raises UsageError where those that are there answer other rows, or are another student's."""
    part = out.with_name(f"{out.name}.part")
    head = {"student": sha_of_student(student), "rows": sha_of([(row.id, row.input, row.choices) for row in rows])}
    done = kept(part, head)
    before, left = len(done), rows[len(done) :]
    predictor = load() if left else None
    write_bytes(part, "".join(one + "\n" for one in [json.dumps(head), *done]).encode())
    note(before, len(rows))
    with room_on_disk(part.parent), part.open("a", encoding="utf-8") as file:
        for some in answers(predictor, left) if predictor else ():
            fresh = [json.dumps(one, ensure_ascii=False) for one in some]
            file.writelines(one + "\n" for one in fresh)
            file.flush()
            done += fresh
            note(len(done), len(rows))
    write_bytes(out, "".join(one + "\n" for one in done).encode())
    part.unlink()
    return before


def kept(part: Path, head: dict[str, str]) -> list[str]:
    """The whole lines of what was begun; a line that a kill has cut is answered again."""
    if not part.is_file():
        return []
    first, *lines = part.read_text(encoding="utf-8", errors="replace").split("\n")[:-1] or [""]
    try:
        before = dict(json.loads(first))
    except ValueError:
        before = {}
    if before == head:
        return lines
    changed = [what for name, what in (("rows", "the rows of the input"), ("student", "the student")) if before.get(name) != head[name]]
    raise UsageError(
        f"{part} holds answers that were begun otherwise",
        f"changed since: {' and '.join(changed) or 'its first line'}; {len(lines)} answers are in it",
        f"the input and the student of before go on from there; rm {part} begins again, --out takes another file",
    )


def sha_of_student(folder: Path) -> str:
    return sha_of([(str(file.relative_to(folder)), sha_of_file(file)) for file in sorted(folder.rglob("*")) if file.is_file()])
