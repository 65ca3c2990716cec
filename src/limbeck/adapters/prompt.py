"""`prompt`: no number moves. A teacher is asked, zero-shot or with demonstrations (+few:k, +many); prompt:cot asks for reasons,
then the answer, and a reply that names no answer, or two, is malformed. prompted_base.py has the bases of this machine.

An empty, cut or malformed reply is asked again up to RE_ASKS times with another seed, so that it is another request;
every reply is paid for and counted in the row's cost. What is still no answer then counts as wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from limbeck import render, render_reasons
from limbeck.adapters import prompted_base
from limbeck.errors import MissingError
from limbeck.registry import Adapter, Ask, FitJob, Fitted
from limbeck.render_structure import PLAIN, Structure, of_recipe
from limbeck.types import Example, Kind, Message, Prediction, Price, Reply, Request, Status, Task

RE_ASKS = 2
CHARS_AT_ONCE, LEAST_AT_ONCE = 100_000_000, 256  # of the prompts that are asked together; rows, as many as are ever under way


@dataclass(frozen=True)
class Prompted:
    """A Predictor. shots: input -> demonstrations. reasons: they are asked for before the answer. one_schema: of every call, so
    that a provider's prefix cache, which it stands in front of, finds the rest again: options are checked by us alone."""

    task: Task
    ask: Ask
    price: Price | None
    shots: Callable[[Example], Sequence[Example]]
    max_tokens: int
    structure: Structure = PLAIN
    one_schema: bool = False

    def predict(self, inputs: Sequence[Example]) -> list[Prediction]:
        size = self.at_once(inputs)
        return [found for start in range(0, len(inputs), size) for found in self.predict_some(inputs[start : start + size])]

    def at_once(self, inputs: Sequence[Example]) -> int:
        """So many rows that memory holds their prompts, where each of these holds a whole training set."""
        chars = sum(len(m.content) for m in self.messages(inputs[0])) if inputs else 0
        return max(LEAST_AT_ONCE, CHARS_AT_ONCE // max(1, chars))

    def predict_some(self, inputs: Sequence[Example]) -> list[Prediction]:
        replies: list[list[Reply | Exception]] = [[] for _ in inputs]
        open_rows = list(range(len(inputs)))
        for attempt in range(1 + RE_ASKS):
            outcomes = self.ask([self.request(inputs[i], attempt) for i in open_rows])
            for i, outcome in zip(open_rows, outcomes, strict=True):
                replies[i].append(outcome)
            open_rows = [
                i for i in open_rows if isinstance(replies[i][-1], Reply) and self.read(inputs[i], replies[i][-1])[1] is not Status.OK
            ]
            if not open_rows:
                break
        return [self.prediction(row, got) for row, got in zip(inputs, replies, strict=True)]

    def messages(self, row: Example) -> tuple[Message, ...]:
        return render.messages(self.task, row, self.shots(row), structure=self.structure)

    def request(self, row: Example, attempt: int) -> Request:
        asked = row.model_copy(update={"choices": None}) if self.one_schema else row
        return Request(
            messages=self.messages(row),
            reply_schema=None if self.structure.steps else render.reply_schema(self.task, asked),
            max_tokens=self.max_tokens,
            seed=attempt or None,
            row=row,
        )

    def read(self, row: Example, reply: Reply | Exception) -> tuple[str, Status]:
        if not isinstance(reply, Reply):
            return "", Status.ERROR
        if self.structure.steps:
            return self.read_reasons(row, reply)
        if reply.finish and reply.finish[0] == "length" and self.task.kind is not Kind.TEXT and render.find_json(reply.texts[0]) is None:
            return "", Status.MALFORMED if reply.texts[0].strip() else Status.EMPTY  # cut off: no answer can be told for sure
        return render.answer(self.task, row, reply.texts[0] if reply.texts else "")

    def read_reasons(self, row: Example, reply: Reply) -> tuple[str, Status]:
        """The answer at the end of the reasons. A reply that was cut off, or that ends in no answer, is malformed."""
        text = reply.texts[0] if reply.texts else ""
        if reply.finish and reply.finish[0] == "length":
            return "", Status.MALFORMED if text.strip() else Status.EMPTY
        found = render_reasons.read(self.task, row, text)
        return found.answer, found.status

    def prediction(self, row: Example, got: Sequence[Reply | Exception]) -> Prediction:
        paid = [r for r in got if isinstance(r, Reply)]
        spent = {
            "tokens_in": sum(r.tokens_in for r in paid),
            "tokens_out": sum(r.tokens_out for r in paid),
            "tokens_cached": sum(r.tokens_cached for r in paid),
            "latency_ms": sum(r.latency_ms for r in paid) or None,
            "cost_usd": sum(self.price.of_reply(r) for r in paid) if self.price else None,
        }
        last = paid[-1] if paid else got[-1]  # a re-ask that failed leaves the bad reply standing
        if isinstance(last, Exception):
            return Prediction(id=row.id, status=Status.ERROR, detail=f"{type(last).__name__}: {last}"[:500])
        text, status = self.read(row, last)
        stopped = last.finish[0] == "stop" if last.finish and self.task.kind in (Kind.TEXT, Kind.FIELDS) else None
        return Prediction(id=row.id, text=text, status=status, detail=last.texts[0][:2000] if last.texts else "", stopped=stopped, **spent)


def fit(job: FitJob) -> Fitted:
    if not job.recipe.asks_teacher:
        return prompted_base.fit(job)
    if job.ask is None:
        raise MissingError(
            "this recipe asks a teacher, and there is none", f"the recipe is {job.recipe.text}", "--teacher http://host/v1#model"
        )
    predictor = Prompted(
        job.task,
        job.ask,
        job.price,
        job.shots or (lambda example: ()),
        max_tokens=int(job.recipe.value("max_tokens", 256)),
        structure=of_recipe(job.recipe),
        one_schema=job.recipe.context == "many",
    )
    return Fitted(predictor=predictor, prompt=predictor.messages)


PROMPT = Adapter(
    name="prompt",
    group="prompt",
    kinds=tuple(Kind),
    modifiers=("context",),
    args="cot",
    takes="cot, which asks for reasons first",
    may_ask=True,
    fit=fit,
)
