"""Instruction and demonstrations apart: by the rules alone, and with a teacher that is right, wrong, slow or silent."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from limbeck.errors import CapReached, Declined, Transient
from limbeck.tasks.by_teacher import TRIES, parse_with
from limbeck.tasks.parse import parse
from limbeck.types import Example, Kind, Reply, Request, Task

sys.path.insert(0, str(Path(__file__).parent))
from prompts_gold import PROMPTS


class Teacher:
    """An `ask` that says these things in turn, the last for ever; keeps what it was asked."""

    def __init__(self, *says: str | Exception):
        self.says, self.asked = list(says), list[Request]()

    def __call__(self, requests: Sequence[Request]) -> list[Reply | Exception]:
        self.asked += requests
        said = self.says.pop(0) if len(self.says) > 1 else self.says[0]
        return [said if isinstance(said, Exception) else Reply(texts=(said,), finish=("stop",))] * len(requests)


def reading(name: str, **changes: Any) -> str:
    """What a teacher that reads the prompt right would say."""
    prompt, instruction, demonstrations = PROMPTS[name]
    task = parse(prompt, name)
    pairs = [{"input": i, "output": o} for i, o in demonstrations]
    good = {"instruction": instruction, "demonstrations": pairs, "kind": str(task.kind), "labels": [], "output_schema": task.output_schema or "", "low": task.low, "high": task.high, "language": task.language}  # fmt: skip
    return json.dumps({**good, **changes}, ensure_ascii=False)


def pairs(task: Task) -> tuple[tuple[str, str], ...]:
    return tuple((d.input, d.output) for d in task.demonstrations)


@pytest.mark.parametrize("name", PROMPTS)
def test_the_rules_read_it_as_meant(name: str) -> None:
    prompt, instruction, demonstrations = PROMPTS[name]
    task = parse(prompt, name)
    assert task.instruction == instruction and pairs(task) == demonstrations


@pytest.mark.parametrize("name", PROMPTS)
def test_a_teacher_that_reads_it_as_meant_is_confirmed_without_a_note(name: str) -> None:
    prompt, instruction, demonstrations = PROMPTS[name]
    teacher = Teacher(f"Here you go:\n```json\n{reading(name)}\n```")
    task, notes = parse_with(teacher, parse(prompt, name), prompt)
    assert task.instruction == instruction and pairs(task) == demonstrations
    assert task.how == "teacher" and notes == () and len(teacher.asked) == 1


def test_a_teacher_that_makes_an_example_of_the_unfinished_one_is_not_believed() -> None:
    name = "pipelines, the last example unfinished"
    prompt, _, demonstrations = PROMPTS[name]
    invented = [{"input": i, "output": o} for i, o in demonstrations]
    invented.append({"input": "publish the package when a tag is pushed", "output": "- name: publish\n  run: make publish"})
    task, notes = parse_with(Teacher(reading(name, demonstrations=invented)), parse(prompt, name), prompt)
    assert pairs(task) == demonstrations and "do not stand in the prompt" in notes[0]


# ---- a teacher that does not answer well ----------------------------------------------------------------------------


def test_what_cannot_be_read_three_times_leaves_the_rules_and_is_said() -> None:
    prompt = PROMPTS["dates"][0]
    rules = parse(prompt, "t")
    teacher = Teacher('{"instruction": "Bring every', "Sure!", "{}")
    task, notes = parse_with(teacher, rules, prompt)
    assert len(teacher.asked) == TRIES == 3
    assert len({request.seed for request in teacher.asked}) == 3  # the same body would be the same reply
    assert all(request.temperature == 0 for request in teacher.asked)
    assert task.model_copy(update={"notes": rules.notes}) == rules and "malformed" in notes[0] and notes[0] in task.notes


def test_the_second_try_may_do() -> None:
    teacher = Teacher("Sure!", reading("dates"))
    task, notes = parse_with(teacher, parse(PROMPTS["dates"][0], "t"), PROMPTS["dates"][0])
    assert task.how == "teacher" and notes == () and len(teacher.asked) == 2


def test_timeouts_are_tried_three_times_and_the_cause_is_told() -> None:
    teacher = Teacher(Transient("no answer within 60 s", kind="timeout"))
    task, notes = parse_with(teacher, parse(PROMPTS["dates"][0], "t"), PROMPTS["dates"][0])
    assert len(teacher.asked) == 3 and "no answer within 60 s" in notes[0] and task.how == "rules"


@pytest.mark.parametrize("no", [Declined("nothing was recorded"), CapReached("the money cap is reached")])
def test_what_another_try_would_not_change_is_asked_once(no: Exception) -> None:
    teacher = Teacher(no)
    task, notes = parse_with(teacher, parse(PROMPTS["dates"][0], "t"), PROMPTS["dates"][0])
    assert len(teacher.asked) == 1 and str(no) in notes[0] and pairs(task) == PROMPTS["dates"][2]


def test_an_error_that_nobody_foresaw_goes_through() -> None:
    teacher = Teacher(ZeroDivisionError("a bug"))
    with pytest.raises(ZeroDivisionError, match="a bug"):
        parse_with(teacher, parse(PROMPTS["dates"][0], "t"), PROMPTS["dates"][0])
    assert len(teacher.asked) == 1


# ---- schema, scale, language ----------------------------------------------------------------------------------------

CONTACT = "Pull name and city out of the mail, and phone where there is one. Answer in JSON."
NAMED = json.dumps({"type": "object", "properties": {"name": {"type": "string"}, "city": {"type": "string"}, "phone": {"type": "string"}}, "required": ["name", "city", "phone"]})  # fmt: skip


def said(prompt: str, **changes: Any) -> str:
    good = {"instruction": prompt, "demonstrations": [], "kind": "fields", "labels": [], "output_schema": "", "low": None, "high": None, "language": "en"}  # fmt: skip
    return json.dumps({**good, **changes}, ensure_ascii=False)


def rows(*outputs: str) -> list[Example]:
    return [Example(id=str(i), input=f"t{i}", output=o) for i, o in enumerate(outputs)]


def test_a_schema_whose_keys_stand_in_the_prompt_is_taken_where_the_rules_have_none() -> None:
    task, notes = parse_with(Teacher(said(CONTACT, output_schema=NAMED)), parse(CONTACT, "t"), CONTACT)
    assert task.kind is Kind.FIELDS and set(json.loads(task.output_schema or "")["properties"]) == {"name", "city", "phone"}
    assert any("schema of the answer is the teacher's" in note for note in notes)


def test_rows_say_which_keys_are_required() -> None:
    have = rows('{"name": "Ann", "city": "Bonn"}', '{"name": "Bo", "city": "Rome"}')
    task, _ = parse_with(Teacher(said(CONTACT, output_schema=NAMED)), parse(CONTACT, "t", have), CONTACT, have)
    schema = json.loads(task.output_schema or "")
    assert set(schema["properties"]) == {"name", "city", "phone"} and schema["required"] == ["name", "city"]


@pytest.mark.parametrize(
    ("schema", "why"),
    [
        ('{"type": "object", "properties": {"name": {}, "city": {}, "age": {}}}', "age"),
        ('{"type": "object", "properties": {"name": {}}}', "lacks"),
        ("name and city", "no JSON schema"),
        ('["name"]', "no JSON schema"),
    ],
)
def test_a_schema_that_invents_lacks_or_is_none_is_dropped_and_said(schema: str, why: str) -> None:
    have = rows('{"name": "Ann", "city": "Bonn"}', '{"name": "Bo", "city": "Rome"}')
    rules = parse(CONTACT, "t", have)
    task, notes = parse_with(Teacher(said(CONTACT, output_schema=schema)), rules, CONTACT, have)
    assert task.output_schema == rules.output_schema and any(why in note for note in notes)


STARS = "Give the review its stars; an awful one gets 1, and it takes 5 to be perfect. Answer with the figure."  # beyond the rules


def test_a_scale_is_taken_where_both_ends_stand_in_the_prompt() -> None:
    have = rows("2", "3", "4", "3", "2", "4", "3")
    rules = parse(STARS, "t", have, kind="score")
    assert (rules.low, rules.high) == (2, 4)
    task, notes = parse_with(Teacher(said(STARS, kind="score", low=1, high=5)), rules, STARS, have)
    assert (task.low, task.high) == (1, 5) and any("1 to 5" in note for note in notes)


@pytest.mark.parametrize(
    ("low", "high", "why"), [(1, 10, "does not name both ends"), (5, 1, "is none"), (1, 5, "rows lie outside")], ids=str
)
def test_a_scale_that_the_prompt_or_a_row_denies_is_dropped_and_said(low: float, high: float, why: str) -> None:
    have = rows("2", "3", "7") if why.startswith("rows") else rows("2", "3", "4")
    rules = parse(STARS, "t", have, kind="score")
    task, notes = parse_with(Teacher(said(STARS, kind="score", low=low, high=high)), rules, STARS, have)
    assert (task.low, task.high) == (rules.low, rules.high) and any(why in note for note in notes)


@pytest.mark.parametrize(
    ("prompt", "name", "code", "note"),
    [
        ("Przetłumacz zdanie.", "Polish", "pl", "Polish"),
        ("Kääntäkää lause.", "fi-FI", "fi", "Finnish"),
        ("次の文を要約してください。", "German", "ja", "letters say Japanese"),
        ("Summarise the text in a sentence for the reader.", "Klingon", "en", "no language"),
        ("Переклади речення українською.", "uk", "uk", "Ukrainian"),
    ],
)
def test_the_language_is_the_teachers_as_far_as_the_letters_allow(prompt: str, name: str, code: str, note: str) -> None:
    task, notes = parse_with(Teacher(said(prompt, kind="text", language=name)), parse(prompt, "t"), prompt)
    assert task.language == code and any(note in n for n in notes)
