"""The commands. One file a group: init, running, looking, mending, replaying, reconciling, ship, webhooks, doctor, simulator, demo."""

from typing import Any

import click

from bridge import __version__
from bridge.cli.alerting import alerts
from bridge.cli.demo import demo
from bridge.cli.doctor import doctor
from bridge.cli.init import init
from bridge.cli.keeping import backup, restored
from bridge.cli.looking import audit, deliveries, events, show
from bridge.cli.mending import explain, export, link, resolve, retry
from bridge.cli.reconciling import reconcile
from bridge.cli.replaying import replay
from bridge.cli.running import migrate, run, serve, work
from bridge.cli.ship import ship
from bridge.cli.simulator import simulator
from bridge.cli.webhooks import webhooks
from bridge.errors import BridgeError, SettingsError, StorageError


class _Commands(click.Group):
    """Any error of ours that a command does not tell itself is told in a sentence, never as a stack trace."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except SettingsError as exc:
            problems = "".join(f"\n  - {problem}" for problem in exc.problems)
            click.echo(f"The settings are not right yet:{problems}", err=True)
            click.echo("Set them in the environment or in .env; deploy/env.example has all of them.", err=True)
            ctx.exit(2)
        except StorageError as exc:
            raise click.ClickException(f"{exc}. Is BRIDGE_DATABASE_URL right, and the database up? `bridge migrate` creates it.") from exc
        except BridgeError as exc:
            raise click.ClickException(str(exc)) from exc


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bridge")
def main() -> None:
    """Tells Purple Dot what ShipStation shipped: once, correctly, provably."""


_MENDING = (explain, retry, replay, link, resolve, audit, reconcile, export, backup, restored, ship)
for command in (init, run, serve, work, migrate, events, deliveries, show, *_MENDING, webhooks, doctor, alerts, simulator, demo):
    main.add_command(command)
