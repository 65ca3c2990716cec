"""A model that writes, asked with bare text: no task, no frame, nothing looked up. What public benchmarks ask is asked here.

    likelihoods(contexts, continuations)   how likely each continuation is behind its context
    rolling(text)                          how likely a whole text is, window by window
    write(contexts)                        what it writes behind each context, up to a text that ends it

Tokens join as in engine.score: context and continuation are one text, and what is scored begins at the first token that reaches
beyond the context, so that no continuation is ever empty because its first letters melt into the last token of the context."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from limbeck.engine.batches import by_length
from limbeck.engine.device import pick_device
from limbeck.engine.framing import RATIONALE_FIRST
from limbeck.engine.generate import GREEDY, Decoding, before, decode
from limbeck.engine.load import CAUSAL, SEQ2SEQ, Base, context_of
from limbeck.engine.score import Asked, behind, score_rows, strip_end
from limbeck.engine.tokens import answer_end, pad_id, prompt_ids
from limbeck.errors import UsageError

ROWS = 32  # written at once


class Scored(NamedTuple):
    """log_prob: natural, summed over the continuation's tokens; mean: per token. greedy: whether greedy decoding would write it
    (None: nobody asked). cut: its context was cut on the left, to leave room for what follows."""

    log_prob: float
    mean: float
    greedy: bool | None
    cut: bool


class Text(NamedTuple):
    text: str
    cut: bool


@dataclass
class Bare:
    """model, tokenizer, family: of a base or of a student that writes. length: tokens that it reads at once (of an
    encoder-decoder: that its encoder reads). chat: contexts come out of the tokenizer's chat template, special tokens and all.
    with_end: an answer's end token is scored with it. frame: what a student puts around its answers (engine.writer.Reading)."""

    model: Any
    tokenizer: Any
    family: str
    length: int
    chat: bool = False
    with_end: bool = False
    frame: Callable[[Asked], Asked] | None = None

    # ---- likelihood --------------------------------------------------------------------------------------------

    def likelihoods(self, contexts: Sequence[str], continuations: Sequence[Sequence[str]], greedy: bool = False) -> list[list[Scored]]:
        """Per context and continuation, which brings the blank that it begins with. Raises UsageError for one that is no token, or
        more than the model reads."""
        whole = [self.row(context, texts) for context, texts in zip(contexts, continuations, strict=True)]
        rows = [self.fitted(row) for row in whole]
        with self.answering():
            found = score_rows(self.model, self.family, rows, pad_id(self.tokenizer))
        said = self.greedy(rows) if greedy else [[None] * len(row.answers) for row in rows]
        cuts = [len(one.prompt) < len(two.prompt) for one, two in zip(rows, whole, strict=True)]
        return [
            [Scored(one.log_prob, one.mean, flag, cut) for one, flag in zip(line, flags, strict=True)]
            for line, flags, cut in zip(found, said, cuts, strict=True)
        ]

    def row(self, context: str, texts: Sequence[str]) -> Asked:
        end = answer_end(self.tokenizer)
        ends = [end] if self.with_end and end is not None else []
        if self.family == SEQ2SEQ:  # its decoder begins a text: there is nothing that a blank could stand behind
            ids = self.tokenizer(text_target=[text.lstrip() for text in texts])["input_ids"]
            asked = Asked(self.prompt_ids(context), [strip_end(one, self.tokenizer.eos_token_id) + ends for one in ids])
        elif not (stem := context if self.chat else context.rstrip()):
            ids = self.tokenizer([context + text for text in texts], add_special_tokens=False)["input_ids"]
            asked = Asked(prompt_ids(self.tokenizer, self.family, ""), [[*one, *ends] for one in ids])
        else:
            asked = behind(self.tokenizer, stem, [context + text for text in texts], ends, special=not self.chat)
        for text, ids in zip(texts, asked.answers, strict=True):
            if len(ids) == len(ends):
                raise UsageError(f"the tokenizer writes nothing for {text!r}", "so it cannot be scored", "leave this row or option out")
        return self.frame(asked) if self.frame else asked

    def fitted(self, asked: Asked) -> Asked:
        """The context cut on the left, so that its longest answer fits behind it."""
        longest = max(map(len, asked.answers)) if self.family == CAUSAL else 0
        if (room := self.length - longest) < 1:
            have = f"it has {longest} tokens, and the model reads {self.length} in all"
            raise UsageError("a continuation is longer than the model reads", have, "leave this task out")
        return Asked(self.last(asked.prompt, room), asked.answers, asked.given)

    def last(self, prompt: list[int], room: int) -> list[int]:
        """The last tokens of a context; a text's first token (the tokenizer's own) stays where it is."""
        if len(prompt) <= room:
            return prompt
        first = prompt[:1] if prompt[0] == self.tokenizer.bos_token_id and room > 1 else []
        return first + prompt[len(prompt) - room + len(first) :]

    def prompt_ids(self, context: str) -> list[int]:
        """engine.tokens.prompt_ids goes by the tokenizer; here it is said whether a template wrote the text."""
        if self.chat or not getattr(self.tokenizer, "chat_template", None):
            return prompt_ids(self.tokenizer, self.family, context)
        ids = list(self.tokenizer(context)["input_ids"])
        return strip_end(ids, self.tokenizer.eos_token_id) if self.family == CAUSAL else ids

    def greedy(self, rows: Sequence[Asked]) -> list[list[bool | None]]:
        """Whether each answer is what greedy decoding writes first behind its prompt."""
        written = self.decoded(
            [row.prompt for row in rows],
            max(len(ids) for row in rows for ids in row.answers),
            leads=[row.answers[0][: row.given] for row in rows],
        )
        found: list[list[bool | None]] = []
        for row, ids in zip(rows, written, strict=True):
            end = [] if (stop := answer_end(self.tokenizer)) is None else [stop]
            full = [*ids, *end]
            found.append([full[: len(one) - row.given] == one[row.given :] for one in row.answers])
        return found

    def rolling(self, texts: Sequence[str], windows: Callable[[list[int], int, int], Sequence[tuple[list[int], list[int]]]]) -> list[float]:
        """Log-likelihood of each whole text. windows(ids, first token, length) -> (context, what is scored behind it).
        Raises UsageError for an encoder-decoder, which has no likelihood of a text by itself."""
        if self.family != CAUSAL:
            have = "an encoder-decoder answers what its encoder reads"
            raise UsageError("this model gives no likelihood of a whole text", have, "take a decoder-only base for perplexity tasks")
        prefix = prompt_ids(self.tokenizer, self.family, "")[0]
        each = [windows(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"], prefix, self.length) for text in texts]
        rows = [Asked(list(context), [list(scored)]) for one in each for context, scored in one]
        with self.answering():
            found = iter(score_rows(self.model, self.family, rows, pad_id(self.tokenizer)))
        return [sum(next(found)[0].log_prob for _ in one) for one in each]

    # ---- writing -----------------------------------------------------------------------------------------------

    def write(self, contexts: Sequence[str], max_tokens: int, until: Sequence[str] = (), temperature: float = 0.0) -> list[Text]:
        """What it writes behind each context, blanks kept, cut before the first of `until`. A model that holds context and answer
        in one row keeps at least half of it for the context."""
        one_row = self.family == CAUSAL
        tokens = min(max_tokens, max(1, self.length // 2)) if one_row else max_tokens
        whole = [self.prompt_ids(text) for text in contexts]
        rows = [self.last(ids, self.length - tokens * one_row) for ids in whole]
        found = self.decoded(rows, tokens, until=until, decoding=Decoding(temperature=temperature) if temperature else GREEDY)
        texts = [before(self.tokenizer.decode(ids, skip_special_tokens=True), until) for ids in found]
        return [Text(text, len(row) < len(ids)) for text, row, ids in zip(texts, rows, whole, strict=True)]

    def decoded(
        self, prompts: Sequence[list[int]], tokens: int, until: Sequence[str] = (), decoding: Decoding = GREEDY,
        leads: Sequence[Sequence[int]] = (),
    ) -> list[tuple[int, ...]]:  # fmt: skip
        """In batches of like length; what a decoder begins with (leads) is the same in all."""
        found: dict[int, tuple[int, ...]] = {}
        lead = tuple(leads[0]) if leads else ()
        with self.answering():
            for batch in by_length([len(row) + tokens for row in prompts], rows=ROWS):
                some = [prompts[i] for i in batch]
                texts = decode(self.model, self.tokenizer, self.family, some, tokens, decoding=decoding, lead=lead, until=until)
                found |= {i: one.ids for i, one in zip(batch, texts, strict=True)}
        return [found[i] for i in range(len(prompts))]

    @contextmanager
    def answering(self) -> Iterator[None]:
        training = self.model.training
        self.model.eval()
        try:
            with torch.inference_mode():
                yield
        finally:
            self.model.train(training)


def of_base(base: Base, **how: Any) -> Bare:
    """Raises UsageError for an encoder, which writes nothing."""
    if base.family not in (CAUSAL, SEQ2SEQ):
        raise UsageError(
            f"{base.name} has no likelihood of a text", f"it is an {base.family}", "take a decoder-only or an encoder-decoder base"
        )
    model = base.model.to(pick_device()).eval()
    return Bare(
        model, base.tokenizer, base.family, base.max_length if base.family == SEQ2SEQ else context_of(base.name, model.config), **how
    )


def of_student(predictor: Any, **how: Any) -> Bare:
    """predictor: engine.written.WriterPredictor. Its weights, adapter and tokenizer, without its task."""
    student = predictor.student
    length = predictor.max_length if student.family == SEQ2SEQ else context_of("", student.backbone.config)
    return Bare(student.backbone, predictor.tokenizer, student.family, length, **how)


def as_itself(predictor: Any) -> Bare:
    """The student asked with contexts that are its own prompts (engine.writer.Reading.prompt): it scores what it scores when it
    predicts. Raises UsageError for one that writes a rationale before each answer."""
    reading = predictor.reading
    if reading.form == RATIONALE_FIRST:
        have = "what stands before its answer is its own rationale, which no context holds"
        raise UsageError("this student cannot be asked with prompts alone", have, "limbeck predict")
    return of_student(predictor, chat=reading.chat, with_end=True, frame=reading.framed if reading.form else None)


def written_by(predictor: Any, prompts: Sequence[str]) -> list[str]:
    """What the student writes to its own prompts, decoded as when it predicts."""
    reading = predictor.reading
    rows = [reading.framed(Asked(prompt_ids(predictor.tokenizer, predictor.student.family, text), [[]])) for text in prompts]
    found = predictor.decoded(rows, reading.max_answer, reading.stop, torch.float32, predictor.constraint)
    return [one.text for one in found]
