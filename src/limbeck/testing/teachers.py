"""The contract of a teacher. Call it with an instance of yours and a request that it can answer."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

from limbeck.errors import Declined
from limbeck.registry import Teacher
from limbeck.types import Price, Reply, Request

SECRETS = ("LIMBECK_API_KEY", "OPENAI_API_KEY")


def check_teacher(teacher: Teacher, request: Request) -> None:
    """AssertionError where the teacher breaks a promise of `limbeck.registry.Teacher`."""
    for attribute in ("name", "model", "fingerprint"):
        value = getattr(teacher, attribute)
        assert isinstance(value, str) and value, f"{attribute} is {value!r}"
        for secret in SECRETS:
            assert not os.environ.get(secret) or os.environ[secret] not in value, f"{attribute} holds the key"
    assert isinstance(teacher.remote, bool) and isinstance(teacher.recording, bool)
    assert teacher.price is None or isinstance(teacher.price, Price)
    before = teacher.fingerprint

    check_reply(teacher.ask(request), request)
    check_reply(teacher.ask(request, timeout_s=30.0), request)
    more = request.model_copy(update={"n": 3, "temperature": 1.0, "seed": 1})
    check_reply(teacher.ask(more), more)
    if teacher.remote:  # the store asks from many threads
        with ThreadPoolExecutor(4) as pool:
            for reply in pool.map(teacher.ask, [request] * 8):
                check_reply(reply, request)
    if teacher.recording:
        changed = request.messages[-1].model_copy(update={"content": "Put otherwise: " + request.messages[-1].content})
        other = request.model_copy(update={"messages": (*request.messages[:-1], changed)})
        assert teacher.ask(other).texts == teacher.ask(request).texts, "a recording may not depend on the prompt"
        assert declines(teacher, request.model_copy(update={"row": None})), "a recording cannot answer what was not recorded"
    assert teacher.fingerprint == before, "asking changed the fingerprint"


def check_reply(reply: Reply, request: Request) -> None:
    assert isinstance(reply, Reply)
    assert 1 <= len(reply.texts) == len(reply.finish) <= request.n
    assert reply.tokens_in >= 0 and reply.tokens_out >= 0 and reply.latency_ms >= 0
    assert reply.tokens_in > 0, "no tokens in: estimate them, and set `estimated`"


def declines(teacher: Teacher, request: Request) -> bool:
    try:
        teacher.ask(request)
    except Declined as no:
        return no.kind == "no_recording"
    return False
