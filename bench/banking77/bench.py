"""banking77, 10 training rows for each of the 77 intents and nothing else: `limbeck run` against a plain script.

    python bench/banking77/bench.py [--seeds 0,1,2] [--threads N]

Writes result.json beside itself. Claims: deployed students of mean test accuracy at least 0.86; the whole run in at most
4 times the time of the plain 12-epoch script measured beside it; student at most 100 MB."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import LIMBECK, data, save, timed, write_rows

HERE = Path(__file__).resolve().parent
PROMPT = """Sort the message of a bank's customer into one of the intents named by the labels.

Message: {message}
Intent:
"""


def sample(seed: int) -> list[dict]:
    piles = defaultdict(list)
    for row in data("banking77", "train"):
        piles[row["output"]].append(row)
    rng = random.Random(seed)
    return [row for name in sorted(piles) for row in rng.sample(piles[name], 10)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--name", default="result", help="of the file that is written beside this one")
    args = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="banking77-"))
    test = write_rows(work / "test.jsonl", data("banking77", "test"))
    (work / "prompt.md").write_text(PROMPT)
    found = []
    for seed in map(int, args.seeds.split(",")):
        rows = write_rows(work / f"rows-{seed}.jsonl", sample(seed))
        plain_s, plain = timed([sys.executable, str(HERE / "plain.py"), str(rows), str(test), str(seed), str(args.threads)])
        out = work / f"run-{seed}"
        command = [LIMBECK, "run", str(work / "prompt.md"), "--rows", str(rows), "--test", str(test), "--seed", str(seed)]
        run_s, report = timed([*command, "--threads", str(args.threads), "--out", str(out), "--json"])
        table = json.loads(report)
        best = next(r for r in table["rows"] if r["recipe"] == table["best_student"])
        size = sum(f.stat().st_size for f in (out / "6-deploy").rglob("*") if f.is_file()) / 1e6
        found.append(
            {
                "seed": seed,
                "student": best["recipe"],
                "accuracy": best["test"]["value"],
                "plain_accuracy": json.loads(plain)["accuracy"],
                "run_s": round(run_s, 1),
                "plain_s": round(plain_s, 1),
                "ratio": round(run_s / plain_s, 2),
                "student_mb": round(size, 1),
                "verdict": table["verdict"],
                "table": {
                    r["recipe"]: {"dev": (r["dev"] or {}).get("value"), "test": (r["test"] or {}).get("value"), "train_s": r["train_s"]}
                    for r in table["rows"]
                },
            }
        )
        print(json.dumps(found[-1]), flush=True)
    shutil.rmtree(work)
    mean = sum(f["accuracy"] for f in found) / len(found)
    result = {
        "mean_accuracy": mean,
        "mean_plain_accuracy": sum(f["plain_accuracy"] for f in found) / len(found),
        "worst_ratio": max(f["ratio"] for f in found),
    }
    save(HERE, args.name, {**result, "threads": args.threads, "runs": found})
    print(json.dumps(result))


if __name__ == "__main__":
    main()
