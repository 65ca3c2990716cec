"""A model in this process: loaded when first asked, once; a folder that was trained again is another teacher."""

import sys
from types import SimpleNamespace

import pytest

from limbeck.teachers.local import open_teacher
from limbeck.types import Message, Request

REQUEST = Request(messages=(Message(role="user", content="Say it."),), max_tokens=5, temperature=0.3, n=2, seed=7)


@pytest.fixture
def opened(monkeypatch):
    """The paths for which a generator was opened; the engine itself has its own tests."""
    paths = []

    def open_generator(path):
        paths.append(path)
        return SimpleNamespace(reply=lambda *given: (["a", "b"], ["stop", "length"], 4, len(given)))

    monkeypatch.setitem(sys.modules, "limbeck.engine.generate", SimpleNamespace(open_generator=open_generator))
    return paths


def test_the_model_is_loaded_once_and_not_before_it_is_asked(opened):
    teacher = open_teacher("local:Qwen/Qwen3-0.6B")
    assert opened == [] and not teacher.remote and not teacher.recording
    replies = [teacher.ask(REQUEST) for _ in range(2)]
    assert opened == ["Qwen/Qwen3-0.6B"]
    assert replies[0].texts == ("a", "b") and replies[0].finish == ("stop", "length")
    assert (replies[0].tokens_in, replies[0].tokens_out) == (4, 5)  # messages, max_tokens, temperature, n, seed


def test_a_folder_that_was_trained_again_is_another_teacher(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"1")
    before = open_teacher(f"local:{tmp_path}").fingerprint
    assert open_teacher(f"local:{tmp_path}").fingerprint == before
    (tmp_path / "model.safetensors").write_bytes(b"22")
    assert open_teacher(f"local:{tmp_path}").fingerprint != before
