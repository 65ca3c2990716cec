"""The leaderboard tests itself, on a real run folder: an oracle is right, guessing is chance, a twin gets the same row, a planted
leak is caught, and the cost of a call is the published one.

Elsewhere: BM25 is that of bm25s, and reciprocal ranks by hand (test_passages.py); a calibration that has nothing to take out changes
nothing (test_prompted_base.py); a leaked row in the documents of a whole run (tests/steps/test_rag_run.py)."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path

import pytest

from limbeck import compare, flops
from limbeck.adapters.trivial import Majority
from limbeck.candidates import Record
from limbeck.curate.leak_docs import told
from limbeck.curate.split import split_of
from limbeck.preflight import cut, preflight
from limbeck.run import RunFolder, write_bytes, write_json, write_lines
from limbeck.types import Demonstration, Example, Kind, Prediction, Recipe, Report, Row, Settings, Splits, Task
from limbeck.verdict import Choice

LABELS = ("red", "green", "blue")
TASK = Task(name="colour", instruction="Name the colour.", kind=Kind.LABEL, labels=LABELS, metric="accuracy")
TEST = 300


def rows_of(split: str, n: int) -> list[Example]:
    """Red is half of all."""
    draw = random.Random(split)
    return [Example(id=f"{split}-{i}", input=f"thing {split} {i}", output=draw.choice(("red", *LABELS))) for i in range(n)]


def says(rows: list[Example], answers: list[str]) -> list[Prediction]:
    return [Prediction(id=row.id, text=text, tokens_in=103) for row, text in zip(rows, answers, strict=True)]


def leaderboard(path: Path, order: list[int] | None = None) -> tuple[Report, dict[str, Row], list[Example]]:
    """Contenders that are known in advance, written down as a run writes them. order: of the test rows."""
    folder = RunFolder(path).create()
    train, dev, test = rows_of("train", 40), rows_of("dev", 40), rows_of("test", TEST)
    guess = random.Random(7)
    guesses = {row.id: guess.choice(LABELS) for row in [*dev, *test]}
    test = [test[i] for i in order] if order else test
    contenders = {
        "oracle": (Recipe(adapter="full", base="tiny"), lambda rows: says(rows, [r.output or "" for r in rows])),
        "twin": (Recipe(adapter="lora", base="tiny"), lambda rows: says(rows, [r.output or "" for r in rows])),
        "chance": (Recipe(adapter="prompt", base="tiny-lm"), lambda rows: says(rows, [guesses[r.id] for r in rows])),
        "constant": (Recipe(adapter="majority"), lambda rows: Majority(TASK, train).predict([r.blind() for r in rows])),
    }
    write_bytes(folder.prompt, TASK.instruction.encode())
    write_json(folder.task, TASK)
    write_lines(folder.rows, [*train, *dev, *test])
    write_json(folder.splits, Splits(train=split_of(train), dev=split_of(dev), test=split_of(test), seed=0, how="by hand."))
    write_json(folder.recipes, {"recipes": [recipe.model_dump(mode="json") for recipe, _ in contenders.values()]})
    for name, (recipe, answer) in contenders.items():
        group = {"chance": "prompt", "constant": "baseline"}.get(name, "student")
        for split, rows in (("dev", dev), ("test", test)):
            write_json(folder.students / recipe.id / f"{split}.json", Record(recipe=recipe, group=group))
            write_lines(folder.predictions / f"{recipe.id}.{split}.jsonl", answer(rows))
    choice = Choice(best_student=contenders["oracle"][0].id, best_baseline=contenders["constant"][0].id)
    folder.mark_done("choice", {}, [], choice=choice.model_dump(mode="json"))
    write_json(folder.settings, {"settings": {"prompt": "p.md", "seed": 0}, "versions": {}, "sizes": {}})
    report = compare.build_report(folder)
    by_id = {row.id: row for row in report.rows}
    return report, {name: by_id[recipe.id] for name, (recipe, _) in contenders.items()}, test


@pytest.fixture(scope="module")
def board(tmp_path_factory) -> tuple[Report, dict[str, Row], list[Example]]:
    return leaderboard(tmp_path_factory.mktemp("run") / "run")


def test_the_oracle_is_always_right_and_wins(board):
    report, rows, _ = board
    assert rows["oracle"].test.value == 1.0 and rows["oracle"].statuses == {"ok": TEST}
    assert report.advice == "ship" and report.winner == "full@tiny"


def test_guessing_is_chance_within_what_a_binomial_allows(board):
    report, rows, _ = board
    p, found = 1 / len(LABELS), rows["chance"].test.value
    assert abs(found - p) < 2.58 * (p * (1 - p) / TEST) ** 0.5, "99 % of guessers lie nearer"
    assert report.chance == pytest.approx(p)


def test_the_constant_gets_the_share_of_the_label_that_it_names(board):
    _, rows, test = board
    assert rows["constant"].test.value == Counter(r.output for r in test)["red"] / TEST


def test_the_same_contender_under_two_names_gets_the_same_row(board):
    _, rows, _ = board
    names = {"recipe": "", "id": ""}
    assert rows["oracle"].model_copy(update=names) == rows["twin"].model_copy(update=names)


def test_the_order_of_the_test_rows_changes_no_figure(board, tmp_path):
    _, rows, _ = board
    _, shuffled, _ = leaderboard(tmp_path / "run", random.Random(1).sample(range(TEST), TEST))
    for name, row in rows.items():
        other = shuffled[name]
        assert row.test.value == other.test.value and row.statuses == other.statuses and row.more[0].value == other.more[0].value
        assert row.test.low == pytest.approx(other.test.low, abs=0.02) and row.test.high == pytest.approx(other.test.high, abs=0.02)


# ---- leaks -------------------------------------------------------------------------------------------------------------


def test_a_test_row_in_training_or_among_the_demonstrations_of_the_prompt_is_caught(tmp_path):
    rows, test = rows_of("train", 30), rows_of("test", 20)
    leak, shown = test[3], test[7]
    for name, some in (("rows", [*rows, leak.model_copy(update={"id": "stolen", "input": leak.input.upper() + "!"})]), ("test", test)):
        lines = [json.dumps({"id": r.id, "input": r.input, "output": r.output}) + "\n" for r in some]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    prompt = f"Name the colour.\n\nAnswer with one of:\n- red\n- green\n- blue\n\nInput: {shown.input}\nOutput: {shown.output}\n"
    settings = Settings(
        prompt=str(tmp_path / "p.md"), rows=(str(tmp_path / "rows.jsonl"),), test=str(tmp_path / "test.jsonl"), candidates=("majority",)
    )
    task = TASK.model_copy(update={"demonstrations": (Demonstration(input=shown.input, output=shown.output or ""),)})
    given, splits, _ = cut(preflight(settings, prompt), task)
    learnt = {*splits.train.ids, *splits.dev.ids}
    assert "stolen" not in learnt and len(learnt) == 30 and len(splits.test.ids) == 20, "test is frozen: the copy goes, not the row"
    warned = " ".join(given.warnings)
    assert "taken out because a test row says the same: 1 of train" in warned or "1 of dev" in warned
    assert "1 demonstrations in the prompt are test rows too" in warned


def test_a_test_row_in_the_index_is_caught_and_its_words_alone_are_not():
    row = Example(id="t", input="which town is the red kettle of my aunt made in", output="Jeburg")
    passages = [("a.md", "Kettles are made in many towns."), ("b.csv", f"{row.input},{row.output}"), ("c.md", row.input)]
    assert told([row], passages) == {"t": [1]}


# ---- what a call costs -------------------------------------------------------------------------------------------------


def test_the_count_of_operations_is_the_published_one():
    """Liu et al. 2022 (arXiv 2205.05638), section 4.2 and table 1: 103 tokens a row; in context 41 rows of 98 tokens stand before it."""
    assert f"{flops.per_call(11e9, 103, 'seq2seq'):.1e}" == "1.1e+12"
    assert f"{flops.per_call(175e9, 41 * 98 + 103, 'causal'):.1e}" == "1.4e+15"
    assert f"{flops.of_training(11e9, 1000 * 8 * 103, 'seq2seq'):.1e}" == "2.7e+16"
    assert flops.of_training(1, 1, "causal") == flops.of_training(1, 1, "encoder") == 6 and flops.of_training(1, 1, "seq2seq") == 3


def test_the_report_says_what_a_call_costs_where_it_is_computed_here(board):
    _, rows, _ = board
    tiny_lm = rows["chance"].flops_per_call
    assert tiny_lm == 2 * 1_931_136 * 103 and rows["oracle"].flops_per_call is not None
    assert rows["constant"].flops_per_call is None
    assert rows["chance"].usd_per_1000 is None or rows["chance"].usd_per_1000 >= 0
