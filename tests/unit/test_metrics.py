"""Metrics on answers whose worth can be worked out by hand."""

import json
from pathlib import Path

import pytest

from limbeck.metrics.fields import field_f1, fields_exact
from limbeck.metrics.labels import macro_f1, prepare_macro_f1, right_or_wrong
from limbeck.metrics.numbers import MAE, PEARSON, SPEARMAN, mean_ranks, pearson, spearman
from limbeck.metrics.text import EXACT_MATCH, TOKEN_F1, chrf, common_subsequence, exact_match, normalised, rouge_l, token_f1
from limbeck.types import Example, Kind, Prediction, Status, Task

LABELS = Task(name="t", instruction="i", kind=Kind.LABEL, labels=("C", "C++", "other"))
TEXT = Task(name="t", instruction="i", kind=Kind.TEXT)
SCORE = Task(name="t", instruction="i", kind=Kind.SCORE, low=0, high=5)
FIELDS = Task(name="t", instruction="i", kind=Kind.FIELDS)


def gold(*answers):
    return [Example(id=str(i), input="x", output=a) for i, a in enumerate(answers)]


def said(*texts):
    """None = the call failed."""
    return [Prediction(id=str(i), text=t or "", status=Status.OK if t is not None else Status.ERROR) for i, t in enumerate(texts)]


# ---- labels ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "golden, answer, expected",
    [
        ("C++", "C++", 1.0),
        ("c++", "C++", 1.0),
        ("C", "C++", 0.0),
        ("other", None, 0.0),
        ("no such label", "other", None),
        (None, "C", None),
    ],
)
def test_accuracy(golden, answer, expected):
    assert right_or_wrong(LABELS, *gold(golden), *said(answer)) == expected


def test_an_answer_with_a_bad_status_is_wrong_even_if_its_text_is_right():
    assert right_or_wrong(LABELS, *gold("C"), Prediction(id="0", text="C", status=Status.MALFORMED)) == 0.0


def test_macro_f1_by_hand():
    """C: 1 of 2 gold found, said 2 times: 2/4. C++: 1 of 1, said once: 1. other: never found: 0."""
    rows = gold("C", "C", "C++", "other")
    assert macro_f1(LABELS, rows, said("C", None, "C++", "C")) == pytest.approx((0.5 + 1 + 0) / 3)


def test_macro_f1_is_scikit_learns():
    """sklearn.metrics.f1_score(truth, answers, average="macro"), scikit-learn 1.9.1."""
    truth = ["C", "C", "C++", "other", "C", "C++", "C", "other"]
    answers = ["C", "C++", "C++", "C", "C", "other", "C", "other"]
    assert macro_f1(LABELS, gold(*truth), said(*answers)) == pytest.approx(0.583333333333, abs=1e-12)


def test_labels_that_are_not_in_gold_have_no_f1_of_their_own():
    assert macro_f1(LABELS, gold("C", "C"), said("C", "other")) == pytest.approx(2 / 3)


def test_prepared_macro_f1_counts_a_row_as_often_as_it_is_drawn():
    figure = prepare_macro_f1(LABELS, gold("C", "C++"), said("C", "C"))
    assert figure([0]) == 1.0 and figure([1]) == 0.0
    assert figure([0, 0, 1]) == pytest.approx((2 * 2 / 5 + 0) / 2)


# ---- numbers -----------------------------------------------------------------------------------------------------


def test_correlations_are_scipys():
    """scipy.stats.pearsonr and spearmanr of these ten rows."""
    x = [2.8, 2.9, 2.8, 2.6, 3.5, 4.6, 5.0, 1.0, 1.0, 3.3]
    y = [4.0, 3.1, 2.8, 2.4, 4.6, 3.5, 4.9, 1.2, 2.0, 2.0]
    assert pearson(x, y) == pytest.approx(0.768515999351, abs=1e-9)
    assert spearman(x, y) == pytest.approx(0.755355214006, abs=1e-9)


def test_ties_share_their_mean_rank():
    assert mean_ranks([10, 20, 20, 5]) == [2, 3.5, 3.5, 1]


@pytest.mark.parametrize("x, y", [([], []), ([1], [2]), ([1, 1, 1], [1, 2, 3]), ([1, 2, 3], [0.1, 0.1, 0.1])])
def test_there_is_no_correlation_with_a_constant(x, y):
    assert pearson(x, y) is None and spearman(x, y) is None


def test_a_perfect_correlation_is_one_exactly():
    x = [0.1 * i for i in range(50)]
    assert pearson(x, [3 * v + 1 for v in x]) == pytest.approx(1.0) and spearman(x, [v**3 for v in x]) == pytest.approx(1.0)
    assert spearman(x, [-v for v in x]) == pytest.approx(-1.0)


def test_a_missing_number_counts_as_the_mean_of_the_others():
    rows, whole, holed = gold("1", "2", "3", "4"), said("1", "2.5", "3", "3.5"), said("1", "2", None, "3")
    assert PEARSON.corpus(SCORE, rows, holed) == PEARSON.corpus(SCORE, rows, said("1", "2", "2", "3"))
    assert SPEARMAN.corpus(SCORE, rows, holed) < SPEARMAN.corpus(SCORE, rows, whole)


def test_answers_that_do_not_vary_have_no_correlation():
    assert SPEARMAN.corpus(SCORE, gold("1", "2", "3"), said("2", "2", "2")) is None
    assert SPEARMAN.corpus(SCORE, gold("1", "2", "3"), said(None, None, None)) is None


def test_the_absolute_error_leaves_out_rows_without_a_number():
    assert MAE.row(SCORE, *gold("4"), *said("2.5")) == 1.5
    assert MAE.row(SCORE, *gold("4"), *said(None)) is None
    assert MAE.row(SCORE, *gold("4,5"), *said("4")) == 0.5  # a gold number is read as a reply's is


# ---- text --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "a, b, same",
    [
        ("The Cat!", "cat", True),
        ("1,000", "1000", True),
        ("U.S.", "us", True),
        ("3.5", "35", False),
        ("-5", "5", False),
        ("C#", "C", False),
        ("C++", "C", False),
        ("the", "a", False),
        ("!", "?", False),
        ("Café", "Cafe\u0301", True),
        ("state-of-the-art", "state of art", False),
    ],
)
def test_exact_match(a, b, same):
    assert exact_match(TEXT, a, b) == float(same)


def test_articles_are_words_in_other_languages():
    assert normalised("a b", "pt") == "a b" and normalised("a b") == "b"


def test_token_f1():
    assert token_f1(TEXT, "the red red fox", "red fox ran") == pytest.approx(2 * 2 / 6)
    assert token_f1(TEXT, "dog", "cat") == 0.0


def test_rouge_l():
    """police kill the gunman / police killed the gunman: 3 of 4 and 4 words in common order (Lin 2004, section 3)."""
    assert rouge_l(TEXT, "police kill the gunman", "police killed the gunman") == pytest.approx(0.75)
    assert rouge_l(TEXT, "the gunman kill police", "police killed the gunman") == pytest.approx(0.5)


def test_the_bitwise_common_subsequence_is_the_textbook_one():
    from random import Random

    rng = Random(0)
    for _ in range(200):
        a, b = (rng.choices("abcd", k=rng.randint(0, 12)) for _ in range(2))
        table = [[0] * (len(b) + 1) for _ in range(len(a) + 1)]
        for i, x in enumerate(a):
            for j, y in enumerate(b):
                table[i + 1][j + 1] = table[i][j] + 1 if x == y else max(table[i][j + 1], table[i + 1][j])
        assert common_subsequence(a, b) == table[-1][-1]


# ---- against the packages that others use ------------------------------------------------------------------------

TEXT_GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "text_metrics" / "values.json").read_text(encoding="utf-8"))
OF_OUR_OWN = {  # where we differ, and why: test_exact_match and normalised() say the rest
    ("rouge_l", "Die Häuser am Fluß"): "rouge-score drops every letter that is not ASCII, and so splits words at them",
}


@pytest.mark.parametrize("grade", [exact_match, token_f1, rouge_l, chrf], ids=lambda grade: grade.__name__)
def test_text_metrics_are_those_of_the_reference_packages(grade):
    """SQuAD's script as torchmetrics has it, rouge-score, sacrebleu (tests/golden/make_text_metrics.py)."""
    if grade is chrf:
        pytest.importorskip("sacrebleu")
    for (answer, golden), expected in zip(TEXT_GOLDEN["pairs"], TEXT_GOLDEN[grade.__name__], strict=True):
        if (grade.__name__, answer) not in OF_OUR_OWN:
            assert grade(TEXT, answer, golden) == pytest.approx(expected, abs=1e-6), (answer, golden)


def test_the_best_of_several_answers_counts():
    row = Example(id="0", input="x", output="14 December 1972 UTC", answers=("14 December 1972 UTC", "December 1972"))
    assert EXACT_MATCH.row(TEXT, row, *said("december 1972")) == 1.0
    assert TOKEN_F1.row(TEXT, row, *said("in December 1972")) == pytest.approx(2 * 2 / 5)
    assert EXACT_MATCH.row(TEXT, row, *said("1972")) == 0.0
    assert EXACT_MATCH.row(TEXT, row, Prediction(id="0", text="December 1972", status=Status.ERROR)) == 0.0
    assert EXACT_MATCH.row(TEXT, row.blind(), *said("December 1972")) is None


# ---- fields ------------------------------------------------------------------------------------------------------


def fields(metric, golden, answer):
    return metric(FIELDS, *gold(json.dumps(golden)), *said(json.dumps(answer)))


def test_field_f1_counts_pairs():
    golden = {"name": "Ada", "born": 1815, "tags": ["a", "b"]}
    assert fields(field_f1, golden, {"name": "ada ", "born": 1816, "tags": ["b"]}) == pytest.approx(2 * 2 / 7)
    assert fields(field_f1, golden, {}) == 0.0


@pytest.mark.parametrize(
    "golden, answer, right",
    [
        ({"n": 1}, {"n": 1.0}, 1.0),
        ({"n": 1}, {"n": "1"}, 0.0),
        ({"n": 1}, {"n": True}, 0.0),
        ({"a": None}, {}, 1.0),
        ({"a": "x"}, {"a": "x", "b": "y"}, 0.0),
        ({"l": [1, 2]}, {"l": [2, 1]}, 0.0),
        ({"l": [{"a": 1, "b": 2}, {"a": 3, "b": 4}]}, {"l": [{"a": 1, "b": 4}, {"a": 3, "b": 2}]}, 0.0),
    ],
)
def test_fields_exact(golden, answer, right):
    assert fields(fields_exact, golden, answer) == right


def test_a_list_in_another_order_has_the_same_fields():
    assert fields(field_f1, {"l": [1, 2]}, {"l": [2, 1]}) == 1.0


def test_a_reply_that_is_no_object_has_no_fields():
    assert field_f1(FIELDS, *gold('{"a": 1}'), *said("[1]")) == 0.0
    assert field_f1(FIELDS, *gold("not json"), *said('{"a": 1}')) is None
