"""A predictor of ours under lm-evaluation-harness: its tasks, its prompts, its grades, our model; results are files.

tasks --> rows here? --> local data set (harness_rows), else the Hub's --> evaluate(our model) --> <out>/<task>.json, -items.jsonl
own   --> rows with their prompts as a column (harness_own) ----------------^

The harness's task, version, demonstrations and filters are told with every figure, since each of them moves it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from limbeck import registry
from limbeck.bench.cells import stamp
from limbeck.bench.harness_open import BASE, TEACHER, Model, has_template, passages_of, prompt_of, task_and_rows, wrap
from limbeck.bench.harness_rows import SUITES, Suite, has_rows, write_suite
from limbeck.errors import LimbeckError, MissingError, UsageError
from limbeck.need import need
from limbeck.registry import Ask, near
from limbeck.run import write_json, write_lines
from limbeck.types import Frozen, sha_of

SEED = 1234  # of the draw of demonstrations; the harness's own
OWN = "own"


class Figure(Frozen):
    """One metric of one task. filter: how the answer was read out of the text ("none" where it was not). stderr: its standard
    error over rows; None where the harness gives none."""

    metric: str
    filter: str
    value: float
    stderr: float | None = None


class Result(Frozen):
    """state: ok | refused (reason says why). version: of the task. rows: answered, of so many. shots: demonstrations per row. cut:
    contexts that were longer than the model reads and lost their beginning. failed: replies that never came, each counted as an
    empty answer. parts: {subtask: its figures}. source: where the rows came from."""

    task: str
    state: str = "ok"
    reason: str = ""
    version: str = ""
    shots: int = 0
    rows: int = 0
    of: int = 0
    figures: tuple[Figure, ...] = ()
    parts: dict[str, tuple[Figure, ...]] = {}
    cut: int = 0
    failed: int = 0
    source: str = ""
    note: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class How:
    """out: the folder of results. data: public rows. shots, limit: None = as the task has it, all rows (limit counts per subtask).
    chat: contexts go through the model's chat template. include: a folder of further tasks. code: programs that a model wrote
    may run. ask: the teacher behind the store. note(task, done, total)."""

    out: Path
    data: Path
    shots: int | None = None
    limit: int | None = None
    chat: bool = False
    include: Path | None = None
    code: bool = False
    ask: Ask | None = None
    note: Callable[[str, int, int], None] = lambda task, done, total: None


def bench(model: Model, names: Sequence[str], how: How, run: str | None = None, rows: str | None = None) -> list[Result]:
    """Every task by itself: one that is refused leaves the others standing. Raises MissingExtra without lm-evaluation-harness, and
    the first refusal where all are refused."""
    quiet()
    found: list[Result] = []
    first: LimbeckError | None = None
    for name in names:
        began = time.monotonic()
        try:
            result, items = own(model, how, run, rows) if name == OWN else public(model, name, how)
        except (UsageError, MissingError) as refused:
            first = first or refused
            found.append(Result(task=name, state="refused", reason=f"{refused.what}: {refused.have}" if refused.have else refused.what))
            continue
        result = result.model_copy(update={"seconds": round(time.monotonic() - began, 1)})
        keep(model, result, items, how)
        found.append(result)
    if first is not None and all(r.state != "ok" for r in found):
        raise first
    return found


def quiet() -> None:
    """The harness tells of every step, and draws a bar for each. Before it is first imported; raises MissingExtra where it is not."""
    os.environ.setdefault("TQDM_DISABLE", "1")
    need("lm_eval", extra="bench")
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    need("datasets", extra="bench").disable_progress_bars()


def keep(model: Model, result: Result, items: list[dict[str, Any]], how: How) -> None:
    about = {"model": model.name, "model_sha": model.sha, "limit": how.limit, "chat": how.chat, **result.model_dump(mode="json")}
    versions = {**stamp(Path.cwd()), "lm-eval": version("lm-eval")}
    write_lines(how.out / f"{result.task}-items.jsonl", items)
    write_json(how.out / f"{result.task}.json", {**about, "versions": versions})


# ---- tasks -----------------------------------------------------------------------------------------------------------


def public(model: Model, name: str, how: How) -> tuple[Result, list[dict[str, Any]]]:
    """A task by its name in the harness, over local rows where there are some."""
    if how.chat and not (model.kind != TEACHER and not model.chooses and has_template(model)):
        have = f"{model.name} has none, or its endpoint applies one by itself"
        raise UsageError("--chat needs a model with a chat template", have, "leave --chat out")
    suite = SUITES.get(name)
    local = suite is not None and has_rows(how.data, suite)
    if name == "humaneval":
        allow_code(how)
        if suite is not None and not local:
            raise MissingError(
                "there are no rows of humaneval", f"{how.data} has no {suite.data}", "--data FOLDER with humaneval/test.jsonl.gz"
            )
    if suite is not None and local:
        folder = write_suite(suite, how.data, how.out / "tasks")
        paths = [folder, *([home(suite)] if suite.home else [])]
        tasks = load(f"{name}_rows", paths, defaults=False)
    else:
        tasks = load(name, [how.include] if how.include else [], defaults=True)
    shots = how.shots if how.shots is not None else suite.shots if suite else None
    source = f"{how.data.name}/{suite.data}" if suite and local else "the task's own data set"
    result, items = evaluate(model, name, tasks, how, shots=shots)
    return result.model_copy(update={"source": source, "note": suite.note if suite and local else ""}), items


def own(model: Model, how: How, run: str | None, rows: str | None) -> tuple[Result, list[dict[str, Any]]]:
    """The test rows of a run, or the rows of a file, as the model reads them when it predicts."""
    from limbeck.bench.harness_own import write_own

    task, test, train = task_and_rows(run, model, rows)
    picked = registry.take("contexts", "random")(task, train, how.shots, SEED) if how.shots else None
    if how.shots and (model.kind != BASE or not train):
        raise UsageError(
            "demonstrations of own rows are for a base, from a run's training rows", f"--shots {how.shots}", "leave --shots out"
        )
    prompt = prompt_of(model, task, picked or (lambda row: ()))
    blank = model.chooses or not has_template(model)
    shown = picked or ((lambda row: ()) if model.kind == BASE else None)
    folder = write_own(task, passages_of(model, test), prompt, how.out / "tasks", blank=blank, shots=shown)
    result, items = evaluate(model, OWN, load(OWN, [folder], defaults=False), how, shots=None, task=task)
    shots = (how.shots or 0) + (len(task.demonstrations) if shown else 0)
    return result.model_copy(update={"source": f"{len(test)} rows of {run or rows}", "shots": shots}), items


def allow_code(how: How) -> None:
    if not how.code:
        have = "nobody has allowed that; they run confined, which is no promise against one made to break out"
        raise UsageError("HumanEval runs programs that a model wrote", have, "--run-code, in a container for a model that you do not trust")
    os.environ["LIMBECK_RUN_CODE"] = "1"


def home(suite: Suite) -> Path:
    """Where the harness keeps this task: the index of all its tasks takes a while to read."""
    return Path(need("lm_eval", extra="bench").__file__ or "").resolve().parent / "tasks" / suite.home


def load(name: str, paths: Sequence[Path], *, defaults: bool) -> dict[str, Any]:
    """{tasks, groups, group_map}, as the harness evaluates them. Raises UsageError for a name that it does not know, MissingError
    where a data set cannot be had."""
    manager = need("lm_eval.tasks", extra="bench").TaskManager(include_path=list(paths) or None, include_defaults=defaults)
    if name not in manager.all_tasks:
        raise UsageError(f"lm-evaluation-harness has no task {name!r}", near(name, manager.all_tasks), "--include DIR for tasks of yours")
    try:
        found = manager.load([name])
    except (OSError, ImportError) as absent:  # the Hub's errors are ConnectionError and FileNotFoundError
        have = (str(absent).splitlines() or [type(absent).__name__])[0][:200]
        raise MissingError(f"the data set of {name} cannot be had", have, "with a network, or --data FOLDER with its rows") from absent
    if name.endswith("_rows") and name in found["groups"]:
        found = manager.load(list(found["groups"][name]))  # the members of our group are the harness's own tasks
    return dict(found)


def evaluate(
    model: Model, name: str, loaded: dict[str, Any], how: How, *, shots: int | None, task: Any = None
) -> tuple[Result, list[dict[str, Any]]]:
    """task: the task of own rows. The harness's evaluate, with our model."""
    for one in loaded["tasks"].values():
        set_shots(one, shots)
    greedy = any(looks_at_greedy(one) for one in loaded["tasks"].values())
    lm = open_lm(model, name, how, greedy, task)
    found = need("lm_eval.evaluator", extra="bench").evaluate(
        lm=lm, task_dict=loaded, limit=how.limit, bootstrap_iters=1000, log_samples=True, apply_chat_template=how.chat and task is None,
        fewshot_as_multiturn=how.chat and task is None,
    )  # fmt: skip
    result = read(name, found, loaded)
    items = [{"task": at, **item} for at, some in found["samples"].items() for item in map(plain_item, some)]
    return result.model_copy(update={"cut": len(getattr(lm, "cut", ())), "failed": len(getattr(lm, "failed", ()))}), items


def open_lm(model: Model, name: str, how: How, greedy: bool, task: Any) -> Any:
    from limbeck.bench.harness_models import Items

    mode = [model.sha, "own" if task else "public", how.chat, greedy]
    items = None if model.kind == TEACHER else Items(how.out / "answers" / f"{sha_of(mode)}.jsonl")
    return wrap(
        model, items=items, own=task, greedy=greedy, chat=how.chat, note=lambda done, total: how.note(name, done, total), ask=how.ask
    )


def set_shots(task: Any, shots: int | None) -> None:
    """As the harness does it: a task that says 0 keeps 0. Raises UsageError for demonstrations out of the rows that are tested."""
    said = task.get_config("num_fewshot")
    count = (said or 0) if shots is None or said == 0 else shots
    task.set_config(key="num_fewshot", value=count)
    task.set_fewshot_seed(seed=SEED)
    config = task.config
    tested = config.test_split or config.validation_split
    source = task.fewshot_cfg.split or (
        "samples" if task.fewshot_cfg.samples else config.training_split or config.validation_split or tested
    )
    if count and source == tested:
        have = f"{config.task} names no other split, and the harness would take {tested!r}"
        raise UsageError("demonstrations would come from the rows that are tested", have, "--shots 0")


def looks_at_greedy(task: Any) -> bool:
    """Whether a grade asks if greedy decoding would have written an option."""
    kind, metrics = task.get_config("output_type"), {str(m.get("metric")) for m in task.get_config("metric_list") or ()}
    return kind == "loglikelihood" or (kind == "multiple_choice" and "exact_match" in metrics)


# ---- what came out ---------------------------------------------------------------------------------------------------


def read(name: str, found: dict[str, Any], loaded: dict[str, Any]) -> Result:
    groups = found.get("groups") or {}
    parts = {at: figures(values) for at, values in found["results"].items() if at in loaded["tasks"]}
    whole = groups.get(name) or (found["results"].get(next(iter(parts))) if len(parts) == 1 else {})
    versions = {str(found["versions"].get(at) or "none") for at in ([name] if name in groups else parts)}
    counts = [found["n-samples"][at] for at in parts]
    return Result(
        task=name,
        version=", ".join(sorted(versions)),
        shots=max((int(found["n-shot"].get(at) or 0) for at in parts), default=0),
        rows=sum(int(c["effective"]) for c in counts),
        of=sum(int(c["original"]) for c in counts),
        figures=figures(whole or {}),
        parts=parts if len(parts) > 1 else {},
    )


def figures(values: dict[str, Any]) -> tuple[Figure, ...]:
    """ "exact_match,strict-match": 0.2 and "exact_match_stderr,strict-match": 0.04 -> one Figure."""
    found = []
    for key, value in values.items():
        metric, comma, how = key.partition(",")
        if not comma or metric.endswith("_stderr") or not isinstance(value, int | float):
            continue
        error = values.get(f"{metric}_stderr,{how}")
        found.append(Figure(metric=metric, filter=how, value=float(value), stderr=float(error) if isinstance(error, int | float) else None))
    return tuple(found)


def plain_item(item: dict[str, Any]) -> dict[str, Any]:
    """What was asked, what came, how it was read and graded: enough to see where a figure comes from."""
    asked = [list(pair) for pair in item["arguments"]]
    graded = {metric: item[metric] for metric in item["metrics"] if isinstance(item.get(metric), int | float | str)}
    return {
        "row": item["doc_id"], "filter": item["filter"], "asked": asked, "answers": item["resps"], "read": item["filtered_resps"],
        "target": item["target"], **graded,
    }  # fmt: skip
