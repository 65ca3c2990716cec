"""Documents as rows that are learnt: whole pieces, single sentences, or each sentence after all before it.

whole        "" -> s1 s2 s3                                  one row per piece
independent  "" -> s1    "" -> s2    "" -> s3                n sentences, n rows (Lampinen et al. 2025, section 3)
cumulative   "" -> s1    s1 -> s2    s1 s2 -> s3             likewise; what is left of the arrow is read, not learnt"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from limbeck.augment.inferences import Inference
from limbeck.types import Example, Origin


@dataclass(frozen=True)
class Text:
    """A piece of a document that fits a student. id: the document's name, #, its number from 1. title: headings that it stands
    under, "" = none. text: the piece; sentences: their (start, end) in it, in order."""

    id: str
    document: str
    title: str
    text: str
    sentences: tuple[tuple[int, int], ...]

    @property
    def whole(self) -> str:
        return f"{self.title}\n{self.text}" if self.title else self.text

    def statements(self) -> dict[str, str]:
        """{id: sentence}; a sentence keeps the title that says what it is about."""
        return {f"{self.id}.{k}": self.text[a:b] for k, (a, b) in enumerate(self.sentences, 1)}


def whole(texts: Iterable[Text]) -> list[Example]:
    return [row(one, one.id, "", one.whole) for one in texts]


def independent(texts: Iterable[Text]) -> list[Example]:
    return [
        row(one, name, "", f"{one.title}\n{sentence}" if one.title else sentence)
        for one in texts
        for name, sentence in one.statements().items()
    ]


def cumulative(texts: Iterable[Text]) -> list[Example]:
    """Contexts are exact prefixes of the piece, up to the blanks before the sentence."""
    found = []
    for one in texts:
        ahead = len(one.whole) - len(one.text)
        for (name, _), (a, b) in zip(one.statements().items(), one.sentences, strict=True):
            start = 0 if a == one.sentences[0][0] else ahead + a
            found.append(row(one, name, one.whole[:start].rstrip(), one.whole[start : ahead + b]))
    return found


SPLITS: dict[str, Callable[[Iterable[Text]], list[Example]]] = {"independent": independent, "cumulative": cumulative}


def row(text: Text, name: str, context: str, learnt: str) -> Example:
    return Example(id=name, input=context, output=learnt, origin=Origin(kind="document", source=text.document))


def inferred(inferences: Sequence[Inference]) -> list[Example]:
    """Each inference as a row of its own; the more samples said it, the more it weighs."""
    return [
        Example(
            id=f"inferred-{number}",
            input="",
            output=one.text,
            confidence=one.votes / one.samples if one.samples > 1 else None,
            origin=(one.origin or Origin()).model_copy(update={"kind": "inferred", "source": ", ".join(one.uses), "detail": one.why}),
        )
        for number, one in enumerate(inferences, 1)
    ]
