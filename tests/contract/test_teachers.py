"""Every teacher on the shelf keeps the contract."""

import json
from importlib.util import find_spec

import pytest

from limbeck.registry import names
from limbeck.teachers import open_teacher
from limbeck.testing.chat_server import ChatServer, completion
from limbeck.testing.teachers import check_teacher
from limbeck.types import Example, Message, Request

SCHEMA = json.dumps({"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"], "additionalProperties": False})
ROW = Example(id="r1", input="The screen is black.")
REQUEST = Request(messages=(Message(role="user", content="Input: The screen is black.\nAnswer:"),), reply_schema=SCHEMA, row=ROW)


def test_the_recorded_teacher(tmp_path):
    file = tmp_path / "replies.jsonl"
    file.write_text(json.dumps({"input": ROW.input, "label": "broken", "samples": ["broken", "dark"]}) + "\n")
    check_teacher(open_teacher(f"recorded:{file}"), REQUEST)


def test_the_openai_teacher(monkeypatch):
    monkeypatch.setenv("LIMBECK_API_KEY", "sk-very-secret")
    with ChatServer(lambda body: (200, completion(*['{"answer": "broken"}'] * body.get("n", 1)))) as server:
        check_teacher(open_teacher(f"{server.address}#small"), REQUEST)


def test_the_batch_teacher(monkeypatch):
    monkeypatch.setenv("LIMBECK_API_KEY", "sk-very-secret")
    with ChatServer(lambda body: (200, completion(*['{"answer": "broken"}'] * body.get("n", 1)))) as server:
        check_teacher(open_teacher(f"openai-batch:{server.address}#small"), REQUEST)


@pytest.mark.skipif(find_spec("limbeck.engine.generate") is None, reason="limbeck.engine.generate is not written yet")
@pytest.mark.parametrize("family", ["causal", "seq2seq"])
def test_the_local_teacher(tmp_path, family):
    toys = pytest.importorskip("limbeck.testing.toys", reason="needs pip install 'limbeck[train]'", exc_type=ImportError)
    folder = toys.toy(tmp_path / "toy", family=getattr(toys, family.upper()))
    check_teacher(open_teacher(f"local:{folder}"), REQUEST.model_copy(update={"max_tokens": 8}))


def test_no_teacher_of_the_shelf_goes_without_a_contract():
    tested = {"recorded", "openai", "openai-batch", "local"}
    ours = {name for name, where in names("teachers").items() if where.startswith("limbeck.")}
    assert ours == tested
