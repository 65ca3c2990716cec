"""A local base that is prompted: it reads what a teacher would be sent, answers by likelihood or in words, and is served as it was measured."""

# ruff: noqa: E402  (the imports below need torch)

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from limbeck import render, showing
from limbeck.adapters.prompt import PROMPT
from limbeck.demonstrating import Shots, demonstrations
from limbeck.engine.calibrate import calibrated, pmi
from limbeck.engine.demonstrator import DEMONSTRATIONS, Demonstrator
from limbeck.engine.generate import up_to
from limbeck.engine.load import CAUSAL, ENCODER, SEQ2SEQ, Base, load_base
from limbeck.engine.opening import Opening, common
from limbeck.engine.reader import load_student
from limbeck.engine.score import ask, score_rows, split
from limbeck.engine.tokens import pad_id
from limbeck.errors import UsageError
from limbeck.registry import FitJob, Fitted
from limbeck.testing.adapters import must_agree
from limbeck.testing.toys import eight_rows, toy
from limbeck.types import Demonstration, Example, Kind, Recipe, Value

EXTRA = ["exactly these labels and nothing else name colour with one of say options choose text a b c d . : - \n n / mask"]
TASK, ROWS = eight_rows(Kind.LABEL)
BLIND = [row.blind() for row in ROWS]
SHOTS = tuple(
    Example(id=f"s{i}", input=f"the {w} is {c}", output=c)
    for i, (w, c) in enumerate(zip(("lamp", "door", "cup"), TASK.labels, strict=True))
)


@pytest.fixture(scope="module", params=[CAUSAL, SEQ2SEQ])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Base:
    return load_base(str(toy(tmp_path_factory.mktemp("toy") / request.param, request.param, EXTRA)))


def prompted(base: Base, folder: Path, task=TASK, dev=ROWS, **values: object) -> Fitted:
    found = {"max_length": 128, "max_answer": 4, **values}
    recipe = Recipe(adapter="prompt", base=str(base.folder), values=tuple(Value(name=n, value=v, why="test") for n, v in found.items()))
    return PROMPT.fit(FitJob(task=task, recipe=recipe, train=ROWS, dev=dev, seed=0, folder=folder / "fit", threads=1, dtype="float32"))


def by_hand(base: Base, text: str, answer: str) -> float:
    """Token by token, one text at a time."""
    pair = split(base, text, answer, with_end=base.family == SEQ2SEQ)
    total = 0.0
    with torch.no_grad():
        for i, token in enumerate(pair.answer):
            if base.family == CAUSAL:
                logits = base.model(input_ids=torch.tensor([pair.prompt + pair.answer[:i]])).logits[0, -1]
            else:
                decoder = torch.tensor([[0, *pair.answer[:i]]])
                logits = base.model(input_ids=torch.tensor([pair.prompt]), decoder_input_ids=decoder).logits[0, -1]
            total += torch.log_softmax(logits, -1)[token].item()
    return total


def test_it_reads_what_a_teacher_is_sent_and_closed_answers_are_the_likeliest(base, tmp_path):
    fitted = prompted(base, tmp_path)
    row = BLIND[0].model_copy(update={"shots": SHOTS})
    text = "\n\n".join(m.content for m in render.messages(TASK, BLIND[0], SHOTS))
    assert fitted.predictor.reading.prompt(TASK, row).text == text and "the lamp is red" in text and "Name the colour." in text
    p = np.exp([by_hand(base, text, label) for label in TASK.labels])
    found = fitted.predictor.predict([row])[0]
    assert found.text == TASK.labels[int(p.argmax())] and found.cost_usd is None and found.latency_ms > 0
    assert [found.scores[label] for label in TASK.labels] == pytest.approx(list(p / p.sum()), abs=1e-4)
    assert fitted.trainable_parameters == 0 and fitted.size_mb > 0
    whole = fitted.predictor.predict(BLIND)
    must_agree(whole, [fitted.predictor.predict([r])[0] for r in BLIND])
    must_agree(whole, fitted.predictor.predict(BLIND[::-1])[::-1])


@torch.inference_mode()
def test_what_all_prompts_begin_with_is_computed_once_and_changes_nothing(tmp_path_factory):
    base = load_base(str(toy(tmp_path_factory.mktemp("toy") / "causal", CAUSAL, EXTRA)))
    start = "the kettle is red and the lamp is blue " * 5
    prompts = [f"{start} {end} answer:" for end in ("where is my parcel", "the door", "it is late and the bill is not paid")]
    rows = [ask(base.tokenizer, CAUSAL, text, ["red tea", "blue", "green cup card"]) for text in prompts]
    plain = score_rows(base.model, CAUSAL, rows, pad_id(base.tokenizer))
    opening = Opening()
    for some in ([0, 1, 2], [2], [1, 0]):
        again = score_rows(base.model, CAUSAL, [rows[i] for i in some], pad_id(base.tokenizer), opening)
        for i, line in zip(some, again, strict=True):
            assert [a.log_prob for a in line] == pytest.approx([b.log_prob for b in plain[i]], abs=1e-4)
    shared = len(common([row.prompt for row in rows]))
    assert opening.ids == rows[0].prompt[:shared] and shared >= 40 and opening.reused == 6 * shared
    other = ask(base.tokenizer, CAUSAL, "a table and a chair answer:", ["red", "blue"])
    fresh = score_rows(base.model, CAUSAL, [other], pad_id(base.tokenizer))[0]
    found = score_rows(base.model, CAUSAL, [other], pad_id(base.tokenizer), opening)[0]
    assert [a.log_prob for a in found] == pytest.approx([b.log_prob for b in fresh], abs=1e-4), "another beginning is not that beginning"


# ---- calibration -------------------------------------------------------------------------------------------------------


def shares(log_p: np.ndarray) -> np.ndarray:
    p = np.exp(log_p - log_p.max())
    return p / p.sum()


def test_with_a_uniform_prior_calibration_changes_nothing_and_otherwise_divides_by_it():
    log_p = np.log(np.array([0.5, 0.3, 0.2]))
    uniform = np.full((3, 3), -4.0)
    assert shares(calibrated(log_p, uniform)) == pytest.approx([0.5, 0.3, 0.2])
    assert shares(pmi(log_p, uniform)) == pytest.approx([0.5, 0.3, 0.2])
    free = np.log(np.array([[0.6, 0.2, 0.2], [0.4, 0.4, 0.2]]))  # on average 0.5, 0.3, 0.2
    assert shares(calibrated(log_p, free)) == pytest.approx([1 / 3, 1 / 3, 1 / 3])
    assert shares(calibrated(log_p, free - 7.0)) == pytest.approx([1 / 3, 1 / 3, 1 / 3]), "only shares among the answers count"
    assert pmi(log_p, free) == pytest.approx([0.0, 0.0, 0.0])
    assert pmi(log_p, np.log(np.array([[0.1, 0.1, 0.4]]))) == pytest.approx(np.log([5.0, 3.0, 0.5]))


def test_a_calibrated_base_holds_each_answer_against_the_prompt_without_input(base, tmp_path):
    raw, turned = prompted(base, tmp_path).predictor, prompted(base, tmp_path, calibrate=True).predictor
    row = BLIND[0].model_copy(update={"shots": SHOTS})
    free = []
    for text in ("N/A", "", "[MASK]"):
        asked = "\n\n".join(m.content for m in render.messages(TASK, row.model_copy(update={"input": text})))
        p = np.exp([by_hand(base, asked, label) for label in TASK.labels])
        free.append(p / p.sum())
    p = np.array([raw.predict([row])[0].scores[label] for label in TASK.labels]) / np.mean(free, 0)
    found = turned.predict([row, *BLIND])[0].scores
    assert [found[label] for label in TASK.labels] == pytest.approx(list(p / p.sum()), abs=1e-4)
    n = len(turned.free)
    turned.predict(BLIND)
    assert len(turned.free) == n == 6, "a prompt without input was scored again"


def test_what_makes_no_sense_is_refused(base, tmp_path):
    with pytest.raises(UsageError, match="twice"):
        prompted(base, tmp_path, calibrate=True, normalise="pmi")
    with pytest.raises(UsageError, match="unknown normalise"):
        prompted(base, tmp_path, normalise="max")
    with pytest.raises(UsageError, match="cannot be prompted"):
        prompted(load_base(str(toy(tmp_path / "encoder", ENCODER))), tmp_path)


# ---- what does not fit ---------------------------------------------------------------------------------------------------


def test_demonstrations_go_from_the_front_and_the_question_stays(base, tmp_path):
    task = TASK.model_copy(update={"demonstrations": (Demonstration(input="my card is lost", output="green"),)})
    reading = prompted(base, tmp_path, task).predictor.reading
    row = BLIND[0].model_copy(update={"shots": SHOTS})
    every = ["my card is lost", "the lamp is red", "the door is green", "the cup is blue"]
    sizes = [reading.prompt(task, row).tokens]
    for gone in range(1, 5):
        short = replace(reading, max_length=sizes[-1] - 1)
        found = short.prompt(task, row)
        assert [text in found.text for text in every] == [i >= gone for i in range(4)] and found.shots == 4 - gone and not found.cut
        assert f"Input: {row.input}" in found.text and found.text.endswith("Answer:") and found.whole == sizes[0]
        sizes.append(found.tokens)
    crowded = prompted(base, tmp_path, task, [row], max_length=sizes[2])
    assert {v.name: v.value for v in crowded.measured} == {"demonstrations": 2.0, "prompt_tokens": sizes[2]}
    assert crowded.predictor.predict([row])[0].detail == "2 of 4 demonstrations stood there" and crowded.predictor.truncated == 0


def test_an_end_counts_only_where_one_answer_begins_another(tmp_path):
    base = load_base(str(toy(tmp_path / "toy", CAUSAL, EXTRA)))
    reading = prompted(base, tmp_path).predictor.reading
    plain, _ = reading.asked(TASK, BLIND[0], ["red", "green tea"])
    assert [len(a) for a in plain.answers] == [1, 2]
    longer, _ = reading.asked(TASK, BLIND[0], ["green", "green tea"])
    assert [a[-1] for a in longer.answers] == [base.tokenizer.eos_token_id] * 2


@pytest.mark.parametrize(
    ("written", "answer"),
    [("tea\n\nInput: more\nAnswer: x", "tea"), (" tea \n\ncup", "tea \n\ncup"), ("\n\nInput: a", ""), ("a\n\nPassages:\n<", "a")],
)
def test_a_base_that_goes_on_with_the_next_question_has_answered_before_it(written, answer):
    assert up_to(written.strip(), render.NEXT_QUESTION) == answer


def test_what_is_not_closed_is_written(base, tmp_path):
    task, rows = eight_rows(Kind.TEXT)
    found = prompted(base, tmp_path, task, rows).predictor.predict([row.blind() for row in rows])
    assert [p.id for p in found] == [row.id for row in rows] and all(p.tokens_out is not None and p.tokens_in for p in found)


# ---- as it was measured, so it is served -----------------------------------------------------------------------------------


def picks(recipe: Recipe) -> Shots:
    found = demonstrations(TASK, recipe, ROWS, 3)
    assert found is not None
    return found


@pytest.mark.parametrize(("context", "kept"), [("few:2", 2), ("few:2:nearest", 8), ("many", 3)])
def test_a_folder_answers_the_same(base, tmp_path, context, kept):
    recipe = Recipe(adapter="prompt", base=str(base.folder), context=context)
    shots = picks(recipe) if context != "many" else Shots(lambda row: ROWS[:3], pool=ROWS[:3])
    fitted = showing.wrap(recipe, prompted(base, tmp_path, calibrate=True), shots, seed=3)
    assert isinstance(fitted.predictor, Demonstrator) and fitted.save is not None
    assert len(shots(BLIND[0])) > 0 and "Answer: " in fitted.prompt(BLIND[0])[-1].content
    fitted.save(tmp_path / "model")
    loaded = load_student(tmp_path / "model")
    new = [Example(id="n", input="the bill is late"), Example(id="m", input="a cold cup")]
    must_agree(fitted.predictor.predict(new), loaded.predict(new))
    text = (tmp_path / "model" / DEMONSTRATIONS).read_text()
    assert text.count('"input"') == kept and '"origin"' not in text
    assert loaded.predictor.reading.calibrate and loaded.predictor.reading.prompted


@pytest.mark.parametrize("context", ["few:3", "few:3:nearest"])
def test_a_student_never_learns_a_row_that_stands_in_its_own_prompt(context):
    shots = picks(Recipe(adapter="full", base="tiny", context=context))
    for row in showing.shown(ROWS, shots):
        assert len(row.shots) == 3 and row.id not in {shot.id for shot in row.shots}
    stranger = Example(id="d", input="the lamp is broken and late")
    assert list(showing.shown([stranger], shots)[0].shots) == list(shots(stranger)), "it is served as it was trained"


def test_the_demonstrations_of_a_student_stand_before_its_input():
    row = ROWS[0].model_copy(update={"shots": SHOTS[:2]})
    text = "\n\n".join(m.content for m in render.student_messages(TASK, row, instruct=False))
    assert text == "Input: the lamp is red\nAnswer: red\n\nInput: the door is green\nAnswer: green\n\nInput: my kettle leaks\nAnswer:"
