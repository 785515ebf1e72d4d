"""Runs it and reports: exit code 0 only when nothing was lost or told twice, no row is stuck or
stood still in silence for longer than a minute, and no process grew."""

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from random import Random

import click
from sqlalchemy import func, select, text

from bridge.simulator import Simulator
from bridge.store.engine.database import Database
from bridge.store.tables import attempts, deliveries, events
from bridge.vendors.http import SYSTEMS
from tests.soak.traffic import Traffic
from tests.soak.trouble import POST, Trouble
from tests.soak.watch import Sample, Silence, Watch, clock, is_leak
from tests.support.balance import balance
from tests.support.postgres import Server, running_server
from tests.support.stack import Stack, free_port

SETTINGS = {
    "BRIDGE_RETRY_SCHEDULE": "200ms,1s,2s,5s,10s,20s,30s,30s,30s,30s,30s",
    "BRIDGE_WAIT_SCHEDULE": "300ms,1s,3s,10s,20s,30s",
    "BRIDGE_CONFIRM_SCHEDULE": "500ms,2s,4s,8s",
    "BRIDGE_LEASE_SECONDS": "3",
    "BRIDGE_RECONCILE_EVERY": "10m",
}
_LONGEST_WAIT = 33.0
"""Seconds: the longest of these, stretched by a tenth."""
_TELL_EVERY = 30.0
_SETTLE_WITHIN = 600.0
_MORE_MEMORY, _MORE_FILES, _MORE_THREADS = 0.5, 16, 8
"""What a process may hold more in the last quarter than in the first: caches that fill, connections
that a busier moment opened, and what it keeps free of the largest backlog that it read at once."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="make soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--rate",
        type=float,
        default=2.0,
        help="happenings a second; each is one webhook or several",
    )
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    given = parser.parse_args()
    with ExitStack() as opened:
        folder = Path(
            opened.enter_context(
                tempfile.TemporaryDirectory(prefix="soak-", ignore_cleanup_errors=True)
            )
        )
        server = (
            opened.enter_context(running_server(_made(folder / "server")))
            if given.database == "postgresql"
            else None
        )
        url = server.url("soak") if server else f"sqlite:///{folder / 'bridge.db'}"
        stack = opened.enter_context(Simulator())
        return soak(
            Stack(stack, url, folder, SETTINGS),
            server,
            minutes=given.minutes,
            seed=given.seed,
            rate=given.rate,
        )


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def soak(stack: Stack, server: Server | None, *, minutes: float, seed: int, rate: float) -> int:
    ports = (stack.port, free_port())
    traffic, trouble = (
        Traffic(stack, ports, Random(seed)),
        Trouble(stack, ports, Random(seed + 1), server),
    )
    click.echo(
        f"{minutes:g} minutes on {stack.database.url.get_backend_name()}, "
        f"seed {seed}, {rate:g} happenings a second"
    )
    try:
        trouble.begin()
        watched = {"receiver": lambda: trouble.receivers[0], "worker": lambda: trouble.workers[0]}
        watch = Watch(watched, stack.folder)
        silence = Silence(stack.database, _rates(stack), _LONGEST_WAIT)
        helpers = [threading.Thread(target=one.run, daemon=True) for one in (trouble, watch)]
        listener = threading.Thread(target=silence.run, daemon=True)
        listener.start()
        for helper in helpers:
            helper.start()
        _ship(traffic, trouble, stack, minutes=minutes, rate=rate)
        trouble.stopping.set()
        watch.stopping.set()
        for helper in helpers:
            helper.join()
        traffic.finish()
        settled_in = _settle(stack)
        silence.stopping.set()
        listener.join()
        return _report(stack, traffic, trouble, watch, silence, settled_in)
    finally:
        for process in stack.processes:
            process.kill()
        stack.database.close()


def _ship(traffic: Traffic, trouble: Trouble, stack: Stack, *, minutes: float, rate: float) -> None:
    began = told_at = time.monotonic()
    while (now := time.monotonic()) < began + minutes * 60:
        traffic.step()
        if now > told_at + _TELL_EVERY:
            told_at = now
            accepted = len(stack.world.fulfillments)
            sent = (
                f"sent {traffic.webhooks:6}  again {traffic.refused:5}  fulfillments {accepted:6}"
            )
            click.echo(f"{clock(now - began)}  {sent}  deeds {trouble.deeds.total():5}")
        time.sleep(traffic.chance.expovariate(rate))


def _settle(stack: Stack) -> float | None:
    """Seconds until nothing was work any more; None when that never came."""
    began = time.monotonic()
    while time.monotonic() < began + _SETTLE_WITHIN:
        if not stack.left():
            return time.monotonic() - began
        time.sleep(1)
    return None


def _rates(stack: Stack) -> dict[str, int]:
    names = {system: f"BRIDGE_{system.upper()}_RATE_PER_MINUTE" for system in SYSTEMS}
    return {system: int(stack.environ[name]) for system, name in names.items()}


def _report(
    stack: Stack,
    traffic: Traffic,
    trouble: Trouble,
    watch: Watch,
    silence: Silence,
    settled_in: float | None,
) -> int:
    found = balance(stack.world, stack.database, traffic.sent)
    told = {body["fulfillment"]["tracking_info"]["number"] for body in stack.world.fulfillments}
    dead = _dead_events(stack.database)
    lost = {number for number in found.lost if not traffic.sent[number] & dead}
    both = {old for old, new in traffic.replaced.items() if told.issuperset((old, new))}
    wrong = {
        "lost": lost,
        "told twice": found.twice,
        "told under the old number and the new": both,
        "more told than ordered": found.over,
        "foreign, and told all the same": traffic.foreign & told,
        "stuck rows": found.stuck,
        "silent for longer than a minute": silence.silent,
        "never accepted": traffic.unheard,
        "work that did not end": 0 if settled_in is not None else stack.left(),
        "grown": _growth(watch),
    }
    click.echo(
        f"\nwebhooks {traffic.webhooks}, sent again {traffic.refused}; "
        f"parcels of pre-orders {len(found.sent)}: posted {len(found.posted)},"
    )
    reasons = sorted(set(found.excepted.values()))
    excepted = (
        ", ".join(f"{list(found.excepted.values()).count(why)} {why}" for why in reasons) or "none"
    )
    click.echo(
        f"exceptions {excepted}; dead events {len(dead)}; "
        f"POSTs {stack.world.count(POST)}, accepted {len(stack.world.fulfillments)}"
    )
    click.echo(
        "deeds: " + ", ".join(f"{count} {deed}" for deed, count in sorted(trouble.deeds.items()))
    )
    click.echo(f"longest that anything stood still, no sign telling why: {silence.longest:.0f} s")
    click.echo(f"settled in {settled_in or 0:.0f} s; {_size(stack.database, stack.folder)}")
    for what, which in wrong.items():
        click.echo(f"{what}: {which or 'none'}")
    return int(any(wrong.values()))


def _dead_events(database: Database) -> set[str]:
    """Given up with a reason: a person sees them."""
    with database.read() as connection:
        return set(
            connection.execute(
                select(events.c.id).where(events.c.status == "dead", events.c.reason.is_not(None))
            ).scalars()
        )


def _growth(watch: Watch) -> list[str]:
    grown = []
    for name in watch.samples:
        quarters = watch.quarters(name)
        first, last = quarters[0], quarters[-1]
        line = f"{name}: {_each(quarters, 'mebibytes', 1)} MiB, files {first.files} → {last.files}"
        line += f", threads {first.threads} → {last.threads}"
        if last.blocks:
            line += f", in use {_each(quarters, 'blocks', 1000)} thousand objects"
            line += f" and {_each(quarters, 'allocated', 2**20)} MiB"
        click.echo(line)
        if (
            is_leak(quarters)
            or last.mebibytes > first.mebibytes * (1 + _MORE_MEMORY)
            or last.files > first.files + _MORE_FILES
            or last.threads > first.threads + _MORE_THREADS
        ):
            grown.append(line)
    return grown


def _each(quarters: Sequence[Sample], what: str, unit: int) -> str:
    return " → ".join(f"{getattr(quarter, what) / unit:.0f}" for quarter in quarters)


def _size(database: Database, folder: Path) -> str:
    with database.read() as connection:
        counts = [
            connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (events, deliveries, attempts)
        ]
        if not database.is_sqlite:
            size = connection.execute(
                text("SELECT pg_database_size(current_database())")
            ).scalar_one()
        else:
            size = sum(path.stat().st_size for path in folder.glob("bridge.db*"))
    held = f"{counts[0]} events, {counts[1]} deliveries, {counts[2]} attempts"
    return f"{size / 2**20:.1f} MiB for {held}"


if __name__ == "__main__":
    sys.exit(main())
