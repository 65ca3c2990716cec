"""Files -> documents: Markdown, text, HTML, PDF, DOCX, CSV, JSONL. What cannot be read is named with its reason; the
others are not lost with it. Spans count characters of the text that is read here, not bytes of the file."""

from __future__ import annotations

import csv
import io
import json
import logging
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from limbeck.contexts.chunks import Document, Heading
from limbeck.errors import MissingExtra, UsageError
from limbeck.need import need

VERSION = "1"  # changes where the same file would give another text
MOST_MB = 200  # of one file


class Unreadable(Exception):
    """Why one file gives no text."""


def find_files(folder: Path) -> list[Path]:
    """Every file below the folder, or the one file, sorted by name; hidden ones and links are left out. Raises UsageError where
    there is no such folder or nothing in it."""
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise UsageError(f"there is no folder of documents {folder}", f"it would lie in {folder.absolute().parent}", "--docs DIR")
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink() and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )
    if not any(path.suffix.lower() in READERS for path in found):
        have = f"it holds {', '.join(path.name for path in found[:8]) or 'nothing'}"
        raise UsageError(f"no document in {folder} can be read", have, f"files that are read: {', '.join(READERS)}")
    return found


def named_files(docs: Path, ignore: Sequence[Path] = ()) -> list[tuple[Path, str]]:
    """(file, its path below the folder, with /) of each; ignore: files and folders that are no documents. Raises as find_files."""
    apart = [path.resolve() for path in ignore]
    root = docs if docs.is_dir() else docs.parent
    files = [f for f in find_files(docs) if not any(f.resolve().is_relative_to(path) for path in apart)]
    return [(path, path.relative_to(root).as_posix()) for path in files]


def read_document(path: Path, name: str) -> Document:
    """Raises Unreadable, or MissingExtra where a reader's package is not installed."""
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise Unreadable(f"files of the type {path.suffix or '(none)'} are not read")
    try:
        if path.stat().st_size > MOST_MB * 1e6:
            raise Unreadable(f"it is larger than {MOST_MB} MB")
        text, headings = reader(path.read_bytes())
    except (Unreadable, MissingExtra):
        raise
    except Exception as error:  # a damaged file makes its library raise whatever it likes
        raise Unreadable(f"{type(error).__name__}: {str(error)[:200]}") from error
    if not text.strip():
        raise Unreadable(
            "there is no text in it" + (" (scanned pages need their text layer first)" if path.suffix.lower() == ".pdf" else "")
        )
    return Document(name, text, tuple(headings))


Read = tuple[str, list[Heading]]


def decoded(data: bytes) -> str:
    """UTF-8 or UTF-16 with their marks, else cp1252. No byte 0: that is no text."""
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        text = data.decode("utf-16")
    else:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("cp1252", errors="replace")
    if "\x00" in text:
        raise Unreadable("it is no text file")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def built(parts: Iterable[tuple[int, str]]) -> Read:
    """(heading level, or 0, text) -> the text, paragraphs apart, and where its headings stand."""
    text, headings, at = [], [], 0
    for level, part in parts:
        part = part.strip()
        if level:
            part = " ".join(part.split())
        if not part:
            continue
        if level:
            headings.append(Heading(at, at + len(part), level, part))
        text.append(part)
        at += len(part) + 2
    return "\n\n".join(text), headings


# ---- one reader per type ---------------------------------------------------------------------------------------------


def read_text(data: bytes) -> Read:
    return decoded(data), []


HEADING = re.compile(r"(#{1,6})[ \t]+(.+?)[ \t]*#*$|([^\s>|`~*+-].*)\n(=+|-{3,})[ \t]*$", re.M)
FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,}).*?(?:^ {0,3}\1|\Z)", re.M | re.S)
FRONT = re.compile(r"\A---\n.*?^---$", re.M | re.S)


def read_markdown(data: bytes) -> Read:
    """Lines that begin with #, and lines that are underlined; not within fences of code."""
    text = decoded(data)
    hidden = [m.span() for pattern in (FENCE, FRONT) for m in pattern.finditer(text)]
    headings = []
    for m in HEADING.finditer(text):
        if (m.start() and text[m.start() - 1] != "\n") or any(a <= m.start() < b for a, b in hidden):
            continue
        level = len(m[1]) if m[1] else 1 if m[4].startswith("=") else 2
        headings.append(Heading(m.start(), m.end(), level, m[2] or m[3].strip()))
    return text, headings


BLOCKS = ("p", "li", "pre", "blockquote", "td", "th", "dt", "dd", "figcaption", "caption", "div", "section", "article")


def read_html(data: bytes) -> Read:
    """Headings and blocks of text; scripts, styles, navigation and what is not shown are left out."""
    soup = need("bs4", extra="docs").BeautifulSoup(data, "html.parser")
    for gone in soup.find_all(["script", "style", "noscript", "template", "nav", "svg", "head"]):
        gone.decompose()
    for line in soup.find_all("tr"):  # a row of a table is one paragraph
        cells = [" ".join(cell.get_text(" ").split()) for cell in line.find_all(["td", "th"])]
        line.clear()
        line.name, line.string = "p", " | ".join(cells)
    parts: list[tuple[int, str]] = []

    def walk(node: Any) -> str:
        """Text that no block has taken yet."""
        loose = ""
        for child in node.children:
            name = getattr(child, "name", None)
            if name is None:
                loose += str(child) if type(child).__name__ == "NavigableString" else ""
            elif name == "br":
                loose += "\n"
            elif name in ("h1", "h2", "h3", "h4", "h5", "h6"):
                parts.append((0, loose))
                loose = ""
                parts.append((int(name[1]), child.get_text(" ")))
            elif name == "pre":
                parts.extend([(0, loose), (0, child.get_text())])
                loose = ""
            else:
                block = name in BLOCKS or child.find([*BLOCKS, "h1", "h2", "h3", "h4", "h5", "h6"]) is not None
                if block:
                    parts.append((0, loose))
                    loose = ""
                inner = walk(child)
                if block:
                    parts.append((0, inner))
                else:
                    loose += inner
        return loose

    parts.append((0, walk(soup)))
    return built((level, re.sub(r"[ \t\xa0]*\n\s*", "\n", re.sub(r"[ \t\xa0]+", " ", text))) for level, text in parts)


def read_pdf(data: bytes) -> Read:
    """Each page under a heading of its own, so that a citation names the page."""
    pypdf = need("pypdf", extra="docs")
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # what is wrong with a file is said once, by us
    reader = pypdf.PdfReader(io.BytesIO(data))
    if reader.is_encrypted and not reader.decrypt(""):
        raise Unreadable("it is locked with a password")
    parts: list[tuple[int, str]] = []
    for number, page in enumerate(reader.pages, 1):
        text = re.sub(r"(\w)-\n(?=[a-zà-ÿ])", r"\1", page.extract_text() or "")  # a word that a line's end has cut
        if text.strip():
            parts += [(1, f"page {number}"), (0, text)]
    return built(parts)


def read_docx(data: bytes) -> Read:
    """Paragraphs and tables in order; a style Heading 1 to 9, or Title, makes a heading."""
    document = need("docx", extra="docs").Document(io.BytesIO(data))
    parts: list[tuple[int, str]] = []
    for block in document.iter_inner_content():
        if hasattr(block, "rows"):
            parts += [(0, " | ".join(dict.fromkeys(cell.text.strip() for cell in row.cells))) for row in block.rows]
            continue
        style = (block.style.name or "") if block.style is not None else ""
        found = re.fullmatch(r"Heading ([1-9])", style)
        parts.append((int(found[1]) if found else 1 if style == "Title" else 0, block.text))
    return built(parts)


def read_csv(data: bytes) -> Read:
    text = decoded(data)
    delimiter = max(",;\t|", key=text.partition("\n")[0].count)
    lines = list(csv.reader(io.StringIO(text), delimiter=delimiter))
    return records([dict(zip(lines[0], line, strict=False)) for line in lines[1:]] if lines else [])


def read_jsonl(data: bytes) -> Read:
    return records([json.loads(line) for line in decoded(data).splitlines() if line.strip()])


def read_json(data: bytes) -> Read:
    value = json.loads(decoded(data))
    return records(value if isinstance(value, list) else [value])


def records(rows: Iterable[Any]) -> Read:
    """Each record is a section: `name: value` by line."""
    parts: list[tuple[int, str]] = []
    for number, row in enumerate(rows, 1):
        pairs = row.items() if isinstance(row, dict) else [("", row)]
        lines = [f"{name}: {plain(value)}" if name else plain(value) for name, value in pairs if value not in (None, "", [], {})]
        if lines:
            parts += [(1, f"row {number}"), (0, "\n".join(lines))]
    return built(parts)


def plain(value: Any) -> str:
    return value.strip() if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


READERS: dict[str, Callable[[bytes], Read]] = {
    ".md": read_markdown,
    ".markdown": read_markdown,
    ".txt": read_text,
    ".rst": read_text,
    ".html": read_html,
    ".htm": read_html,
    ".pdf": read_pdf,
    ".docx": read_docx,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".json": read_json,
    ".jsonl": read_jsonl,
}
