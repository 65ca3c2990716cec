"""A run over documents, from the folder to the deployed student: what a teacher reads over real HTTP, what is measured, what leaks."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from limbeck.testing.chat_server import ChatServer, completion, embeddings
from tests.conftest import call_limbeck

PROMPT = "---\nkind: text\n---\nSay which town the thing is made in. Answer with the town alone.\n"
THINGS = [
    f"{a}{b}" for a in ("red", "green", "blue", "cold", "hot") for b in ("kettle", "lamp", "chair", "door", "cup", "table", "card", "bill")
]
TOWNS = [f"{a}{b}" for a in ("ul", "je", "bo", "ka", "mu") for b in ("burg", "dorf", "stadt", "heim", "feld", "au", "tal", "see")]


def reads_passages(body: dict[str, Any]) -> Any:
    """A teacher who knows nothing by itself, and believes what stands in its passages."""
    asked = body["messages"][-1]["content"]
    thing = re.search(r"where is the (\w+) made\?\s*\nAnswer:$", asked)
    if thing is None:
        return 200, completion("I cannot do that.")
    found = re.search(rf"The {thing[1]} is made in (\w+)\.", asked)
    return 200, completion(found[1] if found else "nowhere", usage=(len(asked) // 4, 2))


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("towns")
    (folder / "prompt.md").write_text(PROMPT)
    pairs = list(zip(THINGS, TOWNS, strict=True))
    lines = [{"id": thing, "input": f"where is the {thing} made?", "output": town} for thing, town in pairs]
    (folder / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    docs = folder / "docs"
    (docs / "deep").mkdir(parents=True)
    for i in range(0, len(pairs), 8):
        text = "".join(f"# {thing}\n\nThe {thing} is made in {town}.\n\n" for thing, town in pairs[i : i + 8])
        (docs / "deep" / f"part{i}.md").write_text(text)
    (docs / "broken.json").write_text("{")
    return folder


def run(given: Path, out: Path, teacher: str, *more: object) -> dict[str, Any]:
    arguments = ["--rows", given / "rows.jsonl", "--docs", given / "docs", "--teacher", teacher, "--price", "1/2", "--threads", "1"]
    done = call_limbeck("run", given / "prompt.md", *arguments, "--out", out, "--json", *more)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def asked(given, tmp_path_factory) -> tuple[Path, dict[str, Any], list[dict[str, Any]]]:
    """(run folder, report, what the server was asked) of a teacher with and without documents; passages by words and meaning."""
    out = tmp_path_factory.mktemp("run") / "run"
    with ChatServer(reads_passages) as server:
        report = run(given, out, f"{server.address}#reader", "--candidates", "prompt@teacher,prompt+rag:2@teacher")
        again = run(given, out, f"{server.address}#reader", "--candidates", "prompt@teacher,prompt+rag:2@teacher")
    assert again["ledger"]["replies"] == report["ledger"]["replies"], "the same command again paid again"
    return out, report, server.bodies


def test_a_teacher_with_documents_beats_the_same_teacher_without(asked):
    _, report, _ = asked
    rows = {row["recipe"]: row for row in report["rows"]}
    assert rows["prompt@teacher"]["test"]["value"] == 0.0
    assert rows["prompt+rag:2@teacher"]["test"]["value"] == 1.0
    assert rows["prompt+rag:2@teacher"]["usd_per_1000"] > rows["prompt@teacher"]["usd_per_1000"], "passages are paid for"


def test_every_answer_says_what_it_read_and_where_it_stands(asked):
    out, report, _ = asked
    recipe = next(row["id"] for row in report["rows"] if "rag" in row["recipe"])
    lines = [json.loads(line) for line in (out / "4-predictions" / f"{recipe}.test.jsonl").read_text().splitlines()]
    for line in lines:
        assert len(line["passages"]) == 2 and all(re.match(r"deep/part\d+\.md > \w+, characters \d+-\d+$", p) for p in line["passages"])
        assert "the answer stands in [" in line["detail"]
    shown = call_limbeck("explain", out, lines[0]["id"])
    assert shown.returncode == 0 and "[1] deep/part" in shown.stdout


def test_the_report_says_how_often_the_right_passage_was_found_and_what_was_not_read(asked):
    out, report, _ = asked
    found = report["retrieval"]
    assert found["documents"] == 5 and found["passages"] == 40 and found["meaning"]
    assert [one["document"] for one in found["skipped"]] == ["broken.json"]
    ways = {one["way"]: one for one in found["measured"]}
    assert set(ways) == {"fused", "words", "meaning"} and ways["words"]["recall@1"]["value"] == 1.0
    for name in ("5-report.md", "5-report.html"):
        text = (out / name).read_text()
        assert "Retrieval" in text and "words (BM25)" in text and "broken.json" in text


def test_the_index_lies_in_the_run_folder_and_nothing_of_the_run_is_in_it(asked):
    out, *_ = asked
    index = out / "2-index" / "docs"
    assert {"passages.json", "passages.jsonl", "passages-vectors.npy"} <= {p.name for p in index.iterdir()}
    assert not (index / "passages-left-out.json").exists() or json.loads((index / "passages-left-out.json").read_text()) == {}


@pytest.fixture(scope="module")
def by_endpoint(given, tmp_path_factory) -> tuple[Path, dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """(run folder, report, report of the same command again, what the server was asked): one endpoint answers, embeds and reranks."""
    out = tmp_path_factory.mktemp("endpoint") / "run"

    def answers(body: dict[str, Any]) -> Any:
        if "input" in body:
            return 200, embeddings(
                body["input"], lambda text: [text.lower().count(c) + 0.1 for c in "abcdefghijklmnop"], 5 * len(body["input"])
            )
        asked = body["messages"][-1]["content"]
        thing = re.search(r"where is the (\w+) made\?\s*\nIds:$", asked)
        if thing is None:
            return reads_passages(body)
        parts = asked.split('<passage id="')[1:]
        if thing[1].endswith("lamp"):
            return 200, completion("I would rather not.")
        return 200, completion(json.dumps({"ids": [int(p.partition('"')[0]) for p in parts if thing[1] in p]}))

    with ChatServer(answers) as server:
        numbers = f"embedder={server.address}#letters,embedder_price=1,rerank=5,retrieval=meaning"
        more = ["--candidates", "prompt+rag:1@teacher", "--set", numbers]
        report = run(given, out, f"{server.address}#reader", *more)
        sent = len(server.bodies)
        again = run(given, out, f"{server.address}#reader", *more)
        assert len(server.bodies) == sent, "the same command again asked again"
        return out, report, again, server.bodies


def test_an_endpoint_embeds_and_a_teacher_reranks_within_the_budget_and_on_the_ledger(by_endpoint):
    _, report, again, bodies = by_endpoint
    spent = report["ledger"]["by_purpose"]
    assert spent["embeddings"]["spent_usd"] > 0 and spent["rerank"]["spent_usd"] > 0
    assert report["ledger"]["spent_usd"] == pytest.approx(sum(one["spent_usd"] for one in spent.values()))
    assert again["ledger"] == report["ledger"]
    texts = [text for body in bodies if "input" in body for text in body["input"]]
    passages = [text for text in texts if " is made in " in text]
    assert len(passages) == 40 and len(set(passages)) == 40, "each passage is embedded once"


def test_reranking_has_a_line_of_its_own_and_what_fell_back_is_counted(by_endpoint):
    out, report, *_ = by_endpoint
    ways = {one["way"]: one for one in report["retrieval"]["measured"]}
    assert ways["reranked"]["n"] == ways["meaning"]["n"]
    test = json.loads((out / "2-splits.json").read_text())["test"]["ids"]
    lamps = sum(i.endswith("lamp") for i in test)
    assert report["retrieval"]["reranked"]["rows"] == len(test) and report["retrieval"]["reranked"]["fell_back"] >= lamps
    said = " ".join(report["retrieval"]["said"])
    assert "Reranked by the teacher" in said and "was sent the text of the documents" in said
    assert "reranked by the teacher" in (out / "5-report.md").read_text()
    (row,) = report["rows"]
    assert row["test"]["value"] >= ways["meaning"]["recall@1"]["value"], "what stands first after reranking is read"


def test_a_planted_row_of_test_is_kept_out_of_the_index_and_told(given, asked, tmp_path):
    out, *_ = asked
    test = json.loads((out / "2-splits.json").read_text())["test"]["ids"]
    gold = {json.loads(line)["id"]: json.loads(line)["output"] for line in (given / "rows.jsonl").read_text().splitlines()}
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "rows-of-the-user.csv").write_text("text,label\n" + "".join(f"where is the {i} made?,{gold[i]}\n" for i in test))
    (docs / "honest.md").write_text("# Towns\n\nThings are made in towns.\n")
    with ChatServer(reads_passages) as server:
        arguments = ["--rows", given / "rows.jsonl", "--docs", docs, "--teacher", f"{server.address}#reader", "--price", "1/2", "--json"]
        done = call_limbeck(
            "run",
            given / "prompt.md",
            *arguments,
            "--candidates",
            "prompt+rag:2@teacher",
            "--set",
            "retrieval=words",
            "--out",
            tmp_path / "run",
        )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["retrieval"]["left_out"] == len(test)
    assert f"they hold {len(test)} dev or test rows" in " ".join(report["retrieval"]["said"])
    assert not any(gold[i] in body["messages"][-1]["content"] for body in server.bodies for i in test), "an answer was shown"


def test_a_student_is_trained_served_and_shipped_with_its_index(given, tmp_path):
    from limbeck.engine.load import SEQ2SEQ
    from limbeck.testing.toys import toy

    base = toy(tmp_path / "toy", SEQ2SEQ, texts=[*THINGS, *TOWNS, "where is the made in passage id passages < > / ="])
    recipe = f"full+rag:2@{base}"
    numbers = "retrieval=words,passage_words=20,passage_overlap=5,epochs=2,batch_rows=8,instruct=false,max_answer=4"
    with ChatServer(reads_passages) as server:
        report = run(given, tmp_path / "run", f"{server.address}#r", "--candidates", f"prompt@teacher,{recipe}", "--set", numbers)
    student = next(row for row in report["rows"] if row["group"] == "student")
    assert student["state"] == "ok", student["reason"]
    deployed = tmp_path / "run" / "6-deploy"
    assert {"passages.jsonl", "passages-reader.json", "student.json"} <= {p.name for p in deployed.iterdir()}
    assert "passages of your documents" in (deployed / "README.md").read_text()
    parity = json.loads((deployed / "parity.json").read_text())
    assert parity["rows"] > 0 and parity["different"] == 0
    asked = tmp_path / "new.jsonl"
    asked.write_text(json.dumps({"id": "n", "input": "where is the redlamp made?"}) + "\n")
    moved = deployed.rename(tmp_path / "elsewhere")
    done = call_limbeck("predict", moved, "--in", asked)
    assert done.returncode == 0, done.stderr
    line = json.loads(done.stdout)
    assert line["passages"][0].startswith("deep/part0.md > redlamp") and "output" in line
    (moved / "passages.jsonl").write_bytes(b"{}\n")
    assert "damaged" in call_limbeck("predict", moved, "--in", asked).stderr


def test_documents_without_a_teacher_or_a_candidate_that_reads_them_are_told(given, tmp_path):
    missing = call_limbeck(
        "run", given / "prompt.md", "--rows", given / "rows.jsonl", "--candidates", "full+rag:2@minilm", "--docs", given / "docs"
    )
    assert missing.returncode == 2 and "an encoder makes one vector" in missing.stderr
    none = call_limbeck(
        "run", given / "prompt.md", "--rows", given / "rows.jsonl", "--candidates", "prompt+rag:2@teacher", "--teacher", "local:./x"
    )
    assert none.returncode == 2 and "--docs DIR" in none.stderr


def test_a_dry_run_reckons_with_the_passages_and_writes_nothing(given, tmp_path):
    with ChatServer(reads_passages) as server:
        arguments = ["--rows", given / "rows.jsonl", "--docs", given / "docs", "--teacher", f"{server.address}#r", "--price", "1/2"]
        done = call_limbeck("run", given / "prompt.md", *arguments, "--out", tmp_path / "run", "--dry-run", "--json")
        assert not server.bodies
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    usd = {line["recipe"]: line["usd"] for line in found["estimate"]["lines"]}
    assert usd["prompt+rag:4@teacher"] > 3 * usd["prompt@teacher"], "the default with documents"
    assert not (tmp_path / "run").exists()
