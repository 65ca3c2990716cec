"""What hosted models cost: a small table to be checked, and prices as a user gives them."""

from __future__ import annotations

import math
import re

from limbeck.errors import UsageError
from limbeck.teachers.openai_api import DEFAULT_ADDRESS, address_and_model
from limbeck.teachers.openai_batch import PREFIX
from limbeck.types import Price

PAGE = "openai.com/api/pricing, standard tier; from our table: check it"

# USD per million tokens (in, out), as of 2025, for these models at api.openai.com. Cached and batch discounts are left
# out, so that an estimate is not too low. Another address sets its own prices, even for a model of the same name.
HOSTED: dict[str, tuple[float, float]] = {
    "gpt-4o": (2.50, 10.00),
    "gpt-4o-mini": (0.15, 0.60),
    "gpt-4.1": (2.00, 8.00),
    "gpt-4.1-mini": (0.40, 1.60),
    "gpt-4.1-nano": (0.10, 0.40),
    "gpt-5": (1.25, 10.00),
    "gpt-5-mini": (0.25, 2.00),
    "gpt-5-nano": (0.05, 0.40),
}


def price_of(spec: str, given: Price | None = None) -> Price | None:
    """The ordinary price (the Batch interface halves it itself): the one that was given, else 0 for a teacher of our own, else the table's. None = unknown."""
    if given is not None:
        return given
    kind = spec.partition(":")[0]
    if kind in ("recorded", "local"):
        return Price(usd_per_mtok_in=0, usd_per_mtok_out=0, source=kind)
    address, model = address_and_model(spec.removeprefix(PREFIX))
    known = HOSTED.get(re.sub(r"-\d{4}-\d\d-\d\d$", "", model))  # gpt-4o-mini-2024-07-18 is a dated gpt-4o-mini
    if known is None or address != DEFAULT_ADDRESS:
        return None
    return Price(usd_per_mtok_in=known[0], usd_per_mtok_out=known[1], source=PAGE, date="2025")


def parse_price(text: str) -> Price:
    """ "0.15/0.60" -> USD per million tokens in and out."""
    try:
        tokens_in, tokens_out = (float(part) for part in text.split("/"))
    except ValueError:
        tokens_in = tokens_out = math.nan
    if not (math.isfinite(tokens_in) and math.isfinite(tokens_out) and tokens_in >= 0 and tokens_out >= 0):
        raise UsageError(
            "a price is two amounts, in US dollars per million tokens: in/out",
            f"--price {text}",
            "--price 0.15/0.60, or --price 0/0 for an endpoint of your own",
        )
    return Price(usd_per_mtok_in=tokens_in, usd_per_mtok_out=tokens_out, source="given")
