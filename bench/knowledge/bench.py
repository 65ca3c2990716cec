"""A folder of documents with declared ground truth, as a new user would bring it: which way of using it wins, and what does it cost?

    python bench/knowledge/bench.py [--documents 200] [--questions 300] [--errors 0,0.1,0.3] [--seed 0] [--base FOLDER] [--keep DIR]

The documents are made here, in pseudo-words (limbeck.testing.knower): two or three sentences each, four kinds of relations, two of
them transitive. Every question asks what no document says: another side, or two or three documents together. The teacher is a stand-in
on localhost that answers from what stands in its prompt, and infers by rules with a set share of errors. The base is a
random decoder-only model of 100,000 parameters that knows the words alone (or --base). Everything goes through the command line;
writes result.json beside itself and prints one table per share of errors.

    python bench/knowledge/bench.py --by-base

No teacher at all: the base is the in-context base of `limbeck bench generalization`, trained from scratch first (minutes); it reads each
statement, writes the other side, is trained on that, and answers without any context. Writes by_base.json."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import fmean
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import LIMBECK, save, timed

from limbeck.engine.load import CAUSAL
from limbeck.testing.chat_server import ChatServer
from limbeck.testing.knower import PHRASES, knower, world, write_world
from limbeck.testing.toys import toy

HERE = Path(__file__).resolve().parent
PROMPTS = ("prompt@teacher", "prompt+rag:4@teacher", "prompt+many@teacher")
STUDENTS = ("full", "full+split:independent", "full+augment:local", "full+augment:both")
OWN_PROMPTS = ("prompt", "prompt+many", "prompt+rag:4")
OWN_STUDENTS = ("full", "full+split:independent", "full+augment:local")


def run_one(errors: float, base: str, folder: Path, args: argparse.Namespace, out: Path) -> dict[str, Any]:
    """From the folder of documents to the report."""
    recipes = [*PROMPTS, *(f"{student}@{base}" for student in STUDENTS)]
    numbers = [
        "literal=keep",
        "retrieval=words",
        f"window={args.window}",
        f"epochs={args.epochs}",
        "lr=0.003",
        "max_length=40",
        "patience=100",
    ]
    with ChatServer(knower(errors)) as server:
        command = [LIMBECK, "run", folder / "prompt.md", "--docs", folder / "docs", "--test", folder / "questions.jsonl", "--out", out]
        command += ["--teacher", f"{server.address}#stand-in", "--price", args.price, "--candidates", ",".join(recipes), "--json"]
        command += ["--seed", args.seed, "--threads", 1, "--budget", "5usd,2h", "--set", ",".join(numbers)]
        seconds, said = timed([str(part) for part in command])
        asked = len(server.bodies)
    report = json.loads(said)
    return {"errors": errors, "requests": asked, "run_s": round(seconds, 1), **told(report, base)}


def run_by_base(args: argparse.Namespace, work: Path) -> dict[str, Any]:
    """200 comparisons of the study's world of reversals, one a document, asked from the other side."""
    from limbeck.bench.knowledge import folder as brought
    from limbeck.bench.knowledge.framed import FRAMED, framed_base
    from limbeck.bench.knowledge.reversals import reversals
    from limbeck.bench.knowledge.telegraph import telegraphic

    shown = telegraphic(reversals(args.seed, facts=args.documents, background=0, articles=1))
    base = str(framed_base(shown, FRAMED, args.seed, work))
    folder = brought.write(shown, "reversal", work / "reversals", args.questions)
    recipes = [*(f"{prompt}@{base}" for prompt in OWN_PROMPTS), *(f"{student}@{base}" for student in OWN_STUDENTS)]
    numbers = ["literal=keep", "retrieval=words", f"epochs={args.epochs}", "lr=0.002", "patience=100"]
    command = [LIMBECK, "run", folder / "prompt.md", "--docs", folder / "docs", "--test", folder / "questions.jsonl", "--out", work / "run"]
    command += ["--inferences-by", "base", "--candidates", ",".join(recipes), "--json", "--seed", args.seed, "--threads", 1]
    seconds, said = timed([str(part) for part in [*command, "--budget", "5usd,2h", "--set", ",".join(numbers)]])
    report = json.loads(said)
    trained = json.loads((Path(base) / "trained.json").read_text())
    return {**told(report, base), "run_s": round(seconds, 1), "recall": recall(report, base, work / "run", shown), "base": trained}


def recall(report: dict[str, Any], base: str, run: Path, shown: Any) -> dict[str, float]:
    """Of the documents' own sentences, the share that each student goes on with rightly, out of four: what it learnt can be asked for."""
    from limbeck.engine.reader import load_student
    from limbeck.types import Example

    items = [item for item in shown.items if item.split == "recall"]
    asked = [Example(id=item.id, input=item.stem, choices=item.options) for item in items]
    found = {}
    for row in report["rows"]:
        model = run / "4-students" / row["id"] / "model"
        if row["recipe"].startswith("full") and model.is_dir():
            answers = load_student(model).predict(asked)
            found[row["recipe"].replace(base, "base")] = fmean(
                a.text == item.options[item.gold] for a, item in zip(answers, items, strict=True)
            )
    return found


def told(report: dict[str, Any], base: str) -> dict[str, Any]:
    known = report["knowledge"]
    return {
        "rows": report["sizes"],
        "chance": report["chance"],
        "winner": (report["winner"] or "").replace(base, "base"),
        "verdict": report["verdict"].replace(base, "base"),
        "warnings": [text.replace(base, "base") for text in report["warnings"]],
        "inferences": {key: known[key] for key in ("texts", "statements", "kept", "dropped", "counts", "measured", "usd")},
        "complement": {name.replace(base, "base"): v for name, v in known.get("complement", {}).get("scores", {}).items()},
        "table": {row["recipe"].replace(base, "base"): line(row) for row in report["rows"]},
    }


def line(row: dict[str, Any]) -> dict[str, Any]:
    test = row["test"] or {}
    facts = {key: row[key] for key in ("state", "reason", "usd_per_1000", "break_even_calls", "train_s", "latency_p50_ms")}
    return {**{key: test.get(key) for key in ("value", "low", "high")}, **facts}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--documents", type=int, default=200)
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--errors", default="0,0.1,0.3")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--window", type=int, default=32_000, help="tokens that the teacher takes, for prompt+many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--price", default="0.15/0.60")
    parser.add_argument("--base")
    parser.add_argument("--by-base", action="store_true", help="the self-augmentation loop instead, without a teacher")
    parser.add_argument("--name", default="result", help="of the file that is written beside this one")
    parser.add_argument("--out", type=Path, default=HERE)
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        work = args.keep or Path(scratch)
        if args.by_base:
            found = run_by_base(args, work)
            show([found])
            print(f"inferences: {found['inferences']['measured']}\nrecall of the documents: {found['recall']}")
            return save(args.out, "by_base", {"arguments": shown(args), "run": found})
        folder = work / "world"
        if not folder.exists():
            write_world(folder, args.documents, args.questions, args.seed)
        words = [*world(args.documents, args.seed)[0].values(), *PHRASES]
        base = args.base or str(toy(work / "base", CAUSAL, texts=words, seed=args.seed))
        found = [run_one(float(e), base, folder, args, work / f"run-{e}") for e in args.errors.split(",")]
    show(found)
    save(args.out, args.name, {"question": (__doc__ or "").split("\n")[0], "arguments": shown(args), "runs": found})


def show(found: list[dict[str, Any]]) -> None:
    for one in found:
        print(f"\nerrors {one.get('errors', '-')}: {one['verdict']}")
        for name, facts in one["table"].items():
            value = "-" if facts["value"] is None else f"{facts['value']:.3f}"
            cost = "" if facts["usd_per_1000"] is None else f"${facts['usd_per_1000']:.4f}/1000"
            even = "" if facts["break_even_calls"] is None else f"even after {facts['break_even_calls']:.0f} calls"
            print(f"  {name:32} {value:>6}  {cost:>16}  {even}  {facts['reason']}")


def shown(args: argparse.Namespace) -> dict[str, Any]:
    return {key: value for key, value in vars(args).items() if key not in ("keep", "base", "out", "name")}


if __name__ == "__main__":
    main()
