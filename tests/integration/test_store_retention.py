"""Retention: what was resolved long ago loses its texts, what waits for a person loses nothing, and
nobody has to wait for it."""

import sqlite3
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from bridge.domain.events import DeliveryStatus
from bridge.domain.reasons import Reason
from bridge.operations import repair
from bridge.operations.explain import explain_event
from bridge.store import repairs, reports, retention, tables
from bridge.store.deliveries import load
from bridge.store.engine import migrate
from bridge.store.engine.database import Database
from bridge.store.tables import RESOLVED_DELIVERY, RESOLVED_EVENT
from tests.support.jobs import Jobs
from tests.support.rows import claim_delivery, claim_event, receive, record, row, rows

pytest_plugins = ["tests.support.database_fixtures"]

DAYS = timedelta(days=90)
A_QUARTER = DAYS.total_seconds() + 60


def forget(database: Database) -> None:
    retention.forget(database, DAYS, threading.Event())


def delivered(jobs: Jobs) -> tuple[str, str]:
    """One webhook, taken to its end; the ids of its event and its delivery."""
    event_id = jobs.notify()
    jobs.process()
    return event_id, jobs.deliver().id


def test_what_was_delivered_long_ago_loses_its_texts_and_keeps_its_mapping_and_decisions(
    jobs: Jobs,
) -> None:
    event_id, delivery_id = delivered(jobs)
    before, mapping = row(jobs.database, event_id), row(jobs.database, delivery_id)
    jobs.clock.advance(A_QUARTER)

    forget(jobs.database)

    event, delivery, [attempt] = (
        row(jobs.database, event_id),
        row(jobs.database, delivery_id),
        rows(jobs.database, "attempts"),
    )
    assert (
        bytes(event.body),
        event.headers,
        event.remote_address,
        rows(jobs.database, "records"),
    ) == (b"", {}, None, [])
    assert (attempt.request, attempt.answer, attempt.detail) == (None, None, None)
    assert (delivery.shipment["items"], delivery.shipment["clues"], delivery.detail) == (
        [],
        [],
        None,
    )
    assert event.redacted_at == delivery.redacted_at == jobs.clock.now
    untouched = (
        "id",
        "status",
        "reason",
        "event_type",
        "resource_url",
        "received_at",
        "duplicates",
        "decisions",
        "processed_at",
    )
    assert [getattr(event, name) for name in untouched] == [
        getattr(before, name) for name in untouched
    ]
    changed = {"shipment", "detail", "redacted_at"}
    assert {k: v for k, v in delivery._mapping.items() if k not in changed} == {
        k: v for k, v in mapping._mapping.items() if k not in changed
    }
    assert (attempt.outcome, attempt.http_status, attempt.number) == ("delivered", 200, 1)
    assert len(rows(jobs.database, "delivery_lines")) == 2


def test_nothing_is_touched_before_its_time(jobs: Jobs) -> None:
    delivered(jobs)
    before = rows(jobs.database, "events"), rows(jobs.database, "attempts"), rows(jobs.database)
    jobs.clock.advance(A_QUARTER - 120)

    forget(jobs.database)

    assert (
        rows(jobs.database, "events"),
        rows(jobs.database, "attempts"),
        rows(jobs.database),
    ) == before


@pytest.mark.parametrize(
    "status",
    [DeliveryStatus.HELD, DeliveryStatus.DEAD, DeliveryStatus.UNCONFIRMED, DeliveryStatus.RETRYING],
)
def test_what_is_not_resolved_is_kept_whole_however_old_it_is(
    jobs: Jobs, status: DeliveryStatus
) -> None:
    jobs.notify()
    jobs.process()
    due = {} if status in (DeliveryStatus.HELD, DeliveryStatus.DEAD) else {"due_at": jobs.clock.now}
    record(jobs.database, claim_delivery(jobs.database), status, reason=Reason.NO_ITEMS, **due)
    before = [rows(jobs.database, name) for name in ("events", "records", "deliveries", "attempts")]
    jobs.clock.advance(10 * A_QUARTER)

    forget(jobs.database)

    assert [
        rows(jobs.database, name) for name in ("events", "records", "deliveries", "attempts")
    ] == before


def test_event_that_is_dead_or_still_work_is_kept_whole(jobs: Jobs) -> None:
    work, dead = (
        jobs.notify(),
        jobs.notify(body=b"{ }", resource_url="https://ssapi.shipstation.com/shipments?batchId=8"),
    )
    with jobs.database.begin() as connection:
        connection.execute(
            update(tables.events)
            .where(tables.events.c.id == dead)
            .values(status="dead", processed_at=jobs.clock.now)
        )
    jobs.clock.advance(10 * A_QUARTER)

    forget(jobs.database)

    assert [bytes(row(jobs.database, event_id).body) for event_id in (work, dead)] == [
        b"{}",
        b"{ }",
    ]


def test_exception_that_a_person_closed_is_kept_for_as_long_from_then_on(jobs: Jobs) -> None:
    event_id = jobs.notify()
    jobs.process()
    delivery = claim_delivery(jobs.database)
    record(jobs.database, delivery, DeliveryStatus.HELD, reason=Reason.NO_ITEMS)
    jobs.clock.advance(A_QUARTER)
    with jobs.database.begin() as connection:
        [held] = repairs.find(connection, delivery.id)
        repair.resolve(
            connection,
            held,
            status=DeliveryStatus.DELIVERED,
            reason="by hand",
            actor="alice (shell)",
            now=jobs.clock.now,
        )

    forget(jobs.database)
    young = row(jobs.database, event_id).redacted_at
    jobs.clock.advance(A_QUARTER)
    forget(jobs.database)

    assert (young, row(jobs.database, event_id).redacted_at) == (None, jobs.clock.now)


def test_ignored_and_rejected_events_are_redacted_too(jobs: Jobs) -> None:
    jobs.fetcher.records.clear()
    event_id = jobs.notify(remote_address="198.51.100.7")
    for _look in range(3):
        jobs.process(after=70)
    jobs.clock.advance(A_QUARTER)

    forget(jobs.database)

    event = row(jobs.database, event_id)
    assert (event.status, event.reason, event.redacted_at, event.remote_address) == (
        "ignored",
        "nothing_shipped",
        jobs.clock.now,
        None,
    )


def test_redacted_event_says_so_in_its_story_and_its_explanation(jobs: Jobs) -> None:
    event_id, _ = delivered(jobs)
    jobs.clock.advance(A_QUARTER)
    forget(jobs.database)

    with jobs.database.read() as connection:
        story = reports.event_story(connection, event_id)
    assert story is not None

    assert story["redacted_at"] == jobs.clock.now
    told = [sentence for sentence in explain_event(story) if "BRIDGE_RETENTION_DAYS" in sentence]
    assert [sentence.partition(" UTC ")[2].partition(" ")[0] for sentence in told] == [
        "Its",
        "What",
    ]


def test_redacted_delivery_still_recognizes_its_parcel_and_its_void(jobs: Jobs) -> None:
    delivered(jobs)
    jobs.clock.advance(A_QUARTER)
    forget(jobs.database)

    jobs.notify()
    again = jobs.process()
    jobs.notify(resource_url="https://ssapi.shipstation.com/shipments?batchId=9")
    jobs.fetcher.records[:] = [record_as_void(jobs)]
    jobs.process()

    [delivery] = rows(jobs.database)
    assert (again.status, again.reason) == ("ignored", "already_delivered")
    assert (delivery.status, delivery.reason, delivery.redacted_at) == (
        "held",
        "voided_after_delivery",
        None,
    )


def record_as_void(jobs: Jobs) -> Any:
    return type(one := jobs.fetcher.records[0])(
        one.kind, one.record_id, one.body | {"voided": True}
    )


def test_many_are_redacted_in_batches_and_a_worker_that_stops_ends_between_two(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_BATCH", 2)
    for number in range(5):
        receive(
            jobs.database, resource_url=f"https://ssapi.shipstation.com/shipments?batchId={number}"
        )
    with jobs.database.begin() as connection:
        connection.execute(
            update(tables.events).values(status="ignored", due_at=None, processed_at=jobs.clock.now)
        )
    jobs.clock.advance(A_QUARTER)

    retention.forget(jobs.database, DAYS, _StopsAfter(looks=2))
    after_one = sum(event.redacted_at is not None for event in rows(jobs.database, "events"))
    forget(jobs.database)

    assert after_one == 2
    assert all(event.redacted_at for event in rows(jobs.database, "events"))


class _StopsAfter(threading.Event):
    """The worker's stop, which comes after so many looks at it."""

    def __init__(self, *, looks: int) -> None:
        super().__init__()
        self._left = looks

    def wait(self, timeout: float | None = None) -> bool:  # noqa: ARG002  # a test need not wait
        self._left -= 1
        return self._left < 0


@pytest.mark.parametrize("table", ["events", "deliveries"])
def test_what_to_redact_is_found_by_an_index_of_what_is_not_redacted_yet(
    opened: Callable[[], Database], table: str
) -> None:
    database = opened()
    condition, moment = {
        "events": (RESOLVED_EVENT, "processed_at"),
        "deliveries": (RESOLVED_DELIVERY, "updated_at"),
    }[table]
    query = (
        f"SELECT id FROM {table} WHERE {condition} AND {moment} < CURRENT_TIMESTAMP ORDER BY "
        f"{moment} LIMIT 100"
    )

    with database.read() as connection:
        # The other ways would do for a small table, and which one is taken depends on when its
        # statistics were last gathered.
        for way in () if database.is_sqlite else ("seqscan", "bitmapscan", "sort"):
            connection.exec_driver_sql(f"SET LOCAL enable_{way} = off")
        plan = str(
            connection.exec_driver_sql(
                f"EXPLAIN {'QUERY PLAN ' if database.is_sqlite else ''}{query}"
            ).all()
        )

    assert f"ix_{table}_unredacted" in plan
    assert "sort" not in plan.lower()
    assert "TEMP B-TREE" not in plan


def test_sqlite_file_shrinks_and_holds_nothing_of_what_was_redacted(tmp_path: Path) -> None:
    file = tmp_path / "bridge.db"
    database = Database(f"sqlite:///{file}")
    migrate.upgrade(database)
    for number in range(300):
        receive(
            database,
            resource_url=f"https://ssapi.shipstation.com/shipments?batchId={number}",
            body=b"MARKED" * 2000,
        )
    with database.begin() as connection:
        connection.execute(
            update(tables.events).values(
                status="ignored", due_at=None, processed_at=database.now(connection)
            )
        )
    checkpoint(database)
    size = file.stat().st_size

    retention.forget(database, timedelta(0), threading.Event())
    checkpoint(database)

    assert b"MARKED" not in file.read_bytes()
    assert file.stat().st_size < size / 4
    database.close()


def checkpoint(database: Database) -> None:
    with database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").all()


def test_sqlite_file_without_auto_vacuum_is_redacted_and_left_at_its_size(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "old.db") as older:
        older.execute("CREATE TABLE somebody (id INTEGER)")
    older.close()
    database = Database(f"sqlite:///{tmp_path / 'old.db'}")
    migrate.upgrade(database)
    receive(database, body=b"MARKED" * 2000)
    with database.begin() as connection:
        connection.execute(
            update(tables.events).values(
                status="ignored", due_at=None, processed_at=database.now(connection)
            )
        )

    retention.forget(database, timedelta(0), threading.Event())

    [event] = rows(database, "events")
    assert (event.redacted_at is not None, bytes(event.body)) == (True, b"")
    database.close()


def test_event_that_is_replayed_meanwhile_is_left_alone(jobs: Jobs) -> None:
    event_id = jobs.notify()
    jobs.process()
    jobs.deliver()
    jobs.clock.advance(A_QUARTER)
    with jobs.database.begin() as connection:
        connection.execute(update(tables.events).values(status="received", due_at=jobs.clock.now))

    forget(jobs.database)

    assert bytes(row(jobs.database, event_id).body) == b"{}"
    assert claim_event(jobs.database).id == event_id


def test_delivery_of_a_redacted_row_can_be_loaded(jobs: Jobs) -> None:
    delivered(jobs)
    jobs.clock.advance(A_QUARTER)
    forget(jobs.database)

    with jobs.database.read() as connection:
        [delivery] = load(connection, rows(jobs.database))

    assert (delivery.shipment.tracking_number, delivery.shipment.items, len(delivery.lines)) == (
        "1Z1",
        (),
        2,
    )
