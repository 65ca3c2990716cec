"""The hub source against a local server that speaks as the Hub does: search, cards, rows from the start of files, refusals."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from limbeck.errors import MissingError, MissingKey, ProviderError, UsageError
from limbeck.sources import hub
from limbeck.sources.datasets import Limits, open_source
from limbeck.sources.retrieve import retrieve
from limbeck.testing.hub_server import HubServer
from limbeck.types import Kind, Task

LABELS = ("bad", "good")
CARD = """---
license: mit
language: [en]
downloads: 900
task_categories: [text-classification]
pretty_name: Remarks about hotels
dataset_info:
  features:
  - name: text
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': bad
          '1': good
  splits:
  - name: train
    num_examples: 60000
---
# Dataset Card for hotel remarks

What guests wrote about a hotel after their stay, good and bad.
"""
TASK = Task(name="mood", instruction="Say whether the hotel remark is good or bad.", kind=Kind.LABEL, labels=LABELS)


def records(n: int) -> list[dict]:
    return [{"text": f"The room number {i} was {LABELS[i % 2]}", "label": i % 2} for i in range(n)]


def write(path: Path, data: bytes | str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data.encode() if isinstance(data, str) else data)


def jsonl(n: int) -> str:
    return "".join(json.dumps(r) + "\n" for r in records(n))


def parquet(path: Path, rows: list[dict], row_group: int = 1000) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=row_group, compression="none")


@pytest.fixture
def online(monkeypatch):
    """reach(server): the hub source looks there."""
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_TOKEN", raising=False)

    def reach(server: HubServer) -> HubServer:
        monkeypatch.setenv("HF_ENDPOINT", server.address)
        return server

    return reach


@pytest.fixture
def served(tmp_path, online):
    write(tmp_path / "guests/hotel_remarks/README.md", CARD)
    write(tmp_path / "guests/hotel_remarks/data/train.jsonl", jsonl(60_000))
    write(tmp_path / "guests/hotel_remarks/data/test.jsonl", '{"text": "kept apart", "label": 0}\n')
    with HubServer(tmp_path) as server:
        yield online(server)


def test_search_reads_licence_languages_and_downloads_from_the_tags(served):
    found = open_source("hub").search("Say whether the hotel remark is good or bad")
    assert [(c.name, c.licence, c.languages, c.downloads, c.gated) for c in found] == [("guests/hotel_remarks", "mit", ("en",), 900, False)]
    assert any("search=hotel" in path for path in served.asked)


def test_the_card_brings_columns_label_names_and_rows(served):
    card = hub.complete(open_source("hub").search("hotel")[0])
    assert card.columns == ("text", "label") and card.class_labels == {"label": LABELS} and card.rows == 60_000
    assert "wrote about a hotel" in card.description or card.description == "Remarks about hotels"


def test_rows_come_from_the_start_of_the_training_file_and_the_rest_is_never_sent(served):
    file = served.root / "guests/hotel_remarks/data/train.jsonl"
    file.write_text(file.read_text() * 8)  # 26 MB: more than the buffers of a socket hold
    card = open_source("hub").search("hotel")[0]
    read = hub.records(card, 50)
    assert [n for n, _ in read] == list(range(1, 51)) and read[9][1] == records(10)[9]
    assert not any("test.jsonl" in path for path in served.asked)
    assert served.sent < file.stat().st_size / 2


def test_parquet_is_read_by_ranges_and_only_the_first_row_groups_are_sent(tmp_path, online):
    rows = [{"text": f"The room number {i} was {LABELS[i % 2]} " + "x" * 200, "label": i % 2, "photo": b"\xff" * 50} for i in range(20_000)]
    parquet(tmp_path / "guests/rooms/data/train-00000-of-00001.parquet", rows)
    with HubServer(tmp_path) as server:
        online(server)
        read = hub.records(open_source("hub:rooms").search("")[0], 100)
        assert len(read) == 100 and read[7] == (8, {"text": rows[7]["text"], "label": 1})
        whole = (tmp_path / "guests/rooms/data/train-00000-of-00001.parquet").stat().st_size
        assert 0 < server.sent < whole / 4


@pytest.mark.parametrize("name", ["train.csv", "train.csv.gz", "train.jsonl.gz", "train.tsv", "train.json"])
def test_every_kind_of_text_file_gives_the_same_rows(tmp_path, online, name):
    rows = records(500)
    separated = "\t" if "tsv" in name else ","
    text = jsonl(500) if "jsonl" in name else json.dumps(rows) if "json" in name else "".join(f"{a}{separated}{b}\n" for a, b in [("text", "label"), *((r["text"], r["label"]) for r in rows)])  # fmt: skip
    write(tmp_path / "guests/inns" / name, gzip.compress(text.encode()) if name.endswith(".gz") else text)
    with HubServer(tmp_path) as server:
        online(server)
        card = open_source("hub:inns").search("")[0]
        assert [(n, str(r["text"]), str(r["label"])) for n, r in hub.records(card, 30)] == [(i + 1, r["text"], str(r["label"])) for i, r in enumerate(rows[:30])]  # fmt: skip
        assert len(hub.records(card, 5000)) == 500


def test_a_set_without_readable_files_is_read_from_the_hubs_own_parquet_copy(tmp_path, online):
    write(tmp_path / "guests/old/loader.py", "raise SystemExit('never run')")
    parquet(tmp_path / "guests/old/.converted/default/train/0000.parquet", records(20))
    parquet(tmp_path / "guests/old/.converted/default/test/0000.parquet", [{"text": "kept apart", "label": 0}])
    with HubServer(tmp_path) as server:
        online(server)
        read = hub.records(open_source("hub:old").search("")[0], 100)
        assert len(read) == 20 and read[0][1] == records(1)[0]
        assert not any("loader.py" in path for path in server.asked)


def test_the_named_part_is_read_and_no_other(tmp_path, online):
    write(tmp_path / "guests/parts/rooms/train.jsonl", jsonl(5))
    write(tmp_path / "guests/parts/meals/train.jsonl", '{"text": "soup", "label": 1}\n')
    with HubServer(tmp_path) as server:
        online(server)
        card = open_source("hub:parts").search("")[0].model_copy(update={"configs": ("rooms", "meals"), "config": "meals"})
        assert [r["text"] for _, r in hub.records(card, 10)] == ["soup"]


def test_the_whole_way_label_ids_become_the_tasks_labels_with_source_licence_and_row(served):
    done = retrieve(TASK, ["hub"], Limits(rows=200, datasets=1))
    assert len(done.rows) == 200 and done.used[0].licence == "mit"
    row = done.rows[4]
    assert (row.input, row.output) == ("The room number 4 was bad", "bad")
    assert (row.origin.source, row.origin.row, row.origin.licence) == ("guests/hotel_remarks", 5, "mit")


def test_a_gated_set_says_what_to_do_and_does_not_stop_the_others(tmp_path, online):
    for name in ("hotel_private", "hotel_open"):
        write(tmp_path / f"guests/{name}/README.md", CARD)
        write(tmp_path / f"guests/{name}/train.jsonl", jsonl(40 if name == "hotel_open" else 30).replace("room", name))
    write(tmp_path / "guests/hotel_private/README.md", CARD.replace("What guests wrote", "Closed notes on what visitors told us"))
    with HubServer(tmp_path, gated=["guests/hotel_private"]) as server:
        online(server)
        closed = next(c for c in open_source("hub:hotel").search("") if c.gated)
        with pytest.raises(MissingKey, match="HF_TOKEN"):
            hub.records(closed, 5)
        assert [f.dataset.name for f in retrieve(TASK, ["hub"], Limits(gated=False)).found] == ["guests/hotel_open"]
        done = retrieve(TASK, ["hub"], Limits(gated=True, datasets=2))
        assert [u.name for u in done.used] == ["guests/hotel_open"]
        assert any(d.source == "guests/hotel_private" and "gated" in d.reason for d in done.dropped)


def test_a_missing_set_an_ill_server_no_network_and_offline_are_four_clear_errors(tmp_path, served, monkeypatch):
    import huggingface_hub.constants

    card = open_source("hub").search("hotel")[0]
    with pytest.raises(UsageError, match="has no guests/none"):
        hub.records(card.model_copy(update={"where": "guests/none"}), 5)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ProviderError, match="cannot reach the Hub"):
        hub.records(card, 5)
    with HubServer(tmp_path, broken=418) as ill:
        monkeypatch.setenv("HF_ENDPOINT", ill.address)
        with pytest.raises(ProviderError, match="HTTP 418"):
            open_source("hub:hotel").search("")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(MissingError, match="HF_HUB_OFFLINE"):
        hub.records(card, 5)


def test_a_source_that_cannot_be_reached_is_said_while_another_brings_rows(tmp_path, monkeypatch):
    write(tmp_path / "hotels/train.jsonl", "".join(json.dumps({"text": f"Hotel {i} was {LABELS[i % 2]}", "label": LABELS[i % 2]}) + "\n" for i in range(10)))  # fmt: skip
    done = retrieve(TASK, ["hub", f"folder:{tmp_path}"], Limits())
    assert [u.name for u in done.used] == ["hotels"]
    assert any("switched off" in line for line in done.said)
    with pytest.raises(MissingError, match="switched off"):
        retrieve(TASK, ["hub"], Limits())


def test_with_a_teacher_over_http_votes_plan_and_rows_are_paid_once_and_the_second_call_pays_nothing(tmp_path, limbeck):
    from limbeck.testing.chat_server import ChatServer, completion

    facts = [{"statement": f"Town {i} lies on river {i}", "year": str(1900 + i)} for i in range(12)]
    write(tmp_path / "tree/towns/train.jsonl", "".join(json.dumps(r) + "\n" for r in facts))
    prompt = tmp_path / "prompt.md"
    prompt.write_text("Write one question about the fact that you are given. Reply with the question alone.\n")

    def answer(body):
        system, user = (m["content"] for m in body["messages"])
        if "The data sets:" in user:
            return 200, completion(json.dumps({"fit": [{"name": "towns", "config": None}]}))
        if "Columns:" in user:
            return 200, completion('{"inputs": ["statement"], "output": "year"}')
        if "stand among the training rows" in system:
            return 200, completion('{"fits": false, "why": "a year is no question"}')
        if "The plan:" not in user:
            return 200, completion("1. Ask for the river of the town.")
        town = user.rsplit("Input: ", 1)[1].split(" lies")[0]
        return 200, completion(json.dumps({"input": f"{town} lies on a river", "output": f"On which river lies {town}?"}))

    with ChatServer(answer) as server:
        out = tmp_path / "rows.jsonl"
        command = ("find", "data", prompt, "--source", f"folder:{tmp_path / 'tree'}", "--teacher", f"{server.address}#small", "--price", "1/2", "--rows", out, "--json")  # fmt: skip
        first = limbeck(*command, cwd=tmp_path)
        body = json.loads(first.stdout)
        assert (body["rows"], body["used"][0]["how"], body["found"][0]["votes"]) == (12, "rewritten", 5)
        assert len(server.bodies) == 5 + 1 + 1 + 1 + 12
        row = json.loads(out.read_text().splitlines()[0])
        assert row["output"] == "On which river lies Town 0?"
        assert row["origin"]["template"] == "rewrite-row" and row["origin"]["cost_usd"] > 0 and row["origin"]["request"]
        again = limbeck(*command, cwd=tmp_path)
        assert json.loads(again.stdout)["rows"] == 12 and len(server.bodies) == 20
