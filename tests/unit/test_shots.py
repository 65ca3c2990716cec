"""Demonstrations: from train alone, balanced, reproducible; the nearest is the nearest."""

from __future__ import annotations

from collections import Counter

import pytest

from limbeck import registry
from limbeck.types import Example, Kind, Task

TASK = Task(name="t", instruction="", kind=Kind.LABEL, labels=("a", "b", "c"))
TRAIN = [Example(id=str(i), input=f"word{i} and word{i + 1}", output="abc"[0 if i < 20 else 1 if i < 28 else 2]) for i in range(30)]


@pytest.mark.parametrize("name", list(registry.names("contexts")))
def test_every_picker_takes_k_rows_of_train_and_the_same_ones_again(name):
    pick = registry.take("contexts", name)
    query = Example(id="q", input="word7 is here")
    once, again = pick(TASK, TRAIN, 6, 3)(query), pick(TASK, TRAIN, 6, 3)(query)
    assert once == again and len(once) == 6 and len({r.id for r in once}) == 6
    assert all(r in TRAIN for r in once)
    assert len(pick(TASK, TRAIN[:2], 6, 3)(query)) == 2


def test_random_shots_are_balanced_over_labels():
    counts = Counter(r.output for r in registry.take("contexts", "random")(TASK, TRAIN, 6, 0)(TRAIN[0]))
    assert counts == {"a": 2, "b": 2, "c": 2}


def test_the_nearest_shot_stands_last():
    shots = registry.take("contexts", "nearest")(TASK, TRAIN, 3, 0)(Example(id="q", input="WORD7, word8!"))
    assert shots[-1].id == "7"
