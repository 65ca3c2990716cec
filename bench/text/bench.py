"""Five public sets as text tasks, each from its prompt file to a report: do students that write run whole, and how good are they?

    python bench/text/bench.py [--only svamp,squad] [--rows 240] [--dev 60] [--test 100] [--base tiny] [--adapters full,lora]

Every set goes through the command line as a user's would: the prompt file beside this one, rows of ../shared (none of them is
committed), the candidates `nearest` and the students. Writes result.json beside itself and prints one table. Rows are cut so
that the whole takes minutes; nothing here is tuned, and a base of two million parameters is not expected to answer well."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import LIMBECK, data, save, timed, write_rows

HERE = Path(__file__).resolve().parent
SETS = ("svamp", "mawps", "temporal_norm", "squad", "mconala")


def run_one(name: str, args: argparse.Namespace, work: Path) -> dict[str, Any]:
    """From the prompt file to the report; the folder is left for a look where --keep names one."""
    draw = random.Random(args.seed)
    paths = {}
    for split, part, n in (("rows", "train", args.rows), ("dev", "valid", args.dev), ("test", "test", args.test)):
        rows = data(name, part)
        paths[split] = write_rows(work / f"{split}.jsonl", draw.sample(rows, min(n, len(rows))))
    shutil.copyfile(HERE / f"{name}.md", work / "prompt.md")
    students = [f"{adapter}@{args.base}" for adapter in args.adapters.split(",")]
    command = [LIMBECK, "run", str(work / "prompt.md"), "--candidates", ",".join(["nearest", *students]), "--out", str(work / "run")]
    command += [part for split, path in paths.items() for part in (f"--{split}", str(path))]
    command += ["--seed", str(args.seed), "--threads", str(args.threads), "--json", *(f"--set={value}" for value in args.set)]
    seconds, said = timed(command)
    report = json.loads(said)
    return {
        "metric": report["task"]["metric"],
        "kind": report["task"]["kind"],
        "rows": report["sizes"],
        "run_s": round(seconds, 1),
        "winner": report["winner"],
        "verdict": report["verdict"],
        "warnings": report["warnings"],
        "table": {row["recipe"].replace(args.base, Path(args.base).name): line(row) for row in report["rows"]},
    }


def line(row: dict[str, Any]) -> dict[str, Any]:
    more = {score["metric"]: score["value"] for score in row["more"]}
    test = row["test"] or {}
    return {
        "state": row["state"],
        "reason": row["reason"],
        "dev": (row["dev"] or {}).get("value"),
        **{key: test.get(key) for key in ("value", "low", "high")},
        **{name: more.get(name) for name in ("exact_match", "stop_rate")},
        "train_s": row["train_s"],
        "p50_ms": row["latency_p50_ms"],
        "train_loss": [h["train_loss"] for h in row["history"]],
    }


def shown(result: dict[str, Any]) -> str:
    """One table of all sets."""
    lines = [f"{'set':14} {'candidate':14} {'metric':12} {'test':>6}  {'95 %':15} {'exact':>6} {'stops':>6} {'train':>7} {'p50':>8}"]
    for name, found in result["sets"].items():
        for recipe, row in found["table"].items():
            if row["value"] is None:
                lines.append(f"{name:14} {recipe:14} {found['metric']:12} {row['state']}: {row['reason'][:60]}")
                continue
            span = f"{row['low']:.3f} to {row['high']:.3f}"
            exact, stops = (f"{row[key]:.3f}" if row[key] is not None else "-" for key in ("exact_match", "stop_rate"))
            took = f"{row['train_s']:.0f} s" if row["train_s"] else "-"
            call = f"{row['p50_ms']:5.1f} ms" if row["p50_ms"] is not None else "-"
            lines.append(
                f"{name:14} {recipe:14} {found['metric']:12} {row['value']:6.3f}  {span:15} {exact:>6} {stops:>6} {took:>7} {call:>8}"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default=",".join(SETS), help="Sets, by name.")
    parser.add_argument("--rows", type=int, default=240)
    parser.add_argument("--dev", type=int, default=60)
    parser.add_argument("--test", type=int, default=100)
    parser.add_argument("--base", default="tiny", help="An alias, a folder or a hub id of a base that writes.")
    parser.add_argument("--adapters", default="full,lora")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="As of limbeck run.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", default=str(HERE), help="Where result.json goes.")
    parser.add_argument("--keep", default="", help="A folder in which the runs stay.")
    args = parser.parse_args()
    work = Path(args.keep or tempfile.mkdtemp(prefix="text-"))
    result: dict[str, Any] = {"base": Path(args.base).name, "seed": args.seed, "set": args.set, "sets": {}}
    try:
        for name in args.only.split(","):
            (work / name).mkdir(parents=True, exist_ok=True)
            result["sets"][name] = run_one(name, args, work / name)
    finally:
        if not args.keep:
            shutil.rmtree(work)
    save(Path(args.out), "result", result)
    print(shown(result))


if __name__ == "__main__":
    main()
