"""`limbeck find`: data sets or base models that fit a prompt; each sub-command is imported when it is called."""

from __future__ import annotations

import importlib

import click

COMMANDS = {
    "data": ("limbeck.cli.find_data:data", "Data sets that fit a prompt, and rows from them."),
    "base": ("limbeck.cli.find_base:base", "Base models that fit a prompt."),
}


class Lazy(click.Group):
    """Knows its sub-commands by name and line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[name][0].partition(":")
        return getattr(importlib.import_module(module), attribute)  # type: ignore[no-any-return]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=Lazy)
def find() -> None:
    """What fits a prompt: `limbeck find data PROMPT`, `limbeck find base PROMPT`."""
