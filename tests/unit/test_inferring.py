"""What augmenting can repair, told from what there is: declared relations, dev questions, a second teacher."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from limbeck import inferring
from limbeck.augment.inferences import Inference
from limbeck.augment.relations import infer, read_relations
from limbeck.contexts.chunks import Document
from limbeck.errors import UsageError
from limbeck.knowing import Knowledge, texts_of
from limbeck.preflight import DEV_SHARE, questions_apart
from limbeck.repairing import measure
from limbeck.types import Example, Kind, Row, Settings, Task
from limbeck.verdict import with_break_even

DECLARED = ({"a": "heavier than", "inverse": "lighter than", "transitive": True},)
DOCUMENTS = {"a": "The dax is heavier than the wug.", "b": "The wug is heavier than the blick."}
TEXTS = tuple(text for name, said in DOCUMENTS.items() for text in texts_of(Document(name, said)))


def known(*texts: str, scope: str = "local") -> Knowledge:
    made = tuple(Inference(text=text, uses=("a#1.1",), why="", scope=scope) for text in texts)  # type: ignore[arg-type]
    return Knowledge(TEXTS, inferences=made)


def asks(question: str, answer: str) -> Example:
    return Example(id=question, input=question, output=answer)


def test_with_declared_relations_both_figures_are_counts_against_what_they_imply() -> None:
    half = known(
        "The wug is lighter than the dax.", "The dax is heavier than the blick.", "The blick is lighter than the cat.", "A dax eats."
    )
    facts = measure(Settings(prompt="p.md", relations=DECLARED), half, [], (0, 0))
    assert (facts["coverage"], facts["coverage_of"]) == (0.5, 4), "wug<dax, blick<wug, dax>blick, blick<dax"
    assert (facts["precision"], facts["precision_of"]) == (pytest.approx(2 / 3), 3), "what states no relation is not judged"
    assert facts["repair"] == pytest.approx(1 / 3)
    rules = infer({k: v for t in TEXTS for k, v in t.statements().items()}, read_relations(DECLARED), {"a#1.1": "a#1", "b#1.1": "b#1"})
    whole = measure(Settings(prompt="p.md", relations=DECLARED), Knowledge(TEXTS, inferences=tuple(rules)), [], (0, 0))
    assert whole["repair"] == 1.0
    local = measure(Settings(prompt="p.md", relations=DECLARED), Knowledge(TEXTS, inferences=tuple(rules)), [], (0, 0), ("local",))
    assert local["coverage"] == 0.5 and local["precision"] == 1.0


def test_without_relations_dev_questions_and_the_second_teacher_tell() -> None:
    dev = [
        asks("Which thing is heavier than the wug?", "the dax"),  # a statement says it
        asks("Which thing is heavier than the blick and the wug?", "the dax"),
        asks("Which thing is lighter than all?", "the blick"),
    ]
    facts = measure(Settings(prompt="p.md"), known("The dax is a thing heavier than the blick and the wug."), dev, (3, 1))
    assert (facts["coverage"], facts["coverage_of"]) == (0.5, 2) and (facts["precision"], facts["precision_of"]) == (0.75, 4)
    alone = measure(Settings(prompt="p.md"), known("The dax is heavy."), dev[:1], (0, 0))
    assert alone["coverage"] is None and alone["precision"] is None and alone["repair"] is None
    assert "nobody judged" in alone["precision_how"]


def test_a_piece_that_gives_a_held_out_question_away_is_left_out() -> None:
    asked = Example(id="q7", input="The dax is heavier than the", output="wug")
    kept = Knowledge(TEXTS).without_leaks([asked])
    assert [text.id for text in kept.texts] == ["b#1"] and kept.held_out == (("a#1", "q7"),)
    assert inferring.literal([asked], [Inference(text="Surely the dax is heavier than the wug.", uses=("x",), why="", scope="local")]) == {
        0: "q7"
    }


def test_questions_are_cut_where_they_are_all_there_is() -> None:
    task = Task(name="t", instruction="", kind=Kind.TEXT, metric="exact_match")
    rows = [asks(f"What weighs {n} stone and {n * 7} grains?", f"thing {n}") for n in range(40)]
    test, dev, said = questions_apart(task, rows, seed=1)
    assert len(dev) == DEV_SHARE * 40 and not {r.id for r in test} & {r.id for r in dev} and len(test) + len(dev) == 40
    assert "28 for test, 12 cut off for dev" in said
    with pytest.raises(UsageError, match="too few questions"):
        questions_apart(task, rows[:7], seed=1)


def test_the_documents_are_read_without_the_questions_that_lie_among_them(tmp_path: Path) -> None:
    from limbeck import knowing

    (tmp_path / "a.md").write_text("# Zoo\n\nThe dax is heavy.\n")
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "q.jsonl").write_text('{"input": "x", "output": "y"}\n')
    read = knowing.read(Settings(prompt=str(tmp_path / "p.md"), docs=str(tmp_path), test=str(tmp_path / "q.jsonl")))
    assert [(text.id, text.title, text.text) for text in read.texts] == [("a.md#1", "Zoo", "The dax is heavy.")]
    assert [one["document"] for one in read.skipped] == ["broken.json"]


def test_inferences_are_paid_back_by_those_who_learn_them() -> None:
    def row(name: str, **facts: Any) -> Row:
        return Row(recipe=name, id=name, group="student", usd_per_1000=0.0, train_s=0.0, **facts)

    prompt = Row(recipe="prompt@teacher", id="p", group="prompt", usd_per_1000=2.0)
    plain, augmented = row("full@tiny-lm"), row("full+augment:local@tiny-lm")
    rows = [prompt, plain, augmented]
    assert with_break_even(plain, rows, 0.0, 0.05, inferences_usd=3.0).break_even_calls == 0
    assert with_break_even(augmented, rows, 0.0, 0.05, inferences_usd=3.0).break_even_calls == pytest.approx(1500)
