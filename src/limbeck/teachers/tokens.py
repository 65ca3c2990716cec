"""Tokens where nobody has counted them: four characters each, one each of Chinese, Japanese and Korean. An estimate, and
marked as one wherever it is stored."""

from __future__ import annotations

import re
from collections.abc import Iterable

from limbeck.types import Price, Request

_WIDE = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]")


def tokens_of(texts: Iterable[str]) -> int:
    return sum(-(-(len(text) + 3 * len(_WIDE.findall(text))) // 4) for text in texts)


def tokens_in_of(request: Request) -> int:
    """The messages, and four tokens around each."""
    return tokens_of(m.content for m in request.messages) + 4 * len(request.messages)


def most_usd(request: Request, price: Price | None) -> float:
    """What this request costs if every reply is as long as it may be; 0 where the price is unknown."""
    return price.of(tokens_in_of(request), request.n * request.max_tokens) if price else 0.0
