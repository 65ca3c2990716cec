"""Time and money before the run: a range, and what it rests on. Nominal rates; the run itself measures."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from limbeck import demonstrating, registry, render, render_inferences, render_ranking, render_reasons
from limbeck.augment.exemplars import FEWEST, TRIES, K
from limbeck.candidates import SINGLE_CALLS
from limbeck.deployment import PROBES
from limbeck.derived import GLOBAL_EACH, LOCAL_EACH, Sizes, trained_on
from limbeck.engine.named import parameters_of_name
from limbeck.knowing import Knowledge
from limbeck.registry import Teacher
from limbeck.tasks import by_teacher
from limbeck.teachers.tokens import tokens_of
from limbeck.types import Example, Frozen, Kind, Message, Recipe, Task

TRAIN_TOKENS_S = 1800.0  # a 22.7M encoder, one core, bf16, 32 x 32 tokens: measured 1,000 to 3,000
EMBED_TOKENS_S = 6000.0
PROMPT_TOKENS_S = 2000.0  # a base that writes, of 22.7M parameters in float32: few of them are word embeddings, and each answer is read
WRITTEN = 8  # tokens that are read in the time that it takes to write one, in a batch
CALL_S = 1.0  # a hosted model, one call
CONCURRENCY = 8
UNKNOWN_BASE = 5e8  # parameters of a base that is not on this machine
SAMPLE_HERE = 20  # rows, where nothing is paid for
SAMPLE = 200  # rows whose prompts are rendered and measured
FEW_SAMPLE = 10  # of prompts that hold a whole training set, and hardly differ

# How far from four characters a token a tokenizer may be, and what a provider adds (chat template, schema).
IN_LOW, IN_HIGH = 0.75, 1.25
OUT_LOW, OUT_HIGH = 0.7, 1.4
EXTRA_OUT = 6  # tokens of a short answer that is spelt out at more length than ours
ALOUD_OUT = 60  # tokens of a free answer that explains itself although it was told not to
AGAIN = 1.5  # times for the one question about the prompt
ASKED_AGAIN = 1.08  # of the calls: empty, cut and malformed replies are asked for twice more


@dataclass(frozen=True)
class Usd:
    """A range of money."""

    low: float = 0.0
    high: float = 0.0

    def __add__(self, other: Usd) -> Usd:
        return Usd(self.low + other.low, self.high + other.high)

    def times(self, n: float, again: float = 1.0) -> Usd:
        return Usd(self.low * n, self.high * n * again)

    @property
    def middle(self) -> float:
        return (self.low + self.high) / 2


class Estimate(Frozen):
    """usd_*, seconds_*: low and high end. lines: one per candidate, as shown. calls: requests to the teacher."""

    usd_low: float
    usd_high: float
    seconds_low: float
    seconds_high: float
    calls: int
    lines: tuple[dict[str, float | str], ...] = ()


def estimate(
    task: Task,
    recipes: Sequence[Recipe],
    sizes: Sizes,
    train: Sequence[Example],
    teacher: Teacher | None,
    asked: Sequence[Example] = (),
    seed: int = 0,
    labels: bool = True,
    probed: Callable[[Recipe], float | None] = lambda recipe: None,
) -> Estimate:
    """What the plan costs from nothing: cached replies cost nothing again, so a resumed run stays below it, and so does one
    that its cap ends. asked: the rows of dev, test and unlabelled, where they are known; else train stands for them.
    labels: unlabelled rows are asked about (False: their labels come with their rationales). probed: seconds of a prompt on this
    machine, where a few rows were measured."""
    lines: list[dict[str, float | str]] = []
    calls = 0
    spent = Usd()
    trained: list[float] = []
    local: list[float] = []  # seconds in which a prompt of this machine answers test again, from the folder it is deployed in
    remote = teacher is not None and teacher.remote
    for recipe in recipes:
        usd, seconds = Usd(), 0.2
        if recipe.asks_teacher and teacher is not None:
            n = sizes.dev + sizes.test
            usd, seconds, calls = (
                one_call(task, recipe, train, asked, teacher, seed).times(n, ASKED_AGAIN),
                n * CALL_S / CONCURRENCY,
                calls + n,
            )
            seconds = seconds if remote else n * 0.002
        elif recipe.adapter == "prompt":
            rows = sizes.dev + sizes.test + min(sizes.test, SINGLE_CALLS + 2)
            found = probed(recipe)
            seconds += rows * prompted_s(task, recipe, train, asked, seed) if found is None else found
            local.append(seconds * min(sizes.test, PROBES) / max(1, rows))
        elif registry.take("adapters", recipe.adapter).attach is not None:
            shown = len(picker(task, recipe, train, seed)(train[0])) if train else 0
            tokens = (sizes.chars / 4 + 2) * max(1.0, 1 + sizes.options) * (1 + shown) + tokens_of(expected_passages(recipe))
            per_epoch = trained_on(recipe, sizes) * tokens / TRAIN_TOKENS_S
            seconds = per_epoch * float(recipe.value("epochs", 10)) + (sizes.dev + sizes.test) * tokens / EMBED_TOKENS_S
            trained.append(seconds)
        elif recipe.adapter in ("head", "nearest"):
            tokens = (sizes.chars / 4 + 2) * max(1.0, 1 + sizes.options)
            seconds = (sizes.train + sizes.unlabelled + sizes.dev + sizes.test) * tokens / EMBED_TOKENS_S + 2
        spent += usd
        lines.append({"recipe": recipe.text, "usd": usd.middle, "seconds": round(seconds, 1)})
    refit = max([*trained, *local], default=0.0)
    seconds = sum(float(line["seconds"]) for line in lines) + refit + 8
    if sizes.unlabelled and teacher is not None and labels:
        label = one_call(task, None, train, asked, teacher, seed).times(sizes.unlabelled, ASKED_AGAIN)
        spent, calls = spent + label, calls + sizes.unlabelled
        label_s = sizes.unlabelled * (CALL_S / CONCURRENCY if remote else 0.002)
        seconds += label_s
        lines.append({"recipe": "labels for unlabelled rows", "usd": label.middle, "seconds": round(label_s, 1)})
    if teacher is not None and remote and not teacher.recording:
        spent, calls = spent + reading_the_prompt(task, teacher), calls + 1
    return Estimate(
        usd_low=spent.low, usd_high=spent.high, seconds_low=seconds * 0.5, seconds_high=seconds * 2.5, calls=calls, lines=tuple(lines)
    )


def with_making(
    plan: Estimate, task: Task, n: int, votes: int, teacher: Teacher, rows: Sequence[Example], labeller: Teacher | None
) -> Estimate:
    """The plan, and n rows made before it."""
    low, high, calls = estimate_generation(task, n, votes, teacher, rows, labeller=labeller)
    seconds = calls * (CALL_S / CONCURRENCY if teacher.remote else 0.002)
    return in_front(plan, f"rows: {n} made from the prompt", Usd(low, high), seconds, calls)


def in_front(plan: Estimate, what: str, usd: Usd, seconds: float, calls: int) -> Estimate:
    """The plan, and one line before it."""
    line: dict[str, float | str] = {"recipe": what, "usd": usd.middle, "seconds": round(seconds, 1)}
    return plan.model_copy(
        update={
            "usd_low": plan.usd_low + usd.low,
            "usd_high": plan.usd_high + usd.high,
            "seconds_low": plan.seconds_low + seconds * 0.5,
            "seconds_high": plan.seconds_high + seconds * 2.5,
            "calls": plan.calls + calls,
            "lines": (line, *plan.lines),
        }
    )


REASON_LOW, REASON_HIGH = 15.0, 90.0  # tokens of one to three short sentences; PaLM's have 8 to 50 words


def with_rationales(
    plan: Estimate, task: Task, sizes: Sizes, train: Sequence[Example], teacher: Teacher, asked: Sequence[Example], seen: bool, samples: int
) -> Estimate:
    """The plan, and reasons for each training row that has none, and for each unlabelled one. train: the rows, or a sample of them."""
    bare = [row for row in train if not row.rationale]
    n = round(sizes.train * len(bare) / max(1, len(train))) + sizes.unlabelled
    if not n:
        return plan
    own = sum(row.output is not None for row in train if row.rationale)
    enough = teacher.recording or own >= FEWEST  # no rationale has to be asked for to be shown
    first = 0 if enough else min(len(bare), TRIES * (K - own))
    calls = n + first
    shown = spread([r for r in train if r.output and (r.rationale or not enough)], 0 if teacher.recording else K)
    worked = [r.model_copy(update={"rationale": r.rationale or "x" * demonstrating.REASON_CHARS}) for r in shown]
    rows = spread(bare or asked or train, SAMPLE) or [made_up(task)]
    prompts = [prompt_tokens(render_reasons.messages(task, r.blind(), worked, r.output if seen else None)) for r in rows]
    prompt, (low, high) = sum(prompts) / len(prompts), reply_tokens(task, train)
    one = priced(teacher, (prompt * IN_LOW, prompt * IN_HIGH), (samples * (REASON_LOW + low), samples * (REASON_HIGH + high)))
    usd = one.times(n) + Usd(0.0, one.high * (first + (ASKED_AGAIN - 1) * n))
    seconds = calls * (CALL_S / CONCURRENCY if teacher.remote else 0.002)
    return in_front(plan, f"rationales for {n} rows", usd, seconds, calls)


LINE_LOW, LINE_HIGH = 10.0, 40.0  # tokens of an inference with its derivation
OPINIONS = 8  # statements that rest on the same sources, in one question


def with_inferences(
    plan: Estimate, knowledge: Knowledge, scopes: set[str], samples: int, room: int, teacher: Teacher, second: Teacher | None
) -> Estimate:
    """The plan, and what follows from the documents, written before it; second: who is asked whether it does."""
    usd, calls, made = Usd(), 0, 0
    texts, sizes = list(knowledge.statements.values()), [tokens_of([text.whole]) + 4 for text in knowledge.texts]
    if "local" in scopes and texts:
        prompt = sum(prompt_tokens(render_inferences.local_messages(text)) for text in texts) / len(texts)
        said = (samples * LINE_LOW, samples * LINE_HIGH * LOCAL_EACH)
        usd += priced(teacher, (prompt * IN_LOW, prompt * IN_HIGH), said).times(len(texts), ASKED_AGAIN)
        calls, made = calls + len(texts), made + LOCAL_EACH * len(texts)
    if "global" in scopes and sizes:
        prompt = prompt_tokens(render_inferences.global_messages({}, 1)) + min(room, sum(sizes))
        said = (samples * LINE_LOW, samples * LINE_HIGH * 2 * GLOBAL_EACH)
        usd += priced(teacher, (prompt * IN_LOW, prompt * IN_HIGH), said).times(len(sizes), ASKED_AGAIN)
        calls, made = calls + len(sizes), made + GLOBAL_EACH * len(sizes)
    if second is not None and not second.recording:
        asked = math.ceil(made / OPINIONS) + len(sizes)
        prompt = prompt_tokens(render_inferences.second_messages((), ())) + OPINIONS * LINE_HIGH + 2 * max(sizes, default=0)
        usd += priced(second, (prompt * IN_LOW, prompt * IN_HIGH), (8.0, 6.0 * OPINIONS)).times(asked, ASKED_AGAIN)
        calls += asked
    seconds = calls * (CALL_S / CONCURRENCY if teacher.remote else CALL_S)
    return in_front(plan, f"what follows from {len(sizes)} pieces of documents", usd, seconds, calls)


# ---- one call --------------------------------------------------------------------------------------------------------


def one_call(task: Task, recipe: Recipe | None, train: Sequence[Example], asked: Sequence[Example], teacher: Teacher, seed: int) -> Usd:
    """The prompt as it will be rendered, and an answer like those at hand; the mean over SAMPLE rows. recipe None: no shots."""
    if teacher.price is None or not teacher.remote:
        return Usd()
    many = recipe is not None and demonstrating.is_many(recipe)
    rows = spread(asked or train, FEW_SAMPLE if many else SAMPLE) or [made_up(task)]
    shots = picker(task, recipe, train, seed, asked)
    prompts = [prompt_tokens(asked_with(task, recipe, row.blind(), shots(row))) for row in rows]
    steps = recipe is not None and demonstrating.reasons_first(recipe)
    schemas = [0 if steps else tokens_of([render.reply_schema(task, row) or ""]) for row in rows]
    prompt, schema = sum(prompts) / len(prompts), sum(schemas) / len(schemas)
    out_low, out_high = reply_tokens(task, train)
    if steps:
        out_low, out_high = out_low + REASON_LOW, out_high + REASON_HIGH
    usd = priced(teacher, (prompt * IN_LOW, prompt * IN_HIGH + schema), (out_low, out_high))
    return usd + reranking(task, recipe, rows, teacher) if recipe is not None and recipe.value("rerank") else usd


def reranking(task: Task, recipe: Recipe, rows: Sequence[Example], teacher: Teacher) -> Usd:
    """One more call per input: all the passages that are put in order, and their ids."""
    depth = int(recipe.value("rerank"))
    passages = expected_passages(recipe)[:1] * depth
    prompts = [prompt_tokens(render_ranking.messages(task, row.blind(), passages)) for row in rows]
    prompt = sum(prompts) / len(prompts)
    return priced(teacher, (prompt * IN_LOW, prompt * IN_HIGH + tokens_of([render_ranking.reply_schema()])), (2.0 * depth, 6.0 * depth))


def asked_with(task: Task, recipe: Recipe | None, row: Example, shots: Sequence[Example]) -> Sequence[Message]:
    row = row.model_copy(update={"passages": tuple(expected_passages(recipe)) or None})
    return demonstrating.prompt_of(task, recipe, row, shots) if recipe else render.messages(task, row)


def picker(
    task: Task, recipe: Recipe | None, train: Sequence[Example], seed: int, asked: Sequence[Example] = ()
) -> Callable[[Example], Sequence[Example]]:
    """The demonstrations that the candidate itself will pick; where it compares embeddings, those that words pick in their place,
    for an estimate loads no model."""
    if recipe is None or not train:
        return lambda row: ()
    train = demonstrating.explained(recipe, train)
    return demonstrating.demonstrations(task, demonstrating.by_words(recipe), train, seed, asked) or (lambda row: ())


def prompted_s(task: Task, recipe: Recipe, train: Sequence[Example], asked: Sequence[Example], seed: int) -> float:
    """Seconds of one prompt on this machine where none could be measured, by the size of its base; a prompt is cut at the recipe's
    max_length."""
    rows = spread(asked or train, SAMPLE_HERE) or [made_up(task)]
    if demonstrating.is_many(recipe):  # counted by no tokenizer here: an estimate loads none
        shown = tokens_of(f"{row.input}{row.output}" for row in train) + 8 * len(train)
        return here_s(task, recipe, shown + prompt_tokens(asked_with(task, recipe, rows[0].blind(), ())), rows)
    shots = picker(task, recipe, train, seed, asked)
    tokens = [prompt_tokens(asked_with(task, recipe, row.blind(), shots(row))) for row in rows]
    return here_s(task, recipe, sum(tokens) / len(tokens), rows)


def here_s(task: Task, recipe: Recipe, tokens: float, rows: Sequence[Example]) -> float:
    """One row: its prompt, and each of its allowed answers, or one that is written."""
    read = min(tokens, int(recipe.value("max_length", 512)))
    if task.kind in (Kind.LABEL, Kind.CHOICE):
        read += sum(tokens_of(row.choices or task.labels) for row in rows) / len(rows)
    else:
        read += WRITTEN * int(recipe.value("max_answer", 128))
    return read * (parameters_of_name(recipe.base) or UNKNOWN_BASE) / (PROMPT_TOKENS_S * 22.7e6)


def expected_passages(recipe: Recipe | None) -> list[str]:
    """Stand-ins for what will be looked up: as many, and as long as a passage is on average, three quarters of the most."""
    if recipe is None or not recipe.context.startswith("rag:"):
        return []
    return ["x" * round(0.75 * 6 * int(recipe.value("passage_words", 100)))] * int(recipe.context.split(":")[1])


def reply_tokens(task: Task, rows: Sequence[Example]) -> tuple[float, float]:
    """Low and high mean of one answer, in the form that is asked for."""
    outputs = [row.output for row in spread([r for r in rows if r.output is not None and r.input], SAMPLE) if row.output is not None]
    outputs = outputs or [d.output for d in task.demonstrations] or list(task.labels) or ["x" * (240 if task.kind is Kind.FIELDS else 40)]
    wrapped = [o if task.kind in (Kind.TEXT, Kind.FIELDS) else json.dumps({"answer": o}, ensure_ascii=False) for o in outputs]
    mean = sum(tokens_of([text]) for text in wrapped) / len(wrapped)
    return mean * OUT_LOW, mean * OUT_HIGH + (ALOUD_OUT if task.kind is Kind.TEXT else EXTRA_OUT)


def reading_the_prompt(task: Task, teacher: Teacher) -> Usd:
    """A teacher may decline that, which costs nothing; or be asked again."""
    text = task.instruction + "".join(d.input + d.output for d in task.demonstrations)
    asked, said = prompt_tokens(by_teacher.request(text).messages), tokens_of([text]) + 100
    schema = tokens_of([json.dumps(by_teacher.SCHEMA)])
    return priced(teacher, (0.0, AGAIN * (asked * IN_HIGH + schema)), (0.0, AGAIN * said))


def priced(teacher: Teacher, tokens_in: tuple[float, float], tokens_out: tuple[float, float]) -> Usd:
    price = teacher.price
    if price is None or not teacher.remote:
        return Usd()
    low, high = (t_in * price.usd_per_mtok_in + t_out * price.usd_per_mtok_out for t_in, t_out in zip(tokens_in, tokens_out, strict=True))
    return Usd(low / 1e6, high / 1e6)


def prompt_tokens(messages: Sequence[Message]) -> int:
    return tokens_of(m.content for m in messages) + 4 * len(messages)


def spread(rows: Sequence[Example], n: int) -> list[Example]:
    """n of the rows, evenly over all of them."""
    return [rows[int(i * len(rows) / n)] for i in range(n)] if len(rows) > n else list(rows)


def made_up(task: Task) -> Example:
    """A row to measure with where there is none: as long as the demonstrations, or as two sentences."""
    inputs = [d.input for d in task.demonstrations] or ["x" * 160]
    return Example(id="", input=max(inputs, key=len))


# ---- rows that are made ----------------------------------------------------------------------------------------------

ROWS_A_CALL = 5
WASTE_LOW, WASTE_HIGH = 1.0, 2.5  # rows asked for per row kept: duplicates, malformed rows, shares of labels
SHOTS_LOW, SHOTS_HIGH = 2, 14  # demonstrations in a prompt that makes rows, the user's and our own
LEAD_TOKENS = (150, 900)  # of a template that makes rows: its rules, topics, labels that are rare


def estimate_generation(
    task: Task,
    n: int,
    votes: int,
    teacher: Teacher,
    rows: Sequence[Example] = (),
    rows_a_call: int = ROWS_A_CALL,
    labeller: Teacher | None = None,
) -> tuple[float, float, int]:
    """(usd_low, usd_high, calls) of making n rows, `votes` answers to each (0: the answers that came with the inputs).

    rows: whatever is at hand, for how long inputs and outputs are. labeller: who votes, where that is another teacher.
    calls: about as many; usd is 0 to 0 where the teacher is not remote or its price is unknown."""
    if n <= 0:
        return 0.0, 0.0, 0
    some = spread(rows, SAMPLE) or [Example(id="", input=d.input, output=d.output) for d in task.demonstrations] or [made_up(task)]
    row_tokens = sum(tokens_of([row.input, *(row.choices or ())]) for row in some) / len(some) + reply_tokens(task, some)[0] + 12
    least, most = LEAD_TOKENS
    instruction = tokens_of([task.instruction, *task.labels])
    prompt = (
        (least + instruction + SHOTS_LOW * row_tokens) * IN_LOW,
        (most + 2 * instruction + SHOTS_HIGH * row_tokens) * IN_HIGH,
    )
    said = (rows_a_call * row_tokens * OUT_LOW, rows_a_call * row_tokens * OUT_HIGH)
    per_call = priced(teacher, prompt, said)
    made = Usd(per_call.low * math.ceil(n / rows_a_call) * WASTE_LOW, per_call.high * math.ceil(n / rows_a_call) * WASTE_HIGH)
    calls = math.ceil(n * (WASTE_LOW + WASTE_HIGH) / 2 / rows_a_call)
    if votes > 0:
        judge = labeller or teacher
        vote = one_call(task, None, some, some, judge, 0)
        own = 0 if labeller else 1  # the answer that an input came with is a vote
        fewest, most_votes = min(votes, 2) - own, votes - own  # where the first agree, the others need not be asked
        made += Usd(vote.low * n * fewest, vote.high * n * most_votes * ASKED_AGAIN)
        calls += round(n * (fewest + most_votes) / 2)
    return made.low, made.high, calls
