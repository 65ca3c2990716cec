"""The writing student: an encoder-decoder or decoder-only model that reads a prompt and answers in its own words.

    label, choice        every allowed answer is scored, the likeliest one is the answer (no free text is parsed)
    text, fields, score  written greedily, then read by render

Its loss looks at the answer's tokens alone, the end token included; what it reads teaches nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

from torch import Tensor, nn

from limbeck import render
from limbeck.engine.generate import prompt_ids
from limbeck.engine.load import CAUSAL, Base
from limbeck.engine.numbers import Numbers
from limbeck.engine.rationale import Told
from limbeck.engine.score import Asked, answer_log_probs, ask, both_log_probs, strip_end
from limbeck.engine.tokens import chat_text
from limbeck.errors import BadRows, UsageError
from limbeck.types import Example, Kind, Task

CLOSED = (Kind.LABEL, Kind.CHOICE)
SEPARATE, SHARED, LABEL_FIRST, RATIONALE_FIRST = "separate", "shared", "label_first", "rationale_first"
LOSSES = ("lm", "ul", "ln")


class Written(NamedTuple):
    """log_probs (N, To) float32, 0 on padding; mask (N, To); row (N,): the prompt of each answer. losses, label_smoothing:
    of the recipe; here, so that a loss needs to know the batch and this alone. told: of rationales, where the batch has some."""

    log_probs: Tensor
    mask: Tensor
    row: Tensor
    losses: tuple[str, ...]
    label_smoothing: float
    told: Told | None = None


class WriterStudent(nn.Module):
    """backbone: a transformers model with a language head. family: seq2seq | causal. adapter: as in EncoderStudent.
    normalise: of an answer's log-probability where answers are compared, "sum" | "mean" over its tokens."""

    adapter = ""

    accepts_loss_kwargs = False  # the Trainer would read **kwargs otherwise

    def __init__(self, backbone: Any, family: str, losses: str = "lm", normalise: str = "sum", label_smoothing: float = 0.0):
        super().__init__()
        self.backbone, self.family, self.normalise, self.label_smoothing = backbone, family, normalise, label_smoothing
        self.losses = tuple(losses.split("+"))

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor,
        option_ids: Tensor,
        option_mask: Tensor,
        option_row: Tensor,
        rationale_ids: Tensor | None = None,
        rationale_mask: Tensor | None = None,
        rationale_row: Tensor | None = None,
    ) -> Written:
        """input_ids, attention_mask (B, T); option_ids, option_mask (N, To): answers, with the prompt of each (N,). rationale_ids,
        rationale_mask (R, Tr) likewise, with the prompt of each (R,)."""
        inputs, answers, told = (input_ids, attention_mask), (option_ids, option_mask, option_row), None
        if rationale_ids is None or rationale_mask is None or rationale_row is None:
            log_probs = answer_log_probs(self.backbone, self.family, *inputs, *answers)
        else:
            rationales = (rationale_ids, rationale_mask, rationale_row)
            log_probs, each = both_log_probs(self.backbone, self.family, *inputs, answers, rationales)
            told = Told(each[rationale_mask.bool()], rationale_mask.nonzero()[:, 0])
        return Written(log_probs, option_mask, option_row, self.losses, self.label_smoothing, told)


def new_writer(base: Base, task: Task, numbers: Numbers) -> WriterStudent:
    """Raises UsageError where the losses or the normalisation are none of ours, or need answers that can be wrong."""
    parts = numbers.losses.split("+")
    if parts[0] != "lm" or len(set(parts)) < len(parts) or not set(parts) <= set(LOSSES):
        raise UsageError(f"unknown losses {numbers.losses!r}", "there are lm, ul and ln, and lm is always one", "--set losses=lm+ul+ln")
    if len(parts) > 1 and task.kind not in CLOSED:
        have = f"the task is of kind {task.kind}, and its rows name no wrong answers"
        raise UsageError(f"the losses {numbers.losses!r} need wrong answers to compare with", have, "--set losses=lm")
    if numbers.normalise not in ("sum", "mean"):
        raise UsageError(f"unknown normalise {numbers.normalise!r}", "there are sum and mean", "--set normalise=mean")
    return WriterStudent(base.model, base.family, numbers.losses, numbers.normalise, numbers.label_smoothing)


# ---- what it reads -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Reading:
    """How a row becomes tokens. instruct: the task's instruction stands before the input. max_length: tokens of a prompt.
    max_answer: tokens of an answer that is written. contrast: the loss looks at the wrong answers too.

    form: of a student that learnt rationales too (objectives.stepwise), "" = it did not. separate: LABEL stands before the
    input. shared: LABEL begins the answer. label_first: the answer ends where RATIONALE begins. rationale_first: it writes at
    most rationale_tokens, then LABEL and its answer."""

    tokenizer: Any
    family: str
    instruct: bool
    max_length: int
    max_answer: int
    contrast: bool = False
    form: str = ""
    rationale_tokens: int = 0

    def saved(self) -> dict[str, Any]:
        """All but the tokenizer, which is a file of its own."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "tokenizer"}

    @property
    def chat(self) -> bool:
        return bool(getattr(self.tokenizer, "chat_template", None))

    def shaped(self, task: Task, example: Example, mark: str = render.LABEL) -> str:
        before = mark if self.form == SEPARATE else ""
        text = chat_text(self.tokenizer, render.student_messages(task, example, instruct=self.instruct, mark=before))
        if self.form == SHARED and self.family == CAUSAL:
            return f"{text}{mark} " if self.chat else f"{text} {mark}"
        return text

    def prompt(self, task: Task, example: Example, mark: str = render.LABEL) -> tuple[str, int, int]:
        """(text, its tokens, its tokens before cutting). Too long, the end of the input is cut; the frame around it stays.
        Raises UsageError where the frame alone is too long."""
        text = self.shaped(task, example, mark)
        size = whole = len(prompt_ids(self.tokenizer, self.family, text))
        if size <= self.max_length:
            return text, size, whole
        spans = self.tokenizer(example.input, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        kept = len(spans)
        while size > self.max_length and kept > 0:
            kept = max(0, kept - (size - self.max_length))
            cut = example.model_copy(update={"input": example.input[: spans[kept - 1][1]] if kept else ""})
            text = self.shaped(task, cut, mark)
            size = len(prompt_ids(self.tokenizer, self.family, text))
        if size > self.max_length:
            have = f"{size} tokens without any input, and the student reads {self.max_length}"
            raise UsageError("the prompt leaves no room for an input", have, "--set instruct=false, --set max_length=..., or a longer base")
        return text, size, whole

    def asked(self, task: Task, example: Example, answers: Sequence[str], mark: str = render.LABEL) -> tuple[Asked, int]:
        """(the prompt and its answers as tokens, tokens of the prompt before cutting)."""
        text, _, whole = self.prompt(task, example, mark)
        return self.framed(ask(self.tokenizer, self.family, text, answers, chat=self.chat), mark), whole

    def framed(self, asked: Asked, mark: str = render.LABEL) -> Asked:
        """The answers with the marks that the form puts around them."""
        if self.form == LABEL_FIRST:
            end, marks = self.tokenizer.eos_token_id, self.marks(render.RATIONALE)
            return Asked(asked.prompt, [strip_end(ids, end) + marks for ids in asked.answers])
        if self.form == RATIONALE_FIRST or (self.form == SHARED and self.family != CAUSAL):
            return self.led(asked, self.marks(mark))
        return asked

    def led(self, asked: Asked, lead: list[int]) -> Asked:
        """With tokens between prompt and answer that are given: a decoder of its own begins with them."""
        if self.family == CAUSAL:
            return Asked(asked.prompt + lead, asked.answers)
        return Asked(asked.prompt, [lead + ids for ids in asked.answers], len(lead) + asked.given)

    def after(self, asked: Asked, rationale: Sequence[int]) -> Asked:
        """With a rationale that it wrote between prompt and LABEL."""
        if self.family == CAUSAL:
            at = len(asked.prompt) - len(self.marks(render.LABEL))
            return Asked([*asked.prompt[:at], *rationale, *asked.prompt[at:]], asked.answers)
        return self.led(asked, list(rationale))

    @property
    def stop(self) -> list[int]:
        """What ends a written answer beside its end token."""
        return self.marks(render.RATIONALE) if self.form == LABEL_FIRST else []

    def marks(self, mark: str) -> list[int]:
        return self.behind(mark)

    @property
    def around(self) -> int:
        """Tokens of the marks that stand with an answer's own."""
        if self.form == LABEL_FIRST:
            return len(self.marks(render.RATIONALE))
        return len(self.marks(render.LABEL)) if self.form in (SHARED, RATIONALE_FIRST) and self.family != CAUSAL else 0

    def behind(self, text: str) -> list[int]:
        """Tokens of a text that stands behind others, without an end."""
        return list(self.tokenizer(text if self.family != CAUSAL else f" {text}", add_special_tokens=False, verbose=False)["input_ids"])


def reading_of(base: Base, task: Task, numbers: Numbers) -> Reading:
    """A causal model has to hold prompt and answer in the positions that it has."""
    length = min(numbers.max_length or base.max_length, base.max_length)
    room = numbers.max_answer
    if task.kind in CLOSED and task.labels:
        room = max(len(ids) for ids in base.tokenizer(list(task.labels))["input_ids"]) + 2
    positions = int(getattr(base.model.config, "max_position_embeddings", 0) or 1 << 20)
    room = min(room, positions // 2)
    if base.family == CAUSAL and length + room > positions:
        length = positions - room
    return Reading(base.tokenizer, base.family, numbers.instruct, length, room, numbers.losses != "lm")


# ---- what it learns from ---------------------------------------------------------------------------------------------


def gold_text(task: Task, example: Example) -> str:
    """The answer as it is to be written. Raises BadRows where the row has none that the task allows."""
    if example.output is None:
        raise BadRows(f"row {example.id} has no answer", "its output is missing", "give one, or leave the row out")
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


def writing_features(task: Task, examples: Sequence[Example], reading: Reading) -> list[dict[str, Any]]:
    """One item per row: input_ids; options: the right answer alone, or with reading.contrast all allowed ones; labels: the place of
    the right one; tokens: what the row costs; truncated (0 or 1): prompt or answer were cut."""
    items = []
    for e in examples:
        gold = gold_text(task, e)
        answers = list(dict.fromkeys(render.allowed_answers(task, e))) if reading.contrast else [gold]
        asked, whole = reading.asked(task, e, answers)
        most = reading.max_answer + reading.around
        options = [ids[:most] for ids in asked.answers] if task.kind not in CLOSED else asked.answers
        again = len(options) if reading.family == CAUSAL else 1  # a decoder-only model reads the prompt with every answer
        cut = whole > reading.max_length or any(len(a) < len(b) for a, b in zip(options, asked.answers, strict=True))
        items.append(
            {
                "input_ids": asked.prompt,
                "options": options,
                "labels": answers.index(gold),
                "tokens": again * len(asked.prompt) + sum(map(len, options)),
                "truncated": int(cut),
                "given": asked.given,
            }
        )
    return items
