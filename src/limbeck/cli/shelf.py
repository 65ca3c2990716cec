"""`limbeck list` and `limbeck info`: the catalogue, without importing what lies in it."""

from __future__ import annotations

import json

import click

from limbeck.cli import options


@click.command("list")
@click.argument("shelf", required=False)
@options.MACHINE
def list_(shelf: str | None, machine: bool) -> None:
    """What there is, a line each; SHELF narrows it: adapters, objectives, contexts, metrics, teachers, exporters, bases."""
    from limbeck import shelves

    if shelf is not None:
        shelves.names(shelf)
    found = {name: shelves.about(name) for name in ([shelf] if shelf else shelves.SHELVES)}
    if machine:
        return click.echo(json.dumps(found, ensure_ascii=False))
    width = max(len(name) for lines in found.values() for name in lines)
    for name, lines in found.items():
        click.echo(click.style(name, bold=True))
        for thing, line in lines.items():
            click.echo(f"  {thing:{width}}  {line}")


@click.command()
@click.argument("name")
@options.MACHINE
def info(name: str, machine: bool) -> None:
    """One thing from a shelf, whole: what it is, where it lives, what it takes. `limbeck info recipes`: the grammar."""
    from limbeck import derived, recipes, registry, shelves
    from limbeck.errors import UsageError

    if name == "recipes":
        known = {"grammar": (recipes.__doc__ or "").strip(), "modifiers": recipes.SHIPPED, "numbers": sorted(derived.known_values())}
        if machine:
            return click.echo(json.dumps(known))
        lines = [known["grammar"], "", *(f"{name:12} {how}" for name, how in recipes.SPELLED.items())]
        return click.echo("\n".join([*lines, "", f"--set names: {', '.join(known['numbers'])}"]))
    shelf = next((s for s in shelves.SHELVES if name in registry.names(s)), None)
    if shelf is None:
        every = [n for s in shelves.SHELVES for n in registry.names(s)]
        raise UsageError(f"there is no {name!r}", registry.near(name, every), "limbeck list")
    thing = registry.take(shelf, name)
    module = __import__(registry.names(shelf)[name].partition(":")[0], fromlist=["_"])
    found = {
        "name": name,
        "shelf": shelf,
        "what": registry.about(shelf)[name],
        "where": registry.names(shelf)[name],
        "about": (module.__doc__ or "").strip(),
    }
    fields = getattr(thing, "__dataclass_fields__", {}) or getattr(type(thing), "model_fields", {})
    found |= {k: v for k in fields if isinstance(v := getattr(thing, k), str | int | bool | tuple) and k not in found}
    if machine:
        return click.echo(json.dumps(found, ensure_ascii=False, default=str))
    for key, value in found.items():
        if key == "args":
            continue  # a regular expression, for machines; `takes` says it in words
        text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        click.echo(f"{key:12} {text}")
