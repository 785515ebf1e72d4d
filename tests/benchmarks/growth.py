"""A full database against a small one: what a webhook, a claim and each page cost with a million
events and deliveries in the database."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from sqlalchemy import Connection

from bridge.domain.events import DeliveryStatus, EventOutcome, EventStatus
from bridge.store import deliveries, events, leases, reports
from bridge.store.engine import migrate
from bridge.store.engine.database import Database
from bridge.store.events import Arrival
from bridge.store.queries import Query
from bridge.worker.loop import BATCH_SIZE
from tests.benchmarks import history
from tests.benchmarks.figures import Figure
from tests.support.postgres import running_server

_ROWS = int(os.environ.get("ROWS", "1000000"))
_FEW = 1000
_FILLING_SECONDS = 900.0
_ROUNDS = 7
_TIMES = 20
_GOAL = "1.3"
_NUMBERS = count(1)
Ask = Callable[[Database], object]


def measure(folder: Path) -> list[Figure]:
    figures = _on("SQLite", lambda name: f"sqlite:///{folder}/{name}.db")
    with (
        tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as place,
        running_server(Path(place)) as server,
    ):
        return figures + _on("PostgreSQL", server.url)


def _on(kind: str, url: Callable[[str], str]) -> list[Figure]:
    figures = {
        what: Figure(f"{kind}: {what}, {_ROWS} rows / {_FEW}", "ms", _GOAL) for what in ASKED
    }
    with _filled(url("few"), _FEW) as few, _filled(url("many"), _ROWS) as many:
        for turn in range(_ROUNDS + 1):
            for what, ask in ASKED.items():
                took = {database: _milliseconds(ask, database) for database in (few, many)}
                if turn:  # The first round warms up.
                    figures[what].ours.append(took[many])
                    figures[what].baseline.append(took[few])
    return list(figures.values())


@contextmanager
def _filled(url: str, rows: int) -> Iterator[Database]:
    database = Database(url, patience=_FILLING_SECONDS)
    migrate.upgrade(database)
    history.fill(database, rows)
    yield database
    database.close()


def _milliseconds(ask: Ask, database: Database) -> float:
    ask(database)
    begin = time.perf_counter()
    for _ in range(_TIMES):
        ask(database)
    return (time.perf_counter() - begin) / _TIMES * 1000


def _acknowledge(database: Database) -> object:
    pointer = f"https://api.shipstation.com/v2/labels?batch_id=se-{next(_NUMBERS)}"
    with database.begin() as connection:
        return events.receive(
            connection,
            Arrival("LABEL_CREATED_V2", b'{"a": 1}' * 14, pointer),
            now=database.now(connection),
        )


def _claim_event(database: Database) -> object:
    with database.begin(durable=False) as connection:
        now = database.now(connection)
        [event, *_] = events.claim(
            connection, owner="bench", limit=1, lease=timedelta(seconds=60), now=now
        )
        outcome = EventOutcome(EventStatus.PROCESSED, attempts=0, waits=0)
        events.end(connection, [(event, outcome)], owner="bench", now=now)
        return event


def _claim_batch(database: Database) -> object:
    """A hundred due ones are taken and put back."""
    with database.begin(durable=False) as connection:
        now = database.now(connection)
        claimed = events.claim(
            connection, owner="bench", limit=BATCH_SIZE, lease=timedelta(0), now=now
        )
    if len(claimed) < BATCH_SIZE:
        raise RuntimeError(f"only {len(claimed)} wait")
    return claimed


def _claim_delivery(database: Database) -> object:
    """A due one is taken and put back."""
    with database.begin(durable=False) as connection:
        now = database.now(connection)
        return deliveries.claim(connection, owner="bench", limit=1, lease=timedelta(0), now=now)


def _read(ask: Callable[[Connection], object]) -> Ask:
    def asked(database: Database) -> object:
        with database.read() as connection:
            return ask(connection)

    return asked


def _events(**narrowed: object) -> Ask:
    return _read(lambda connection: reports.list_events(connection, Query(**narrowed)))  # type: ignore[arg-type]


def _deliveries(**narrowed: object) -> Ask:
    return _read(lambda connection: reports.list_deliveries(connection, Query(**narrowed)))  # type: ignore[arg-type]


_SINCE = history.LAST - timedelta(minutes=2)

ASKED: dict[str, Ask] = {
    "acknowledging": _acknowledge,
    "claiming an event": _claim_event,
    "claiming a batch": _claim_batch,
    "claiming a delivery": _claim_delivery,
    "when is the next due": _read(leases.next_due),
    "oldest unprocessed": _read(
        lambda connection: reports.oldest_unprocessed(connection, now=datetime.now(UTC))
    ),
    "exceptions": _read(reports.count_exceptions),
    "events": _events(),
    "events received": _events(status=EventStatus.RECEIVED),
    "events ignored": _events(status=EventStatus.IGNORED),
    "events dead": _events(status=EventStatus.DEAD),
    "events of the usual type": _events(event_type="LABEL_CREATED_V2"),
    "events of a rare type": _events(event_type="FULFILLMENT_SHIPPED"),
    "events since": _events(since=_SINCE),
    "events until": _events(until=_SINCE),
    "events of an order": _events(search="PD500"),
    "deliveries": _deliveries(),
    "deliveries delivered": _deliveries(status=DeliveryStatus.DELIVERED),
    "deliveries held": _deliveries(status=DeliveryStatus.HELD),
    "deliveries of the usual type": _deliveries(event_type="LABEL_CREATED_V2"),
    "deliveries of a rare type": _deliveries(event_type="FULFILLMENT_SHIPPED"),
    "deliveries since": _deliveries(since=_SINCE),
    "deliveries until": _deliveries(until=_SINCE),
    "deliveries of an order": _deliveries(search="PD500"),
    "deliveries of a tracking number": _deliveries(tracking="1Z500"),
}
