"""Report -> one self-contained HTML page: no script, no request, light and dark, prints well."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import limbeck.report.format as f
import limbeck.report.sections as sections
import limbeck.report.table as t
from limbeck.report.board import board
from limbeck.report.html import Child, Html, html, tag
from limbeck.types import Report, Row

ADVICE = {"ship": "Ship", "prompt": "Keep prompting", "label-more": "Label more rows", "none": "No recommendation"}
POLICY = "default-src 'none'; style-src 'unsafe-inline'"  # the browser itself refuses whatever a row might smuggle in

SECTIONS: tuple[tuple[str, str, Callable[[Report], Child]], ...] = (
    ("leaderboard", "Leaderboard", board),
    ("trade-offs", "What it costs", sections.trade_offs),
    ("learning", "Learning", sections.learning),
    ("synthetic", "Persons and the synthetic test", sections.synthetic),
    ("confusions", "Confusions", sections.confusions),
    ("confidence", "Confidence", sections.confidence),
    ("mistakes", "Mistakes worth reading", sections.mistakes),
    ("prompt", "The prompt", sections.prompt),
    ("rationales", "Rationales", sections.rationales),
    ("knowledge", "Documents that were learnt", sections.knowledge),
    ("rows", "Rows", sections.rows),
    ("retrieval", "Retrieval", sections.retrieval),
    ("money", "Money and time", sections.money),
    ("method", "How it was measured", sections.method),
    ("numbers", "Derived numbers", sections.derived),
)


def page(report: Report) -> str:
    written = [(name, title, body) for name, title, make in SECTIONS if (body := html(make(report)))]
    return document(
        f"{report.task.name}: {ADVICE.get(report.advice, 'report')}",
        header(report, [(name, title) for name, title, _ in written]),
        *(tag("section", tag("h2", title, id=name), body) for name, title, body in written),
        tag("footer", f"Limbeck {report.versions.get('limbeck', '')}. Every figure comes from a stored prediction of the run folder."),
    )


def document(title: str, *parts: Child, css: str = "") -> str:
    """One whole page in the report's style, of runs and of studies alike. css: what a page has beyond page.css."""
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
        tag("title", title),
        tag("style", Html(Path(__file__).with_name("page.css").read_text(encoding="utf-8") + css)),
    )
    return "<!doctype html>\n" + tag("html", head, tag("body", tag("main", *parts)), lang="en") + "\n"


def header(report: Report, contents: list[tuple[str, str]]) -> Html:
    """The verdict: its first clause as the headline, the rest beneath."""
    headline, _, rest = report.verdict.partition(": ")
    if (first := rest.partition(" ")[0]).isalpha() and first != t.metric_of(report):
        rest = rest[0].upper() + rest[1:]
    made = " · synthetic test" if report.synthetic_test else ""
    known = report.advice if report.advice in ADVICE else "none"
    notes = [*(["Partial: not every candidate was finished."] if report.partial else []), *report.warnings]
    listed = tag("ul", *(tag("li", note) for note in notes))
    figures = list(tiles(report))
    return tag(
        "header",
        tag(
            "div",
            tag("span", ADVICE[known], class_=f"badge {known}"),
            f"{report.task.name} · {report.task.kind} task{made}",
            class_="eyebrow",
        ),
        tag("h1", headline),
        tag("p", rest, class_="lede") if rest else None,
        tag("dl", *figures, class_="tiles") if figures else None,
        tag("div", tag("strong", "Take note"), listed, class_="note", role="note") if notes else None,
        tag("nav", *(tag("a", title, href=f"#{name}") for name, title in contents), aria_label="Contents"),
    )


def tiles(report: Report) -> Iterable[Html]:
    """What the recommended candidate does and costs, with the best baseline's figure under each."""
    row = t.row_named(report, report.winner)
    if row is None or row.test is None or row.test.value is None:
        return
    other = t.row_named(report, report.best_baseline)
    other = None if other is row else other

    def beside(show: Callable[[Row], str], alone: str = "") -> str:
        return f"{other.recipe}: {show(other)}" if other and show(other) != f.MISSING else alone

    spread = f"95 %: {f.interval(row.test.low, row.test.high)}, {row.test.n:,} test rows" if row.test.low is not None else ""
    yield tile(f"{t.metric_of(report)} of {row.recipe}", f.metric(row.test.value), spread)
    if row.versus:
        spread = f"95 %: {f.interval(row.versus.low, row.versus.high)}, {f.p_value(row.versus.p_value)}"
        yield tile("difference to best baseline", f.signed(row.versus.difference), spread)
    if row.usd_per_1000 is not None:
        yield tile("1,000 calls cost", t.cost(row), beside(t.cost))
    if row.latency_p50_ms is not None:
        yield tile(
            "median time of a call", f.ms(row.latency_p50_ms), beside(lambda r: f.ms(r.latency_p50_ms), f"p95: {f.ms(row.latency_p95_ms)}")
        )
    if row.size_mb is not None:
        yield tile("size on disk", f.mb(row.size_mb), f"trained in {f.seconds(row.train_s)}" if row.train_s is not None else "")
    if row.break_even_calls is not None:
        yield tile("pays for itself after", f"{f.count(row.break_even_calls)} calls", "its labels and training, against the price per call")


def tile(name: str, big: str, under: str) -> Html:
    value = tag("dd", tag("div", big, class_="big"), tag("div", under, class_="under") if under else None)
    return tag("div", tag("dt", name), value, class_="tile")
