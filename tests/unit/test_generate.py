"""Generation as a state machine: what it asks, what it keeps of the replies, what it counts, and when it ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

import pytest

from limbeck.curate.clean import shingles, words_of
from limbeck.curate.vote import vote
from limbeck.errors import CapReached, Declined, Transient
from limbeck.registry import Ask
from limbeck.sources.generate import generate
from limbeck.sources.novelty import Novelty
from limbeck.sources.state import Generated
from limbeck.sources.steer import Plan
from limbeck.types import Demonstration, Example, Kind, Price, Reply, Request, Task
from tests.words import WORDS

FREE = Task(name="t", instruction="Answer the question.", kind=Kind.TEXT)
LABELS = Task(name="t", instruction="Sort the mail.", kind=Kind.LABEL, labels=("refund", "delivery", "other"))


def sentence(number: int) -> str:
    """A text that shares no run of three words with any other number's."""
    digits = [WORDS[(number // 20**k) % 20] + str(number % (7 + k)) for k in range(3)]
    return " ".join([f"q{number}", *digits, f"w{number}", f"z{number}"])


def written(*pairs: tuple[str, str]) -> str:
    return json.dumps({"examples": [{"input": a, "output": b} for a, b in pairs]})


def reply(text: str, **more: object) -> Reply:
    return Reply(texts=(text,), finish=("stop",), model="m", **more)  # type: ignore[arg-type]


class Script:
    """A teacher that answers by a function of the request's number (from 0), and remembers what it was asked."""

    def __init__(self, answer: Callable[[int], str | Exception]):
        self.answer = answer
        self.batches: list[int] = []
        self.told: list[Request] = []

    def __call__(self, requests: Sequence[Request]) -> list[Reply | Exception]:
        self.batches.append(len(requests))
        outcomes: list[Reply | Exception] = []
        for request in requests:
            given = self.answer(len(self.told))
            self.told.append(request)
            outcomes.append(given if isinstance(given, Exception) else reply(given))
        return outcomes


def fresh(rows: int = 5) -> Callable[[int], str]:
    """Every reply holds new sentences."""
    return lambda number: written(*((sentence(number * rows + i), f"answer {i}") for i in range(rows)))


def made(ask: Ask, n: int, task: Task = FREE, gold: Sequence[Example] = (), price: Price | None = None, **plan: object) -> Generated:
    return generate(task, n, ask, Novelty(words_of, shingles), gold, Plan(**{"topics": False, **plan}), price)  # type: ignore[arg-type]


def outputs(found: Generated, task: Task = FREE) -> dict[str, str | None]:
    return {row.input: row.output for row in vote(task, found.answers, found.groups).rows}


# ---- how much is asked, how much comes back ------------------------------------------------------------------------


def test_a_budget_of_three_calls_brings_fifteen_rows_in_one_batch_and_no_fourth_call() -> None:
    teacher = Script(fresh())
    found = made(teacher, 29, max_requests=3)
    assert len(found.rows) == 15 and teacher.batches == [3] and found.counts["requests"] == 3
    assert "all 3 requests" in found.stopped


def test_exactly_as_many_rows_as_were_wanted_come_back() -> None:
    for n in (1, 7, 100):
        found = made(Script(fresh()), n)
        assert len(found.rows) == n == len(found.groups) and found.stopped == "all rows that were wanted"
        assert len({row.id for row in found.rows}) == n


def test_no_rows_wanted_no_question_asked() -> None:
    teacher = Script(fresh())
    assert made(teacher, 0).rows == () and teacher.told == []


def test_votes_over_four_batches_change_what_was_taken_before() -> None:
    """Five rows wanted, at most two requests at once, three rows in each."""
    replies = [(("1", "a"), ("1", "b"), ("1", "a")), (("2", "a"), ("2", "b"), ("2", "a")), (("1", "b"), ("3", "a"), ("3", "b")), (("1", "b"), ("1", "b"), ("3", "a")), (("4", "c"), ("4", "c"), ("5", "a"))]  # fmt: skip
    expected = {
        2: {"1": "a", "2": "a"},
        3: {"1": "a", "2": "a", "3": "a"},
        4: {"1": "b", "2": "a", "3": "a"},
        5: {"1": "b", "2": "a", "3": "a", "4": "c", "5": "a"},
    }
    for calls, want in expected.items():
        teacher = Script(lambda i: written(*replies[i]))
        found = made(teacher, 5, wide=2, rows_per_request=3, max_requests=calls)
        assert outputs(found) == want
        assert found.counts["requests"] == calls and teacher.batches == [2, *[1] * (calls - 2)]


def test_batches_are_wide_where_many_rows_are_wanted() -> None:
    teacher = Script(fresh())
    made(teacher, 2000)
    assert max(teacher.batches) == 64 and all(size >= 16 for size in teacher.batches[:-1])


def test_no_two_requests_are_alike_so_no_reply_is_had_twice() -> None:
    teacher = Script(fresh())
    made(teacher, 200)
    assert len({json.dumps(request.body(), sort_keys=True) for request in teacher.told}) == len(teacher.told)
    assert len({request.seed for request in teacher.told}) == len(teacher.told)


def test_the_same_seed_and_replies_ask_the_same_questions() -> None:
    first, second, other = Script(fresh()), Script(fresh()), Script(fresh())
    assert made(first, 60, seed=3).rows == made(second, 60, seed=3).rows
    assert [r.body() for r in first.told] == [r.body() for r in second.told]
    made(other, 60, seed=4)
    assert [r.body() for r in first.told] != [r.body() for r in other.told]


def test_temperature_rises_from_first_to_last_while_rows_come_in() -> None:
    teacher = Script(fresh())
    made(teacher, 100, wide=2)
    heats = [request.temperature for request in teacher.told]
    assert heats[0] == 0.5 and heats == sorted(heats) and heats[-1] == pytest.approx(0.5 + 0.9 * 0.9)


def test_templates_take_turns_and_made_rows_are_shown() -> None:
    teacher = Script(fresh())
    found = made(teacher, 90, wide=3)
    assert {row.origin.template for row in found.rows} == {"few", "medium", "many"}
    assert "exist already" not in teacher.told[0].messages[-1].content
    shown = [request.messages[-1].content.count('{"input": "q') for request in teacher.told[3:]]
    assert min(shown) >= 1 and 5 < max(shown) <= 10


def test_the_users_own_rows_and_demonstrations_are_shown() -> None:
    task = FREE.model_copy(update={"demonstrations": (Demonstration(input="the demonstration", output="d"),)})
    teacher = Script(fresh())
    made(teacher, 5, task, gold=[Example(id="g", input="the gold row", output="g")])
    assert "the demonstration" in teacher.told[0].messages[-1].content and "the gold row" in teacher.told[0].messages[-1].content


# ---- what is kept of a reply ---------------------------------------------------------------------------------------


def test_unusable_rows_and_replies_are_told_apart_and_cost_no_other_row() -> None:
    odd = [
        written(("good one", "a"), ("", "no input"), ("no output", "")),
        json.dumps({"examples": [{"question": "wrong keys", "output": "a"}, {"input": "good two", "output": "b"}, "text", None]}),
        "I'd rather not.",
        "",
        "{\"examples\": [{'input': broken",
    ]
    found = made(Script(lambda i: odd[i]), 25, max_requests=5)
    assert [row.input for row in found.rows] == ["good one", "good two"]
    reasons = [why for _, why in found.rejected]
    assert sorted(reasons) == sorted(
        [
            "the input is empty",
            "the output is empty",
            *["not an object with input and output"] * 3,
            *["no JSON in the reply"] * 2,
            "empty reply",
        ]
    )
    assert found.counts["unreadable_replies"] == 3 and found.counts["empty_replies"] == 1
    assert any("unreadable replies 3" in line for line in found.said)


def test_answers_that_the_task_does_not_allow_are_rejected_and_spellings_made_one() -> None:
    given = written(("mail one", "Refund"), ("mail two", "poem"), ("mail three", "delivery."))
    found = made(Script(lambda i: given), 5, LABELS, max_requests=1)
    assert outputs(found, LABELS) == {"mail one": "refund", "mail three": "delivery"}
    assert [(row.input[-20:], why) for row, why in found.rejected] == [
        ('", "output": "poem"}'[-20:], "the output is none that the task allows")
    ]


def test_braces_inside_strings_belong_to_the_text() -> None:
    """A closing brace in an answer made a whole reply unreadable once, an opening one cut it short."""
    pairs = [("close", "}"), ("open", "{"), ("both ways", "} else {"), ("nested", '{"a": "}"}'), ("bracket", "]")]
    assert outputs(made(Script(lambda i: written(*pairs)), 5)) == dict(pairs)


@pytest.mark.parametrize(
    "around",
    [
        "```json\n{}\n```",
        "Sure! Here they are [5 of them]:\n{}",
        "{}\nLet me know {whether} these [1] fit.",
        "<think>maybe [1, 2]</think>\n```\n{}\n```\nDone.",
    ],
)
def test_a_fence_or_prose_around_the_rows_loses_nothing(around: str) -> None:
    pairs = [("one", "a"), ("two", "b")]
    found = made(Script(lambda i: around.replace("{}", written(*pairs), 1)), 2, max_requests=1)
    assert outputs(found) == dict(pairs) and found.rejected == ()


def test_a_bare_list_is_read_and_of_a_reply_cut_off_the_whole_rows() -> None:
    bare = json.dumps([{"input": "one", "output": "a"}])
    assert outputs(made(Script(lambda i: bare), 1)) == {"one": "a"}
    cut = written(("one", "a"), ("two", "b"), ("three", "c"))[:-20]
    assert outputs(made(Script(lambda i: cut), 3, max_requests=1)) == {"one": "a", "two": "b"}


def test_replies_that_are_cut_off_are_given_more_room() -> None:
    rooms: list[int] = []

    def ask(requests: Sequence[Request]) -> list[Reply | Exception]:
        rooms.append(requests[0].max_tokens)
        cut = written((sentence(len(rooms)), "a"), ("x", "y"))[:-30]
        return [Reply(texts=(cut,), finish=("length",)) for _ in requests]

    made(ask, 50, wide=1, max_requests=4)
    assert rooms == sorted(rooms) and rooms[-1] >= 4 * rooms[0]


def test_choices_come_with_the_row_and_an_answer_outside_them_is_refused() -> None:
    task = Task(name="t", instruction="Pick.", kind=Kind.CHOICE)
    good = {"input": "It rains.", "choices": ["umbrella", "sun hat"], "output": "umbrella"}
    bad = {"input": "It snows.", "choices": ["umbrella", "sun hat"], "output": "skis"}
    none = {"input": "It hails.", "output": "helmet"}
    found = made(Script(lambda i: json.dumps({"examples": [good, bad, none]})), 3, task, max_requests=1)
    assert [(r.input, set(r.choices or ()), r.output) for r in found.rows] == [("It rains.", {"umbrella", "sun hat"}, "umbrella")]
    assert [why for _, why in found.rejected] == ["fewer than two choices, or the output is none of them"] * 2


def test_the_right_choice_does_not_keep_the_place_that_the_teacher_gave_it() -> None:
    task = Task(name="t", instruction="Pick.", kind=Kind.CHOICE)
    text = json.dumps({"examples": [{"input": sentence(i), "choices": ["right", "wrong", "odd"], "output": "right"} for i in range(60)]})
    found = made(Script(lambda i: text), 60, task, max_requests=1)
    places = [(row.choices or ()).index("right") for row in found.rows]
    assert all(10 <= places.count(place) <= 30 for place in range(3))


def test_objects_and_numbers_may_come_as_such() -> None:
    fields = Task(name="t", instruction="Take apart.", kind=Kind.FIELDS)
    text = json.dumps({"examples": [{"input": "two mugs", "output": {"n": 2}}, {"input": "one mug", "output": '{"n": 1}'}]})
    assert outputs(made(Script(lambda i: text), 2, fields), fields) == {"two mugs": '{"n": 2}', "one mug": '{"n": 1}'}
    score = Task(name="t", instruction="Rate.", kind=Kind.SCORE, low=1, high=5)
    text = json.dumps({"examples": [{"input": "fine", "output": 4}, {"input": "awful", "output": "1"}, {"input": "beyond", "output": 9}]})
    assert outputs(made(Script(lambda i: text), 3, score, max_requests=1), score) == {"fine": "4", "awful": "1"}


def test_every_row_says_who_wrote_it_when_how_and_for_how_much() -> None:
    def ask(requests: Sequence[Request]) -> list[Reply | Exception]:
        return [
            Reply(texts=(fresh()(0),), finish=("stop",), model="big", address="abcd", tokens_in=500_000, tokens_out=250_000)
            for _ in requests
        ]

    row = made(ask, 5, price=Price(usd_per_mtok_in=1, usd_per_mtok_out=2)).rows[0]
    assert (row.origin.kind, row.origin.teacher, row.origin.request) == ("generated", "big", "abcd")
    assert row.origin.temperature == 0.5 and row.origin.cost_usd == pytest.approx(1.0 / 5) and row.id.startswith("gen-")


# ---- what goes wrong -----------------------------------------------------------------------------------------------


def test_an_unknown_exception_ends_it_after_the_call_that_raised_it() -> None:
    teacher = Script(lambda i: ValueError("our bug"))
    with pytest.raises(ValueError, match="our bug"):
        made(teacher, 100)
    assert len(teacher.batches) == 1

    def raises(requests: Sequence[Request]) -> list[Reply | Exception]:
        raise KeyError("not ours")

    with pytest.raises(KeyError):
        made(raises, 10)


def test_refused_and_failed_requests_are_counted_and_the_others_kept() -> None:
    class RateLimited(Transient):
        """A library's own sort of a known error is still that error."""

    teacher = Script(lambda i: (Declined("no"), RateLimited("later"))[i % 4] if i % 4 < 2 else fresh()(i))
    found = made(teacher, 40)
    assert len(found.rows) == 40 and found.counts["declined"] > 0 and found.counts["transient"] > 0
    assert any("declined" in line and "transient" in line for line in found.said)


def test_a_batch_that_fails_does_not_count_the_replies_before_it_again() -> None:
    """Stale replies of the batch before were voted on twice once."""
    teacher = Script(lambda i: written(("one", "a"), ("two", "b")) if i == 0 else Transient("down"))
    found = made(teacher, 4, wide=1, rows_per_request=2)
    assert [len(group) for group in found.groups] == [1, 1] and found.counts["rows_read"] == 2


def test_the_money_cap_ends_it_with_what_there_is() -> None:
    teacher = Script(lambda i: fresh()(i) if i < 6 else CapReached("cap"))
    found = made(teacher, 500)
    assert len(found.rows) == 30 and "used up" in found.stopped and len(teacher.batches) == 1


def test_a_teacher_that_never_writes_rows_is_asked_twice_at_most() -> None:
    """Without a limit on calls, useless replies were asked for without end once."""
    for text in ("", "Sorry.", "{}"):
        teacher = Script(lambda i, text=text: text)
        found = made(teacher, 1000)
        assert len(teacher.batches) == 2 and found.rows == () and "no row at all" in found.stopped
    teacher = Script(lambda i: Declined("no recording"))
    assert "declines" in made(teacher, 1000).stopped and len(teacher.batches) == 1


# ---- novelty -------------------------------------------------------------------------------------------------------


def test_copies_become_votes_and_are_counted_as_copies() -> None:
    teacher = Script(
        lambda i: written(*((f"text number {k} of many", "a") for k in (2 * i, 2 * i + 1)), (f"Text number {2 * i} of many!", "b"))
    )
    found = made(teacher, 10, wide=1, rows_per_request=3)
    assert len(found.rows) == 10 and found.counts["copies"] == 5 and found.counts["rows_read"] == 15
    assert sorted(len(group) for group in found.groups) == [1] * 5 + [2] * 5


def test_a_text_that_differs_in_one_word_of_many_is_a_near_copy() -> None:
    long = " ".join(f"word{i}" for i in range(40))
    found = made(Script(lambda i: written((long, "a"), (f"{long} more", "b"), ("else", "c"))), 3, max_requests=1)
    assert found.counts["near_copies"] == 1 and [len(group) for group in found.groups] == [2, 1]


def test_copies_of_what_the_user_has_are_no_rows() -> None:
    gold = [Example(id="g", input="Where is my parcel?", output="delivery")]
    found = made(Script(lambda i: written(("where is my parcel", "refund"), ("new", "refund"))), 2, LABELS, gold, max_requests=1)
    assert [row.input for row in found.rows] == ["new"] and found.counts["copies_of_yours"] == 1
    assert found.rejected[0][1] == "copy of an example that the teacher was shown"


def test_a_teacher_that_repeats_the_worked_examples_of_the_prompt_brings_nothing() -> None:
    parrot = written(("the shower only runs cold since this morning", "other"))
    assert made(Script(lambda i: parrot), 5, LABELS, max_requests=2).rows == ()


def test_it_ends_when_new_rows_bring_nothing_new_and_says_so_with_figures() -> None:
    """A teacher that knows thirty texts, asked for a thousand."""
    teacher = Script(lambda i: written(*((sentence((5 * i + k) % 30), "a") for k in range(5))))
    found = made(teacher, 1000, wide=4)
    assert len(found.rows) == 30 and found.stopped.startswith("novelty ran out: of the last 40 rows 0 were new")
    assert len(teacher.told) <= 20


def test_batches_are_narrow_while_it_is_unclear_whether_more_is_worth_its_money() -> None:
    teacher = Script(lambda i: written(*((sentence((5 * i + k) % 500), "a") for k in range(5))))
    found = made(teacher, 3000)
    assert len(found.rows) == 500 and "novelty ran out" in found.stopped
    assert teacher.batches[0] == 64 and teacher.batches[-1] == 16


def test_little_novelty_makes_it_warmer_than_progress_alone_would() -> None:
    teacher = Script(lambda i: written(*((sentence(i * 5 + k if k < 1 else k), "a") for k in range(5))))
    found = made(teacher, 100, wide=4, wanted_novelty=0.8, max_requests=12)
    assert found.history[0]["temperature"] == 0.5 and found.history[2]["temperature"] > 1.0
    assert found.history[2]["novelty"] == pytest.approx(0.2)


def test_heat_that_makes_replies_unreadable_is_taken_back() -> None:
    def ask(requests: Sequence[Request]) -> list[Reply | Exception]:
        good = [request.temperature <= 1.0 for request in requests]
        return [reply(fresh()(request.seed or 0) if ok else "%$ banana ((") for request, ok in zip(requests, good, strict=True)]

    found = made(ask, 300, wide=4)
    assert len(found.rows) == 300 and max(h["temperature"] for h in found.history) > 1.0
    assert sum(h["read"] == 0 for h in found.history) < len(found.history) / 2


# ---- labels and topics ---------------------------------------------------------------------------------------------


def test_the_rarest_labels_are_asked_for_by_name_until_all_are_even() -> None:
    def ask(requests: Sequence[Request]) -> list[Reply | Exception]:
        """A teacher that writes what it is asked for, and `refund` where nobody asks."""
        replies: list[Reply | Exception] = []
        for request in requests:
            line = next((x for x in request.messages[-1].content.split("\n") if x.startswith("Outputs, one example for each")), None)
            names = json.loads(f"[{line.partition(': ')[2].rstrip('.')}]") if line else ["refund"] * 5
            replies.append(reply(written(*((sentence((request.seed or 0) * 5 + i), name) for i, name in enumerate(names)))))
        return replies

    gold = [Example(id=f"g{i}", input=f"gold {i}", output="refund") for i in range(20)]
    found = made(ask, 70, LABELS, gold)
    assert found.quota == {"refund": 30, "delivery": 30, "other": 30}
    assert any(line.startswith("labels: 30.0 rows each wanted, 0 of 3") for line in found.said)


def topical(requests: Sequence[Request]) -> list[Reply | Exception]:
    replies: list[Reply | Exception] = []
    for request in requests:
        asked = request.messages[-1].content
        if '"topics"' in (request.reply_schema or ""):
            above = asked.partition('the topic "')[2].partition('"')[0]
            replies.append(reply(json.dumps({"topics": [f"{above} part {i}".strip() for i in range(3)]})))
        else:
            about = next(line for line in asked.split("\n") if line.startswith("Where the task allows"))
            new = "part 0 part" in about  # only one branch of the tree has anything to say
            replies.append(reply(written(*((sentence((request.seed or 0) * 5 + i) if new else sentence(i), about) for i in range(5)))))
    return replies


def test_topics_are_asked_for_used_and_divided_where_they_bring_nothing_new() -> None:
    found = generate(FREE, 200, topical, Novelty(words_of, shingles), plan=Plan(wide=6))
    used = [row.output or "" for row in found.rows]
    assert len(found.rows) == 200 and sum("part 0 part" in about for about in used) >= 190


def test_a_teacher_that_names_no_topics_is_done_without_and_that_is_said() -> None:
    for answer in (Declined("no recording fits"), reply("poem"), reply('{"topics": 3}')):

        def ask(requests: Sequence[Request], answer: Reply | Exception = answer) -> list[Reply | Exception]:
            return [answer if '"topics"' in (r.reply_schema or "") else reply(fresh()(r.seed or 0)) for r in requests]

        found = generate(FREE, 60, ask, Novelty(words_of, shingles))
        assert len(found.rows) == 60 and any("named no topics" in line for line in found.said)
        assert found.counts.get("declined", 0) == isinstance(answer, Declined)
