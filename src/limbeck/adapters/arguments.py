"""What stands behind an adapter's colon: `lora:r16:dora` has the arguments r16 and dora."""

from __future__ import annotations

import re

from limbeck.errors import UsageError
from limbeck.types import Recipe

RANK = r"r[1-9]\d*"
WRITTEN = "as written in the recipe"


def argument(recipe: Recipe, form: str) -> str:
    """The one argument of a form (a regular expression), "" where there is none. Raises UsageError where there are two."""
    found = [arg for arg in recipe.args if re.fullmatch(form, arg)]
    if len(found) > 1:
        raise UsageError(f"the recipe {recipe.text!r} says one thing twice", " and ".join(found), f"keep one: {recipe.adapter}:{found[0]}")
    return found[0] if found else ""


def rank_of(recipe: Recipe, default: int = 16) -> int:
    """loreft:r8 -> 8; else the value `rank`, else the default."""
    return int(argument(recipe, RANK)[1:] or recipe.value("rank", default))


def why(recipe: Recipe, form: str, otherwise: str) -> str:
    """The reason of a number: it was written, or `otherwise`."""
    return WRITTEN if argument(recipe, form) else otherwise
