"""Statements of the hot path: the same rows as SQLAlchemy's own way, on both databases, and each
found by an index."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from bridge.store.engine.prepared import Prepared, one_of, slots
from sqlalchemy import bindparam, insert, select, update
from sqlalchemy.exc import IntegrityError

from bridge.store import deliveries, events, leases, notes, orders, rate_limits
from bridge.store.tables import events as table
from tests.support.fakes import WatchedDatabase

pytest_plugins = ["tests.support.database_fixtures"]

NAMES = (
    "id",
    "source",
    "event_type",
    "status",
    "received_at",
    "body",
    "headers",
    "signature",
    "lane",
)
COUNTS = {"duplicates": 0, "claims": 0, "attempts": 0, "waits": 0}
INSERT = Prepared(insert(table).values(slots(table, NAMES) | COUNTS))
BY_ID = Prepared(
    lambda dialect: select(table).where(one_of(table.c.id, "ids", dialect)).order_by(table.c.id)
)
MOMENT = datetime(2026, 10, 25, 2, 30, 0, 123456, tzinfo=UTC)


def an_event(number: int, **changes: Any) -> dict[str, Any]:
    told = {
        "id": f"evt_{number:04}",
        "source": "shipstation",
        "event_type": "SHIP_NOTIFY",
        "status": "processed",
        "received_at": MOMENT,
    }
    return (
        told
        | {"body": b"{}", "headers": {"user-agent": "é"}, "signature": "none", "lane": 0}
        | changes
    )


def test_rows_are_those_of_sqlalchemy(database: WatchedDatabase) -> None:
    with database.begin() as connection:
        INSERT.many(connection, [an_event(1), an_event(2, body=b"\x00")])

        rows = BY_ID.all(connection, {"ids": ["evt_0002", "evt_0001"]})

        plain = connection.execute(select(table).order_by(table.c.id)).all()
    assert [tuple(row) for row in rows] == [tuple(row) for row in plain]
    assert (rows[0].received_at, rows[0].headers, rows[1].body) == (
        MOMENT,
        {"user-agent": "é"},
        b"\x00",
    )


def test_moment_of_any_zone_is_kept_as_utc_to_the_microsecond(database: WatchedDatabase) -> None:
    abroad = MOMENT.astimezone(timezone(timedelta(hours=-7)))
    with database.begin() as connection:
        INSERT.many(
            connection,
            [
                an_event(1, received_at=abroad),
                an_event(2, received_at=MOMENT.replace(microsecond=0)),
            ],
        )

        told = [row.received_at for row in BY_ID.all(connection, {"ids": ["evt_0001", "evt_0002"]})]

    assert told == [MOMENT, MOMENT.replace(microsecond=0)]
    assert {moment.tzinfo for moment in told} == {UTC}


@pytest.mark.parametrize("count", [0, 1, 3000])
def test_any_number_of_ids_is_one_parameter(database: WatchedDatabase, count: int) -> None:
    with database.begin() as connection:
        INSERT.many(connection, [an_event(number) for number in range(count)])

        found = BY_ID.all(connection, {"ids": [f"evt_{number:04}" for number in range(count)]})

    assert [row.id for row in found] == [f"evt_{number:04}" for number in range(count)]


def test_count_is_what_was_written(database: WatchedDatabase) -> None:
    again = Prepared(
        update(table)
        .where(table.c.status == bindparam("of_status"))
        .values(slots(table, ["attempts"], "to_"))
    )
    with database.begin() as connection:
        INSERT.many(connection, [an_event(1), an_event(2), an_event(3, status="ignored")])

        assert again.count(connection, {"of_status": "processed", "to_attempts": 4}) == 2
        assert [
            row.attempts for row in BY_ID.all(connection, {"ids": ["evt_0001", "evt_0003"]})
        ] == [4, 0]


def test_error_is_sqlalchemys(database: WatchedDatabase) -> None:
    with pytest.raises(IntegrityError), database.begin() as connection:
        INSERT.many(connection, [an_event(1), an_event(1)])


def test_forgotten_value_is_an_error_and_no_null(database: WatchedDatabase) -> None:
    incomplete = {name: value for name, value in an_event(1).items() if name != "lane"}
    with pytest.raises(Exception, match="lane"), database.begin() as connection:
        INSERT.many(connection, [incomplete])


_NAMED = {
    f"{module.__name__}.{name}": statement
    for module in (rate_limits, deliveries, events, leases, notes, orders)
    for name, found in vars(module).items()
    for statement in (found.values() if isinstance(found, dict) else [found])
    if isinstance(statement, Prepared)
}
_CACHED = {
    "claim": leases._claim(leases.DELIVERIES, ("owner",)),
    "write": leases._write(leases.EVENTS, ("owner",)),
}


@pytest.mark.parametrize("name", _NAMED | _CACHED)
@pytest.mark.parametrize("migrated_url", ["sqlite"], indirect=True)
def test_what_the_hot_path_asks_is_found_by_an_index_however_much_there_is(
    database: WatchedDatabase, name: str
) -> None:
    """By the row's own key, too: an index of statuses holds all that was ever delivered."""
    text = (_NAMED | _CACHED)[name]._text_for(database.engine.dialect)
    with database.read() as connection:
        plan = [
            row[3]
            for row in connection.exec_driver_sql(
                f"EXPLAIN QUERY PLAN {text.sql}", ("[]",) * len(text._order)
            ).all()
        ]

    assert not [step for step in plan if step.startswith("SCAN") and "VIRTUAL TABLE" not in step]
    assert not [step for step in plan if "MULTI-INDEX" in step or "_status" in step]
