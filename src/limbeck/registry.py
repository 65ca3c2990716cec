"""Name -> thing. A shelf is a table of "module:attribute" strings; a thing is imported when it is first taken.

Plug-ins register by entry points of the same shape, in the group `limbeck.<shelf>`:

    [project.entry-points."limbeck.adapters"]
    prefix = "my_package.prefix:PREFIX"

Below the functions stand the records that lie on the shelves: what a plug-in of each kind has to offer."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from limbeck.errors import UsageError
from limbeck.shelves import about, names
from limbeck.types import Card, Example, Kind, Message, Prediction, Predictor, Price, Recipe, Reply, Request, Task, Value

MOST_NAMED = 24  # of what there is, where nothing is near


def take(shelf: str, name: str) -> Any:
    """The thing itself. Raises UsageError with the nearest names where there is no such thing."""
    where = names(shelf).get(name)
    if where is None:
        raise UsageError(f"unknown {shelf.rstrip('s')} {name!r}", near(name, names(shelf)), f"limbeck list {shelf}")
    module, _, attribute = where.partition(":")
    return getattr(importlib.import_module(module), attribute)


def near(name: str, known: Sequence[str] | dict[str, str]) -> str:
    """ "did you mean ..." or the whole list."""
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    some = list(known)[:MOST_NAMED]
    return f"there are: {', '.join(some)}" + (f" and {len(known) - len(some)} more" if len(known) > len(some) else "")


__all__ = ["Adapter", "Ask", "Exporter", "FitJob", "Fitted", "Metric", "Note", "Objective", "Teacher", "about", "names", "near", "take"]


# ---- what lies on the shelves --------------------------------------------------------------------------------

Ask = Callable[[Sequence[Request]], "list[Reply | Exception]"]  # one outcome per request, same order
Note = Callable[[int, int, str], None]  # done, total, what


@dataclass(frozen=True)
class FitJob:
    """Everything that fitting one candidate may use. folder: its own, for checkpoints; an interrupted fit is resumed
    from there. ask: the teacher behind the store (None = no teacher). shots: input -> demonstrations.
    price: of that teacher. objective: the loss, from its shelf.
    dev empty = no choosing: train for `epochs` of the recipe's values. deadline_s: seconds left for this fit.
    threads, dtype: of engine.device.Speed, so that a resumed run computes as it began (None = measured)."""

    task: Task
    recipe: Recipe
    train: Sequence[Example]
    dev: Sequence[Example]
    seed: int
    folder: Path
    note: Note = lambda done, total, what: None
    ask: Ask | None = None
    shots: Callable[[Example], Sequence[Example]] | None = None
    price: Price | None = None
    objective: Objective | None = None
    threads: int | None = None
    dtype: str | None = None
    deadline_s: float | None = None


@dataclass(frozen=True)
class Fitted:
    """What fitting gives. chosen: numbers that dev chose (epochs, C, k, ...), used again in the refit on train + dev.
    history: one dict per epoch. save: writes a self-contained model folder that the adapter's `load` reads back, or
    None where there is nothing to ship. not_deterministic: why a second run may differ ("" = it may not).
    measured: what the adapter found out about the base, for the report. prompt: the exact text that is sent for a row, where one is."""

    predictor: Predictor
    chosen: dict[str, Any] = field(default_factory=dict)
    history: tuple[dict[str, float], ...] = ()
    trainable_parameters: int = 0
    size_mb: float = 0.0
    save: Callable[[Path], None] | None = None
    truncated: int = 0
    not_deterministic: str = ""
    measured: tuple[Value, ...] = ()
    prompt: Callable[[Example], Sequence[Message]] | None = None


@dataclass(frozen=True)
class Adapter:
    """Which numbers move. Either `fit` (own way: head, majority, prompt), or `attach` (a torch model in the one training
    loop). attach(model, recipe) -> model with exactly the trainable parameters requiring grad.
    merge(model) -> plain model of the base's class; None where what was learnt does not fit into the base's weights.
    save(model, folder) and load(folder) -> model: of what `merge` gave, or of the attached model, where it is no plain
    transformers model; None: save_pretrained. numbers(recipe, task, rows) -> values of its own beside the general ones.
    measure(attached model) -> values for the report.
    may_ask: its base may be the teacher (Recipe.asks_teacher says whether it is).
    cheap: refitted on train + dev before its test scoring, always.
    group: baseline | prompt | student. modifiers: axes (context, rows, objective) whose modifiers make sense with it.
    args: regular expression of what may stand behind its colon, "" = nothing; takes: the same for people, by examples.
    The module that holds the record is imported to read a recipe: torch is imported inside the functions."""

    name: str
    group: str
    kinds: tuple[Kind, ...]
    modifiers: tuple[str, ...] = ()
    args: str = ""
    takes: str = ""
    needs_base: bool = True
    may_ask: bool = False
    cheap: bool = False
    fit: Callable[[FitJob], Fitted] | None = None
    attach: Callable[[Any, Recipe], Any] | None = None
    merge: Callable[[Any], Any] | None = None
    save: Callable[[Any, Path], None] | None = None
    load: Callable[[Path], Any] | None = None
    numbers: Callable[[Recipe, Task, int], Sequence[Value]] | None = None
    measure: Callable[[Any], Sequence[Value]] | None = None


@dataclass(frozen=True)
class Objective:
    """Which loss. features(task, examples, tokenizer, max_length) -> list of dicts of int lists, one per training
    item; loss(model, batch) -> (scalar tensor, {name: float} to log, each part of the loss apart).

    args: regular expression of what may stand behind its colon, "" = nothing. rationales: it learns from rationales (but for the
    arguments in `without`), so
    that rows without one get theirs from the teacher before training. numbers(recipe, task, rows) -> values of its own.
    refuse(recipe, family of the base): raises UsageError where the two make no sense together.
    bind(recipe, seed) -> the same objective with the recipe's arguments and values taken in; the rest is called on that.
    read(reading, base) -> how a student that writes reads and answers under it, in training and when deployed.
    start(student, base, features): hangs on what only training needs (a rationale's decoder);
    finish(student): takes it off again, before anything is merged or saved.
    The module that holds the record is imported to read a recipe, where `args` is set: torch inside the functions."""

    name: str
    kinds: tuple[Kind, ...]
    features: Callable[..., list[dict[str, Any]]]
    loss: Callable[..., tuple[Any, dict[str, float]]]
    args: str = ""
    rationales: bool = False
    without: tuple[str, ...] = ()
    numbers: Callable[[Recipe, Task, int], Sequence[Value]] | None = None
    refuse: Callable[[Recipe, str], None] | None = None
    bind: Callable[[Recipe, int], Objective] | None = None
    read: Callable[[Any, Any], Any] | None = None
    start: Callable[[Any, Any, list[dict[str, Any]]], None] | None = None
    finish: Callable[[Any], None] | None = None


@dataclass(frozen=True)
class Metric:
    """row(task, example, prediction) -> float, or None = not scored. corpus(task, examples, predictions) -> float or
    None, where the figure is no mean over rows. Exactly one of the two is set. All metrics: higher is better, or
    `lower_is_better` is set. bounded: values lie in [0, 1]. prepare: reads the rows once and gives row numbers -> the
    corpus figure on those rows, for the bootstrap, which asks a thousand times; set with every corpus.
    rows: `row` of many at once, where that is cheaper (a model's batches); it gives what `row` gives.
    samples: gold answers that it can score, where not any text is one; for the contract."""

    name: str
    kinds: tuple[Kind, ...]
    row: Callable[[Task, Example, Prediction], float | None] | None = None
    corpus: Callable[[Task, Sequence[Example], Sequence[Prediction]], float | None] | None = None
    lower_is_better: bool = False
    bounded: bool = True
    prepare: Callable[[Task, Sequence[Example], Sequence[Prediction]], Callable[[Sequence[int]], float | None]] | None = None
    rows: Callable[[Task, Sequence[Example], Sequence[Prediction]], list[float | None]] | None = None
    samples: tuple[str, ...] = ()


class Teacher(Protocol):
    """A model that is asked. fingerprint: everything that changes its answers (address, model), no secrets; part of
    the content address. remote: requests cost money or another machine's time. price None = unknown.
    recording: answers are keyed by task input and do not change with the prompt.
    ask: may be called from several threads where remote; gives 1 to n texts, Transient(kind="timeout") after timeout_s
    (a teacher in this process cannot be interrupted); raises Transient, Declined, MissingKey or ProviderError."""

    name: str
    model: str
    fingerprint: str
    remote: bool
    recording: bool
    price: Price | None

    def ask(self, request: Request, timeout_s: float = 60.0) -> Reply: ...


@dataclass(frozen=True)
class Exporter:
    """write(model folder, destination, card) -> the files written; raises ModelError where parity cannot hold."""

    name: str
    write: Callable[[Path, Path, Card], list[Path]]
