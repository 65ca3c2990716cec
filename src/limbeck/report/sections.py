"""The sections of the page below the leaderboard: figures, mistakes, and the paper trail. An empty one is None."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import limbeck.report.figures as figures
import limbeck.report.format as f
import limbeck.report.knowledge as known
import limbeck.report.prompting as prompting
import limbeck.report.rationales as why
import limbeck.report.retrieval as retrieved
import limbeck.report.table as t
from limbeck.report.html import Child, Html, html, tag
from limbeck.report.terminal import used
from limbeck.types import Report


def trade_offs(report: Report) -> Child:
    return grid(
        figures.trade_off(report, lambda row: row.usd_per_1000, f.usd, "cost of 1,000 calls", "cost", t.cost),
        figures.trade_off(report, lambda row: row.latency_p50_ms, f.ms, "median time of a call", "latency"),
    )


def learning(report: Report) -> Child:
    return grid(*figures.learning(report))


def confusions(report: Report) -> Child:
    if not report.confusion:
        return None
    drawn = figures.heat_map(report)
    wrong = sorted((c for c in report.confusion if c.get("gold") != c.get("predicted")), key=lambda c: -int(c.get("n", 0)))
    most = [(str(c.get("gold")), str(c.get("predicted")), str(c.get("n"))) for c in wrong[: 10 if drawn else 25]]
    listed = table("Commonest confusions", ("gold", "answered", "rows"), most) if most else tag("p", "None: every answer is right.")
    shown = tag("div", tag("div", drawn, class_="card"), listed, class_="pair") if drawn else listed
    return tag("p", tag("code", report.best_student or "best student"), " on the test rows", class_="soft"), shown


def confidence(report: Report) -> Child:
    row = t.row_named(report, report.best_student) or t.row_named(report, report.winner)
    drawn = grid(figures.calibration(row), figures.threshold(row)) if row else None
    return (tag("p", tag("code", row.recipe), class_="soft"), drawn) if row and drawn else None


def mistakes(report: Report) -> Child:
    return tag("ul", *map(mistake, report.errors), class_="mistakes") if report.errors else None


def mistake(error: Mapping[str, Any]) -> Html:
    """Candidates that gave the same answer stand on one line, the right answer first."""
    gold, sure = str(error.get("gold", "")), error.get("confidence")
    groups: dict[str, list[str]] = {}
    for recipe, answer in dict(error.get("answers", {})).items():
        groups.setdefault(str(answer), []).append(recipe)
    said: list[Html] = [tag("dt", "gold"), tag("dd", gold, class_="gold")]
    for answer, recipes in sorted(groups.items(), key=lambda item: item[0] != gold):
        mark, class_ = ("✓ ", "better") if answer == gold else ("✗ ", "worse")
        said += [tag("dt", mark + (answer or "(no answer)"), class_=class_), tag("dd", ", ".join(recipes))]
    top = str(error.get("id", "")) + (f" · the best student was {f.percent(sure)} sure" if sure is not None else "")
    asked = tag("blockquote", str(error.get("input", "")), dir="auto")
    return tag("li", tag("div", top, class_="eyebrow"), asked, tag("dl", *said, class_="said"))


def synthetic(report: Report) -> Child:
    """What the synthetic test is worth, and what a person should label; nothing where persons labelled all of it."""
    if not report.synthetic_test and not report.human:
        return None
    said = [tag("p", text) for text in (t.synthetic(report), t.human(report)) if text]
    worth = t.gaps(report)
    gap = table("Gap to rows labelled by persons", worth[0], worth[1:]) if worth else None
    few = tag("p", "Too few rows are labelled by persons to say how far this is from the truth: limbeck label RUN.") if not worth else None
    named = [(str(one["id"]), str(one["split"]), str(one["why"]), str(one["input"])[:200]) for one in report.worth_labelling]
    most = fold("Rows most worth a label of a person's", table("", ("row", "split", "why", "input"), named)) if named else None
    return [*said, gap, few if report.synthetic_test else None, most]


def prompt(report: Report) -> Child:
    told = [tag("p", text) for text in prompting.sentences(report)]
    sent = [part for role, text in prompting.messages(report) for part in (tag("dt", role), tag("dd", text, class_="pre", dir="auto"))]
    return [*told, fold("One prompt, exactly as it was sent", tag("dl", *sent))] if told else None


def rationales(report: Report) -> Child:
    told = [tag("p", text) for text in why.sentences(report)]
    lost, shown = why.dropped(report), why.examples(report)
    counts = table("Dropped rationales", lost[0], lost[1:]) if lost else None
    some = fold("Examples of dropped rationales", table("", shown[0], shown[1:])) if shown else None
    return [*told, counts, some] if told else None


def knowledge(report: Report) -> Child:
    told = [tag("p", text) for text in known.sentences(report)]
    parts = (("What augmenting can repair", known.measured(report)), ("Without what was written down", known.complement(report)))
    tables = [table(title, lines[0], lines[1:]) for title, lines in parts if lines]
    shown = known.examples(report)
    some = fold("Examples of inferences, kept and dropped", table("", shown[0], shown[1:])) if shown else None
    return [*told, *tables, some] if told else None


def rows(report: Report) -> Child:
    tables = columns(facts("Splits", t.sizes(report)), facts("Origin", report.origins), facts("Rejected", report.rejected))
    came = t.sources(report)
    listed = table("Sources of the labelled rows", came[0], came[1:]) if came else None
    said = [tag("p", text) for text in report.curated]
    return (tag("p", report.split_how), tables, *said, listed) if report.split_how or tables else None


def retrieval(report: Report) -> Child:
    found = [tag("p", text) for text in retrieved.said(report)]
    lines = retrieved.measured(report)
    listed = table("The right passage among those found, on the test rows", lines[0], lines[1:]) if lines else None
    aside = retrieved.skipped(report)
    folded = fold("Files that were not read", table("", ("file", "why"), aside)) if aside else None
    return [*found, listed, folded] if found else None


def money(report: Report) -> Child:
    totals, purposes = t.ledger(report)
    times = {f.words(name): f.seconds(value) for name, value in report.seconds.items()}
    tables = columns(facts("Ledger", totals), facts("Time", times))
    spent = table("What it was spent on", purposes[0], purposes[1:]) if purposes else None
    return (tables, spent) if tables or spent else None


def method(report: Report) -> Child:
    found: list[Html | None] = [tag("p", text) for text in (report.rule, used(report)) if text]
    if report.task.notes:
        found.append(tag("p", f"The task was read by {report.task.how}. Uncertain: {'; '.join(report.task.notes)}."))
    if report.not_deterministic:
        found.append(tag("p", f"Not deterministic, so a second run may differ: {'; '.join(report.not_deterministic)}."))
    statuses = {row.recipe: {k: n for k, n in row.statuses.items() if k != "ok"} for row in report.rows}
    found.append(columns(facts("Answers that count as wrong", {recipe: bad for recipe, bad in statuses.items() if bad})))
    instruction = tag("p", report.task.instruction, class_="pre") if report.task.instruction else None
    folded = (fold("Instruction", instruction), fold("Settings", facts("", report.settings)), fold("Versions", facts("", report.versions)))
    return [*found, *folded]


def derived(report: Report) -> Child:
    """Per candidate: every number that nobody had to choose, and why it is what it is."""
    found = []
    for row in report.rows:
        lines = [(value.name, f.plain(value.name, value.value), value.why) for value in row.values]
        found.append(fold(row.recipe, table("", ("number", "value", "why"), lines)) if lines else None)
    return [one for one in found if one] or None


# ---- building blocks -----------------------------------------------------------------------------------------------


def grid(*parts: Html | None) -> Html | None:
    found = [part for part in parts if part]
    return tag("div", *found, class_="figures") if found else None


def columns(*tables: Html | None) -> Html | None:
    found = [one for one in tables if one]
    return tag("div", *found, class_="tables") if found else None


def fold(title: str, content: Html | None) -> Html | None:
    return tag("details", tag("summary", title), content) if content else None


def facts(title: str, values: Mapping[str, Any]) -> Html | None:
    return table(title, (), list(f.flat(values).items())) if values else None


def table(title: str, header: tuple[str, ...], lines: Iterable[tuple[str, ...]]) -> Html:
    """The first column names the line. title "" = the table lies in something that has a frame already."""
    side = "wrap left" if header else "wrap"
    body = (
        tag("tr", tag("th", line[0], scope="row", class_="wrap"), *(tag("td", cell, class_=side) for cell in line[1:])) for line in lines
    )
    head = tag("thead", tag("tr", *(tag("th", name, scope="col", class_="left") for name in header))) if header else None
    whole = tag("table", tag("caption", title) if title else None, head, tag("tbody", html(body)))
    return tag("div", whole, class_="card scroll" if title else "scroll")
