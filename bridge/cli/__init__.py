"""The commands. One file a group: running, looking, mending, ship, simulator, demo."""

import click

from bridge import __version__
from bridge.cli.demo import demo
from bridge.cli.looking import deliveries, events, show
from bridge.cli.mending import explain, export, link, resolve, retry
from bridge.cli.running import migrate, run, serve, work
from bridge.cli.ship import ship
from bridge.cli.simulator import simulator


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="bridge")
def main() -> None:
    """Tells Purple Dot what ShipStation shipped: once, correctly, provably."""


for command in (run, serve, work, migrate, events, deliveries, show, explain, retry, link, resolve, export, ship, simulator, demo):
    main.add_command(command)
