"""The step `inferences`: what follows from the user's documents is written, checked, measured and remembered.

documents --> pieces without dev and test --+--> a teacher | the base itself | rules --> checks --> second opinion --> 2-inferences.jsonl
                                            |                                              +--> 2-inferences-dropped.jsonl, with reasons
                                            +--> coverage x precision: how much of what is missing they can repair"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from limbeck import knowing, render_inferences, supply
from limbeck.augment import ask_inferences, relations
from limbeck.augment.cues import ask_cues
from limbeck.augment.inferences import Inference, negates, sort_out
from limbeck.curate.leak_docs import told
from limbeck.engine.named import config_of_name
from limbeck.errors import UsageError
from limbeck.knowing import Knowledge
from limbeck.log import Log
from limbeck.preflight import Given
from limbeck.registry import Ask, Teacher
from limbeck.repairing import examples, measure, sentences
from limbeck.run import RunFolder, read_lines, write_lines
from limbeck.teachers import open_teacher
from limbeck.teachers.tokens import tokens_of
from limbeck.types import Example, Frozen, Recipe, Reply, Request, sha_of

ROOM_SHARE = 0.5  # of a base's positions, for documents: characters are no measure of the tokens of strange words

AsksAs = Callable[[Teacher], Callable[[str], Ask]]  # a teacher -> purpose -> the teacher behind the store


class Dropped(Frozen):
    """why: of `sort_out`; or leak, denied (by the second teacher)."""

    inference: Inference
    why: str


@dataclass
class Found:
    """What was written and what became of it. opinions: (yes, no) of the second teacher."""

    kept: list[Inference] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    opinions: tuple[int, int] = (0, 0)
    left_out: float = 0.0

    def add(self, other: Found) -> None:
        self.kept += other.kept
        self.dropped += other.dropped
        self.counts += other.counts
        self.opinions = (self.opinions[0] + other.opinions[0], self.opinions[1] + other.opinions[1])
        self.left_out = max(self.left_out, other.left_out)


def files(folder: RunFolder) -> tuple[Path, Path]:
    return folder.path / "2-inferences.jsonl", folder.path / "2-inferences-dropped.jsonl"


def find(
    folder: RunFolder, given: Given, recipes: Sequence[Recipe], rows: Mapping[str, Sequence[Example]], asks: AsksAs, log: Log
) -> tuple[Knowledge | None, dict[str, Any]]:
    """(what students learn, what the report says of it); (None, {}) where none of them learns documents. rows: dev, test."""
    if given.knowledge is None:
        return None, {}
    knowledge = given.knowledge.without_leaks([*rows["dev"], *rows["test"]])
    asked = [recipe for recipe in recipes if knowing.infers(recipe)]
    if not asked or not knowledge.texts:
        return knowledge, summary(given, knowledge, None, rows, recipes, {})
    by = knowing.writer_of(given.settings, able(given.teacher))
    facts = inputs(given, knowledge, asked, rows, by)
    if not folder.is_done("inferences", facts):
        log.event("step", step="inferences", by=by, texts=len(knowledge.texts))
        found = Found()
        for recipe in by_writer(asked, by):
            found.add(write(given, knowledge, asked, recipe.base, by, [*rows["dev"], *rows["test"]], asks))
        kept_file, dropped_file = files(folder)
        write_lines(kept_file, found.kept)
        write_lines(dropped_file, found.dropped)
        complete = not supply.left_undone(dict(found.counts))
        done = {"counts": dict(found.counts), "opinions": found.opinions, "left_out": found.left_out, "complete": complete}
        if complete:
            folder.mark_done("inferences", facts, [kept_file, dropped_file], **done)
        else:
            log.warn("not every statement was asked about: money, time or the provider; the same command goes on")
    else:
        done = folder.facts("inferences")
    knowledge = replace(knowledge, inferences=tuple(read_lines(files(folder)[0], Inference)), by_base=by == "base")
    said = summary(given, knowledge, by, rows, recipes, done, read_lines(files(folder)[1], Dropped))
    for text in said["said"]:
        log.event("note", text=text)
    return knowledge, said


def inputs(given: Given, knowledge: Knowledge, asked: Sequence[Recipe], rows: Mapping[str, Sequence[Example]], by: str) -> dict[str, Any]:
    """What the inferences depend on."""
    settings = given.settings
    return {
        "texts": knowledge.digest,
        "rows": sha_of([(r.id, r.input, r.output, r.answers) for some in rows.values() for r in some]),
        "by": by,
        "teacher": given.teacher.fingerprint if by == "teacher" and given.teacher else sorted({r.base for r in asked if by == "base"}),
        "second": given.labeller.fingerprint if given.labeller else "",
        "literal": knowing.keeps_literal(settings),
        "scopes": sorted({scope for recipe in asked for scope in knowing.scopes_of(recipe)}),
        "samples": knowing.samples_of(given.settings),
        "context": knowing.context_of(given.settings),
        "relations": list(settings.relations),
        "seed": settings.seed,
        "render": render_inferences.VERSION,
    }


def able(teacher: Teacher | None) -> bool:
    return teacher is not None and not teacher.recording


def by_writer(asked: Sequence[Recipe], by: str) -> list[Recipe]:
    """One recipe per model that writes: a base writes for itself."""
    return list({recipe.base if by == "base" else by: recipe for recipe in asked}.values())


# ---- writing and checking --------------------------------------------------------------------------------------------


def write(
    given: Given, knowledge: Knowledge, asked: Sequence[Recipe], base: str, by: str, held_out: Sequence[Example], asks: AsksAs
) -> Found:
    scopes = {scope for recipe in asked if by != "base" or recipe.base == base for scope in knowing.scopes_of(recipe)}
    documents = {text.id: text.whole for text in knowledge.texts}
    declared = relations.read_relations(given.settings.relations)
    found = Found()
    if by == "rules":
        home = {name: text.id for text in knowledge.texts for name in text.statements()}
        written = [one for one in relations.infer(knowledge.statements, declared, home) if one.scope in scopes]
    else:
        written = ask_model(given, knowledge, scopes, base, by, asks, found)
    sources = {**documents, **knowledge.statements}
    kept, lost = sort_out(written, sources, names=by != "rules")
    found.dropped += [Dropped(inference=one, why=why) for one, why in lost]
    denied = contradicting(kept, knowledge, declared)
    found.dropped += [Dropped(inference=one, why="contradiction") for one in kept if one.text in denied]
    kept = [one for one in kept if one.text not in denied]
    gone = {} if knowing.keeps_literal(given.settings) else literal(held_out, kept)
    found.dropped += [Dropped(inference=kept[n], why=f"leak: it says the held-out row {row}") for n, row in sorted(gone.items())]
    kept = [one for number, one in enumerate(kept) if number not in gone]
    found.kept = second(given, kept, sources, asks, found)
    return found


def contradicting(kept: Sequence[Inference], knowledge: Knowledge, declared: Sequence[relations.Relation]) -> set[str]:
    """Texts that say of the statements the opposite: in their words, or by a declared relation."""
    whole = "\n".join(knowledge.statements.values())
    against = relations.against(knowledge.statements, declared) if declared else None
    return {one.text for one in kept if negates(one.text, whole) or (against is not None and against(one.text, whole))}


def literal(rows: Sequence[Example], inferences: Sequence[Inference]) -> dict[int, str]:
    """{place of an inference: the row whose question and answer it holds word for word}."""
    leaks = told(rows, [(str(place), one.text) for place, one in enumerate(inferences)])
    return {place: row for row, places in leaks.items() for place in places}


def ask_model(given: Given, knowledge: Knowledge, scopes: set[str], base: str, by: str, asks: AsksAs, found: Found) -> list[Inference]:
    """The teacher, or the base as a teacher of itself."""
    teacher = given.teacher if by == "teacher" else open_teacher(f"local:{base}")
    assert teacher is not None
    how: dict[str, Any] = {"samples": knowing.samples_of(given.settings), "price": teacher.price, "seed": given.settings.seed}
    room = knowing.context_of(given.settings)
    if by == "base":
        room = min(room, round(ROOM_SHARE * int(getattr(config_of_name(base), "max_position_embeddings", 0) or 512)))
    ask = roomy(asks(teacher)("inferences"))
    parts = []
    declared = relations.read_relations(given.settings.relations)
    if by == "base" and declared:  # the relations say where to begin, so that a base that takes no instructions can write
        if "local" in scopes:
            parts.append(ask_cues(knowledge.statements, declared, ask, samples=how["samples"], seed=how["seed"]))
    elif "local" in scopes:
        titles = {name: text.title for text in knowledge.texts for name in text.statements()}
        parts.append(ask_inferences.ask_local(knowledge.statements, titles, ask, **how))
    if "global" in scopes:
        documents = {text.id: text.whole for text in knowledge.texts}
        parts.append(ask_inferences.ask_global(documents, ask, room=room, size=lambda text: tokens_of([text]), **how))
    for part in parts:
        found.counts += Counter(part.counts)
        found.left_out = max(found.left_out, part.left_out)
    return [marked(one, base if by == "base" else "") for part in parts for one in part.inferences]


def roomy(ask: Ask) -> Ask:
    """A question that a small base has no room for costs that question, not the run."""

    def one_by_one(requests: Sequence[Request]) -> list[Reply | Exception]:
        try:
            return ask(requests)
        except UsageError as error:
            if len(requests) == 1:
                return [error]
            return [outcome for request in requests for outcome in one_by_one([request])]

    return one_by_one


def marked(one: Inference, base: str) -> Inference:
    origin = one.origin.model_copy(update={"detail": base}) if one.origin and base else one.origin
    return one.model_copy(update={"origin": origin})


def second(given: Given, kept: list[Inference], sources: Mapping[str, str], asks: AsksAs, found: Found) -> list[Inference]:
    """What another teacher (--labeller) denies is dropped; what it says nothing of stays."""
    other = given.labeller
    if other is None or other.recording or not kept:
        return kept
    said, counts, _ = ask_inferences.second_opinion(kept, sources, asks(other)("opinions"), price=other.price, seed=given.settings.seed)
    found.counts += Counter(counts)
    found.opinions = (said.count(True), said.count(False))
    found.dropped += [
        Dropped(inference=one, why="denied: a second teacher says that it does not follow")
        for one, yes in zip(kept, said, strict=True)
        if yes is False
    ]
    return [one for one, yes in zip(kept, said, strict=True) if yes is not False]


# ---- for the report --------------------------------------------------------------------------------------------------


def summary(
    given: Given,
    knowledge: Knowledge,
    by: str | None,
    rows: Mapping[str, Sequence[Example]],
    recipes: Sequence[Recipe],
    done: Mapping[str, Any],
    dropped: Sequence[Dropped] = (),
) -> dict[str, Any]:
    """texts, documents, statements: what is learnt. by: who wrote what follows, None = nobody was asked. measured: {local, global, both:
    see repairing.measure}. kept: {scope: n}; dropped: {reason: n}; usd: paid for what was kept and dropped, None = unknown or nothing."""
    opinions = done.get("opinions", (0, 0))
    hows = {recipe.rows.partition(":")[2]: knowing.scopes_of(recipe) for recipe in recipes if knowing.infers(recipe)}
    costs = [one.origin.cost_usd for one in (*knowledge.inferences, *(d.inference for d in dropped)) if one.origin]
    facts: dict[str, Any] = {
        "texts": len(knowledge.texts),
        "documents": len({text.document for text in knowledge.texts}),
        "statements": len(knowledge.statements),
        "skipped": list(knowledge.skipped),
        "held_out": [list(pair) for pair in knowledge.held_out],
        "by": by,
        "writer": writer_name(given, by, recipes),
        "kept": dict(Counter(one.scope for one in knowledge.inferences)),
        "dropped": dict(Counter(one.why.partition(":")[0] for one in dropped).most_common()),
        "counts": dict(done.get("counts", {})),
        "left_out": done.get("left_out", 0.0),
        "measured": {how: measure(given.settings, knowledge, rows["dev"], opinions, scopes) for how, scopes in hows.items()} if by else {},
        "literal": sorted(set(literal(rows["test"], knowledge.inferences).values())),
        "examples": examples(knowledge.inferences, [(one.why, one.inference) for one in dropped]),
        "usd": sum(c for c in costs if c is not None) if any(c is not None for c in costs) else None,
        "complete": bool(done.get("complete", True)),
    }
    return {**facts, "said": sentences(facts)}


def writer_name(given: Given, by: str | None, recipes: Sequence[Recipe]) -> str:
    if by == "base":
        return ", ".join(sorted({recipe.base for recipe in recipes if knowing.infers(recipe)}))
    return given.teacher.name if by == "teacher" and given.teacher else "declared relations" if by else ""
