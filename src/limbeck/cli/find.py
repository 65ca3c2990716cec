"""`limbeck find`: data sets or base models that fit a prompt; each sub-command is imported when it is called."""

from __future__ import annotations

import click

from limbeck.cli.lazy import lazy

COMMANDS = {
    "data": ("limbeck.cli.find_data:data", "Data sets that fit a prompt, and rows from them."),
    "base": ("limbeck.cli.find_base:base", "Base models that fit a prompt."),
}


@click.group(cls=lazy(COMMANDS))
def find() -> None:
    """What fits a prompt: `limbeck find data PROMPT`, `limbeck find base PROMPT`."""
