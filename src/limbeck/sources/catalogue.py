"""`catalogue`: well-known public data sets as we describe them, shipped, so that ranking needs no network; rows come from the Hub."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

from limbeck.errors import UsageError
from limbeck.sources.datasets import Dataset, Source


def open_source(where: str) -> Source:
    if where:
        raise UsageError("the catalogue takes no argument", f"catalogue:{where}", "--source catalogue, or --source folder:DIR")

    def search(query: str) -> list[Dataset]:
        return list(cards())

    from limbeck.sources import hub

    return Source("catalogue", search, hub.records, complete=hub.complete)


@cache
def cards() -> tuple[Dataset, ...]:
    return tuple(card(entry) for entry in shipped()["datasets"])


def card(entry: dict[str, Any]) -> Dataset:
    """An entry of catalogue.json: `id` is the Hub's, the rest are fields of Dataset."""
    facts = {name: value for name, value in entry.items() if name != "id"}
    here = {"name": entry["id"], "where": entry["id"], "source": "catalogue"}
    return Dataset.model_validate({"languages": ("en",), **facts, **here})


def shipped() -> dict[str, Any]:
    """{date, note, datasets}."""
    return json.loads(files("limbeck.sources").joinpath("catalogue.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]
