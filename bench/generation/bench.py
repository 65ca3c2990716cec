"""banking77 out of a teacher alone: 2,000 rows generated, voted on, and what students make of them.

    python bench/generation/bench.py --only counting
    python bench/generation/bench.py [--rows 2000] [--seeds 0,1,2] [--full 0] [--duplicates 0.3] [--noise 0.15]

The teacher is the replay server (shared/tools/replay_teacher.py): real messages of the training split, of which a known
share is repeated and a known share mislabelled. It ignores topics, labels and demonstrations, so what is measured here is
the counting, the voting, the stopping and the resuming, not what a real model writes; and its votes err independently of
each other, which those of a real model do not: what votes bring here is the most they can bring. Measured: (a) duplicates and
novelty that the controller reports, against what was served; (b) label accuracy of single answers and of 3 and 5 votes;
(c) students on single answers, on votes, on votes without the weight of agreement, and on the true labels, same inputs,
scored on the real test split. `--only counting` serves other shares of repeats, and a pool that
is smaller than what is wanted. Writes result.json (counting.json) beside itself."""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import SHARED, data, save

from limbeck import derived, recipes, registry, stats
from limbeck.making import Plan, make_rows
from limbeck.registry import FitJob
from limbeck.teachers import open_teacher
from limbeck.teachers.store import Store
from limbeck.types import Demonstration, Kind, Price, Status, Task
from limbeck.types import Example as Row

HERE = Path(__file__).resolve().parent
INSTRUCTION = "Sort the message of a bank's customer into one of the intents named by the labels."
PRICE = Price(usd_per_mtok_in=0.15, usd_per_mtok_out=0.60, source="made up for this study")


@contextlib.contextmanager
def replay(noise: float, duplicates: float, seed: int, pool: str = "train"):
    """The address of a replay server for banking77."""
    command = [sys.executable, str(SHARED / "tools" / "replay_teacher.py"), "--port", "0", "--tasks", "banking77"]
    command += ["--noise", str(noise), "--duplicates", str(duplicates), "--seed", str(seed), "--pool", pool]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.kill()
        process.wait()


def the_task() -> Task:
    valid = data("banking77", "valid")
    labels = tuple(sorted({row["output"] for row in data("banking77", "train")}))
    shown = tuple(Demonstration(input=row["input"], output=row["output"]) for row in random.Random(0).sample(valid, 5))
    return Task(name="banking77", instruction=INSTRUCTION, kind=Kind.LABEL, labels=labels, metric="accuracy", demonstrations=shown)


def asker(store: Store, teacher, purpose: str):
    return lambda requests: store.ask(teacher, requests, purpose=purpose)


def make(task: Task, address: str, folder: Path, n: int, seed: int) -> dict:
    """Rows with 1, 3 and 5 votes of the same inputs, and what the store says about paying twice."""
    teacher = open_teacher(f"{address}#palm540b", PRICE)
    made, figures = {}, {}
    with Store(folder / "store.sqlite", cap_usd=100.0) as store:
        for votes in (1, 3, 5):
            spent, began = store.spent_usd, time.perf_counter()
            made[votes] = make_rows(task, n, asker(store, teacher, "rows"), price=PRICE, seed=seed, votes=votes, plan=Plan(seed=seed))
            figures[votes] = {
                "cost_usd": round(made[votes].cost_usd, 4),
                "paid_now_usd": round(store.spent_usd - spent, 4),
                "seconds": round(time.perf_counter() - began, 1),
            }
        before = store.spent_usd
        again = make_rows(task, n, asker(store, teacher, "rows"), price=PRICE, seed=seed, votes=5, plan=Plan(seed=seed))
        same = again.rows == made[5].rows
        figures["again"] = {"same_rows": same, "paid_usd": store.spent_usd - before}
    return {"made": made, "figures": figures}


def counting(made, truth: dict[str, str]) -> dict:
    """(a) what the controller says, against what was served: the very same string again."""
    generated = made.generated
    counts = generated.counts
    repeats = sum(len(g) for g in generated.groups) - len(generated.groups)
    texts = [generated.answers[i].input for g in generated.groups for i in g]
    return {
        "rows_read": counts["rows_read"],
        "reported_copies": round(counts.get("copies", 0) / counts["rows_read"], 4),
        "reported_near_copies": round(counts.get("near_copies", 0) / counts["rows_read"], 4),
        "interval_of_copies": [round(v, 4) for v in stats.wilson(counts.get("copies", 0), counts["rows_read"])],
        "served_again_to_the_letter": round((len(texts) - len(set(texts))) / counts["rows_read"], 4),
        "repeats_that_vote": repeats,
        "reported_novelty": round(counts["novel"] / counts["rows_read"], 4),
        "unknown_inputs": sum(text not in truth for text in texts),
        "batches": [{k: round(v, 3) for k, v in h.items()} for h in generated.history],
        "said": [re.sub(r"http://\S+", "the replay server", line) for line in made.said],
    }


def right(rows, truth: dict[str, str]) -> list[float]:
    return [float(row.output == truth[row.input]) for row in rows]


def share(marks: list[float]) -> list[float]:
    low, high = stats.wilson(int(sum(marks)), len(marks))
    return [round(sum(marks) / len(marks), 4), round(low, 4), round(high, 4)]


def gap(ours: list[float], theirs: list[float]) -> list[float]:
    found = stats.paired_difference(ours, theirs, seed=0)
    return [round(v, 4) for v in (found.difference, found.low, found.high)]


def student(task: Task, recipe: str, train: list[Row], test: list[Row], seed: int, **overrides) -> tuple[list[float], float]:
    """(right or wrong per test row, seconds). No dev rows: nobody had any."""
    began = time.perf_counter()
    sizes = derived.Sizes(len(train), 0, len(test), 0, len(task.labels), 60, 0)
    made = derived.with_values(recipes.parse(recipe), task, sizes, overrides)
    with tempfile.TemporaryDirectory() as folder:
        job = FitJob(task=task, recipe=made, train=train, dev=[], seed=seed, folder=Path(folder), threads=1)
        adapter = registry.take("adapters", made.adapter)
        if adapter.fit is not None:
            fitted = adapter.fit(job)
        else:
            from limbeck.engine.train import fit_model

            fitted = fit_model(job, adapter)
        answers = fitted.predictor.predict([row.blind() for row in test])
    marks = [float(a.status is Status.OK and a.text == row.output) for a, row in zip(answers, test, strict=True)]
    return marks, time.perf_counter() - began


def training_sets(made: dict, truth: dict[str, str]) -> dict[str, list[Row]]:
    """The same inputs with different answers."""
    single = list(made[1].generated.rows)
    first = {row.input: row for row in single}
    voted = {votes: [row for row in made[votes].rows if row.input in first] for votes in (3, 5)}
    return {
        "single": single,
        "votes_3": voted[3],
        "votes_5": voted[5],
        "votes_5_unweighted": [row.model_copy(update={"confidence": None}) for row in voted[5]],
        "truth": [row.model_copy(update={"output": truth[row.input]}) for row in single],
    }


def one_seed(task: Task, args: argparse.Namespace, seed: int, truth: dict[str, str], test: list[Row]) -> tuple[dict, dict]:
    with tempfile.TemporaryDirectory() as folder, replay(args.noise, args.duplicates, seed) as address:
        found = make(task, address, Path(folder), args.rows, seed)
    made = found["made"]
    sets = training_sets(made, truth)
    marks = {name: right(sets[name], truth) for name in ("single", "votes_3", "votes_5")}
    result = {
        "seed": seed,
        "making": found["figures"],
        "counting": counting(made[1], truth),
        "rows": {name: len(rows) for name, rows in sets.items()},
        "label_accuracy": {name: share(m) for name, m in marks.items()},
        "votes_3_minus_single": gap(marks["votes_3"], marks["single"]),
        "votes_5_minus_single": gap(marks["votes_5"], marks["single"]),
        "votes_5_minus_votes_3": gap(marks["votes_5"], marks["votes_3"]),
        "label_requests": {str(v): made[v].counts.get("label.requests", 0) for v in (3, 5)},
        "label_votes": {str(v): made[v].counts.get("label.votes", 0) for v in (3, 5)},
        "right_where_all_agree": share([m for m, row in zip(marks["votes_5"], sets["votes_5"], strict=True) if row.confidence == 1]),
        "right_where_they_differ": share([m for m, row in zip(marks["votes_5"], sets["votes_5"], strict=True) if row.confidence < 1]),
    }
    print(json.dumps({k: v for k, v in result.items() if k != "counting"}), flush=True)
    print(json.dumps({k: v for k, v in result["counting"].items() if k != "batches"}), flush=True)
    scores: dict = {}
    plans = [("head@minilm", name, {}) for name in ("single", "votes_3", "votes_5", "truth")]
    if seed in args.full:
        plans += [("full@minilm", name, {}) for name in ("single", "votes_5", "votes_5_unweighted")]
    for recipe, name, overrides in plans:
        scores[f"{recipe} {name}"], seconds = student(task, recipe, sets[name], test, seed, **overrides)
        print(seed, recipe, name, share(scores[f"{recipe} {name}"]), f"{seconds:.0f} s", flush=True)
    return result, scores


def counting_study(task: Task) -> None:
    """Repeats that are reported against repeats that were served, and the end of a pool of 1,000 messages."""
    found = []
    for pool, duplicates, wanted in (("train", 0.0, 500), ("train", 0.3, 500), ("train", 0.6, 500), ("valid", 0.3, 3000)):
        truth = {row["input"].strip(): row["output"] for row in data("banking77", pool)}
        with (
            tempfile.TemporaryDirectory() as folder,
            replay(0.15, duplicates, 7, pool) as address,
            Store(Path(folder) / "s.sqlite", 100.0) as store,
        ):
            teacher = open_teacher(f"{address}#palm540b", PRICE)
            made = make_rows(task, wanted, asker(store, teacher, "rows"), price=PRICE, seed=7, votes=1)
        figures = {"pool": pool, "messages_in_pool": len(truth), "served_repeats": duplicates, "wanted": wanted, "made": len(made.rows)}
        found.append({**figures, "stopped": made.generated.stopped, **counting(made, truth)})
        print(json.dumps({k: v for k, v in found[-1].items() if k != "batches"}), flush=True)
    save(HERE, "counting", {"task": "banking77", "runs": found})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    numbers = lambda text: [int(part) for part in text.split(",") if part]  # noqa: E731
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--seeds", type=numbers, default=[0, 1, 2])
    parser.add_argument("--full", type=numbers, default=[0], help="seeds for which full@minilm is trained too")
    parser.add_argument("--noise", type=float, default=0.15)
    parser.add_argument("--duplicates", type=float, default=0.3)
    parser.add_argument("--name", default="result")
    parser.add_argument("--only", choices=["counting"])
    args = parser.parse_args()
    task = the_task()
    if args.only == "counting":
        return counting_study(task)
    truth = {row["input"].strip(): row["output"] for row in data("banking77", "train")}
    test = [Row(id=row["id"], input=row["input"], output=row["output"]) for row in data("banking77", "test")]
    results, marks = [], {}
    for seed in args.seeds:
        result, scores = one_seed(task, args, seed, truth, test)
        results.append(result)
        for name, column in scores.items():
            marks.setdefault(name, []).append(column)
    students = {
        name: {"runs": [share(column) for column in columns], "mean": round(sum(sum(c) for c in columns) / sum(map(len, columns)), 4)}
        for name, columns in marks.items()
    }
    versus = {}
    for name in marks:
        recipe, _, rows = name.partition(" ")
        against = f"{recipe} {'votes_5_unweighted' if rows == 'votes_5' and recipe == 'full@minilm' else 'single'}"
        for other in {against, f"{recipe} single"} - {name}:
            if len(marks[other]) == len(marks[name]):
                mean = lambda columns: [sum(column) / len(columns) for column in zip(*columns, strict=True)]  # noqa: E731
                versus[f"{name} - {other}"] = gap(mean(marks[name]), mean(marks[other]))  # test rows resampled, their mean over seeds
    result = {
        "task": "banking77",
        "noise": args.noise,
        "duplicates": args.duplicates,
        "wanted": args.rows,
        "seeds": results,
        "students": students,
        "differences": versus,
    }
    save(HERE, args.name, result)
    print(json.dumps({"students": students, "differences": versus}, indent=1))


if __name__ == "__main__":
    main()
