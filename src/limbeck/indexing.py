"""The step `index`: the user's documents become an index, passages that give rows away are left out, and retrieval is
measured by itself. And what a candidate with rag:k takes from it."""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from limbeck import registry
from limbeck.contexts import documents
from limbeck.contexts.passages import build
from limbeck.contexts.rerank import Reranker
from limbeck.contexts.search import WAYS, Embed, PassageIndex, is_endpoint, open_embedder
from limbeck.curate.leak_docs import told
from limbeck.engine.load import ENCODER, family_of_name, find_folder
from limbeck.engine.named import is_on_hub
from limbeck.errors import UsageError
from limbeck.log import Log
from limbeck.recall import measure
from limbeck.recipes import uses_documents
from limbeck.registry import Ask, Fitted
from limbeck.run import RunFolder, write_json
from limbeck.teachers.embeddings import Embedder, open_model
from limbeck.teachers.store import Store
from limbeck.types import Example, Price, Recipe, Settings, Task, sha_of

SHARE_OF_TIME = 0.25  # of the time budget, for embedding the passages
MOST_RERANKED = 99


def looks_up(recipe: Recipe) -> bool:
    return recipe.context.partition(":")[0] == "rag"


def passages_wanted(recipe: Recipe) -> int:
    return int(recipe.context.split(":")[1])


@dataclass(frozen=True)
class Means:
    """What looking things up may ask and spend. store: of the run, for an embedder behind an endpoint. ask_for: the teacher's,
    for reranking; price and teacher (a fingerprint): its. deadline: time.monotonic() when the budget ends."""

    store: Store
    ask_for: Callable[[str], Ask] | None = None
    price: Price | None = None
    teacher: str = ""
    deadline: float = float("inf")


@dataclass(frozen=True)
class Library:
    """index: of the run. own: {training row: passages that hold it}, which it may not see while it is trained on."""

    index: PassageIndex
    own: Mapping[str, Sequence[int]]
    task: Task
    means: Means | None = None

    @property
    def digest(self) -> str:
        return sha_of([self.index.digest, {k: list(v) for k, v in self.own.items()}])

    def with_passages(self, recipe: Recipe, rows: Sequence[Example]) -> list[Example]:
        from limbeck.engine.reader import look_up

        return look_up(self.index, rows, passages_wanted(recipe), str(recipe.value("retrieval", "fused")), self.own)[0]

    def wrap(self, recipe: Recipe, fitted: Fitted) -> Fitted:
        """The fitted predictor, looking things up before it answers; what is saved holds the index."""
        from limbeck.engine.reader import Reader

        rerank = reranker(recipe, self.task, self.means)
        way, depth = str(recipe.value("retrieval", "fused")), rerank.depth if rerank else 0
        reader = Reader(fitted.predictor, self.index, passages_wanted(recipe), way, rerank, depth)
        save = fitted.save
        if save is None:
            return replace(fitted, predictor=reader)

        def both(folder: Path) -> None:
            save(folder)
            reader.save(folder)

        size_mb = sum(file.stat().st_size for file in self.index.folder.glob("passages*")) / 1e6
        return replace(fitted, predictor=reader, save=both, size_mb=round(fitted.size_mb + size_mb, 1))


def reranker(recipe: Recipe, task: Task, means: Means | None) -> Reranker | None:
    """Of a candidate that has one: the teacher, who is asked under a purpose of its own."""
    depth = int(recipe.value("rerank", 0))
    if not depth or means is None or means.ask_for is None:
        return None
    return Reranker(task, means.ask_for("rerank"), depth, means.price)


# ---- before anything is spent ----------------------------------------------------------------------------------------


def check(settings: Settings, wanted: Sequence[Recipe], warnings: list[str]) -> None:
    """Raises UsageError where a candidate looks things up and there are no documents, and where a number makes no sense."""
    asked = [recipe.text for recipe in wanted if looks_up(recipe)]
    if settings.docs is None:
        if asked:
            raise UsageError("a candidate looks things up, and there are no documents", f"the candidate is {asked[0]}", "--docs DIR")
        return
    documents.find_files(Path(settings.docs))
    if wanted and not asked and not any(uses_documents(recipe, bool(settings.rows)) for recipe in wanted):
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
    depth = overrides.get("rerank", 0)
    if not isinstance(depth, int) or not (depth == 0 or 2 <= depth <= MOST_RERANKED):
        raise UsageError(
            "rerank is how many passages the teacher puts in order", f"rerank={depth}", f"--set rerank=20, from 2 to {MOST_RERANKED}"
        )
    if is_endpoint(spec := str(overrides.get("embedder", "minilm"))):
        return check_endpoint(spec, settings, warnings)
    if spec not in registry.names("bases") and not is_on_hub(spec):
        find_folder(spec)
    if (family := family_of_name(spec)) != ENCODER:
        raise UsageError(f"{spec} cannot embed texts", f"it is a {family} model", "--embedder minilm, or another encoder")


def check_endpoint(spec: str, settings: Settings, warnings: list[str]) -> None:
    """The embedder can be asked, and its price is known; what it may cost is said. Raises UsageError, MissingKey."""
    model = open_model(spec, embedder_price(settings))
    if model.price is None:
        raise UsageError(
            f"the price of {model.name!r} is not known, so a budget of ${settings.budget_usd:g} cannot be kept",
            "no call was made",
            "--set embedder_price=0.02 in USD per million tokens, or --set embedder_price=0 if it is yours",
        )
    tokens = sum(file.stat().st_size for file in documents.find_files(Path(str(settings.docs)))) // 4
    if model.price.usd_per_mtok_in:
        usd = model.price.of(tokens, 0)
        warnings.append(f"{model.name} embeds the documents: at most {tokens:,} tokens, ${usd:.4f}, beside what the estimate says")


def embedder_price(settings: Settings) -> Price | None:
    given = settings.overrides.get("embedder_price")
    if given is None:
        return None
    if not isinstance(given, int | float) or isinstance(given, bool) or not given >= 0:
        raise UsageError(
            "a price is an amount in USD per million tokens", f"embedder_price={given}", "--set embedder_price=0.02"
        )  # fmt: skip
    return Price(usd_per_mtok_in=float(given), usd_per_mtok_out=0, source="given")


# ---- the step --------------------------------------------------------------------------------------------------------


def find_index(
    folder: RunFolder,
    settings: Settings,
    task: Task,
    recipes: Sequence[Recipe],
    rows: Mapping[str, Sequence[Example]],
    log: Log,
    means: Means | None = None,
) -> tuple[Library | None, dict[str, Any]]:
    """(the library, what the report says of it); (None, {}) where no candidate looks anything up. rows: train, dev, test."""
    asked = [recipe for recipe in recipes if looks_up(recipe)]
    if not asked or settings.docs is None:
        return None, {}
    first = asked[0]
    embed, why = embedder_of(settings, first, any(r.value("retrieval", "fused") != "words" for r in asked), means, log)
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
        "meaning": index.facts["meaning"] and index.facts["identity"],
        "reranked": [list(r.value(name) for name in ("retrieval", "rerank")) for r in asked if r.value("rerank")],
        "teacher": means.teacher if means and any(r.value("rerank") for r in asked) else "",
        "rows": {name: sha_of([(r.id, r.input, r.output, r.answers, r.passage) for r in some]) for name, some in rows.items()},
    }
    path = folder.path / "2-index" / "docs-rows.json"
    if not folder.is_done("index", inputs):
        passages = [(p.document, p.shown) for p in index.passages()]
        held_out = told([*rows["dev"], *rows["test"]], passages)
        left_out = {str(n): f"it holds the row {row_id}" for row_id, numbers in held_out.items() for n in numbers}
        index.leave_out(left_out)
        own = told(rows["train"], passages)
        one = next((r for r in asked if r.value("rerank")), first)
        rerank, way = reranker(one, task, means), str(one.value("retrieval", "fused"))
        measured = measure(index, task, rows["test"], passages, rerank, way)
        facts = {"own": own, "told": len(held_out), "left_out": left_out, "measured": measured}
        write_json(path, facts)
        folder.mark_done("index", inputs, [path], **facts)
        if measured["reranked"].get("unanswered"):
            folder.forget("index")  # another day those rows are asked about again
    else:
        facts = folder.facts("index")
    index.leave_out(facts["left_out"])  # an index that was put together again knows nothing of it
    said = summary(index, settings, facts)
    for text in said["said"]:
        log.event("note", text=text)
    return Library(index, facts["own"], task, means), said


def embedder_of(settings: Settings, recipe: Recipe, needed: bool, means: Means | None, log: Log) -> tuple[Embed | None, str]:
    """(texts -> vectors, ""), or (None, why words alone are searched). An endpoint is asked through the run's store."""
    spec = str(recipe.value("embedder", "minilm"))
    if not needed:
        return None, "--set retrieval=words"
    if is_endpoint(spec):
        model = open_model(spec, embedder_price(settings))
        return Embedder(model, behind(means, model, log) if means else None), ""
    if importlib.util.find_spec("torch") is None:
        return None, "embeddings need pip install 'limbeck[train]'"
    return open_embedder(spec), ""


def behind(means: Means, model: Any, log: Log) -> Ask:
    def ask(requests: Sequence[Any]) -> list[Any]:
        left_s = max(0.0, means.deadline - time.monotonic()) if means.deadline < float("inf") else None
        return means.store.ask(
            model, requests, "embeddings", note=lambda d, t, what: log.progress("embeddings", d, t, what), deadline_s=left_s
        )

    return ask


def warnings(facts: Mapping[str, Any]) -> list[str]:
    """What a reader has to know before the figures of candidates that read documents (facts: of summary)."""
    out, there = facts.get("left_out", 0), facts.get("passages", 0)
    if not there or out < SHARE_LEFT_OUT * there:
        return []
    return [
        f"{out} of {there} passages were kept from every candidate, for they hold dev or test questions with their answers: what is "
        "compared reads the rest alone. Ask in other words than the documents' own, or give --docs that the questions were not taken from"
    ]


SHARE_LEFT_OUT = 0.2  # of the passages: from here on the figures are about another set of documents


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
    if known["meaning"] and is_endpoint(known["embedder"]):
        said.append(f"{known['embedder']} was sent the text of the documents, and is sent every input")
    if known["without"]:
        said.append(f"{known['without']} passages were declined by the embedder: they are found by their words alone")
    if facts["own"]:
        said.append(f"{len(facts['own'])} training rows stand in the documents: those passages were hidden from them in training")
    measured = facts["measured"]
    said.append(measured["gold"])
    if calls := measured["reranked"]:
        said.append(
            f"Reranked by the teacher: {calls['rows']} test rows; {calls['fell_back']} kept the order of the search, "
            f"{calls['missing']} replies left passages out, {calls['unknown']} named ids that there are not"
        )
    kept = {name: known[name] for name in ("documents", "passages", "skipped", "meaning", "words", "overlap", "embedder")}
    return {
        **kept,
        "left_out": len(index.left_out),
        "how": how,
        "measured": measured["ways"],
        "reranked": measured["reranked"],
        "said": said,
    }
