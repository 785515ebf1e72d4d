"""`bridge simulator`: both vendors on loopback, to try a bridge against without an account anywhere."""

import signal
import threading
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from bridge.simulator import Simulator


def _check_faults(_context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> tuple[str, ...]:
    from bridge.simulator.faults import parse_fault

    for text in texts:
        try:
            parse_fault(text)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error
    return texts


def _list_faults(context: click.Context, _parameter: click.Parameter, is_wanted: bool) -> None:
    from bridge.simulator.faults import FAULTS

    if not is_wanted or context.resilient_parsing:
        return
    for name, kind in FAULTS.items():
        click.echo(f"{name:<20} {kind.summary}")
    context.exit()


@click.command()
@click.option("--port", type=click.IntRange(0, 65535), default=8900, show_default=True, help="Loopback port; 0 takes a free one.")
@click.option(
    "--fault",
    "faults",
    metavar="NAME[:operation[:count]]",
    multiple=True,
    callback=_check_faults,
    help="Fail in a named way, such as throttle:5:purple_dot.order:3 (count: a number or 'always'). May be repeated.",
)
@click.option("--webhook-url", metavar="URL", help="Where the webhooks of a story are posted; otherwise to what was subscribed.")
@click.option("--list-faults", is_flag=True, expose_value=False, is_eager=True, callback=_list_faults, help="Name all faults and exit.")
def simulator(port: int, faults: tuple[str, ...], webhook_url: str | None) -> None:
    """Both vendors on loopback until Ctrl-C: paged, signed, strict, and able to fail."""
    from bridge.simulator import Simulator

    running = Simulator(port=port, faults=faults, webhook_url=webhook_url)
    try:
        running.start()
    except OSError as error:
        raise click.ClickException(f"Port {port} can't be used: {error.strerror}. Choose another with --port.") from error
    try:
        _serve(running)
    finally:
        running.stop()


def _serve(running: "Simulator") -> None:
    """The signals are caught before the address is told: whoever reads it may end us at once."""
    asked_to_stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: asked_to_stop.set())
    _tell(running)
    asked_to_stop.wait()


def _tell(running: "Simulator") -> None:
    from bridge.simulator import SCENARIOS

    click.echo(f"The simulator listens on {running.url}\n")
    click.echo("Put these lines into the .env of a bridge:\n")
    for name, value in running.env().items():
        click.echo(f"{name}={value}")
    click.echo(f"\nLet something be shipped: curl -X POST {running.url}/_simulator/ship/v2_label")
    click.echo(f"Stories: {', '.join(SCENARIOS)}")
    click.echo(f"What happened so far: curl {running.url}/_simulator")
