"""The nouns: frozen, documented, and the same after a trip through JSON."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Literal, Protocol, runtime_checkable

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A value: it cannot change, refuses unknown fields, and has a hash of its content."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def sha(self) -> str:
        """First 16 hex digits of the sha256 of the canonical JSON."""
        return sha_of(self.model_dump(mode="json"))


def canonical_json(value: Any) -> str:
    """One spelling per value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def sha_of(value: Any) -> str:
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:16]


class Kind(StrEnum):
    """What an answer looks like (DESIGN section 6)."""

    LABEL = "label"  # one of a closed set, the same for every row
    CHOICE = "choice"  # one of this row's own options
    TEXT = "text"  # free text
    FIELDS = "fields"  # a JSON object with a schema
    SCORE = "score"  # a number


class Status(StrEnum):
    """What became of one prediction. Only `ok` can be right; the others count as wrong, and are counted."""

    OK = "ok"
    EMPTY = "empty"
    MALFORMED = "malformed"
    ERROR = "error"


class Origin(Frozen):
    """Where a row came from. kind: gold | teacher | generated | retrieved | prompt. row: 1-based line or record.

    What was bought or fetched says more. licence: of the source. teacher: who answered. request: the stored reply's
    address. template: which of ours asked. votes: {answer: how often}. cost_usd: this row's share of its replies."""

    kind: str = "gold"
    source: str = ""
    row: int | None = None
    detail: str = ""
    licence: str | None = None
    teacher: str | None = None
    request: str | None = None
    template: str | None = None
    temperature: float | None = None
    votes: dict[str, int] | None = None
    cost_usd: float | None = None


SYNTHETIC = frozenset({"generated", "teacher", "retrieved"})  # origins whose answer no person gave for this task


KNOWLEDGE = frozenset({"document", "inferred"})  # origins of texts that answer nothing and are learnt as they stand


class Example(Frozen):
    """One row. output None = not labelled. choices: this row's options (kind `choice`). confidence in [0, 1].
    answers: every answer that is right, where there are several (kind `text`). tests: a program that an answer has to pass.
    passage: what the answer rests on, a document's name or a text, where that is known. passages: what was looked up for this
    row, and stands before its input wherever it is read. shots: other rows, shown to a model of this machine as demonstrations."""

    id: str
    input: str
    output: str | None = None
    choices: tuple[str, ...] | None = None
    rationale: str | None = None
    origin: Origin = Origin()
    confidence: float | None = None
    answers: tuple[str, ...] | None = None
    tests: str | None = None
    passage: str | None = None
    passages: tuple[str, ...] | None = None
    shots: tuple[Example, ...] | None = None

    def blind(self) -> Example:
        """The row as a predictor may see it: without answer, rationale and tests."""
        hidden = dict.fromkeys(("output", "rationale", "confidence", "answers", "tests", "passage"))
        return self.model_copy(update={**hidden, "origin": Origin(kind="blind")})


class Demonstration(Frozen):
    """A worked example that stood in the prompt file."""

    input: str
    output: str


class Task(Frozen):
    """What the prompt asks for. labels: the closed set, in the user's order (kind `label`).
    output_schema: JSON schema (kind `fields`). low, high: the range of a `score`. metric: the shelf name that chooses.
    how: who parsed it (rules | teacher). notes: what was uncertain, for the report."""

    name: str
    instruction: str
    kind: Kind
    labels: tuple[str, ...] = ()
    output_schema: str | None = None
    low: float | None = None
    high: float | None = None
    metric: str = ""
    demonstrations: tuple[Demonstration, ...] = ()
    language: str = "en"
    how: str = "rules"
    notes: tuple[str, ...] = ()


class Split(Frozen):
    """Ids of one split in order, and the digest (sha256) over ids, inputs and outputs, so that a changed row is noticed."""

    ids: tuple[str, ...]
    digest: str


class Splits(Frozen):
    """how: one sentence on where the cuts were made. Test is frozen before anything is trained."""

    train: Split
    dev: Split
    test: Split
    seed: int
    how: str


class Value(Frozen):
    """One derived number of a recipe and why it is what it is. why "set by you" marks an override."""

    name: str
    value: Any
    why: str


TEACHER = "teacher"  # the base of a recipe that asks one


class Recipe(Frozen):
    """adapter[:arg...] + modifiers @ base, in canonical spelling (recipes.py holds the grammar).

    args: what stands behind the adapter's colon. context, rows, objective: modifier as written, "" = the default
    (task only; every training row; sft). base "" for majority and nearest-free recipes that need none."""

    adapter: str
    args: tuple[str, ...] = ()
    context: str = ""
    rows: str = ""
    objective: str = ""
    base: str = ""
    values: tuple[Value, ...] = ()

    @property
    def text(self) -> str:
        """Canonical spelling, e.g. `lora:r8+rag:4@minilm`."""
        head = ":".join((self.adapter, *self.args))
        left = "+".join(p for p in (head, self.context, self.rows, self.objective) if p)
        return f"{left}@{self.base}" if self.base else left

    @property
    def asks_teacher(self) -> bool:
        """Its answers are bought from the teacher; every other recipe computes them on this machine."""
        return self.base == TEACHER

    @property
    def id(self) -> str:
        """A file name: readable, then a hash of the canonical string and its values."""
        readable = "".join(c if c.isalnum() or c in "-." else "-" for c in self.text).strip("-")[:60]
        return f"{readable}-{sha_of([self.text, [(v.name, v.value) for v in self.values]])[:8]}"

    def value(self, name: str, default: Any = None) -> Any:
        for item in self.values:
            if item.name == name:
                return item.value
        return default


class Prediction(Frozen):
    """One answer to one row.

    text: the canonical answer ("" unless status is ok). confidence in [0, 1]. scores: probability per allowed
    answer, where the predictor has them (at most the best ten). latency_ms: of this call alone, None where it was
    answered in a batch. cost_usd: what this call costs at the price given, None = unknown. detail: raw reply or error.
    tokens_cached: of tokens_in, those that the provider had read before and billed as such.
    passages: where those stand that were looked up for it, in the order in which they were read.
    stopped: a written answer ended by itself (False: it was cut off), None where nothing was written or nobody said."""

    id: str
    text: str = ""
    status: Status = Status.OK
    latency_ms: float | None = None
    tokens_in: int | None = None
    tokens_out: int | None = None
    tokens_cached: int | None = None
    cost_usd: float | None = None
    confidence: float | None = None
    scores: dict[str, float] | None = None
    detail: str = ""
    passages: tuple[str, ...] | None = None
    stopped: bool | None = None


@runtime_checkable
class Predictor(Protocol):
    """The one protocol: a student, a prompted teacher, nearest neighbour, the majority class, a served endpoint.

    predict: one Prediction per input, same order, same ids; inputs are `Example.blind()` rows. Raises only where no
    answer at all is possible (ProviderError, CapReached); one bad row is a Prediction with a status."""

    def predict(self, inputs: Sequence[Example]) -> list[Prediction]: ...


class Message(Frozen):
    """role: system | user | assistant."""

    role: str
    content: str


class Request(Frozen):
    """One question to a teacher. reply_schema: the reply must fit this JSON schema. row: the Example that is asked
    about, for recordings (keyed by task input); it is no part of the content address."""

    messages: tuple[Message, ...]
    reply_schema: str | None = None
    temperature: float = 0.0
    max_tokens: int = 512
    n: int = 1
    seed: int | None = None
    row: Example | None = None

    def body(self) -> dict[str, Any]:
        """What is sent and hashed; everything but `row`."""
        return self.model_dump(mode="json", exclude={"row"}, exclude_none=True)


class Reply(Frozen):
    """texts, finish: one per choice (finish: stop | length | ...). address: where the store keeps it, its first 16
    digits ("" = it came from no store). latency_ms: wall time of the request that
    succeeded. tokens as the provider billed them; estimated: it named none, so they are characters / 4. tokens_cached: of
    tokens_in, those that it found in its prefix cache."""

    texts: tuple[str, ...]
    finish: tuple[str, ...]
    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    latency_ms: float = 0.0
    model: str = ""
    estimated: bool = False
    address: str = ""


class Price(Frozen):
    """USD per million tokens in and out. usd_per_mtok_cached: of those in that the provider has cached, None = the full price.
    source, date: where the figure was read, and when."""

    usd_per_mtok_in: float
    usd_per_mtok_out: float
    source: str = ""
    date: str = ""
    usd_per_mtok_cached: float | None = None

    def of(self, tokens_in: int, tokens_out: int, tokens_cached: int = 0) -> float:
        return (tokens_in * self.usd_per_mtok_in + tokens_out * self.usd_per_mtok_out) / 1e6 - self.saved(tokens_cached)

    def of_reply(self, reply: Reply) -> float:
        return self.of(reply.tokens_in, reply.tokens_out, reply.tokens_cached)

    def saved(self, tokens_cached: int) -> float:
        """What the provider's cache took off the full price."""
        if self.usd_per_mtok_cached is None:
            return 0.0
        return tokens_cached * (self.usd_per_mtok_in - self.usd_per_mtok_cached) / 1e6


class Score(Frozen):
    """One metric over one split. value None = could not be scored. low, high: 95 % interval (paired bootstrap draws
    shared by every candidate). n: rows scored. not_scored: rows whose metric was None."""

    metric: str
    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0
    not_scored: int = 0


class Versus(Frozen):
    """Paired comparison on the same rows. difference = ours - theirs, with its 95 % interval; p_value of the exact
    McNemar test where outcomes are right or wrong, of the paired bootstrap elsewhere."""

    other: str
    difference: float
    low: float
    high: float
    p_value: float
    test: str


class Row(Frozen):
    """One candidate in the report. Units are in the names; None = not measured or not applicable.

    state: ok | failed | skipped | partial. reason: why it is not ok. group: baseline | prompt | student.
    flops_per_call: of what computes on this machine, by limbeck.flops.
    fitted_on: which rows its test predictions were trained on (train, or train+dev after the choice).
    tokens_*_per_call: means over the test rows, what was asked again included."""

    recipe: str
    id: str
    group: str
    state: str = "ok"
    reason: str = ""
    fitted_on: str = "train"
    dev: Score | None = None
    test: Score | None = None
    more: tuple[Score, ...] = ()  # further metrics on test
    versus: Versus | None = None  # against the best baseline
    statuses: dict[str, int] = {}
    latency_p50_ms: float | None = None
    latency_p95_ms: float | None = None
    throughput_rows_s: float | None = None
    usd_per_1000: float | None = None
    tokens_in_per_call: float | None = None
    tokens_out_per_call: float | None = None
    tokens_cached_per_call: float | None = None
    break_even_calls: float | None = None
    flops_per_call: float | None = None
    size_mb: float | None = None
    trainable_parameters: int | None = None
    train_s: float | None = None
    peak_memory_mb: float | None = None
    ece: float | None = None
    thresholds: tuple[dict[str, float], ...] = ()  # dev: {threshold, coverage, accuracy}
    calibration: tuple[dict[str, float], ...] = ()  # test: {low, high, n, confidence, accuracy}
    history: tuple[dict[str, float], ...] = ()  # per epoch: {epoch, train_loss, dev}
    values: tuple[Value, ...] = ()


class Gap(Frozen):
    """How far a synthetic test is from what persons say: one candidate's score on rows labelled by persons, its score on
    synthetic rows, and human - synthetic with its 95 % interval. paired: the same rows under both labels."""

    recipe: str
    metric: str
    human: Score
    synthetic: Score
    difference: float
    low: float
    high: float
    paired: bool


class Source(Frozen):
    """Where rows came from: a file, a data set, a teacher. kinds: {origin kind: rows}. licence None = not known."""

    name: str
    kinds: dict[str, int]
    licence: str | None = None

    @property
    def rows(self) -> int:
        return sum(self.kinds.values())


class Report(Frozen):
    """Everything that the pages show. Built from the run folder alone; rendering it needs no model."""

    task: Task
    settings: dict[str, Any]
    versions: dict[str, str]
    sizes: dict[str, int]
    split_how: str
    origins: dict[str, int]
    rejected: dict[str, int]
    warnings: tuple[str, ...]
    rows: tuple[Row, ...]
    chance: float | None
    best_baseline: str | None
    best_student: str | None
    winner: str | None
    verdict: str
    advice: str  # ship | prompt | label-more | none
    rule: str  # the winner rule, in words
    partial: bool
    ledger: dict[str, Any]
    confusion: tuple[dict[str, Any], ...] = ()  # best student on test: {gold, predicted, n}
    errors: tuple[dict[str, Any], ...] = ()  # worth reading: {id, input, gold, answers: {recipe: text}, confidence}
    growth: tuple[dict[str, float], ...] = ()  # what more rows bring: {rows, dev} of the head, refitted on shares of train
    not_deterministic: tuple[str, ...] = ()
    test_scored: int = 1
    seconds: dict[str, float] = {}
    test_origins: dict[str, int] = {}  # test rows by origin kind
    synthetic_test: int = 0  # of them, how many no person wrote or labelled
    gaps: tuple[Gap, ...] = ()  # what the synthetic test is worth: the chosen student, the best prompt
    human: dict[str, Any] = {}  # rows labelled with `limbeck label`: {test, other, agreed, shown}
    worth_labelling: tuple[dict[str, Any], ...] = ()  # {id, split, input, why}, best first
    sources: tuple[Source, ...] = ()
    curated: tuple[str, ...] = ()  # what curation did, in sentences
    retrieval: dict[str, Any] = {}  # see indexing.summary; {} where no candidate looks anything up
    prompting: dict[str, Any] = {}  # see structuring.summary; {} where nothing is prompted
    rationales: dict[str, Any] = {}  # see reasoning.summary; {} where no candidate learns from rationales
    knowledge: dict[str, Any] = {}  # see inferring.summary; {} where no candidate learns documents


class Card(Frozen):
    """What a student folder says of itself (student.json)."""

    format: int = 1
    task: Task
    recipe: str
    base: str
    base_licence: str
    base_sha: str
    origins: dict[str, int]
    dev: Score | None = None
    test: Score | None = None
    threshold: float | None = None
    max_length: int = 256
    render: str = ""  # render.VERSION it was trained with
    versions: dict[str, str] = {}
    notes: tuple[str, ...] = ()
    synthetic_test: int = 0  # test rows that no person wrote or labelled
    gaps: tuple[Gap, ...] = ()
    sources: tuple[Source, ...] = ()
    licence_warnings: tuple[str, ...] = ()


class Settings(Frozen):
    """What the user asked for, after front matter and command line are merged. Paths are as given. kind, metric: of the task,
    where the rules' choice is not the user's.

    budget_usd, budget_s: hard caps. columns: {ours: theirs}. overrides: --set name=value.
    make: how many rows to make from the prompt (None: as many as the task needs where there are no rows, else none).
    sources: where data sets are looked for. labeller: a second teacher, who labels what the first one wrote.
    votes: labelling requests per row; None: 3 for a made row, 1 for an unlabelled one. bases: so many base models of the
    catalogue enter as candidates, downloads allowed; 0 = where rows are made, the best that is here.
    structure: how prompts are laid out, a name or a file. role, details: texts of the user's own for structures that have them.
    docs: a folder of documents that candidates look things up in (rag:k), and learn. inferences_by: who writes what follows from
    them: teacher | base | rules, None = the first there is. relations: declared ones, for the rules (augment.relations).
    rationales: whether the teacher sees a row's label when it is asked why. rationale_samples: completions per row."""

    prompt: str
    rows: tuple[str, ...] = ()
    dev: str | None = None
    test: str | None = None
    unlabelled: str | None = None
    make: int | None = None
    sources: tuple[str, ...] = ()
    labeller: str | None = None
    labeller_price: Price | None = None
    votes: int | None = None
    bases: int = 0
    docs: str | None = None
    structure: str | None = None
    role: str | None = None
    details: str | None = None
    inferences_by: Literal["teacher", "base", "rules"] | None = None
    relations: tuple[dict[str, Any], ...] = ()
    rationales: Literal["blind", "seen"] = "blind"
    rationale_samples: int = 1
    columns: dict[str, str] = {}
    kind: str | None = None
    metric: str | None = None
    teacher: str | None = None
    price: Price | None = None
    candidates: tuple[str, ...] = ()
    budget_usd: float = 5.0
    budget_s: float = 1800.0
    seed: int = 0
    threads: int | None = None
    overrides: dict[str, Any] = {}
    require_win: bool = False
