"""A student that writes has only so much room: the passages that say least go first, the input last."""

from __future__ import annotations

from limbeck.engine.framing import Reading
from limbeck.engine.load import SEQ2SEQ
from limbeck.engine.tokens import prompt_ids
from limbeck.testing.toys import toy_tokenizer
from limbeck.types import Example, Kind, Task

TASK = Task(name="t", instruction="", kind=Kind.TEXT, metric="exact_match")
PASSAGES = ("the kettle is red", "the lamp is blue", "the door is green")


def test_the_last_passages_go_first_and_the_input_stays_whole():
    row = Example(id="1", input="what is red", passages=PASSAGES)
    tokenizer = toy_tokenizer(["passages passage id < > / ="], SEQ2SEQ)

    def read(room: int) -> tuple[str, int, int]:
        return Reading(tokenizer, SEQ2SEQ, instruct=False, max_length=room, max_answer=4).prompt(TASK, row)[:3]

    text, size, whole = read(500)
    assert size == whole == len(prompt_ids(tokenizer, SEQ2SEQ, text)) and all(p in text for p in PASSAGES)
    for kept in (2, 1, 0):
        text, size, told = read(size - 1)
        assert [p in text for p in PASSAGES] == [i < kept for i in range(3)] and told == whole
        assert "Input: what is red\nAnswer:" in text and size < whole
