"""`bridge simulator`: both vendors on loopback, to try a bridge against without an account
anywhere."""

import secrets
import signal
import threading

import click

_FAULT = (
    "Fail in a named way, such as throttle:5:purple_dot.order:3 (count: a number or 'always'). May"
    " be repeated."
)


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
    from bridge.simulator import FAULTS, SCENARIOS, Simulator

    if list_faults:
        click.echo("\n".join(f"{name:<20} {kind.summary}" for name, kind in FAULTS.items()))
        return
    token = secrets.token_urlsafe(24)
    target = webhook_url or f"http://127.0.0.1:8000/webhooks/shipstation/{token}"
    try:
        running = Simulator(port=port, faults=faults, webhook_url=target).start()
    except ValueError as exc:
        raise click.BadParameter(str(exc), param_hint="--fault") from exc
    except OSError as exc:
        raise click.ClickException(
            f"Port {port} can't be used: {exc.strerror}. Choose another with --port."
        ) from exc
    stopping = threading.Event()
    # Before the address is printed: whoever reads it may end us at once.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    settings = running.env()
    if not webhook_url:
        settings["BRIDGE_WEBHOOK_TOKENS"] = token
    lines = "\n".join(f"{name}={value}" for name, value in settings.items())
    click.echo(f"The simulator listens on {running.url}\n")
    click.echo(f"Put these lines into the .env of a bridge:\n\n{lines}\n")
    click.echo(f"Ship something: curl -X POST {running.url}/_simulator/ship/v2_label")
    click.echo(f"Stories: {', '.join(SCENARIOS)}")
    click.echo(f"What happened so far: curl {running.url}/_simulator")
    stopping.wait()
    running.stop()
