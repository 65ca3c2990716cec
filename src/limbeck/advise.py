"""`limbeck advise`: which of prompting, retrieval and training to try first, from what is at hand alone. Asks nobody, trains nothing.

facts -> every rule of advise_rules.RULES -> evidence for or against each way -> the order, and the command to type next."""

from __future__ import annotations

import shlex
from pathlib import Path

from limbeck.advise_rules import RULES, WAYS, Evidence, Facts
from limbeck.contexts.documents import find_files
from limbeck.curate.split import size_of_dev, size_of_test
from limbeck.estimate import made_up, prompt_tokens, reply_tokens, spread
from limbeck.preflight import measured, task_name
from limbeck.render import messages
from limbeck.run import RunFolder, read_json
from limbeck.sources.files import read_rows
from limbeck.tasks import parse
from limbeck.teachers.prices import price_of
from limbeck.types import Frozen, Kind, Price, Report, Settings

SAMPLE = 200  # rows whose prompts are measured


class Way(Frozen):
    """One thing to try. points: the sum over its evidence; a way that is ruled out has none."""

    name: str
    points: float
    ruled_out: bool
    evidence: tuple[Evidence, ...]


class Advice(Frozen):
    """ways: best first. why: the evidence that speaks for the first. commands: what to type next, in order. not_known: what was not
    measured, and so is not claimed."""

    task: str
    kind: Kind
    first: str
    ways: tuple[Way, ...]
    why: tuple[str, ...]
    commands: tuple[str, ...]
    not_known: tuple[str, ...]


def advise(
    settings: Settings,
    prompt: str,
    runs: Path | None = None,
    private: bool = False,
    latency_ms: float | None = None,
    calls: float | None = None,
    typed: tuple[str, ...] = (),
) -> Advice:
    """private: texts may not leave this machine. latency_ms: an answer has to be there by then. calls: per month.
    typed: the options as the user wrote them, each with its value, for the command to type next."""
    facts = facts_of(settings, prompt, runs, private, latency_ms, calls, typed)
    evidence = [one for rule in RULES for one in rule(facts)]
    ways = sorted((way_of(name, evidence) for name in WAYS), key=lambda way: (way.ruled_out, -way.points))
    first = ways[0]
    return Advice(
        task=facts.task.name,
        kind=facts.task.kind,
        first=first.name,
        ways=tuple(ways),
        why=tuple(one.text for one in first.evidence if one.points > 0),
        commands=commands(facts, first.name),
        not_known=not_known(facts),
    )


def way_of(name: str, evidence: list[Evidence]) -> Way:
    mine = sorted((one for one in evidence if one.way == name), key=lambda one: -abs(one.points))
    return Way(name=name, points=sum(one.points for one in mine), ruled_out=any(one.rules_out for one in mine), evidence=tuple(mine))


# ---- what is at hand ---------------------------------------------------------------------------------------------------


def facts_of(
    settings: Settings, prompt: str, runs: Path | None, private: bool, latency_ms: float | None, calls: float | None, typed: tuple[str, ...]
) -> Facts:
    """Read, never asked. Raises what reading rows, documents and a run folder raises."""
    rows = [row for path in settings.rows for row in read_rows(Path(path), settings.columns)[0]]
    test = read_rows(Path(settings.test), settings.columns)[0] if settings.test else None
    dev = read_rows(Path(settings.dev), settings.columns)[0] if settings.dev else None
    unlabelled = read_rows(Path(settings.unlabelled), settings.columns, need_output=False)[0] if settings.unlabelled else []
    task = measured(parse.parse(prompt, task_name(Path(settings.prompt)), [*rows, *(test or [])], settings.kind), settings)
    n_test = len(test) if test is not None else size_of_test(len(rows)) if rows else 0
    left = rows if test is not None else rows[: max(0, len(rows) - n_test)]
    n_dev = len(dev) if dev is not None else size_of_dev(task, left) if left else 0
    price = price_of(settings.teacher, settings.price) if settings.teacher else None
    some = spread(rows or unlabelled, SAMPLE) or [made_up(task)]
    tokens_in = sum(prompt_tokens(messages(task, row.blind())) for row in some) / len(some)
    documents = find_files(Path(settings.docs)) if settings.docs else []
    return Facts(
        task=task,
        prompt=settings.prompt,
        options=typed,
        rows=len(rows),
        train=max(0, len(left) - (n_dev if dev is None else 0)),
        dev=n_dev,
        test=n_test,
        unlabelled=len(unlabelled),
        chars=sum(len(row.input) for row in some) / len(some),
        rationales=sum(bool(row.rationale) for row in rows),
        prompt_tokens=tokens_in,
        call_usd=call_usd(price, tokens_in, reply_tokens(task, some)),
        teacher=settings.teacher or "",
        remote=bool(settings.teacher) and not str(settings.teacher).startswith(("local:", "recorded:")),
        documents=len(documents),
        document_tokens=round(sum(path.stat().st_size for path in documents) / 4),
        private=private,
        latency_ms=latency_ms,
        calls=calls,
        budget_usd=settings.budget_usd,
        report=read_report(runs) if runs else None,
        run=str(runs or ""),
    )


def call_usd(price: Price | None, tokens_in: float, tokens_out: tuple[float, float]) -> float | None:
    return price.of(round(tokens_in), round(sum(tokens_out) / 2)) if price else None


def read_report(runs: Path) -> Report:
    """Of a run folder, or of the newest one in a folder of runs."""
    folders = [runs] if (runs / "5-report.json").is_file() else sorted((p.parent for p in runs.glob("*/5-report.json")), key=age)
    return read_json(RunFolder(folders[-1] if folders else runs).report, Report)


def age(folder: Path) -> float:
    return (folder / "5-report.json").stat().st_mtime


# ---- what to type ------------------------------------------------------------------------------------------------------


def commands(facts: Facts, first: str) -> tuple[str, ...]:
    typed, prompt = " ".join(facts.options), shlex.quote(facts.prompt)
    run = " ".join(["limbeck run", prompt, typed]).strip()
    teacher = "" if facts.teacher else " --teacher MODEL"
    writes, recorded = facts.task.kind in (Kind.TEXT, Kind.FIELDS), facts.teacher.startswith("recorded:")
    students = "full@tiny,lora@tiny" if writes else "majority,nearest,head@minilm,full@minilm,lora@minilm"
    alone = f"{run} --candidates {students}"
    prompts = "prompt@teacher" if recorded else "prompt@teacher,prompt+few:8@teacher,prompt+few:8:nearest@teacher"
    if first == "rows":
        if facts.report is not None:
            return (f"limbeck label {shlex.quote(facts.run)}", run)
        return (f"limbeck rows {prompt} {taken(facts, ROWS_TAKES)}{teacher} -n 300".replace("  ", " "), f"{run}{teacher} --dry-run")
    if first == "prompting":
        tune = f"limbeck prompt tune {prompt} {taken(facts, TUNE_TAKES)}{teacher}".replace("  ", " ")
        return (
            *((tune,) if facts.dev and not recorded else ()),
            f"{run}{teacher} --candidates {prompts}" + ("" if writes else ",head@minilm"),
        )
    if first == "retrieval":
        return (f"{run}{teacher} --candidates prompt@teacher,prompt+rag:4@teacher",)
    if first == "augment" and facts.documents and not facts.unlabelled:
        return (f"{run}{teacher} --candidates prompt@teacher,prompt+rag:4@teacher,full@tiny,full+augment:both@tiny",)
    if first == "augment":
        return (f"{run}{teacher} --candidates head@minilm,head+rows:gold@minilm,full@minilm,full+rows:gold@minilm,prompt@teacher",)
    if writes:
        return (f"limbeck find base {prompt}", alone)
    return (alone if facts.private or not facts.teacher else run,)  # with a teacher the usual candidates, the prompts among them


TUNE_TAKES = ("--rows", "--dev", "--test", "--columns", "--kind", "--teacher", "--price", "--budget")
ROWS_TAKES = ("--rows", "--kind", "--teacher", "--price", "--budget")


def taken(facts: Facts, names: tuple[str, ...]) -> str:
    """Of the options that were typed, those that another command has too."""
    return " ".join(part for part in facts.options if part.split(" ")[0] in names)


def not_known(facts: Facts) -> tuple[str, ...]:
    found = []
    if facts.report is None:
        found.append("nothing was measured on your rows: give a finished run with --runs FOLDER")
    if facts.teacher and facts.call_usd is None:
        found.append(f"the price of {facts.teacher} is not known (--price IN/OUT): costs were left out")
    if not facts.teacher:
        found.append("no teacher was named (--teacher): nothing is known of its answers, its price, or how long it takes")
    if facts.latency_ms is not None and facts.report is None:
        found.append("latency was not measured here")
    return tuple(found)
