"""A student that writes as a Predictor: closed answers by likelihood, the others as its recipe decodes; alone or in any batch."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from limbeck import render
from limbeck.engine.answers import judge, to_prediction
from limbeck.engine.batches import by_length
from limbeck.engine.calibrate import CONTENT_FREE, calibrated, pmi
from limbeck.engine.framing import RATIONALE_FIRST, Prompt, Reading
from limbeck.engine.generate import Decoded, decode, end_ids, up_to
from limbeck.engine.gold import dev_score
from limbeck.engine.opening import Opening
from limbeck.engine.schema import Constraint
from limbeck.engine.score import Asked, score_rows, takes_prompt_mask
from limbeck.engine.targets import CLOSED, gold_text
from limbeck.engine.tokens import pad_id, prompt_ids
from limbeck.engine.writer import WriterStudent
from limbeck.errors import UsageError
from limbeck.types import Example, Kind, Prediction, Status, Task

_KEPT = 4096  # prompts without an input; a row of its own options or demonstrations has three


class WriterPredictor:
    """student, task: as trained. reading: how a row becomes tokens. truncated: rows cut so far. Raises MissingExtra and
    UsageError where answers cannot be held to the task's schema, UsageError where the adapter has to know the prompt's
    tokens and all of them are learnt."""

    def __init__(self, student: WriterStudent, task: Task, reading: Reading):
        self.student, self.task, self.reading = student, task, reading
        self.tokenizer, self.max_length = reading.tokenizer, reading.max_length
        self.truncated = 0
        self.constraint: Constraint | None = None
        self.opening = Opening() if reading.prompted else None
        self.free: dict[Any, np.ndarray] = {}  # log-probabilities of answers without an input, by prompt and answers
        if task.kind is Kind.FIELDS and reading.constrained:
            self.constraint = Constraint(reading.tokenizer, task.output_schema, end_ids(student.backbone, reading.tokenizer))
        if takes_prompt_mask(student.backbone) and (reading.loss_on == "all" or student.pack):
            have = "it edits the first and last tokens of a prompt, whose end it would not see"
            raise UsageError("this adapter takes neither loss_on=all nor pack=true", have, "leave them out, or take lora")

    def predict(self, inputs: Sequence[Example]) -> list[Prediction]:
        """float32, whatever the training precision was. latency_ms is measured where there is one row."""
        start = time.perf_counter()
        found = self.answers([e for e in inputs if self.task.kind is not Kind.CHOICE or e.choices], torch.float32)
        by_id = iter(found)
        nothing = "the row has no options to choose from"
        predictions = [
            next(by_id) if self.task.kind is not Kind.CHOICE or e.choices else Prediction(id=e.id, status=Status.ERROR, detail=nothing)
            for e in inputs
        ]
        self.truncated += sum(p.detail.startswith("input cut") for p in found)
        if len(inputs) == 1:
            latency_ms = (time.perf_counter() - start) * 1e3
            predictions[0] = predictions[0].model_copy(update={"latency_ms": round(latency_ms, 3)})
        return predictions

    def answers(self, examples: Sequence[Example], dtype: torch.dtype) -> list[Prediction]:
        if self.task.kind not in CLOSED:
            return self.write(examples, dtype)
        cuts: list[dict[str, Any]] = []
        logits = self.logits(examples, dtype, cuts)
        return [to_prediction(self.task, e, line).model_copy(update=cut) for e, line, cut in zip(examples, logits, cuts, strict=True)]

    def logits(
        self, examples: Sequence[Example], dtype: torch.dtype = torch.float32, cuts: list[dict[str, Any]] | None = None
    ) -> list[np.ndarray]:
        """Per row: (its allowed answers,) log-probabilities, summed over tokens or their mean. cuts: gets tokens_in and detail."""
        rows = []
        told = self.rationales(examples, dtype)
        for e, before in zip(examples, told, strict=True):
            asked, prompt = self.reading.asked(self.task, e, render.allowed_answers(self.task, e))
            if cuts is not None:
                cuts.append(self.cut(e, prompt, before))
            rows.append(self.reading.after(asked, before.ids) if before else asked)
        with self.answering(dtype):
            lines = self.scored(rows)
            if self.reading.calibrate or self.student.normalise == "pmi":
                lines = self.calibrated(examples, lines)
        return lines

    def scored(self, rows: Sequence[Asked]) -> list[np.ndarray]:
        found = score_rows(self.student.backbone, self.student.family, rows, pad_id(self.tokenizer), self.opening)
        mean = self.student.normalise == "mean"
        return [np.array([one.mean if mean else one.log_prob for one in line]) for line in found]

    def calibrated(self, examples: Sequence[Example], lines: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Each row's log-probabilities held against those of the same prompt without its input; a prompt that several rows share
        (the same labels, the same demonstrations) is scored once."""
        asked = []
        for e in examples:
            bare = [e.model_copy(update={"input": text, "passages": None}) for text in CONTENT_FREE]
            asked += [self.reading.asked(self.task, b, render.allowed_answers(self.task, e))[0] for b in bare]
        keys = [(tuple(one.prompt), tuple(map(tuple, one.answers))) for one in asked]
        new = {key: one for key, one in zip(keys, asked, strict=True) if key not in self.free}
        if len(self.free) + len(new) > _KEPT:
            self.free, new = {}, dict(zip(keys, asked, strict=True))
        self.free |= dict(zip(new, self.scored(list(new.values())), strict=True))
        change = calibrated if self.reading.calibrate else pmi
        n = len(CONTENT_FREE)
        free = [np.stack([self.free[key] for key in keys[n * i : n * i + n]]) for i in range(len(examples))]
        return [change(line, prior) for line, prior in zip(lines, free, strict=True)]

    def write(self, examples: Sequence[Example], dtype: torch.dtype) -> list[Prediction]:
        """In batches of like length; render reads what was written."""
        told = self.rationales(examples, dtype)
        rows, cuts = [], []
        for e, before in zip(examples, told, strict=True):
            prompt = self.reading.prompt(self.task, e)
            asked = self.reading.framed(Asked(prompt_ids(self.tokenizer, self.student.family, prompt.text), [[]]))
            rows.append(self.reading.after(asked, before.ids) if before else asked)
            cuts.append(self.cut(e, prompt, before))
        found: list[Prediction | None] = [None] * len(examples)
        for i, written in enumerate(self.decoded(rows, self.reading.max_answer, self.reading.stop, dtype, self.constraint)):
            text, status = render.answer(self.task, examples[i], up_to(written.text, self.reading.until))
            said = [cuts[i]["detail"], f"it wrote {written.text[:200]!r}" if status is not Status.OK else ""]
            said.append("cut off at max_answer" if written.finish == "length" else "")
            facts = {
                **cuts[i],
                "tokens_out": cuts[i].get("tokens_out", 0) + written.tokens,
                "stopped": written.finish == "stop",
                "detail": "; ".join(part for part in said if part),
            }
            found[i] = Prediction(id=examples[i].id, text=text, status=status, **facts)
        return [p for p in found if p is not None]

    def rationales(self, examples: Sequence[Example], dtype: torch.dtype) -> list[Decoded | None]:
        """Of a student that writes its rationale first: what it writes up to its answer. None of any other."""
        if self.reading.form != RATIONALE_FIRST:
            return [None] * len(examples)
        prompts = [Asked(prompt_ids(self.tokenizer, self.student.family, self.reading.prompt(self.task, e).text), [[]]) for e in examples]
        return list(self.decoded(prompts, self.reading.rationale_tokens, self.reading.marks(render.LABEL), dtype))

    def decoded(
        self, rows: Sequence[Asked], tokens: int, stop: Sequence[int], dtype: torch.dtype, constraint: Constraint | None = None
    ) -> list[Decoded]:
        """In batches of like length; what a decoder begins with is the same in a batch."""
        found: dict[int, Decoded] = {}
        leads = [tuple(row.answers[0][: row.given]) for row in rows]
        for lead in dict.fromkeys(leads):
            some = [i for i, one in enumerate(leads) if one == lead]
            for batch in by_length([len(rows[i].prompt) + tokens for i in some], rows=32):
                of = [some[k] for k in batch]
                with self.answering(dtype):
                    texts = decode(
                        self.student.backbone, self.tokenizer, self.student.family, [rows[i].prompt for i in of], tokens + len(stop),
                        decoding=self.reading.decoding, constraint=constraint, lead=lead, stop=stop, until=self.reading.until,
                    )  # fmt: skip
                found |= dict(zip(of, texts, strict=True))
        return [found[i] for i in range(len(rows))]

    def cut(self, example: Example, prompt: Prompt, told: Decoded | None) -> dict[str, Any]:
        asked_for = self.reading.demonstrations(self.task, example)
        said = [f"input cut: the prompt is {prompt.tokens} tokens; whole it has {prompt.whole}" if prompt.cut else ""]
        said.append(f"{prompt.shots} of {asked_for} demonstrations stood there" if prompt.shots < asked_for else "")
        said.append(f"its rationale: {told.text}" if told else "")
        facts: dict[str, Any] = {"tokens_in": prompt.tokens, "detail": "; ".join(part for part in said if part)}
        return facts | ({"tokens_out": told.tokens} if told else {})

    def judge(self, dev: Sequence[Example], dtype: torch.dtype) -> tuple[float, float]:
        """See `judge`; the tie-breaker of what is written: mean log-probability per token of the right answer."""
        if self.task.kind in CLOSED:
            return judge(self.task, dev, self.logits(dev, dtype))
        score = dev_score(self.task, dev, self.write(dev, dtype))
        rows = [self.reading.asked(self.task, e, [gold_text(self.task, e)])[0] for e in dev]
        told = self.rationales(dev, dtype)
        rows = [self.reading.after(row, before.ids) if before else row for row, before in zip(rows, told, strict=True)]
        with self.answering(dtype):
            found = score_rows(self.student.backbone, self.student.family, rows, pad_id(self.tokenizer))
        return score, float(np.mean([line[0].mean for line in found]))

    @contextmanager
    def answering(self, dtype: torch.dtype) -> Iterator[None]:
        """Eval mode, no gradients; dtype other than float32 only to choose an epoch."""
        training = self.student.training
        self.student.eval()
        device = next(self.student.parameters()).device
        try:
            with torch.inference_mode(), torch.autocast(device.type, dtype, enabled=dtype is not torch.float32):
                yield
        finally:
            self.student.train(training)
