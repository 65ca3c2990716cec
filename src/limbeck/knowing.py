"""The user's documents as rows that students learn: read, cut into pieces, held against dev and test, handed to each recipe.

What follows from them is written by the step in inferring.py; why documents are rows at all: docs/decisions/009."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from limbeck.augment.inferences import Inference
from limbeck.augment.relations import read_relations
from limbeck.augment.statements import SPLITS, Text, inferred, whole
from limbeck.contexts import documents
from limbeck.contexts.chunks import WORDS, Document, chunk, pieces
from limbeck.curate.leak_docs import told
from limbeck.engine.load import SEQ2SEQ, family_of_name
from limbeck.errors import MissingExtra, UsageError
from limbeck.recipes import names_documents, uses_documents
from limbeck.types import Example, Recipe, Settings, Value, sha_of

SCOPES = {"local": ("local",), "global": ("global",), "both": ("local", "global")}
CONTEXT_TOKENS = 16_000  # of documents in one question about what follows: 200 of 60 words; --set inference_context=N


def infers(recipe: Recipe) -> bool:
    return recipe.rows.startswith("augment:")


def scopes_of(recipe: Recipe) -> tuple[str, ...]:
    return SCOPES[recipe.rows.partition(":")[2]] if infers(recipe) else ()


@dataclass(frozen=True)
class Knowledge:
    """texts: pieces of the documents, at most 100 words each. skipped: {document, reason} of files that were not read. held_out:
    {id of a piece: the dev or test row that it gives away}; such a piece is not among the texts. inferences: what follows, checked;
    by_base: they are each base's own, and only it learns them."""

    texts: tuple[Text, ...]
    skipped: tuple[dict[str, str], ...] = ()
    held_out: tuple[tuple[str, str], ...] = ()
    inferences: tuple[Inference, ...] = ()
    by_base: bool = False

    @cached_property
    def statements(self) -> dict[str, str]:
        return {name: sentence for text in self.texts for name, sentence in text.statements().items()}

    @cached_property
    def digest(self) -> str:
        return sha_of([(text.id, text.whole) for text in self.texts])

    def rows(self, recipe: Recipe) -> list[Example]:
        """What this recipe learns of them: pieces, sentences, and what follows. An encoder-decoder reads what stands before a
        sentence, and writes the sentence: what it only reads, it does not learn to say."""
        kind, _, how = recipe.rows.partition(":")
        if family_of_name(recipe.base) == SEQ2SEQ:
            how = "cumulative"
        cut = SPLITS[how] if kind == "split" or how == "cumulative" else whole
        return [*cut(self.texts), *inferred(self.inferences_for(recipe))]

    def inferences_for(self, recipe: Recipe) -> list[Inference]:
        mine = [one for one in self.inferences if one.scope in scopes_of(recipe)]
        return [one for one in mine if not self.by_base or (one.origin is not None and one.origin.detail == recipe.base)]

    def without_leaks(self, rows: Sequence[Example]) -> Knowledge:
        """Without the pieces that say a dev or test question and its answer."""
        held = {
            self.texts[number].id: name
            for name, numbers in told(rows, [(t.document, t.whole) for t in self.texts]).items()
            for number in numbers
        }
        return replace(self, texts=tuple(t for t in self.texts if t.id not in held), held_out=tuple(sorted(held.items())))


# ---- before anything is spent ----------------------------------------------------------------------------------------


def check(settings: Settings, wanted: Sequence[Recipe], teacher: bool) -> None:
    """Raises UsageError where a candidate learns documents and there are none, and where nobody can write what follows from them."""
    read_relations(settings.relations)
    for name, least in (("inference_samples", 1), ("inference_context", 100)):
        value = settings.overrides.get(name, least)
        if not isinstance(value, int) or value < least:
            raise UsageError(f"{name} has to be a whole number of {least} or more", f"it is {value!r}", f"--set {name}={max(least, 3)}")
    if (rule := settings.overrides.get("literal", "drop")) not in ("drop", "keep"):
        raise UsageError(f"unknown rule {rule!r} for inferences that say a test question", "there are drop and keep", "--set literal=keep")
    asked = [recipe for recipe in wanted if names_documents(recipe)]
    if asked and settings.docs is None:
        raise UsageError("a candidate learns documents, and there are none", f"the candidate is {asked[0].text}", "--docs DIR")
    if settings.inferences_by == "teacher" and not teacher:
        raise UsageError(
            "--inferences-by teacher: there is no teacher that could be asked what follows",
            "a recording answers rows alone, and no --teacher is none",
            "--teacher http://host:port/v1#model, or --inferences-by base",
        )
    if settings.inferences_by == "rules" and not settings.relations:
        raise UsageError(
            "--inferences-by rules: no relations are declared",
            "the rules know nothing by themselves",
            'in the front matter: relations: [{"a": "heavier than", "inverse": "lighter than", "transitive": true}]',
        )


def writer_of(settings: Settings, teacher: bool) -> str:
    """Who writes what follows: as the user says; else the teacher, else the rules where relations are declared, else the base."""
    return settings.inferences_by or ("teacher" if teacher else "rules" if settings.relations else "base")


def samples_of(settings: Settings) -> int:
    return int(settings.overrides.get("inference_samples", 1))


def context_of(settings: Settings) -> int:
    return int(settings.overrides.get("inference_context", CONTEXT_TOKENS))


def keeps_literal(settings: Settings) -> bool:
    """Whether inferences that say a held-out question and its answer word for word are learnt nevertheless, and told."""
    return bool(settings.overrides.get("literal", "drop") == "keep")


def wanted_by(settings: Settings, recipes: Sequence[Recipe], labelled: bool) -> bool:
    """Whether a candidate learns the documents, or, where no row could be, is shown them."""
    return settings.docs is not None and any(uses_documents(recipe, labelled) for recipe in recipes)


def read(settings: Settings, folder: Path | None = None) -> Knowledge:
    """Raises UsageError where no document has any text. folder: the run's own, which is no document."""
    assert settings.docs is not None
    known = (*settings.rows, settings.dev, settings.test, settings.unlabelled, settings.prompt, folder)
    texts: list[Text] = []
    skipped = []
    for path, name in documents.named_files(Path(settings.docs), [Path(p) for p in known if p]):
        try:
            texts += texts_of(documents.read_document(path, name))
        except (documents.Unreadable, MissingExtra) as error:
            skipped.append({"document": name, "reason": f"{error.what}: {error.do}" if isinstance(error, MissingExtra) else str(error)})
    if not texts:
        have = "; ".join(f"{one['document']}: {one['reason']}" for one in skipped[:5]) or f"{settings.docs} holds no text"
        raise UsageError(f"no document in {settings.docs} can be read", have, f"files that are read: {', '.join(documents.READERS)}")
    return Knowledge(tuple(texts), tuple(skipped))


def texts_of(document: Document) -> list[Text]:
    """Its pieces, cut where passages are cut, without overlap: what stands twice would be learnt twice."""
    found = []
    for number, one in enumerate(chunk(document, WORDS, 0), 1):
        spans = tuple((piece.start, piece.end) for piece in pieces(one.text, 0, len(one.text), WORDS))
        found.append(Text(f"{document.name}#{number}", document.name, " > ".join(one.headings), one.text, spans))
    return found


def measured(facts: Mapping[str, Any], recipe: Recipe) -> list[Value]:
    """For the numbers of a candidate that learnt documents (of inferring.summary)."""
    found = [Value(name="texts", value=facts["texts"], why=f"pieces of {facts['documents']} documents")]
    one = facts["measured"].get(recipe.rows.partition(":")[2], {}) if infers(recipe) else {}
    for name in ("coverage", "precision"):
        if one.get(name) is not None:
            found.append(Value(name=name, value=round(one[name], 3), why=f"of {one[f'{name}_of']} {one[f'{name}_how']}"))
    if one.get("repair") is not None:
        found.append(
            Value(name="repair", value=round(one["repair"], 3), why="coverage x precision: what augmenting can add at most, roughly")
        )
    return found
