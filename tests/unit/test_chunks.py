"""Documents become passages along their structure, and every file type gives its text or a reason."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limbeck.contexts.chunks import Document, chunk, size
from limbeck.contexts.documents import Unreadable, find_files, read_document, read_markdown
from limbeck.errors import UsageError

TEXT = st.text(alphabet=st.sampled_from("abc. \n\n大!?-1"), max_size=400)


@settings(max_examples=150, deadline=None)
@given(TEXT, st.integers(1, 30), st.integers(0, 10))
def test_nothing_is_lost_and_every_span_points_at_its_own_text(text, words, overlap):
    overlap = min(overlap, words - 1)
    found = chunk(Document("d", text), words, overlap)
    covered = set()
    for p in found:
        assert text[p.start : p.end] == p.text and p.text.strip()
        covered |= set(range(p.start, p.end))
    assert all(i in covered for i, sign in enumerate(text) if not sign.isspace()), "a sign stands in no passage"
    assert [p.end for p in found] == sorted({p.end for p in found}), "each passage says something that the one before did not"


def test_a_passage_has_at_most_so_many_words_and_begins_with_the_end_of_the_one_before():
    text = " ".join(f"Sentence number {i} says this." for i in range(60))
    found = chunk(Document("d", text), words=30, overlap=5)
    assert all(size(p.text) <= 30 for p in found)
    assert all(after.start < before.end for before, after in pairwise(found))
    assert all(len(text[after.start : before.end].split()) <= 5 for before, after in pairwise(found))
    assert all(p.text.startswith("Sentence") and p.text.endswith("this.") for p in found), "cut within a sentence"


def test_a_full_passage_ends_with_a_paragraph_where_one_ends_in_its_second_half():
    text = "One two three four five six.\n\nSeven eight nine. Ten eleven twelve."
    assert [p.text for p in chunk(Document("d", text), words=10, overlap=0)] == [
        "One two three four five six.",
        "Seven eight nine. Ten eleven twelve.",
    ]


def test_no_passage_crosses_a_heading_and_each_knows_what_it_stands_under():
    source = b"before\n\n# Kettle\n\nIt boils.\n\n## Descaling #\n\nUse vinegar.\n\n```\n# no heading\n```\n\nLamp\n====\n\nIt shines.\n"
    text, headings = read_markdown(source)
    found = chunk(Document("house.md", text, tuple(headings)))
    assert [(p.headings, p.text.split("\n")[0]) for p in found] == [
        ((), "before"),
        (("Kettle",), "It boils."),
        (("Kettle", "Descaling"), "Use vinegar."),
        (("Lamp",), "It shines."),
    ]
    assert found[2].shown.startswith("Kettle > Descaling\nUse vinegar.")
    assert found[1].citation == f"house.md > Kettle, characters {found[1].start}-{found[1].end}"


def test_the_words_of_a_language_without_blanks_count_too():
    assert size("水" * 200) >= 100
    assert len(chunk(Document("d", "水" * 1000), words=50, overlap=0)) >= 10


# ---- readers ---------------------------------------------------------------------------------------------------------


def read(folder: Path, name: str, data: bytes) -> list[tuple[tuple[str, ...], str]]:
    (folder / name).write_bytes(data)
    return [(p.headings, p.text) for p in chunk(read_document(folder / name, name))]


def test_each_record_of_a_table_is_a_passage(tmp_path):
    table = read(tmp_path, "a.csv", b"question;answer\nwhere is it;in the shop\nhow much;two\n")
    assert table == [(("row 1",), "question: where is it\nanswer: in the shop"), (("row 2",), "question: how much\nanswer: two")]
    lines = "\n".join(json.dumps({"q": q, "n": n}) for q, n in (("é", 1), ("b", 2))).encode()
    assert read(tmp_path, "b.jsonl", lines) == [(("row 1",), "q: é\nn: 1"), (("row 2",), "q: b\nn: 2")]


def test_text_that_is_not_utf8_is_read_too(tmp_path):
    assert read(tmp_path, "a.txt", "Käse".encode("cp1252")) == [((), "Käse")]
    assert read(tmp_path, "b.txt", "Käse".encode("utf-16")) == [((), "Käse")]


def test_html_gives_its_headings_and_what_is_shown(tmp_path):
    pytest.importorskip("bs4", reason="reading HTML needs beautifulsoup4")
    page = b"""<html><head><title>t</title><style>p {}</style></head><body><nav>menu</nav><h1>House <i>keeping</i></h1>
    <div>loose <b>bold</b> text<p>first</p>tail</div><h2>Table</h2><table><tr><th>a</th><td>1</td></tr></table><script>no()</script></body>"""
    assert read(tmp_path, "a.html", page) == [
        (("House keeping",), "loose bold text\n\nfirst\n\ntail"),
        (("House keeping", "Table"), "a | 1"),
    ]


def test_docx_gives_headings_paragraphs_and_tables_in_order(tmp_path):
    docx = pytest.importorskip("docx", reason="reading DOCX needs python-docx")
    made = docx.Document()
    made.add_heading("Kettle", 1)
    made.add_paragraph("It boils.")
    made.add_heading("Prices", 2)
    table = made.add_table(1, 2)
    table.cell(0, 0).text, table.cell(0, 1).text = "small", "9"
    made.save(tmp_path / "made.docx")
    found = read(tmp_path, "made.docx", (tmp_path / "made.docx").read_bytes())
    assert found == [(("Kettle",), "It boils."), (("Kettle", "Prices"), "small | 9")]


def test_pdf_gives_its_pages(tmp_path):
    pytest.importorskip("pypdf", reason="reading PDF needs pypdf")
    assert read(tmp_path, "a.pdf", pdf("The kettle boils.", "The lamp shines.")) == [
        (("page 1",), "The kettle boils."),
        (("page 2",), "The lamp shines."),
    ]


def pdf(*pages: str) -> bytes:
    """A PDF by hand: one line of text per page."""
    kids = " ".join(f"{4 + 2 * i} 0 R" for i in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for i, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 720 Td ({text}) Tj ET"
        objects.append(
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {5 + 2 * i} 0 R /Resources << /Font << /F1 3 0 R >> >> >>"
        )
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    data, places = "%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(data))
        data += f"{number} 0 obj\n{body}\nendobj\n"
    start = len(data)
    data += f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n" + "".join(f"{place:010d} 00000 n \n" for place in places)
    return (data + f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{start}\n%%EOF\n").encode()


@pytest.mark.parametrize(
    ("name", "data", "why"),
    [
        ("a.exe", b"x", "type .exe"),
        ("a.txt", b"  \n", "no text"),
        ("a.txt", b"a\x00b", "no text file"),
        ("a.json", b"{", "JSONDecodeError"),
        ("a.docx", b"no zip", "BadZipFile|PackageNotFound|not a zip|MissingExtra|needs"),
    ],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path, name, data, why):
    if name.endswith("docx"):
        pytest.importorskip("docx", reason="reading DOCX needs python-docx")
    (tmp_path / name).write_bytes(data)
    with pytest.raises(Unreadable, match=why):
        read_document(tmp_path / name, name)


def test_a_folder_without_documents_is_refused_with_what_is_read(tmp_path):
    with pytest.raises(UsageError, match="there is no folder"):
        find_files(tmp_path / "nowhere")
    (tmp_path / "a.bin").write_bytes(b"1")
    with pytest.raises(UsageError, match=r"\.md"):
        find_files(tmp_path)
