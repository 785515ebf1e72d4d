"""What one glance tells: hours, rhythm, vendors, misses; and lists that cost no more on their
thousandth page than on their first."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.event import listen

from bridge.domain.events import EventStatus
from bridge.domain.reasons import Reason
from bridge.operations.alerts import Key, Problem
from bridge.store import events, reports, shared_state, stats, sweeps
from bridge.store.engine.database import Database
from bridge.store.events import Arrival
from bridge.store.queries import Query
from bridge.store.stats import Period
from bridge.store.tables import events as event_rows
from bridge.web.console.overview import bars, judge, period_bounds
from tests.support.fakes import Clock, WatchedDatabase
from tests.support.rows import a_parcel, an_order, deliver_next, put

pytest_plugins = ["tests.support.database_fixtures"]

WELL: dict[str, Any] = {
    "worker": "ok",
    "migrations": "ok",
    "worker_heartbeat_age_seconds": 2.0,
}


def ask(database: Database, question: Any, *arguments: Any, **options: Any) -> Any:
    with database.read() as connection:
        return question(connection, *arguments, **options)


def arrive(database: Database, now: datetime, count: int = 1, **fields: Any) -> None:
    arrival = replace(Arrival("ORDER_NOTIFY", b"{}"), **fields)
    with database.begin() as connection:
        for _ in range(count):
            kept = {
                "status": EventStatus.IGNORED,
                "reason": Reason.EVENT_TYPE_NOT_HANDLED,
                "detail": "",
            }
            events.store_closed(connection, arrival, now=now, **kept)


# Hours


def test_hours_count_what_came_and_how_its_deliveries_stand(
    database: WatchedDatabase, clock: Clock
) -> None:
    arrive(database, clock.now - timedelta(hours=3), 2)
    arrive(database, clock.now, 3)
    arrive(database, clock.now - timedelta(hours=30))
    put(database, a_parcel())
    deliver_next(database)
    put(database, a_parcel(record="502", number="1Z2"), orders=(an_order(),))
    hours = ask(database, stats.by_period, period_bounds(clock.now, 1))

    assert [hour.received for hour in hours] == [0] * 20 + [2, 0, 0, 3]
    assert (hours[-1].delivered, hours[-1].exceptions + hours[-1].waiting) == (1, 1)
    assert hours[-1].start == clock.now.replace(minute=0, second=0, microsecond=0)
    assert sum(hour.delivered for hour in hours[:-1]) == 0


def test_what_a_sweep_enqueued_is_no_webhook(database: WatchedDatabase, clock: Clock) -> None:
    arrive(database, clock.now - timedelta(minutes=10))
    arrive(database, clock.now, source=sweeps.SOURCE)

    assert ask(database, stats.last_event_at) == clock.now - timedelta(minutes=10)


def test_chart_is_as_high_as_its_tallest_hour() -> None:
    hours = [
        Period(Clock().now, 10, 4, 0, 0),
        Period(Clock().now, 0, 0, 0, 0),
        Period(Clock().now, 5, 1, 2, 20),
    ]

    drawn = bars(hours)

    assert max(bar["height"] for bar in drawn) < 120
    assert all(bar["y"] >= 0 and bar["y"] + bar["height"] <= 120.1 for bar in drawn)
    assert [bar["size"] for bar in drawn] == [10, 4, 5, 1, 2, 20]
    assert bars([Period(Clock().now, 0, 0, 0, 0)]) == []


# Rhythm


def test_usual_rhythm_is_that_of_the_same_hour_of_the_week(
    database: WatchedDatabase, clock: Clock
) -> None:
    nothing = ask(database, stats.usual_per_hour, now=clock.now)
    arrive(database, clock.now - timedelta(days=3), 50)
    young = ask(database, stats.usual_per_hour, now=clock.now)
    for week in (1, 2):
        arrive(database, clock.now - timedelta(weeks=week, minutes=40), 4)
        arrive(database, clock.now - timedelta(weeks=week, minutes=-40), 2)
        arrive(database, clock.now - timedelta(weeks=week, hours=5), 30)

    assert (nothing, young) == (None, None)
    assert ask(database, stats.usual_per_hour, now=clock.now) == 3.0


def test_missed_webhooks_of_the_last_sweeps_are_added_up_by_event_type(
    database: WatchedDatabase, clock: Clock
) -> None:
    with database.begin() as connection:
        for days in (1, 2, 9):
            number = sweeps.start(
                connection,
                started_by="test",
                looked_back_to=clock.now,
                now=clock.now - timedelta(days=days),
            )
            sweeps.note(
                connection,
                number,
                {"SHIP_NOTIFY": {"missed": days}, "LABEL_CREATED_V2": {"missed": 0}},
            )

    assert ask(database, sweeps.missed, since=clock.now - timedelta(days=7)) == {
        "SHIP_NOTIFY": 3,
        "LABEL_CREATED_V2": 0,
    }


# The verdict


def test_nothing_is_said_when_all_is_well() -> None:
    assert judge(WELL, [], 0) == []


@pytest.mark.parametrize(
    ("health", "trouble", "level", "told"),
    [
        (
            {"worker": "silent", "worker_heartbeat_age_seconds": None},
            None,
            "bad",
            "No worker is running (none was ever seen)",
        ),
        (
            {"worker": "silent", "worker_heartbeat_age_seconds": 7300.0},
            None,
            "bad",
            "the last sign is 2 h 1 min old",
        ),
        (
            {"migrations": "behind", "next_step": "run `bridge migrate`"},
            None,
            "bad",
            "The database is of another version: run `bridge migrate`.",
        ),
        ({}, Key("vendor", "Purple Dot"), "bad", "Purple Dot can't be called. Every call fails."),
        (
            {},
            Key("credentials", "ShipStation V1"),
            "bad",
            "ShipStation V1 refuses our credentials.",
        ),
        ({}, Key("silence"), "look", "No webhook comes."),
        ({}, Key("stalled"), "bad", "Work stands still."),
        ({}, Key("missed"), "look", "Webhooks were missed."),
        ({}, Key("subscription", subject="x"), "bad", "A webhook subscription is lost."),
    ],
)
def test_what_is_wrong_is_said_as_alerts_say_it(
    health: dict[str, Any], trouble: Key | None, level: str, told: str
) -> None:
    [concern] = judge(WELL | health, [Problem(trouble, "Every call fails.")] if trouble else [], 0)

    assert (concern.level, told in concern.sentence) == (level, True)


def test_worst_comes_first_and_exceptions_are_counted_once() -> None:
    standing = [Problem(Key("exception", subject=str(n)), "held") for n in range(3)] + [
        Problem(Key("stalled"), "It waits.")
    ]

    assert [concern.level for concern in judge(WELL, standing, 1234)] == ["bad", "look"]
    assert judge(WELL, standing, 1234)[1].sentence == "Waiting for a person: 1,234."


def test_database_that_does_not_answer_is_the_only_concern() -> None:
    [concern] = judge({"status": "not_ready", "database": "it is gone"}, [], 0)

    assert "it is gone" in concern.sentence


# Secrets of our own


def test_secret_is_made_once_by_whoever_comes_first(database: WatchedDatabase) -> None:
    with database.begin() as connection:
        made = [
            shared_state.get_or_create_secret(connection, "console", candidate=text)
            for text in ("first", "second")
        ]

    assert made == ["first", "first"]


# Lists on millions of rows


@pytest.mark.parametrize(
    "query",
    [
        Query(before="evt_f"),
        Query(after="evt_0"),
        Query(status="ignored", before="evt_f"),
        Query(reason="voided", before="evt_f"),
        Query(event_type="SHIP_NOTIFY", before="evt_f"),
        Query(since=Clock().now - timedelta(days=1)),
    ],
    ids=str,
)
def test_page_of_events_is_read_off_an_index_without_sorting(
    request: pytest.FixtureRequest, query: Query
) -> None:
    """As SQLite plans it, whose plan does not depend on how much is there."""
    database, statements = Database(f"sqlite:///{request.getfixturevalue('_migrated_file')}"), []
    listen(
        database.engine,
        "before_cursor_execute",
        lambda _c, _d, sql, given, *_: statements.append((sql, given)),
    )

    ask(database, reports.list_events, query)
    sql, given = next((sql, given) for sql, given in statements if "FROM events" in sql)
    with database.read() as connection:
        plan = " ".join(
            row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {sql}", given)
        )
    database.close()

    assert "USING" in plan
    assert "TEMP B-TREE" not in plan


def test_text_that_is_searched_for_is_found_in_what_was_decided(
    database: WatchedDatabase, clock: Clock
) -> None:
    """An ignored parcel has no delivery: only its event's decisions name it."""
    arrive(database, clock.now)
    with database.begin() as connection:
        connection.execute(
            event_rows.update().values(
                decisions=[{"order_number": "100482", "tracking_number": "1Z_9%"}]
            )
        )

    def found(**fields: Any) -> int:
        query = Query(scan_since=clock.now - timedelta(days=1), **fields)
        counted = ask(database, reports.count_fitting, query, events_wanted=True)
        assert len(ask(database, reports.list_events, query)) == counted
        return int(counted)

    assert [
        found(search="100482"),
        found(order="#100482"),
        found(tracking="1Z_9%"),
        found(tracking="1Zx9y"),
    ] == [1, 1, 1, 0]
    assert ask(database, reports.list_events, Query(search="100482")) == []
