"""All commands of `bridge`, loaded."""

import click

from bridge.cli import main

_CONTEXT = click.Context(main)
COMMANDS: dict[str, click.Command] = {
    name: command
    for name in main.list_commands(_CONTEXT)
    if (command := main.get_command(_CONTEXT, name)) is not None
}
