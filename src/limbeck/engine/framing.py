"""How a row becomes tokens of a model that writes: its frame, what is left out where it is too long, and the marks around an answer."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

from limbeck import render
from limbeck.engine.generate import Decoding, read_decoding
from limbeck.engine.load import CAUSAL, Base, context_of
from limbeck.engine.numbers import Numbers
from limbeck.engine.score import Asked, ask, strip_end
from limbeck.engine.targets import CLOSED, is_knowledge
from limbeck.engine.tokens import answer_end, chat_text, prompt_ids
from limbeck.engine.unframed import bare, unframed
from limbeck.errors import UsageError
from limbeck.types import Example, Kind, Task

SEPARATE, SHARED, LABEL_FIRST, RATIONALE_FIRST = "separate", "shared", "label_first", "rationale_first"
LOSSES = ("lm", "ul", "ln")
LOSS_ON = ("answer", "all")

SEPARATE, SHARED, LABEL_FIRST, RATIONALE_FIRST = "separate", "shared", "label_first", "rationale_first"


class Prompt(NamedTuple):
    """tokens: of the text; whole: of what it was before anything was left out. shots: so many demonstrations stand in it. cut:
    passages or the end of the input do not."""

    text: str
    tokens: int
    whole: int
    shots: int
    cut: bool


@dataclass(frozen=True)
class Reading:
    """How a row becomes tokens, and how tokens of an answer are chosen; saved with the student. instruct: the task's
    instruction stands before the input. max_length: tokens of a prompt. max_answer: tokens of an answer that is written.
    decode, constrained, frame: see engine.numbers. Of training alone: contrast: the loss looks at the wrong answers too; loss_on.

    form: of a student that learnt rationales too (objectives.stepwise), "" = it did not. separate: LABEL stands before the
    input. shared: LABEL begins the answer. label_first: the answer ends where RATIONALE begins. rationale_first: it writes at
    most rationale_tokens, then LABEL and its answer.

    prompted: of a base that learnt nothing of the task: it reads what a teacher would be sent. calibrate: its log-probabilities of
    closed answers are held against those without an input (engine.calibrate)."""

    tokenizer: Any
    family: str
    instruct: bool
    max_length: int
    max_answer: int
    contrast: bool = False
    decode: str = "greedy"
    constrained: bool = True
    loss_on: str = "answer"
    form: str = ""
    rationale_tokens: int = 0
    prompted: bool = False
    calibrate: bool = False
    frame: bool = True

    def saved(self) -> dict[str, Any]:
        """All but the tokenizer, which is a file of its own."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "tokenizer"}

    @property
    def decoding(self) -> Decoding:
        return read_decoding(self.decode)

    @property
    def chat(self) -> bool:
        return bool(getattr(self.tokenizer, "chat_template", None))

    def is_document(self, task: Task, example: Example) -> bool:
        """A text that answers nothing: a decoder-only base writes and learns it from its first token on, without a frame."""
        return self.family == CAUSAL and task.kind is Kind.TEXT and not example.input.strip() and not self.form

    def shaped(self, task: Task, example: Example, mark: str = render.LABEL) -> str:
        before = mark if self.form == SEPARATE else ""
        messages = render.student_messages(task, example, instruct=self.instruct, mark=before, frame=self.frame)
        text = chat_text(self.tokenizer, render.messages(task, example) if self.prompted else messages)
        if self.form == SHARED and self.family == CAUSAL:
            return f"{text}{mark} " if self.chat else f"{text} {mark}"
        return text

    def prompt(self, task: Task, example: Example, mark: str = render.LABEL) -> Prompt:
        """Too long, it loses demonstrations, then passages, and at last the end of the input; the frame around it stays. Raises
        UsageError where the frame alone is too long."""
        if self.is_document(task, example):
            return Prompt("", 1, 1, 0, False)
        there = self.demonstrations(task, example)
        text, whole = self.sized(task, example, mark)
        if whole <= self.max_length:
            return Prompt(text, whole, whole, there, False)
        task, example, cut = self.lightened(task, example, mark)
        there = self.demonstrations(task, example)
        text, size = self.sized(task, example, mark)
        if size <= self.max_length:
            return Prompt(text, size, whole, there, cut)
        spans = self.tokenizer(example.input, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
        kept = len(spans)
        while size > self.max_length and kept > 0:
            kept = max(0, kept - (size - self.max_length))
            short = example.model_copy(update={"input": example.input[: spans[kept - 1][1]] if kept else ""})
            text, size = self.sized(task, short, mark)
        if size > self.max_length:
            have = f"{size} tokens without any input, and it reads {self.max_length}"
            do = "a base that reads more" if self.prompted else "--set instruct=false, --set max_length=..., or a longer base"
            raise UsageError("the prompt leaves no room for an input", have, do)
        return Prompt(text, size, whole, there, True)

    def sized(self, task: Task, example: Example, mark: str) -> tuple[str, int]:
        """(text, its tokens)."""
        text = self.shaped(task, example, mark)
        return text, len(prompt_ids(self.tokenizer, self.family, text))

    def demonstrations(self, task: Task, example: Example) -> int:
        return len(task.demonstrations if self.prompted else ()) + len(example.shots or ())

    def lightened(self, task: Task, example: Example, mark: str) -> tuple[Task, Example, bool]:
        """Without as many demonstrations as have to go, the first of them first (the last stand nearest the question); then without
        passages from the end, since those that were found last say least (True)."""
        own = len(task.demonstrations if self.prompted else ())

        def without(n: int) -> tuple[Task, Example]:
            lighter = task.model_copy(update={"demonstrations": task.demonstrations[n:]}) if own else task
            return lighter, example.model_copy(update={"shots": (example.shots or ())[max(0, n - own) :] or None})

        every = self.demonstrations(task, example)
        n = bisect_left(range(every), True, key=lambda n: self.sized(*without(n), mark)[1] <= self.max_length)
        task, example = without(n)
        cut = False
        while example.passages and self.sized(task, example, mark)[1] > self.max_length:
            example, cut = example.model_copy(update={"passages": example.passages[:-1] or None}), True
        return task, example, cut

    def asked(self, task: Task, example: Example, answers: Sequence[str], mark: str = render.LABEL) -> tuple[Asked, Prompt]:
        """(the prompt and its answers as tokens, the prompt)."""
        if is_knowledge(example) and not self.prompted:
            asked, whole = unframed(self.tokenizer, self.family, example, self.max_length)
            return asked, Prompt(example.input, len(asked.prompt), whole, 0, whole > len(asked.prompt))
        prompt = self.prompt(task, example, mark)
        text = prompt.text
        if not text:
            return bare(self.tokenizer, self.family, answers), prompt
        if self.prompted and self.family == CAUSAL and not self.chat:
            # such a base goes on with the next question, and seldom with its end token: that one counts only where it has to
            open_ = ask(self.tokenizer, self.family, text, answers, with_end=False)
            if not any(a != b and b[: len(a)] == a for a in open_.answers for b in open_.answers):
                return open_, prompt
        return self.framed(ask(self.tokenizer, self.family, text, answers, chat=self.chat), mark), prompt

    def framed(self, asked: Asked, mark: str = render.LABEL) -> Asked:
        """The answers with the marks that the form puts around them."""
        if self.form == LABEL_FIRST:
            end, marks = answer_end(self.tokenizer), self.marks(render.RATIONALE)
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

    @property
    def until(self) -> tuple[str, ...]:
        """Texts that end it: without a chat template a prompted base goes on with a question of its own."""
        return render.NEXT_QUESTION if self.prompted and not self.chat else ()

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
    length = min(numbers.max_length or base.max_length, context_of(base.name, base.model.config))
    room = numbers.max_answer
    if task.kind in CLOSED and task.labels:
        room = max(len(ids) for ids in base.tokenizer(list(task.labels))["input_ids"]) + 2
    positions = int(getattr(base.model.config, "max_position_embeddings", 0) or 1 << 20)
    room = min(room, positions // 2)
    if base.family == CAUSAL and length + room > positions:
        length = positions - room
    read_decoding(numbers.decode)
    return Reading(
        base.tokenizer, base.family, numbers.instruct, length, room, contrast=numbers.losses != "lm", decode=numbers.decode,
        constrained=numbers.constrained, loss_on=numbers.loss_on, frame=numbers.frame,
    )  # fmt: skip


def prompt_reading(base: Base, task: Task, numbers: Numbers, calibrate: bool) -> Reading:
    """Of a base that is prompted: a frame as long as the base reads, and no longer than the recipe says."""
    return replace(reading_of(base, task, numbers), prompted=True, calibrate=calibrate, instruct=True)
