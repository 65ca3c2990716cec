"""Written answers: decoded in one place, the same in any batch, within a schema, and honest about how they ended."""

# ruff: noqa: E402  (the imports below need torch)

import json
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from limbeck import scoring
from limbeck.engine.generate import GREEDY, Decoding, Draw, decode, end_ids, read_decoding, seed_of
from limbeck.engine.load import CAUSAL, SEQ2SEQ, Base, load_base
from limbeck.engine.numbers import Numbers
from limbeck.engine.predict import WriterPredictor, load_predictor, predictor_of, save_predictor
from limbeck.engine.schema import Constraint, in_order
from limbeck.engine.start import new_student
from limbeck.engine.tokens import answer_end, chat_text, prompt_ids
from limbeck.engine.writer import writing_features
from limbeck.errors import UsageError
from limbeck.testing.toys import eight_rows, toy
from limbeck.types import Example, Kind, Message, Prediction, Task

WAYS = ("greedy", "beam:4", "sample:0.7")
PROMPTS = ["the kettle leaks answer:", "where is my parcel? it is late, please return the bill. answer:", "no"]


@pytest.fixture(scope="module", params=[CAUSAL, SEQ2SEQ])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Base:
    """Byte-level, so that it can write JSON."""
    texts = [text for kind in (Kind.TEXT, Kind.FIELDS) for row in eight_rows(kind)[1] for text in (row.input, row.output or "")]
    return load_base(str(toy(tmp_path_factory.mktemp("toy") / request.param, request.param, texts, byte_level=True)))


def writer(base: Base, task: Task, **numbers: object) -> WriterPredictor:
    values = Numbers(**{"instruct": False, "max_answer": 24, **numbers})  # type: ignore[arg-type]
    found = predictor_of(new_student(base, task, [], values).eval(), base, task, values)
    assert isinstance(found, WriterPredictor)
    return found


# ---- one place, three ways -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_the_same_answer_alone_in_a_batch_of_32_and_with_either_padding_side(base: Base, way: str) -> None:
    rows = [prompt_ids(base.tokenizer, base.family, PROMPTS[i % 3]) for i in range(32)]
    how = read_decoding(way)
    alone = [decode(base.model, base.tokenizer, base.family, [row], 6, how)[0] for row in rows[:3]]
    for side in ("left", "right"):
        base.tokenizer.padding_side = side
        assert decode(base.model, base.tokenizer, base.family, rows, 6, how) == [alone[i % 3] for i in range(32)]


@pytest.mark.parametrize("way", WAYS)
def test_the_way_of_decoding_is_saved_with_the_student(base: Base, way: str, tmp_path: Path) -> None:
    task, rows = eight_rows(Kind.TEXT)
    predictor = writer(base, task, decode=way)
    save_predictor(predictor, tmp_path)
    loaded = load_predictor(tmp_path)
    assert isinstance(loaded, WriterPredictor) and str(loaded.reading.decoding) == way
    assert loaded.predict(rows) == predictor.predict(rows)
    assert [p.text for p in loaded.predict(rows)] == [p.text for row in rows for p in loaded.predict([row])]


def test_a_beam_finds_an_answer_at_least_as_likely_as_the_greedy_one(base: Base) -> None:
    """Per token, the end included: what beam search maximises. Not a theorem for a beam of four; seen on these prompts."""
    from limbeck.engine.score import answer_log_probs
    from limbeck.engine.tokens import pad

    def value(how: Decoding) -> list[float]:
        found = []
        for prompt in PROMPTS:
            ids = prompt_ids(base.tokenizer, base.family, prompt)
            out = base.model.generate(
                torch.tensor([ids]), max_new_tokens=5, num_beams=how.beams, do_sample=False, pad_token_id=0, eos_token_id=3
            )[0]
            answer = out[1 if base.family == SEQ2SEQ else len(ids) :].tolist()
            inputs = (*pad([ids]), *pad([answer]), torch.tensor([0]))
            with torch.no_grad():
                found.append(answer_log_probs(base.model, base.family, *inputs).sum().item() / len(answer))
            text = decode(base.model, base.tokenizer, base.family, [ids], 5, how)[0].text
            assert text == base.tokenizer.decode(answer, skip_special_tokens=True).strip()  # ours is transformers' own search
        return found

    assert sum(value(Decoding(beams=4))) >= sum(value(GREEDY)) - 1e-5


def test_draws_have_the_probabilities_of_the_softmax() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -torch.inf])
    n, temperature = 4000, 0.5
    noisy = Draw(temperature, [seed_of(i) for i in range(n)])(torch.zeros(n, 1, dtype=torch.long), logits.expand(n, 4))
    shares = torch.bincount(noisy.argmax(1), minlength=4) / n
    torch.testing.assert_close(shares, torch.softmax(logits / temperature, 0), atol=0.025, rtol=0)
    assert shares[3] == 0


def test_a_decoding_that_is_none_is_refused_before_training(base: Base) -> None:
    task, _ = eight_rows(Kind.TEXT)
    for wrong in ("beam", "beam:1", "beam:x", "sample:0", "sample:-1", "greedy:2", "top_k", "sample:nan", "beam:4000"):
        with pytest.raises(UsageError, match="cannot read the decoding"):
            writer(base, task, decode=wrong)


def test_what_a_base_would_like_of_generation_is_not_asked_for(base: Base) -> None:
    """Its own generation_config may sample, punish repetition or ask for a least length: answers are the recipe's."""
    rows = [prompt_ids(base.tokenizer, base.family, prompt) for prompt in PROMPTS]
    plain = decode(base.model, base.tokenizer, base.family, rows, 8)
    before = base.model.generation_config
    wild = type(before)(**{**before.to_dict(), "do_sample": True, "repetition_penalty": 3.0, "no_repeat_ngram_size": 2, "min_length": 40})
    base.model.generation_config = wild
    try:
        assert decode(base.model, base.tokenizer, base.family, rows, 8) == plain
    finally:
        base.model.generation_config = before


# ---- objects within their schema ---------------------------------------------------------------------------------------


def fits(text: str, schema: str) -> bool:
    """Enough of JSON schema for the toy's: an object, its keys, their types."""
    about, value = json.loads(schema), json.loads(text)
    types = {"string": str, "integer": int, "boolean": bool}
    return (
        isinstance(value, dict)
        and set(about["required"]) <= set(value) <= set(about["properties"])
        and all(type(value[k]) is types[about["properties"][k]["type"]] for k in value)
    )


def short(task: Task) -> Task:
    """The toy's schema with every value from a short list, so that even a random model comes to an end."""
    about = json.loads(task.output_schema or "")
    about["properties"] = {
        "thing": {"type": "string", "enum": ["lamp", "door"]}, "n": {"type": "integer", "enum": [1, 2]},
        "lost": {"type": "boolean"}, "where": {"type": "string", "enum": ["shop"]},
    }  # fmt: skip
    return task.model_copy(update={"output_schema": json.dumps(about)})


@pytest.mark.parametrize("way", WAYS)
def test_a_random_model_writes_nothing_but_objects_of_the_schema(base: Base, way: str) -> None:
    task, rows = eight_rows(Kind.FIELDS)
    task = short(task)
    found = writer(base, task, max_answer=60, decode=way).predict(rows)
    assert all(p.status == "ok" and p.stopped and fits(p.text, task.output_schema or "") for p in found), found
    free = writer(base, task, max_answer=60, decode=way, constrained=False).predict(rows)
    assert not any(p.status == "ok" for p in free)


def test_an_object_is_closed_before_its_room_is_used_up_and_says_so(base: Base) -> None:
    """A random model goes on with a number or a string for ever; in 24 tokens there is room for the keys and little more."""
    task, rows = eight_rows(Kind.FIELDS)
    for room, way in ((40, "greedy"), (40, "beam:3"), (30, "sample:2")):
        found = writer(base, task, max_answer=room, decode=way).predict(rows)
        assert all(p.status == "ok" and fits(p.text, task.output_schema or "") for p in found), found
        ran_on = [p for p in found if p.stopped is False]
        assert ran_on and all("cut off" in p.detail and (p.tokens_out or 0) <= room for p in ran_on)


def test_within_a_schema_too_an_answer_is_the_same_alone_and_in_a_batch(base: Base) -> None:
    task, rows = eight_rows(Kind.FIELDS)
    predictor = writer(base, short(task), max_answer=60)
    alone = [together(predictor.predict([row])[0]) for row in rows[:3]]
    assert predictor.predict(rows[:3] * 10) == alone * 10


def together(p: Prediction) -> Prediction:
    return p.model_copy(update={"latency_ms": None})


def test_the_gold_answer_is_always_allowed_token_by_token(base: Base) -> None:
    """As it is learnt: keys in order of the alphabet, and with the blank that stands between prompt and answer."""
    task, rows = eight_rows(Kind.FIELDS)
    predictor = writer(base, task)
    assert predictor.constraint is not None
    for item in writing_features(task, rows, predictor.reading):
        state = predictor.constraint.start.deep_copy()
        assert state.validate_tokens(item["options"][0]) == len(item["options"][0])


def test_keys_are_put_in_order_at_every_depth() -> None:
    schema = {
        "properties": {"b": {"properties": {"d": {}, "c": {}}}, "a": {"items": {"properties": {"z": {}, "y": {}}}}},
        "required": ["b", "a"],
    }
    found = in_order(schema)
    assert list(found["properties"]) == ["a", "b"] and list(found["properties"]["b"]["properties"]) == ["c", "d"]
    assert list(found["properties"]["a"]["items"]["properties"]) == ["y", "z"] and found["required"] == ["b", "a"]


def test_pieces_with_a_blank_mark_are_constrained_too(base: Base) -> None:
    """T5's kind of tokenizer, with braces added."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    pieces = ["[PAD]", "[END]", "▁", "▁{", "{", "}", '"', '▁"', ":", ",", "a", "b", "▁a", "1", "▁1"]
    inner = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=0))
    inner.pre_tokenizer, inner.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, pad_token="[PAD]", eos_token="[END]")
    schema = json.dumps({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False})
    start = Constraint(tokenizer, schema, {1}).start
    ids = tokenizer('{"a": 1}')["input_ids"]
    assert start.deep_copy().validate_tokens([*ids, 1]) == len(ids) + 1
    assert start.deep_copy().validate_tokens(tokenizer('{"b": 1}')["input_ids"]) < len(ids)
    without = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(inner.to_str().replace('"▁{"', '"▁<"').replace('"{"', '"<"')),
        pad_token="[PAD]",
        eos_token="[END]",
    )
    with pytest.raises(UsageError, match="cannot write JSON"):
        Constraint(without, schema, {1})


def test_a_schema_that_is_none_and_a_tokenizer_that_loses_objects_are_refused(base: Base, tmp_path: Path) -> None:
    task, rows = eight_rows(Kind.FIELDS)
    with pytest.raises(UsageError, match="schema cannot steer"):
        writer(base, task.model_copy(update={"output_schema": '{"type": "wibble"}'}))
    words = load_base(str(toy(tmp_path / "words", base.family)))  # lower-cased words, no signs that were not seen
    with pytest.raises(UsageError, match="cannot be constrained"):
        writer(words, task)
    free = writer(words, task, constrained=False, max_answer=60)
    with pytest.raises(UsageError, match="cannot write these objects"):
        writing_features(task, rows, free.reading)


def test_without_the_package_the_line_to_type_is_named(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from limbeck.errors import MissingExtra

    monkeypatch.setitem(sys.modules, "llguidance", None)
    task, _ = eight_rows(Kind.FIELDS)
    with pytest.raises(MissingExtra, match=r"limbeck\[text\]"):
        writer(base, task)
    assert writer(base, task, constrained=False).constraint is None


# ---- chat --------------------------------------------------------------------------------------------------------------

TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'system' and STRICT %}{{ raise_exception('no system role') }}{% endif %}"
    "[BEG]{{ m['role'] }}\n{{ m['content'] }}[TURN]\n{% endfor %}{% if add_generation_prompt %}[BEG]assistant\n{% endif %}"
)


@pytest.fixture
def chatty(tmp_path: Path) -> Base:
    """A decoder-only toy whose turns end with [TURN] while its texts end with [END]."""
    folder = toy(tmp_path / "chat", CAUSAL, [row.output or "" for row in eight_rows(Kind.TEXT)[1]], byte_level=True)
    base = load_base(str(folder))
    base.tokenizer.add_special_tokens({"additional_special_tokens": ["[TURN]"]})
    base.model.resize_token_embeddings(len(base.tokenizer))
    base.tokenizer.chat_template = TEMPLATE.replace("STRICT", "false")
    return base


def test_a_chat_base_reads_and_learns_exactly_what_its_template_writes(chatty: Base) -> None:
    task, rows = eight_rows(Kind.TEXT)
    predictor = writer(chatty, task)
    item = writing_features(task, rows, predictor.reading)[3]
    whole = chatty.tokenizer.apply_chat_template(
        [{"role": "user", "content": "Input: the parcel is late\n\nAnswer:".replace("\n\n", "\n")}, {"role": "assistant", "content": rows[3].output}],
        tokenize=False,
    )  # fmt: skip
    expected = chatty.tokenizer(whole.rstrip("\n"), add_special_tokens=False)["input_ids"]
    assert item["input_ids"] + item["options"][0] == expected
    turn = chatty.tokenizer.convert_tokens_to_ids("[TURN]")
    assert item["options"][0][-1] == turn == answer_end(chatty.tokenizer) != chatty.tokenizer.eos_token_id
    text = predictor.reading.prompt(task, rows[3]).text
    assert prompt_ids(chatty.tokenizer, CAUSAL, text) == item["input_ids"]  # what is read when it is asked


def test_the_end_of_a_turn_ends_an_answer(chatty: Base) -> None:
    assert end_ids(chatty.model, chatty.tokenizer) == {chatty.tokenizer.eos_token_id, answer_end(chatty.tokenizer)}
    turn = answer_end(chatty.tokenizer)
    with torch.no_grad():
        chatty.model.lm_head.weight[turn] = 0.0
        bias = torch.nn.Parameter(torch.zeros(len(chatty.tokenizer)))
        bias[turn] = 1e4  # whatever it read, it ends its turn
        chatty.model.lm_head.bias = bias
    assert decode(chatty.model, chatty.tokenizer, CAUSAL, [[2, 9, 10]], 6)[0][:3] == ("", "stop", 1)


def test_a_template_without_a_system_role_gets_the_instruction_in_the_users_turn(chatty: Base) -> None:
    chatty.tokenizer.chat_template = TEMPLATE.replace("STRICT", "true")
    found = chat_text(chatty.tokenizer, [Message(role="system", content="Say it."), Message(role="user", content="Input: a")])
    assert found == "[BEG]user\nSay it.\n\nInput: a[TURN]\n[BEG]assistant\n"


# ---- how answers ended ---------------------------------------------------------------------------------------------------


def test_an_answer_says_whether_it_ended_by_itself(base: Base) -> None:
    task, rows = eight_rows(Kind.TEXT)
    cut = writer(base, task, max_answer=2).predict(rows)
    assert all(p.stopped is False and "cut off" in p.detail for p in cut if p.tokens_out == 2 and p.text)
    closed, few = eight_rows(Kind.LABEL)
    assert all(p.stopped is None for p in writer(base, closed).predict(few))


def test_the_stop_rate_is_the_share_of_those_that_did() -> None:
    task, _ = eight_rows(Kind.TEXT)
    found = [Prediction(id=str(i), text="a", stopped=stopped) for i, stopped in enumerate([True, True, True, False, None])]
    score = scoring.stop_rate(task, found)
    assert score is not None and (score.value, score.n, score.not_scored) == (0.75, 4, 1)
    assert score.low is not None and score.high is not None and score.low < 0.75 < score.high
    assert scoring.stop_rate(task, found[-1:]) is None  # the nearest row's answer never had to stop
    assert scoring.stop_rate(task.model_copy(update={"kind": Kind.LABEL}), found) is None


# ---- documents -------------------------------------------------------------------------------------------------------------


def test_a_row_without_input_is_learnt_from_its_first_token_to_its_end(base: Base) -> None:
    task, _ = eight_rows(Kind.TEXT)
    document = Example(id="d", input=" ", output="The kettle leaks.")
    reading = writer(base, task, max_answer=4).reading
    item = writing_features(task, [document], reading)[0]
    bare = base.tokenizer(document.output, add_special_tokens=False)["input_ids"]
    if base.family == CAUSAL:
        assert item["input_ids"] == [base.tokenizer.bos_token_id]
        assert item["options"] == [[*bare, base.tokenizer.eos_token_id]] and item["truncated"] == 0  # longer than an answer may be
        text = reading.prompt(task, document).text
        assert prompt_ids(base.tokenizer, CAUSAL, text) == item["input_ids"]
    else:  # the encoder reads an empty frame, the decoder writes the text
        assert base.tokenizer.decode(item["input_ids"], skip_special_tokens=True).split() == ["Input:", "Answer:"]


def test_all_that_is_read_is_learnt_where_the_recipe_says_so(base: Base) -> None:
    task, rows = eight_rows(Kind.TEXT)
    if base.family == SEQ2SEQ:
        with pytest.raises(UsageError, match="cannot be learnt"):
            writer(base, task, loss_on="all")
        return
    answer = writing_features(task, rows, writer(base, task).reading)
    every = writing_features(task, rows, writer(base, task, loss_on="all").reading)
    for a, b in zip(answer, every, strict=True):
        assert [*a["input_ids"], *a["options"][0]] == [*b["input_ids"], *b["options"][0]] and len(b["input_ids"]) == 1
        assert a["tokens"] == b["tokens"]
    with pytest.raises(UsageError, match="unknown loss_on"):
        writer(base, task, loss_on="input")


def test_an_adapter_that_edits_the_prompt_cannot_learn_it(base: Base) -> None:
    if base.family == SEQ2SEQ:
        return
    task, _ = eight_rows(Kind.TEXT)
    numbers = Numbers(loss_on="all", instruct=False)
    student = new_student(base, task, [], numbers)
    student.backbone.takes_prompt_mask = True
    try:
        with pytest.raises(UsageError, match="neither loss_on=all"):
            predictor_of(student, base, task, numbers)
    finally:
        del student.backbone.takes_prompt_mask


def test_a_tokenizer_without_a_beginning_starts_a_document_with_its_end(base: Base) -> None:
    if base.family == SEQ2SEQ:
        return
    before, base.tokenizer.bos_token = base.tokenizer.bos_token, None
    try:
        assert prompt_ids(base.tokenizer, CAUSAL, "") == [base.tokenizer.eos_token_id]
    finally:
        base.tokenizer.bos_token = before


def test_readings_are_saved_whole(base: Base, tmp_path: Path) -> None:
    task, _ = eight_rows(Kind.TEXT)
    predictor = writer(base, task, decode="beam:2", max_answer=7)
    save_predictor(predictor, tmp_path)
    loaded = load_predictor(tmp_path)
    assert isinstance(loaded, WriterPredictor)
    assert replace(loaded.reading, tokenizer=None) == replace(predictor.reading, tokenizer=None)
