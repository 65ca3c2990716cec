"""How many tokens hosted models take at once, prompt and answer together: a small table to be checked."""

from __future__ import annotations

from limbeck.teachers.openai_api import DEFAULT_ADDRESS, address_and_model
from limbeck.teachers.openai_batch import PREFIX
from limbeck.teachers.prices import undated

PAGE = "platform.openai.com/docs/models, 2025; from our table: check it"
USUAL = 128_000  # what many hosted models take: a recording counts as one of them

# Tokens, as of 2025, for these models at api.openai.com. Another server may be started with another length.
HOSTED: dict[str, int] = {
    "gpt-4o": 128_000,
    "gpt-4o-mini": 128_000,
    "gpt-4.1": 1_047_576,
    "gpt-4.1-mini": 1_047_576,
    "gpt-4.1-nano": 1_047_576,
    "gpt-5": 272_000,  # of 400,000, the rest is kept for what it writes
    "gpt-5-mini": 272_000,
    "gpt-5-nano": 272_000,
}


def window_of(spec: str) -> tuple[int, str] | None:
    """(tokens, why) of a teacher that is reached over HTTP, or was recorded; None = not known."""
    if spec.partition(":")[0] == "recorded":
        return USUAL, "the teacher is a recording, and counts as a hosted model of the usual length"
    address, model = address_and_model(spec.removeprefix(PREFIX))
    tokens = HOSTED.get(undated(model))
    if tokens is None or address != DEFAULT_ADDRESS:
        return None
    return tokens, f"what {model} takes: {PAGE}"
