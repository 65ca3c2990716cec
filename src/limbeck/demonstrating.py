"""What a candidate is shown before the input: `few` rows by a picker, or `many`, as many training rows as its window holds.

few:k[:picker]  the picker lies on the shelf `contexts`; random where none is named. Of rows that a teacher's window does not hold
                the first, the least telling, are left out, as a base of this machine leaves them out
many            every row, in an order that takes the labels in turn, cut where the longest input would no longer fit behind it.
                The same text before the input in every call, so that a provider's prefix cache finds it again"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from limbeck import registry, render
from limbeck.curate.leak import HeldOut
from limbeck.curate.leak_docs import told
from limbeck.errors import UsageError
from limbeck.render_structure import of_recipe
from limbeck.teachers.tokens import tokens_of
from limbeck.teachers.windows import window_of
from limbeck.types import TEACHER, Example, Message, Recipe, Task, Value

MARGIN = 1.3  # tokenizers that make more of a text than one token of four characters; beyond it, every call would be declined
TEMPLATE = 8  # tokens that a chat template puts around a message, at most

Count = Callable[[Sequence[Message]], int]  # tokens of a prompt


def is_few(recipe: Recipe) -> bool:
    return recipe.context.partition(":")[0] == "few"


def is_many(recipe: Recipe) -> bool:
    return recipe.context == "many"


def shows(recipe: Recipe) -> bool:
    """Whether anything stands in its prompt beside the task, the passages and the input."""
    return is_few(recipe) or is_many(recipe)


def reasons_first(recipe: Recipe) -> bool:
    """It is asked for reasons, then the answer."""
    return recipe.adapter == "prompt" and of_recipe(recipe).steps


@dataclass(frozen=True)
class Shots:
    """input -> demonstrations, the most telling last. shown, there: rows of those that there are, for `many`; tokens: of a prompt
    with the longest input. pool: the rows that are picked from. left_out: training rows that are copies of held-out ones, and documents that hold some."""

    pick: Callable[[Example], Sequence[Example]]
    shown: int = 0
    there: int = 0
    tokens: int = 0
    left_out: int = 0
    pool: Sequence[Example] = ()
    check: Callable[[Example], Sequence[Example]] | None = None  # pick, with the leak guard behind it

    def __call__(self, example: Example) -> Sequence[Example]:
        return (self.check or self.pick)(example)

    def prepare(self, examples: Sequence[Example]) -> None:
        """What can be done for many inputs at once, such as embedding them, is."""
        ready = getattr(self.pick, "prepare", None)
        if ready is not None:
            ready(examples)

    def measured(self, recipe: Recipe) -> list[Value]:
        """For the report."""
        found = [Value(name="rows_left_out", value=self.left_out, why=LEFT_OUT)] if self.left_out else []
        if not is_many(recipe):
            return found
        cut = "all of them" if self.shown == self.there else "in an order that takes the labels in turn, by seed, until the window is full"
        whose = "tokens estimated" if recipe.value("counted_by") == "estimate" else "tokens"
        text = f"{self.shown:,} of {self.there:,}"
        why = f"{cut}; with the longest input a prompt has {self.tokens:,} {whose} of {int(recipe.value('window')):,}"
        return [*found, Value(name="rows_shown", value=text, why=why)]


LEFT_OUT = "never shown: copies of dev or test rows, or documents that hold one with its answer"


def demonstrations(
    task: Task, recipe: Recipe, train: Sequence[Example], seed: int, asked: Sequence[Example] = (), held_out: HeldOut | None = None
) -> Shots | None:
    """What the recipe shows; None where it shows nothing. train: rows with an empty input are documents, which `many` quotes before
    the question and `few` leaves out. asked: rows that are going to be asked about, for their length. held_out: rows of dev and
    test, none of which may be shown; raises LimbeckError where one would be."""
    if not shows(recipe):
        return None
    there = pool_of(recipe, train)
    pool = there if held_out is None else without_leaks(there, held_out)
    shots = many(task, recipe, pool, seed, asked) if is_many(recipe) else Shots(few(task, recipe, pool, seed))
    if is_few(recipe) and recipe.value("window"):
        shots = replace(shots, pick=Trimmed(task, recipe, shots.pick))
    if held_out is None:
        return replace(shots, pool=pool)
    return replace(shots, pool=pool, check=held_out.guarding(shots.pick), left_out=len(there) - len(pool))


def without_leaks(rows: Sequence[Example], held_out: HeldOut) -> list[Example]:
    kept = held_out.without(rows)
    documents = [row for row in kept if not row.input]
    if not documents:
        return kept
    passages = [(row.id, row.output or "") for row in documents]
    gone = {documents[n].id for numbers in told(held_out.rows, passages).values() for n in numbers}
    return [row for row in kept if row.input or row.id not in gone]


def none_to_show(recipe: Recipe, train: Sequence[Example]) -> str:
    """Why a candidate that shows rows has none to show, or ""."""
    if not shows(recipe):
        return ""
    if pool_of(recipe, train):
        return ""
    if reasons_first(recipe) and any(row.output and row.input for row in train):
        return "no training row has a rationale to show (a column rationale); prompt:cot@teacher asks for reasons without rows"
    return "there is no training row to show"


def explained(recipe: Recipe, train: Sequence[Example]) -> Sequence[Example]:
    """The rows, each with a rationale where the recipe shows some: those that the run is going to buy are not there yet."""
    if not reasons_first(recipe):
        return train
    return [row if row.rationale else row.model_copy(update={"rationale": "x" * REASON_CHARS}) for row in train]


REASON_CHARS = 160  # of a rationale that is not there yet


def pool_of(recipe: Recipe, train: Sequence[Example]) -> list[Example]:
    rows = [row for row in train if row.output and (row.input or is_many(recipe))]
    return [row for row in rows if row.rationale or not row.input] if reasons_first(recipe) else rows


def few(task: Task, recipe: Recipe, pool: Sequence[Example], seed: int) -> Any:
    _, k, *named = recipe.context.split(":")
    pick = registry.take("contexts", named[0] if named else "random")
    return pick(task, pool, int(k), seed, {value.name: value.value for value in recipe.values})


# ---- few rows that are too long ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Trimmed:
    """A picker whose rows fit the recipe's window, the answer beside them: the last of those that it picks."""

    task: Task
    recipe: Recipe
    pick: Callable[[Example], Sequence[Example]]

    def __call__(self, example: Example) -> Sequence[Example]:
        picked, room = list(self.pick(example)), int(self.recipe.value("window")) - answer_tokens(self.recipe)
        count = counter(str(self.recipe.value("counted_by", "estimate")))
        shown = most_that_fit(
            len(picked), lambda n: count(prompt_of(self.task, self.recipe, example.blind(), picked[len(picked) - n :])) <= room
        )
        return picked[len(picked) - shown :]

    def prepare(self, examples: Sequence[Example]) -> None:
        if (ready := getattr(self.pick, "prepare", None)) is not None:
            ready(examples)


def trimmed_to_window(
    task: Task, recipe: Recipe, train: Sequence[Example], seed: int, asked: Sequence[Example], teacher: str | None, window: Any
) -> tuple[Recipe, str]:
    """(the recipe, what of its rows does not fit, in words), for few:k of a teacher whose window is known, from `window` or our
    table. Where all rows fit, it stays as it is. Raises UsageError where for no input there is room for a single row."""
    found = known_window(teacher or "", window)
    pool = pool_of(recipe, explained(recipe, train))
    if not is_few(recipe) or recipe.base != TEACHER or found is None or not pool:
        return recipe, ""
    k, tokens, by = int(recipe.context.split(":")[1]), found[0].value, found[1]
    fitted = recipe.model_copy(update={"values": (*recipe.values, *found)})
    longest = sorted(pool, key=lambda row: len(row.input) + len(row.output or ""))[-k:]
    rows = sorted(asked or pool, key=lambda row: len(row.input))
    room, count = tokens - answer_tokens(fitted), counter(str(by.value))
    if count(prompt_of(task, recipe, rows[-1].blind(), longest)) <= room:
        return recipe, ""
    pick = few(task, by_words(fitted), pool, seed)
    some = rows[:: max(1, len(rows) // SOME)]
    shown = [(len(pick(row)), len(Trimmed(task, fitted, pick)(row))) for row in some]
    if not any(there for _, there in shown):
        took = min(count(prompt_of(task, recipe, row.blind(), pick(row)[-1:])) for row in some)
        have = f"its window is {tokens:,} tokens; the task, an input and one row take {took:,} or more, and the answer {tokens - room:,}"
        raise UsageError(f"{recipe.text!r} has no room for a single row", have, "--set window=N with a larger N, or another candidate")
    short = sum(there < picked for picked, there in shown)
    mean = sum(there for _, there in shown) / len(shown)
    return fitted, (
        f"{recipe.text}: {k} rows do not fit its window of {tokens:,} tokens with {short} of {len(some)} inputs; the least telling are "
        f"left out, {mean:.1f} stand in a prompt on average"
    ) if short else ""


SOME = 100  # inputs that are looked at before money is spent


def by_words(recipe: Recipe) -> Recipe:
    """The same, picking by words where it would compare embeddings: an estimate loads no model."""
    in_words = [Value(name="similarity", value="words", why=""), *(v for v in recipe.values if v.name != "similarity")]
    return recipe.model_copy(update={"values": tuple(in_words), "context": recipe.context.replace(":dense", ":nearest")})


# ---- as many as fit --------------------------------------------------------------------------------------------------


def many(task: Task, recipe: Recipe, pool: Sequence[Example], seed: int, asked: Sequence[Example]) -> Shots:
    """Raises UsageError where the window does not even hold the longest input with one row."""
    pick = registry.take("contexts", "random")
    order = pick(task, pool, len(pool), seed)(Example(id="", input=""))
    count = counter(str(recipe.value("counted_by", "estimate")))
    longest = max(asked or pool or [Example(id="", input="")], key=lambda row: len(render.question(task, row))).blind()
    window = int(recipe.value("window") or 0)
    room = window - answer_tokens(recipe)

    def tokens(n: int) -> int:
        return count(prompt_of(task, recipe, longest, order[:n]))

    order = [
        row
        for row in order
        if len(row.input) + len(row.output or "") <= room // 4 or count(prompt_of(task, recipe, longest, [row])) <= room
    ]
    shown = most_that_fit(len(order), lambda n: tokens(n) <= room)
    if pool and not shown:
        took = min(count(prompt_of(task, recipe, longest, [row])) for row in pool)
        have = f"its window is {window:,} tokens; the task, the longest input and one row take {took:,}, and the answer {window - room:,}"
        raise UsageError(f"{recipe.text!r} has no room for a single row", have, "--set window=N with a larger N, or another candidate")
    kept = order[:shown]
    return Shots(pick(task, kept, len(kept), seed), shown, len(pool), tokens(shown) if order else 0)


def most_that_fit(n: int, fits: Callable[[int], bool]) -> int:
    """The largest number up to n that fits, where a smaller one always fits too. Few are tried, and none much above it."""
    low, step = 0, 1
    while low + step <= n and fits(low + step):
        low, step = low + step, 2 * step
    high = min(n, low + step - 1) if low + step <= n else n
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def prompt_of(task: Task, recipe: Recipe, example: Example, shots: Sequence[Example]) -> tuple[Message, ...]:
    """As the candidate itself is going to be asked."""
    return render.messages(task, example, shots, structure=of_recipe(recipe))


def answer_tokens(recipe: Recipe) -> int:
    """Tokens that the window has to keep for the answer. The encoder of an encoder-decoder keeps none."""
    from limbeck.engine.load import SEQ2SEQ, family_of_name

    base = str(recipe.value("counted_by", "estimate"))
    if base != "estimate" and family_of_name(base) == SEQ2SEQ:
        return 0
    return int(recipe.value("max_tokens", recipe.value("max_answer", 256)))


def counter(name: str) -> Count:
    """estimate: four characters a token, with a margin; else the tokenizer of this base, with its chat template."""
    if name == "estimate":
        return lambda messages: math.ceil(MARGIN * tokens_of(m.content for m in messages)) + TEMPLATE * len(messages)
    from limbeck.engine.load import family_of_name, find_folder, read_tokenizer
    from limbeck.engine.tokens import chat_text, prompt_ids

    folder = registry.take("bases", name).folder() if name in registry.names("bases") else find_folder(name)
    tokenizer, family = read_tokenizer(folder), family_of_name(name)
    return lambda messages: len(prompt_ids(tokenizer, family, chat_text(tokenizer, messages)))


# ---- the window ------------------------------------------------------------------------------------------------------


def with_window(recipe: Recipe, teacher: str | None) -> Recipe:
    """A recipe with `many` knows how much its model takes, and who counts. teacher: as --teacher names it. Raises UsageError where
    that is not known."""
    if not is_many(recipe):
        return recipe
    spec = teacher or ""
    own = spec.removeprefix("local:") if spec.startswith("local:") else ""
    base = own if recipe.base == TEACHER else recipe.base
    counted = Value(
        name="counted_by", value="estimate", why=f"four characters a token, times {MARGIN}: the teacher's tokenizer is not here"
    )
    if base:
        counted = Value(name="counted_by", value=base, why="its own tokenizer")
    window = next(value for value in recipe.values if value.name == "window")
    if window.value is None:
        read = recipe.value("max_length") if recipe.base != TEACHER else None
        told = (int(read), "max_length: what it reads of a prompt; --set max_length=N, where its base takes more") if read else None
        found = told or (window_of_base(base) if base else window_of(spec))
        if found is None:
            raise UsageError(
                f"{recipe.text!r} shows as many rows as fit, and how many tokens the model takes is not known",
                f"the model is {base or teacher}",
                "--set window=32768, or what its server was started with",
            )
        window = Value(name="window", value=found[0], why=found[1])
    must_be_tokens(window.value)
    kept = [value for value in recipe.values if value.name not in ("window", "counted_by")]
    return recipe.model_copy(update={"values": (*kept, window, counted)})


def must_be_tokens(window: Any) -> int:
    if not isinstance(window, int) or isinstance(window, bool) or window < 1:
        raise UsageError("the window is a number of tokens", f"window={window!r}", "--set window=32768")
    return window


def known_window(teacher: str, given: Any) -> tuple[Value, Value] | None:
    """(window, counted_by) of the teacher of this name, or the window that is given; None where it is not known."""
    own = teacher.removeprefix("local:") if teacher.startswith("local:") else ""
    found = (
        (must_be_tokens(given), "set by you")
        if given is not None
        else window_of_base(own)
        if own
        else window_of(teacher)
        if teacher
        else None
    )
    if found is None:
        return None
    counted = Value(name="counted_by", value=own or "estimate", why="its own tokenizer" if own else "four characters a token, and a margin")
    return Value(name="window", value=found[0], why=found[1]), counted


def window_of_base(name: str) -> tuple[int, str] | None:
    """What a base of this machine takes: the length that it was trained with, where its maker says, else its positions."""
    from limbeck.engine.load import config_of_name

    if name in registry.names("bases"):
        length = getattr(registry.take("bases", name), "max_length", None)
        return (int(length), f"the length that {name} was trained with") if length else None
    config = config_of_name(name)
    for key in ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length"):
        if (length := getattr(config, key, None)) and int(length) < 10**7:
            return int(length), f"{key} in the config of {name}"
    return None


def check_values(overrides: Mapping[str, Any]) -> None:
    """Raises UsageError for numbers that make no sense, before anything is spent."""
    lambda_ = overrides.get("mmr_lambda", 0.5)
    if isinstance(lambda_, bool) or not isinstance(lambda_, int | float) or not 0 <= lambda_ <= 1:
        raise UsageError("mmr_lambda weighs nearness from 0 to 1", f"mmr_lambda={lambda_!r}", "--set mmr_lambda=0.7")
    if (way := overrides.get("similarity", "meaning")) not in ("meaning", "words"):
        raise UsageError(f"unknown similarity {way!r}", "there are: meaning, words", "--set similarity=words")
