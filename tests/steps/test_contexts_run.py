"""Zero-, few- and many-shot prompts, with and without reasons, in one run against a server that caches prefixes: one table."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from limbeck.testing.chat_server import ChatServer, completion
from tests.conftest import ROOT, call_limbeck, write_jsonl

WORDS = {"refund": ("money", "charged", "invoice"), "delivery": ("parcel", "late", "courier")}
CANDIDATES = [
    "majority",
    "prompt@teacher",
    "prompt+few:4@teacher",
    "prompt+few:4:nearest@teacher",
    "prompt+few:4:diverse@teacher",
    "prompt+few:4:balanced@teacher",
    "prompt+many@teacher",
    "prompt:cot@teacher",
    "prompt:cot+few:2@teacher",
]
WINDOW = 1100


def rows(n: int) -> list[dict[str, Any]]:
    """Of every label in turn; every fourth says why."""
    found = []
    for i in range(n):
        label = list(WORDS)[i % 2]
        word = WORDS[label][i % 3]
        row = {"id": f"r{i}", "input": f"mail number {i}: it is about the {word} of order {i * 7}", "output": label}
        found.append({**row, "rationale": f"It speaks of the {word}."} if i % 4 < 2 else row)
    return found


class Shop:
    """Answers by the words of the last input, after its demonstrations only where these are there; remembers every prefix of
    a prompt that it has read, in blocks of 16 characters, and bills what it remembers as cached."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def __call__(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        system, user = (m["content"] for m in body["messages"])
        text = system + user
        blocks = [text[:end] for end in range(16, len(text), 16)]
        cached = 16 * sum(block in self.seen for block in blocks)
        self.seen.update(blocks)
        if "Input:" not in user:
            return 422, {"error": {"message": "a question about the prompt: it knows nothing of that"}}
        last = user.rpartition("Input:")[2]
        label = next((name for name, words in WORDS.items() if any(word in last for word in words)), "refund")
        said = f"It is plain. So the answer is {label}." if "Reasons:" in last else json.dumps({"answer": label})
        reply = completion(said, usage=(len(text) // 4, 5))
        reply["usage"]["prompt_tokens_details"] = {"cached_tokens": cached // 4}
        return 200, reply


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """(run folder, what the server was sent, report): one run of all candidates."""
    folder = tmp_path_factory.mktemp("contexts")
    (folder / "prompt.md").write_text("Sort the mail of a shop.\n\nLabels:\n- refund\n- delivery\n")
    write_jsonl(folder / "rows.jsonl", rows(80), ("id", "input", "output", "rationale"))
    with ChatServer(Shop()) as server:
        command = [
            "run", folder / "prompt.md", "--rows", folder / "rows.jsonl", "--teacher", f"{server.address}#small", "--price", "1/4/0.1",
            "--candidates", ",".join(CANDIDATES), "--set", f"window={WINDOW}", "--set", "similarity=words", "--out", folder / "run",
        ]  # fmt: skip
        done = call_limbeck(*command)
        assert done.returncode == 0, done.stdout + done.stderr
        sent = list(server.bodies)
        again = call_limbeck(*command)
        assert again.returncode == 0 and len(server.bodies) == len(sent), "the same command again pays for nothing"
    return folder / "run", sent, json.loads((folder / "run" / "5-report.json").read_text())


def row_of(report: dict[str, Any], recipe: str) -> dict[str, Any]:
    return next(row for row in report["rows"] if row["recipe"] == recipe)


def test_one_table_holds_every_context(shop: Any) -> None:
    _, _, report = shop
    assert [row["recipe"] for row in report["rows"]] == CANDIDATES
    for row in report["rows"]:
        assert (row["state"], row["reason"]) == ("ok", "")
        assert row["group"] != "prompt" or row["test"]["value"] == 1.0


def test_each_context_costs_what_it_reads(shop: Any) -> None:
    _, _, report = shop
    tokens = {row["recipe"]: row["tokens_in_per_call"] for row in report["rows"] if row["group"] == "prompt"}
    assert tokens["prompt@teacher"] < tokens["prompt+few:4@teacher"] < tokens["prompt+many@teacher"] < WINDOW
    many, bare = row_of(report, "prompt+many@teacher"), row_of(report, "prompt@teacher")
    assert many["tokens_cached_per_call"] > 0.8 * many["tokens_in_per_call"], "the prefix is the same in every call"
    fresh = many["tokens_in_per_call"] - many["tokens_cached_per_call"]
    usd = (fresh * 1 + many["tokens_cached_per_call"] * 0.1 + many["tokens_out_per_call"] * 4) / 1e3
    assert many["usd_per_1000"] == pytest.approx(usd) and bare["tokens_out_per_call"] == 5
    assert report["ledger"]["tokens_cached"] > 0 and report["ledger"]["cache_saved_usd"] > 0


def test_the_rows_that_stood_in_the_prompt_are_told(shop: Any) -> None:
    _, sent, report = shop
    shown = next(v for v in row_of(report, "prompt+many@teacher")["values"] if v["name"] == "rows_shown")
    n, there = (int(x) for x in re.fullmatch(r"(\d+) of (\d+)", shown["value"]).groups())
    assert n < there == report["sizes"]["train"] and f"of {WINDOW:,}" in shown["why"]
    assert max(body["messages"][-1]["content"].count("Input:") for body in sent) == n + 1


def test_no_dev_or_test_row_was_ever_shown_as_a_demonstration(shop: Any) -> None:
    folder, sent, _ = shop
    splits = json.loads((folder / "2-splits.json").read_text())
    held_out = {*splits["dev"]["ids"], *splits["test"]["ids"]}
    shown = {
        number for body in sent for number in re.findall(r"mail number (\d+)", body["messages"][-1]["content"].rpartition("Input:")[0])
    }
    assert shown and not {f"r{number}" for number in shown} & held_out


def test_only_rows_with_a_reason_are_shown_to_one_that_reasons(shop: Any) -> None:
    _, sent, _ = shop
    asked = [b["messages"][-1]["content"] for b in sent if b["messages"][-1]["content"].endswith("Reasons:")]
    shown = [text.rpartition("Input:")[0] for text in asked if text.count("Input:") > 1]
    assert shown and all(len(re.findall(r"Reasons: It speaks of the \w+\. So the answer is \w+\.", text)) == 2 for text in shown)


def test_equal_replies_are_told_to_compare_costs_alone(shop: Any) -> None:
    _, _, report = shop
    plain, reasoned = (w for w in report["warnings"] if "word for word" in w)
    assert "prompt+few:4:diverse@teacher" in plain and "compares costs, not contexts" in plain and "cot" not in plain
    assert reasoned.startswith("prompt:cot@teacher, prompt:cot+few:2@teacher got the same")


def test_a_window_that_nobody_knows_is_asked_for(shop: Any, tmp_path: Path) -> None:
    folder, *_ = shop
    command = ["run", folder.parent / "prompt.md", "--rows", folder.parent / "rows.jsonl", "--teacher", "http://127.0.0.1:9/v1#small"]
    done = call_limbeck(*command, "--price", "0/0", "--candidates", "prompt+many@teacher", "--dry-run", "--out", tmp_path / "run")
    assert done.returncode == 2 and "--set window=32768" in done.stderr


KETTLE = ROOT / "examples" / "kettle"


def test_a_recording_under_contexts_is_told_to_answer_alike_and_every_text_is_embedded_with_others(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="embeddings need the train extra")
    names = ["prompt@teacher", "prompt+few:4:dense@teacher", "prompt+few:4:diverse@teacher", "prompt+many@teacher"]
    done = call_limbeck("run", KETTLE / "prompt.md", "--candidates", ",".join(names), "--out", tmp_path / "run", "--threads", "1")
    assert done.returncode == 0, done.stderr
    report = json.loads((tmp_path / "run" / "5-report.json").read_text())
    assert {row["state"] for row in report["rows"]} == {"ok"} and len({row["test"]["value"] for row in report["rows"]}) == 1
    (said,) = (w for w in report["warnings"] if "word for word" in w)
    assert all(name in said for name in names) and "a recording answers alike" in said
    kept = list((tmp_path / "run" / "2-index" / "embeddings").glob("*.safetensors"))
    assert len(kept) <= 6 < report["sizes"]["test"], "rows are embedded many at once, one file each time; dev and test not row by row"


def test_many_fits_a_base_of_this_machine_to_the_token(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="a local base needs the train extra")
    (tmp_path / "prompt.md").write_text("Sort the mail of a shop.\n\nLabels:\n- refund\n- delivery\n")
    write_jsonl(tmp_path / "rows.jsonl", rows(80))
    names = ["majority", "prompt+many@tiny-lm", "prompt+many@tiny"]
    command = ["run", tmp_path / "prompt.md", "--rows", tmp_path / "rows.jsonl", "--candidates", ",".join(names), "--threads", "1"]
    done = call_limbeck(*command, "--out", tmp_path / "run")
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads((tmp_path / "run" / "5-report.json").read_text())
    for name in names[1:]:
        row = row_of(report, name)
        values = {value["name"]: value for value in row["values"]}
        n = int(values["rows_shown"]["value"].split(" of ")[0])
        assert row["state"] == "ok" and 0 < n < report["sizes"]["train"], row["reason"]
        assert values["demonstrations"]["value"] == n, "none of them was left out again"
        assert row["tokens_in_per_call"] <= values["window"]["value"] and row["usd_per_1000"] is not None
