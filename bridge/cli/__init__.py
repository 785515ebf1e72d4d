"""The commands. One file a group: init, running, looking, mending, replaying, reconciling, ship,
webhooks, doctor, simulator, demo."""

from importlib import import_module
from typing import Any

import click

from bridge import __version__
from bridge.domain.errors import BridgeError, SettingsError, StorageError

_FILES = {
    "init": ("init",),
    "processes": ("run", "serve", "work", "migrate"),
    "listing": ("events", "deliveries", "show", "audit"),
    "repair": ("explain", "retry", "link", "resolve", "export"),
    "replay": ("replay",),
    "reconcile": ("reconcile",),
    "backup": ("backup", "restored"),
    "ship": ("ship",),
    "webhooks": ("webhooks",),
    "doctor": ("doctor",),
    "alerts": ("alerts",),
    "simulator": ("simulator",),
    "demo": ("demo",),
}
"""A file is loaded when one of its commands is asked for: a worker needs neither the simulator's
web server nor the console's."""


class _Commands(click.Group):
    """Any error of ours that a command does not tell itself is told in a sentence, never as a stack
    trace."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # the signature is click's
        return [name for names in _FILES.values() for name in names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # the same
        file = next((file for file, names in _FILES.items() if cmd_name in names), None)
        return getattr(import_module(f"bridge.cli.{file}"), cmd_name) if file else None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SettingsError as exc:
            problems = "".join(f"\n  - {problem}" for problem in exc.problems)
            click.echo(f"The settings are not right yet:{problems}", err=True)
            click.echo(
                "Set them in the environment or in .env; deploy/env.example has all of them.",
                err=True,
            )
            ctx.exit(2)
        except StorageError as exc:
            raise click.ClickException(
                f"{exc}. Is BRIDGE_DATABASE_URL right, and the database up? `bridge migrate` creates it."
            ) from exc
        except BridgeError as exc:
            raise click.ClickException(str(exc)) from exc


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bridge")
def main() -> None:
    """Tells Purple Dot what ShipStation shipped: once, correctly, provably."""
