"""What a prompt costs: cached tokens are billed at their own price and told, old stores are read, reasons are asked for and read."""

from __future__ import annotations

import json
import sqlite3

import pytest

from limbeck import compare, demonstrating, derived, estimate, recipes, render, windowing
from limbeck.adapters.prompt import Prompted
from limbeck.derived import MANY
from limbeck.errors import UsageError
from limbeck.render_structure import PLAIN
from limbeck.report import markdown, table
from limbeck.teachers.openai_api import read_reply
from limbeck.teachers.openai_batch import halved
from limbeck.teachers.prices import HOSTED, parse_price, price_of
from limbeck.teachers.store import Store
from limbeck.testing.chat_server import completion
from limbeck.testing.contexts import TASK, TRAIN
from limbeck.types import Example, Kind, Message, Prediction, Price, Reply, Request, Row, Score, Status, Task
from limbeck.verdict import with_break_even

PRICE = Price(usd_per_mtok_in=2.0, usd_per_mtok_out=8.0, usd_per_mtok_cached=0.5)
ASKED = Request(messages=(Message(role="user", content="?"),))


class Cached:
    """A teacher that had read all but ten tokens of every prompt before."""

    name = model = fingerprint = "cached"
    remote, recording, price = True, False, PRICE

    def ask(self, request, timeout_s=60.0):
        return Reply(texts=("a",), finish=("stop",), tokens_in=1010, tokens_out=1, tokens_cached=1000, latency_ms=2.0)


# ---- the provider's cache ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("details", "cached"),
    [({"cached_tokens": 896}, 896), ({"cached_tokens": 5000}, 1000), ({"cached_tokens": None}, 0), (None, 0), ("?", 0), ({}, 0)],
)
def test_cached_tokens_are_read_where_the_provider_tells_them(details, cached) -> None:
    body = completion("a", usage=(1000, 2))
    body["usage"]["prompt_tokens_details"] = details
    reply = read_reply(json.dumps(body).encode(), ASKED, 1.0)
    assert (reply.tokens_in, reply.tokens_cached) == (1000, cached)


def test_cached_tokens_have_a_price_of_their_own() -> None:
    assert PRICE.of(1000, 100, 800) == pytest.approx((200 * 2.0 + 800 * 0.5 + 100 * 8.0) / 1e6)
    assert PRICE.saved(800) == pytest.approx(800 * 1.5 / 1e6)
    plain = Price(usd_per_mtok_in=2.0, usd_per_mtok_out=8.0)
    assert plain.of(1000, 100, 800) == plain.of(1000, 100) and plain.saved(800) == 0.0
    assert halved(PRICE).of(1000, 0, 1000) == PRICE.of(1000, 0) / 2, "what the two discounts make together is not known"


def test_a_price_may_have_a_third_part(monkeypatch) -> None:
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    assert parse_price("0.15/0.60/0.075").usd_per_mtok_cached == 0.075 and parse_price("0.15/0.60").usd_per_mtok_cached is None
    for bad in ("1/2/3", "1", "1/2/x", "1/2/0.5/0.1", "1/2/-1"):
        with pytest.raises(UsageError):
            parse_price(bad)
    assert all(price_of(model).usd_per_mtok_cached < price_of(model).usd_per_mtok_in for model in HOSTED)


def test_the_ledger_tells_what_the_cache_saved_and_a_stored_reply_keeps_it(tmp_path) -> None:
    with Store(tmp_path / "t.sqlite", cap_usd=1.0) as store:
        store.ask(Cached(), [ASKED], "label")
    with Store(tmp_path / "t.sqlite", cap_usd=1.0) as store:
        (reply,) = store.ask(Cached(), [ASKED], "label")
        ledger = store.ledger()
    assert reply.tokens_cached == 1000
    assert ledger["tokens_cached"] == 1000 and ledger["cache_saved_usd"] == pytest.approx(1000 * 1.5 / 1e6)
    assert ledger["spent_usd"] == pytest.approx((10 * 2.0 + 1000 * 0.5 + 8.0) / 1e6)


def test_a_store_of_an_older_version_is_read_and_added_to(tmp_path) -> None:
    path = tmp_path / "t.sqlite"
    with Store(path, cap_usd=1.0) as store:
        store.ask(Cached(), [ASKED], "label")
    db = sqlite3.connect(path)
    for column in ("tokens_cached", "saved_usd"):
        db.execute(f"ALTER TABLE replies DROP COLUMN {column}")
    db.commit()
    db.close()
    other = ASKED.model_copy(update={"messages": (Message(role="user", content="!"),)})
    with Store(path, cap_usd=1.0) as store:
        old, new = store.ask(Cached(), [ASKED, other], "label")
        assert (old.tokens_cached, new.tokens_cached) == (0, 1000) and store.ledger()["replies"] == 2


def test_a_prompted_row_costs_what_was_billed() -> None:
    predictor = Prompted(TASK, lambda requests: [Cached().ask(r) for r in requests], PRICE, lambda row: (), max_tokens=9)
    (found,) = predictor.predict([Example(id="q", input="?")])
    assert (found.tokens_in, found.tokens_cached) == (1010, 1000) and found.cost_usd == pytest.approx(PRICE.of(1010, 1, 1000))


def test_the_estimate_of_many_counts_on_no_cache_and_stays_above_the_bill() -> None:
    recipe = windowing.with_window(
        derived.with_values(recipes.parse("prompt+many@teacher"), TASK, derived.Sizes(30, 5, 5, 0, 3, 20.0, 0), {"window": 450}), "m"
    )
    asked = [Example(id=f"q{i}", input=f"word{i} and more", output="a") for i in range(10)]
    shots = demonstrating.demonstrations(TASK, recipe, TRAIN, 0, asked)
    sent = [estimate.prompt_tokens(render.messages(TASK, one, shots(one))) for one in asked]
    usd = estimate.one_call(TASK, recipe, TRAIN, asked, Cached(), 0)
    assert usd.low < PRICE.of(sum(sent) / 10, 3) < usd.high
    bare = estimate.one_call(TASK, None, TRAIN, asked, Cached(), 0)
    assert usd.high > 2 * bare.high, "the demonstrations are counted"


STEPS = PLAIN.model_copy(update={"steps": True})


def test_long_prompts_are_asked_in_parts_and_every_row_is_answered_in_order(monkeypatch) -> None:
    monkeypatch.setattr("limbeck.adapters.prompt.CHARS_AT_ONCE", 5_000)
    monkeypatch.setattr("limbeck.adapters.prompt.LEAST_AT_ONCE", 2)
    parts: list[int] = []

    def ask(requests):
        parts.append(len(requests))
        return [Reply(texts=(json.dumps({"answer": r.row.input[-1]}),), finish=("stop",)) for r in requests]

    long = [Example(id=str(i), input="x" * 700 + "abc"[i % 3]) for i in range(20)]
    found = Prompted(TASK, ask, None, lambda row: (), max_tokens=9).predict(long)
    assert [p.text for p in found] == ["abc"[i % 3] for i in range(20)] and len(parts) > 2 and sum(parts) == 20
    assert Prompted(TASK, ask, None, lambda row: (), max_tokens=9).predict([]) == []


# ---- reasons first -------------------------------------------------------------------------------------------------


def told(text: str, finish: str = "stop") -> Prediction:
    said = Reply(texts=(text,), finish=(finish,), tokens_in=9, tokens_out=9)
    sent: list[Request] = []

    def ask(requests):
        sent.extend(requests)
        return [said for _ in requests]

    shots = [Example(id="1", input="one", output="a", rationale="It begins so")]
    (found,) = Prompted(TASK, ask, None, lambda row: shots, max_tokens=99, structure=STEPS).predict([Example(id="q", input="two")])
    assert sent[0].reply_schema is None
    assert "Input: one\nReasons: It begins so. So the answer is a.\n\nInput: two\nReasons:" in sent[0].messages[1].content
    return found


def test_reasons_are_asked_for_with_demonstrations_that_have_some_and_the_answer_is_read() -> None:
    found = told("It ends otherwise. So the answer is b.")
    assert (found.text, found.status) == ("b", Status.OK)


@pytest.mark.parametrize("reply", ["It may be this or that.", "So the answer is d.", "So the answer is a. So the answer is b.", "a or b"])
def test_a_reply_that_names_no_answer_or_two_is_malformed_and_never_guessed(reply) -> None:
    found = told(reply)
    assert (found.text, found.status) == ("", Status.MALFORMED)


def test_reasons_that_run_out_of_room_are_no_answer() -> None:
    assert told("It begins with a, and it goes on", finish="length").status is Status.MALFORMED


def test_a_candidate_that_shows_reasons_needs_rows_that_have_some() -> None:
    recipe = recipes.parse("prompt:cot+few:4@teacher")
    assert "rationale" in demonstrating.none_to_show(recipe, TRAIN)
    some = [TRAIN[0].model_copy(update={"rationale": "because"}), *TRAIN[1:]]
    assert demonstrating.none_to_show(recipe, some) == ""
    assert [r.id for r in demonstrating.demonstrations(TASK, recipe, some, 0)(Example(id="q", input="?"))] == ["0"]
    assert demonstrating.none_to_show(recipes.parse("prompt:cot@teacher"), TRAIN) == ""


def test_options_stand_in_the_prompt_and_not_in_the_schema_where_the_prefix_is_to_be_cached() -> None:
    task = Task(name="t", instruction="Choose.", kind=Kind.CHOICE)
    row = Example(id="q", input="?", choices=("this", "that"))
    same = Prompted(task, lambda requests: [], None, lambda row: (), max_tokens=9, one_schema=True).request(row, 0)
    other = Prompted(task, lambda requests: [], None, lambda row: (), max_tokens=9).request(row, 0)
    assert "this" in other.reply_schema and "this" not in same.reply_schema and "A. this" in same.messages[1].content
    assert render.answer(task, row, '{"answer": "neither"}')[1] is Status.MALFORMED


# ---- told ----------------------------------------------------------------------------------------------------------


def prompted(name: str, **facts: object) -> Row:
    return Row(recipe=name, id=name, group="prompt", **facts)  # type: ignore[arg-type]


def test_prompts_that_answer_word_for_word_alike_are_told_to_compare_costs_alone() -> None:
    rows = [prompted("prompt@teacher"), prompted("prompt+few:8@teacher"), prompted("prompt+many@teacher")]
    same = [Prediction(id=str(i), text="a", detail=f"reply {i}") for i in range(20)]
    other = [*same[:-1], Prediction(id="19", text="a", detail="put otherwise")]
    answers = {"prompt@teacher": same, "prompt+few:8@teacher": same, "prompt+many@teacher": other}
    (warning,) = compare.deaf_warnings(rows, answers)
    assert "prompt@teacher, prompt+few:8@teacher got the same replies" in warning and "many" not in warning
    few = {k: v[:19] for k, v in answers.items()}
    assert compare.deaf_warnings(rows, few) == [] and len(compare.deaf_warnings(rows, few, recorded=True)) == 1


def test_a_student_pays_for_itself_against_the_prompt_that_dev_says_is_best() -> None:
    def dev(value: float) -> Score:
        return Score(metric="mae", value=value, n=9)

    rows = [prompted("good", usd_per_1000=3.0, dev=dev(0.1)), prompted("bad", usd_per_1000=1.0, dev=dev(0.9))]
    student = Row(recipe="head", id="h", group="student", usd_per_1000=0.0, train_s=3600.0)
    assert with_break_even(student, rows, 0.0, 1.0, lower_is_better=True).break_even_calls == pytest.approx(1 / 0.003)
    assert with_break_even(student, rows, 0.0, 1.0).break_even_calls == pytest.approx(1 / 0.001)


def test_the_report_says_in_words_how_many_rows_stood_in_the_prompt() -> None:
    from tests.unit.report_fixture import twelve_labels

    report = twelve_labels()
    recipe = windowing.with_window(recipes.parse("prompt+many@teacher").model_copy(update={"values": MANY}), "recorded:x")
    values = tuple(demonstrating.Shots(lambda row: (), shown=96, there=1200, tokens=31_000, left_out=2).measured(recipe))
    rows = (report.rows[0].model_copy(update={"recipe": "prompt+many@teacher", "values": values}), *report.rows[1:])
    text = markdown(report.model_copy(update={"rows": rows}))
    assert "prompt+many@teacher was shown 96 of 1,200 training rows" in text and "31,000 tokens estimated of 128,000" in text
    assert "prompt+many@teacher: 2 training rows never shown: copies of dev or test rows" in text


def test_the_table_shows_tokens_per_call() -> None:
    from tests.unit.report_fixture import twelve_labels

    report = twelve_labels()
    rows = [
        r.model_copy(update={"tokens_in_per_call": 12_345.6, "tokens_cached_per_call": 12_000.0}) if "few" in r.recipe else r
        for r in report.rows
    ]
    found = {c.key: c for c in table.columns(report.model_copy(update={"rows": tuple(rows)}))}
    few = next(r for r in rows if "few" in r.recipe)
    assert found["tokens_in"].cell(few) == "12.3k" and found["tokens_cached"].cell(few) == "12k"
    assert found["break_even"].cell(next(r for r in rows if r.recipe == "full@minilm")) == "8,400 calls"
    assert found["break_even"].cell(few) == "-"
    assert "tokens_out" not in found, "a column with nothing to say is left out"
