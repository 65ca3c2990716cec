"""A group of commands that imports each of them when it is called."""

from __future__ import annotations

import importlib

import click

Commands = dict[str, tuple[str, str]]  # name -> ("module:attribute", one line)


def lazy(commands: Commands) -> type[click.Group]:
    """The class of a group that knows its commands by name and line."""

    class Lazy(click.Group):
        def list_commands(self, ctx: click.Context) -> list[str]:
            return list(commands)

        def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
            if name not in commands:
                return None
            module, _, attribute = commands[name][0].partition(":")
            return getattr(importlib.import_module(module), attribute)  # type: ignore[no-any-return]

        def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
            with formatter.section("Commands"):
                formatter.write_dl([(name, line) for name, (_, line) in commands.items()])

    return Lazy
