"""stepwise: what a row teaches twice, what the loss is made of, and what is left of it when the student answers."""

# ruff: noqa: E402  (the imports below need torch)

from dataclasses import replace
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from limbeck import derived, recipes, render
from limbeck.engine import written
from limbeck.engine.batches import collate
from limbeck.engine.framing import Reading
from limbeck.engine.generate import Decoded, decode, find
from limbeck.engine.load import CAUSAL, ENCODER, SEQ2SEQ, Base, load_base
from limbeck.engine.numbers import Numbers
from limbeck.engine.predict import predictor_of
from limbeck.engine.rationale import RationaleDecoder
from limbeck.engine.score import Likelihood, answer_log_probs, both_log_probs, packable
from limbeck.engine.start import new_student
from limbeck.engine.written import WriterPredictor
from limbeck.errors import BadRows, UsageError
from limbeck.objectives import sft, streams
from limbeck.objectives.stepwise import CONTROLS, FORMATS, bind, read, start
from limbeck.registry import Objective
from limbeck.testing.objectives import with_rationales
from limbeck.testing.toys import eight_rows, toy
from limbeck.types import Example, Kind, Prediction, Recipe, Task, Value

MARKS = ("[label] [rationale] because",)
WRITING = tuple(form for form in FORMATS if form not in CONTROLS)


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("toys")
    return {family: str(toy(folder / family, family, texts=MARKS)) for family in (ENCODER, SEQ2SEQ, CAUSAL)}


def bound(form: str, seed: int = 0, **values: object) -> Objective:
    recipe = Recipe(
        adapter="full", base="x", objective=f"stepwise:{form}", values=tuple(Value(name=n, value=v, why="") for n, v in values.items())
    )
    return bind(recipe, seed)


def rows_of(kind: Kind) -> tuple[Task, list[Example]]:
    task, rows = eight_rows(kind)
    return task, with_rationales(rows)


def student_of(
    base: Base, task: Task, rows: list[Example], form: str, **values: object
) -> tuple[Any, Objective, list[dict[str, Any]], Any]:
    """(student, objective, items, reading or None), without dropout."""
    objective = bound(form, dropout=0.0, **values)
    torch.manual_seed(0)
    student = new_student(base, task, rows, Numbers(dropout=0.0, instruct=False))
    predictor = predictor_of(student, base, task, Numbers(instruct=False))
    reading = objective.read(predictor.reading, base) if isinstance(predictor, WriterPredictor) else None  # type: ignore[misc]
    items = objective.features(task, rows, base.tokenizer, 64, **({"reading": reading} if reading else {}))
    objective.start(student, base, items)  # type: ignore[misc]
    return student.train(), objective, items, reading


def gradients(student: Any, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    student.zero_grad()
    loss.backward()
    return {name: p.grad.clone() for name, p in student.named_parameters() if p.grad is not None and not name.startswith("beside.")}


# ---- the loss --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["separate", "shared"])
@pytest.mark.parametrize(("family", "kind"), [(ENCODER, Kind.LABEL), (ENCODER, Kind.CHOICE), (SEQ2SEQ, Kind.TEXT), (CAUSAL, Kind.LABEL)])
def test_alpha_1_gives_the_gradients_of_plain_fine_tuning(bases: dict[str, str], family: str, kind: Kind, form: str) -> None:
    if family == ENCODER and form == "shared":
        pytest.skip("one pass anyway")
    base = load_base(bases[family])
    task, rows = rows_of(kind)
    student, objective, items, reading = student_of(base, task, rows, form, stepwise_alpha=1.0)
    ours = gradients(student, objective.loss(student, collate(items, 0))[0])
    plain = sft.features(task, rows, base.tokenizer, 64, reading)
    theirs = gradients(student, sft.loss(student, collate(plain, 0))[0])
    assert set(theirs) <= set(ours)
    for name, gradient in theirs.items():
        assert (ours[name] - gradient).abs().max() <= 1e-6 * max(1.0, float(gradient.abs().max())), name


def test_the_loss_is_linear_in_alpha(bases: dict[str, str]) -> None:
    for family in (ENCODER, SEQ2SEQ):
        base = load_base(bases[family])
        task, rows = rows_of(Kind.LABEL)
        student, _, items, _ = student_of(base, task, rows, "separate")
        batch = collate(items, 0)
        label, rationale, between = (float(streams.loss(student, batch, alpha=a)[0].detach()) for a in (1.0, 0.0, 0.3))
        assert between == pytest.approx(0.3 * label + 0.7 * rationale, rel=1e-6)
        logs = streams.loss(student, batch)[1]
        assert (logs["label"], logs["rationale"]) == pytest.approx((label, rationale), rel=1e-6)


@pytest.mark.parametrize("family", [SEQ2SEQ, CAUSAL])
def test_the_rationale_stream_is_the_token_mean_of_transformers_own_loss(bases: dict[str, str], family: str) -> None:
    """One long and one short rationale; -100 on prompts and padding. A mean of row means would be another number."""
    base = load_base(bases[family])
    task, rows = rows_of(Kind.TEXT)
    rows = [
        rows[0].model_copy(update={"rationale": "hot"}),
        rows[1].model_copy(update={"rationale": "it is not cold and not late and " * 2}),
    ]
    student, _, items, _ = student_of(base, task, rows, "separate")
    found = float(streams.loss(student, collate(items, 0), alpha=0.0)[0].detach())
    sums, counts = [], []
    for item in items:
        prompt, target = item["rationale_input"], item["rationale"]
        ids, labels = (prompt, target) if family == SEQ2SEQ else (prompt + target, [-100] * len(prompt) + target)
        padded = {"input_ids": torch.tensor([[*ids, 0, 0]]), "attention_mask": torch.tensor([[1] * len(ids) + [0, 0]])}
        labels = torch.tensor([[*labels, -100, -100]])
        sums.append(float(student.backbone(**padded, labels=labels).loss.detach()) * len(target))
        counts.append(len(target))
    assert found == pytest.approx(sum(sums) / sum(counts), rel=1e-5)
    assert abs(found - sum(s / n for s, n in zip(sums, counts, strict=True)) / 2) > 1e-3


@pytest.mark.parametrize("family", [ENCODER, SEQ2SEQ, CAUSAL])
def test_padding_changes_nothing(bases: dict[str, str], family: str) -> None:
    base = load_base(bases[family])
    task, rows = rows_of(Kind.LABEL)
    student, objective, items, _ = student_of(base, task, rows, "separate")
    plain = collate(items, 0)
    wide = {name: torch.nn.functional.pad(t, (0, 5)) if t.ndim == 2 else t for name, t in plain.items()}
    ours, theirs = objective.loss(student, plain)[0], objective.loss(student, wide)[0]
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-5)


@pytest.mark.parametrize("form", ["separate", "shared"])
@pytest.mark.parametrize("family", [SEQ2SEQ, CAUSAL])
def test_one_pass_over_both_tasks_gives_what_two_give(bases: dict[str, str], family: str, form: str) -> None:
    """One row has no rationale. An encoder-decoder whose task token begins the answer decodes both in one row, too."""
    base = load_base(bases[family])
    task, rows = rows_of(Kind.TEXT)
    rows[3] = rows[3].model_copy(update={"rationale": None})
    student, _, items, _ = student_of(base, task, rows, form)
    student.eval()
    batch = collate(items, 0)
    first, second = (tuple(batch[f"{what}_{part}"] for part in ("ids", "mask", "row")) for what in ("option", "rationale"))
    inputs = (batch["input_ids"], batch["attention_mask"])
    once = packable(base.model, len(batch["input_ids"]), first[2], second[2])
    assert once is (family == SEQ2SEQ and form == "shared")
    both = both_log_probs(student.backbone, family, *inputs, first, second)
    sum(part.sum() for part in both).backward()  # type: ignore[union-attr]
    ours = {name: p.grad.clone() for name, p in student.named_parameters() if p.grad is not None}
    student.zero_grad()
    for found, group in zip(both, (first, second), strict=True):
        alone = answer_log_probs(student.backbone, family, *inputs, *group)
        torch.testing.assert_close(found, alone, atol=1e-5, rtol=1e-5)
        alone.sum().backward()
    for name, p in student.named_parameters():
        if p.grad is not None:
            assert (ours[name] - p.grad).abs().max() <= 1e-4 * max(1.0, float(p.grad.abs().max())), name


def test_a_row_that_counts_half_counts_half_in_both_streams(bases: dict[str, str]) -> None:
    base = load_base(bases[ENCODER])
    task, rows = rows_of(Kind.LABEL)
    student, objective, items, _ = student_of(base, task, rows, "separate")
    halves = [{**item, "weight": 0.5} for item in items]
    whole, half = (float(objective.loss(student, collate(some, 0))[0].detach()) for some in (items, halves))
    assert half == pytest.approx(whole / 2, rel=1e-5)


def test_label2x_is_the_label_twice(bases: dict[str, str]) -> None:
    base = load_base(bases[ENCODER])
    task, rows = rows_of(Kind.CHOICE)
    student, objective, items, _ = student_of(base, task, rows, "label2x")
    seen = []
    student.register_forward_pre_hook(lambda module, args, kwargs: seen.append(len(kwargs["input_ids"])), with_kwargs=True)
    loss, logs = objective.loss(student, collate(items, 0))
    plain, _ = sft.loss(student, collate(items, 0))
    assert seen == [16, 8] and student.beside is None
    assert float(loss.detach()) == pytest.approx(float(plain.detach()), rel=1e-6) and set(logs) == {"label"}


# ---- the items -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", [SEQ2SEQ, CAUSAL])
def test_the_two_prefixes_are_all_that_tells_the_tasks_apart(bases: dict[str, str], family: str) -> None:
    base = load_base(bases[family])
    task, rows = rows_of(Kind.TEXT)
    _, _, items, reading = student_of(base, task, rows, "separate")
    label, rationale = (base.tokenizer(mark, add_special_tokens=False)["input_ids"] for mark in (render.LABEL, render.RATIONALE))
    assert label != rationale and len(label) == len(rationale)
    for item, row in zip(items, rows, strict=True):
        at = find(item["input_ids"], label)
        assert at is not None and find(item["input_ids"], rationale) is None
        swapped = [*item["input_ids"][:at], *rationale, *item["input_ids"][at + len(label) :]]
        assert swapped == item["rationale_input"]
        end = [base.tokenizer.eos_token_id]
        assert item["options"][0] == base.tokenizer(row.output, add_special_tokens=False)["input_ids"] + end
        assert item["rationale"] == base.tokenizer(row.rationale, add_special_tokens=False)["input_ids"] + end
        turned, _ = reading.asked(task, row, [row.output], render.RATIONALE)
        assert (turned.prompt, turned.answers) == (item["rationale_input"], item["options"])


def test_rows_without_a_rationale_teach_their_label_alone(bases: dict[str, str]) -> None:
    task, rows = rows_of(Kind.LABEL)
    half = [e if i % 2 else e.model_copy(update={"rationale": " "}) for i, e in enumerate(rows)]
    for family in (ENCODER, SEQ2SEQ):
        base = load_base(bases[family])
        student, objective, items, _ = student_of(base, task, half, "separate")
        assert ["rationale" in item for item in items] == [False, True] * 4
        assert len(collate(items, 0)["rationale_ids"]) == 4
        alone, logs = objective.loss(student, collate(items[:1], 0))
        assert set(logs) == {"label"} and float(alone.detach()) == pytest.approx(0.5 * logs["label"], rel=1e-6)


def test_no_rationale_at_all_is_said_and_echo_needs_none(bases: dict[str, str]) -> None:
    task, rows = eight_rows(Kind.LABEL)
    for form in ("separate", "shuffled"):
        with pytest.raises(BadRows, match="no row has one"):
            streams.rationales(task, rows, form, 0)
    assert streams.rationales(task, rows, "echo", 0) == [e.output for e in rows]
    assert streams.rationales(task, rows, "label2x", 0) == [None] * 8
    some = [*with_rationales(rows[:3]), *rows[3:]]
    assert streams.rationales(task, some, "echo", 0) == [e.output for e in rows[:3]] + [None] * 5


def test_a_long_rationale_is_cut_and_counted_and_gets_no_end(bases: dict[str, str]) -> None:
    task, rows = rows_of(Kind.LABEL)
    rows = [rows[0].model_copy(update={"rationale": "cold " * 30}), *rows[1:]]
    for family, form in [(ENCODER, "separate"), *((f, form) for f in (SEQ2SEQ, CAUSAL) for form in WRITING)]:
        base = load_base(bases[family])
        _, _, items, _ = student_of(base, task, rows, form, rationale_tokens=16)
        assert [item["rationale_cut"] for item in items] == [1] + [0] * 7, (family, form)
        if form == "separate":
            assert len(items[0]["rationale"]) == 16 and items[0]["rationale"][-1] != base.tokenizer.eos_token_id
            assert items[1]["rationale"][-1] == base.tokenizer.eos_token_id


def test_shuffled_gives_every_rationale_to_another_row() -> None:
    task, rows = rows_of(Kind.LABEL)
    own = [e.rationale for e in rows]
    for seed in range(20):
        other = streams.rationales(task, rows, "shuffled", seed)
        assert sorted(other) == sorted(own)  # type: ignore[type-var]
        assert all(a != b for a, b in zip(own, other, strict=True))
        assert other == streams.rationales(task, rows, "shuffled", seed)
    assert len({tuple(streams.rationales(task, rows, "shuffled", seed)) for seed in range(20)}) > 10
    with pytest.raises(BadRows, match="cannot be shuffled"):
        streams.deranged(1, 0)


def test_every_arm_of_a_seed_has_the_same_batches(bases: dict[str, str]) -> None:
    from limbeck.engine.batches import length_of

    task, rows = rows_of(Kind.LABEL)
    for family, forms in ((ENCODER, ("separate", *CONTROLS)), (SEQ2SEQ, ("separate", "shared", *CONTROLS))):
        base = load_base(bases[family])
        sizes = {form: [length_of(item) for item in student_of(base, task, rows, form)[2]] for form in forms if form != "shared"}
        assert len({tuple(each) for each in sizes.values()}) == 1, sizes


# ---- the decoder beside an encoder -----------------------------------------------------------------------------------


def test_the_decoder_sees_the_states_and_what_it_wrote_and_nothing_later() -> None:
    torch.manual_seed(0)
    decoder = RationaleDecoder(torch.randn(5, 16), dict.fromkeys([3, 7, 9, 20, 21], 1), 30, heads=2, layers=2, dropout=0.0).eval()
    states, mask = torch.randn(2, 4, 16), torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    ids, real = torch.tensor([[3, 7, 9, 20], [21, 3, 7, 9]]), torch.ones(2, 4, dtype=torch.int64)
    row = torch.tensor([0, 1])
    told = decoder(states, mask, ids, real, row)
    assert told.which.tolist() == [0] * 4 + [1] * 4 and bool((told.log_probs < 0).all())
    other = decoder(states, mask, torch.tensor([[3, 7, 21, 7], [21, 3, 7, 9]]), real, row)
    assert torch.equal(told.log_probs[:2], other.log_probs[:2]) and not torch.equal(told.log_probs[2:4], other.log_probs[2:4])
    states[1, 2:] = 100.0  # padding
    torch.testing.assert_close(decoder(states, mask, ids, real, row).log_probs, told.log_probs)
    states[1, 0] += 1.0
    assert not torch.allclose(decoder(states, mask, ids, real, row).log_probs[4:], told.log_probs[4:])
    total = sum(decoder(states, mask, torch.full((1, 1), i), torch.ones(1, 1).long(), row[:1]).log_probs.exp() for i in (3, 7, 9, 20, 21))
    assert float(total.detach()) == pytest.approx(1.0, abs=1e-5)


def test_it_knows_the_tokens_of_the_rationales_alone_and_begins_as_the_base(bases: dict[str, str]) -> None:
    base = load_base(bases[ENCODER])
    task, rows = rows_of(Kind.LABEL)
    student, _, items, _ = student_of(base, task, rows, "separate")
    ids = sorted({t for item in items for t in item["rationale"]})
    assert student.beside.words.shape == (len(ids), base.hidden_size)
    assert torch.equal(student.beside.words.detach(), base.model.get_input_embeddings().weight[ids].detach())


# ---- what is left when it answers ------------------------------------------------------------------------------------


def predictor_under(base: Base, task: Task, form: str) -> WriterPredictor:
    numbers = Numbers(instruct=False, max_answer=6)
    predictor = predictor_of(new_student(base, task, [], numbers), base, task, numbers)
    assert isinstance(predictor, WriterPredictor)
    return WriterPredictor(predictor.student, task, read(predictor.reading, base, form, 8))


@pytest.mark.parametrize("form", WRITING)
@pytest.mark.parametrize("family", [SEQ2SEQ, CAUSAL])
def test_an_oracle_gets_every_row_right_in_every_format_and_is_never_asked_for_a_rationale(
    bases: dict[str, str], family: str, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oracle knows the answers by their tokens; what it is given must hold no [rationale], and its own rationale
    where it writes that first."""
    base = load_base(bases[family])
    task, rows = rows_of(Kind.CHOICE)
    asked: list[list[int]] = []
    marks = base.tokenizer(render.RATIONALE, add_special_tokens=False)["input_ids"]
    thought = base.tokenizer("it is hot", add_special_tokens=False)["input_ids"]

    def score(model: Any, family: str, some: Any, pad_token_id: int, opening: Any = None) -> list[list[Likelihood]]:
        found = []
        for one, row in zip(some, rows, strict=True):
            lead = one.answers[0][: one.given]
            asked.append([*one.prompt, *lead])
            gold = base.tokenizer(row.output, add_special_tokens=False)["input_ids"]
            found.append([Likelihood(0.0 if ids[one.given :][: len(gold)] == gold else -9.0, 0.0, 1) for ids in one.answers])
        return found

    def think(model: Any, tokenizer: Any, family: str, prompts: Any, tokens: int, *how: Any, **more: Any) -> list[Decoded]:
        asked.extend([*p, *more["lead"]] for p in prompts)
        return [Decoded("it is hot", "stop", 4, tuple(thought)) for _ in prompts]

    monkeypatch.setattr(written, "score_rows", score)
    monkeypatch.setattr(written, "decode", think)
    found: list[Prediction] = predictor_under(base, task, form).predict([row.blind() for row in rows])
    assert [p.text for p in found] == [row.output for row in rows]
    assert asked and not [ids for ids in asked if find(ids, marks) is not None]
    if form == "rationale_first":
        assert all(p.detail == "its rationale: it is hot" for p in found)
        assert all(find(ids, thought) is not None for ids in asked[len(rows) :])


@pytest.mark.parametrize("family", [SEQ2SEQ, CAUSAL])
def test_writing_stops_at_the_marks_and_begins_behind_the_lead(bases: dict[str, str], family: str) -> None:
    base = load_base(bases[family])
    prompts = [base.tokenizer(text)["input_ids"] for text in ("the kettle leaks", "where is my parcel please")]
    free = decode(base.model, base.tokenizer, family, prompts, 6)
    stop = free[0].ids[2:4]
    stopped = decode(base.model, base.tokenizer, family, prompts, 6, stop=stop)[0]
    at = find(free[0].ids, stop)
    assert at is not None and stopped.ids == free[0].ids[:at] and stopped.finish == "stop"
    if family == SEQ2SEQ and free[0].ids:
        led = decode(base.model, base.tokenizer, family, prompts[:1], 5, lead=free[0].ids[:1])[0]
        assert led.ids == free[0].ids[1:6]


def test_what_is_saved_of_the_reading_is_read_back(bases: dict[str, str]) -> None:
    base = load_base(bases[CAUSAL])
    task, _ = rows_of(Kind.TEXT)
    for form in WRITING:
        reading = predictor_under(base, task, form).reading
        assert Reading(base.tokenizer, **reading.saved()) == reading and reading.form == form


def test_a_causal_model_holds_prompt_rationale_and_answer(bases: dict[str, str]) -> None:
    base = load_base(bases[CAUSAL])  # 128 positions
    task, rows = rows_of(Kind.TEXT)
    rows = [e.model_copy(update={"input": "the kettle leaks " * 60, "rationale": "cold " * 90}) for e in rows]
    for form in WRITING:
        _, _, items, _ = student_of(base, task, rows, form, rationale_tokens=40)
        for item in items:
            assert len(item["input_ids"]) + max(map(len, item["options"])) <= 128
            assert len(item.get("rationale_input", [])) + len(item.get("rationale", [])) <= 128
    with pytest.raises(UsageError, match="no room for a rationale"):
        student_of(base, task, rows, "label_first", rationale_tokens=120)


# ---- the grammar -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("full+stepwise@minilm", "full+stepwise@minilm"),
        ("lora:r8+stepwise:separate@minilm", "lora:r8+stepwise@minilm"),
        ("full+stepwise:label2x@minilm", "full+stepwise:label2x@minilm"),
        ("lora+stepwise:rationale_first@some/model", "lora+stepwise:rationale_first@some/model"),
    ],
)
def test_a_format_has_one_spelling(written: str, canonical: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert recipes.parse(written).text == canonical
    assert recipes.parse(canonical).text == canonical


@pytest.mark.parametrize(
    ("written", "part"),
    [
        ("head+stepwise@minilm", "no weights that another objective could move"),
        ("prompt+stepwise@teacher", "no weights"),
        ("full+stepwise:shared@minilm", "once for label and rationale anyway"),
        ("full+stepwise:label_first@minilm", "does not write its answer"),
        ("full+stepwise:rationale_first@minilm", "does not write its answer"),
        ("full+stepwise:echoes@minilm", "did you mean echo"),
        ("full+stepwise:@minilm", "no format"),
        ("full+stepwise+stepwise:echo@minilm", "two modifiers"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_reason(written: str, part: str) -> None:
    with pytest.raises(UsageError) as refused:
        recipes.parse(written)
    assert part in str(refused.value) and refused.value.have and refused.value.do


def test_its_numbers_have_reasons_and_nonsense_is_refused(bases: dict[str, str]) -> None:
    task = Task(name="t", instruction="", kind=Kind.LABEL, labels=("a", "b"), metric="accuracy")
    sizes = derived.Sizes(train=100, dev=20, test=20, unlabelled=0, labels=2, chars=60.0, options=0)
    recipe = derived.with_values(recipes.parse("lora+stepwise@minilm"), task, sizes, {"stepwise_alpha": 0.8})
    assert recipe.value("stepwise_alpha") == 0.8 and recipe.value("rationale_tokens") == 64
    assert recipe.value("alpha") == 32, "LoRA's own alpha is another number"
    assert all(value.why for value in recipe.values)
    assert {"stepwise_alpha", "rationale_tokens", "rationale_layers", "beside_lr"} <= derived.known_values()
    seq2seq = derived.with_values(recipes.parse(f"full+stepwise:shared@{bases[SEQ2SEQ]}"), task, sizes, {})
    assert seq2seq.value("stepwise_alpha") == 0.5 and seq2seq.value("rationale_layers") is None
    for name, value in (("stepwise_alpha", 1.5), ("stepwise_alpha", "half"), ("rationale_tokens", 0), ("rationale_layers", 99)):
        with pytest.raises(UsageError, match=name):
            bound("separate", **{name: value})


def test_an_adapter_that_edits_the_last_tokens_cannot_write_its_rationale_first(bases: dict[str, str]) -> None:
    base = load_base(bases[CAUSAL])
    base.model.takes_prompt_mask = True
    student = type("Student", (), {"backbone": base.model})()
    with pytest.raises(UsageError, match="rationale first"):
        start(student, base, [], form="rationale_first")
    assert replace(bound("separate")).rationales
