"""`bridge simulator`: both vendors on loopback, to try a bridge against without an account
anywhere."""

import secrets
import signal
import threading

import click

from bridge.simulator import FAULTS, SCENARIOS, Simulator

_FAULT = "Fail in a named way, such as throttle:5:purple_dot.order:3 (count: a number or 'always'). May be repeated."


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8900,
    show_default=True,
    help="Loopback port; 0 takes a free one.",
)
@click.option("--fault", "faults", metavar="NAME[:operation[:count]]", multiple=True, help=_FAULT)
@click.option(
    "--webhook-url",
    metavar="URL",
    help="Where the webhooks of a story are posted.  [default: a bridge at 127.0.0.1:8000]",
)
@click.option("--list-faults", is_flag=True, help="Name all faults and exit.")
def simulator(
    port: int, faults: tuple[str, ...], webhook_url: str | None, list_faults: bool
) -> None:
    """Both vendors on loopback until Ctrl-C: paged, signed, strict, and able to fail."""
    if list_faults:
        click.echo("\n".join(f"{name:<20} {kind.summary}" for name, kind in FAULTS.items()))
        return
    token = secrets.token_urlsafe(24)
    told_to = webhook_url or f"http://127.0.0.1:8000/webhooks/shipstation/{token}"
    try:
        running = Simulator(port=port, faults=faults, webhook_url=told_to).start()
    except ValueError as exc:
        raise click.BadParameter(str(exc), param_hint="--fault") from exc
    except OSError as exc:
        raise click.ClickException(
            f"Port {port} can't be used: {exc.strerror}. Choose another with --port."
        ) from exc
    asked_to_stop = threading.Event()
    # Caught before the address is told: whoever reads it may end us at once.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: asked_to_stop.set())
    own = {} if webhook_url else {"BRIDGE_WEBHOOK_TOKENS": token}
    settings = "\n".join(f"{name}={value}" for name, value in (running.env() | own).items())
    click.echo(
        f"The simulator listens on {running.url}\n\nPut these lines into the .env of a bridge:\n\n{settings}\n"
    )
    click.echo(
        f"Let something be shipped: curl -X POST {running.url}/_simulator/ship/v2_label\nStories: {', '.join(SCENARIOS)}"
    )
    click.echo(f"What happened so far: curl {running.url}/_simulator")
    asked_to_stop.wait()
    running.stop()
