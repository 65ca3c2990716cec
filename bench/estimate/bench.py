"""Does the estimate of --dry-run contain what the run then costs?

    python bench/estimate/bench.py [--tune]

Fifteen trials: other tasks, sizes, candidates and shares of bad replies each time. The constants of estimate.py were set on
the five of --tune; the ten others are the claim: at least 9 of 10 final costs, read from the ledger, lie within the range.
The teacher replays recorded answers over HTTP; in every other trial it counts tokens by characters / 4, as our estimate does,
else by a real tokenizer (word pieces of MiniLM), for prompt and reply. Writes result.json (--tune: tune.json) beside itself."""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from common import ROOT, SHARED, data, save, write_rows

HERE = Path(__file__).resolve().parent
FAULTS = "garbage=0.03,empty=0.02,truncate=0.02"
NLI = "Read premise and hypothesis. Say entailment if the hypothesis follows, contradiction if it cannot be true, else neutral.\n\nLabels: entailment, neutral, contradiction"


@dataclass(frozen=True)
class Trial:
    """rows, test, unlabelled: how many. own: tokens as the replay server counts them, else by word pieces. faults: bad replies."""

    task: str
    prompt: str
    rows: int
    test: int
    unlabelled: int
    candidates: str
    own: bool
    faults: str = ""
    price: str = "0.40/1.60"


TUNE = [
    Trial("cqa", "Answer the question with common sense. Choose the option that fits best.", 150, 80, 0, "majority,prompt@teacher", True),
    Trial("esnli", NLI, 120, 90, 60, "majority,prompt@teacher,prompt+few:8@teacher", False, FAULTS),
    Trial(
        "trec",
        "Say what the question asks for: ABBR, DESC, ENTY, HUM, LOC or NUM.",
        200,
        100,
        0,
        "majority,prompt+few:8:nearest@teacher",
        False,
    ),
    Trial("asdiv", "Solve the word problem. Answer with the number alone.", 100, 60, 0, "prompt@teacher,prompt+few:4@teacher", True),
    Trial(
        "tweet_emotion", "Name the emotion of the tweet: anger, joy, optimism or sadness.", 90, 50, 120, "majority,prompt@teacher", False
    ),
]
HELD = [
    Trial("kettle", "", 0, 0, 60, "majority,prompt@teacher,prompt+few:8@teacher", False),
    Trial("first-step", "", 0, 0, 0, "majority,prompt@teacher,prompt+few:4@teacher,head@minilm", False),
    Trial("svamp", "Write the equation that solves the problem. Use numbers, brackets and + - * / only.", 120, 80, 0, "prompt@teacher,prompt+few:8@teacher", True, FAULTS),
    Trial("banking77", "Which of the bank's intents is this message of a customer?", 400, 150, 0, "majority,prompt@teacher,prompt+few:8@teacher", True),
    Trial("banking77", "Which of the bank's intents is this message of a customer?", 250, 60, 100, "majority,prompt+few:4:nearest@teacher", False, FAULTS),
    Trial("sst2", "Is this sentence from a film review positive or negative?", 60, 200, 150, "majority,prompt@teacher,head@minilm", False),
    Trial("ag_news", "Sort the news item into World, Sports, Business or Sci/Tech.", 100, 70, 0, "majority,prompt+few:8@teacher,prompt+few:2@teacher", False),
    Trial("snips", "Name the intent of the request to the voice assistant.", 220, 120, 0, "majority,prompt+few:8:nearest@teacher", True, FAULTS),
    Trial("boolq", "Answer the question with true or false.", 140, 110, 40, "majority,prompt@teacher,prompt+few:16@teacher", False),
    Trial("cqa", "Choose the most sensible answer to the question.", 80, 300, 0, "prompt+few:4@teacher", False, FAULTS, "2/6"),
]  # fmt: skip


@contextmanager
def replay(trial: Trial) -> Any:
    """Address of the replay server."""
    command = [sys.executable, str(SHARED / "tools" / "replay_teacher.py"), "--tasks", trial.task, "--port", "0", "--noise", "0.1"]
    with subprocess.Popen([*command, "--faults", trial.faults], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.kill()


class Counted:
    """What stands before a teacher and counts its tokens with a real tokenizer."""

    def __init__(self) -> None:
        from transformers import AutoTokenizer

        from limbeck.bases.embedded import minilm_folder

        self.tokenizer = AutoTokenizer.from_pretrained(minilm_folder())

    def usage(self, body: dict[str, Any], texts: list[str]) -> dict[str, int]:
        count = lambda text: len(self.tokenizer(text, add_special_tokens=False, truncation=False)["input_ids"])  # noqa: E731
        asked = sum(count(m["content"]) + 4 for m in body["messages"])
        said = sum(map(count, texts))
        return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}

    def forward(self, address: str) -> Any:
        def answer(body: dict[str, Any]) -> tuple[int, Any]:
            request = urllib.request.Request(f"{address}/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
            try:
                with urllib.request.urlopen(request) as reply:
                    told = json.load(reply)
            except urllib.error.HTTPError as refused:
                return refused.code, refused.read()
            told["usage"] = self.usage(body, [c["message"]["content"] for c in told["choices"]])
            return 200, told

        return answer

    def recorded(self, path: Path) -> Any:
        """An endpoint that answers the rows of an example of ours from its recording."""
        from limbeck.testing.chat_server import completion

        book = {" ".join(r["input"].split()): r["label"] for line in path.read_text().splitlines() if (r := json.loads(line))}

        def answer(body: dict[str, Any]) -> tuple[int, Any]:
            last = (
                body["messages"][-1]["content"].rpartition("\nInput: ")[2]
                if "\nInput: " in body["messages"][-1]["content"]
                else body["messages"][-1]["content"].removeprefix("Input: ")
            )
            text = " ".join(last.partition("\nOptions:")[0].removesuffix("\nAnswer:").split())
            if text not in book:
                return 422, {"error": {"message": "no recording fits this request", "type": "no_recording"}}
            said = json.dumps({"answer": book[text]})
            told = completion(said)
            told["usage"] = self.usage(body, [said])
            return 200, told

        return answer


@contextmanager
def teacher_of(trial: Trial, counted: Counted) -> Any:
    from limbeck.testing.chat_server import ChatServer

    if trial.task in ("kettle", "first-step"):
        with ChatServer(counted.recorded(ROOT / "examples" / trial.task / "teacher.jsonl")) as server:
            yield server.address
        return
    with replay(trial) as address:
        if trial.own:
            yield address
            return
        with ChatServer(counted.forward(address)) as server:
            yield server.address


def files(trial: Trial, work: Path, seed: int) -> dict[str, Any]:
    """Options of `limbeck run` for this trial's files."""
    if trial.task in ("kettle", "first-step"):
        folder = ROOT / "examples" / trial.task
        text = (folder / "prompt.md").read_text().partition("---\n")[2].partition("---\n")[2]
        (work / "prompt.md").write_text(text)
        given = {"rows": (str(folder / "rows.jsonl"),)}
        if trial.unlabelled:
            lines = (folder / "unlabelled.jsonl").read_text().splitlines()
            (work / "unlabelled.jsonl").write_text("\n".join(lines[: trial.unlabelled]) + "\n")
            given["unlabelled"] = str(work / "unlabelled.jsonl")
        return given
    (work / "prompt.md").write_text(trial.prompt + "\n\nInput: {input}\nAnswer:\n")
    drawn = random.Random(seed).sample(data(trial.task, "train"), trial.rows + trial.unlabelled)
    given = {"rows": (str(write_rows(work / "rows.jsonl", drawn[: trial.rows])),)}
    given["test"] = str(write_rows(work / "test.jsonl", random.Random(seed).sample(data(trial.task, "test"), trial.test)))
    if trial.unlabelled:
        blind = [{k: v for k, v in row.items() if k != "output"} for row in drawn[trial.rows :]]
        given["unlabelled"] = str(write_rows(work / "unlabelled.jsonl", blind))
    return given


def run(trial: Trial, number: int, counted: Counted) -> dict[str, Any]:
    from limbeck import hallway
    from limbeck.log import Log
    from limbeck.run import RunFolder
    from limbeck.teachers.prices import parse_price
    from limbeck.types import Settings

    with tempfile.TemporaryDirectory(prefix="estimate-") as work, teacher_of(trial, counted) as address:
        given = files(trial, Path(work), 100 + number)
        prompt = Path(work) / "prompt.md"
        settings = Settings(
            prompt=str(prompt), teacher=f"{address}#small", price=parse_price(trial.price), candidates=tuple(trial.candidates.split(",")),
            budget_usd=50.0, seed=number, threads=1, **given,
        )  # fmt: skip
        _, plan, _ = hallway.look(settings, prompt.read_text())
        report = hallway.run(settings, prompt.read_text(), RunFolder(Path(work) / "run"), Log())
    told, spent = plan.estimate, float(report.ledger["spent_usd"])
    return {
        **asdict(trial),
        "kind": str(plan.task.kind),
        "calls_estimated": told.calls,
        "requests": report.ledger["requests"],
        "usd_low": round(told.usd_low, 6),
        "usd_high": round(told.usd_high, 6),
        "usd_spent": round(spent, 6),
        "within": told.usd_low <= spent <= told.usd_high,
        "where": round((spent - told.usd_low) / (told.usd_high - told.usd_low), 3),
        "high_over_low": round(told.usd_high / told.usd_low, 2),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tune", action="store_true")
    args = parser.parse_args()
    counted, found = Counted(), []
    for number, trial in enumerate(TUNE if args.tune else HELD):
        found.append(run(trial, number, counted))
        last = found[-1]
        print(
            *(f"{k}={last[k]}" for k in ("task", "kind", "usd_low", "usd_spent", "usd_high", "within", "where", "high_over_low")),
            flush=True,
        )
    result = {"within": sum(t["within"] for t in found), "of": len(found), "trials": found}
    save(HERE, "tune" if args.tune else "result", result)
    print(f"{result['within']} of {result['of']} within")


if __name__ == "__main__":
    main()
