"""Curation on rows whose faults are known: what is caught, by which step, what is taken by mistake, and how long it takes.

2,000 rows of banking77 play the generated ones; faults of eight sorts are planted beside them. Then the two ways to find
near copies by wording, the exact join and MinHash, on 20,000 and 50,000 rows of several sets. No model is trained.

    python bench/curation/bench.py"""

from __future__ import annotations

import random
import re
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import common

from limbeck.curate import clean
from limbeck.curate.pipeline import curate
from limbeck.engine.embed import embed
from limbeck.tasks.kinds import language_of
from limbeck.types import Example, Kind, Origin, Task

CLEAN, SEED = 2000, 0
SETS = ("banking77", "ag_news", "clinc150", "squad", "sst2", "snips")
GERMAN = (
    "ich habe meine karte gestern am automaten verloren und weiß nicht, was ich nun tun soll",
    "warum ist die überweisung auf mein konto noch nicht da, ich warte seit einer woche auf das geld",
    "wo kann ich sehen, welche gebühren für die zahlung im ausland berechnet wurden und warum",
    "die karte ist mit der post nicht angekommen, wie lange dauert das und was kann ich tun",
)


def made(name: str, text: str, output: str, confidence: float | None = 0.9) -> Example:
    return Example(id=name, input=text, output=output, confidence=confidence, origin=Origin(kind="generated"))


def planted(rows: list[Example], held: list[Example], labels: list[str], draw: random.Random) -> list[Example]:
    """The faults. An id begins with what is wrong with its row."""
    long = [r for r in rows if len(r.input.split()) >= 10]

    def other(label: str | None) -> str:
        return draw.choice([x for x in labels if x != label])

    def some(pool: list[Example], n: int) -> list[tuple[int, Example]]:
        return list(enumerate(draw.sample(pool, n)))

    def word_in(text: str) -> str:
        return f"{text.rstrip(' .?!')} {draw.choice(('please', 'thanks', 'today'))}"

    return [
        *(made(f"copy {i}", r.input.upper().replace("?", " ??"), r.output or "") for i, r in some(rows, 200)),
        *(made(f"near {i}", word_in(r.input), r.output or "", 0.5) for i, r in some(long, 200)),
        *(made(f"contradiction {i}", r.input, other(r.output), 0.4) for i, r in some(rows, 200)),
        *(made(f"label {i}", r.input + " or so", "no_such_label") for i, r in some(rows, 100)),
        *(made(f"leak {i}", word_in(r.input), r.output or "") for i, r in some([h for h in held if len(h.input.split()) >= 10], 100)),
        *(made(f"length {i}", " ".join(x.input for x in draw.sample(rows, 60)), r.output or "") for i, r in some(rows, 50)),
        *(made(f"language {i}", f"{GERMAN[i % 4]}, fragt nutzer {i}", r.output or "") for i, r in some(rows, 40)),
        *(made(f"empty {i}", " ", r.output or "") for i, r in some(rows, 20)),
    ]


def faults() -> dict[str, object]:
    draw = random.Random(SEED)
    train, test = common.data("banking77", "train"), common.data("banking77", "test")
    labels = sorted({r["output"] for r in train})
    task = Task(name="banking77", instruction="", kind=Kind.LABEL, labels=tuple(labels), metric="accuracy")
    rows = [made(f"clean {i}", r["input"], r["output"]) for i, r in enumerate(draw.sample(train, CLEAN))]
    held = [Example(id=f"t{i}", input=r["input"], output=r["output"]) for i, r in enumerate(test[:1000])]
    every = [*rows, *planted(rows, held, labels, draw)]
    began = time.process_time()
    found = curate(task, every, {"test": held}, embed=embed, language_of=language_of)
    seconds = time.process_time() - began
    steps = {r.id: r.step for r in found.rejected}
    table: dict[str, dict[str, int]] = {}
    for row in every:
        table.setdefault(row.id.split()[0], Counter())[steps.get(row.id, "kept")] += 1
    survivors = {re.sub(r"\W+", "", r.input.lower()) for r in found.rows}
    lost = sum(re.sub(r"\W+", "", r.input.lower()) not in survivors for r in rows if steps.get(r.id) == "contradiction")
    return {"by_fault": {k: dict(v) for k, v in table.items()}, "clean_inputs_lost_to_contradictions": lost, "cpu_s": round(seconds, 1)}


def wording() -> list[dict[str, object]]:
    draw = random.Random(SEED)
    texts = [str(r["input"]) for name in SETS for r in common.data(name, "train")]
    draw.shuffle(texts)
    result = []
    for n in (20_000, 50_000):
        some = texts[: int(n * 0.8)]
        some += [f"{draw.choice(some)} please" for _ in range(n - len(some))]
        sets = [clean.shingles(clean.words_of(text)) for text in dict.fromkeys(some)]
        began = time.process_time()
        exact = {(a, b) for a, b, _ in clean.prefix_join(sets, sets, within=True)}
        middle = time.process_time()
        sketched = {(b, a) if a < b else (a, b) for a, b, _ in clean.proposed(sets, sets) if a != b}
        end = time.process_time()
        result.append(
            {
                "rows": n,
                "texts": len(sets),
                "exact_cpu_s": round(middle - began, 1),
                "exact_pairs": len(exact),
                "minhash_cpu_s": round(end - middle, 1),
                "minhash_pairs": len(sketched & exact),
            }
        )
    return result


if __name__ == "__main__":
    result = {"clean": CLEAN, "seed": SEED, **faults(), "wording": wording()}
    for fault, steps in result["by_fault"].items():
        print(f"{fault:14}", ", ".join(f"{n} {step}" for step, n in sorted(steps.items(), key=lambda item: -item[1])))
    print("clean inputs lost with their contradiction:", result["clean_inputs_lost_to_contradictions"], " CPU s:", result["cpu_s"])
    for line in result["wording"]:
        print(line)
    common.save(Path(__file__).parent, "result", result)
