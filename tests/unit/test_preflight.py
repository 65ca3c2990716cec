"""Before anything is spent: a recipe that its base rules out, and rows that are nowhere, are told at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from limbeck.errors import MissingError, UsageError
from limbeck.hallway import look
from limbeck.preflight import preflight
from limbeck.types import Price, Settings

PROMPT = "Say whether the mail is a refund.\nLabels: refund, other\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ten rows, and a base 64 wide of which only the config is looked at."""
    monkeypatch.setenv("LIMBECK_API_KEY", "sk-none")
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


ASKS = ("http://127.0.0.1:9/v1#m", Price(usd_per_mtok_in=1, usd_per_mtok_out=2))


def foreseen(folder: Path, *candidates: str, **more: object) -> tuple[list[str], int]:
    """(what the plan would pay for beside its candidates, test rows); nobody is asked, nothing is loaded."""
    for name in ("test", "dev", "unlabelled"):
        if more.get(name):
            rows = [{"input": f"{name} letter {i}", "output": ("refund", "other")[i % 2]} for i in range(12)]
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            more[name] = str(folder / f"{name}.jsonl")
    settings = Settings(prompt="prompt.md", candidates=candidates, teacher=ASKS[0], price=ASKS[1], **more)
    _, plan, splits = look(settings, PROMPT)
    return [str(line["recipe"]) for line in plan.estimate.lines if line["recipe"] not in candidates], len(splits.test.ids)


def test_rows_are_made_only_where_a_candidate_learns_from_them_or_is_shown_some(folder: Path) -> None:
    assert foreseen(folder, "prompt@teacher", "prompt:cot@teacher", test=True, dev=True) == ([], 12)
    for learner in ("head@minilm", "majority", "prompt+few:4@teacher"):
        made, _ = foreseen(folder, "prompt@teacher", learner, test=True, dev=True)
        assert made == ["rows: 300 made from the prompt"], learner
    assert foreseen(folder, "prompt@teacher", dev=True)[0], "without test rows there is nothing to score on"
    assert foreseen(folder, "prompt@teacher", test=True, make=50)[0] == ["rows: 50 made from the prompt"], "asked for in so many words"


def test_unlabelled_rows_are_labelled_only_for_candidates_that_train_on_them(folder: Path) -> None:
    given = {"rows": (str(folder / "rows.jsonl"),), "test": True, "unlabelled": True}
    assert foreseen(folder, "prompt@teacher", "prompt+few:2@teacher", "head+rows:gold@minilm", **given) == ([], 12)
    assert foreseen(folder, "prompt@teacher", "head@minilm", **given)[0] == ["labels for unlabelled rows"]


def test_several_prompts_on_test_rows_alone_are_chosen_on_some_of_them(folder: Path) -> None:
    assert foreseen(folder, "prompt@teacher", test=True) == ([], 12), "one candidate is chosen without dev"
    assert foreseen(folder, "prompt@teacher", "prompt:cot@teacher", test=True) == ([], 8)


def test_a_base_of_the_hub_that_is_not_here_is_refused_offline_and_told_online(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    def hf_hub_download(*name: str) -> str:
        asked.append(name)
        raise OSError("no network in a test")

    asked: list[tuple[str, ...]] = []
    monkeypatch.setenv("HF_HUB_CACHE", str(folder / "cache"))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", hf_hub_download)
    settings = Settings(prompt="prompt.md", rows=(str(folder / "rows.jsonl"),), candidates=("majority", "full@nope/nope", "full@own/kept"))
    kept = folder / "cache" / "models--own--kept" / "snapshots" / "abc"
    kept.mkdir(parents=True)
    for name in ("config.json", "model.safetensors"):
        (kept / name).touch()
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    given, _, _ = look(settings, PROMPT)
    assert [text for text in given.warnings if "is downloaded first" in text and text.startswith("nope/nope")] == given.downloads
    assert len(given.downloads) == 1 and not asked, "a dry run asks nobody"
    preflight(settings, PROMPT)
    assert ("nope/nope", "config.json") in asked, "a run wants to know what kind of model it is"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MissingError, match="nope/nope is not on this machine"):
        look(settings, PROMPT)


def test_a_base_whose_kind_is_not_known_yet_is_not_refused_as_an_encoder() -> None:
    from limbeck import recipes

    assert recipes.parse("lora+rag:4@owner/unknown").context == "rag:4"
    with pytest.raises(UsageError, match="reads passages"):
        recipes.parse("lora+rag:4@minilm")
