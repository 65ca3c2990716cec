"""The leaderboard: its order and its columns, shared by the three renderings."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import limbeck.report.format as f
from limbeck import registry, stats
from limbeck.errors import UsageError
from limbeck.types import TEACHER, Report, Row, Score


@dataclass(frozen=True)
class Column:
    """keep: narrow pages drop the columns with the highest number first. hint: what the header means, in a sentence."""

    key: str
    title: str
    hint: str
    keep: int
    cell: Callable[[Row], str]


def lower_is_better(metric: str) -> bool:
    """False for a metric whose plug-in is not installed here."""
    try:
        return bool(registry.take("metrics", metric).lower_is_better)
    except (UsageError, ImportError):
        return False


def metric_of(report: Report) -> str:
    return report.task.metric or next((row.test.metric for row in report.rows if row.test), "score")


def is_scored(row: Row) -> bool:
    return row.test is not None and row.test.value is not None


def ranked(report: Report) -> list[Row]:
    """Rows with a test score, best first; on a tie the cheaper one."""
    sign = 1 if lower_is_better(metric_of(report)) else -1

    def rank(row: Row) -> tuple[float, float]:
        value = row.test.value if row.test else None
        return sign * (value or 0.0), row.usd_per_1000 or 0.0

    return sorted(filter(is_scored, report.rows), key=rank)


def unranked(report: Report) -> list[Row]:
    """Rows without a test score, in the report's order: failed, skipped, or never scored."""
    return [row for row in report.rows if not is_scored(row)]


def why(row: Row) -> str:
    """What stands in the place of a score."""
    return f"{row.state if row.state != 'ok' else 'not scored'}: {f.clean(row.reason) or 'no reason was recorded'}"


def row_named(report: Report, recipe: str | None) -> Row | None:
    return next((row for row in report.rows if recipe and row.recipe == recipe), None)


def cost(row: Row) -> str:
    """Of 1,000 calls, the same wherever it is shown: what a provider bills to the digit, the time of this machine to one."""
    return (f.usd if row.recipe.endswith(f"@{TEACHER}") else f.machine_usd)(row.usd_per_1000)


COSTS = "cost of 1,000 calls: what the teacher's provider bills, or what the time of this machine is worth, about"


def further(row: Row, name: str) -> Score | None:
    return next((score for score in row.more if score.metric == name), None)


def columns(report: Report) -> list[Column]:
    """Those in which at least one row has something to say."""
    name = metric_of(report)
    arrow = " (lower is better)" if lower_is_better(name) else ""
    made = " (synthetic test)" if report.synthetic_test else ""
    more = dict.fromkeys(score.metric for row in report.rows for score in row.more)
    rival = report.best_baseline or "the best baseline"

    def against(row: Row) -> str:
        return "reference" if row.versus is None and row.recipe == report.best_baseline else f.versus(row.versus)

    every = [
        Column("test", f"{name}{arrow}{made}", f"{name} on the test rows, with its 95 % interval", 0, lambda r: f.score(r.test)),
        Column("versus", "vs baseline", f"difference to {rival} on the same rows, and its p value", 1, against),
        Column("usd_per_1000", "$/1,000", COSTS, 2, cost),
        Column("tokens_in", "tokens in", "tokens of one call that the model reads, on average", 12, lambda r: tokens(r.tokens_in_per_call)),
        Column("tokens_cached", "cached", "of them, found in the provider's cache", 13, lambda r: tokens(r.tokens_cached_per_call)),
        Column("tokens_out", "tokens out", "tokens of one call that the model writes", 14, lambda r: tokens(r.tokens_out_per_call)),
        Column("break_even", "pays after", PAYS, 15, lambda r: f.MISSING if r.break_even_calls is None else calls(r.break_even_calls)),
        Column("latency_p50_ms", "p50", "median time of one call", 3, lambda r: f.ms(r.latency_p50_ms)),
        Column("latency_p95_ms", "p95", "time that 95 % of the calls stay under", 5, lambda r: f.ms(r.latency_p95_ms)),
        Column("size_mb", "size", "size on disk", 4, lambda r: f.mb(r.size_mb)),
        Column("dev", "dev", f"{name} on the dev rows, which chose", 6, lambda r: f.metric(r.dev.value) if r.dev else f.MISSING),
        *(Column(m, m, f"{m} on the test rows", 7, _further(m)) for m in more),
        Column("train_s", "training", "training time", 8, lambda r: f.seconds(r.train_s)),
        Column("throughput_rows_s", "rows/s", "rows answered per second, in batches", 10, lambda r: f.rate(r.throughput_rows_s)),
        Column("trainable_parameters", "trainable", "trainable parameters", 9, lambda r: f.count(r.trainable_parameters or None)),
        Column("peak_memory_mb", "memory", "peak memory", 11, lambda r: f.mb(r.peak_memory_mb)),
    ]
    return [column for column in every if column.key == "test" or any(column.cell(row) != f.MISSING for row in report.rows)]


PAYS = "calls after which its labels and its training are paid for, against the prompt that is best on dev"


def calls(value: float) -> str:
    return f"{f.count(math.ceil(value))} calls"


def tokens(value: float | None) -> str:
    return f.MISSING if value is None else f.count(round(value))


def _further(name: str) -> Callable[[Row], str]:
    def cell(row: Row) -> str:
        found = further(row, name)
        return f.metric(found.value) if found else f.MISSING

    return cell


def sizes(report: Report) -> dict[str, int]:
    """train, dev, test, then whatever else was counted."""
    first = {name: report.sizes[name] for name in ("train", "dev", "test") if name in report.sizes}
    return first | report.sizes


def ledger(report: Report) -> tuple[dict[str, str], list[tuple[str, ...]]]:
    """The totals, and a table of what was spent on what: a header, then one line per purpose, columns of noughts left out."""
    purposes: dict[str, dict[str, Any]] = report.ledger.get("by_purpose") or {}
    totals = {f.words(name): value for name, value in f.flat({k: v for k, v in report.ledger.items() if k != "by_purpose"}).items()}
    keys = [
        key
        for key in dict.fromkeys(key for facts in purposes.values() for key in facts)
        if any(facts.get(key) for facts in purposes.values())
    ]
    lines = [(name, *(f.plain(key, facts.get(key)) for key in keys)) for name, facts in purposes.items()]
    return totals, [("purpose", *map(f.words, keys)), *lines] if lines else []


def synthetic(report: Report) -> str:
    """The mark of a synthetic test, "" where persons labelled every test row."""
    if not report.synthetic_test:
        return ""
    kinds = ", ".join(f"{n} {kind}" for kind, n in report.test_origins.items())
    total = sum(report.test_origins.values())
    by_hand = report.human.get("test", 0)
    said = f"Synthetic test: {report.synthetic_test} of {total} test rows have no label of a person's ({kinds})."
    return said + (f" The {by_hand} labelled by hand do not change the scores; they give the gap." if by_hand else "")


def gaps(report: Report) -> list[tuple[str, ...]]:
    """A header, then one line per candidate: its score on rows labelled by persons, on synthetic ones, and the gap."""
    lines = [
        (
            gap.recipe,
            f"{f.score(gap.human)} ({gap.human.n} rows)",
            f"{f.score(gap.synthetic)} ({gap.synthetic.n} rows)",
            f"{f.signed(gap.difference)} [{f.signed(gap.low)}, {f.signed(gap.high)}]",
            "the same rows" if gap.paired else "different rows",
        )
        for gap in report.gaps
    ]
    return [("candidate", "labelled by persons", "synthetic", "gap", "measured on"), *lines] if lines else []


def human(report: Report) -> str:
    """What persons labelled by hand, in a sentence; "" where nobody did."""
    if not report.human:
        return ""
    said = f"Labelled by hand: {report.human.get('test', 0)} test rows and {report.human.get('other', 0)} others."
    if n := report.human.get("compared", 0):
        low, high = stats.wilson(report.human.get("agreed", 0), n)
        said += f" The label that was there agrees on {report.human['agreed']} of {n} (95 %: {f.percent(low)} to {f.percent(high)})."
    if n := report.human.get("shown", 0):
        said += f" {n} of the answers were given after the synthetic one was seen."
    return said


def sources(report: Report) -> list[tuple[str, ...]]:
    """A header, then one line per source of labelled rows: how many of which kind, and the licence."""
    lines = [(s.name, f"{s.rows:,}", ", ".join(s.kinds), s.licence or "not known") for s in report.sources]
    return [("source", "rows", "kind", "licence"), *lines] if lines else []


def within(every: Sequence[Column], rows: Sequence[Row], width: int, gap: int, first: int) -> list[Column]:
    """The columns that fit in `width` characters beside a first column of `first`, the dearest dropped one by one."""

    def wide(column: Column) -> int:
        return max([len(column.title), *(len(column.cell(row)) for row in rows)]) + gap

    kept = list(every)
    while len(kept) > 1 and first + gap + sum(map(wide, kept)) > width:
        kept.remove(max(kept, key=lambda column: column.keep))
    return kept
