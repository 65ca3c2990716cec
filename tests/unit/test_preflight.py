"""Before anything is spent: a recipe that its base rules out, and rows that are nowhere, are told at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from limbeck.errors import MissingError, UsageError
from limbeck.preflight import preflight
from limbeck.types import Settings

PROMPT = "Say whether the mail is a refund.\nLabels: refund, other\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten rows, and a base 64 wide of which only the config is looked at."""
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"input": f"mail {i}", "output": "refund"}) + "\n" for i in range(10)))
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text(json.dumps({"model_type": "bert", "hidden_size": 64}))
    return tmp_path


def check(folder: Path, *candidates: str, **more: object) -> None:
    rows = () if "make" in more else (str(folder / "rows.jsonl"),)
    preflight(Settings(prompt="prompt.md", rows=rows, candidates=candidates, **more), PROMPT)


def test_a_base_that_is_not_there_is_refused(folder: Path) -> None:
    check(folder, f"full@{folder}/base")
    with pytest.raises(MissingError, match="there is no model in"):
        check(folder, "majority", f"full@{folder}/bass")
    with pytest.raises(UsageError, match="unknown base 'minilmm'"):
        check(folder, "full@minilmm")


@pytest.mark.parametrize("recipe", ["qlora:r9999", "lora:r65", "loreft:r65", "qalora:4:g128"])
def test_a_rank_or_a_group_wider_than_the_base_is_refused(folder: Path, recipe: str) -> None:
    with pytest.raises(UsageError, match="more than the base is wide") as error:
        check(folder, f"{recipe}@{folder}/base")
    assert "64 numbers" in error.value.have


def test_a_rank_that_is_set_counts_as_one_that_is_written(folder: Path) -> None:
    check(folder, f"lora@{folder}/base", overrides={"rank": 64})
    with pytest.raises(UsageError, match="rank is 65"):
        check(folder, f"lora@{folder}/base", overrides={"rank": 65})


def test_a_group_need_not_divide_the_width(folder: Path) -> None:
    """The last group is shorter, and its mean is divided by its own size."""
    check(folder, f"qalora:4:g7@{folder}/base")


def test_an_error_about_missing_rows_says_what_there_is(folder: Path) -> None:
    with pytest.raises(MissingError) as error:
        check(folder, make=0)
    assert error.value.have == "no --rows file was given"


@pytest.mark.parametrize(("name", "value"), [("max_length", -5), ("epochs", 0), ("lr", "fast"), ("batch_rows", True)])
def test_a_number_that_has_to_be_above_nothing_is_refused(folder: Path, name: str, value: object) -> None:
    with pytest.raises(UsageError, match=f"--set {name} takes a number above 0"):
        check(folder, "full@minilm", overrides={name: value})
