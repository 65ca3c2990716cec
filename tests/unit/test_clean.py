"""Every pair of similar rows is found, exactly, and nothing that differs in meaning-bearing signs counts as equal."""

from __future__ import annotations

import itertools
import random

import pytest

from limbeck.curate.clean import MANY, contradictions, groups, near_duplicates, shingles, similar_within, words_of
from limbeck.types import Example


def rows_of(*texts: str, outputs: list[str] | None = None) -> list[Example]:
    return [Example(id=str(i), input=t, output=outputs[i] if outputs else "x") for i, t in enumerate(texts)]


LONG = "the quick brown fox jumps over the lazy dog near the old stone bridge by the river every single morning at dawn"


def test_case_and_punctuation_make_no_difference_signs_do() -> None:
    assert near_duplicates(rows_of("Where is it?", "where is IT", "where it is")) == [(0, 1, 1.0)]
    assert near_duplicates(rows_of("2 + 3", "2 - 3", "2 * 3", "2+3")) == [(0, 3, 1.0)]
    assert words_of("５ｃｍ") == words_of("5cm") and words_of("!?") == ("!?",)


def test_a_near_copy_is_found_and_a_reworded_text_is_not() -> None:
    pairs = near_duplicates(rows_of(LONG, LONG + " again", LONG.replace("quick", "slow").replace("river", "sea").replace("old", "new")))
    assert [(i, j) for i, j, _ in pairs] == [(0, 1)] and 0.8 <= pairs[0][2] < 1


def test_short_texts_have_no_near_copies() -> None:
    assert near_duplicates(rows_of("who wrote it then", "who wrote it now")) == []


def test_the_prefix_filter_finds_what_comparing_all_pairs_finds() -> None:
    draw = random.Random(3)
    words = [f"w{i}" for i in range(30)]
    texts = [" ".join(draw.choices(words, k=draw.randint(5, 24))) for _ in range(60)]
    for text in list(texts):
        for _ in range(4):
            parts = text.split()
            parts[draw.randrange(len(parts)) if draw.random() < 0.5 else -1] = draw.choice(words)
            texts.append(" ".join(parts + draw.choices(words, k=draw.randint(0, 1))))
    sets = [shingles(words_of(t)) for t in dict.fromkeys(texts)]
    every = {
        (i, j)
        for i, j in itertools.combinations(range(len(sets)), 2)
        if sets[i] and sets[j] and len(sets[i] & sets[j]) / len(sets[i] | sets[j]) >= 0.8
    }
    assert len(every) > 50
    assert {(i, j) for i, j, _ in similar_within(sets)} == every


def test_groups_chain_and_hold_every_row_once() -> None:
    a = " ".join(f"w{i}" for i in range(40))
    b, c = a + " x y", a + " x y z p"
    found = groups(rows_of(a, "alone", b, c, "alone!"))
    assert found == [[0, 2, 3], [1, 4]]
    assert sorted(itertools.chain(*found)) == list(range(5))


def test_a_thousand_copies_are_999_pairs() -> None:
    assert len(near_duplicates(rows_of(*[LONG] * 1000))) == 999


def test_choice_rows_are_the_same_only_with_the_same_options() -> None:
    a, b, c = (
        Example(id=n, input="What is best?", output=o[0], choices=o) for n, o in (("a", ("x", "y")), ("b", ("p", "q")), ("c", ("y", "x")))
    )
    assert near_duplicates([a, b, c]) == [(0, 2, 1.0)]


def test_contradicting_outputs_are_reported_with_their_rows() -> None:
    found = contradictions(rows_of("Late parcel", "late parcel!", "other", "LATE PARCEL", outputs=["a", "b", "a", "a"]))
    assert [(c.ids, c.outputs) for c in found] == [(("0", "1", "3"), ("a", "b", "a"))]
    assert contradictions(rows_of("x", "x", outputs=["a", "a"])) == []


def test_chinese_and_japanese_are_compared_by_character() -> None:
    text = "明日の午後三時に東京駅の北口で会いましょう"
    assert [(i, j) for i, j, _ in near_duplicates(rows_of(text, text + "ね", "今日の天気はとても良いですね本当に"))] == [(0, 1)]


@pytest.mark.slow
def test_above_fifty_thousand_rows_the_sketches_find_the_copies() -> None:
    draw = random.Random(1)
    texts = [" ".join(str(draw.randrange(5000)) for _ in range(20)) for _ in range(MANY + 1)]
    texts += [text + " 7" for text in texts[:50]]
    found = {(i, j) for i, j, _ in near_duplicates(rows_of(*texts))}
    assert len(found & {(i, MANY + 1 + i) for i in range(50)}) >= 49
