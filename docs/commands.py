"""Prints docs/commands.md: the help of every command, as the code has it. `make docs` writes the file."""

import click

from limbeck.cli.main import COMMANDS, limbeck

print("# Commands\n\nWritten by `make docs` from the code; a test compares.\n")
with click.Context(limbeck, info_name="limbeck") as root:
    for name in COMMANDS:
        command = limbeck.get_command(root, name)
        with click.Context(command, info_name=name, parent=root, max_content_width=110, terminal_width=110) as context:
            print(f"## limbeck {name}\n\n```\n{command.get_help(context)}\n```\n")
