"""Demonstrations: balanced over labels; the nearest is the nearest. What all pickers keep is in tests/contract."""

from __future__ import annotations

from collections import Counter

from limbeck import registry
from limbeck.testing.contexts import TASK, TRAIN
from limbeck.types import Example


def test_random_shots_are_balanced_over_labels():
    counts = Counter(r.output for r in registry.take("contexts", "random")(TASK, TRAIN, 6, 0)(TRAIN[0]))
    assert counts == {"a": 2, "b": 2, "c": 2}


def test_the_nearest_shot_stands_last():
    shots = registry.take("contexts", "nearest")(TASK, TRAIN, 3, 0)(Example(id="q", input="WORD7, word8!"))
    assert shots[-1].id == "7"
