"""Readings and the scores made of them: means over parts, words that look for their nearest, the cache on disk."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from limbeck.engine import reading  # noqa: E402
from limbeck.engine.load import load_base  # noqa: E402
from limbeck.engine.rank import WORDS, add, by_matching, nearest_part  # noqa: E402
from limbeck.engine.reading import Reading, read  # noqa: E402
from limbeck.sources import rank_data  # noqa: E402
from limbeck.sources.datasets import Dataset  # noqa: E402
from limbeck.types import Demonstration, Kind, Task  # noqa: E402

TWO = [("A red bicycle.", 20), (" It was stolen in Ghent.", 20)]


def card(name: str, **more) -> Dataset:
    return Dataset(**{"source": "folder:x", "where": name, **more, "name": name})


@pytest.fixture(autouse=True)
def nothing_read_before(monkeypatch):
    monkeypatch.setattr(reading, "_readings", {})


# ---- readings -----------------------------------------------------------------------------------------------------


def test_a_text_in_two_parts_is_read_as_the_whole_text_is():
    whole = read([[("A red bicycle. It was stolen in Ghent.", 40)]])[0]
    parts = read([TWO])[0]
    assert parts.ids.tolist() == whole.ids.tolist() and np.array_equal(parts.states, whole.states)
    assert parts.spans == ((1, 5), (5, 11)) and whole.spans == ((1, 11),)
    assert parts.mean() == pytest.approx(whole.mean(), abs=1e-6)


def test_the_mean_of_a_part_is_the_mean_of_the_models_own_states_over_its_tokens():
    base = load_base("minilm", shared=True)
    one = read([TWO])[0]
    with torch.inference_mode():
        states = base.model(input_ids=torch.tensor([one.ids.tolist()])).last_hidden_state[0].numpy()
    expected = states[5:11].mean(0)
    assert one.mean(1) == pytest.approx(expected / np.linalg.norm(expected), abs=2e-3)  # states are kept in float16


def test_an_empty_part_stands_for_the_whole_and_a_long_one_is_cut():
    one = read([[("Bicycles", 20), ("", 20), ("word " * 50, 7)]])[0]
    assert one.spans[1][0] == one.spans[1][1] and np.array_equal(one.mean(1), one.mean())
    assert one.spans[2][1] - one.spans[2][0] == 7


def test_readings_outlive_the_process_and_a_changed_text_is_read_anew(tmp_path, monkeypatch):
    file = tmp_path / "cards.safetensors"
    texts = [[(f"Messages about topic {i}.", 20)] for i in range(reading.WORTH)]
    fresh = read(texts, file=file)
    computed = []
    monkeypatch.setattr(reading, "_readings", {})
    compute = reading.compute
    monkeypatch.setattr(reading, "compute", lambda base, texts: (computed.extend(texts), compute(base, texts))[1])
    again = read([*texts[1:], [("Messages about another topic.", 20)]], file=file)
    assert computed == [[("Messages about another topic.", 20)]]
    for one, other in zip(fresh[1:], again, strict=False):
        assert np.array_equal(one.states, other.states) and one.ids.tolist() == other.ids.tolist() and one.spans == other.spans


@pytest.mark.parametrize("content", [b"", b"\x10\x00\x00\x00\x00\x00\x00\x00no header at all", None])
def test_a_damaged_or_unwritable_file_costs_no_answer(tmp_path, content):
    file = tmp_path / "cards.safetensors"
    if content is None:
        (tmp_path / "file").write_text("x")
        file = tmp_path / "file" / "cards.safetensors"  # its folder is a file
    else:
        file.write_bytes(content)
    texts = [[(f"Number {i}", 9)] for i in range(reading.WORTH)]
    assert len(read(texts, file=file)) == reading.WORTH


# ---- scores ---------------------------------------------------------------------------------------------------------


def spelt(words: str, states: list[list[float]]) -> Reading:
    """A reading made by hand: one token a word, between the special ones."""
    tokenizer = load_base("minilm", shared=True).tokenizer
    ids = tokenizer(words)["input_ids"]
    assert len(ids) == len(states) + 2
    return Reading(np.array(ids, np.int32), np.array([[9, 9], *states, [9, 9]], np.float16), ((1, len(ids) - 1),))


def test_each_word_looks_for_its_nearest_and_weighs_by_its_rareness():
    """idf of `car`, in one text of two: ln(1 + 1.5/1.5); of `the`, in both: ln(1 + 0.5/2.5); of `boat`, in none: ln(1 + 2.5/0.5)."""
    texts = [spelt("the car", [[1, 0], [0, 1]]), spelt("the tree", [[1, 0], [1, 1]])]
    query = spelt("the car boat", [[1, 0], [0, 2], [-1, 0]])
    the, car, boat = math.log(1.2), math.log(2), math.log(6)
    expected = [(the * 1 + car * 1 + boat * 0) / (the + car + boat), (the * 1 + car * 0.5**0.5 + boat * -(0.5**0.5)) / (the + car + boat)]
    assert by_matching(query, texts) == pytest.approx(expected, abs=1e-3)
    without = [(car * 1 + boat * 0) / (car + boat), (car + boat * -1) * 0.5**0.5 / (car + boat)]
    assert by_matching(query, texts, {"the"}) == pytest.approx(without, abs=1e-3)


def test_a_query_without_telling_words_matches_nothing():
    texts = [spelt("the car", [[1, 0], [0, 1]])]
    assert by_matching(spelt("the ?", [[1, 0], [0, 1]]), texts, {"the"}).tolist() == [0.0]
    assert by_matching(spelt("car", [[1, 0]]), [spelt("?", [[1, 0]])]).tolist() == [0.0]


def test_the_nearer_of_whole_and_part_counts():
    one = Reading(np.arange(4), np.array([[0, 0], [1, 0], [0, 1], [0, 0]], np.float16), ((1, 2), (2, 3)))
    assert nearest_part(np.array([0.0, 1.0]), [one], 1) == pytest.approx([1.0])
    assert nearest_part(np.array([1.0, 0.0]), [one], 1) == pytest.approx([0.5**0.5], abs=1e-3)


def test_one_word_shared_by_chance_does_not_outweigh_the_meaning():
    words, meaning, matching = np.array([2.0, 0.0]), np.array([0.2, 0.5]), np.array([0.4, 0.5])
    assert add(words, meaning, matching) == pytest.approx([0.6 + 2 * WORDS, 1.0])


# ---- cards ----------------------------------------------------------------------------------------------------------


def test_another_word_for_the_same_thing_finds_the_card():
    pool = [
        card("wines", description="Tasting notes of wines with their region."),
        card("clinic", description="Letters of physicians to patients, by illness."),
        card("trains", description="Timetables of railways."),
    ]
    found = rank_data.rank("Which disease does the doctor write about?", pool)
    assert found[0].dataset.name == "clinic" and found[0].meaning == found[0].matching == 1
    assert found[0].reason.endswith("no telling word in common")


def test_of_two_cards_that_say_the_same_the_one_with_the_labels_of_the_task_comes_first():
    pool = [
        card("a", description="Posts of users.", answers=("bullish", "bearish")),
        card("b", description="Posts of users.", answers=("anger", "sadness", "pride")),
    ]
    task = Task(name="t", instruction="Sort the posts.", kind=Kind.LABEL, labels=("sad", "angry", "proud"))
    assert rank_data.rank(rank_data.query_parts(task), pool)[0].dataset.name == "b"
    assert rank_data.rank(rank_data.query_parts(task), pool[::-1])[0].dataset.name == "b"


def test_names_of_labels_are_split_into_words_and_those_that_tell_nothing_are_left_out():
    told = card("x", class_labels={"y": ("PlayMusic", "card_lost", "A", "option1", "2")}, answers=("true", "answer 3"))
    assert rank_data.answers(told) == ["Play Music", "card lost", "true"]


def test_what_is_searched_for_in_place_of_the_prompt_stands_alone():
    task = Task(
        name="t",
        instruction="Ordne die Anfrage zu.",
        kind=Kind.LABEL,
        labels=("Reklamation", "Lob"),
        language="de",
        demonstrations=(Demonstration(input="Alles kaputt!", output="Reklamation"),),
    )
    assert rank_data.query_parts(task, "Sort the request.") == ("Sort the request.", "", "")
    assert rank_data.query_parts(task, task.instruction)[1:] == ("Reklamation, Lob", "Alles kaputt! Reklamation")
    assert rank_data.query_parts(task) == rank_data.query_parts(task, task.instruction)


def test_the_cards_are_ranked_within_two_seconds_once_they_have_been_read():
    import time

    from limbeck.sources.catalogue import cards

    rank_data.rank("Sort mail by department.", cards())
    began = time.process_time()
    rank_data.rank("Is the tweet about a stock positive?", cards())
    assert time.process_time() - began < 2


def test_in_a_folder_sorted_by_answer_every_answer_is_seen(tmp_path: Path):
    from limbeck.sources.folder import cards

    (tmp_path / "mail").mkdir()
    rows = [f'{{"input": "text {i}", "output": "topic {i // 100}"}}' for i in range(1000)]
    (tmp_path / "mail" / "train.jsonl").write_text("\n".join(rows))
    (only,) = cards(tmp_path)
    assert set(only.answers) == {f"topic {i}" for i in range(10)}
    assert len(only.sample) == 8 and len({text.rpartition(" ")[2] for text in only.sample}) == 8


def test_numbers_written_once_are_no_set_of_answers(tmp_path: Path):
    from limbeck.sources.folder import cards

    (tmp_path / "sums").mkdir()
    (tmp_path / "sums" / "train.jsonl").write_text("\n".join(f'{{"input": "{i} + 1", "output": "{i + 1}"}}' for i in range(100)))
    assert cards(tmp_path)[0].answers == ()


def test_a_cell_that_refers_to_another_is_spelt_out():
    from limbeck.sources.cards import read_tables

    table = read_tables(
        "| name | licence | for |\n|---|---|---|\n| a | MIT | telling dogs from cats; small |\n| b | as a | same; test only |\n"
        "| c | same | same |\n| d | as nothing | as it comes |\n| e | same old licence | - |\n"
    )
    assert table["b"]["licence"] == "MIT" and table["b"]["for"] == "telling dogs from cats; test only"
    assert table["c"]["licence"] == "MIT" and table["c"]["for"] == "telling dogs from cats; test only"
    assert table["d"]["licence"] == "as nothing" and table["d"]["for"] == "as it comes" and table["e"]["licence"] == "same old licence"
