"""A report says the same in the terminal, in Markdown and on the page, and a user's text never becomes markup."""

import html
import re
import shutil
import subprocess
from html.parser import HTMLParser
from itertools import pairwise

import pytest
from rich.console import Console

from limbeck.report import format as f
from limbeck.report import markdown, page, terminal
from limbeck.report.board import FIRST
from limbeck.report.html import Html, tag
from limbeck.report.table import columns, cost, ranked, within
from limbeck.report.terminal import folded
from limbeck.types import Report
from limbeck.verdict import Choice, decide
from tests.unit import report_fixture


@pytest.fixture(scope="module", params=report_fixture.EVERY)
def report(request) -> Report:
    return report_fixture.EVERY[request.param]()


def printed(report: Report, width: int) -> str:
    console = Console(width=width, force_terminal=False, color_system=None)
    with console.capture() as captured:
        console.print(terminal(report, width))
    return captured.get()


class Reader(HTMLParser):
    """Every tag with its attributes; fails on a tag that is closed wrongly."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.open = [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, name, attributes):
        self.tags.append((name, dict(attributes)))
        if name not in ("meta", "br", "hr", "wbr"):
            self.open.append(name)

    def handle_endtag(self, name):
        assert self.open.pop() == name

    def all(self, *names):
        return [attributes for name, attributes in self.tags if name in names]


# ---- the page ------------------------------------------------------------------------------------------------------


def test_the_page_asks_the_network_for_nothing_and_runs_nothing(report):
    text = page(report)
    read = Reader(text)
    assert not read.all("script", "link", "img", "iframe", "object", "embed", "base", "form")
    for _, attributes in read.tags:
        assert not {"src", "srcset", "data", "action", "poster"} & set(attributes)
        assert not any(name.startswith("on") for name in attributes)
        assert (attributes.get("href") or "#").startswith("#")
    assert not re.search(r"@import|url\(", text)
    assert any("default-src 'none'" in (a.get("content") or "") for a in read.all("meta"))


OVERFLOWS = """<script>
const wide = [document.documentElement, ...document.querySelectorAll(".board, .scroll")].filter(one => one.scrollWidth > one.clientWidth + 1)
document.title = "too wide: " + wide.map(one => one.tagName + " " + one.className + " " + one.scrollWidth + " in " + one.clientWidth).join(", ")
</script>"""


@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium to look with")
@pytest.mark.parametrize("width", [1300, 800])
def test_nothing_of_the_page_has_to_be_scrolled_sideways(width, tmp_path):
    watched = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page(report_fixture.twelve_labels()))
    (tmp_path / "page.html").write_text(watched.replace("</body>", f"{OVERFLOWS}</body>"))
    look = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/user", f"--window-size={width},1400"]
    done = subprocess.run([*look, "--dump-dom", f"file://{tmp_path}/page.html"], capture_output=True, text=True, timeout=120)
    assert re.findall("<title>(too wide: .*?)</title>", done.stdout) == ["too wide: "]


def test_what_one_does_not_decide_by_stands_in_a_second_line_with_its_name(report):
    text, rows = html.unescape(page(report)), ranked(report)
    head = text.partition('class="board"')[2].partition("</thead>")[0]
    for column in columns(report):
        assert (f">{column.title}</th>" in head) == (column.keep <= FIRST)
        told = [column.cell(row) for row in rows if column.keep > FIRST and column.cell(row) != f.MISSING]
        assert all(f"<b>{column.title}</b> {cell}</span>" in text for cell in told)


def test_the_page_can_be_read_aloud(report):
    read = Reader(page(report))
    assert all("scope" in attributes for attributes in read.all("th"))
    names = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    assert len(names) == len(set(names))
    for attributes in read.all("svg"):
        if attributes.get("aria-hidden") != "true":
            assert all(name in names for name in attributes["aria-labelledby"].split())
    assert read.all("html")[0]["lang"] == "en" and len(read.all("h1")) == 1
    assert all(attributes["href"][1:] in names for attributes in read.all("a"))


def test_every_candidate_and_every_warning_stands_on_the_page(report):
    text = page(report).replace("<wbr>", "")
    for row in report.rows:
        assert f"<code>{row.recipe}</code>" in text
        assert str(tag("x", f.clean(row.reason)))[3:-4] in text
    for warning in report.warnings:
        assert str(tag("x", warning))[3:-4] in text


def test_a_users_text_stays_text():
    text = page(report_fixture.prompting_wins())
    assert "<script" not in text and "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;" in text
    assert "\x1b" not in text
    text.encode("utf-8")  # a lone surrogate would not go into a file


def test_the_same_report_gives_the_same_page():
    assert page(report_fixture.twelve_labels()) == page(report_fixture.twelve_labels())


def test_a_heat_map_for_few_labels_and_a_table_for_many():
    assert 'id="confusion-t"' in page(report_fixture.twelve_labels())
    many = page(report_fixture.many_labels())
    assert 'id="confusion-t"' not in many and "Commonest confusions" in many


def test_markup_is_escaped_unless_we_made_it():
    assert (
        tag("p", "<b>", Html("<br>"), ["&", None], title='"', hidden=True, lang=None) == '<p title="&quot;" hidden>&lt;b&gt;<br>&amp;</p>'
    )


# ---- the terminal --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [40, 60, 80, 100, 140, 200])
def test_nothing_is_wider_than_the_terminal(report, width):
    assert all(len(line) <= width for line in printed(report, width).splitlines())


def test_the_verdict_comes_first_and_every_candidate_after_it(report):
    text = printed(report, 160)
    squeezed = " ".join(text.split())
    assert squeezed.startswith(report.verdict)
    assert all(row.recipe in squeezed for row in report.rows)


def test_control_characters_and_markup_do_not_reach_the_terminal():
    report = report_fixture.prompting_wins().model_copy(update={"warnings": ("[red]\x1b[2Jgone[/red]",)})
    assert "\x1b" not in printed(report, 100) and "[red]" in printed(report, 100)


def test_wider_terminals_show_more_and_never_drop_the_score():
    report = report_fixture.twelve_labels()
    rows = ranked(report)
    shown = [[c.key for c in within(columns(report), rows, width, 2, 24)] for width in (30, 60, 80, 120, 160, 220)]
    assert all(set(less) <= set(more) for less, more in pairwise(shown))
    assert shown[0] == ["test"] and shown[2][:3] == ["test", "versus", "usd_per_1000"] and len(shown[-1]) == len(columns(report))


def test_a_long_recipe_breaks_at_its_modifiers():
    assert folded("prompt+few:8:nearest@teacher", 22) == "prompt+few:8:nearest\n    @teacher"


# ---- Markdown ------------------------------------------------------------------------------------------------------


def test_markdown_tables_are_tables_whatever_stands_in_them(report):
    blocks = [block.splitlines() for block in markdown(report).split("\n\n") if block.startswith("|")]
    for lines in blocks:
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1


def test_markdown_holds_no_html_and_no_link_of_a_users():
    text = markdown(report_fixture.prompting_wins())
    assert "<script" not in text and r"[link\](javascript" in text and "**bold**" not in text.replace(r"\*\*bold\*\*", "")


# ---- the order and the numbers -------------------------------------------------------------------------------------


def test_the_time_of_this_machine_is_written_as_roughly_as_it_is_known_and_a_bill_to_the_digit():
    report = report_fixture.twelve_labels()
    local, billed = (next(r for r in report.rows if r.recipe == name) for name in ("full@minilm", "prompt+few:8:nearest@teacher"))
    assert decide(report.rows, Choice(best_student=local.id, best_baseline=billed.id), 400)[0].endswith(
        ", at <$0.01 instead of $0.61 per 1,000 calls."
    )
    for text in (printed(report, 250), html.unescape(markdown(report)).replace("\\", ""), html.unescape(page(report))):
        assert cost(local) == "<$0.01" in text and cost(billed) == "$0.61" in text
        assert f.usd(local.usd_per_1000) == "$0.000128" not in text


def test_an_error_is_ranked_with_the_smallest_first():
    assert [row.recipe for row in ranked(report_fixture.scores())] == ["lora:r8@minilm", "prompt@teacher", "head@minilm", "majority"]


def test_columns_that_nobody_measured_are_left_out():
    assert {"size_mb", "train_s"} & {c.key for c in columns(report_fixture.prompting_wins())} == set()


@pytest.mark.parametrize(
    "show, value, expected",
    [
        (f.number, 0.000123456, "0.000123"),
        (f.number, 1234.5, "1,234"),
        (f.number, 12.0, "12"),
        (f.number, 0.99996, "1"),
        (f.number, -0.5, "-0.5"),
        (f.number, float("nan"), "-"),
        (f.usd, None, "-"),
        (f.usd, 0.0, "free"),
        (f.usd, 0.00012, "$0.00012"),
        (f.usd, 0.2, "$0.20"),
        (f.usd, 0.2144, "$0.214"),
        (f.usd, 1234.5, "$1,234.50"),
        (f.usd, 1e-9, "<$0.00001"),
        (f.machine_usd, None, "-"),
        (f.machine_usd, 0.000128, "<$0.01"),
        (f.machine_usd, 0.0327, "$0.03"),
        (f.machine_usd, 0.0961, "$0.10"),
        (f.machine_usd, 4.6, "$5"),
        (f.machine_usd, 32.7, "$30"),
        (f.ms, 1.2, "1.2 ms"),
        (f.ms, 1454, "1.45 s"),
        (f.seconds, 42.0, "42 s"),
        (f.seconds, 200, "3 min 20 s"),
        (f.seconds, 3900, "1 h 05 min"),
        (f.mb, 0.02, "20 kB"),
        (f.mb, 90.9, "90.9 MB"),
        (f.mb, 2210, "2.21 GB"),
        (f.count, 4620, "4,620"),
        (f.count, 172_428, "172k"),
        (f.count, 22_718_604, "22.7M"),
        (f.count, 1.1e9, "1.1B"),
        (f.metric, 0.91, "0.910"),
        (f.p_value, 0.0004, "p<0.001"),
        (f.p_value, 0.03, "p=0.030"),
        (f.signed, 0.0312, "+0.031"),
        (f.words, "by_purpose.label.cost_usd", "by purpose, label: cost"),
        (f.clean, "a\x1b\ud800\nb", "a\ufffd?\nb"),
    ],
)
def test_how_numbers_are_written(show, value, expected):
    assert show(value) == expected
