"""Rationales of a teacher: who is asked, what is kept, what is dropped and why; nothing is trained on as a blank."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from limbeck.augment.exemplars import K, find_shots
from limbeck.augment.filters import ALIKE, checks, content, length
from limbeck.augment.rationales import Extracted, disagreeing, extract
from limbeck.errors import CapReached, Declined, UsageError
from limbeck.types import Example, Kind, Price, Reply, Request, Task

MAIL = Task(name="m", instruction="Sort the mail.", kind=Kind.LABEL, labels=("refund", "delivery", "other"), metric="accuracy")
ROWS = [Example(id=str(i), input=f"letter number {i} about money", output="refund") for i in range(4)]
WHY = "He was charged two times for kettle"


class Teacher:
    """Says, for each row, its texts in order; what it was asked lies in `told`. An Exception is an outcome."""

    def __init__(self, said: dict[str, list[str] | Exception], usage: tuple[int, int] = (100, 20), most: int = 99):
        self.said, self.usage, self.most, self.told = said, usage, most, []  # type: ignore[var-annotated]

    def __call__(self, requests: Sequence[Request]) -> list[Reply | Exception]:
        replies: list[Reply | Exception] = []
        for request in requests:
            self.told.append(request)
            assert request.row is not None
            say = self.said[request.row.id]
            if isinstance(say, Exception):
                replies.append(say)
                continue
            texts = tuple(say.pop(0) for _ in range(min(request.n, self.most)))
            replies.append(
                Reply(
                    texts=texts, finish=("stop",) * len(texts), model="m", address="ad", tokens_in=self.usage[0], tokens_out=self.usage[1]
                )
            )
        return replies


def so(why: str, answer: str) -> str:
    return f"{why}. So the answer is {answer}."


def reasons(found: Extracted) -> dict[str, str]:
    return {r.id: r.why.partition(":")[0] for r in (*found.kept, *found.dropped)}


def test_one_is_kept_and_every_other_is_dropped_with_its_reason_and_counted() -> None:
    said: dict[str, Any] = {
        "0": [so(f"{WHY} 0", "refund")],
        "1": [so("The parcel is late and he says so", "delivery")],
        "2": ["I cannot tell what he wants."],
        "3": Declined("no"),
    }
    found = extract(MAIL, ROWS, Teacher(said))
    assert reasons(found) == {"0": "", "1": "another answer", "2": "unreadable", "3": "not answered"}
    assert [r.rationale for r in found.kept] == [f"{WHY} 0."]
    assert found.counts["kept"] == 1 and found.counts["dropped.another answer"] == 1 and found.counts["declined"] == 1
    assert disagreeing([*found.kept, *found.dropped]) == (1, 2)
    assert all(r.rationale for r in found.kept), "no blank is ever trained on"


def test_what_argues_for_another_answer_is_kept_only_where_that_is_asked_for() -> None:
    said: dict[str, Any] = {"0": [so("The parcel is late and he says so", "delivery")]}
    found = extract(MAIL, ROWS[:1], Teacher(said), keep="all")
    assert found.kept[0].answer == "delivery" and found.kept[0].label == "refund"


def test_an_unlabelled_row_takes_answer_and_rationale_from_one_completion() -> None:
    teacher = Teacher({"0": [so("The parcel is late and he says so", "delivery")]})
    found = extract(MAIL, [ROWS[0].model_copy(update={"output": None})], teacher, seen=True)
    assert (found.kept[0].answer, found.kept[0].label, found.kept[0].seen) == ("delivery", None, False)
    assert len(teacher.told) == 1 and "Right answer" not in teacher.told[0].messages[1].content


def test_the_majority_of_the_samples_counts_and_the_shortest_rationale_that_argues_for_it_is_kept() -> None:
    texts = [
        so("Late it is, the parcel", "delivery"),
        so(f"{WHY}, and again for pans", "refund"),
        so(WHY, "refund"),
        "no idea",
        so("ok", "refund"),
    ]
    found = extract(MAIL, ROWS[:1], Teacher({"0": texts}), samples=5)
    one = found.kept[0]
    assert one.rationale == f"{WHY}." and one.answer == "refund", "'ok' is shorter, and too short"
    assert one.agreement == pytest.approx(3 / 4) and one.samples == 5


def test_samples_are_drawn_with_a_temperature_and_missing_ones_are_asked_for_once_more() -> None:
    teacher = Teacher({"0": [so(f"{WHY} {i}", "refund") for i in range(9)]}, most=1)
    found = extract(MAIL, ROWS[:1], teacher, samples=3, seed=4)
    assert [(r.n, r.seed, r.temperature) for r in teacher.told] == [(3, 4000, 0.7), (2, 4001, 0.7)]
    assert found.kept[0].samples == 2
    assert extract(MAIL, ROWS[:1], Teacher({"0": [so(WHY, "refund")]})).kept[0].origin.temperature == 0.0


def test_the_label_is_hidden_from_the_teacher_unless_it_may_see_it() -> None:
    for seen in (False, True):
        teacher = Teacher({"0": [so(WHY, "refund")]})
        one = extract(MAIL, ROWS[:1], teacher, seen=seen).kept[0]
        assert ("Right answer: refund" in teacher.told[0].messages[1].content) == seen == one.seen
        assert teacher.told[0].row is not None and teacher.told[0].row.output is None
        assert (one.origin.template or "").endswith(".seen") == seen


def test_every_rationale_says_who_wrote_it_and_what_all_of_its_samples_cost() -> None:
    price = Price(usd_per_mtok_in=1.0, usd_per_mtok_out=2.0)
    found = extract(MAIL, ROWS[:1], Teacher({"0": [so(WHY, "refund")] * 3}), samples=3, price=price)
    o = found.kept[0].origin
    assert (o.kind, o.teacher, o.request, o.cost_usd) == ("teacher", "m", "ad", pytest.approx(140e-6))
    assert found.cost_usd == pytest.approx(140e-6)
    dropped = extract(MAIL, ROWS[:1], Teacher({"0": ["hm"]}), price=price).dropped[0]
    assert dropped.origin.cost_usd == pytest.approx(140e-6), "what cannot be used was paid for, too"


def test_money_that_ends_costs_the_rows_that_are_left_alone() -> None:
    said: dict[str, Any] = {"0": [so(WHY, "refund")], **{str(i): CapReached("cap") for i in (1, 2, 3)}}
    found = extract(MAIL, ROWS, Teacher(said))
    assert len(found.kept) == 1 and found.counts["capreached"] == 3 and "ended early" in found.said[-1]


def test_an_error_of_ours_is_no_outcome() -> None:
    with pytest.raises(ZeroDivisionError):
        extract(MAIL, ROWS[:1], Teacher({"0": ZeroDivisionError()}))


@pytest.mark.parametrize("wrong", [{"samples": 0}, {"keep": "some"}])
def test_options_that_make_no_sense_cost_nothing(wrong: dict[str, Any]) -> None:
    teacher = Teacher({})
    with pytest.raises(UsageError):
        extract(MAIL, ROWS, teacher, **wrong)
    assert not teacher.told


# ---- filters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rationale", "why"),
    [
        ("", "empty"),
        ("Money.", "too short"),
        ("word " * 130, "too long"),
        ("The right answer must be refund.", "no content"),
        ("Letter number 0 about money", "no content"),
        ("Letter number 0 about money. So it is refund", "no content"),
        ("I'm sorry, but I can't help with that request.", "refusal"),
        ("Number 0 wants his money back.", ""),
        ("他的水壶被重复扣款两次所以他想要退回那笔钱", ""),
    ],
)
def test_a_rationale_that_says_nothing_is_put_aside(rationale: str, why: str) -> None:
    assert checks(MAIL)(ROWS[0], rationale).partition(":")[0] == why


def test_a_short_quotation_of_a_long_input_is_a_reason() -> None:
    row = Example(
        id="1", input="The kettle came on Monday, and since then I was charged two times for the very same thing.", output="refund"
    )
    assert content(row, "I was charged two times") == "" and content(row, row.input) != ""
    assert length("I was charged two times") == ""


def test_the_same_words_may_explain_a_few_rows_but_not_all() -> None:
    check = checks(MAIL)
    found = [check(row.model_copy(update={"input": f"{row.input} {i}"}), f"{WHY}.") for i, row in enumerate(ROWS * 2)]
    assert [bool(why) for why in found] == [False] * ALIKE + [True] * (8 - ALIKE)


# ---- demonstrations ------------------------------------------------------------------------------------------------


def many(n: int, rationale: str | None = None) -> list[Example]:
    names = MAIL.labels
    return [Example(id=f"r{i}", input=f"note {i}", output=names[i % 3], rationale=rationale and f"{rationale} {i}") for i in range(n)]


def test_what_persons_wrote_is_shown_first_and_nobody_is_asked() -> None:
    teacher = Teacher({})
    shots = find_shots(MAIL, [*many(30), *[r.model_copy(update={"id": f"h{r.id}"}) for r in many(12, WHY)]], teacher)
    assert len(shots.rows) == shots.by_person == K and not teacher.told
    assert all(r.rationale for r in shots.rows) and len({r.output for r in shots.rows}) == 3


def test_else_the_teacher_is_asked_and_only_what_agrees_with_the_label_is_shown() -> None:
    rows = many(30)
    teacher = Teacher({r.id: [so(f"{WHY} {r.id}", r.output if int(r.id[1:]) % 2 else "other")] for r in rows})
    shots = find_shots(MAIL, rows, teacher)
    assert shots.by_person == 0 and 0 < len(shots.rows) <= K
    assert all("Reasons:" in t.messages[1].content and t.messages[1].content.count("Input:") == 1 for t in teacher.told), "zero-shot"
    assert all(int(r.id[1:]) % 2 or r.output == "other" for r in shots.rows)
    assert shots.found is not None and {r.id for r in shots.rows} <= {r.id for r in shots.found.kept}


def test_no_row_is_its_own_demonstration() -> None:
    shots = many(4, WHY)
    teacher = Teacher({"r0": [so(f"{WHY} 0", "refund")]})
    extract(MAIL, [shots[0].model_copy(update={"rationale": None})], teacher, shots)
    assert teacher.told[0].messages[1].content.count("note 0") == 1


# ---- real recordings -----------------------------------------------------------------------------------------------


def completion(said: dict[str, str]) -> str:
    return f"{said['rationale']} So the answer is {said['label']}." if said["label"] else said["rationale"]


def test_a_fifth_of_palms_rationales_on_cqa_argue_for_another_answer_than_the_label(public_rows: Any) -> None:
    """21.0 % in the released files (methods page, 1c); with the unreadable ones a quarter of the training rows is dropped."""
    records = public_rows("cqa", "train")
    task = Task(name="cqa", instruction="Choose.", kind=Kind.CHOICE, metric="accuracy")
    rows = [Example(id=r["id"], input=r["input"], choices=tuple(r["choices"]), output=r["output"]) for r in records]
    said = {r["id"]: [completion(r["teacher"]["palm540b"])] for r in records}
    found = extract(task, rows, Teacher(said))  # type: ignore[arg-type]
    other = found.counts["dropped.another answer"]
    assert other / len(rows) == pytest.approx(0.21, abs=0.01)
    wrong, judged = disagreeing([*found.kept, *found.dropped])
    assert wrong == other and judged - wrong >= found.counts["kept"] > 0.7 * len(rows)
    labels = {r.id: r.output for r in rows}
    assert all(r.answer == labels[r.id] and len(r.rationale.split()) >= 3 for r in found.kept)
    assert len(found.kept) + len(found.dropped) == len(rows)


@pytest.mark.parametrize(("name", "accuracy"), [("cqa", 0.769), ("esnli", 0.742), ("anli1", 0.656)])
def test_palms_accuracy_on_the_test_rows_is_what_was_published_of_them(public_rows: Any, name: str, accuracy: float) -> None:
    """The reader forgives case ("Canada" where the option is "canada": cqa +0.9 points); what is unreadable counts as wrong."""
    records = public_rows(name, "test")
    labels = () if name == "cqa" else ("entailment", "neutral", "contradiction")
    task = Task(name=name, instruction="Choose.", kind=Kind.LABEL if labels else Kind.CHOICE, labels=labels, metric="accuracy")
    rows = [Example(id=r["id"], input=r["input"], choices=tuple(r["choices"]), output=r["output"]) for r in records]
    found = extract(task, rows, Teacher({r["id"]: [completion(r["teacher"]["palm540b"])] for r in records}))
    wrong, judged = disagreeing([*found.kept, *found.dropped])
    assert (judged - wrong) / len(rows) == pytest.approx(accuracy, abs=0.01)
