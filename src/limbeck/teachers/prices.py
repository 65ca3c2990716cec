"""What hosted models cost: a small table to be checked, and prices as a user gives them."""

from __future__ import annotations

import math
import re

from limbeck.errors import UsageError
from limbeck.teachers.openai_api import DEFAULT_ADDRESS, address_and_model
from limbeck.teachers.openai_batch import PREFIX
from limbeck.types import Price

PAGE = "openai.com/api/pricing, standard tier; from our table: check it"

# USD per million tokens (in, out, in from the cache), as of 2025, for these models at api.openai.com. An estimate counts on
# no cache. Another address sets its own prices, even for a model of the same name.
HOSTED: dict[str, tuple[float, float, float]] = {
    "gpt-4o": (2.50, 10.00, 1.25),
    "gpt-4o-mini": (0.15, 0.60, 0.075),
    "gpt-4.1": (2.00, 8.00, 0.50),
    "gpt-4.1-mini": (0.40, 1.60, 0.10),
    "gpt-4.1-nano": (0.10, 0.40, 0.025),
    "gpt-5": (1.25, 10.00, 0.125),
    "gpt-5-mini": (0.25, 2.00, 0.025),
    "gpt-5-nano": (0.05, 0.40, 0.005),
}


def price_of(spec: str, given: Price | None = None) -> Price | None:
    """The ordinary price (the Batch interface halves it itself): the one that was given, else 0 for a teacher of our own, else the table's. None = unknown."""
    if given is not None:
        return given
    kind = spec.partition(":")[0]
    if kind in ("recorded", "local"):
        return Price(usd_per_mtok_in=0, usd_per_mtok_out=0, source=kind)
    address, model = address_and_model(spec.removeprefix(PREFIX))
    known = HOSTED.get(undated(model))
    if known is None or address != DEFAULT_ADDRESS:
        return None
    return Price(usd_per_mtok_in=known[0], usd_per_mtok_out=known[1], usd_per_mtok_cached=known[2], source=PAGE, date="2025")


def undated(model: str) -> str:
    """gpt-4o-mini-2024-07-18 is a dated gpt-4o-mini."""
    return re.sub(r"-\d{4}-\d\d-\d\d$", "", model)


def parse_price(text: str) -> Price:
    """ "0.15/0.60" or "0.15/0.60/0.075" -> USD per million tokens in, out, and in from the provider's cache."""
    try:
        amounts = [float(part) for part in text.split("/")]
    except ValueError:
        amounts = []
    if not (2 <= len(amounts) <= 3 and all(math.isfinite(usd) and usd >= 0 for usd in amounts)):
        raise UsageError(
            "a price is two amounts, in US dollars per million tokens: in/out; and a third for what is cached: in/out/cached",
            f"--price {text}",
            "--price 0.15/0.60, or --price 0/0 for an endpoint of your own",
        )
    if len(amounts) == 3 and amounts[2] > amounts[0]:
        raise UsageError(
            "the third amount of a price is for tokens in that are cached, and those cost no more than others",
            f"--price {text}",
            "--price IN/OUT/CACHED, such as --price 0.15/0.60/0.075",
        )
    cached = amounts[2] if len(amounts) == 3 else None
    return Price(usd_per_mtok_in=amounts[0], usd_per_mtok_out=amounts[1], usd_per_mtok_cached=cached, source="given")
