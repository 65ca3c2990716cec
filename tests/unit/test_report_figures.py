"""The figures show what is there, where it is, without overlaps."""

import re
from itertools import pairwise

import pytest

from limbeck.report.figures import curves, frontier, interval_bar, limits, trade_off
from limbeck.report.plot import CHARACTER, Frame, Linear, Log, linear, logarithmic, overlap, place_labels, spread
from limbeck.report.table import ranked, row_named
from tests.unit import report_fixture


@pytest.mark.parametrize("low, high", [(0, 1), (0.837, 0.938), (1e-6, 3e-6), (-5, 1200), (7, 7)])
def test_an_axis_covers_its_values_with_a_handful_of_round_ticks(low, high):
    axis = linear([low, high])
    assert axis.low <= low <= high <= axis.high
    assert 2 <= len(axis.ticks()) <= 8 and axis.ticks()[0] >= axis.low - 1e-9


def test_epochs_have_no_halves():
    assert Linear(1, 3, whole=True).ticks() == [1, 2, 3]


def test_a_logarithmic_axis_has_a_place_for_nothing():
    axis = logarithmic([0.0, 0.002, 0.5])
    assert axis.place(0.0) < axis.BREAK < axis.place(0.002) < axis.place(0.5) <= 1
    assert axis.ticks()[0] == 0.0 and axis.ticks()[-1] == 1.0
    assert Log(1, 10).place(1) == 0
    assert logarithmic([0.0, 0.0]).zero


def test_the_frontier_holds_what_nothing_beats():
    spots = [(1.0, 0.9), (0.0, 0.5), (2.0, 0.8), (0.0, 0.6), (3.0, 0.95)]
    assert frontier(spots, low_wins=False) == [3, 0, 4]
    assert frontier([(1.0, 0.2), (0.0, 0.5), (2.0, 0.3)], low_wins=True) == [1, 0]


def test_labels_do_not_cover_each_other_or_the_dots():
    frame = Frame(Linear(0, 1), Linear(0, 1))
    points = [(*frame.at(0.3 + 0.02 * i, 0.5 + 0.03 * (i % 3)), f"recipe-number-{i}@base") for i in range(12)]
    boxes = [(x - 9, y - 9, x + 9, y + 9) for x, y, _ in points]
    placed = place_labels(points, frame, r=9)
    assert sum(spot is not None for spot in placed) >= 5
    for (_, _, words), spot in zip(points, placed, strict=True):
        if spot is not None:
            left = spot[0] - {"start": 0, "mid": 0.5, "end": 1}[spot[2]] * len(words) * CHARACTER
            box = (left, spot[1] - 9, left + len(words) * CHARACTER, spot[1] + 3)
            assert not any(overlap(box, other) for other in boxes)
            boxes.append(box)


def test_names_at_the_end_of_lines_are_moved_apart_and_keep_their_order():
    placed = spread([100, 101, 99, 20], 12, 0, 105)
    assert sorted(placed) == [placed[3], placed[2], placed[0], placed[1]]
    assert all(b - a >= 12 for a, b in pairwise(sorted(placed))) and max(placed) <= 105


def test_a_hopeless_baseline_does_not_press_the_others_together():
    report = report_fixture.twelve_labels()
    low, high = limits(report, ranked(report))
    assert 0.6 < low < high <= 1
    majority = row_named(report, "majority")
    assert "circle" not in interval_bar(majority, low, high, None)
    figure = trade_off(report, lambda row: row.usd_per_1000, str, "cost", "cost")
    assert "Outside the picture: majority (0.125)" in figure


def test_a_picture_of_one_price_is_not_drawn():
    assert trade_off(report_fixture.twelve_labels(), lambda row: 0.0, str, "cost", "cost") is None
    assert curves([("a", [])], "t", "x", "y", str, "n") is None


def test_everything_is_drawn_inside_its_figure():
    report = report_fixture.twelve_labels()
    figure = trade_off(report, lambda row: row.latency_p50_ms, str, "time", "latency")
    width, height = map(float, re.search(r'viewBox="0 0 (\d+) (\d+)"', figure).groups())
    for x, y in re.findall(r'cx="([\d.-]+)" cy="([\d.-]+)"', figure):
        assert 0 <= float(x) <= width and 0 <= float(y) <= height


@pytest.mark.parametrize("values", [(1.0, 1.0, 1.0), (0.97, 0.99, 1.0), (0.0, 0.0)])
def test_the_axis_of_a_share_goes_no_further_than_one_nor_below_nothing(values: tuple[float, ...]):
    points = [(10.0 * i, value) for i, value in enumerate(values, 1)]
    drawn = str(curves([("", points)], "t", "rows", "dev", lambda rows: f"{rows:g} rows", "n", at_most_one=True))
    ticks = [float(n) for n in re.findall(r">(-?\d+(?:\.\d+)?)</text>", drawn)]
    assert len(ticks) > 2 and min(ticks) >= 0 and max(ticks) <= 1
    assert "1.05" in str(curves([("", [(1, 1.0), (2, 1.05)])], "t", "x", "y", str, "n", at_most_one=True)), (
        "what is more than one is no share"
    )
