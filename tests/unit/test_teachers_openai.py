"""The endpoint over a real socket: what is sent, what an answer means, and that no key is ever shown."""

import json
import socket
import time
from email.utils import formatdate

import pytest

from limbeck.errors import Declined, MissingKey, ProviderError, Transient
from limbeck.teachers.openai_api import fits_strict, open_teacher
from limbeck.testing.chat_server import ChatServer, completion
from limbeck.types import Message, Request

SCHEMA = json.dumps({"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"], "additionalProperties": False})
REQUEST = Request(messages=(Message(role="system", content="Label."), Message(role="user", content="x" * 40)), max_tokens=9)
KEY = "sk-do-not-show-me"


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("LIMBECK_API_KEY", raising=False)


def error(message, **more):
    return {"error": {"message": message, "type": "some_error", **more}}


def raised(answer, request=REQUEST, timeout_s=5.0):
    """What one question to a server that answers so raises."""
    with ChatServer(lambda body: answer) as server, pytest.raises((ProviderError, MissingKey)) as caught:
        open_teacher(f"{server.address}#small").ask(request, timeout_s)
    assert KEY not in str(caught.value)
    return caught.value


def test_a_question_is_sent_whole_and_its_usage_is_read():
    with ChatServer(lambda body: (200, completion("a", "b", usage=(31, 7)))) as server:
        reply = open_teacher(f"{server.address}#small").ask(
            REQUEST.model_copy(update={"reply_schema": SCHEMA, "n": 2, "seed": 5, "temperature": 0.5})
        )
    sent = server.bodies[0]
    assert sent.pop("response_format") == {
        "type": "json_schema",
        "json_schema": {"name": "reply", "schema": json.loads(SCHEMA), "strict": True},
    }
    assert sent == {
        "model": "small",
        "messages": [{"role": "system", "content": "Label."}, {"role": "user", "content": "x" * 40}],
        "temperature": 0.5,
        "max_tokens": 9,
        "n": 2,
        "seed": 5,
    }
    assert server.keys == [f"Bearer {KEY}"]
    assert (reply.texts, reply.finish, reply.tokens_in, reply.tokens_out) == (("a", "b"), ("stop", "stop"), 31, 7)
    assert not reply.estimated and reply.model == "small" and reply.latency_ms > 0


def test_usage_that_is_not_told_is_estimated_and_says_so():
    with ChatServer(lambda body: (200, completion("abcdefgh", usage=None))) as server:
        reply = open_teacher(f"{server.address}#small").ask(REQUEST)
    assert (reply.tokens_in, reply.tokens_out, reply.estimated) == (2 + 10 + 8, 2, True)


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("response_format", "response_format of type json_schema is not supported"),
        ("response_format", "This model does not support structured outputs: 'json_schema'"),
        ("temperature", "Unsupported value: 'temperature' does not support 0.0 with this model."),
        ("seed", [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]),
        ("n", "'n' must be 1"),
    ],
)
def test_an_argument_that_is_refused_is_left_out_from_then_on(argument, message):
    def answer(body):
        body_of_error = {"detail": message} if isinstance(message, list) else error(message)
        return (422 if isinstance(message, list) else 400, body_of_error) if argument in body else (200, completion("a"))

    request = REQUEST.model_copy(update={"reply_schema": SCHEMA, "seed": 1, "n": 2})
    with ChatServer(answer) as server:
        teacher = open_teacher(f"{server.address}#small")
        assert teacher.ask(request).texts == teacher.ask(request).texts == ("a",)
    assert [argument in body for body in server.bodies] == [True, False, False]
    assert all("max_tokens" in body and "messages" in body for body in server.bodies)


def test_the_limit_changes_its_name_and_is_never_left_out():
    def newer(body):
        message = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        return (400, error(message, param="max_tokens")) if "max_tokens" in body else (200, completion("a"))

    with ChatServer(newer) as server:
        teacher = open_teacher(f"{server.address}#small")
        teacher.ask(REQUEST), teacher.ask(REQUEST)
    assert [body.get("max_completion_tokens") for body in server.bodies] == [None, 9, 9]

    with ChatServer(lambda body: (400, error("'max_tokens' or 'max_completion_tokens' is too large: 9"))) as server:
        teacher = open_teacher(f"{server.address}#small")
        for _ in range(2):
            with pytest.raises(Declined, match="too large"):
                teacher.ask(REQUEST)
    assert all(("max_tokens" in body) != ("max_completion_tokens" in body) for body in server.bodies)


def test_one_bad_schema_does_not_cost_the_others_theirs():
    def answer(body):
        bad = body.get("response_format", {}).get("json_schema", {}).get("schema", {}).get("title") == "bad"
        return (400, error("Invalid schema for response_format 'reply'", param="response_format")) if bad else (200, completion("a"))

    with ChatServer(answer) as server:
        teacher = open_teacher(f"{server.address}#small")
        teacher.ask(REQUEST.model_copy(update={"reply_schema": json.dumps({"title": "bad", **json.loads(SCHEMA)})}))
        teacher.ask(REQUEST.model_copy(update={"reply_schema": SCHEMA}))
    assert ["response_format" in body for body in server.bodies] == [True, False, True]


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_key_names_the_variable_and_not_the_key(status):
    wrong = raised((status, error(f"Incorrect API key provided: {KEY}")))
    assert isinstance(wrong, MissingKey) and "OPENAI_API_KEY is set" in wrong.have and "export LIMBECK_API_KEY" in wrong.do


def test_a_key_that_was_copied_badly_is_refused_before_anything_is_sent(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-abc\u2026xyz")
    with pytest.raises(MissingKey, match="OPENAI_API_KEY") as refused:
        open_teacher("http://127.0.0.1:9/v1#small")
    assert "abc" not in str(refused.value)


def test_an_endpoint_of_ones_own_needs_no_key(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY")
    with ChatServer(lambda body: (200, completion("a"))) as server:
        assert open_teacher(f"{server.address}#small").ask(REQUEST).texts == ("a",)


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_what_may_pass_is_transient(status):
    again = raised((status, error("later")))
    assert isinstance(again, Transient) and again.status == status and again.retry_after_s is None


def test_retry_after_is_read_in_seconds_milliseconds_and_as_a_date():
    assert raised((429, error("slow down"), {"Retry-After": "1.5"})).retry_after_s == 1.5
    assert raised((429, error("slow down"), {"retry-after-ms": "250"})).retry_after_s == 0.25
    dated = raised((503, error("slow down"), {"Retry-After": formatdate(time.time() + 30, usegmt=True)}))
    assert 25 < dated.retry_after_s <= 30
    assert raised((429, error("slow down"), {"Retry-After": "soon"})).retry_after_s is None


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"",
        b"null",
        b"[]",
        b"\xff\xfe",
        {"choices": []},
        {"choices": None},
        {"error": {"message": "overloaded"}},
        {"choices": [{"index": 0}]},
        {"choices": [{"message": None}]},
    ],
)
def test_a_body_that_is_no_completion_is_transient(body):
    again = raised((200, body))
    assert isinstance(again, Transient) and again.kind == "malformed"


def test_an_empty_or_odd_text_is_a_reply_like_any_other():
    odd = completion("", finish="length")
    odd["choices"].append({"finish_reason": None, "message": {"content": None, "refusal": "I cannot."}})
    odd["choices"].append({"finish_reason": "stop", "message": {"content": [{"type": "text", "text": "in "}, {"text": "parts"}]}})
    odd["choices"].append({"finish_reason": "stop", "message": {"content": "half \ud83d a pair"}})
    with ChatServer(lambda body: (200, odd)) as server:
        reply = open_teacher(f"{server.address}#small").ask(REQUEST)
    assert reply.texts == ("", "I cannot.", "in parts", "half ? a pair")
    assert reply.finish == ("length", "stop", "stop", "stop")


def test_what_is_declined_keeps_the_providers_word():
    no = raised((422, {"error": {"message": "no recording fits this request", "type": "no_recording"}}))
    assert type(no) is Declined and no.kind == "no_recording" and "no recording fits" in no.have
    assert type(raised((400, error("the prompt is too long")))) is Declined
    assert type(raised((403, error("your input was flagged")))) is Declined


def test_what_no_request_can_change_is_neither_transient_nor_declined():
    broke = raised((429, error("You exceeded your current quota", code="insufficient_quota")))
    assert type(broke) is ProviderError and broke.kind == "insufficient_quota"
    assert type(raised((404, error("The model `small` does not exist", code="model_not_found")))) is ProviderError


def test_silence_and_a_closed_door_are_transient():
    def slow(body):
        time.sleep(1.0)
        return 200, completion("a")

    with ChatServer(slow) as server, pytest.raises(Transient) as late:
        open_teacher(f"{server.address}#small").ask(REQUEST, timeout_s=0.2)
    assert late.value.kind == "timeout"
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, and not listening
        with pytest.raises(Transient) as refused:
            open_teacher(f"http://127.0.0.1:{closed.getsockname()[1]}/v1#small").ask(REQUEST)
    assert refused.value.kind == "connection" and "curl" in refused.value.do


def test_strict_is_said_of_closed_schemas_only():
    assert fits_strict(json.loads(SCHEMA))
    assert not fits_strict({"type": "object", "properties": {"a": {"type": "string"}}, "required": []})
    assert not fits_strict({"type": "array", "items": {"type": "object", "properties": {}}})
