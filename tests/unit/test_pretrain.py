"""The pre-training of the embedded bases: nothing is lost in corruption, the cheap loss is the loss, made answers are right."""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

PRETRAIN = Path(__file__).resolve().parents[2] / "bench" / "pretrain"
NAMES = ("batches", "losses", "leak", "made", "word_problems", "records", "from_templates", "sources", "tokens", "mixture")


@pytest.fixture(scope="module")
def pretrain() -> Iterator[dict[str, Any]]:
    """The modules of bench/pretrain, as its scripts see them; gone again afterwards."""
    before, path = set(sys.modules), list(sys.path)
    sys.path[:0] = [str(PRETRAIN), str(PRETRAIN.parent)]
    yield {name: import_module(name) for name in NAMES}
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "") or "").startswith(str(PRETRAIN.parent)):
            del sys.modules[name]


def no_stock() -> Any:
    """For generators made of templates alone."""
    from types import SimpleNamespace

    word = SimpleNamespace(words=("stone",))
    return SimpleNamespace(sentence=lambda *_: "It was late.", entry=lambda *_: word)


# ---- batches and losses -----------------------------------------------------------------------------------------------


def test_span_corruption_loses_nothing_and_hides_fifteen_percent(pretrain: dict[str, Any]) -> None:
    corrupt, first = pretrain["batches"].corrupt, pretrain["batches"].SENTINEL_0
    rng = np.random.default_rng(0)
    for _ in range(50):
        row = rng.integers(100, 4096, 150)
        inputs, labels = (part.tolist() for part in corrupt(row, 22, 7, rng))
        assert inputs[-1] == labels[-1] == pretrain["batches"].EOS_ID
        spans: dict[int, list[int]] = {}
        for token in labels[:-1]:
            if first <= token < first + 32:
                spans[token] = []
            else:
                spans[list(spans)[-1]].append(token)
        whole = [t for token in inputs[:-1] for t in spans.get(token, [token])]
        assert whole == row.tolist()
        assert list(spans) == list(range(first, first + 7))
        assert sum(map(len, spans.values())) == 22 and all(spans.values())


def test_every_window_of_an_epoch_comes_once_and_a_step_is_the_same_when_asked_again(pretrain: dict[str, Any], tmp_path: Path) -> None:
    batches = pretrain["batches"]
    np.savez(tmp_path / "text.npz", ids=np.arange(100, 4000, dtype=np.uint16), ends=np.array([1000, 3900]), held=np.array([False, False]))
    text = batches.Rows(tmp_path / "text.npz", held=False)
    spans = batches.SpanBatches(text, rows=5, raw=100, seed=3)
    assert np.array_equal(spans.at(4)["input_ids"], spans.at(4)["input_ids"])
    assert not np.array_equal(spans.at(4)["input_ids"], spans.at(5)["input_ids"])
    starts = batches.window_starts(3, 0, spans.windows(), 100)
    assert len(set(starts.tolist())) == spans.windows() == 38
    assert set(np.diff(np.sort(starts)).tolist()) == {100}


@pytest.mark.parametrize("rows", [7, 1300])
def test_the_chunked_head_loss_and_its_gradients_are_those_of_cross_entropy(pretrain: dict[str, Any], rows: int) -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(rows, 16, requires_grad=True), torch.randn(50, 16, requires_grad=True)
    target, count = torch.randint(50, (rows,)), torch.rand(rows)
    ours = pretrain["losses"].head_loss(hidden, weight, target, count)
    got = torch.autograd.grad(3 * ours, (hidden, weight))
    plain = (torch.nn.functional.cross_entropy(hidden @ weight.T, target, reduction="none") * count).sum() / count.sum()
    expected = torch.autograd.grad(3 * plain, (hidden, weight))
    assert float((ours - plain).detach()) == pytest.approx(0, abs=1e-5)
    for a, b in zip(got, expected, strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_padding_counts_nothing_in_a_packed_window(pretrain: dict[str, Any], tmp_path: Path) -> None:
    batches = pretrain["batches"]
    rows = [[3, 200, 201, 1], [3, 210, 211, 212, 213, 1]]
    marks = [[0, 0, 1, 1], [0, 0, 0, 0, 1, 1]]
    flat = lambda part: np.array([i for row in part for i in row], dtype=np.uint16)  # noqa: E731
    np.savez(
        tmp_path / "m.npz",
        ids=flat(rows),
        ends=np.array([4, 10]),
        taught=flat(marks),
        taught_ends=np.array([4, 10]),
        held=np.array([False, False]),
    )
    mixture, taught = (batches.Rows(tmp_path / "m.npz", False, key) for key in ("ids", "taught"))
    part = batches.WindowBatches(None, mixture, taught, 3, 16, seed=0).at(0)
    ids, weights = part["input_ids"], part["weights"]
    assert not weights[(ids == 0) | (ids == 3)].any()
    assert (weights[(ids == 1) | (ids == 213) | (ids == 201)] == 1).all()
    assert np.allclose(weights[(ids == 210) | (ids == 200)], batches.PROMPT_WEIGHT)


# ---- the mixture --------------------------------------------------------------------------------------------------------


def test_a_word_problems_equation_gives_its_number_and_uses_numbers_of_the_text(pretrain: dict[str, Any]) -> None:
    rng = random.Random(0)
    for _ in range(400):
        text, equation, number = pretrain["word_problems"].problem(rng, no_stock())
        assert re.fullmatch(r"[\d.+\-*/() ]+", equation)
        assert float(eval(equation)) == pytest.approx(float(number))  # digits and signs alone, as just checked
        assert float(number) >= 0
        told = set(map(float, re.findall(r"\d+", text)))
        assert {float(n) for n in re.findall(r"\d+(?:\.\d+)?", equation)} <= told


def test_fields_stand_word_for_word_in_their_message(pretrain: dict[str, Any]) -> None:
    rng = random.Random(0)
    for _ in range(200):
        made = pretrain["records"].fields(rng, no_stock())
        for value in json.loads(made.output).values():
            assert value.lower() in made.input.lower()


def test_an_answer_about_a_passage_stands_in_it(pretrain: dict[str, Any]) -> None:
    rng = random.Random(0)
    for _ in range(200):
        made = pretrain["from_templates"].passage_question(rng, no_stock())
        assert made.output in made.input


def test_the_labels_of_entailment_come_equally_often_and_are_among_the_labels(pretrain: dict[str, Any]) -> None:
    rng = random.Random(0)
    made = [pretrain["from_templates"].entailment(rng, no_stock()) for _ in range(600)]
    places = [m.labels.index(m.output) for m in made]
    assert min(places.count(i) for i in range(3)) > 150


def test_rows_read_as_students_read_them(pretrain: dict[str, Any]) -> None:
    made = pretrain["made"].Made("Say it.", "a b", "b")
    assert pretrain["mixture"].parts_of(made, instruct=False) == ("Input: a b\nAnswer:", " b")
    assert pretrain["mixture"].parts_of(made, instruct=True)[0].startswith("Say it.\n\n")


def test_no_source_is_an_evaluation_set(pretrain: dict[str, Any], shared: Path) -> None:
    evaluation = set(pretrain["leak"].evaluation_sets())
    assert len(evaluation) > 40
    assert not evaluation & {s.name for s in pretrain["sources"].SOURCES}
    assert not any("wikitext" in s.file for s in pretrain["sources"].SOURCES)


def test_a_copied_stretch_of_eight_words_is_found_whatever_its_case_and_signs(pretrain: dict[str, Any]) -> None:
    leak = pretrain["leak"]
    forbidden = set(leak.grams("How many apples does the old man have now, after all?"))
    texts = ["so HOW MANY apples -- does the old man have NOW then", "many apples does the old man have", "a b c d e f g h i j"]
    assert list(leak.clean(texts, forbidden)) == [False, True, True]
