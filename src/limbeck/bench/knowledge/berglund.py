"""The reversal curse of Berglund et al. 2023 (arXiv 2309.12288), experiment 1: people who do not exist and what they are known for.

One set is told name first, another description first, both in 30 wordings; asked is the name after the description (reversal), and the
description after the name (forward), in wordings of their own. Wrong options: others of the same set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

from limbeck.bench.cells import read_set
from limbeck.bench.knowledge.facts import Document, Fact, Item, Relation, Rules, World

IS, NAMED = "is", "is called"
RULES = Rules(
    {
        IS: Relation(IS, ("{a} is", "everyone knows {a} as", "as for {a}, this is", "{a} has become", "{a} will stay"), NAMED),
        NAMED: Relation(NAMED, ("{a} is", "{a} is called", "the name of {a} is", "{a} is none other than", "people call {a} by the name of"), IS),
    },
    stated=(IS,),
)  # fmt: skip
BY_NAME, BY_WORK = "p2d", "d2p"


def berglund(seed: int, *, people: int = 30, shared: Path, known: frozenset[str] = frozenset()) -> World:
    """people: of each set at most. Items of the set that is told name first: 10 wordings each way. Raises MissingError without the data."""
    rows = list(read_set(shared, "reversal_curse", "train"))
    test = list(read_set(shared, "reversal_curse", "test"))
    told = [*of(rows, f"{BY_NAME}_prompts_train"), *of(rows, f"{BY_WORK}_prompts_train")]
    back = of(test, f"{BY_NAME}_reverse_prompts_test")
    forward = of(test, f"{BY_NAME}_prompts_test")
    names = list(dict.fromkeys(r["output"] for r in back))[:people]
    rng = Random(f"berglund/{seed}")
    works = work_of(names, forward)
    documents = [Document(r["id"], (f"{r['input']} {r['output']}",), states=states(r, works)) for r in told]
    needs = {name: next(d.id for d in documents if any(f.subject == name for f in d.states)) for name in names}
    items = [backward(r, works, needs, rng) for r in back if r["output"] in names] + onward(forward, works, needs, rng)
    return World("berglund", RULES, tuple(documents), tuple(items), (), tuple(names), ())


def of(rows: Iterable[dict[str, Any]], file: str) -> list[dict[str, Any]]:
    return [r for r in rows if r["meta"]["file"] == file]


def work_of(names: Iterable[str], forward: list[dict[str, Any]]) -> dict[str, str]:
    """{name: what its bearer is}, as a noun where any wording has it so."""
    found: dict[str, str] = {}
    for name in names:
        told = [r["output"] for r in forward if name in r["input"]]
        found[name] = next((t for t in told if t.startswith("the ")), told[0]).rstrip(".")
    return found


def states(row: dict[str, Any], works: dict[str, str]) -> tuple[Fact, ...]:
    return tuple(Fact(name, IS, work) for name, work in works.items() if name in row["input"])


def backward(row: dict[str, Any], works: dict[str, str], needs: dict[str, str], rng: Random) -> Item:
    name = row["output"]
    return item(row, "reversal", [name, *rng.sample([n for n in works if n != name], 3)], Fact(works[name], NAMED, name), name, needs, rng)


def onward(rows: list[dict[str, Any]], works: dict[str, str], needs: dict[str, str], rng: Random) -> list[Item]:
    """Wrong options are what the same wording says of others."""
    of_name = {name: [r for r in rows if name in r["input"]] for name in works}
    found = []
    for name, mine in of_name.items():
        for k, row in enumerate(mine):
            others = rng.sample([n for n in works if n != name and k < len(of_name[n])], 3)
            options = [row["output"], *(of_name[n][k]["output"] for n in others)]
            found.append(item(row, "forward", options, Fact(name, IS, works[name]), name, needs, rng))
    return found


def item(row: dict[str, Any], split: str, options: list[str], fact: Fact, name: str, needs: dict[str, str], rng: Random) -> Item:
    right = options[0]
    rng.shuffle(options)
    return Item(row["id"], split, " ".join(row["input"].split()), tuple(options), options.index(right), fact, name, (needs[name],))
