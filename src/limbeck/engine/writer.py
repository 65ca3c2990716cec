"""The writing student: an encoder-decoder or decoder-only model that reads a prompt and answers in its own words.

    label, choice        every allowed answer is scored, the likeliest one is the answer (no free text is parsed)
    text, fields, score  written (engine.generate), fields within their JSON schema (engine.schema), then read by render

Its loss looks at the answer's tokens alone, the end token included; what it reads teaches nothing. With loss_on "all" a
decoder-only base learns what it reads, too, and a row without any input is a document: it is learnt whole in either case. Rows of
knowledge (targets.is_knowledge) stand without a frame whatever the task; an encoder-decoder reads their input and writes their text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from limbeck import render
from limbeck.engine.framing import Reading
from limbeck.engine.load import CAUSAL, Base
from limbeck.engine.numbers import Numbers
from limbeck.engine.packed import must_pack_exactly, packed_log_probs
from limbeck.engine.rationale import Told
from limbeck.engine.score import answer_log_probs, both_log_probs
from limbeck.engine.targets import CLOSED, gold_text, is_knowledge, must_be_writable
from limbeck.errors import UsageError
from limbeck.types import Example, Kind, Task

LOSSES = ("lm", "ul", "ln")
LOSS_ON = ("answer", "all")


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
    normalise: of an answer's log-probability where answers are compared, "sum" | "mean" over its tokens. pack: in training
    several rows share one (engine.packed)."""

    adapter = ""
    pack = False

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
            given = (*inputs, *answers)
            log_probs = packed_log_probs(self.backbone, *given) if self.pack else answer_log_probs(self.backbone, self.family, *given)
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
    if numbers.loss_on not in LOSS_ON:
        raise UsageError(f"unknown loss_on {numbers.loss_on!r}", f"there are {' and '.join(LOSS_ON)}", "--set loss_on=all")
    if numbers.loss_on == "all" and base.family != CAUSAL:
        have = f"{base.name} is an encoder-decoder: its decoder writes the answer alone, and that is learnt whole"
        raise UsageError("what it reads cannot be learnt", have, "--set loss_on=answer, or a decoder-only base")
    if numbers.loss_on == "all" and len(parts) > 1:
        raise UsageError("loss_on=all knows no wrong answers", f"losses={numbers.losses}", "--set losses=lm")
    student = WriterStudent(base.model, base.family, numbers.losses, numbers.normalise, numbers.label_smoothing)
    if numbers.pack:
        must_pack_exactly(base.model, base.family)
        student.pack = True
    return student


# ---- what it learns from ---------------------------------------------------------------------------------------------


def writing_features(task: Task, examples: Sequence[Example], reading: Reading) -> list[dict[str, Any]]:
    """One item per row: input_ids; options: the right answer alone, or with reading.contrast all allowed ones; labels: the place of
    the right one; tokens: what the row costs; truncated (0 or 1): prompt or answer were cut. What is learnt stands in
    `options`: with loss_on "all" everything but a row's first token. Raises BadRows, and UsageError where the tokenizer loses objects."""
    items = []
    for e in examples:
        gold = gold_text(task, e)
        answers = list(dict.fromkeys(render.allowed_answers(task, e))) if reading.contrast and not is_knowledge(e) else [gold]
        asked, read = reading.asked(task, e, answers)
        learnt = is_knowledge(e)
        room = (
            reading.max_answer + reading.around + (reading.max_length - len(asked.prompt) if learnt or reading.is_document(task, e) else 0)
        )
        options = [ids[:room] for ids in asked.answers] if learnt or task.kind not in CLOSED else asked.answers
        prompt = asked.prompt
        again = len(options) if reading.family == CAUSAL else 1  # a decoder-only model reads the prompt with every answer
        cut = read.cut or any(len(a) < len(b) for a, b in zip(options, asked.answers, strict=True))
        if reading.loss_on == "all" and not learnt:
            prompt, options = prompt[:1], [prompt[1:] + options[0]]
        items.append(
            {
                "input_ids": prompt,
                "options": options,
                "labels": answers.index(gold),
                "tokens": again * len(prompt) + sum(map(len, options)),
                "truncated": int(cut),
                "given": asked.given,
            }
        )
    if task.kind is Kind.FIELDS:
        must_be_writable(task, examples, items, reading.tokenizer, reading.loss_on)
    return items
