"""How numbers are written, once for every rendering: three significant digits, units, "free" for zero, "-" for not measured."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from limbeck.types import Score, Versus

MISSING = "-"


def number(value: float | None) -> str:
    """Three significant digits, no exponent, thousands separated: 1,240  12.3  0.00012"""
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    decimals = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:,.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def usd(value: float | None) -> str:
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0:
        return "free"
    if value >= 1:
        return f"${value:,.2f}"
    if value < 1e-5:
        return "<$0.00001"
    return f"${max(number(value), f'{value:.2f}', key=len)}"


def machine_usd(value: float | None) -> str:
    """What this machine's time is worth: a time on a clock, which another run repeats to its first digit at best. $0.03  <$0.01"""
    if value is None or not math.isfinite(value):
        return MISSING
    if value < 0.01:
        return "<$0.01"
    digit = -math.floor(math.log10(value))
    return f"${round(value, digit):,.{max(0, digit)}f}"


def ms(value: float | None) -> str:
    return MISSING if value is None else f"{number(value)} ms" if value < 999.5 else f"{number(value / 1000)} s"


def seconds(value: float | None) -> str:
    if value is None:
        return MISSING
    if value < 59.5:
        return f"{number(value)} s"
    minutes, rest = divmod(round(value), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def mb(value: float | None) -> str:
    if value is None:
        return MISSING
    if value < 0.1:
        return f"{number(value * 1000)} kB"
    return f"{number(value)} MB" if value < 999.5 else f"{number(value / 1000)} GB"


def count(value: float | None) -> str:
    """1,540  94.6k  22.7M  1.1B"""
    if value is None:
        return MISSING
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{number(value / min(size, 1e9 if letter == 'B' else 1e6 if letter == 'M' else 1e3))}{letter}"
    return number(value) if value != round(value) else f"{round(value):,}"


def rate(value: float | None) -> str:
    return MISSING if value is None else f"{number(value)}/s"


def percent(value: float | None) -> str:
    return MISSING if value is None else f"{number(value * 100)} %"


def metric(value: float | None) -> str:
    """Always three decimals, so that a column of them can be compared."""
    return MISSING if value is None else f"{value:.3f}" if abs(value) < 100 else number(value)


def score(found: Score | None) -> str:
    """0.912 [0.884, 0.938]"""
    if found is None or found.value is None:
        return MISSING
    return metric(found.value) if found.low is None else f"{metric(found.value)} {interval(found.low, found.high)}"


def interval(low: float | None, high: float | None) -> str:
    return f"[{metric(low)}, {metric(high)}]"


def signed(value: float) -> str:
    return f"{value:+.3f}" if abs(value) < 100 else f"{'+' if value > 0 else ''}{number(value)}"


def p_value(value: float) -> str:
    return "p<0.001" if value < 0.001 else f"p={value:.2f}" if value >= 0.1 else f"p={value:.3f}"


def versus(found: Versus | None) -> str:
    return MISSING if found is None else f"{signed(found.difference)} {p_value(found.p_value)}"


def clean(text: str) -> str:
    """Without what a terminal, a parser or an encoder would choke on: control characters and lone surrogates."""
    seen = text.encode("utf-8", "replace").decode()
    return "".join(c if c in "\n\t" or (c >= " " and not "\x7f" <= c <= "\x9f") else "\ufffd" for c in seen)


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """{"a": {"b": 1}} -> {"a.b": "1"}; units are read from the names."""
    found: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            found.update(flat(value, f"{prefix}{name}."))
        else:
            found[f"{prefix}{name}"] = plain(name, value)
    return found


def words(name: str) -> str:
    """A flat name as one reads it: by_purpose.label.cost_usd -> by purpose, label: cost"""
    *path, last = name.split(".")
    last = re.sub(r"_(usd|ms|mb|s)$", "", last)
    return (f"{', '.join(path)}: {last}" if path else last).replace("_", " ")


UNITS: dict[str, Callable[[float], str]] = {
    "_usd": lambda value: usd(value) if value else "$0",
    "_ms": ms,
    "_mb": mb,
    "_s": seconds,
    "usd_per_hour": usd,
}


def plain(name: str, value: Any) -> str:
    if value is None or value in ("", (), [], {}):
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        unit = next((show for end, show in UNITS.items() if name.endswith(end)), None)
        return unit(value) if unit else f"{value:,}" if isinstance(value, int) else number(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {plain(key, item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(plain("", item) for item in value)
    return str(value)
