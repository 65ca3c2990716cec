"""How often a search over structures finds what is there, and how often what is not: a simulated teacher whose luck is drawn anew for
every prompt. The figures stand in docs/tuning-a-prompt.md."""

from __future__ import annotations

import pytest

from tests.unit.test_tuning import desk, search, teacher

pytestmark = pytest.mark.slow


def searches(tmp_path, worth, n, times):
    return [search(desk(teacher(worth, noise=f"{n}-{seed}-{worth}"), tmp_path, n=n)) for seed in range(times)]


def test_luck_alone_is_hardly_ever_kept(tmp_path):
    found = searches(tmp_path, {}, 60, 40)
    tempted = sum(any(t.versus and t.versus.low > 0 for t in one.trials) for one in found)
    assert tempted >= 5, "without correction luck would have been taken for merit"
    assert sum(one.changed for one in found) <= 2


@pytest.mark.parametrize(("worth", "least"), [(0.1, 3), (0.2, 11)])
def test_a_lever_is_found_as_often_as_its_size_lets_it(tmp_path, worth, least):
    found = searches(tmp_path, {"delimiters": worth}, 200, 12)
    kept = [one for one in found if one.changed]
    assert len(kept) >= least and all("delimiters" in one.chosen.on() for one in kept)


def test_the_intervals_of_effects_hold_the_truth_about_as_often_as_they_say(tmp_path):
    """Over rows alone: what a prompt does to luck beyond its levers is not in them, so somewhat less than 95 % is expected."""
    effects = [
        (e, 0.2 if e.lever == "delimiters" else 0.0) for one in searches(tmp_path, {"delimiters": 0.2}, 200, 12) for e in one.effects
    ]
    held = sum(e.low <= truth <= e.high for e, truth in effects)
    assert held >= 0.85 * len(effects)
