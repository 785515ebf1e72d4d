"""ALERTED: looks every minute how everything stands, and sends each alert URL what changed for it.
Runs as a periodic task of the worker. https://github.com/caronc/apprise"""

import hashlib
import logging
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import unquote

import structlog
from pydantic import SecretStr

from bridge.domain.durations import DailyTime
from bridge.domain.errors import StorageError
from bridge.operations import alerts
from bridge.operations.alerts import AlertInputs, Key, OpenException, Problem
from bridge.store import periodic, rate_limits, shared_state, stats, sweeps
from bridge.store.engine.database import Connection, Database

log = structlog.get_logger(__name__)

TASK = "alerts"
EVERY = timedelta(minutes=1)
_DATABASE_FAILS_FOR = 60.0
"""Seconds before that is an alert: a restart of the database is none."""
_COUNTED_TO = 200
_LONGEST_ERROR = 300
_DATABASE = Key("database")
_DIGEST = "digest_"
"""Before the hash of an alert URL: when its next digest is due."""


def send(url: SecretStr, *, title: str, body: str) -> str | None:
    """Send a message to an Apprise URL. None when it was taken, else why not, in the service's
    words without any part of the URL, which is a secret. Raises nothing for a failure."""
    # An extra that those without alerts do without.
    import apprise  # noqa: PLC0415  # loaded by the first alert: it knows over a hundred services

    secret = url.get_secret_value()
    library = logging.getLogger("apprise")
    library.propagate = False  # Its own lines show URLs.
    capture = apprise.LogCapture(level=logging.WARNING)  # type: ignore[no-untyped-call]  # the library is untyped here
    with capture as lines:
        server = apprise.Apprise()
        if server.add(secret) and server.notify(title=title, body=body):
            return None
        error = _without_parts_of(secret, lines.getvalue())
        return error or "not sent, and the service did not say why"


def mask(url: SecretStr) -> str:
    """For people: the service alone."""
    return f"{url.get_secret_value().partition('://')[0].lower()}://***"


def _without_parts_of(secret: str, text: str) -> str:
    """One line of `text` without any part of the URL, as it is written or decoded."""
    parts: set[str] = set()
    for form in (secret, unquote(secret)):
        parts.update(re.split(r"[^\w.@%-]+", form.partition("://")[2]))
    line = " ".join(re.sub(r"^[\d-]+ [\d:,]+ - \w+ - ", "", line) for line in text.splitlines())
    for part in sorted(parts, key=len, reverse=True):
        if len(part) > 2:
            line = line.replace(part, "***")
    return line[:_LONGEST_ERROR]


@dataclass(slots=True)
class AlertCheck:
    """`rates` are the calls a minute by system. What each URL knows is kept in the database, so
    neither a restart nor another worker sends it again; a URL that fails is sent it as soon as it
    works."""

    database: Database
    urls: Sequence[SecretStr]
    rates: Mapping[str, int]
    has_console: bool
    digest_at: DailyTime | None = None
    send: Callable[..., str | None] = send
    clock: Callable[[], float] = time.monotonic
    _failing_since: float | None = None
    _know_of_failure: set[str] = field(default_factory=set)

    def run(self, _stopping: object) -> None:
        """One look. A message that could not be sent is logged, and sent a minute later."""
        with self.database.begin(durable=False) as connection:
            stats.note_next_work(connection, now=self.database.now(connection))
        with self.database.read() as connection:
            now = self.database.now(connection)
            standing = list(alerts.problems(read_inputs(connection, self.rates, now=now)))
            subscribed = shared_state.get(connection, shared_state.SUBSCRIBED)
        address = alerts.console_address(subscribed[0] if subscribed else None)
        console = address if self.has_console else None
        for url in self.urls:
            self._notify(url, standing, console)
            if self.digest_at is not None:
                self._send_digest(url, standing, console, self.digest_at)
        self._failing_since = None

    def database_failed(self, error: StorageError) -> None:
        """Called while nothing can be read or written: that alone is sent, and remembered in memory
        until the database takes it."""
        now = self.clock()
        if self._failing_since is None:
            self._failing_since = now
        if now - self._failing_since < _DATABASE_FAILS_FOR:
            return
        for url in self.urls:
            if _hash(url) in self._know_of_failure:
                continue
            message = alerts.changes((), [alerts.database_problem(str(error))], console=None)
            if message is not None and self._send(url, message):
                self._know_of_failure.add(_hash(url))

    def _notify(self, url: SecretStr, standing: list[Problem], console: str | None) -> None:
        name = f"{shared_state.NOTIFIED}{_hash(url)}"
        with self.database.read() as connection:
            stored = shared_state.get(connection, name)
        sent = {Key(*key) for key in stored[0]} if stored else set()
        failure = {_DATABASE} if _hash(url) in self._know_of_failure else set()
        message = alerts.changes(sent | failure, standing, console=console)
        if message is not None and not self._send(url, message):
            return
        still_standing = sent & {problem.key for problem in standing}
        if message is not None:
            still_standing = set(message.keys)
        if still_standing != sent:
            with self.database.begin() as connection:
                now = self.database.now(connection)
                shared_state.put(connection, name, sorted(still_standing), now=now)
        self._know_of_failure.discard(_hash(url))

    def _send_digest(
        self, url: SecretStr, standing: list[Problem], console: str | None, at: DailyTime
    ) -> None:
        """Taken before it is sent, so that two workers send one; given back where it failed."""
        name = f"{_DIGEST}{_hash(url)}"
        with self.database.begin(durable=False) as connection:
            now = self.database.now(connection)
            is_ours = periodic.take_at(connection, name, now=now, following=at.following(now))
        if not is_ours:
            return
        with self.database.read() as connection:
            [day] = stats.by_period(connection, [now - timedelta(days=1), now])
        message = alerts.digest(
            standing, received=day.received, delivered=day.delivered, console=console
        )
        if not self._send(url, message):
            with self.database.begin(durable=False) as connection:
                periodic.postpone(connection, name, until=now)

    def _send(self, url: SecretStr, message: alerts.Message) -> bool:
        error = self.send(url, title=message.title, body=message.body)
        if error is None:
            log.info("alert_sent", target=mask(url), title=message.title)
            return True
        log.warning(
            "alert_not_sent", target=mask(url), problem=error, next_step="bridge alerts test"
        )
        return False


def _hash(url: SecretStr) -> str:
    return hashlib.sha256(url.get_secret_value().encode()).hexdigest()[:16]


def read_inputs(connection: Connection, rates: Mapping[str, int], *, now: datetime) -> AlertInputs:
    """Everything that is judged, by a few look-ups in indexes."""
    vendors = [
        rate_limits.state(connection, system, per_minute=rate, now=now)
        for system, rate in rates.items()
    ]
    refused = [
        system for system in rates if shared_state.get(connection, shared_state.REFUSED + system)
    ]
    last = stats.last_event_at(connection)
    lost = shared_state.get(connection, shared_state.LOST)
    return AlertInputs(
        now=now,
        exceptions=[OpenException(*row) for row in stats.open_exceptions(connection)],
        vendors=[(vendor.system, vendor.state, vendor.since, vendor.until) for vendor in vendors],
        refused=refused,
        last_event_at=last,
        typical_counts=_typical_counts(connection, last, now),
        stalled=stats.next_work_since(connection),
        missed=sweeps.missed(connection, since=now - timedelta(days=1)).total(),
        lost=lost[0]["problems"] if lost else (),
        differences=_differences(connection),
    )


def _differences(connection: Connection) -> list[tuple[str, str]]:
    """(reference, sentence) of what the last comparison found."""
    stored = shared_state.get(connection, shared_state.DIFFERENCES)
    differences = stored[0]["found"] if stored else []
    return [(row["reference"], f"{row['sentence']} {row['next_step']}") for row in differences]


def _typical_counts(connection: Connection, last: datetime | None, now: datetime) -> list[int]:
    """How many came in the same hours of earlier weeks; nothing unless it has been quiet."""
    if last is None or now - last < alerts.SILENT_AT_LEAST:
        return []
    until = now - alerts.grace(now - last)
    return stats.in_earlier_weeks(connection, last, until, weeks=alerts.WEEKS, most=_COUNTED_TO)
