"""Do the embedded bases learn more from few rows than random weights of the same shape? Three public sets, dev rows alone.

    downstream.py tiny [--random]      every cell that is not in downstream.json yet; a killed run goes on

Same rows, same order, same number of steps; all weights move. This is a check that pre-training did something, no claim of
quality: both are far behind the encoder minilm."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bases import new_model
from common import data

from limbeck.adapters.full import FULL
from limbeck.engine.train import fit_model
from limbeck.registry import FitJob
from limbeck.types import Example, Kind, Recipe, Task, Value

HERE = Path(__file__).resolve().parent
TASKS = {
    "mawps": Task(name="mawps", instruction="Solve the word problem.", kind=Kind.TEXT),
    "sst2": Task(name="sst2", instruction="Is the text positive or negative?", kind=Kind.LABEL, labels=("negative", "positive")),
    "trec": Task(
        name="trec", instruction="What does the question ask for?", kind=Kind.LABEL, labels=("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")
    ),
}
TRAIN, DEV, SEEDS = 400, 200, (0, 1)
NUMBERS: dict[str, Any] = {
    "steps": 120, "batch_rows": 16, "lr": 2e-3, "weight_decay": 0.0, "freeze_embeddings": False, "dropout": 0.0, "instruct": False,
    "max_answer": 12, "patience": 99, "average": 0.0,
}  # fmt: skip


def rows(name: str, split: str, n: int) -> list[Example]:
    return [Example(id=r["id"], input=r["input"], output=r["output"]) for r in data(name, split)[:n]]


def cell(base: str, folder: Path, name: str, seed: int) -> dict[str, Any]:
    task = TASKS[name]
    if name == "mawps":
        task = task.model_copy(update={"metric": "exact_match"})
    began = time.process_time()
    recipe = Recipe(adapter="full", base=str(folder), values=tuple(Value(name=k, value=v, why="study") for k, v in NUMBERS.items()))
    with tempfile.TemporaryDirectory() as work:
        job = FitJob(
            task=task, recipe=recipe, train=rows(name, "train", TRAIN), dev=[], seed=seed, folder=Path(work), threads=1, dtype="float32"
        )
        fitted = fit_model(job, FULL)
    dev = rows(name, "valid", DEV)
    found = fitted.predictor.predict([row.blind() for row in dev])
    right = [float(p.text.strip() == row.output) for p, row in zip(found, dev, strict=True)]
    return {
        "base": base, "set": name, "seed": seed, "dev_rows": len(dev), "right": sum(right) / len(right),
        "cpu_s": round(time.process_time() - began, 1),
    }  # fmt: skip


def main(base: str, folder: Path, random: bool, out: Path) -> None:
    label = f"{base}, random weights" if random else base
    done = json.loads(out.read_text()) if out.exists() else []
    with tempfile.TemporaryDirectory() as work:
        if random:
            from transformers import AutoTokenizer

            new_model(base, seed=1).save_pretrained(work)
            AutoTokenizer.from_pretrained(folder).save_pretrained(work)
            folder = Path(work)
        for seed in SEEDS:
            for name in TASKS:
                if any((c["base"], c["set"], c["seed"]) == (label, name, seed) for c in done):
                    continue
                one = cell(label, folder, name, seed)
                print(json.dumps(one), flush=True)
                done = [*(json.loads(out.read_text()) if out.exists() else []), one]
                out.write_text(json.dumps(done, indent=1) + "\n")


if __name__ == "__main__":
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("base", choices=("tiny", "tiny-lm"))
    cli.add_argument("--folder", type=Path, help="default: what ships in the package")
    cli.add_argument("--random", action="store_true")
    cli.add_argument("--out", type=Path, default=HERE / "downstream.json")
    a = cli.parse_args()
    shipped = HERE.parents[1] / "src" / "limbeck" / "bases" / a.base.replace("-", "_")
    main(a.base, a.folder or shipped, a.random, a.out)
