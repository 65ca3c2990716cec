"""What a student that writes is to write for a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from limbeck import render
from limbeck.errors import BadRows, UsageError
from limbeck.types import KNOWLEDGE, Example, Kind, Task

CLOSED = (Kind.LABEL, Kind.CHOICE)


def is_knowledge(example: Example) -> bool:
    """A text that answers nothing, whatever the task asks for: it is learnt as it stands, behind what its input holds."""
    return example.origin.kind in KNOWLEDGE


def gold_text(task: Task, example: Example) -> str:
    """The answer as it is to be written. Raises BadRows where the row has none that the task allows."""
    if example.output is None:
        raise BadRows(f"row {example.id} has no answer", "its output is missing", "give one, or leave the row out")
    if is_knowledge(example):
        return example.output.strip()
    if task.kind in CLOSED:
        allowed = render.allowed_answers(task, example)
        if example.output not in allowed:
            have = f"it is {example.output!r}"
            raise BadRows(
                f"row {example.id}: the answer is none of those allowed", have, f"use one of {', '.join(allowed) or '(no options)'}"
            )
        return example.output
    text, status = render.answer(task, example, example.output)
    if not text:
        raise BadRows(f"row {example.id}: the answer is {status}", f"it is {example.output[:80]!r}", "correct the row, or leave it out")
    return example.output.strip() if task.kind is Kind.TEXT else text


def must_be_writable(task: Task, examples: Sequence[Example], items: Sequence[dict[str, Any]], tokenizer: Any, loss_on: str) -> None:
    """A tokenizer without braces or with lower case alone loses what no training brings back."""
    whole = [(e, item["options"][0]) for e, item in zip(examples, items, strict=True) if not item["truncated"]]
    lost = []
    for e, ids in whole if loss_on == "answer" else ():
        if is_knowledge(e):
            continue
        written = tokenizer.decode(ids, skip_special_tokens=True)
        if render.answer(task, e, written)[0] != gold_text(task, e):
            lost.append(f"row {e.id}: {gold_text(task, e)[:60]} is read back as {written[:60]}")
    if len(lost) > len(whole) / 2:
        have = f"{len(lost)} of {len(whole)} objects are not the same after its tokenizer; {lost[0]}"
        raise UsageError("this base cannot write these objects", have, "take a base with a byte-level tokenizer")
