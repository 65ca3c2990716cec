"""A document -> passages, cut where its own structure allows: headings, then paragraphs, then sentences, then words.

A passage never crosses a heading. It has at most `words` words and begins with up to `overlap` words of the one before
it, so that what stands at a cut is whole in one of the two. `document.text[p.start : p.end] == p.text`, always."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

WORDS, OVERLAP = 100, 15  # 100 words are about 135 tokens: minilm reads 256, four of them fit a context of 1,000
CHARS_PER_WORD = 12  # what has no blanks in it counts by its length
CHARS_PER_IDEOGRAPHS = 2  # of Chinese, Japanese, Korean script


@dataclass(frozen=True)
class Heading:
    """start, end: of its lines in the document. level: 1 = the highest."""

    start: int
    end: int
    level: int
    title: str


@dataclass(frozen=True)
class Document:
    """name: the path below the folder, with /. text: as it was read; spans of passages count its characters."""

    name: str
    text: str
    headings: tuple[Heading, ...] = ()


@dataclass(frozen=True)
class Passage:
    """headings: the titles that it stands under, the highest first. start, end: characters of the document's text."""

    document: str
    headings: tuple[str, ...]
    start: int
    end: int
    text: str

    @property
    def shown(self) -> str:
        """What a model reads and what is searched: the headings say what a passage is about."""
        return f"{' > '.join(self.headings)}\n{self.text}" if self.headings else self.text

    @property
    def citation(self) -> str:
        return " > ".join((self.document, *self.headings)) + f", characters {self.start}-{self.end}"


@dataclass(frozen=True)
class Piece:
    """A sentence, or a part of one that is too long. words: its size. last: a paragraph ends with it."""

    start: int
    end: int
    words: int
    last: bool


def chunk(document: Document, words: int = WORDS, overlap: int = OVERLAP) -> list[Passage]:
    """Its passages in order; none of a document without a word. words at least 1, overlap less than words."""
    assert 0 <= overlap < words, "an overlap as long as a passage would never get on"
    return [
        Passage(document.name, path, start, end, document.text[start:end])
        for path, begin, stop in sections(document)
        for start, end in windows(pieces(document.text, begin, stop, words), words, overlap)
    ]


def sections(document: Document) -> Iterator[tuple[tuple[str, ...], int, int]]:
    """(titles, start, end) between headings; the heading's own line is left to the titles."""
    path: list[Heading] = []
    begin = 0
    for heading in (*document.headings, Heading(len(document.text), len(document.text), 1, "")):
        if heading.start > begin:
            yield tuple(h.title for h in path), begin, heading.start
        path = [h for h in path if h.level < heading.level] + [heading]
        begin = heading.end


SENTENCE = r"\S.*?(?:[.!?…][\"')\]»”]*(?=\s)|[。！？]|(?=\n\s*(?:[-*+•|]|\d+[.)])\s)|$)"  # an item of a list is one, too


def pieces(text: str, start: int, end: int, most: int) -> list[Piece]:
    """The sentences between start and end, none with more than `most` words."""
    found: list[Piece] = []
    for paragraph in spans(r"\S(?:.|\n(?!\s*\n))*", text, start, end):
        parts = [part for sentence in spans(SENTENCE, text, *paragraph, flags=re.S) for part in short(text, *sentence, most)]
        found += [Piece(a, b, size(text[a:b]), last=(a, b) == parts[-1]) for a, b in parts]
    return found


def short(text: str, start: int, end: int, most: int) -> Iterator[tuple[int, int]]:
    """A sentence in parts of at most `most` words; a word without end is cut by characters."""
    begin, count, stop = start, 0, start
    for a, b in spans(rf"\S{{1,{most * CHARS_PER_IDEOGRAPHS}}}", text, start, end):
        more = size(text[a:b])
        if count + more > most and stop > begin:
            yield begin, stop
            begin, count = a, 0
        count, stop = count + more, b
    if stop > begin:
        yield begin, stop


def spans(pattern: str, text: str, start: int, end: int, flags: int = 0) -> Iterator[tuple[int, int]]:
    """Matches within start and end, without the blanks behind them."""
    for match in re.compile(pattern, flags).finditer(text, start, end):
        if trimmed := len(match[0].rstrip()):
            yield match.start(), match.start() + trimmed


def size(text: str) -> int:
    """Words, roughly as many as a model would count in tokens of a language with blanks."""
    return sum(max(1 + len(w) // CHARS_PER_WORD, len(IDEOGRAPHS.findall(w)) // CHARS_PER_IDEOGRAPHS) for w in text.split())


IDEOGRAPHS = re.compile("[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")


def windows(parts: Sequence[Piece], words: int, overlap: int) -> Iterator[tuple[int, int]]:
    """(start, end) of each passage. Full, it ends with a paragraph if one ends in its second half, else with a sentence."""
    at, fresh = 0, 0  # first piece of the passage; first that no passage has had yet
    while fresh < len(parts):
        stop, count = at, 0
        while stop < len(parts) and count + parts[stop].words <= words:
            count, stop = count + parts[stop].words, stop + 1
        if stop <= fresh and at < fresh:  # the overlap left no room for the next piece
            at = fresh
            continue
        stop = max(stop, fresh + 1)
        if stop < len(parts):
            stop = paragraph_end(parts, at, fresh, stop, count)
        yield parts[at].start, parts[stop - 1].end
        fresh = at = stop
        room = overlap
        while at > 0 and parts[at - 1].words <= room:
            at -= 1
            room -= parts[at].words


def paragraph_end(parts: Sequence[Piece], at: int, fresh: int, stop: int, count: int) -> int:
    kept = count
    for i in range(stop - 1, fresh - 1, -1):
        if 2 * kept < count:
            break
        if parts[i].last:
            return i + 1
        kept -= parts[i].words
    return stop
