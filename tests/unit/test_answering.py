"""New rows are answered a part at a time: a stop loses no answer, and the same input goes on."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from limbeck.answering import FEWEST, answer_file
from limbeck.errors import UsageError
from limbeck.types import Example, Prediction

ROWS = [Example(id=f"r{i}", input=f"letter {i}") for i in range(3 * FEWEST)]


@dataclass
class Shouts:
    """Answers in capitals, until it is stopped."""

    most: int = 10**9
    asked: list[str] = field(default_factory=list)

    def predict(self, inputs):
        if len(self.asked) + len(inputs) > self.most:
            raise KeyboardInterrupt
        self.asked += [row.id for row in inputs]
        return [Prediction(id=row.id, text=row.input.upper()) for row in inputs]


@pytest.fixture
def student(tmp_path: Path) -> Path:
    (tmp_path / "student").mkdir()
    (tmp_path / "student" / "weights").write_text("one")
    return tmp_path / "student"


def ask(student: Path, out: Path, rows=ROWS, most: int = 10**9) -> tuple[int, list[str]]:
    """(answers that were there already, ids that were asked)."""
    shouts, told = Shouts(most), []
    before = answer_file(lambda: shouts, student, rows, out, lambda done, total: told.append((done, total)))
    assert told[0] == (before, len(rows)) and told[-1] == (len(rows), len(rows))
    return before, shouts.asked


def stopped(student: Path, out: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        ask(student, out, most=FEWEST)
    assert not out.exists()


def test_what_was_answered_before_a_stop_is_not_asked_again(student: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers.jsonl"
    stopped(student, out)
    part = tmp_path / "answers.jsonl.part"
    part.write_bytes(part.read_bytes()[:-5])  # killed in the middle of a line
    before, asked = ask(student, out)
    assert before == FEWEST - 1 and asked == [row.id for row in ROWS[FEWEST - 1 :]]
    found = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(line["id"], line["output"]) for line in found] == [(row.id, row.input.upper()) for row in ROWS]
    assert not part.exists(), "the next command answers anew"


def test_another_input_or_another_student_does_not_go_on_from_there(student: Path, tmp_path: Path) -> None:
    out = tmp_path / "answers.jsonl"
    stopped(student, out)
    with pytest.raises(UsageError, match=r"answers\.jsonl\.part") as error:
        ask(student, out, [*ROWS[1:], Example(id="new", input="a new one")])
    assert "the rows of the input" in error.value.have and f"{FEWEST} answers" in error.value.have
    (student / "weights").write_text("two")
    with pytest.raises(UsageError) as error:
        ask(student, out)
    assert "the student" in error.value.have and "the input" not in error.value.have
    (student / "weights").write_text("one")
    assert ask(student, out)[0] == FEWEST, "a refusal changes nothing"


def test_answers_that_are_whole_need_no_student(student: Path, tmp_path: Path) -> None:
    """Killed between the last answer and the file's own name."""
    out, part = tmp_path / "answers.jsonl", tmp_path / "answers.jsonl.part"
    stopped(student, out)
    head = part.read_text().splitlines()[0]
    ask(student, other := tmp_path / "other.jsonl")
    part.write_text(f"{head}\n{other.read_text()}")
    assert answer_file(lambda: pytest.fail("it was loaded"), student, ROWS, out, lambda done, total: None) == len(ROWS)
    assert out.read_text() == other.read_text() and not part.exists()
