"""The knowledge bench's base through the product: a folder of documents, questions from the other side, no teacher at all."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from limbeck.bench.knowledge import folder, frame
from limbeck.bench.knowledge.base import Shape
from limbeck.bench.knowledge.facts import World
from limbeck.bench.knowledge.framed import framed_base
from limbeck.bench.knowledge.reversals import reversals
from limbeck.engine.load import read_tokenizer
from tests.conftest import call_limbeck

CANDIDATES = ("prompt", "prompt+rag:2", "prompt+many", "full", "full+augment:local")


@pytest.fixture(scope="module")
def world() -> World:
    return reversals(0, facts=16, background=0, entities=40, dimensions=2, articles=1)


@pytest.fixture(scope="module")
def ended(world: World, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    work = tmp_path_factory.mktemp("knowledge")
    base = framed_base(world, Shape(layers=1, width=16, steps=9, tokens=600, episodes=40), 0, work)
    place = folder.write(world, "reversal", work / "world")
    arguments = ["--docs", place / "docs", "--test", place / "questions.jsonl", "--inferences-by", "base", "--threads", "1"]
    numbers = ["--set", "literal=keep,retrieval=words,epochs=2,lr=0.001", "--out", work / "run", "--json"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("limbeck.hallway.deploy", lambda *given: None)
        done = call_limbeck("run", place / "prompt.md", *arguments, *numbers, "--candidates", ",".join(f"{c}@{base}" for c in CANDIDATES))
    assert done.returncode == 0, done.stderr
    return work / "run", json.loads(done.stdout)


def test_every_way_of_using_the_documents_is_compared_in_one_run_without_a_teacher(ended) -> None:
    _, report = ended
    assert [row["state"] for row in report["rows"]] == ["ok"] * len(CANDIDATES), [row["reason"] for row in report["rows"]]
    assert report["verdict"] and report["ledger"]["replies"] == 16, "one question to the base per statement, and none to anybody else"


def test_the_base_reads_a_statement_as_its_document_writes_it_and_what_it_writes_is_measured(ended) -> None:
    out, report = ended
    lines = [json.loads(line) for name in ("", "-dropped") for line in (out / f"2-inferences{name}.jsonl").read_text().splitlines()]
    texts = [line.get("inference", line)["text"] for line in lines]
    assert all(text == text.lower() for text in texts), "no capital that the base's tokenizer does not know"
    counts = report["knowledge"]["counts"]
    assert counts["requests"] == 16 == len(texts) + counts.get("unreadable", 0), "what does not end is no inference, and is counted"
    local = report["knowledge"]["measured"]["local"]
    assert local["coverage_of"] == 16 and 0 <= local["coverage"] <= 1


def test_what_retrieval_showed_the_base_is_as_long_as_an_episode_on_the_same_documents(ended, world: World) -> None:
    out, report = ended
    row = next(row for row in report["rows"] if row["recipe"].startswith("prompt+rag:2"))
    tokenizer = read_tokenizer(Path(row["recipe"].partition("@")[2]))
    items, texts = {item.id: item for item in world.items}, {f"{d.id}.txt": d.text for d in world.documents}
    told = [json.loads(line) for line in (out / "4-predictions" / f"{row['id']}.test.jsonl").read_text().splitlines()]
    for one in told:
        item, passages = items[one["id"]], [texts[citation.partition(",")[0]] for citation in one["passages"]]
        text = frame.shown(frame.asked(item.fact, world.rules, item.options, passages))
        assert one["tokens_in"] == len(tokenizer(text)["input_ids"]) and len(passages) == 2
    assert len(told) == report["sizes"]["test"]
