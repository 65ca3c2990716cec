"""The examples keep their bars: own rows, no near duplicates, no template, hard enough, a teacher with believable mistakes."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from limbeck.curate.clean import near_duplicates
from limbeck.types import Example
from tests.conftest import ROOT

EXAMPLES = ROOT / "examples"


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def examples(name: str, file: str) -> list[Example]:
    return [Example(id=r["id"], input=r["input"], output=r.get("output"), choices=r.get("choices")) for r in lines(EXAMPLES / name / file)]


@pytest.mark.parametrize("name", ["kettle", "first-step"])
def test_no_two_rows_are_near_duplicates(name):
    rows = [*examples(name, "rows.jsonl"), *examples(name, "unlabelled.jsonl")]
    assert near_duplicates(rows) == []
    assert len({r.id for r in rows}) == len(rows)


@pytest.mark.parametrize("name", ["kettle", "first-step"])
def test_no_opening_stands_in_front_of_more_than_2_percent(name):
    rows = [*examples(name, "rows.jsonl"), *examples(name, "unlabelled.jsonl")]
    openings = Counter(" ".join(r.input.lower().split()[:3]) for r in rows)
    assert openings.most_common(1)[0][1] <= 0.02 * len(rows)


@pytest.mark.parametrize("name", ["kettle", "first-step"])
def test_the_recorded_teacher_covers_every_row_and_errs_believably(name):
    said = {r["input"]: r for r in lines(EXAMPLES / name / "teacher.jsonl")}
    rows = [*examples(name, "rows.jsonl"), *examples(name, "unlabelled.jsonl")]
    assert all(r.input in said and said[r.input]["label"] and said[r.input]["rationale"] for r in rows)
    gold = [r for r in rows if r.output is not None]
    right = sum(said[r.input]["label"] == r.output for r in gold) / len(gold)
    assert 0.85 <= right <= 0.96
    allowed = {r.output for r in gold}
    assert all(said[r.input]["label"] in (r.choices or allowed) for r in rows)


def test_kettle_has_the_size_that_is_promised():
    rows = examples("kettle", "rows.jsonl")
    counts = Counter(r.output for r in rows)
    assert len(rows) >= 500 and len(examples("kettle", "unlabelled.jsonl")) >= 500
    assert len(counts) >= 8 and min(counts.values()) >= 20


def test_words_alone_do_not_solve_kettle():
    pytest.importorskip("sklearn")
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_score
    from sklearn.pipeline import make_pipeline

    rows = examples("kettle", "rows.jsonl")
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10, max_iter=1000))
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    mean = cross_val_score(model, [r.input for r in rows], [r.output for r in rows], cv=folds).mean()
    assert 0.5 < mean <= 0.88


@pytest.mark.parametrize("name", ["kettle", "first-step"])
def test_the_prompt_is_read_as_it_is_meant(name):
    from limbeck.tasks.frontmatter import split_front_matter
    from limbeck.tasks.parse import parse

    settings, prompt = split_front_matter((EXAMPLES / name / "prompt.md").read_text())
    assert settings["teacher"] == "recorded:teacher.jsonl"
    rows = examples(name, "rows.jsonl")
    task = parse(prompt, name, rows)
    assert task.kind == ("label" if name == "kettle" else "choice")
    assert set(task.labels) == ({r.output for r in rows} if name == "kettle" else set())
    assert "{" not in task.instruction and not task.demonstrations
