"""The plain text that the embedded bases are trained on, each part with the licence that allows it, cut and held out."""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from common import SHARED

HELD_OUT = 200  # one piece in so many is never trained on: the held-out loss
PIECE_CHARS = 1200  # about 300 tokens; a piece is whole paragraphs, so that no sentence is cut


@dataclass(frozen=True)
class Source:
    """file: in the folder of public data, text/. licence and origin: as the data card prints them."""

    name: str
    file: str
    licence: str
    origin: str


SOURCES = (
    Source(
        "children_books",
        "children_books.txt.gz",
        "public domain in the USA (stated by each repository)",
        "36 Project Gutenberg books of the GITenberg repositories, headers and notes removed",
    ),
    Source(
        "novels",
        "novels.txt.gz",
        "public domain (first published before 1926, authors dead before 1946); the repository that collects them states no licence of its own",
        "22 English novels, computationalstylistics/100_english_novels@143e601875d7",
    ),
    Source(
        "wordnet_definitions",
        "wordnet_definitions.txt.gz",
        "CC BY 4.0 and the WordNet licence (attribution: Princeton WordNet and the Open English WordNet team)",
        "107,515 glosses of globalwordnet/english-wordnet@d94538ad0df3",
    ),
)
LEFT_OUT = {
    "wikipedia_articles": "CC BY-SA: whether weights inherit the share-alike clause is open, and 0.3M tokens are not worth the question",
    "wikitext2_valid, wikitext2_test": "a perplexity benchmark, hence evaluation data",
    "instruct": "its largest part derives from a CC BY-NC set, the rest was written by models whose terms are not stated",
    "t0_mix": "the underlying sets have licences of their own, which are not stated there",
    "every set with a test split": "evaluation data",
}


@dataclass(frozen=True)
class Piece:
    """held: of the held-out part."""

    source: str
    text: str
    held: bool


def pieces() -> Iterator[Piece]:
    """Every piece of every source, in the order of the files."""
    for source in SOURCES:
        with gzip.open(SHARED / "data" / "text" / source.file, "rt", encoding="utf-8") as file:
            text = file.read()
        cut = wordnet_pieces(text) if source.name == "wordnet_definitions" else paragraph_pieces(text)
        for piece in cut:
            yield Piece(source.name, piece, zlib.crc32(piece.encode()) % HELD_OUT == 0)


def paragraph_pieces(text: str) -> Iterator[str]:
    """Neighbouring paragraphs up to PIECE_CHARS; a longer paragraph is cut after a sentence."""
    held: list[str] = []
    for paragraph in (" ".join(p.split()) for p in re.split(r"\n\s*\n", text)):
        for part in sentences_up_to(paragraph, PIECE_CHARS):
            if held and sum(map(len, held)) + len(part) > PIECE_CHARS:
                yield "\n".join(held)
                held = []
            held.append(part)
    if held:
        yield "\n".join(held)


def sentences_up_to(paragraph: str, most: int) -> Iterator[str]:
    if len(paragraph) <= most:
        if paragraph:
            yield paragraph
        return
    held = ""
    for sentence in sentences(paragraph):
        if held and len(held) + len(sentence) > most:
            yield held
            held = ""
        held = f"{held} {sentence}".strip()
    if held:
        yield held


def sentences(text: str) -> list[str]:
    """A cut after . ! or ? (and a closing quote) before a blank and a capital; titles such as Mr. stay whole."""
    found = re.split(r"(?<=[.!?])(?<!\bMr\.)(?<!\bMrs\.)(?<!\bDr\.)(?<!\bSt\.)[\"'”’]?\s+(?=[\"'“‘]?[A-Z])", text)
    return [s.strip() for s in found if s.strip()]


def wordnet_pieces(text: str) -> Iterator[str]:
    """Twelve entries of the alphabet's neighbourhood make a piece."""
    entries = [line.strip() for line in text.splitlines() if line.strip()]
    for start in range(0, len(entries), 12):
        yield "\n".join(entries[start : start + 12])
