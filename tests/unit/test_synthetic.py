"""A synthetic test is called one, and where persons labelled enough rows the gap to them is given."""

from __future__ import annotations

import html
import itertools
import random

import pytest

from limbeck import provenance, scoring, stats, synthetic
from limbeck.deployment import card_of
from limbeck.exporters.folder import readme
from limbeck.human import HumanAnswer
from limbeck.report import markdown, page, terminal
from limbeck.types import Example, Kind, Origin, Prediction, Task
from tests.unit.report_fixture import marked, twelve_labels

TASK = Task(name="t", instruction="", kind=Kind.LABEL, labels=("a", "b"), metric="accuracy")


def row(i: int, kind: str, output: str = "a") -> Example:
    return Example(id=str(i), input=f"row {i}", output=output, origin=Origin(kind=kind))


def measure(rows, found):
    return scoring.statistic(TASK, rows, found)


def said(rows: list[Example], wrong: int) -> list[Prediction]:
    """Answers of which the first `wrong` miss the row's label."""
    return [Prediction(id=r.id, text=r.output if i >= wrong else "b" if r.output == "a" else "a") for i, r in enumerate(rows)]


# ---- statistics ----------------------------------------------------------------------------------------------------


def test_newcombe_gives_the_published_example() -> None:
    """Newcombe 1998, Table II, row (a): 56/70 against 48/80, method 10: 0.0524 to 0.3339."""
    low, high = stats.newcombe(56, 70, 48, 80)
    assert (round(low, 4), round(high, 4)) == (0.0524, 0.3339)
    low, high = stats.newcombe(10, 10, 0, 20)  # row (e) 10/10 against 0/20: 0.6791 to 1.0000
    assert (round(low, 4), round(high, 4)) == (0.6791, 1.0)


def test_the_unpaired_interval_is_that_of_two_independent_means() -> None:
    """Standard error by hand: sqrt(p (1 - p) / n) of each side, added in squares."""
    ours, theirs = [1.0] * 70 + [0.0] * 30, [1.0] * 160 + [0.0] * 40

    def mean(column):
        return lambda index: sum(column[i] for i in index) / len(index)

    found = stats.unpaired_difference(mean(ours), 100, mean(theirs), 200, seed=0, resamples=4000)
    assert found is not None and found.difference == pytest.approx(-0.1)
    half = 1.96 * (0.7 * 0.3 / 100 + 0.8 * 0.2 / 200) ** 0.5
    assert found.low == pytest.approx(-0.1 - half, abs=0.012) and found.high == pytest.approx(-0.1 + half, abs=0.012)
    assert 0.01 < found.p_value < 0.2


def test_the_unpaired_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    draw, covered, trials = random.Random(3), 0, 200
    for trial in range(trials):
        columns = [[float(draw.random() < p) for _ in range(n)] for p, n in ((0.75, 60), (0.85, 150))]
        figures = [lambda index, c=c: sum(c[i] for i in index) / len(index) for c in columns]
        found = stats.unpaired_difference(figures[0], 60, figures[1], 150, seed=trial, resamples=300)
        covered += found is not None and found.low <= -0.1 <= found.high
    assert 0.88 * trials <= covered <= 0.99 * trials


def test_a_figure_that_cannot_be_computed_gives_no_difference() -> None:
    assert stats.unpaired_difference(lambda index: None, 5, lambda index: 1.0, 5, seed=0) is None


# ---- the gap ----------------------------------------------------------------------------------------------------------


def test_gold_rows_against_synthetic_ones_are_compared_unpaired() -> None:
    test = [row(i, "gold") for i in range(40)] + [row(i, "generated") for i in range(40, 140)]
    found = said(test, wrong=10)  # 30 of 40 on persons' rows, all of the synthetic ones
    gap = synthetic.gap("s", "accuracy", measure, test, found, {}, seed=0)
    assert gap is not None and not gap.paired
    assert (gap.human.value, gap.human.n, gap.synthetic.value, gap.synthetic.n) == (0.75, 40, 1.0, 100)
    assert gap.difference == pytest.approx(-0.25)
    assert (gap.low, gap.high) == stats.newcombe(30, 40, 100, 100), "a side without a mistake has no spread of its own"


def test_rows_with_both_labels_are_compared_paired() -> None:
    test = [row(i, "generated") for i in range(50)]
    found = said(test, wrong=0)
    human = {str(i): HumanAnswer(id=str(i), output="b" if i < 6 else "a") for i in range(30)}  # 6 of 30 labels are wrong
    gap = synthetic.gap("s", "accuracy", measure, test, found, human, seed=0)
    assert gap is not None and gap.paired and gap.human.n == gap.synthetic.n == 30
    assert gap.difference == pytest.approx(-0.2) and gap.synthetic.value == 1.0 and gap.human.value == pytest.approx(0.8)
    assert -0.37 < gap.low < -0.2 < gap.high < 0


def test_where_the_person_agrees_with_every_label_the_gap_is_nought_but_not_certain() -> None:
    test = [row(i, "generated") for i in range(30)]
    human = {r.id: HumanAnswer(id=r.id, output="a") for r in test}
    gap = synthetic.gap("s", "accuracy", measure, test, said(test, 5), human, seed=0)
    assert gap is not None and gap.difference == 0 and gap.high == pytest.approx(stats.wilson(0, 30)[1]) and gap.low == -gap.high


def test_nineteen_rows_are_too_few_and_twenty_are_enough() -> None:
    for n, enough in ((19, False), (20, True)):
        test = [row(i, "gold") for i in range(n)] + [row(i, "generated") for i in range(n, n + 60)]
        assert (synthetic.gap("s", "accuracy", measure, test, said(test, 3), {}, seed=0) is not None) == enough
    test = [row(i, "gold") for i in range(60)]
    assert synthetic.gap("s", "accuracy", measure, test, said(test, 3), {}, seed=0) is None, "nothing synthetic, no gap"


def test_a_persons_label_on_a_gold_row_changes_nothing() -> None:
    test = [row(i, "gold") for i in range(40)] + [row(i, "generated") for i in range(40, 80)]
    human = {str(i): HumanAnswer(id=str(i), output="b") for i in range(40)}
    gaps = [synthetic.gap("s", "accuracy", measure, test, said(test, 4), h, seed=0) for h in ({}, human)]
    assert gaps[0] == gaps[1]


@pytest.mark.parametrize("metric", ["accuracy", "macro_f1"])
def test_every_metric_can_have_a_gap(metric: str) -> None:
    task = TASK.model_copy(update={"metric": metric})
    test = [row(i, "gold" if i < 40 else "generated", "ab"[i % 2]) for i in range(120)]
    found = said(test, wrong=12)
    human = {str(i): HumanAnswer(id=str(i), output="ab"[i % 2]) for i in range(40, 70)}
    for h in ({}, human):
        gap = synthetic.gap("s", metric, lambda r, f: scoring.statistic(task, r, f), test, found, h, seed=0)
        assert gap is not None and gap.low <= gap.difference <= gap.high and gap.metric == metric


def test_numbers_and_rank_correlations_too() -> None:
    for metric, text in itertools.product(("spearman", "mae"), ("1", "4")):
        task = Task(name="t", instruction="", kind=Kind.SCORE, low=0, high=5, metric=metric)
        test = [row(i, "gold" if i < 30 else "retrieved", str(i % 5)) for i in range(90)]
        found = [Prediction(id=r.id, text=r.output if i % 3 else text) for i, r in enumerate(test)]
        gap = synthetic.gap("s", metric, lambda r, f, task=task: scoring.statistic(task, r, f), test, found, {}, seed=0)
        assert gap is not None and gap.low < gap.high


# ---- the mark ------------------------------------------------------------------------------------------------------------


def shown(report) -> str:
    from rich.console import Console

    console = Console(width=120, record=True, file=None, force_terminal=False)
    with console.capture() as captured:
        console.print(terminal(report, 120))
    return captured.get()


def test_every_rendering_says_synthetic_and_gives_the_gap() -> None:
    report = marked(human={"test": 25, "other": 3, "compared": 25, "agreed": 20, "shown": 2})
    for text in (shown(report), markdown(report), html.unescape(page(report))):
        flat = " ".join(text.split())
        assert "ynthetic test: 360 of 400 test rows have no label of a person's" in flat
        assert "-0.110 [-0.200, -0.020]" in flat
        assert "agrees on 20 of 25" in flat and "2 of the answers were given after" in flat
        assert "row-17" in flat
    assert "<b>odd" not in page(report) + markdown(report)
    assert "accuracy (synthetic test)" in markdown(report)
    assert "synthetic test" in page(report).split("<h1")[0].rpartition("eyebrow")[2]


def test_a_test_of_persons_rows_is_not_called_synthetic() -> None:
    report = twelve_labels()
    for text in (shown(report), markdown(report), page(report)):
        assert "ynthetic" not in text


def test_the_card_says_so_and_lists_sources_and_licences() -> None:
    rows = [
        Example(id="1", input="x", output="a", origin=Origin(kind="retrieved", source="reviews", licence="CC-BY-NC-4.0")),
        Example(id="2", input="y", output="a", origin=Origin(kind="generated", teacher="small-1")),
    ]
    report = marked(sources=provenance.sources(rows))
    best = next(r for r in report.rows if r.recipe == report.best_student)
    card = card_of(report, best)
    text = readme(card)
    assert "test (scored once, synthetic test)" in text and "gap -0.110, 95 % interval -0.200 to -0.020" in text
    assert "reviews: 1 retrieved; licence CC-BY-NC-4.0" in text and "small-1: 1 generated" in text
    assert "**Licence**: 1 rows from reviews are licensed for non-commercial use only" in text
    assert type(card).model_validate_json(card.model_dump_json()) == card


def test_the_verdict_carries_the_mark_and_the_students_gap() -> None:
    test = [row(i, "generated") for i in range(3)] + [row(9, "gold")]
    assert synthetic.sentence([row(9, "gold")], (), {}) == ""
    few = synthetic.sentence(test, (), {})
    assert "Synthetic test, in which 3 of 4 rows" in few and "Too few rows" in few
    assert "full@minilm gets 0.810 instead of 0.920, gap -0.110 [-0.200, -0.020]" in synthetic.sentence(test, marked().gaps, {})
    by_hand = {test[0].id: HumanAnswer(id=test[0].id, output="a")}
    assert "2 of 4 rows" in synthetic.sentence(test, (), by_hand), "a row that a person has labelled is not bare any more"


# ---- what to label next, and where rows came from -----------------------------------------------------------------------------


def test_rows_of_persons_are_never_named_and_the_students_doubts_are() -> None:
    rows = {r.id: r for r in [row(0, "gold"), row(1, "generated"), row(2, "teacher"), row(3, "generated")]}
    answers = [{"s": [Prediction(id=str(i), text="a", confidence=c) for i, c in ((0, 0.1), (1, 0.99), (3, 0.55))]}]
    human = {"2": HumanAnswer(id="2", output="a")}
    named = synthetic.worth_labelling(rows, {"1": "test", "3": "dev"}, answers, "s", human)
    assert [(one["id"], one["split"]) for one in named] == [("3", "dev"), ("1", "test")]
    assert synthetic.worth_labelling({"0": rows["0"]}, {}, answers, "s", {}) == ()


def test_what_a_person_labelled_is_counted_against_the_label_that_was_there() -> None:
    rows = {r.id: r for r in [row(0, "gold"), row(1, "generated"), row(2, "teacher", "b"), row(3, "generated")]}
    human = {i: HumanAnswer(id=i, output="a", shown=i == "3") for i in ("0", "1", "2", "3")}
    found = synthetic.summary(rows, [rows["0"], rows["1"]], human)
    assert found == {"test": 2, "other": 2, "compared": 3, "agreed": 2, "shown": 1}
    assert synthetic.summary(rows, [], {}) == {}


@pytest.mark.parametrize(
    ("licence", "kind", "warned"),
    [
        ("cc-by-nc-sa-3.0", "retrieved", "non-commercial"),
        ("CC BY-NC 4.0", "gold", "non-commercial"),
        ("for research purposes", "retrieved", "non-commercial"),
        ("cc-by-nd-4.0", "retrieved", "altered"),
        (None, "retrieved", "not known"),
        ("unknown", "retrieved", "not known"),
        ("other", "retrieved", "not known"),
        (None, "gold", ""),
        ("apache-2.0", "retrieved", ""),
        ("cc-by-sa-3.0", "retrieved", ""),
        ("bsd-3-clause", "retrieved", ""),
    ],
)
def test_licences_that_restrict_are_warned_of(licence: str | None, kind: str, warned: str) -> None:
    found = provenance.licence_warnings(
        provenance.sources([Example(id="1", input="x", origin=Origin(kind=kind, source="s", licence=licence))])
    )
    assert bool(found) == bool(warned) and all(warned in text for text in found)


def test_sources_are_counted_by_place_licence_and_kind() -> None:
    origins = [
        Origin(source="a.csv"),
        Origin(source="a.csv"),
        Origin(kind="prompt", source="a.csv"),
        Origin(kind="teacher", detail="gpt", source="u.csv"),
    ]
    found = provenance.sources([Example(id=str(i), input="x", origin=o) for i, o in enumerate(origins)])
    assert [(s.name, s.rows, s.kinds) for s in found] == [("a.csv", 3, {"gold": 2, "prompt": 1}), ("gpt", 1, {"teacher": 1})]
