"""A recording answers by task input, word for word, and says no to everything else."""

import json

import pytest

from limbeck.errors import BadRows, Declined
from limbeck.teachers.recorded import open_teacher
from limbeck.types import Example, Message, Price, Request


def schema(**properties):
    return json.dumps({"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False})


ANSWER = schema(answer={"type": "string"})
STEPS = schema(rationale={"type": "string"}, answer={"type": "string"})


def teacher(folder, *recordings, price=None):
    file = folder / "replies.jsonl"
    file.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in recordings) + "\n")
    return open_teacher(f"recorded:{file}", price)


def asked(text, reply_schema=None, choices=None, **more):
    row = Example(id="1", input=text, choices=choices)
    return Request(messages=(Message(role="user", content=f"Prompt: {text}"),), reply_schema=reply_schema, row=row, **more)


def test_the_reply_is_what_a_model_would_have_said(tmp_path):
    it = teacher(tmp_path, {"input": "it  smokes\n", "label": "fire", "rationale": "Where there is smoke, there is fire."})
    assert it.ask(asked("it smokes", ANSWER)).texts == ('{"answer": "fire"}',)
    assert json.loads(it.ask(asked("it smokes", STEPS)).texts[0]) == {
        "rationale": "Where there is smoke, there is fire.",
        "answer": "fire",
    }
    assert it.ask(asked("it smokes")).texts == ("Where there is smoke, there is fire. So the answer is fire.",)


def test_numbers_and_objects_keep_their_type(tmp_path):
    it = teacher(tmp_path, {"input": "a", "label": 3.5}, {"input": "b", "label": {"city": "Ulm"}})
    assert json.loads(it.ask(asked("a", schema(answer={"type": "number"}))).texts[0]) == {"answer": 3.5}
    assert json.loads(it.ask(asked("b", schema(city={"type": "string"}))).texts[0]) == {"city": "Ulm"}
    assert it.ask(asked("a")).texts == ("3.5",)


@pytest.mark.parametrize(
    "request_",
    [
        asked("unknown", ANSWER),
        asked("it smokes", ANSWER).model_copy(update={"row": None}),
        asked("it smokes", schema(examples={"type": "array"})),
        asked("it smokes", schema(answer={"type": "string"}, confidence={"type": "number"})),
        asked("it smokes", ANSWER, choices=("yes", "no")),
    ],
    ids=["another input", "no row", "another question", "more than was recorded", "other options"],
)
def test_what_was_not_recorded_is_declined(tmp_path, request_):
    it = teacher(tmp_path, {"input": "it smokes", "label": "fire", "choices": ["fire", "steam"]})
    with pytest.raises(Declined) as no:
        it.ask(request_)
    assert no.value.kind == "no_recording"


def test_the_same_question_with_other_options_is_another_recording(tmp_path):
    it = teacher(
        tmp_path,
        {"input": "where", "label": "a", "choices": ["a", "b"]},
        {"input": "where", "label": "c", "choices": ["c", "d"]},
    )
    assert it.ask(asked("where", choices=("d", "c"))).texts == ("c",)


def test_samples_are_drawn_with_a_temperature_only(tmp_path):
    it = teacher(tmp_path, {"input": "x", "label": "a", "samples": ["b", {"label": "c", "rationale": "why"}]})
    assert it.ask(asked("x", ANSWER, n=3, temperature=0.7)).texts == ('{"answer": "a"}', '{"answer": "b"}', '{"answer": "c"}')
    assert it.ask(asked("x", ANSWER, seed=4, temperature=0.7)).texts == ('{"answer": "b"}',)
    assert it.ask(asked("x", ANSWER, seed=4, n=2)).texts == ('{"answer": "a"}', '{"answer": "a"}')


def test_usage_and_latency_are_the_recorded_ones_or_marked_as_estimated(tmp_path):
    it = teacher(
        tmp_path,
        {"input": "x", "label": "a", "usage": {"prompt_tokens": 70, "completion_tokens": 5}, "latency_ms": 840},
        {"input": "y", "label": "a"},
        price=Price(usd_per_mtok_in=1, usd_per_mtok_out=1),
    )
    reply = it.ask(asked("x"))
    assert (reply.tokens_in, reply.tokens_out, reply.latency_ms, reply.estimated) == (70, 5, 840, False)
    assert it.ask(asked("y")).estimated and it.price.of(10**6, 0) == 1


@pytest.mark.parametrize(
    "line",
    [
        "{not json",
        '{"input": "x"}',
        '{"label": "x"}',
        '["x"]',
        '{"input": 3, "label": "a"}',
        '{"input": "first", "label": "other"}',
        '{"input": "x", "label": "a", "samples": "b"}',
    ],
)
def test_a_bad_line_is_named(tmp_path, line):
    with pytest.raises(BadRows, match=r"replies\.jsonl, line 3"):
        teacher(tmp_path, {"input": "first", "label": "a"}, "", line)


def test_an_empty_file_is_no_recording(tmp_path):
    with pytest.raises(BadRows):
        teacher(tmp_path, "")


def test_the_fingerprint_is_the_content(tmp_path):
    (tmp_path / "other").mkdir()
    a, b = teacher(tmp_path, {"input": "x", "label": "a"}), teacher(tmp_path / "other", {"input": "x", "label": "a"})
    assert a.fingerprint == b.fingerprint
    assert teacher(tmp_path, {"input": "x", "label": "b"}).fingerprint != a.fingerprint
