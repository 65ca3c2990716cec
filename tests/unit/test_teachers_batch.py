"""The Batch interface: half the price, nothing paid twice whatever happens on the way, never above the cap."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from limbeck.errors import CapReached, Declined, MissingKey, ProviderError, Transient
from limbeck.log import Log
from limbeck.teachers import bulk, open_teacher
from limbeck.teachers.store import Store
from limbeck.testing.batch_server import BatchServer, Plan
from limbeck.testing.chat_server import ChatServer, completion
from limbeck.types import Message, Price, Reply, Request

CENTS = Price(usd_per_mtok_in=0, usd_per_mtok_out=10_000)  # one token out is a cent; half a cent in a batch
MOST_TOKENS = 4  # of a reply; it uses two


def answer(body):
    return 200, completion(body["messages"][0]["content"].upper(), usage=(3, 2))


def many(n, **more):
    return [Request(messages=(Message(role="user", content=f"q{i}"),), max_tokens=MOST_TOKENS, **more) for i in range(n)]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(bulk, "FIRST_POLL_S", 0.01)
    monkeypatch.setattr(bulk, "back_off_s", lambda attempt: 0.01)
    monkeypatch.setenv("LIMBECK_API_KEY", "sk-secret")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "teacher.sqlite"


def teacher_of(server, price=CENTS):
    return open_teacher(f"openai-batch:{server.address}#small", price)


def test_many_questions_cost_half_and_keep_their_order(path):
    with BatchServer(answer) as server:
        store, teacher = Store(path, 10.0), teacher_of(server)
        outcomes = store.ask(teacher, many(100), "label")
    assert [o.texts for o in outcomes] == [(f"Q{i}",) for i in range(100)]
    assert len(server.at_once) == 1 and len(server.asked) == 99  # the first shows what the endpoint takes, at the full price
    assert store.spent_usd == pytest.approx(0.02 + 99 * 0.01)
    assert store.ledger()["replies"] == 100 and store.kept.promised_usd == 0
    assert all(o.latency_ms == 0 for o in outcomes[1:]) and "half" in teacher.price.source


def test_the_table_knows_the_batch_price_too(monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    ordinary, half = open_teacher("gpt-4o-mini"), open_teacher("openai-batch:gpt-4o-mini")
    assert half.price.of(10**6, 10**6) == pytest.approx(ordinary.price.of(10**6, 10**6) / 2)
    assert half.fingerprint == ordinary.fingerprint


def test_a_few_questions_are_not_kept_waiting(path):
    with BatchServer(answer) as server:
        outcomes = Store(path, 1.0).ask(teacher_of(server), many(bulk.WORTH_A_BATCH - 1), "parse")
    assert all(isinstance(o, Reply) for o in outcomes) and not server.batches


def test_what_one_way_brought_the_other_does_not_buy_again(path):
    with BatchServer(answer) as server:
        Store(path, 10.0).ask(teacher_of(server), many(40), "label")
        Store(path, 10.0).ask(open_teacher(f"{server.address}#small", CENTS), many(40), "label")
    assert len(server.at_once) == 1 and len(server.batches) == 1


def test_rows_that_fail_are_outcomes_and_the_others_live(path):
    failed = {"q5": (400, "too long"), "q6": (500, "broken")}

    def some(body):
        text = body["messages"][0]["content"]
        return (failed[text][0], {"error": {"message": failed[text][1], "type": "x"}}) if text in failed else answer(body)

    with BatchServer(some) as server:
        store = Store(path, 10.0)
        outcomes = store.ask(teacher_of(server), many(50), "label")
        assert isinstance(outcomes[5], Declined) and "too long" in outcomes[5].have
        assert isinstance(outcomes[6], Transient) and len(server.batches) == bulk.TRIES
        assert sum(isinstance(o, Reply) for o in outcomes) == 48 and set(server.asked.values()) == {1}
        failed.clear()
        again = store.ask(teacher_of(server), many(50), "label")
    assert isinstance(again[6], Reply) and isinstance(again[5], Declined)  # broken is asked again, declined is final


def test_an_expired_batch_keeps_what_it_answered_and_the_rest_goes_again(path):
    with BatchServer(answer, Plan(state="expired", answered=30), Plan()) as server:
        store = Store(path, 10.0)
        outcomes = store.ask(teacher_of(server), many(100), "label")
    assert all(isinstance(o, Reply) for o in outcomes) and set(server.asked.values()) == {1}
    assert [b["request_counts"]["total"] for b in server.batches.values()] == [99, 69]
    assert store.ledger()["transient"] == {"batch_expired": 69}


def test_a_cancelled_batch_is_not_started_again_behind_your_back(path):
    with BatchServer(answer, Plan(state="cancelled", answered=10), Plan()) as server:
        store = Store(path, 10.0)
        first = store.ask(teacher_of(server), many(50), "label")
        assert len(server.batches) == 1 and sum(isinstance(o, Reply) for o in first) == 11
        assert {o.kind for o in first if not isinstance(o, Reply)} == {"batch_cancelled"}
        assert all(isinstance(o, Reply) for o in store.ask(teacher_of(server), many(50), "label"))
    assert set(server.asked.values()) == {1}


def test_a_batch_that_fails_whole_costs_nothing_and_says_why(path):
    errors = [{"code": "invalid_json_line", "message": "not JSON", "line": 2}]
    with BatchServer(answer, Plan(state="failed", errors=errors), Plan()) as server:
        store = Store(path, 10.0)
        outcomes = store.ask(teacher_of(server), many(50), "label")
    assert [i for i, o in enumerate(outcomes) if isinstance(o, Declined)] == [2]  # line 2 of what followed the first question
    assert sum(isinstance(o, Reply) for o in outcomes) == 49 and store.kept.promised_usd == 0


def test_a_batch_that_is_too_much_goes_in_halves(path):
    errors = [{"code": "token_limit_exceeded", "message": "enqueued token limit reached", "line": None}]
    with BatchServer(answer, Plan(state="failed", errors=errors), Plan()) as server:
        outcomes = Store(path, 10.0).ask(teacher_of(server), many(101), "label")
    assert all(isinstance(o, Reply) for o in outcomes)
    assert [b["request_counts"]["total"] for b in server.batches.values()] == [100, 50, 50]


def test_the_cap_is_never_passed_whatever_replies_cost(path):
    """Every reply as long as it may be: the worst case that each batch is measured by."""
    dearest = lambda body: (200, completion("x", usage=(3, body["max_tokens"])))  # noqa: E731
    with BatchServer(dearest) as server:
        store = Store(path, 1.00)
        outcomes = store.ask(teacher_of(server), many(300), "label")
        assert 0.97 < store.spent_usd <= 1.00 + 1e-9
        assert all(isinstance(o, Reply | CapReached) for o in outcomes)
        assert len(server.asked) + 1 == sum(isinstance(o, Reply) for o in outcomes)
        before = len(server.batches)
        Store(path, 1.00).ask(teacher_of(server), many(300), "label")
        assert len(server.batches) == before


def test_a_batch_larger_than_the_money_is_split_and_what_it_did_not_cost_is_spent_on_more(path):
    with BatchServer(answer) as server:  # two tokens used of four
        store = Store(path, 1.00)
        outcomes = store.ask(teacher_of(server), many(300), "label")
    sizes = [b["request_counts"]["total"] for b in server.batches.values()]
    assert sizes[0] == 49 and sizes[1] > 20 and len(sizes) > 2
    assert store.spent_usd <= 1.00 and 90 <= sum(isinstance(o, Reply) for o in outcomes) <= 100


def test_the_money_of_a_batch_in_flight_counts_for_everybody_else(path):
    with BatchServer(answer, Plan(looks=10**6)) as server:
        store = Store(path, 1.00)
        late = store.ask(teacher_of(server), many(40), "label", deadline_s=0.5)
        assert store.kept.promised_usd == pytest.approx(39 * 0.02)
        ordinary = open_teacher(f"{server.address}#other", CENTS)
        outcomes = store.ask(ordinary, many(50), "test")
    assert {type(o) for o in late[1:]} == {CapReached} and "in flight" in late[1].have
    assert store.spent_usd + store.kept.promised_usd <= 1.00 + 0.04
    assert any(isinstance(o, CapReached) for o in outcomes)


def test_the_ordinary_way_does_not_pay_for_what_a_batch_in_flight_answers(path):
    with BatchServer(answer, Plan(looks=10**6)) as server:
        store = Store(path, 10.0)
        store.ask(teacher_of(server), many(40), "label", deadline_s=0.3)
        with pytest.raises(ProviderError, match="not collected") as refused:
            store.ask(open_teacher(f"{server.address}#small", CENTS), many(40), "label")
    assert f"openai-batch:{server.address}#small" in refused.value.do


def test_a_batch_that_the_provider_has_lost_is_said_and_asked_again(path):
    said = []
    with BatchServer(answer, Plan(looks=10**6)) as server:
        Store(path, 10.0).ask(teacher_of(server), many(40), "label", deadline_s=0.3)
        server.batches.clear()
        server.plans[0] = Plan()
        store = Store(path, 10.0, Log(sinks=(said.append,)))
        assert all(isinstance(o, Reply) for o in store.ask(teacher_of(server), many(40), "label"))
    assert store.kept.promised_usd == 0
    assert any("has lost batch batch_0: 39 rows" in event.get("text", "") for event in said)


@pytest.mark.parametrize("statuses", [[503, 429], [0], [500, 0]])
def test_a_create_that_fails_or_is_not_confirmed_makes_one_batch(path, statuses):
    with BatchServer(answer, Plan(at_create=statuses)) as server:
        if 0 in statuses:
            server.plans.append(Plan())
        outcomes = Store(path, 10.0).ask(teacher_of(server), many(60), "label")
    assert all(isinstance(o, Reply) for o in outcomes)
    assert len(server.batches) == 1 and set(server.asked.values()) == {1}


def test_an_endpoint_without_the_interface_is_named(path):
    with ChatServer(lambda body: (200, completion("a"))) as chat:
        chat.server.RequestHandlerClass.do_POST_chat = chat.server.RequestHandlerClass.do_POST

        def only_chat(handler):
            if handler.path.endswith("/chat/completions"):
                return handler.do_POST_chat()
            handler.rfile.read(int(handler.headers["Content-Length"]))
            handler.send_error(404)
            return None

        chat.server.RequestHandlerClass.do_POST = only_chat
        store = Store(path, 10.0)
        with pytest.raises(ProviderError, match="no Batch interface") as refused:
            store.ask(teacher_of(chat), many(30), "label")
    assert "one question at a time" in refused.value.do and store.kept.promised_usd == 0


def test_a_wrong_key_shows_before_anything_is_handed_over(path):
    with BatchServer(lambda body: (401, {"error": {"message": "no", "code": "invalid_api_key"}})) as server, pytest.raises(MissingKey):
        Store(path, 10.0).ask(teacher_of(server), many(50), "label")
    assert not server.files and "sk-secret" not in path.read_bytes().decode("latin-1")


def test_an_argument_that_is_refused_is_left_out_of_the_batch(path):
    def fussy(body):
        no = {"error": {"message": "Unsupported value: 'temperature'", "param": "temperature", "type": "invalid_request_error"}}
        return (400, no) if "temperature" in body else answer(body)

    with BatchServer(fussy) as server:
        outcomes = Store(path, 10.0).ask(teacher_of(server), many(50), "label")
    assert all(isinstance(o, Reply) for o in outcomes) and len(server.batches) == 1


CHILD = """
    import sys
    sys.path.insert(0, {here!r})
    from test_teachers_batch import CENTS, Store, bulk, many, open_teacher
    bulk.FIRST_POLL_S = 0.05
    {before}
    Store({path!r}, 10.0).ask(open_teacher("openai-batch:{address}#small", CENTS), many(80), "label")
"""

MOMENTS = {  # where the child stops for ever: before it hands over, after it but before the id is on the disk, and while it waits
    "before the batch is created": "import time; from limbeck.teachers.openai_batch import OpenAIBatchTeacher as T; T.create = lambda *a: time.sleep(99)",
    "before its id is stored": "import time; bulk.InBulk.named = lambda *a: time.sleep(99)",
    "while it waits": "",
}


@pytest.mark.parametrize(("how", "moment"), [(signal.SIGKILL, m) for m in MOMENTS] + [(signal.SIGINT, "while it waits")])
def test_killed_and_resumed_it_pays_for_nothing_twice(path, how, moment):
    with BatchServer(answer, Plan(looks=10**6)) as server:
        code = textwrap.dedent(CHILD).format(
            here=str(Path(__file__).parent), path=str(path), address=server.address, before=MOMENTS[moment]
        )
        child = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
        until = time.monotonic() + 30
        there = (lambda: server.files) if moment == "before the batch is created" else (lambda: server.batches)
        while not there() and child.poll() is None and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.2)
        assert child.poll() is None
        os.kill(child.pid, how)
        child.wait(10)
        server.plans[0] = Plan()
        for name in server.left:
            server.left[name] = (Plan(), 0)
        with Store(path, 10.0) as store:
            assert store.kept.promised_usd == pytest.approx(79 * 0.02)
            assert all(isinstance(o, Reply) for o in store.ask(teacher_of(server), many(80), "label"))
            assert store.kept.promised_usd == 0
            assert store.spent_usd == pytest.approx(0.02 * len(server.at_once) + 0.01 * len(server.asked))
        assert len(server.batches) == 1 and set(server.asked.values()) == {1}
        assert len(server.at_once) + len(server.asked) == 80 and len(server.at_once) <= 2


def test_a_damaged_line_costs_its_row_only(path):
    with BatchServer(answer) as server:
        keep = server.keep_file

        def damaged(content):
            lines = content.split(b"\n")
            if b'"response"' in lines[0] and len(server.batches) == 1:
                lines[0] = lines[0][:20]
            return keep(b"\n".join(lines))

        server.keep_file = damaged
        outcomes = Store(path, 10.0).ask(teacher_of(server), many(40), "label")
    assert all(isinstance(o, Reply) for o in outcomes)
    assert [b["request_counts"]["total"] for b in server.batches.values()] == [39, 1]


def test_the_body_of_a_row_is_what_would_be_sent_at_once(path):
    with BatchServer(answer) as server:
        requests = many(30, temperature=0.7, seed=3)
        Store(path, 10.0).ask(teacher_of(server), requests, "label")
        lines = [json.loads(line) for line in server.files["file-0"].splitlines()]
    first, second = server.at_once[0], lines[0]
    assert second["method"] == "POST" and second["url"] == "/v1/chat/completions"
    assert {**second["body"], "messages": 0} == {**first, "messages": 0} and len({line["custom_id"] for line in lines}) == 29
