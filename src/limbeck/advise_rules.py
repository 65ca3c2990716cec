"""The table of `limbeck advise`: small functions from facts to evidence. Each statement names its source, and whether it was measured
on the user's rows, is published, was measured in our own studies, or is arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from limbeck.stats import Z95
from limbeck.types import Frozen, Kind, Report, Row, Task

# augment: the teacher labels rows, or infers from documents, and a student learns them; rows: label some to measure on, first
WAYS = ("prompting", "retrieval", "training", "augment", "rows")
WRITES = (Kind.TEXT, Kind.FIELDS)


class Evidence(Frozen):
    """What speaks for (points > 0) or against one way. points: 1 a hint, 2 a reason, 3 strong, 6 it was measured on these rows.
    how: measured here | published | our study | arithmetic | your wish | expected (nobody measured it)."""

    way: str
    points: float
    how: Literal["measured here", "published", "our study", "arithmetic", "your wish", "expected"]
    text: str
    source: str = ""
    rules_out: bool = False


@dataclass(frozen=True)
class Facts:
    """What is at hand. rows: labelled; train, dev, test: of them, as a run would cut. chars: of an input, mean. call_usd: of one plain
    prompt, None = not known. document_tokens: characters / 4."""

    task: Task
    prompt: str
    options: tuple[str, ...]
    rows: int
    train: int
    dev: int
    test: int
    unlabelled: int
    chars: float
    rationales: int
    prompt_tokens: float
    call_usd: float | None
    teacher: str
    remote: bool
    documents: int
    document_tokens: int
    private: bool
    latency_ms: float | None
    calls: float | None
    budget_usd: float
    report: Report | None
    run: str

    @property
    def per_label(self) -> float:
        return self.train / max(1, len(self.task.labels))


Rule = Callable[[Facts], list[Evidence]]

# ---- what was measured on these rows ------------------------------------------------------------------------------------


def told_by_the_run(facts: Facts) -> list[Evidence]:
    """The verdict of a finished run outweighs everything that was found elsewhere."""
    report = facts.report
    if report is None:
        return []
    way = {"ship": "training", "prompt": "prompting", "label-more": "rows"}.get(report.advice)
    return [Evidence(way=way, points=6, how="measured here", text=report.verdict, source=facts.run)] if way else []


def best_on_dev(facts: Facts) -> list[Evidence]:
    """Which group of candidates is ahead on dev, where the run compared them."""
    report = facts.report
    if report is None:
        return []
    best: dict[str, Row] = {}
    for row in report.rows:
        if row.dev is None or row.dev.value is None or row.group not in ("prompt", "student"):
            continue
        group = (
            "retrieval" if "+rag:" in row.recipe and row.group == "prompt" else {"prompt": "prompting", "student": "training"}[row.group]
        )
        held = best.get(group)
        if held is None or held.dev is None or sign(report) * row.dev.value > sign(report) * (held.dev.value or 0.0):
            best[group] = row
    if len(best) < 2:
        return []
    order = sorted(best, key=lambda g: -sign(report) * ((best[g].dev.value if best[g].dev else 0.0) or 0.0))  # type: ignore[union-attr]
    shown = ", ".join(f"{best[g].recipe} {best[g].dev.value:.3f}" for g in order)  # type: ignore[union-attr]
    text = f"On dev, by {report.task.metric}: {shown}. An order on dev rows is a hint, no proof."
    return [Evidence(way=order[0], points=1, how="measured here", text=text, source=facts.run)]


def sign(report: Report) -> float:
    from limbeck.report.table import lower_is_better

    return -1.0 if lower_is_better(report.task.metric) else 1.0


def latency_here(facts: Facts) -> list[Evidence]:
    if facts.report is None or facts.latency_ms is None:
        return []
    ways = {"prompt": "prompting", "student": "training"}
    found = []
    for group, way in ways.items():
        known = [r.latency_p95_ms for r in facts.report.rows if r.group == group and r.latency_p95_ms is not None]
        if known and (fastest := min(known)) > facts.latency_ms:
            text = f"The fastest {group} of the run takes {fastest:.0f} ms (p95), and {facts.latency_ms:.0f} ms are wanted."
            found.append(Evidence(way=way, points=-6, how="measured here", text=text, source=facts.run, rules_out=True))
        elif known:
            text = f"A {group} of the run answers in {fastest:.0f} ms (p95); {facts.latency_ms:.0f} ms are wanted."
            found.append(Evidence(way=way, points=1, how="measured here", text=text, source=facts.run))
    return found


# ---- wishes ----------------------------------------------------------------------------------------------------------------


def privacy(facts: Facts) -> list[Evidence]:
    if not facts.private:
        return []
    leaves = facts.remote or not facts.teacher
    text = "Texts may not leave this machine: a hosted model is out, as a teacher too; a model in this process (local:...) is not."
    out = [
        Evidence(way=way, points=-6, how="your wish", text=text, rules_out=True) for way in ("prompting", "retrieval", "augment") if leaves
    ]
    stays = "A student that was trained here answers here; nothing is sent."
    return [*out, Evidence(way="training", points=3, how="your wish", text=stays)]


def cost_of_calls(facts: Facts) -> list[Evidence]:
    """What the prompt costs a month, against the budget that was given for making something of one's own."""
    if facts.call_usd is None or facts.calls is None:
        return []
    month = facts.call_usd * facts.calls
    text = (
        f"{facts.calls:,.0f} calls a month at about ${1000 * facts.call_usd:.3g} per 1,000 ({facts.prompt_tokens:.0f} tokens in) are "
        f"${month:,.2f}; the budget for a run is ${facts.budget_usd:.2f}. A student on a CPU costs its machine alone."
    )
    if month > 10 * facts.budget_usd:
        return [Evidence(way="training", points=2, how="arithmetic", text=text)]
    return [Evidence(way="prompting", points=1 if month < facts.budget_usd else 0, how="arithmetic", text=text)]


# ---- sizes -----------------------------------------------------------------------------------------------------------------


def enough_to_measure(facts: Facts) -> list[Evidence]:
    """Half the width of a 95 % interval of a share near one half: what the test could tell apart."""
    if facts.report is not None:
        return []
    if facts.test == 0:
        text = "There are no labelled rows: nothing that is tried could be measured. Twenty of your own already say how far made ones can be trusted."
        return [Evidence(way="rows", points=4, how="arithmetic", text=text)]
    half = Z95 * math.sqrt(0.25 / facts.test)
    text = f"A test of {facts.test} rows measures an accuracy to +-{100 * half:.0f} points (95 %)."
    return [Evidence(way="rows", points=4 if half > 0.2 else 1, how="arithmetic", text=text)] if half > 0.1 else []


def rows_for_a_student(facts: Facts) -> list[Evidence]:
    if facts.task.kind is not Kind.LABEL or not facts.train:
        return []
    per = facts.per_label
    if per >= 8:
        text = (
            f"{facts.train} training rows, {per:.0f} a label. With 10 rows for each of 77 intents, students on minilm (22.7M parameters) "
            "reached 0.875 on test (mean of three seeds)."
        )
        return [Evidence(way="training", points=3, how="our study", text=text, source="README, banking77")]
    text = f"{facts.train} training rows, {per:.1f} a label: we have not measured students on so few. Demonstrations need only a handful."
    return [Evidence(way="prompting", points=1, how="arithmetic", text=text)]


def few_rows_published(facts: Facts) -> list[Evidence]:
    if not 16 <= facts.train <= 200:
        return []
    text = (
        "With 20 to 70 rows a task, an 11B model with (IA)3 came to 72.4 (median over held-out tasks), in-context learning with 175B parameters "
        "to 66.6. That base is 500 times larger than ours; it was pre-trained on many tasks."
    )
    return [Evidence(way="training", points=0.5, how="published", text=text, source="T-Few, arXiv 2205.05638")]


def demonstrations_swing(facts: Facts) -> list[Evidence]:
    if not facts.train:
        return []
    text = "Which demonstrations stand in a prompt, and in which order, can move it from near chance to near the best known: try several, compare on dev."
    return [Evidence(way="prompting", points=0.5, how="published", text=text, source="Zhao et al. 2021, arXiv 2102.09690")]


def unlabelled_rows(facts: Facts) -> list[Evidence]:
    if not facts.unlabelled:
        return []
    text = (
        f"{facts.unlabelled} inputs have no label yet; the teacher can give them one. Single answers of a teacher that is wrong in 15 % were right in "
        "85 to 87 %, three votes in 95.6 to 95.9 % (independent errors; a real teacher's are not)."
    )
    found = [
        Evidence(
            way="augment", points=2 if facts.per_label < 30 else 1, how="our study", text=text, source="README, rows from a prompt alone"
        )
    ]
    if facts.call_usd is not None:
        cost = f"To label them once costs about ${facts.call_usd * facts.unlabelled:.2f}."
        found.append(
            Evidence(way="augment", points=0.5 if facts.call_usd * facts.unlabelled < facts.budget_usd else -1, how="arithmetic", text=cost)
        )
    return found


def long_inputs(facts: Facts) -> list[Evidence]:
    tokens = facts.chars / 4
    if tokens <= 256 or facts.task.kind in WRITES:
        return []
    text = f"An input has about {tokens:.0f} tokens, and minilm reads 256: the rest is cut. A longer base (limbeck find base), or a prompt, reads all of it."
    return [
        Evidence(way="training", points=-2, how="arithmetic", text=text),
        Evidence(way="prompting", points=1, how="arithmetic", text=text),
    ]


# ---- the kind of task --------------------------------------------------------------------------------------------------------


def knowledge_in_the_model(facts: Facts) -> list[Evidence]:
    if facts.task.kind is not Kind.CHOICE:
        return []
    text = (
        "Questions with options of their own ask for what a model knows. On commonsense questions the recorded PaLM-540B prompt stands at 0.769, "
        "our best student at 0.403 (500 rows)."
    )
    return [Evidence(way="prompting", points=3, how="our study", text=text, source="README, cqa")]


def answers_that_are_written(facts: Facts) -> list[Evidence]:
    if facts.task.kind not in WRITES:
        return []
    text = "The bases that come along and write have 1.9M parameters: toys. A student worth shipping needs a larger base that writes (limbeck find base)."
    return [
        Evidence(way="prompting", points=2, how="our study", text=text, source="docs/LOG.md, students that write"),
        Evidence(way="training", points=-1, how="our study", text=text, source="docs/LOG.md, students that write"),
    ]


def which_adapter(facts: Facts) -> list[Evidence]:
    if facts.task.kind in WRITES or not facts.train:
        return []
    text = (
        "head@minilm takes seconds and is the floor for every student. Of nine adapters on 1,000 rows, full and lora led (sst2 .841 and .844, "
        "banking77 .867 and .856), loreft trailed (.807, .843); intervals of about +-.027. qlora and qalora where memory is short."
    )
    return [Evidence(way="training", points=0.5, how="our study", text=text, source="bench/adapters/table.md")]


def rationales(facts: Facts) -> list[Evidence]:
    if facts.task.kind in WRITES or not facts.train:
        return []
    text = (
        "Learning from rationales: +1.1 to +6.0 points at 220M parameters in the paper (T5-base, four tasks). Against controls of equal cost we "
        "could not show a gain at 22.7M (-.021 to -.002 on dev): not first."
    )
    return [Evidence(way="augment", points=-0.5, how="published", text=text, source="arXiv 2305.02301; bench/stepwise/table.md")]


# ---- documents ---------------------------------------------------------------------------------------------------------------


def documents_to_look_up(facts: Facts) -> list[Evidence]:
    if not facts.documents:
        return []
    size = f"{facts.documents} documents, about {facts.document_tokens:,} tokens"
    found = [Evidence(way="retrieval", points=3, how="arithmetic", text=f"{size}: what stands in them, a prompt alone does not know.")]
    text = (
        "Training on raw passages taught a 7B model little (questions on SQuAD without the passage: 32.7 before, 33.5 after); on statements "
        "that a stronger model derived from them, 46.3. Quoted at second hand."
    )
    found.append(Evidence(way="retrieval", points=1, how="published", text=text, source="SEAL (Qwen2.5-7B), as quoted in summaries"))
    found.append(Evidence(way="training", points=-1, how="published", text=text, source="SEAL (Qwen2.5-7B), as quoted in summaries"))
    if facts.document_tokens <= FITS:
        found.append(Evidence(way="prompting", points=1, how="arithmetic", text=f"{size}: few enough to stand in a prompt whole."))
    text = (
        "A fact that was learnt in one direction is hardly known in the other after training (0.1 % against 96.7 %); in the prompt it is."
    )
    found.append(
        Evidence(
            way="retrieval",
            points=0.5,
            how="published",
            text=text,
            source="Berglund et al., arXiv 2309.12288; Lampinen et al., arXiv 2505.00661",
        )
    )
    return found


FITS = 30_000  # tokens that every hosted model of the price table takes beside the rest; a choice of ours


def documents_to_learn(facts: Facts) -> list[Evidence]:
    """Inferring once, before training, instead of in every call."""
    if not facts.documents or facts.task.kind not in WRITES:
        return []
    text = (
        "Training on documents and on what a model infers from them did as well as the documents in the prompt, or better, on reversals and "
        "syllogisms (one large model, paper); on knowledge of another distribution it is reported to scale poorly."
    )
    source = "Lampinen et al., arXiv 2505.00661; Chaudhry et al., arXiv 2604.01430"
    found = [Evidence(way="augment", points=1, how="published", text=text, source=source)]
    if facts.calls is not None and facts.calls >= MANY_CALLS:
        text = f"{facts.calls:,.0f} calls a month: what stands in a prompt is paid in each of them, what was learnt is paid once."
        found.append(Evidence(way="augment", points=1, how="arithmetic", text=text))
    return found


MANY_CALLS = 100_000  # a month; a choice of ours


def no_teacher(facts: Facts) -> list[Evidence]:
    if facts.teacher:
        return []
    text = "No teacher is named: of a prompt to a base of below 50M parameters we expect little, and have not measured it."
    return [Evidence(way=way, points=-1, how="expected", text=text) for way in ("prompting", "retrieval", "augment")]


RULES: tuple[Rule, ...] = (
    told_by_the_run,
    best_on_dev,
    latency_here,
    privacy,
    cost_of_calls,
    enough_to_measure,
    rows_for_a_student,
    few_rows_published,
    demonstrations_swing,
    unlabelled_rows,
    long_inputs,
    knowledge_in_the_model,
    answers_that_are_written,
    which_adapter,
    rationales,
    documents_to_look_up,
    documents_to_learn,
    no_teacher,
)
