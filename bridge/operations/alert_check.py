"""WATCHES: looks every minute how everything stands, and tells each alert URL what changed for it.
Runs as a chore of the worker."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from pydantic import SecretStr

from bridge.operations import alerts, notify
from bridge.operations.alerts import Facts, Key, Trouble
from bridge.store import rate_limits, shared_state, stats, sweeps, watching
from bridge.store.engine.database import Connection, Database

log = structlog.get_logger(__name__)

EVERY = timedelta(minutes=1)
Send = Callable[..., str | None]


@dataclass(frozen=True, slots=True)
class Watch:
    """`rates` are the calls a minute by system. What each URL was told is kept in the database, so
    neither a restart nor another worker says it again; a URL that fails hears it as soon as it
    works."""

    database: Database
    urls: Sequence[SecretStr]
    rates: Mapping[str, int]
    has_console: bool
    send: Send = notify.send

    def do(self, _stopping: object) -> None:
        """One look. A message that could not be sent is logged, and sent a minute later."""
        with self.database.begin(durable=False) as connection:
            watching.note_next(connection, now=self.database.now(connection))
        with self.database.read() as connection:
            standing = list(
                alerts.troubles(facts(connection, self.rates, now=self.database.now(connection)))
            )
            subscribed = shared_state.get(connection, shared_state.SUBSCRIBED)
        console = (
            alerts.console_address(subscribed[0] if subscribed else None)
            if self.has_console
            else None
        )
        for url in self.urls:
            self._tell(url, standing, console)

    def _tell(self, url: SecretStr, standing: list[Trouble], console: str | None) -> None:
        name = f"{shared_state.NOTIFIED}{hashlib.sha256(url.get_secret_value().encode()).hexdigest()[:16]}"
        with self.database.read() as connection:
            kept = shared_state.get(connection, name)
        told = {Key(*key) for key in kept[0]} if kept else set()
        message = alerts.news(told, standing, console=console)
        problem = self.send(url, title=message.title, body=message.body) if message else None
        if problem is not None:
            log.warning(
                "alert_not_sent",
                target=notify.masked(url),
                problem=problem,
                next_step="bridge alerts test",
            )
            return
        if message:
            log.info("alert_sent", target=notify.masked(url), title=message.title)
        now_known = message.told if message else told & {trouble.key for trouble in standing}
        if now_known != told:
            with self.database.begin() as connection:
                shared_state.put(
                    connection, name, sorted(now_known), now=self.database.now(connection)
                )


def facts(connection: Connection, rates: Mapping[str, int], *, now: datetime) -> Facts:
    """Everything that is judged, by a few look-ups in indexes."""
    vendors = [
        rate_limits.state(connection, system, per_minute=rate, now=now)
        for system, rate in rates.items()
    ]
    last = stats.last_event_at(connection)
    quiet = now - last if last else timedelta(0)
    until = now - alerts.grace(quiet)
    usual: list[int] = []
    if last and quiet >= alerts.SILENT_AT_LEAST:
        usual = stats.in_earlier_weeks(connection, last, until, weeks=alerts.WEEKS, most=200)
    lost = shared_state.get(connection, shared_state.LOST)
    return Facts(
        now=now,
        exceptions=watching.exceptions(connection),
        vendors=[(vendor.system, vendor.state, vendor.since, vendor.until) for vendor in vendors],
        refused=[
            system
            for system in rates
            if shared_state.get(connection, shared_state.REFUSED + system)
        ],
        last_event_at=last,
        usual=usual,
        stalled=watching.next_since(connection),
        missed=sweeps.missed(connection, since=now - timedelta(days=1)).total(),
        lost=lost[0]["problems"] if lost else (),
    )
