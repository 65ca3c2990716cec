"""Which teacher a spec names, and what it costs."""

import pytest

from limbeck.errors import MissingKey, UsageError
from limbeck.teachers import open_teacher
from limbeck.teachers.prices import HOSTED, parse_price, price_of
from limbeck.types import Price


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    for name in ("LIMBECK_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "  ",
        "recorded:",
        "local:",
        "local",
        "recorded:nowhere.jsonl",
        "recoded:replies.jsonl",
        "locl:./model",
        "local:./no/such/folder",
        "ftp://host/v1#m",
        "http://host:8000/v1",
        "http://#m",
        "http://host:port/v1#m",
        "http://user:secret@host/v1#m",
        "https://host/v1?api_key=secret#m",
        "two words",
        "replies.jsonl",
    ],
)
def test_a_spec_that_names_no_teacher_is_refused_in_three_parts(spec):
    with pytest.raises(UsageError) as refused:
        open_teacher(spec)
    assert all(refused.value.as_dict()[part] for part in ("what", "have", "do"))
    assert "secret" not in str(refused.value)


def test_an_address_has_a_fingerprint_of_address_and_model():
    teacher = open_teacher("http://127.0.0.1:9/v1/#org/model:7b")
    assert teacher.fingerprint == "http://127.0.0.1:9/v1#org/model:7b"
    assert teacher.model == "org/model:7b" and teacher.remote and not teacher.recording and teacher.price is None


def test_a_bare_name_goes_to_the_address_in_the_environment(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1/")
    assert open_teacher("llama3:8b").fingerprint == "http://127.0.0.1:9/v1#llama3:8b"


def test_the_default_address_wants_a_key_and_names_the_variable():
    with pytest.raises(MissingKey, match="LIMBECK_API_KEY"):
        open_teacher("gpt-4o-mini")


def test_a_known_model_has_its_price_at_its_own_address_only(monkeypatch):
    assert price_of("gpt-4o-mini-2024-07-18").of(1_000_000, 1_000_000) == pytest.approx(0.75)
    assert price_of("http://elsewhere/v1#gpt-4o-mini") is None
    monkeypatch.setenv("OPENAI_BASE_URL", "http://elsewhere/v1")
    assert price_of("gpt-4o-mini") is None


def test_every_price_of_the_table_says_where_from_and_when():
    for model in HOSTED:
        price = price_of(model)
        assert price.source and price.date and 0 < price.usd_per_mtok_in < price.usd_per_mtok_out


def test_a_given_price_wins():
    given = Price(usd_per_mtok_in=1, usd_per_mtok_out=2)
    assert price_of("gpt-4o-mini", given) == given
    assert price_of("recorded:x.jsonl").of(10**6, 10**6) == 0


def test_a_price_is_read_as_in_and_out():
    assert parse_price(" 0.15/0.60").of(2_000_000, 1_000_000) == pytest.approx(0.9)


@pytest.mark.parametrize("text", ["", "1", "1/2/3", "-1/2", "1/-2", "a/b", "nan/1", "inf/1", "1,5/2"])
def test_a_price_that_is_none_is_refused(text):
    with pytest.raises(UsageError) as refused:
        parse_price(text)
    assert refused.value.do and text in refused.value.have
