"""The knowledge study on a toy: a base of its own, arms that train as many steps, a grid that resumes, tables that say what was not run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from limbeck.bench import cells, stepgrid
from limbeck.bench.knowledge import arms, base, claims, page, results, score, selfwrite, study
from limbeck.bench.knowledge.reversals import reversals
from limbeck.bench.knowledge.semantics import semantics

REPOSITORY = Path(__file__).resolve().parents[2]
TINY = {"layers": 2, "width": 16, "positions": 256, "steps": 12, "tokens": 256, "lr": 0.003, "most": 4, "room": 4, "episodes": 40}
WORLD = {"background": 20, "entities": 60, "dimensions": 2, "articles": 2}
ARMS = ["pretrained", "needed", "in_context", "retrieval", "plain", "rephrase", "local", "global"]


@pytest.fixture(scope="module")
def study_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The committed study's settings, with one small world."""
    folder = tmp_path_factory.mktemp("study") / "generalization"
    default = json.loads((REPOSITORY / "bench/generalization/default.json").read_bytes())
    default["worlds"]["reversals"] = {"parameters": WORLD, "base": TINY, "training": {"steps": 8, "tokens": 256, "lr": 0.003}}
    default["core"] = [
        {"data": "reversals", "base": "own", "rows": [16], "seeds": [0, 1], "experiments": ["pretrained", "in_context", "plain", "local"]}
    ]
    default["further"] = []
    folder.mkdir()
    (folder / "default.json").write_text(json.dumps(default))
    for name in ARMS:
        own = (REPOSITORY / "bench/generalization/experiments" / name / "experiment.json").read_text()
        (folder / "experiments" / name).mkdir(parents=True)
        (folder / "experiments" / name / "experiment.json").write_text(own)
    return folder


# ---- the committed grid ------------------------------------------------------------------------------------------------


def test_the_committed_grid_holds_the_core_that_the_issue_asks_for():
    core = stepgrid.grid(REPOSITORY / "bench/generalization")
    assert {(c.data, str(c.rows)) for c in core} == {("reversals", "100"), ("semantics", "30")}
    assert {c.seed for c in core} == set(range(5))
    assert {c.experiment for c in core} == set(ARMS)
    everything = stepgrid.grid(REPOSITORY / "bench/generalization", full=True)
    assert {c.data for c in everything} == set(study.WORLDS)
    assert all(c.data in c.config["worlds"] for c in everything)
    assert {str(c.rows) for c in everything if c.data == "semantics"} == {"30", "110"}


def test_arms_are_spelled_as_recipes():
    found = {c.experiment: study.recipe_text(c.config) for c in stepgrid.grid(REPOSITORY / "bench/generalization", full=True)}
    assert found["pretrained"] == "prompt@base"
    assert found["in_context"] == "prompt+many@base"
    assert found["retrieval"] == "prompt+rag:4@base"
    assert found["global"] == "full+augment:global@base"
    assert found["independent"] == "full+split:independent@base"


# ---- a base, a student, their likelihoods --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> tuple:
    scratch = tmp_path_factory.mktemp("bases")
    world = reversals(0, facts=16, **WORLD)
    shape = base.Shape(**TINY)
    return world, shape, scratch, base.base_of(world, shape, 0, scratch)


def test_a_base_is_a_folder_that_a_recipe_can_name_and_is_trained_once(toy: tuple):
    world, shape, scratch, folder = toy
    before = (folder / "model.safetensors").stat().st_mtime_ns
    assert base.base_of(world, shape, 0, scratch) == folder
    assert (folder / "model.safetensors").stat().st_mtime_ns == before
    assert base.base_of(world, base.Shape(**{**TINY, "steps": 3}), 0, scratch) != folder
    loaded = arms.untrained(folder)
    assert loaded.family == "causal"
    for word in world.pseudo:
        assert len(loaded.tokenizer(word, add_special_tokens=False)["input_ids"]) == 1
    unknown = loaded.tokenizer.unk_token_id
    assert not any(unknown in loaded.tokenizer(i.sentence)["input_ids"] for i in world.items)
    assert not any(unknown in loaded.tokenizer(d.text)["input_ids"] for d in world.documents)


def test_a_student_learns_documents_whole_their_first_word_too(toy: tuple):
    """Training that leaves the subject out of the loss could never answer with it."""
    _, _, _, folder = toy
    world = toy[0]
    text = world.documents[0].text
    student = arms.fit(folder, [text], arms.Training(steps=30, tokens=64, lr=0.02), seed=0)
    first, *_ = text.split()
    item = world.items[0]
    asked = [type(item)("first", "recall", "", (first, world.entities[-1], world.entities[-2]), 0, item.fact, "c")]
    assert score.choices(student.base, asked)[0].right() == 1
    assert student.tokens_seen > 0


def test_arms_of_few_and_of_many_texts_take_as_many_steps(toy: tuple):
    *_, folder = toy
    counted = []
    for texts in (["dax"] * 2, [d.text for d in toy[0].documents] * 9):
        student = arms.fit(folder, texts, arms.Training(steps=7, tokens=64, lr=0.001), seed=0)
        counted.append(len(student.fitted.history) and student.fitted.chosen["epochs"])
        assert student.steps == 7
    assert counted == [1, 1]


def test_likelihoods_do_not_change_with_the_order_of_items_or_with_neighbours(toy: tuple):
    world, *_, folder = toy
    model = arms.untrained(folder)
    together = score.choices(model, world.items)
    alone = [score.choices(model, [item])[0] for item in reversed(world.items[:6])][::-1]
    for one, other in zip(together[:6], alone, strict=True):
        assert one.sums == pytest.approx(other.sums, abs=1e-4)


def test_random_weights_score_chance(tmp_path: Path):
    from limbeck.engine.fresh import new_causal

    world = semantics(0, categories=20, held=4, articles=2)
    new_causal(tmp_path / "raw", base.words_of(world), width=32)
    found = score.choices(arms.untrained(tmp_path / "raw"), world.items)
    share = sum(c.right() for c in found) / len(found)
    deviation = (0.25 * 0.75 / len(found)) ** 0.5
    assert abs(share - 0.25) < 4 * deviation


def test_what_the_base_writes_is_checked_and_judged_against_the_truth(toy: tuple):
    world, *_, folder = toy
    written, report = selfwrite.write(world, arms.untrained(folder), "local", samples=2, least=1)
    assert report.kept == len(written) <= report.said
    assert 0 <= report.coverage <= 1
    assert report.precision == (sum(w.true for w in written) / len(written) if written else 0)
    assert sum(report.dropped.values()) + report.kept == report.said


# ---- the grid ------------------------------------------------------------------------------------------------------------


def test_the_command_runs_what_is_missing_and_says_what_was_not_run(study_folder: Path, tmp_path: Path, limbeck: Callable[..., Any]):
    command = ["bench", "generalization", "--folder", study_folder, "--scratch", tmp_path]
    first = limbeck(*command, "--only", "plain", "--only", "local")
    assert first.returncode == 0, first.stderr
    assert "4 cells, 0 there, 4 to run" in first.stderr
    assert "failed" not in first.stderr
    assert "4 cells, 4 there, 0 to run" in limbeck(*command, "--dataset", "reversals", "--only", "plain", "--only", "local").stderr
    table = limbeck(*command, "--table").stdout
    assert "| in_context | not run |" in table
    assert "reversals: plain at most 0.35 on reversal" in table
    assert (study_folder / "page.html").read_text().startswith("<!")
    cell = next(c for c in stepgrid.grid(study_folder) if c.experiment == "local" and c.result)
    assert cell.result["leak"]["reversal"]["literal"] == 0
    assert cell.result["leak"]["reversal"]["stated"] > 0
    assert cell.result["tokens_per_word"]["this base"] == 1
    assert cell.result["tokens_per_word"]["minilm"] > 1


# ---- results -> verdicts -----------------------------------------------------------------------------------------------


def fake(folder: Path, experiment: str, seed: int, **right: str) -> None:
    splits = {
        split: {
            "n": text.count("/"), "chance": 0.25, "sum": mean(text), "mean": mean(text), "sum_clusters": text, "mean_clusters": text,
        }
        for split, text in right.items()
    }  # fmt: skip
    cell = next(c for c in stepgrid.grid(folder) if c.experiment == experiment and c.seed == seed)
    told = {"local": {"coverage": 0.8, "precision": 1.0, "kept": 3}} if experiment == "local" else {}
    cells.write(cell, {"splits": splits, "leak": {}, "added": told, "steps": 8, "train_s": 1.0, "words": 9, "parameters": 5})


def mean(text: str) -> float:
    pairs = [tuple(map(float, part.split("/"))) for part in text.split()]
    return sum(a for a, _ in pairs) / sum(b for _, b in pairs)


def test_verdicts_are_computed_from_the_results(study_folder: Path, tmp_path: Path):
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "default.json").write_text((study_folder / "default.json").read_text())
    (folder / "experiments").symlink_to(study_folder / "experiments")
    good, poor = " ".join(["1/1"] * 40), " ".join(["1/1"] * 10 + ["0/1"] * 30)
    for seed in (0, 1):
        fake(folder, "pretrained", seed, reversal=poor)
        fake(folder, "in_context", seed, reversal=good)
        fake(folder, "plain", seed, reversal=poor)
    found = results.groups(stepgrid.grid(folder))
    bars = {bar: verdict for bar, _, verdict in claims.bars(found)}
    assert bars["reversals: in_context at least 0.95 on reversal"] == "met"
    assert bars["reversals: plain at most 0.35 on reversal"] == "met"
    assert bars["local above rephrase on reversal"] == "not run"
    judged = {(data, words): verdict for data, _, words, _, verdict in claims.judged(found)}
    assert judged["reversals", "in context above fine-tuned"] == "reproduced"
    assert judged["reversals", "augmented fine-tuning above fine-tuning"] == "not run"
    for seed in (0, 1):
        fake(folder, "local", seed, reversal=poor)
    judged = {(data, words): verdict for data, _, words, _, verdict in claims.judged(results.groups(stepgrid.grid(folder)))}
    assert judged["reversals", "augmented fine-tuning above fine-tuning"] == "not told apart"
    assert judged["reversals", "augmented fine-tuning as good as in context, or better"] == "not reproduced"
    assert "not run" in page.page(folder, stepgrid.grid(folder))


def test_intervals_are_drawn_over_clusters_not_over_items():
    """Ten clusters of twenty items that all agree know as much as ten items."""
    wide = results.interval((tuple((20.0 * (i % 2), 20.0) for i in range(10)),))
    narrow = results.interval((tuple((float(i % 2), 1.0) for i in range(200)),))
    assert wide[1] - wide[0] > 3 * (narrow[1] - narrow[0])
    assert results.interval((((1.0, 1.0),) * 30,))[0] < 1


def test_differences_are_paired_and_refuse_other_items():
    ours, theirs = (((1.0, 1.0), (0.0, 1.0)) * 20,), (((0.0, 1.0), (0.0, 1.0)) * 20,)
    gap, low, high = results.difference(ours, theirs)
    assert gap == 0.5
    assert 0.3 < low < gap < high < 0.7
    with pytest.raises(ValueError, match="different items"):
        results.difference(ours, (((0.0, 2.0), (0.0, 1.0)) * 20,))


# ---- a base that is stuck --------------------------------------------------------------------------------------------------


def test_a_base_that_does_not_learn_to_read_is_started_again_and_in_the_end_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    losses = iter([0.9] * base.PATIENCE + [0.1] * 99)  # the first start is stuck at one fact, the second masters every stage at once
    learnt: list[int] = []

    class Fitted:
        seconds, parameters = 1.0, 5

        def __init__(self, steps: int) -> None:
            self.loss = next(losses)
            learnt.append(steps)

        def save(self, folder: Path) -> None:
            folder.mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(arms, "fit", lambda start, texts, training, *given, **named: Fitted(training.steps))
    world, shape = reversals(0, facts=16, **WORLD), base.Shape(**{**TINY, "steps": 100, "mastered": 0.5, "episodes": 4})
    told = json.loads((base.base_of(world, shape, 0, tmp_path) / "trained.json").read_text())
    assert told["starts"] == 2 and [s["facts"] for s in told["stages"]] == [1, 2, 4, 4, 4]
    assert learnt == [5] * (base.PATIENCE + 4) + [30]
    losses = iter([0.9] * 999)
    told = json.loads((base.base_of(world, shape, 1, tmp_path) / "trained.json").read_text())
    assert told["starts"] == 4 and sum(s["steps"] for s in told["stages"]) == 100, "no step beyond what was given"
