"""Settings for a command: all mistakes on stderr, exit code 2."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import click

from bridge.errors import SettingsError
from bridge.settings import Settings


def load_settings(given: Mapping[str, str] | None = None) -> Settings:
    """The settings, with what options of the command line override (`bind` for BRIDGE_BIND, and so on)."""
    for name, value in (given or {}).items():
        os.environ[f"BRIDGE_{name.upper()}"] = value
    with mistakes_told():
        return Settings.load()


@contextmanager
def mistakes_told() -> Iterator[None]:
    """A SettingsError in this block ends the command with its list."""
    try:
        yield
    except SettingsError as exc:
        click.echo("The settings are not right yet:", err=True)
        for problem in exc.problems:
            click.echo(f"  - {problem}", err=True)
        click.echo("Set them in the environment or in .env; deploy/env.example has all of them.", err=True)
        raise SystemExit(2) from exc
