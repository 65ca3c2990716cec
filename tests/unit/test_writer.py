"""Students that write: what the loss sees, how answers are compared, and that padding and batches change nothing."""

# ruff: noqa: E402  (the imports below need torch)

import math
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from limbeck.engine.batches import collate
from limbeck.engine.framing import Reading, reading_of
from limbeck.engine.generate import decode, prompt_ids
from limbeck.engine.groups import parameter_groups
from limbeck.engine.load import CAUSAL, SEQ2SEQ, Base, load_base
from limbeck.engine.numbers import Numbers
from limbeck.engine.predict import load_predictor, predictor_of, save_predictor
from limbeck.engine.score import answer_log_probs
from limbeck.engine.start import new_student
from limbeck.engine.writer import Written, new_writer, writing_features
from limbeck.errors import UsageError
from limbeck.objectives.sft import SAFE, features, loss, writing_losses
from limbeck.testing.adapters import must_agree
from limbeck.testing.toys import eight_rows, toy
from limbeck.types import Example, Kind, Task

PROMPTS = ["the kettle leaks answer:", "where is my parcel? it is late, please return the bill. answer:", "no"]


@pytest.fixture(scope="module", params=[CAUSAL, SEQ2SEQ])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Base:
    return load_base(str(toy(tmp_path_factory.mktemp("toy") / request.param, request.param)))


# ---- the losses, against numbers worked out by hand ----------------------------------------------------------------


def written(losses: tuple[str, ...]) -> Written:
    """One row with three answers, of probabilities (1/2, 1/4), (1/2), (1/8, 1/2); the second row has one, (1/4)."""
    p = torch.tensor([[0.5, 0.25], [0.5, 1.0], [0.125, 0.5], [0.25, 1.0]])
    mask = torch.tensor([[1, 1], [1, 0], [1, 1], [1, 0]])
    return Written(p.log() * mask, mask, torch.tensor([0, 0, 0, 1]), losses, 0.0)


def test_the_losses_of_t_few_by_hand() -> None:
    found = writing_losses(written(("lm", "ul", "ln")), torch.tensor([0, 0]))
    half = math.log(0.5)
    assert found["lm"].tolist() == pytest.approx([-(half + 2 * half) / 2, -2 * half])
    wrong = [1 - 0.5, 1 - 0.125, 1 - 0.5]  # of the first row's other two answers, three tokens in all
    assert found["ul"].tolist() == pytest.approx([-sum(math.log(p + SAFE) for p in wrong) / 3, 0.0])
    means = [1.5 * half, half, (3 * half + half) / 2]
    ln = -means[0] + math.log(sum(map(math.exp, means)))
    assert found["ln"].tolist() == pytest.approx([ln, 0.0], abs=1e-6)
    assert list(writing_losses(written(("lm",)), torch.tensor([0, 0]))) == ["lm"]


def test_the_prompt_and_the_padding_teach_nothing_and_the_end_is_taught(base: Base) -> None:
    """Against transformers' own loss with labels, one row at a time."""
    task, rows = eight_rows(Kind.TEXT)
    student = new_student(base, task, rows, Numbers(dropout=0.0)).eval()
    items = features(task, rows, base.tokenizer, 64, reading=Reading(base.tokenizer, base.family, True, 64, 6))
    end = base.tokenizer.eos_token_id
    assert all(item["options"][0][-1] == end for item in items)
    expected = []
    for item in items:
        prompt, answer = item["input_ids"], item["options"][0]
        if base.family == CAUSAL:
            labels = torch.tensor([[-100] * len(prompt) + answer])
            expected.append(base.model(input_ids=torch.tensor([prompt + answer]), labels=labels).loss)
        else:
            expected.append(base.model(input_ids=torch.tensor([prompt]), labels=torch.tensor([answer])).loss)
    for filler in (0, end):  # a tokenizer without a padding token lends its end
        found, _ = loss(student, collate(items, filler))
        torch.testing.assert_close(found, torch.stack(expected).mean(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("left", [False, True])
def test_shared_prompts_give_what_whole_rows_give(base: Base, left: bool) -> None:
    from limbeck.engine.tokens import pad

    input_ids, mask = pad([[2, 9, 10, 11, 12], [2, 13, 14]], 0, left=left)
    option_ids, option_mask = pad([[20, 3], [21, 22, 23, 3], [24, 3], [25, 26, 3]], 0)
    row = torch.tensor([0, 0, 1, 1])
    whole = answer_log_probs(base.model, base.family, input_ids[row], mask[row], option_ids, option_mask, torch.arange(4))
    with torch.no_grad():
        shared = answer_log_probs(base.model, base.family, input_ids, mask, option_ids, option_mask, row)
    torch.testing.assert_close(shared, whole.detach(), atol=1e-5, rtol=1e-5)


def test_with_the_wrong_answers_too_a_batch_is_the_mean_of_its_rows(base: Base) -> None:
    task, rows = eight_rows(Kind.CHOICE)
    numbers = Numbers(losses="lm+ul+ln", dropout=0.0)
    student = new_student(base, task, rows, numbers).eval()
    items = features(task, rows, base.tokenizer, 64, reading=reading_of(base, task, numbers))
    assert [len(item["options"]) for item in items] == [len(row.choices) for row in rows]
    with torch.no_grad():
        whole, parts = loss(student, collate(items, 0))
        each = [loss(student, collate([item], 0))[0].item() for item in items]
    assert whole.item() == pytest.approx(sum(each) / len(each), abs=1e-4)
    assert set(parts) == {"lm", "ul", "ln"} and whole.item() == pytest.approx(sum(parts.values()), abs=1e-4)


def test_a_model_that_asks_for_it_is_told_which_tokens_are_the_prompt(base: Base) -> None:
    from limbeck.engine.tokens import pad

    seen = []

    class Told(torch.nn.Module):
        takes_prompt_mask = True

        def __init__(self) -> None:
            super().__init__()
            self.inner, self.config = base.model, base.model.config

        def forward(self, prompt_mask, **inputs):
            seen.append((prompt_mask, inputs["attention_mask"]))
            return self.inner(**inputs)

    input_ids, mask = pad([[2, 9, 10, 11], [2, 13]], 0, left=True)
    option_ids, option_mask = pad([[20, 3], [21, 22, 3], [24, 3]], 0)
    row = torch.tensor([0, 1, 1])
    plain = answer_log_probs(base.model, base.family, input_ids, mask, option_ids, option_mask, row)
    told = answer_log_probs(Told(), base.family, input_ids, mask, option_ids, option_mask, row)
    torch.testing.assert_close(told, plain, atol=1e-5, rtol=1e-5)
    assert [m.sum(1).tolist() for m, _ in seen] == [[4, 2, 2]]
    assert all((m <= attention).all() for m, attention in seen)


def test_losses_that_need_wrong_answers_are_refused_for_text(base: Base) -> None:
    task, _ = eight_rows(Kind.TEXT)
    with pytest.raises(UsageError, match="wrong answers"):
        new_writer(base, task, Numbers(losses="lm+ul+ln"))
    with pytest.raises(UsageError, match="unknown losses"):
        new_writer(base, task, Numbers(losses="ln"))


# ---- decoding ------------------------------------------------------------------------------------------------------


def test_the_same_text_alone_in_a_batch_of_32_and_with_either_padding_side(base: Base) -> None:
    rows = [prompt_ids(base.tokenizer, base.family, PROMPTS[i % 3]) for i in range(32)]
    alone = [decode(base.model, base.tokenizer, base.family, [row], 6)[0] for row in rows[:3]]
    for side in ("left", "right"):
        base.tokenizer.padding_side = side
        assert decode(base.model, base.tokenizer, base.family, rows, 6) == [alone[i % 3] for i in range(32)]


# ---- what it reads -------------------------------------------------------------------------------------------------


def test_a_long_input_is_cut_and_the_frame_stays(base: Base) -> None:
    task, rows = eight_rows(Kind.LABEL)
    reading = reading_of(base, task, Numbers(max_length=48))
    text, size, whole, _, cut = reading.prompt(task, rows[0].model_copy(update={"input": "the kettle leaks " * 60}))
    assert size <= reading.max_length < whole and cut
    assert text.endswith("Answer:") and "the kettle leaks" in text and "Name the colour" in text
    item = writing_features(task, [rows[0].model_copy(update={"input": "the kettle leaks " * 60})], reading)[0]
    assert item["truncated"] == 1 and len(item["input_ids"]) <= 48
    with pytest.raises(UsageError, match="no room for an input"):
        replace(reading, max_length=5).prompt(task, rows[0])


def test_scores_and_fields_are_written_and_read_by_render(base: Base, tmp_path: Path) -> None:
    for task in (
        Task(name="s", instruction="Rate.", kind=Kind.SCORE, low=0, high=4, metric="spearman"),
        Task(name="f", instruction="Name it.", kind=Kind.FIELDS, output_schema='{"type": "object"}', metric="field_f1"),
    ):
        numbers = Numbers(max_answer=4, constrained=False)  # its words are no bytes
        predictor = predictor_of(new_student(base, task, [], numbers), base, task, numbers)
        found = predictor.predict([Example(id="1", input="the kettle leaks")])
        assert found[0].status != "ok" and "wrote" in found[0].detail  # a random model writes no number: said, not guessed


def test_saved_and_loaded_it_reads_and_compares_as_before(base: Base, tmp_path: Path) -> None:
    task, rows = eight_rows(Kind.LABEL)
    numbers = Numbers(normalise="mean", instruct=False)
    predictor = predictor_of(new_student(base, task, rows, numbers), base, task, numbers)
    save_predictor(predictor, tmp_path)
    loaded = load_predictor(tmp_path)
    assert replace(loaded.reading, tokenizer=None) == replace(predictor.reading, tokenizer=None)
    assert loaded.student.normalise == "mean"
    must_agree(loaded.predict(rows), predictor.predict(rows))


# ---- depth and rates -----------------------------------------------------------------------------------------------


def test_a_decoders_layers_count_on_from_its_encoders(base: Base) -> None:
    task, rows = eight_rows(Kind.LABEL)
    student = new_student(base, task, rows, Numbers())
    groups = parameter_groups(student, Numbers(lr=1.0, layer_decay=0.5))
    rates = {id(p): g["lr"] for g in groups for p in g["params"]}
    named = {name: rates[id(p)] for name, p in student.named_parameters()}
    if base.family == CAUSAL:
        assert named["backbone.model.layers.1.mlp.up_proj.weight"] == named["backbone.model.norm.weight"] == 1.0
        assert named["backbone.model.layers.0.mlp.up_proj.weight"] == 0.5 and named["backbone.lm_head.weight"] == 1.0
        assert named["backbone.model.embed_tokens.weight"] == 0.25
    else:
        blocks = [named[f"backbone.{part}.block.{i}.layer.0.SelfAttention.q.weight"] for part in ("encoder", "decoder") for i in (0, 1)]
        assert blocks == [0.125, 0.25, 0.5, 1.0] and named["backbone.shared.weight"] == 0.0625
        assert named["backbone.encoder.final_layer_norm.weight"] == 0.25 and named["backbone.decoder.final_layer_norm.weight"] == 1.0
