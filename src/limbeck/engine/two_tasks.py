"""A student that writes and learns rationales beside its answers (objectives.stepwise): how it reads, and what a row teaches more.

separate         [label] input -> answer                  [rationale] input -> rationale
shared           input -> [label] answer                  input -> [rationale] rationale
label_first      input -> answer [rationale] rationale
rationale_first  input -> rationale [label] answer        (Eq. 5)"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from limbeck import render
from limbeck.engine.framing import LABEL_FIRST, RATIONALE_FIRST, Reading
from limbeck.engine.load import CAUSAL, Base
from limbeck.engine.tokens import answer_end
from limbeck.errors import UsageError
from limbeck.types import Example, Task


def under(reading: Reading, base: Base, form: str, tokens: int) -> Reading:
    """The reading of a student that learns rationales in this form; a causal model has to hold them in its positions, too.
    Raises UsageError where wrong answers are to be compared in a form that has one target per row."""
    if reading.loss_on == "all":
        raise UsageError("stepwise learns answers and rationales, not what it reads", "the recipe sets loss_on=all", "--set loss_on=answer")
    if reading.contrast and form in (LABEL_FIRST, RATIONALE_FIRST):
        raise UsageError(f"{form} learns from one text per row", "the losses compare it with wrong answers", "--set losses=lm")
    reading = replace(reading, form=form, rationale_tokens=tokens)
    positions = int(getattr(base.model.config, "max_position_embeddings", 0) or 1 << 20)
    marks = len(reading.marks(render.LABEL)) + len(reading.marks(render.RATIONALE))
    beside = tokens + marks if form in (LABEL_FIRST, RATIONALE_FIRST) else marks + max(0, tokens - reading.max_answer)
    room = positions - reading.max_answer - beside
    if base.family == CAUSAL and room < reading.max_length:
        if room < 8:
            have = f"it has {positions} positions, and {reading.max_answer} + {beside} are answer and rationale"
            raise UsageError("this base has no room for a rationale", have, "--set rationale_tokens=32")
        reading = replace(reading, max_length=room)
    return reading


def writing_rationale(task: Task, example: Example, rationale: str, tokens: int, reading: Reading, item: dict[str, Any]) -> dict[str, Any]:
    """What a row's rationale changes in its item: a second target, with a prompt of its own where the two tasks are told apart
    there; or one target that holds both. At most `tokens` of it; one that was cut has no end."""
    if reading.form in (LABEL_FIRST, RATIONALE_FIRST):
        return one_target(rationale, tokens, reading, item)
    asked, _ = reading.asked(task, example, [rationale], render.RATIONALE)
    target = asked.answers[0][: tokens + asked.given]
    change: dict[str, Any] = {"rationale": target, "rationale_given": asked.given}
    change["rationale_cut"] = int(len(target) < len(asked.answers[0]))
    return change if asked.prompt == item["input_ids"] else change | {"rationale_input": asked.prompt}


def one_target(rationale: str, tokens: int, reading: Reading, item: dict[str, Any]) -> dict[str, Any]:
    """answer [rationale] rationale, or rationale [label] answer (Eq. 5)."""
    ids, answer = reading.behind(rationale), item["options"][0]
    told, cut = ids[:tokens], len(ids) > tokens
    change: dict[str, Any] = {"rationale_cut": int(cut), "span": (0, len(told))}
    if reading.form == LABEL_FIRST:
        if item["truncated"] and answer[-reading.around :] != reading.marks(render.RATIONALE):
            return {}  # the answer itself was cut: nothing may follow
        end = [] if cut else [end for end in (answer_end(reading.tokenizer),) if end is not None]
        return change | {"options": [answer + told + end], "span": (len(answer), len(answer) + len(told) + len(end))}
    if reading.family == CAUSAL:  # the prompt ends with the mark, which now stands behind the rationale
        marks = reading.marks(render.LABEL)
        return change | {"input_ids": item["input_ids"][: -len(marks)], "options": [told + marks + answer]}
    return change | {"options": [told + answer], "given": 0}
