"""How many tokens a prompt is, how many its model takes, and how much fits."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from limbeck import registry
from limbeck.errors import UsageError
from limbeck.teachers.tokens import tokens_of
from limbeck.teachers.windows import window_of
from limbeck.types import TEACHER, Message, Recipe, Value

MARGIN = 1.3  # tokenizers that make more of a text than one token of four characters; beyond it, every call would be declined
TEMPLATE = 8  # tokens that a chat template puts around a message, at most

Count = Callable[[Sequence[Message]], int]  # tokens of a prompt


def with_window(recipe: Recipe, teacher: str | None) -> Recipe:
    """A recipe with `many` knows how much its model takes, and who counts. teacher: as --teacher names it. Raises UsageError where
    that is not known."""
    if recipe.context != "many":
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
    from limbeck.engine.named import config_of_name

    if name in registry.names("bases"):
        length = getattr(registry.take("bases", name), "max_length", None)
        return (int(length), f"the length that {name} was trained with") if length else None
    config = config_of_name(name)
    for key in ("max_position_embeddings", "n_positions", "n_ctx", "max_sequence_length"):
        if (length := getattr(config, key, None)) and int(length) < 10**7:
            return int(length), f"{key} in the config of {name}"
    return None


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
