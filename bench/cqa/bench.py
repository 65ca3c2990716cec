"""CommonsenseQA, 500 training rows, PaLM-540B's recorded answers replayed over HTTP: does the table say that prompting wins?

    python bench/cqa/bench.py [--seed 0]

Writes result.json beside itself. Claim: prompt@teacher stands at its recorded accuracy on these test rows, computed here
from the recordings, and the verdict is to keep prompting."""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import LIMBECK, SHARED, data, save, timed, write_rows

HERE = Path(__file__).resolve().parent
PROMPT = """Answer the question with common sense. Choose the option that fits best.

Question: {question}
Answer:
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--candidates", default="")
    args = parser.parse_args()
    test = data("cqa", "test")
    recorded = sum(r["teacher"]["palm540b"]["label"] == r["output"] for r in test) / len(test)
    work = Path(tempfile.mkdtemp(prefix="cqa-"))
    (work / "prompt.md").write_text(PROMPT)
    rows = write_rows(work / "rows.jsonl", random.Random(args.seed).sample(data("cqa", "train"), 500))
    held = write_rows(work / "test.jsonl", test)
    server = subprocess.Popen(
        [sys.executable, str(SHARED / "tools" / "replay_teacher.py"), "--tasks", "cqa", "--teacher", "palm540b", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        address = server.stdout.readline().strip()
        command = [LIMBECK, "run", str(work / "prompt.md"), "--rows", str(rows), "--test", str(held), "--seed", str(args.seed)]
        command += ["--teacher", f"{address}#palm540b", "--price", "2/6", "--out", str(work / "run"), "--json"]
        if args.candidates:
            command += ["--candidates", args.candidates]
        seconds, report = timed(command)
    finally:
        server.kill()
    table = json.loads(report)
    shutil.rmtree(work)
    result = {
        "recorded_accuracy": recorded,
        "prompt_accuracy": next(r["test"]["value"] for r in table["rows"] if r["recipe"] == "prompt@teacher"),
        "winner": table["winner"],
        "verdict": table["verdict"],
        "run_s": round(seconds, 1),
        "ledger": table["ledger"],
        "table": {
            r["recipe"]: {"state": r["state"], "dev": (r["dev"] or {}).get("value"), "test": (r["test"] or {}).get("value")}
            for r in table["rows"]
        },
    }
    save(HERE, "result", result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
