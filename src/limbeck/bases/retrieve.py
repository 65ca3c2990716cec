"""Which base to start from: filter the catalogue with reasons, rank what is left, and say why.

task --> query (the teacher's model card, or what the task says) --> score each model, -inf where a filter speaks --> the best k

Nothing is indexed beforehand: what the encoder made of a card is kept by the card's text, so nothing can be older than the list."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from limbeck.bases.card import query_for
from limbeck.bases.catalogue import LANGUAGES, MANY, Catalogue, Model, load_catalogue
from limbeck.bases.machine import Machine, is_here, memory_needed_mb, this_machine, training_s
from limbeck.engine.wording import STOP, stems
from limbeck.errors import UsageError
from limbeck.need import need
from limbeck.registry import Ask, near
from limbeck.run import cache_folder
from limbeck.types import Frozen, Kind, Task

if TYPE_CHECKING:
    import numpy as np

    from limbeck.engine.reading import Reading

FAMILIES = ("encoder", "seq2seq", "causal")
WRITERS = ("seq2seq", "causal")  # an encoder cannot write text
ADAPTERS = ("head", "full", "lora")
TOKENS, QUERY_TOKENS = (20, 80, 30), 200  # read of the parts of a card, and of a query
Score = Callable[[str, Sequence[Model]], "np.ndarray"]  # (query, n models) -> (n,), higher is better


@dataclass(frozen=True)
class Limits:
    """What may be proposed.

    families: those that can be trained. licences: allowed ones, () = any. language: ISO code, None = the task's. gated:
    whether models that want their terms accepted may be proposed too. blocked: owners, or owner/name. rows, tokens: what
    training would see (rows of so many tokens), in at most train_s seconds with one of the adapters; None = no limit.
    here: only what can be used without a download."""

    max_mb: float = 3000.0
    families: tuple[str, ...] = FAMILIES
    licences: tuple[str, ...] = ()
    language: str | None = None
    gated: bool = False
    blocked: tuple[str, ...] = ("huggingtweets",)
    adapters: tuple[str, ...] = ADAPTERS
    rows: int = 1000
    tokens: int = 64
    train_s: float | None = 1800.0
    here: bool = False

    def __post_init__(self) -> None:
        if self.language is not None and not re.fullmatch(r"[a-z]{2,3}", self.language):
            code = next((code for code, name in LANGUAGES.items() if name.casefold() == self.language.casefold()), "de")
            raise UsageError(f"{self.language!r} is no language code", "codes are ISO 639-1, such as en, de, zh", f"--language {code}")
        for name, given, known in (("family", self.families, FAMILIES), ("adapter", self.adapters, ADAPTERS)):
            if unknown := [value for value in given if value not in known]:
                raise UsageError(f"unknown {name} {unknown[0]!r}", near(unknown[0], known), f"one of {', '.join(known)}")


class Found(Frozen):
    """One proposal. adapters: those that fit this machine, the first of the wish list first. here: no download needed.
    usable: here, or the Hub may be asked. reasons: in words, the strongest first."""

    model: Model
    score: float
    adapters: tuple[str, ...]
    here: bool
    usable: bool
    reasons: tuple[str, ...]


@dataclass(frozen=True)
class Shortlist:
    """how: what was compared, `card` (the teacher's) or `task`. dropped: model id -> why. notes: what a user should know."""

    found: tuple[Found, ...]
    query: str
    how: str
    dropped: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def find_bases(task: Task, limits: Limits, ask: Ask | None = None, k: int = 5) -> list[Found]:
    """The best k, each with its reasons. ask: the teacher, for the hypothetical model card; see `shortlist` for the rest."""
    return list(shortlist(task, limits, ask, k).found)


def shortlist(
    task: Task,
    limits: Limits,
    ask: Ask | None = None,
    k: int = 5,
    *,
    catalogue: Catalogue | None = None,
    machine: Machine | None = None,
    score: Score | None = None,
) -> Shortlist:
    """`find_bases` with everything that was found out on the way. catalogue, machine, score: None = the user's own,
    this machine, and the ranking that tuning chose. Raises what `load_catalogue` raises."""
    models = (catalogue or load_catalogue()).models
    machine = machine or this_machine()
    query, how, note = query_for(task, ask)
    dropped = {model.id: why for model in models if (why := why_not(model, task, limits, machine))}
    scores = masked((score or SCORES[CHOSEN[how]])(query, models), [model.id in dropped for model in models])
    order = sorted(range(len(models)), key=lambda i: (-scores[i], -models[i].downloads, models[i].id))
    kept = [i for i in order if models[i].id not in dropped]
    shared = shared_words(query, models)
    found = [proposal(models[i], float(scores[i]), task, limits, machine, shared[i]) for i in kept[:k]]
    return Shortlist(tuple(found), query, how, dropped, tuple(notes(note, found, dropped, machine, [models[i] for i in kept])))


def as_recipes(found: Sequence[Found], adapters: Sequence[str] = ("full",)) -> list[str]:
    """Candidates of a run, e.g. "full@minilm": each base that can be used now, with each adapter that fits this machine."""
    return [f"{adapter}@{one.model.name}" for one in found if one.usable for adapter in adapters if adapter in one.adapters]


# ---- filters ---------------------------------------------------------------------------------------------------------


def why_not(model: Model, task: Task, limits: Limits, machine: Machine) -> str:
    """The first reason against it, or ""."""
    language = limits.language or task.language
    if is_blocked(model, limits.blocked):
        return "blocked by you"
    if model.family not in limits.families:
        return f"it is a {model.family} model; asked for: {', '.join(limits.families)}"
    if task.kind in (Kind.TEXT, Kind.FIELDS) and model.family not in WRITERS:
        return f"a task of the kind {task.kind} has to be written, which an {model.family} cannot"
    if not model.speaks(language):
        return f"it does not read {LANGUAGES.get(language, language)}"
    if model.size_mb > limits.max_mb:
        return f"its weights are over the limit of {limits.max_mb:,.0f} MB: {model.size_mb:,.0f} MB"
    if limits.licences and model.licence.casefold() not in {name.casefold() for name in limits.licences}:
        return f"its licence is {model.licence}; allowed: {', '.join(limits.licences)}"
    if model.gated and not limits.gated:
        return "its terms have to be accepted on the Hub first"
    if not fitting(model, limits, machine):
        return f"training it does not fit this machine: {needs(model, cheapest(model, limits), limits, machine)}"
    if limits.here and not is_here(model):
        return "it is not on this machine"
    return ""


def is_blocked(model: Model, blocked: Sequence[str]) -> bool:
    """By owner, or by owner/name, in any case."""
    mine = {model.id.casefold(), model.id.partition("/")[0].casefold()}
    return any(name.strip().rstrip("/").casefold() in mine for name in blocked)


def fitting(model: Model, limits: Limits, machine: Machine) -> tuple[str, ...]:
    """The adapters that this machine has the memory and the time for. A head stands on an encoder alone."""

    def fits(adapter: str) -> bool:
        if adapter == "head" and model.family != "encoder":
            return False
        seconds = training_s(model, adapter, limits.rows, limits.tokens, machine.gflops)
        return memory_needed_mb(model, adapter) <= machine.memory_mb and (limits.train_s is None or seconds <= limits.train_s)

    return tuple(adapter for adapter in limits.adapters if fits(adapter))


def cheapest(model: Model, limits: Limits) -> str:
    able = [name for name in limits.adapters if name != "head" or model.family == "encoder"] or list(limits.adapters) or ["full"]
    return min(able, key=lambda name: (memory_needed_mb(model, name), training_s(model, name, limits.rows, limits.tokens, 1.0)))


def needs(model: Model, adapter: str, limits: Limits, machine: Machine) -> str:
    memory = memory_needed_mb(model, adapter) / 1000
    minutes = training_s(model, adapter, limits.rows, limits.tokens, machine.gflops) / 60
    return f"{adapter} takes about {memory:.1f} GB and {f'{minutes:.0f} min' if minutes >= 1 else 'less than a minute'}"


# ---- ranking ---------------------------------------------------------------------------------------------------------


def ranker() -> Any:
    """The engine's, when it is first needed: it imports torch. Raises MissingExtra without it."""
    need("torch", extra="train")
    from limbeck.engine import rank

    return rank


def words(query: str, models: Sequence[Model]) -> np.ndarray:
    """(n,) BM25 of the stems."""
    return ranker().by_words(stems(query), [stems(model.card()) for model in models])


def meaning(query: str, models: Sequence[Model]) -> np.ndarray:
    """(n,) cosine with the whole card or with what the model is good at, whichever is nearer; negative ones put at 0."""
    asked, known = readings(query, models)
    return ranker().nearest_part(asked.mean(), known, 1).clip(0)


def matching(query: str, models: Sequence[Model]) -> np.ndarray:
    """(n,) cosines of single words in their context, rare ones first; negative ones put at 0."""
    return ranker().by_matching(*readings(query, models), STOP).clip(0)


def fused(query: str, models: Sequence[Model]) -> np.ndarray:
    """(n,) the three added."""
    return ranker().add(words(query, models), meaning(query, models), matching(query, models))


def readings(query: str, models: Sequence[Model]) -> tuple[Reading, list[Reading]]:
    """What the encoder makes of the query and of the cards: name, what it is good at, languages."""
    ranker()
    from limbeck.engine.reading import read

    cards = [list(zip(model.card_parts(), TOKENS, strict=True)) for model in models]
    return read([[(query, QUERY_TOKENS)]])[0], read(cards, file=cache_folder() / "bases.safetensors")


def popular(similarity: Score) -> Score:
    """similarity x log10(downloads + 2), as Prompt2Model ranks (arXiv 2308.12261, section 3.3)."""

    def score(query: str, models: Sequence[Model]) -> np.ndarray:
        import numpy as np

        return similarity(query, models) * np.log10([model.downloads + 2 for model in models])

    return score


SCORES: dict[str, Score] = {
    "words": words,
    "words x downloads": popular(words),
    "meaning": meaning,
    "meaning x downloads": popular(meaning),
    "matching": matching,
    "fused": fused,
    "fused x downloads": popular(fused),
}
CHOSEN = {"card": "fused", "task": "fused"}  # by MRR on the tuning prompts of bench/bases


def masked(scores: np.ndarray, out: Sequence[bool]) -> np.ndarray:
    """(n,) float64, -inf where a filter spoke."""
    import numpy as np

    return np.where(np.asarray(out, bool), -np.inf, np.asarray(scores, np.float64))


# ---- reasons ---------------------------------------------------------------------------------------------------------


def proposal(model: Model, score: float, task: Task, limits: Limits, machine: Machine, shared: Sequence[str]) -> Found:
    language = limits.language or task.language
    here = is_here(model)
    adapters = fitting(model, limits, machine)
    by_itself = language in model.languages and MANY not in model.languages
    reasons = [
        model.good_at,
        f"its card shares the words {', '.join(shared[:6])}" if shared else "close in meaning, no word in common",
        f"reads {LANGUAGES.get(language, language)}" + ("" if by_itself else " among many languages"),
        f"{model.family}, {model.parameters / 1e6:,.0f}M parameters, {model.size_mb:,.0f} MB, licence {model.licence}",
        f"on {machine.what}: {needs(model, adapters[0], limits, machine)}"
        + (f"; {', '.join(adapters[1:])} fit too" if adapters[1:] else ""),
        "already on this machine" if here else "not on this machine, and offline" if machine.offline else "has to be downloaded once",
    ]
    if model.gated:
        reasons.append("its terms have to be accepted on the Hub first")
    return Found(model=model, score=score, adapters=adapters, here=here, usable=here or not machine.offline, reasons=tuple(reasons))


def shared_words(query: str, models: Sequence[Model]) -> list[list[str]]:
    """Per model the words that its card has in common with the query, the rarest in the catalogue first; not those that
    stand in one card of five."""
    split = ranker().words
    asked = {word for word in split(query) if len(word) > 4 or word in LANGUAGES}
    cards = [set(split(model.card())) & asked for model in models]
    often = Counter(word for card in cards for word in card)
    return [sorted((w for w in card if often[w] * 5 <= len(models) or len(models) < 20), key=lambda w: (often[w], w)) for card in cards]


def notes(note: str, found: Sequence[Found], dropped: dict[str, str], machine: Machine, kept: Sequence[Model]) -> list[str]:
    said = [note] if note else []
    if not found:
        why = Counter(reason.partition(";")[0].partition(":")[0] for reason in dropped.values()).most_common(3)
        said.append("no model passes every filter: " + "; ".join(f"{reason} ({n})" for reason, n in why))
    if machine.offline and found and not any(one.usable for one in found):
        ready = next((model.name for model in kept if is_here(model)), None)
        said.append(
            "offline: none of these is on this machine; "
            + (f"the best that is: {ready}" if ready else "nothing that passes the filters is")
        )
    return said
