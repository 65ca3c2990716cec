"""One cell of the study: a world, its base, an arm; every option's likelihood on every item.

An arm is what it learns (rows), how documents are cut (split), and what stands before a question (context)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from random import Random
from statistics import fmean
from typing import Any

from limbeck.bench.knowledge import contexts, words, writers
from limbeck.bench.knowledge.arms import Training, fit, untrained
from limbeck.bench.knowledge.base import Shape, base_of
from limbeck.bench.knowledge.berglund import berglund
from limbeck.bench.knowledge.checker import stated
from limbeck.bench.knowledge.facts import Fact, Item, World
from limbeck.bench.knowledge.process import process
from limbeck.bench.knowledge.reversals import reversals
from limbeck.bench.knowledge.score import Choice, choices
from limbeck.bench.knowledge.semantics import semantics
from limbeck.bench.knowledge.syllogisms import syllogisms
from limbeck.bench.knowledge.writers import SPLITS, Written
from limbeck.bench.stepgrid import Cell

WORLDS: dict[str, tuple[Callable[..., World], str]] = {  # and which of its parameters the grid's `rows` is
    "reversals": (reversals, "facts"),
    "semantics": (semantics, "categories"),
    "syllogisms": (syllogisms, "items"),
    "process": (process, "functions"),
    "berglund": (berglund, "people"),
}
OWN = "own"  # the base that the study trains


def world_of(cell: Cell, public: Path) -> World:
    make, size = WORLDS[cell.data]
    more = {"shared": public} if cell.data == "berglund" else {}
    return make(cell.seed, **{**cell.config["worlds"][cell.data]["parameters"], size: int(cell.rows)}, known=known(), **more)


def known() -> frozenset[str]:
    """Words that the embedded tokenizers hold: none of them is a pseudo-word."""
    from limbeck import registry

    return words.known_words(registry.take("bases", "minilm").folder())


def run_cell(cell: Cell, scratch: Path, public: Path) -> dict[str, Any]:
    """Raises what training raises; the world's own faults are an AssertionError, since no number would mean anything."""
    from limbeck.bench.knowledge.checker import faults

    world = world_of(cell, public)
    broken = faults(world) if world.pseudo else []  # a set from outside is as it is
    assert not broken, broken[:3]
    config = cell.config
    about = config["worlds"][cell.data]
    shape, training = Shape(**about["base"]), Training(**about["training"], threads=config["threads"], adapter=config["adapter"])
    place = base_of(world, shape, cell.seed, scratch, config["threads"]) if cell.base == OWN else cell.base
    base = untrained(place)
    added, told = additions(world, config, cell, base, shape)
    texts = learnt(world, config, added)
    student = fit(place, texts, training, cell.seed) if texts else None
    found = choices(student.base if student else base, world.items, context_of(world, config, shape, cell.seed))
    return {
        "arm": recipe_text(config), "splits": summary(found), "leak": leak(world, texts, added, found), "documents": len(world.documents),
        "texts": len(texts), "words": sum(len(t.split()) for t in texts), "added": told,
        "steps": student.steps if student else 0, "tokens_seen": student.tokens_seen if student else 0,
        "train_s": student.seconds if student else 0.0, "train_loss": student.loss if student else None,
        "parameters": sum(p.numel() for p in base.model.parameters()), "tokens_per_word": tokens_per_word(world, base.tokenizer),
    }  # fmt: skip


def recipe_text(config: Mapping[str, Any]) -> str:
    """As the product would spell it."""
    rows = {"local": "augment:local", "global": "augment:global", "both": "augment:both", "rephrase": "rephrase"}.get(config["rows"], "")
    split = f"split:{config['split']}" if config["split"] else ""
    context = {"needed": "many", "documents": "many", "retrieval": f"rag:{config['k']}"}.get(config["context"], "")
    head = config["adapter"] if config["rows"] else "prompt"
    return f"{'+'.join(p for p in (head, context, rows, split) if p)}@base"


def additions(world: World, config: Mapping[str, Any], cell: Cell, base: Any, shape: Shape) -> tuple[list[Written], dict[str, Any]]:
    """What is learnt beside the documents, and what is known of it. Equal seeds write the same: `both` is local and global."""
    scopes = {"local": ["local"], "global": ["global"], "both": ["local", "global"]}.get(config["rows"], [])
    found: list[Written] = []
    told: dict[str, Any] = {}
    for scope in scopes:
        rng = Random(f"{scope}/{cell.seed}")
        if config["writer"] == "self":
            from limbeck.bench.knowledge import selfwrite

            some, report = selfwrite.write(
                world, base, scope, samples=config["samples"], least=config["least"], temperature=config["temperature"], room=shape.room
            )
            told[scope] = asdict(report)
        else:
            some = writers.inferences(world, scope, config["coverage"], config["precision"], rng)
            told[scope] = {"coverage": config["coverage"], "precision": config["precision"], "kept": len(some)}
        found += some
    if config["rows"] == "rephrase":  # as many words as the local arm adds
        like = writers.inferences(world, "local", config["coverage"], config["precision"], Random(f"local/{cell.seed}"))
        found = writers.rephrasings(world, Random(f"rephrase/{cell.seed}"), sum(len(w.text.split()) for w in like))
        told["rephrase"] = {"kept": len(found)}
    return found, told


def learnt(world: World, config: Mapping[str, Any], added: Sequence[Written]) -> list[str]:
    return [*SPLITS[config["split"]](world.documents), *(w.text for w in added)] if config["rows"] else []


def context_of(world: World, config: Mapping[str, Any], shape: Shape, seed: int) -> contexts.Context:
    if config["context"] == "needed":
        return contexts.many(world, 0, seed)
    if config["context"] == "documents":
        return contexts.many(world, shape.room, seed)
    return contexts.retrieved(world, config["k"], shape.room) if config["context"] == "retrieval" else contexts.nothing


def summary(found: Sequence[Choice]) -> dict[str, Any]:
    """{split: n, chance, accuracy by sum and by mean per token, and per cluster "right/of", in the order of the items}."""
    out: dict[str, Any] = {}
    for split in dict.fromkeys(c.item.split for c in found):
        some = [c for c in found if c.item.split == split]
        out[split] = {"n": len(some), "chance": fmean(c.chance for c in some)}
        for by in ("sum", "mean"):
            clusters: dict[str, list[float]] = {}
            for c in some:
                clusters.setdefault(c.item.cluster, []).append(c.right(by))
            out[split][by] = fmean(c.right(by) for c in some)
            out[split][f"{by}_clusters"] = " ".join(f"{sum(v):g}/{len(v)}" for v in clusters.values())
    return out


def leak(world: World, texts: Sequence[str], added: Sequence[Written], found: Sequence[Choice]) -> dict[str, Any]:
    """Per split: share of items whose sentence, and whose fact, stands in what was learnt; accuracy on those and on the others.
    counting: accuracy of who chooses what was told most often, of whomever."""
    if not texts:
        return {}
    right = {c.item.id: c.right() for c in found}
    counts = writers.mentions(world, added)
    facts = {*world.facts, *(w.fact for w in added if w.fact)}
    out = {}
    for split, (literal, told) in writers.leaked(world.items, texts, facts).items():
        ids = [i.id for i in world.items if i.split == split]
        inside, outside = [right[i] for i in ids if i in told], [right[i] for i in ids if i not in told]
        out[split] = {
            "literal": len(literal) / len(ids), "stated": len(told) / len(ids),
            "on_stated": fmean(inside) if inside else None, "on_others": fmean(outside) if outside else None,
            "counting": fmean(by_counting(world, i, counts).right() for i in world.items if i.split == split),
        }  # fmt: skip
    return out


def by_counting(world: World, item: Item, counts: Mapping[tuple[str, str], int]) -> Choice:
    """Where options differ in their relation, that one is counted; else what holds the relation."""
    said = [stated(world, item, option) or Fact(item.fact.subject, item.fact.relation, option) for option in item.options]
    relations = len({f.relation for f in said}) > 1
    values = tuple(float(counts.get((f.relation, "" if relations else f.object), 0)) for f in said)
    return Choice(item, values, values)


def tokens_per_word(world: World, tokenizer: Any) -> dict[str, float]:
    from limbeck import registry
    from limbeck.engine.load import read_tokenizer

    split = {name: read_tokenizer(registry.take("bases", name).folder()) for name in ("minilm", "tiny-lm")}
    split["this base"] = tokenizer
    return {
        name: round(words.tokens_per_word(lambda w, t=t: t(w, add_special_tokens=False)["input_ids"], world.pseudo), 3)
        for name, t in split.items()
        if world.pseudo
    }
