"""Foreign rows become rows of the task, or are dropped with a reason; what was paid for is never thrown away."""

from __future__ import annotations

import json
import re

from limbeck.errors import CapReached, Declined
from limbeck.sources.datasets import Dataset
from limbeck.sources.transform import MOST_FAILED, WAVE, check, transform
from limbeck.types import Demonstration, Example, Kind, Origin, Price, Reply, Task

CARD = Dataset(name="towns", source="folder", where="towns")
MOOD = Task(name="mood", instruction="Say good or bad.", kind=Kind.LABEL, labels=("good", "bad"), demonstrations=(Demonstration(input="A fine and sunny day at the sea", output="good"),))  # fmt: skip
FREE = Task(name="free", instruction="Turn the fact into a question.", kind=Kind.TEXT)


def rows(*pairs: tuple[str, str]) -> list[Example]:
    return [
        Example(id=f"towns-{i}", input=a, output=b, origin=Origin(kind="retrieved", source="towns", row=i, licence="MIT"))
        for i, (a, b) in enumerate(pairs, 1)
    ]


class Asked:
    """A teacher: a function from the user's text to a reply or an error; counts what it was asked."""

    def __init__(self, answer):
        self.answer, self.n = answer, 0

    def __call__(self, requests):
        outcomes = []
        for request in requests:
            self.n += 1
            reply = self.answer(request)
            outcomes.append(reply if isinstance(reply, Exception) else Reply(texts=(reply,), finish=("stop",), model="m", address=f"a{self.n}", tokens_in=100, tokens_out=10))  # fmt: skip
        return outcomes


def rewriter(per_row):
    """Says that rows do not fit, makes a plan, and rewrites each row by `per_row(its input)`."""

    def answer(request):
        user = request.messages[-1].content
        if "fits" in (request.reply_schema or ""):
            return '{"fits": false, "why": "they are facts"}'
        if "The plan:" not in user:
            return "1. ask for it"
        return per_row(re.search(r"The row of .*?:\nInput: (.*)\nOutput:", user, re.S)[1])

    return Asked(answer)


def test_labels_that_differ_in_case_alone_need_no_teacher():
    done = transform(MOOD, CARD, rows(("rain", "BAD"), ("sun", "Good")))
    assert [(r.output, r.origin.licence, r.origin.row) for r in done.rows] == [("bad", "MIT", 1), ("good", "MIT", 2)]
    assert done.how == "mapped" and not done.dropped


def test_labels_in_other_words_are_mapped_by_the_teacher_once_and_one_without_counterpart_is_dropped():
    ask = Asked(lambda request: json.dumps({"labels": {"positive": "good", "negative": "bad", "mixed": None}}))
    foreign = rows(("sun", "positive"), ("rain", "negative"), ("fog", "mixed"), ("snow", "negative"))
    done = transform(MOOD, CARD, foreign, ask, price=Price(usd_per_mtok_in=1, usd_per_mtok_out=1))
    assert [(r.input, r.output) for r in done.rows] == [("sun", "good"), ("rain", "bad"), ("snow", "bad")]
    assert [(d.row, "counterpart" in d.reason) for d in done.dropped] == [(3, True)]
    assert ask.n == 1
    assert done.rows[0].origin.teacher == "m" and done.rows[0].origin.request == "a1"


def test_labels_that_mean_something_else_are_not_forced_and_without_a_teacher_nothing_comes_and_it_is_said():
    done = transform(MOOD, CARD, rows(("sun", "weather"), ("goal", "sport")))
    assert not done.rows and "0 of 2" in done.said[0] and "--teacher" in done.said[0]


def test_one_row_gives_exactly_one_pair():
    done = transform(FREE, CARD, rows(("Oslo is in Norway", "fact")), rewriter(lambda text: json.dumps({"input": text, "output": f"What about {text}?"})))  # fmt: skip
    assert [(r.input, r.output) for r in done.rows] == [("Oslo is in Norway", "What about Oslo is in Norway?")]
    assert done.how == "rewritten"


def test_a_short_input_inside_a_demonstration_is_kept_and_an_equal_one_is_dropped():
    short, equal = rows(("sunny day", "good"), ("A fine and  sunny day at the sea", "good"))
    assert isinstance(check(MOOD, short), Example)
    assert check(MOOD, equal) == "a copy of a demonstration"


def test_each_failure_is_counted_with_its_reason_and_costs_one_row():
    replies = {
        "a": json.dumps({"input": "a", "output": "A?"}),
        "b": "sorry, no",
        "c": json.dumps({"input": "", "output": ""}),
        "d": json.dumps({"input": "d", "output": ""}),
    }
    more = [(f"x{i}", "f") for i in range(9)]
    ask = rewriter(lambda text: replies.get(text, json.dumps({"input": text, "output": f"{text}?"})))
    done = transform(FREE, CARD, rows(("a", "f"), ("b", "f"), ("c", "f"), ("d", "f"), *more), ask)
    assert len(done.rows) == 10
    assert [(d.row, d.reason) for d in done.dropped] == [(2, "malformed reply"), (3, "the teacher could not use it"), (4, "empty output")]


def test_more_than_a_third_failing_stops_and_keeps_what_was_paid_for():
    total = 6 * WAVE
    ask = rewriter(lambda text: json.dumps({"input": text, "output": "q?"}) if int(text) % 2 else "no")
    done = transform(FREE, CARD, rows(*((str(i), "f") for i in range(total))), ask)
    asked = ask.n - 2  # whether it fits, and the plan
    assert asked < total and len(done.rows) == asked // 2 > 0
    assert len(done.dropped) > MOST_FAILED * total
    assert "stopped" in done.said[-1]


def test_the_money_cap_ends_it_and_what_came_in_is_kept():
    ask = rewriter(lambda text: json.dumps({"input": text, "output": "q?"}) if int(text) < 40 else CapReached("the money is used up"))
    done = transform(FREE, CARD, rows(*((str(i), "f") for i in range(300))), ask)
    assert len(done.rows) == 40 and done.capped
    assert ask.n == 2 + 2 * WAVE


def test_no_plan_is_an_empty_result_with_the_reason():
    ask = Asked(lambda request: '{"fits": false, "why": "no"}' if "fits" in (request.reply_schema or "") else Declined("it says no"))
    done = transform(FREE, CARD, rows(("a", "f")), ask)
    assert not done.rows and "it says no" in done.said[-1]


def test_rows_that_the_teacher_finds_fitting_stand_as_they_are_and_the_origin_of_rewritten_ones_tells_what_was_bought():
    fits = Asked(lambda request: '{"fits": true, "why": ""}')
    assert transform(FREE, CARD, rows(("a", "b")), fits).how == "as-is"
    done = transform(FREE, CARD, rows(("a", "f")), rewriter(lambda t: json.dumps({"input": t, "output": "q?"})), price=Price(usd_per_mtok_in=10, usd_per_mtok_out=100))  # fmt: skip
    origin = done.rows[0].origin
    assert (origin.kind, origin.source, origin.row, origin.licence, origin.template) == ("retrieved", "towns", 1, "MIT", "rewrite-row")
    assert origin.cost_usd == 0.002 and origin.request == "a3"


def test_braces_inside_a_reply_and_a_fence_around_it_lose_no_row():
    replies = {
        "a": json.dumps({"input": "close it: }", "output": "f(x) { return 1; }"}),
        "b": "Here it is:\n```json\n" + json.dumps({"input": "open it: {", "output": "if (y) {"}) + "\n```",
    }
    done = transform(FREE, CARD, rows(("a", "f"), ("b", "f")), rewriter(replies.__getitem__))
    assert [(r.input, r.output) for r in done.rows] == [("close it: }", "f(x) { return 1; }"), ("open it: {", "if (y) {")]


def test_a_part_of_another_label_set_that_has_all_of_the_tasks_labels_is_taken_and_the_rest_dropped():
    foreign = rows(*((f"text {i}", ("good", "bad", "wild", "odd", "tall", "dry")[i % 6]) for i in range(60)))
    done = transform(MOOD, CARD, foreign)
    assert len(done.rows) == 20 and len(done.dropped) == 40 and {d.reason[:5] for d in done.dropped} == {"label"}
    assert any("nobody checked" in line for line in done.said)
