"""Axes, marks and labels of an SVG figure. Knows nothing of reports; colours are CSS classes, so that they follow the theme."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from limbeck.report.html import Child, Html, tag

Show = Callable[[float], str]
CHARACTER = 6.1  # px, width of one character of the 10 px monospaced labels


@dataclass(frozen=True)
class Linear:
    """low and high are the ends of the axis; place() gives 0 to 1. whole: ticks at whole numbers only."""

    low: float
    high: float
    whole: bool = False

    def place(self, value: float) -> float:
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        step = max(nice_step(self.high - self.low, 6), 1.0 if self.whole else 0.0)
        first = math.ceil(self.low / step - 1e-9)
        return [round(i * step, 10) for i in range(first, math.floor(self.high / step + 1e-9) + 1)]


@dataclass(frozen=True)
class Log:
    """Powers of ten; where `zero` is set, nought has a place of its own left of a break, at share ZERO of the axis."""

    low: float
    high: float
    zero: bool = False

    ZERO = 0.04
    BREAK = 0.17

    def place(self, value: float) -> float:
        if value <= 0:
            return self.ZERO
        inner = math.log(value / self.low) / math.log(self.high / self.low)
        return self.BREAK + (1 - self.BREAK) * inner if self.zero else inner

    def ticks(self) -> list[float]:
        first, last = round(math.log10(self.low)), round(math.log10(self.high))
        every = max(1, math.ceil((last - first) / 6))
        decades = [10.0**i for i in range(first, last + 1, every)]
        between = [k * 10.0**i for i in range(first, last) for k in (2, 5)] if last - first <= 2 else []
        return ([0.0] if self.zero else []) + sorted(decades + between)


Scale = Linear | Log


def nice_step(span: float, most: int) -> float:
    """1, 2 or 5 times a power of ten, so that at most `most` steps lie in the span."""
    rough = span / most
    power = 10.0 ** math.floor(math.log10(rough))
    return next(k * power for k in (1, 2, 5, 10) if k * power >= rough * (1 - 1e-9))


def linear(values: Sequence[float], low: float | None = None, high: float | None = None) -> Linear:
    """Round ends around the values, never beyond the given limits."""
    bottom, top = min(values), max(values)
    if top - bottom < 1e-12:
        bottom, top = bottom - max(abs(bottom), 1) * 0.05, top + max(abs(top), 1) * 0.05
    step = nice_step(top - bottom, 6)
    bottom, top = math.floor(bottom / step + 1e-9) * step, math.ceil(top / step - 1e-9) * step
    return Linear(bottom if low is None else max(low, bottom), top if high is None else min(high, top))


def logarithmic(values: Sequence[float]) -> Log:
    """Whole decades around the positive values."""
    positive = [v for v in values if v > 0] or [1.0]
    low, high = math.floor(math.log10(min(positive)) + 1e-9), math.ceil(math.log10(max(positive)) - 1e-9)
    return Log(10.0**low, 10.0 ** (high if high > low else low + 1), zero=any(v <= 0 for v in values))


@dataclass(frozen=True)
class Frame:
    """The drawing area in px and its two scales; right: room for labels beside it."""

    x: Scale
    y: Scale
    width: float = 520
    height: float = 320
    left: float = 52
    right: float = 24
    top: float = 28
    bottom: float = 46

    def at(self, x: float, y: float) -> tuple[float, float]:
        return (
            self.left + self.x.place(x) * (self.width - self.left - self.right),
            self.height - self.bottom - self.y.place(y) * (self.height - self.top - self.bottom),
        )

    def axes(self, x_title: str, y_title: str, x_show: Show, y_show: Show) -> list[Html]:
        floor, edge = self.height - self.bottom, self.width - self.right
        drawn: list[Html] = []
        for tick in self.y.ticks():
            _, y = self.at(self.x.low, tick)
            drawn += [line(self.left, y, edge, y, "grid"), text(self.left - 8, y + 4, y_show(tick), "tick end")]
        for tick in self.x.ticks():
            x = self.left + self.x.place(tick) * (edge - self.left)
            drawn += [line(x, floor, x, floor + 4, "axis"), text(x, floor + 17, x_show(tick), "tick mid")]
        if isinstance(self.x, Log) and self.x.zero:
            x = self.left + (self.x.BREAK - 0.06) * (edge - self.left)
            drawn.append(line(x, self.top, x, floor, "break"))
        drawn.append(line(self.left, floor, edge, floor, "axis"))
        drawn.append(text((self.left + edge) / 2, self.height - 8, x_title, "title mid"))
        drawn.append(text(8, 12, y_title, "title"))
        return drawn


def figure(title: str, description: str, width: float, height: float, *marks: Child, caption: Child = None, name: str) -> Html:
    """An <svg> that a screen reader can name, in a <figure>. name: unique on its page."""
    drawing = tag(
        "svg",
        tag("title", title, id=f"{name}-t"),
        tag("desc", description, id=f"{name}-d"),
        *marks,
        viewBox=f"0 0 {width:.0f} {height:.0f}",
        role="img",
        aria_labelledby=f"{name}-t {name}-d",
    )
    return tag("figure", tag("h3", title), drawing, tag("figcaption", caption) if caption else None)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Html:
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def text(x: float, y: float, words: str, class_: str, **more: object) -> Html:
    return tag("text", words, x=x, y=y, class_=class_, **more)


def path(points: Sequence[tuple[float, float]], class_: str) -> Html:
    return tag("path", d="M" + "L".join(f"{x:.1f},{y:.1f}" for x, y in points), class_=class_)


def dot(x: float, y: float, r: float, class_: str, tip: str = "") -> Html:
    return tag("circle", tag("title", tip) if tip else None, cx=x, cy=y, r=r, class_=class_)


Box = tuple[float, float, float, float]  # left, top, right, bottom


def overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def place_labels(points: Sequence[tuple[float, float, str]], frame: Frame, r: float) -> list[tuple[float, float, str] | None]:
    """(x, y, anchor class) of a label per point, first come first served; None where every place is taken."""
    taken: list[Box] = [(x - r, y - r, x + r, y + r) for x, y, _ in points]
    found: list[tuple[float, float, str] | None] = []
    for x, y, words in points:
        wide = len(words) * CHARACTER
        places = [
            (x + side * (r + 4), y + 3.5 + drop, "start" if side > 0 else "end") for drop in (0, -12, 12, -22, 22) for side in (1, -1)
        ]
        places += [(x, y + drop, "mid") for drop in (-r - 5, r + 13)]
        for lx, ly, anchor in places:
            left = lx - {"start": 0, "mid": wide / 2, "end": wide}[anchor]
            box = (left, ly - 9, left + wide, ly + 3)
            inside = frame.left <= box[0] and box[2] <= frame.width and frame.top - 6 <= box[1] and box[3] <= frame.height - frame.bottom
            if inside and not any(overlap(box, other) for other in taken):
                taken.append(box)
                found.append((lx, ly, anchor))
                break
        else:
            found.append(None)
    return found


def spread(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """The wanted heights, moved apart until neighbours are `gap` apart, within low and high where there is room."""
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    placed = list(wanted)
    for before, after in pairwise(order):
        placed[after] = max(placed[after], placed[before] + gap)
    limit = high
    for i in reversed(order):
        placed[i] = min(placed[i], limit)
        limit = placed[i] - gap
    return [max(low, y) for y in placed]
