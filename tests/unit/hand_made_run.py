"""A finished run folder without a model: predictions, records and the choice as the hallway writes them."""

from __future__ import annotations

import random
from pathlib import Path

from limbeck.candidates import Record
from limbeck.curate.split import split_of
from limbeck.run import RunFolder, write_bytes, write_json, write_lines
from limbeck.types import Example, Kind, Origin, Prediction, Recipe, Splits, Task
from limbeck.verdict import Choice

TASK = Task(name="mail", instruction="Sort the mail.", kind=Kind.LABEL, labels=("refund", "exchange", "other"), metric="accuracy")
RECIPES = {
    "student": Recipe(adapter="head", base="minilm"),
    "prompt": Recipe(adapter="prompt", base="teacher"),
    "baseline": Recipe(adapter="majority"),
}
RIGHT = {"student": 0.9, "prompt": 0.8, "baseline": 0.35}


def rows_of(split: str, n: int, kind: str) -> list[Example]:
    return [
        Example(
            id=f"{split}-{i}",
            input=f"mail {split} {i}: {['give it back', 'another one', 'hello'][i % 3]} please",
            output=TASK.labels[i % 3],
            origin=Origin(kind=kind, source="mail.csv" if kind == "gold" else "", row=i + 1, teacher=None if kind == "gold" else "small-1"),
        )
        for i in range(n)
    ]


def answered(rows: list[Example], right: float, seed: str) -> list[Prediction]:
    draw, found = random.Random(seed), []
    for row in rows:
        first = draw.uniform(0.4, 0.99)
        text = row.output if draw.random() < right else draw.choice([x for x in TASK.labels if x != row.output])
        found.append(Prediction(id=row.id, text=text or "", confidence=first, scores={text or "": first, "-": 1 - first}))
    return found


def hand_made_run(path: Path, task: Task = TASK, gold_test: int = 0, made_test: int = 60, unlabelled: int = 5) -> RunFolder:
    folder = RunFolder(path).create()
    train, dev = rows_of("train", 30, "gold"), rows_of("dev", 20, "gold")
    test = rows_of("gold", gold_test, "gold") + rows_of("made", made_test, "generated")
    raw = [
        Example(id=f"raw-{i}", input=f"raw mail {i}", origin=Origin(kind="unlabelled", source="raw.csv", row=i)) for i in range(unlabelled)
    ]
    splits = Splits(train=split_of(train), dev=split_of(dev), test=split_of(test), seed=0, how="by hand.")
    write_bytes(folder.prompt, task.instruction.encode())
    write_json(folder.task, task)
    write_lines(folder.rows, [*train, *dev, *test, *raw])
    write_json(folder.splits, splits)
    write_json(folder.recipes, {"recipes": [r.model_dump(mode="json") for r in RECIPES.values()]})
    for group, recipe in RECIPES.items():
        for name, rows in (("dev", dev), ("test", test)):
            write_json(folder.students / recipe.id / f"{name}.json", Record(recipe=recipe, group=group))
            write_lines(folder.predictions / f"{recipe.id}.{name}.jsonl", answered(rows, RIGHT[group], f"{group} {name}"))
    choice = Choice(best_student=RECIPES["student"].id, best_baseline=RECIPES["prompt"].id)
    folder.mark_done("choice", {}, [], choice=choice.model_dump(mode="json"))
    settings = {"prompt": "mail.md", "seed": 0}
    write_json(folder.settings, {"settings": settings, "versions": {}, "sizes": {}, "curated": ["Curation kept 60 of 70 rows."]})
    return folder
