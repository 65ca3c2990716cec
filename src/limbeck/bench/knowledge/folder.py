"""A world as a new user would bring it: a folder of documents, questions with their answers, a prompt file that declares the relations.

    limbeck run prompt.md --docs docs --test questions.jsonl --candidates prompt+rag:4@./base,full+augment:local@./base

Relations are declared where the product can read them off a sentence; the inferences of a base begin with them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from limbeck.bench.knowledge.facts import Rules, World
from limbeck.bench.knowledge.frame import TASK

SUBJECT = re.compile(r"\{a\} (?:are )?")  # how a template begins whose other words the product can read as a relation


def write(world: World, split: str, folder: Path, most: int | None = None) -> Path:
    """prompt.md, docs/, questions.jsonl with the first `most` items of the split."""
    (folder / "docs").mkdir(parents=True, exist_ok=True)
    for document in world.documents:
        (folder / "docs" / f"{document.id}.txt").write_text(f"{document.text}\n", encoding="utf-8")
    rows = [
        {"id": item.id, "input": item.stem, "output": item.options[item.gold], "choices": list(item.options)}
        for item in world.items
        if item.split == split
    ]
    (folder / "questions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:most]), encoding="utf-8")
    front = f"kind: {TASK.kind.value}\nrelations: {json.dumps(declared(world.rules))}"
    (folder / "prompt.md").write_text(f"---\n{front}\n---\n{TASK.instruction}\n", encoding="utf-8")
    return folder


def declared(rules: Rules) -> list[dict[str, Any]]:
    """Pairs of a relation and its inverse, each once, where both are told as SUBJECT [are] ... OBJECT."""
    found: dict[frozenset[str], dict[str, Any]] = {}
    for name, relation in rules.relations.items():
        if relation.inverse:
            a, b = (rules.relations[n].templates[0] for n in (name, relation.inverse))
            if SUBJECT.match(a) and SUBJECT.match(b):
                found.setdefault(frozenset((name, relation.inverse)), {"a": SUBJECT.sub("", a), "inverse": SUBJECT.sub("", b)})
    return list(found.values())
