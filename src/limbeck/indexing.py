"""The step `index`: the user's documents become an index, passages that give rows away are left out, and retrieval is
measured by itself. And what a candidate with rag:k takes from it."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from limbeck import registry, stats
from limbeck.contexts import documents
from limbeck.contexts.passages import build
from limbeck.contexts.search import WAYS, PassageIndex
from limbeck.curate.leak_docs import told
from limbeck.errors import UsageError
from limbeck.log import Log
from limbeck.recipes import names_documents
from limbeck.registry import Fitted
from limbeck.render import squeeze
from limbeck.run import RunFolder, write_json
from limbeck.types import Example, Kind, Recipe, Settings, Task, sha_of

SHARE_OF_TIME = 0.25  # of the time budget, for embedding the passages
COMPARISONS = 6_000_000  # rows x passages that are looked through for the gold passage: about 5 s
LISTED = 10  # so many ranks are looked at


def looks_up(recipe: Recipe) -> bool:
    return recipe.context.partition(":")[0] == "rag"


def passages_wanted(recipe: Recipe) -> int:
    return int(recipe.context.split(":")[1])


@dataclass(frozen=True)
class Library:
    """index: of the run. own: {training row: passages that hold it}, which it may not see while it is trained on."""

    index: PassageIndex
    own: Mapping[str, Sequence[int]]

    @property
    def digest(self) -> str:
        return sha_of([self.index.digest, {k: list(v) for k, v in self.own.items()}])

    def with_passages(self, recipe: Recipe, rows: Sequence[Example]) -> list[Example]:
        from limbeck.engine.reader import look_up

        return look_up(self.index, rows, passages_wanted(recipe), str(recipe.value("retrieval", "fused")), self.own)[0]

    def wrap(self, recipe: Recipe, fitted: Fitted) -> Fitted:
        """The fitted predictor, looking things up before it answers; what is saved holds the index."""
        from limbeck.engine.reader import Reader

        reader = Reader(fitted.predictor, self.index, passages_wanted(recipe), str(recipe.value("retrieval", "fused")))
        save = fitted.save
        if save is None:
            return replace(fitted, predictor=reader)

        def both(folder: Path) -> None:
            save(folder)
            reader.save(folder)

        size_mb = sum(file.stat().st_size for file in self.index.folder.glob("passages*")) / 1e6
        return replace(fitted, predictor=reader, save=both, size_mb=round(fitted.size_mb + size_mb, 1))


# ---- before anything is spent ----------------------------------------------------------------------------------------


def check(settings: Settings, wanted: Sequence[Recipe], warnings: list[str]) -> None:
    """Raises UsageError where a candidate looks things up and there are no documents, and where a number makes no sense."""
    asked = [recipe.text for recipe in wanted if looks_up(recipe)]
    if settings.docs is None:
        if asked:
            raise UsageError("a candidate looks things up, and there are no documents", f"the candidate is {asked[0]}", "--docs DIR")
        return
    documents.find_files(Path(settings.docs))
    if wanted and not asked and settings.rows and not any(names_documents(recipe) for recipe in wanted):
        warnings.append(f"--docs {settings.docs}: no candidate looks anything up in it; one that does: prompt+rag:4@teacher")
    overrides = settings.overrides
    words, overlap = overrides.get("passage_words", 100), overrides.get("passage_overlap", 15)
    if not isinstance(words, int) or not isinstance(overlap, int) or words < 10 or not 0 <= overlap <= words // 2:
        have = f"passage_words={words}, passage_overlap={overlap}"
        raise UsageError(
            "a passage has at least 10 words, and at most half of them are overlap", have, "--set passage_words=100,passage_overlap=15"
        )
    if (way := overrides.get("retrieval", "fused")) not in WAYS:
        raise UsageError(f"unknown retrieval {way!r}", registry.near(str(way), list(WAYS)), "--set retrieval=fused")


# ---- the step --------------------------------------------------------------------------------------------------------


def find_index(
    folder: RunFolder, settings: Settings, task: Task, recipes: Sequence[Recipe], rows: Mapping[str, Sequence[Example]], log: Log
) -> tuple[Library | None, dict[str, Any]]:
    """(the library, what the report says of it); (None, {}) where no candidate looks anything up. rows: train, dev, test."""
    asked = [recipe for recipe in recipes if looks_up(recipe)]
    if not asked or settings.docs is None:
        return None, {}
    first = asked[0]
    embed, why = embedder_of(str(first.value("embedder", "minilm")), any(r.value("retrieval", "fused") != "words" for r in asked))
    log.event("step", step="index")
    index = build(
        folder.path / "2-index" / "docs",
        Path(settings.docs),
        words=int(first.value("passage_words", 100)),
        overlap=int(first.value("passage_overlap", 15)),
        embedder=str(first.value("embedder", "minilm")),
        embed=embed,
        why_not=why,
        budget_s=settings.budget_s * SHARE_OF_TIME,
        ignore=[
            Path(p) for p in (*settings.rows, settings.dev, settings.test, settings.unlabelled, settings.prompt, str(folder.path)) if p
        ],
        note=lambda done, total, what: log.progress("index", done, total, what),
    )
    inputs = {
        "index": index.facts["digest"],
        "meaning": index.facts["meaning"] and index.facts["embedder"],
        "rows": {name: sha_of([(r.id, r.input, r.output, r.answers, r.passage) for r in some]) for name, some in rows.items()},
    }
    path = folder.path / "2-index" / "docs-rows.json"
    if not folder.is_done("index", inputs):
        passages = [(p.document, p.shown) for p in index.passages()]
        held_out = told([*rows["dev"], *rows["test"]], passages)
        left_out = {str(n): f"it holds the row {row_id}" for row_id, numbers in held_out.items() for n in numbers}
        index.leave_out(left_out)
        own = told(rows["train"], passages)
        measured = measure(index, task, rows["test"], passages)
        facts = {"own": own, "told": len(held_out), "left_out": left_out, "measured": measured}
        write_json(path, facts)
        folder.mark_done("index", inputs, [path], **facts)
    facts = folder.facts("index")
    index.leave_out(facts["left_out"])  # an index that was put together again knows nothing of it
    said = summary(index, settings, facts)
    for text in said["said"]:
        log.event("note", text=text)
    return Library(index, facts["own"]), said


def embedder_of(name: str, needed: bool) -> tuple[Any, str]:
    """(texts -> vectors, ""), or (None, why words alone are searched)."""
    if not needed:
        return None, "--set retrieval=words"
    if importlib.util.find_spec("torch") is None:
        return None, "embeddings need pip install 'limbeck[train]'"
    from limbeck.engine.embed import embed

    return (lambda texts: embed(texts, name)), ""


def summary(index: PassageIndex, settings: Settings, facts: Mapping[str, Any]) -> dict[str, Any]:
    """For run.json and the report: {documents, passages, skipped, how, measured, said: sentences}."""
    known = index.facts
    how = "words and meaning, fused by reciprocal rank" if known["meaning"] else "words alone"
    said = [
        f"{known['passages']:,} passages of {known['documents']:,} documents in {settings.docs}, searched by {how}"
        + (f" ({known['why']})" if known["why"] else "")
    ]
    if skipped := known["skipped"]:
        first = skipped[0]
        said.append(f"{len(skipped)} files were not read; the first: {first['document']}: {first['reason']}")
    if index.left_out:
        said.append(
            f"{len(index.left_out)} passages were left out of the index: they hold {facts['told']} dev or test rows with their answers"
        )
    if facts["own"]:
        said.append(f"{len(facts['own'])} training rows stand in the documents: those passages were hidden from them in training")
    measured = facts["measured"]
    said.append(measured["gold"])
    kept = {name: known[name] for name in ("documents", "passages", "skipped", "meaning", "words", "overlap", "embedder")}
    return {**kept, "left_out": len(index.left_out), "how": how, "measured": measured["ways"], "said": said}


# ---- retrieval by itself ---------------------------------------------------------------------------------------------


def measure(index: PassageIndex, task: Task, rows: Sequence[Example], passages: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """{gold: how the right passage is known, ways: [{way, n, recall@k with its 95 % interval, mrr}]}, over rows of test."""
    some = list(rows)[: max(1, COMPARISONS // max(1, len(passages)))]
    gold = gold_passages(task, some, passages)
    known = [(row, right) for row, right in zip(some, gold, strict=True) if right]
    if not known:
        why = "Retrieval by itself was not measured: no test row names its passage (column passage), and no answer stands in just one"
        return {"gold": why + " passage.", "ways": []}
    named = sum(row.passage is not None for row, _ in known)
    how = f"{named} by the column passage, {len(known) - named} because the answer stands in that passage alone"
    ways = [way for way in WAYS if index.facts["meaning"] or way == "words"]
    table = []
    for way in ways:
        hits = index.search([row.input for row, _ in known], LISTED, way)
        ranks = [first_rank([h.number for h in line], right) for line, (_, right) in zip(hits, known, strict=True)]
        table.append({"way": way, **figures(ranks)})
    return {"gold": f"The right passage is known for {len(known)} of {len(some)} test rows ({how}).", "ways": table}


def gold_passages(task: Task, rows: Sequence[Example], passages: Sequence[tuple[str, str]]) -> list[set[int]]:
    """Per row the passages that count as right; empty where that is not known. A document's name makes all of its passages
    right. An answer makes a passage right where it stands in that one alone, or in two neighbours that overlap."""
    names: dict[str, set[int]] = {}
    for number, (document, _) in enumerate(passages):
        names.setdefault(document, set()).add(number)
    texts = [f" {squeeze(text)} " for _, text in passages]

    def right(row: Example) -> set[int]:
        if row.passage is not None:
            needle = f" {squeeze(row.passage)} "
            return names.get(row.passage) or {n for n, text in enumerate(texts) if needle in text or (len(text) > 40 and text in needle)}
        answers = [squeeze(a) for a in {row.output, *(row.answers or ())} if a and squeeze(a)] if task.kind is Kind.TEXT else []
        found = [n for n, text in enumerate(texts) if any(f" {a} " in text for a in answers)]
        neighbours = len(found) == 2 and found[1] == found[0] + 1 and passages[found[0]][0] == passages[found[1]][0]
        return set(found) if len(found) == 1 or neighbours else set()

    return [right(row) for row in rows]


def first_rank(numbers: Sequence[int], right: set[int]) -> int | None:
    """1-based rank of the first right one, None where there is none."""
    return next((rank for rank, number in enumerate(numbers, 1) if number in right), None)


def figures(ranks: Sequence[int | None]) -> dict[str, Any]:
    n = len(ranks)
    found: dict[str, Any] = {"n": n, "mrr": round(sum(1 / r for r in ranks if r) / n, 4)}
    for k in (1, 5, LISTED):
        hits = sum(r is not None and r <= k for r in ranks)
        low, high = stats.wilson(hits, n)
        found[f"recall@{k}"] = {"value": round(hits / n, 4), "low": round(low, 4), "high": round(high, 4)}
    return found
