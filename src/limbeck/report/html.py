"""Markup that is safe by construction: every string is escaped unless it is Html already."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from limbeck.report.format import clean

VOID = {"meta", "br", "hr"}


class Html(str):
    """Markup that `tag` made, or that is a constant of ours; never a user's text."""


Child = str | Iterable["Child"] | None


def html(child: Child) -> Html:
    if child is None:
        return Html("")
    if isinstance(child, Html):
        return child
    if isinstance(child, str):
        return Html(escape(clean(child)))
    return Html("".join(map(html, child)))


def tag(tag_name: str, *children: Child, **attributes: object) -> Html:
    """tag("td", "a < b", class_="x", data_id=3). None and False leave an attribute out."""
    spelled = "".join(_attribute(k.rstrip("_").replace("__", ":").replace("_", "-"), v) for k, v in attributes.items())
    return Html(f"<{tag_name}{spelled}>" if tag_name in VOID else f"<{tag_name}{spelled}>{html(children)}</{tag_name}>")


def _attribute(name: str, value: object) -> str:
    if value is None or value is False:
        return ""
    shown = f"{value:.1f}".removesuffix(".0") if isinstance(value, float) else str(value)
    return f" {name}" if value is True else f' {name}="{escape(clean(shown))}"'
