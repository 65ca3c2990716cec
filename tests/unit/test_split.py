"""Test is cut before anything else, every label stays in train, no group of near duplicates straddles a cut."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.curate.clean import groups
from limbeck.curate.leak import leaks
from limbeck.curate.split import make_splits
from limbeck.errors import UsageError
from limbeck.types import Example, Kind, Task

LABEL = Task(name="t", instruction="i", kind=Kind.LABEL, labels=("a", "b"), metric="accuracy")
TEXT = LABEL.model_copy(update={"kind": Kind.TEXT, "labels": ()})
SCORE = LABEL.model_copy(update={"kind": Kind.SCORE, "labels": ()})


def rows_of(n: int, classes: int = 2, prefix: str = "r") -> list[Example]:
    return [Example(id=f"{prefix}{i}", input=f"{prefix} number {i} is about item {i * 7919}", output=f"c{i % classes}") for i in range(n)]


def test_a_hundred_rows_make_68_12_20() -> None:
    splits, train, dev, test = make_splits(LABEL, rows_of(100), seed=1)
    assert (len(train), len(dev), len(test)) == (68, 12, 20)
    assert {r.id for r in (*train, *dev, *test)} == {r.id for r in rows_of(100)}
    assert splits.train.ids == tuple(r.id for r in train) and splits.test.ids == tuple(r.id for r in test)
    assert Counter(r.output for r in test) == {"c0": 10, "c1": 10} and Counter(r.output for r in dev) == {"c0": 6, "c1": 6}
    assert "20 test rows cut from 100" in splits.how and "seed 1" in splits.how and splits.how.endswith(".")


def test_the_same_seed_gives_the_same_cut_and_another_seed_another() -> None:
    first, second, other = (make_splits(LABEL, rows_of(100), seed=s)[0] for s in (1, 1, 2))
    assert first == second and first.test != other.test


def test_77_classes_with_ten_rows_each_and_a_test_file_give_two_dev_rows_per_class() -> None:
    test = rows_of(300, 77, "test")
    _, train, dev, same = make_splits(LABEL, rows_of(770, 77), test=test)
    assert same == test and len(dev) == 154 and len(train) == 616
    assert set(Counter(r.output for r in dev).values()) == {2}


def test_given_files_are_used_as_they_are() -> None:
    gold, dev, test = rows_of(5), rows_of(3, prefix="d"), rows_of(4, prefix="t")
    splits, *rows = make_splits(LABEL, gold, dev, test)
    assert rows == [gold, dev, test] and "as given" in splits.how and "seed" not in splits.how


def test_sizes_have_a_floor_and_a_ceiling() -> None:
    assert [len(part) for part in make_splits(TEXT, rows_of(60))[1:]] == [30, 10, 20]
    assert [len(part) for part in make_splits(TEXT, rows_of(8))[1:]] == [4, 1, 3]
    assert [len(part) for part in make_splits(TEXT, rows_of(9000))[1:]] == [7000, 1000, 1000]


def test_too_few_rows_say_how_many_are_needed() -> None:
    with pytest.raises(UsageError, match="at least 8") as caught:
        make_splits(LABEL, rows_of(7))
    assert "7" in caught.value.have and "--test" in caught.value.do
    assert len(make_splits(LABEL, rows_of(3), test=rows_of(9, prefix="t"))[1]) == 3


def test_every_label_keeps_training_rows() -> None:
    gold = (
        rows_of(90, 3)
        + [Example(id=f"rare{i}", input=f"rare thing {i} {i * 31}", output=f"rare{i // 2}") for i in range(6)]
        + [Example(id="one", input="single", output="single")]
    )
    _, train, dev, test = make_splits(LABEL, gold)
    kept = Counter(r.output for r in train)
    assert set(kept) == {r.output for r in gold} and kept["single"] == 1
    assert len(test) == 20 and len(dev) == 12


def test_no_group_of_near_duplicates_straddles() -> None:
    gold = []
    for i in range(60):
        text = " ".join(f"w{i}x{j}" for j in range(20))
        gold += [Example(id=f"{i}-{k}", input=text + " tail" * k, output=f"c{i % 3}") for k in range(1 + i % 4)]
    for seed in range(5):
        splits, train, dev, test = make_splits(LABEL, gold, seed=seed)
        where = {row.id: n for n, part in enumerate((train, dev, test)) for row in part}
        assert any(len(g) > 1 for g in groups(gold))
        assert all(len({where[gold[i].id] for i in group}) == 1 for group in groups(gold))
        assert leaks(test, {"train": train, "dev": dev}) == [] and leaks(dev, {"train": train}) == []
        assert "kept together" in splits.how and len(test) >= 25


def test_rows_from_one_template_are_cut_all_the_same_and_the_sentence_says_so() -> None:
    text = " ".join(f"w{j}" for j in range(40))
    gold = [Example(id=str(i), input=f"{text} {i}", output=f"c{i % 2}") for i in range(50)]
    splits, train, _, test = make_splits(LABEL, gold)
    assert len(test) == 20 and train and "only equal texts" in splits.how


def test_scores_are_cut_by_quantile() -> None:
    gold = [Example(id=str(i), input=f"pair {i} {i * 7919}", output=str(i / 10)) for i in range(200)]
    _, _, _, test = make_splits(SCORE, gold)
    assert Counter(int(float(r.output or 0) // 4) for r in test) == {0: 8, 1: 8, 2: 8, 3: 8, 4: 8}


def test_a_changed_row_changes_its_digest() -> None:
    gold, test = rows_of(20), rows_of(10, prefix="t")
    before = make_splits(LABEL, gold, test=test)[0]
    for change in ({"output": "c9"}, {"input": "other"}, {"id": "other"}, {"choices": ("c0", "c1")}):
        after = make_splits(LABEL, gold, test=[test[0].model_copy(update=change), *test[1:]])[0]
        assert after.test.digest != before.test.digest and after.train == before.train
    assert len(before.test.digest) == 64


def test_ids_that_stand_in_several_files_are_made_distinct() -> None:
    splits, train, dev, test = make_splits(LABEL, rows_of(9), rows_of(3), rows_of(4))
    ids = [r.id for r in (*train, *dev, *test)]
    assert len(set(ids)) == 16 and test[0].id == "test:r0" and "carry the split's name" in splits.how


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(0, 40)), min_size=8, max_size=80), st.integers(0, 5))
def test_any_rows_are_cut_into_parts_that_make_the_whole(pairs: list[tuple[str, int]], seed: int) -> None:
    gold = [Example(id=str(i), input=f"text {n}", output=label) for i, (label, n) in enumerate(pairs)]
    _, train, dev, test = make_splits(LABEL, gold, seed=seed)
    assert sorted(r.id for r in (*train, *dev, *test)) == sorted(r.id for r in gold)
    assert {r.output for r in train} == {r.output for r in gold}
    assert leaks(test, {"train": train, "dev": dev}) == []
