"""One base under every context, one task, one command: what is asked stands in short documents and nowhere else.

Things with made-up names lie in one of eight rooms; a document says where each lies. Test asks for things that training has never
seen: without the documents nobody can do better than chance. The search finds one passage for each question, for no other holds
its rare name."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

from common import LIMBECK

ROOMS = ("attic", "cellar", "garage", "kitchen", "library", "office", "garden", "stable")
SEED, THINGS, TEST, DEV = 0, 1160, 100, 60
RECIPES = (
    "prompt@{base}",
    "prompt+few:8@{base}",
    "prompt+many@{base}",
    "prompt+rag:4@{base}",
    "full+rag:4@{base}",
    "lora+rag:4@{base}",
    "lora@{base}",
)
SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
PROMPT = "---\nkind: label\n---\nSay in which room the thing is kept.\n\n" + "".join(f"- {room}\n" for room in ROOMS)


def write_task(folder: Path) -> None:
    """prompt.md, rows.jsonl, dev.jsonl, test.jsonl, docs/."""
    rng = random.Random(SEED)
    names: set[str] = set()
    while len(names) < THINGS:
        names.add("".join(rng.choice(SYLLABLES) for _ in range(3)))
    things = sorted(names)
    rng.shuffle(things)
    rooms = [ROOMS[i % len(ROOMS)] for i in range(THINGS)]
    rng.shuffle(rooms)
    facts = list(zip(things, rooms, strict=True))
    (folder / "docs").mkdir(parents=True, exist_ok=True)
    (folder / "prompt.md").write_text(PROMPT)
    for number in range(0, THINGS, 20):
        text = "".join(f"# {thing}\n\nThe {thing} is kept in the {room}.\n\n" for thing, room in facts[number : number + 20])
        (folder / "docs" / f"{number:03}.md").write_text(text)
    parts = {"test": facts[:TEST], "dev": facts[TEST : TEST + DEV], "rows": facts[TEST + DEV :]}
    for name, some in parts.items():
        lines = [
            {"id": thing, "input": f"Where do we keep the {thing}?", "output": room, "passage": f"The {thing} is kept in the {room}."}
            for thing, room in some
        ]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def run(base: str, folder: Path, recipes: tuple[str, ...] = RECIPES, numbers: str = "") -> dict[str, Any]:
    """The one command over a folder as `write_task` writes it, and its table."""
    command = [
        LIMBECK, "run", str(folder / "prompt.md"), "--rows", str(folder / "rows.jsonl"), "--dev", str(folder / "dev.jsonl"),
        "--test", str(folder / "test.jsonl"), "--docs", str(folder / "docs"), "--candidates", ",".join(r.format(base=base) for r in recipes),
        "--set", "retrieval=words,passage_words=20,passage_overlap=0" + (f",{numbers}" if numbers else ""),
        "--budget", "0usd,60min", "--threads", "1", "--out", str(folder / "run"), "--json",
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True)
    if not done.stdout.startswith("{"):
        raise RuntimeError(f"{done.stderr[-1500:]}")
    report = json.loads(done.stdout)
    keep = ("recipe", "state", "reason", "dev", "test", "latency_p50_ms", "train_s", "trainable_parameters", "statuses")
    return {
        "command": " ".join(["limbeck", *command[1:]]).replace(f"{folder}/", ""),
        "chance": report["chance"],
        "rows": [{name: row[name] for name in keep} for row in report["rows"]],
        "retrieval": report["retrieval"]["measured"],
        "verdict": report["verdict"],
    }


if __name__ == "__main__":
    write_task(Path(sys.argv[2]))
    print(json.dumps(run(sys.argv[1], Path(sys.argv[2]))))
