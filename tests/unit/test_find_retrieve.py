"""Retrieval whole, over a folder of data sets written here: nothing crashes, nothing paid for is lost, the caps are exact."""

from __future__ import annotations

import gzip
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from limbeck.errors import ProviderError
from limbeck.sources.datasets import Limits
from limbeck.sources.files import Bad
from limbeck.sources.folder import cards, open_source
from limbeck.sources.retrieve import find, read, retrieve
from limbeck.types import Kind, Reply, Task

TASK = Task(name="mood", instruction="Say whether the remark about the hotel is good or bad.", kind=Kind.LABEL, labels=("good", "bad"))


def jsonl(path: Path, rows: list[dict]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(r) + "\n" for r in rows)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def remarks(what: str, n: int, labels=("good", "bad")) -> list[dict]:
    return [{"text": f"The {what} number {i} was {labels[i % 2]}", "label": labels[i % 2]} for i in range(n)]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    jsonl(tmp_path / "hotels" / "train.jsonl.gz", remarks("hotel room", 30))
    jsonl(tmp_path / "hotels" / "test.jsonl", remarks("kept apart", 5))
    (tmp_path / "hotels" / "README.md").write_text(
        "---\nlicense: mit\nlanguage: [en]\n---\n# Hotels\n\nRemarks of hotel guests, good and bad ones.\n"
    )
    jsonl(tmp_path / "inns" / "data.jsonl", remarks("inn by the road", 20))
    (tmp_path / "inns" / "README.md").write_text("---\nlicense: cc-by-4.0\n---\n# Inns\n\nRemarks about inns and hotel bars.\n")
    jsonl(tmp_path / "hostels" / "data.jsonl", remarks("hostel bed", 20))
    (tmp_path / "hostels" / "README.md").write_text("# Hostels\n\nRemarks about hostels and hotel dormitories.\n")
    jsonl(tmp_path / "secret" / "test.jsonl", remarks("hotel", 9))
    return tmp_path


def spec(tree: Path) -> list[str]:
    return [f"folder:{tree}"]


def test_a_folder_is_read_by_its_cards_and_test_files_are_never_read(tree):
    known = {c.name: c for c in cards(tree)}
    assert known["hotels"].licence == "mit" and known["hotels"].languages == ("en",) and known["hotels"].columns == ("text", "label")
    assert "no training part" in known["secret"].held_out
    source = open_source(str(tree))
    read = source.records(known["hotels"], 1000)
    assert len(read) == 30 and not any("kept apart" in record["text"] for _, record in read)
    assert len(source.records(known["hotels"], 7)) == 7


def test_one_readme_with_a_table_is_the_card_of_every_folder(tmp_path):
    jsonl(tmp_path / "a1" / "train.jsonl", remarks("x", 4))
    jsonl(tmp_path / "b2" / "train.jsonl", remarks("y", 4))
    (tmp_path / "README.md").write_text(
        "# Data\n\n## Guests\n\n| name | train | test | licence as stated | for |\n|---|---:|---|---|---|\n| a1 | 1,204 | - | CC BY 4.0 | intents of hotel guests |\n| b2 | 4 | - | MIT | EVALUATION ONLY |\n"
    )
    a, b = cards(tmp_path)
    assert (a.rows, a.licence, a.tags) == (1204, "CC BY 4.0", ("Guests",)) and a.description.startswith("intents of hotel guests")
    assert "evaluation" in b.held_out


def test_rows_carry_where_they_come_from(tree):
    done = retrieve(TASK, spec(tree), Limits(datasets=1))
    assert len(done.used) == 1 and done.used[0].how == "as-is"
    row = done.rows[3]
    assert row.origin.kind == "retrieved" and row.origin.source == done.used[0].name and row.origin.row == 4
    assert row.output in TASK.labels and done.used[0].rows == len(done.rows)


@pytest.mark.parametrize("most", [1, 2, 3])
def test_the_cap_on_data_sets_is_exact(tree, most):
    done = retrieve(TASK, spec(tree), Limits(datasets=most))
    assert len(done.used) == most == len({row.origin.source for row in done.rows})


def test_a_later_data_set_that_fails_does_not_take_earlier_rows_with_it(tree):
    (tree / "inns" / "data.jsonl").write_bytes(b"\x00\x01 no json at all\n")
    jsonl(tree / "hostels" / "data.jsonl", [{"id": 1}, {"id": 2}])
    done = retrieve(TASK, spec(tree), Limits(datasets=3))
    assert [u.name for u in done.used] == ["hotels"] and len(done.rows) == 30
    assert {"hostels", "inns", "secret"} <= {d.source for d in done.dropped if d.row is None}


def test_where_all_fail_the_result_is_empty_and_tells_why(tree):
    task = TASK.model_copy(update={"labels": ("red", "green")})
    done = retrieve(task, spec(tree), Limits())
    assert done.rows == () and done.used == ()
    assert "no rows were retrieved" in done.said[-1]
    nothing = retrieve(TASK, spec(tree), Limits(min_rows=0, licences=("gpl",)))
    assert nothing.rows == () and "within the limits" in nothing.said[-1]


def test_a_row_that_stands_in_two_data_sets_comes_once_and_the_copy_is_counted(tree):
    jsonl(tree / "inns" / "data.jsonl", remarks("inn by the road", 20) + remarks("hotel room", 4))
    done = retrieve(TASK, spec(tree), Limits(datasets=2, licences=("mit", "cc-by")))
    assert len(done.rows) == 50 and sum("earlier row" in d.reason for d in done.dropped) == 4
    assert len({row.input for row in done.rows}) == 50


def test_the_same_set_under_a_second_name_is_folded_and_said(tree):
    jsonl(tree / "zz_guests" / "train.jsonl", remarks("hotel room", 30))
    names = [f.dataset.name for f in find(TASK, spec(tree))]
    assert len({"hotels", "zz_guests"} & set(names)) == 1
    assert any("near duplicate" in line for line in retrieve(TASK, spec(tree), Limits()).said)


def test_the_teacher_may_say_that_none_fits_and_then_nothing_is_taken(tree):
    def ask(requests):
        return [Reply(texts=('{"fit": []}',), finish=("stop",)) for _ in requests]

    done = retrieve(TASK, spec(tree), Limits(), ask)
    assert done.rows == () and "none of the data sets fits" in done.said[-1]


def test_a_teacher_that_goes_away_ends_it_and_the_rows_before_stay(tree):
    def ask(requests):
        user = requests[0].messages[-1].content
        if "The data sets:" in user:
            both = [{"name": "hotels", "config": None}, {"name": "inns", "config": None}]
            return [Reply(texts=(json.dumps({"fit": both}),), finish=("stop",)) for _ in requests]
        if "The data set inns" in user:
            raise ProviderError("the teacher is gone", "connection refused", "try later")
        return [Reply(texts=('{"inputs": ["text"], "output": "label"}',), finish=("stop",)) for _ in requests]

    done = retrieve(TASK, spec(tree), Limits(datasets=3), ask)
    assert [u.name for u in done.used] == ["hotels"] and len(done.rows) == 30
    assert any(d.source == "inns" and "teacher is gone" in d.reason for d in done.dropped)


def test_only_data_sets_with_votes_are_used(tree):
    def ask(requests):
        user = requests[0].messages[-1].content
        if "The data sets:" in user:
            return [Reply(texts=('{"fit": [{"name": "inns", "config": null}]}',), finish=("stop",)) for _ in requests]
        return [Reply(texts=('{"inputs": ["text"], "output": "label"}',), finish=("stop",)) for _ in requests]

    done = retrieve(TASK, spec(tree), Limits(datasets=3), ask)
    assert [u.name for u in done.used] == ["inns"] and done.found[0].votes == 5


def test_a_licence_that_a_closer_look_reveals_counts(tree):
    source = open_source(str(tree))
    card = next(c for c in cards(tree) if c.name == "hotels")
    changed = replace(source, complete=lambda c: c.model_copy(update={"licence": "cc-by-nc-4.0"}))
    limits = Limits(licences=("mit",))
    assert len(read(card, source, limits)[1]) == 30
    with pytest.raises(Bad, match="closer look: licence"):
        read(card, changed, limits)


def test_a_translated_query_is_what_is_searched_for(tree):
    jsonl(tree / "maths" / "train.jsonl", [{"question": f"What is {i} and {i}?", "answer": str(2 * i)} for i in range(9)])
    (tree / "maths" / "README.md").write_text("# Sums\n\nArithmetic for children with the result of each sum.\n")
    assert find(TASK, spec(tree), query="add two numbers, arithmetic for children")[0].dataset.name == "maths"


def test_the_command_line_ranks_with_reasons_and_writes_rows_that_a_run_reads(tree, limbeck, tmp_path):
    from limbeck.sources.files import read_rows

    prompt = tmp_path / "prompt.md"
    prompt.write_text(
        "Say whether the remark about the hotel is good or bad.\n\nInput: lovely\nOutput: good\n\nInput: dirty\nOutput: bad\n"
    )
    card = tree / "hotels" / "README.md"
    card.write_text(card.read_text() + "\n" + " ".join(f"Remark{i}about hotels" for i in range(30)) + "\n")
    table = limbeck("find", "data", prompt, "--source", f"folder:{tree}", env={"COLUMNS": "600"}).stdout
    last = [line.split(" ...")[0].split()[-1] for line in table.splitlines() if " ..." in line]
    assert len(last) == 1 and re.fullmatch(r"Remark\d+about|hotels", last[0]), "a description is cut between words"
    ranked = limbeck("find", "data", prompt, "--source", f"folder:{tree}", "--licence", "mit", "--json")
    body = json.loads(ranked.stdout)
    assert [f["dataset"]["name"] for f in body["found"]] == ["hotels"] and "by meaning" in body["found"][0]["reason"]
    assert any("licence" in d["reason"] for d in body["dropped"])
    out = tmp_path / "rows.jsonl"
    done = limbeck("find", "data", prompt, "--source", f"folder:{tree}", "--rows", out, "--datasets", "1")
    assert done.returncode == 0, done.stderr
    assert "hotels: 30 of 30 rows" in done.stdout and len(read_rows(out)[0]) == 30
    wrong = limbeck("find", "data", prompt, "--source", "foldr:x")
    assert wrong.returncode == 2 and "did you mean folder" in wrong.stderr


def test_a_german_prompt_is_translated_by_the_teacher_or_a_note_says_that_nobody_did(tree, limbeck, tmp_path):
    from limbeck.testing.chat_server import ChatServer, completion

    jsonl(tree / "maths" / "train.jsonl", [{"question": f"What is {i} and {i}?", "answer": str(2 * i)} for i in range(9)])
    (tree / "maths" / "README.md").write_text("# Sums\n\nArithmetic for children with the result of each sum.\n")
    prompt = tmp_path / "prompt.md"
    prompt.write_text(
        "Löse die Rechenaufgabe und gib nur das Ergebnis an. Antworte mit einer Zahl.\n\nEingabe: drei und vier\nAusgabe: 7\n"
    )
    command = ("find", "data", prompt, "--source", f"folder:{tree}", "--json")
    alone = json.loads(limbeck(*command).stdout)
    assert any("no teacher to translate" in text for text in alone["said"])
    english = '{"prompt_in_english": "Solve the arithmetic exercise for children, a sum, and give the result alone."}'
    with ChatServer(lambda body: (200, completion(english))) as server:
        asked = limbeck(*command, "--teacher", f"{server.address}#small", "--price", "1/2", cwd=tmp_path)
    assert asked.returncode == 0, asked.stderr
    body = json.loads(asked.stdout)
    assert any("translation" in text for text in body["said"]) and body["found"][0]["dataset"]["name"] == "maths"
