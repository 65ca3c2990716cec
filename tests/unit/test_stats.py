"""Statistics against closed forms, published tables and simulation."""

import time
from math import comb
from random import Random

import pytest

from limbeck import stats


def coin(rng: Random, p: float, n: int) -> list[float]:
    return [float(rng.random() < p) for _ in range(n)]


# ---- bootstrap ---------------------------------------------------------------------------------------------------


def test_the_interval_of_a_mean_is_that_of_the_normal_approximation():
    values = coin(Random(1), 0.7, 2000)
    mean = sum(values) / 2000
    half = 1.96 * (mean * (1 - mean) / 2000) ** 0.5
    low, high = stats.bootstrap_means({"a": values}, seed=0)["a"]
    assert low == pytest.approx(mean - half, abs=0.003) and high == pytest.approx(mean + half, abs=0.003)


def test_the_interval_covers_the_truth_about_95_times_in_100():
    rng = Random(2)
    held = 0
    for trial in range(200):
        low, high = stats.bootstrap_means({"a": coin(rng, 0.7, 80)}, seed=trial, resamples=300)["a"]
        held += low <= 0.7 <= high
    assert 0.90 <= held / 200 <= 0.99


def test_one_seed_gives_one_interval_and_another_seed_another():
    values = {"a": [Random(3).random() * i for i in range(50)]}
    assert stats.bootstrap_means(values, seed=7) == stats.bootstrap_means(values, seed=7)
    assert stats.bootstrap_means(values, seed=7) != stats.bootstrap_means(values, seed=8)


def test_candidates_share_their_draws():
    """The same values under two names get the same interval, whoever else is there."""
    values = coin(Random(4), 0.5, 60)
    alone = stats.bootstrap_means({"a": values}, seed=1)["a"]
    both = stats.bootstrap_means({"x": coin(Random(5), 0.2, 60), "a": values, "b": values}, seed=1)
    assert both["a"] == both["b"] == alone


def test_all_right_is_no_certainty():
    assert stats.bootstrap_means({"a": [1.0] * 12}, seed=0)["a"] == stats.wilson(12, 12)
    assert stats.bootstrap_means({"a": [0.0]}, seed=0)["a"] == stats.wilson(0, 1)


def test_rows_that_were_not_scored_are_left_out_and_not_counted_as_zero():
    low, high = stats.bootstrap_means({"a": [0.9, None, 0.8, None, 0.85] * 10}, seed=0)["a"]
    assert 0.8 <= low <= high <= 0.9


@pytest.mark.parametrize(
    "values, expected", [([], (None, None)), ([None, None], (None, None)), ([0.5], (0.5, 0.5)), ([0.3] * 5, (0.3, 0.3))]
)
def test_intervals_of_next_to_nothing(values, expected):
    found = stats.bootstrap_means({"a": values}, seed=0)["a"]
    assert found == expected if None in expected else found == pytest.approx(expected)


def test_twelve_candidates_on_2464_rows_take_less_than_three_seconds():
    rng = Random(6)
    values = {str(i): coin(rng, 0.7, 2464) for i in range(12)}
    start = time.process_time()
    stats.bootstrap_means(values, seed=0)
    assert time.process_time() - start < 3


def test_statistics_are_resampled_like_means():
    values = coin(Random(8), 0.6, 100)

    def mean(rows):
        return sum(values[i] for i in rows) / len(rows)

    assert stats.bootstrap_statistics({"m": mean}, 100, seed=5)["m"] == pytest.approx(stats.bootstrap_means({"m": values}, seed=5)["m"])
    assert stats.bootstrap_statistics({"m": lambda rows: None}, 100, seed=5)["m"] == (None, None)
    assert stats.bootstrap_statistics({"m": mean}, 0, seed=5)["m"] == (None, None)


# ---- differences -------------------------------------------------------------------------------------------------


def test_a_clear_difference_is_seen_and_none_is_not():
    rng = Random(9)
    theirs = coin(rng, 0.5, 400)
    ours = [1.0 if rng.random() < 0.5 else x for x in theirs]
    better = stats.paired_difference(ours, theirs, seed=0)
    assert better.low > 0 and better.p_value < 0.01
    assert better.difference == pytest.approx((sum(ours) - sum(theirs)) / 400)
    same = stats.paired_difference(theirs, theirs, seed=0)
    assert same == (0.0, 0.0, 0.0, 1.0)


def test_a_difference_turned_round_has_the_other_sign_and_the_same_p():
    rng = Random(10)
    a, b = coin(rng, 0.6, 90), coin(rng, 0.5, 90)
    there, back = stats.paired_difference(a, b, seed=3), stats.paired_difference(b, a, seed=3)
    assert back.difference == pytest.approx(-there.difference) and back.p_value == there.p_value
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low))


def test_one_row_proves_nothing():
    assert stats.paired_difference([1.0], [0.0], seed=0).p_value == 1.0
    assert stats.paired_difference([1.0, 1.0, 1.0], [0.0, 0.0, 1.0], seed=0).p_value >= 0.5


def test_only_rows_that_both_scored_are_compared():
    assert stats.paired_difference([1.0, None, 0.5], [0.0, 1.0, None], seed=0).difference == 1.0
    with pytest.raises(ValueError):
        stats.paired_difference([None], [1.0], seed=0)


def test_the_p_value_keeps_its_promise_where_nothing_differs():
    rng = Random(11)
    false_alarms = sum(
        stats.paired_difference(coin(rng, 0.6, 60), coin(rng, 0.6, 60), seed=t, resamples=200).p_value < 0.05 for t in range(200)
    )
    assert false_alarms <= 22  # 10 expected


def test_a_difference_of_statistics_agrees_with_the_paired_difference():
    rng = Random(12)
    a, b = coin(rng, 0.7, 120), coin(rng, 0.5, 120)
    low, high, p = stats.bootstrap_difference(lambda rows: sum(a[i] - b[i] for i in rows) / len(rows), 120, seed=2)
    assert (low, high, p) == pytest.approx(stats.paired_difference(a, b, seed=2)[1:])


# ---- shares ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "k, n, expected",
    [
        (0, 0, (0.0, 1.0)),
        (10, 10, (0.7225, 1.0)),
        (0, 10, (0.0, 0.2775)),
        (5, 10, (0.2366, 0.7634)),
        (81, 263, (0.2553, 0.3662)),  # Newcombe 1998, table I
        (15, 148, (0.0624, 0.1605)),  # the same
    ],
)
def test_wilson(k, n, expected):
    assert stats.wilson(k, n) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("b, c", [(0, 0), (1, 0), (5, 5), (1, 9), (12, 3), (40, 22)])
def test_mcnemar_is_the_two_sided_binomial_tail(b, c):
    n, k = b + c, min(b, c)
    assert stats.mcnemar_exact(b, c) == pytest.approx(min(1, 2 * sum(comb(n, i) for i in range(k + 1)) / 2**n))


def test_mcnemar_of_thousands_of_rows_is_a_number():
    assert 0 < stats.mcnemar_exact(1300, 1164) < 0.01


# ---- calibration -------------------------------------------------------------------------------------------------


def test_ece_of_a_hand_computed_example():
    gap, bins = stats.ece([0.95, 0.85, 0.91, 0.32, 1.0], [True, False, True, False, True])
    assert [(b["low"], b["n"]) for b in bins] == [(0.3, 1), (0.8, 1), (0.9, 3)]
    assert gap == pytest.approx((0.32 + 0.85 + 3 * abs((0.95 + 0.91 + 1.0) / 3 - 1)) / 5)
    assert stats.ece([], []) == (None, [])


def test_the_threshold_curve_falls_from_strict_to_lax():
    curve = stats.threshold_curve([0.9, 0.8, 0.8, 0.3], [True, True, False, False])
    assert curve == [
        {"threshold": 0.9, "coverage": 0.25, "accuracy": 1.0},
        {"threshold": 0.8, "coverage": 0.75, "accuracy": pytest.approx(2 / 3)},
        {"threshold": 0.3, "coverage": 1.0, "accuracy": 0.5},
    ]
    assert stats.threshold_curve([], []) == []


def test_a_long_threshold_curve_is_thinned_and_keeps_its_ends():
    confidences = [i / 999 for i in range(1000)]
    curve = stats.threshold_curve(confidences, [True] * 1000, points=50)
    assert len(curve) == 50 and curve[0]["threshold"] == 1.0 and curve[-1]["coverage"] == 1.0


# ---- percentiles -------------------------------------------------------------------------------------------------


def test_percentiles_are_numpys():
    assert [stats.percentile([4, 1, 3, 2], q) for q in (0, 25, 50, 95, 100)] == pytest.approx([1, 1.75, 2.5, 3.85, 4])
    assert stats.percentile([7], 95) == 7 and stats.percentile([], 50) is None
