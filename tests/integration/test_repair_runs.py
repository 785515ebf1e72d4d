"""Many exceptions repaired at once: each is done or refused, with progress, and once, whatever
happens to the worker meanwhile."""

import threading

import pytest

from bridge.domain.errors import RefusedError
from bridge.operations import repair_runs
from bridge.operations.repair_runs import RepairRuns
from bridge.store import repairs
from bridge.store.queries import Query
from tests.support.fakes import Clock, WatchedDatabase
from tests.support.rows import a_parcel, an_order, put, rows

pytest_plugins = ["tests.support.database_fixtures"]

MANY = 120
"""More than a step of a run."""


def held(database: WatchedDatabase, count: int) -> None:
    """Parcels whose lines are unclear, each of an order of its own."""
    parcels = [
        a_parcel(number=f"1Z{n}", record=str(n), reference=f"PD{n}", items=()) for n in range(count)
    ]
    put(
        database,
        *parcels,
        orders=tuple(an_order(id=f"o-{n}", reference=f"PD{n}") for n in range(count)),
    )
    assert [stored.status for stored in rows(database)] == ["held"] * count


def start(database: WatchedDatabase, action: str = "retry", **chosen: object) -> str:
    with database.begin() as connection:
        return repair_runs.start(
            connection,
            action=action,
            actor="alice (shell)",
            reason="ShipStation lists the items again",
            query=Query(status="held", reason="no_items", limit=None),
            chosen=chosen or {"q": "reason:no_items"},
            now=database.now(connection),
        )


def story(database: WatchedDatabase, run_id: str) -> dict[str, object]:
    with database.read() as connection:
        found = repairs.run_story(connection, run_id)
    assert found is not None
    return found


def test_all_of_a_group_are_tried_again_and_the_run_says_so(database: WatchedDatabase) -> None:
    held(database, MANY)
    run_id = start(database)
    assert (story(database, run_id)["status"], story(database, run_id)["ended"]) == ("running", 0)

    RepairRuns(database).run(threading.Event())

    run = story(database, run_id)
    assert (run["status"], run["total"], run["done"], run["refused"]) == ("done", MANY, MANY, {})
    assert run["deliveries"] == [{"status": "retrying", "reason": "no_items", "count": MANY}]
    acts = rows(database, "audit")
    assert [act.action for act in acts] == ["retry many", *["retry"] * MANY]
    assert {act.actor for act in acts} == {"alice (shell)"}


def test_run_that_was_interrupted_goes_on_and_does_each_once(database: WatchedDatabase) -> None:
    held(database, MANY)
    run_id = start(database)
    runs = RepairRuns(database)
    runs.step()
    before = story(database, run_id)["ended"]

    RepairRuns(database).run(threading.Event())

    assert (before, story(database, run_id)["ended"]) == (50, MANY)
    assert len([act for act in rows(database, "audit") if act.action == "retry"]) == MANY


def test_what_moved_on_meanwhile_is_refused_and_counted(
    database: WatchedDatabase, clock: Clock
) -> None:
    held(database, 3)
    run_id = start(database, "cancelled")
    with database.begin() as connection:
        [first, *_] = repairs.find(connection, "dlv_")
        repairs.change(
            connection, first, {"status": "retrying", "due_at": clock.now}, now=clock.now
        )

    RepairRuns(database).run(threading.Event())

    run = story(database, run_id)
    assert (run["done"], run["ended"]) == (2, 3)
    assert list(run["refused"]) == [  # type: ignore[call-overload]
        "it is retrying; only what is held or dead waits to be resolved"
    ]
    assert sorted(stored.status for stored in rows(database)) == [
        "cancelled",
        "cancelled",
        "retrying",
    ]


def test_cancelled_run_does_nothing_more(database: WatchedDatabase) -> None:
    held(database, MANY)
    run_id = start(database)
    runs = RepairRuns(database)
    runs.step()
    with database.begin() as connection:
        repair_runs.cancel(connection, run_id, actor="alice (shell)", now=database.now(connection))

    runs.run(threading.Event())

    assert (story(database, run_id)["status"], story(database, run_id)["ended"]) == (
        "cancelled",
        50,
    )
    assert [stored.status for stored in rows(database)].count("held") == MANY - 50


@pytest.mark.parametrize("action", ["retry", "delivered", "cancelled"])
def test_what_may_be_posted_already_is_never_repaired_together_with_others(action: str) -> None:
    refusal = repair_runs.bulk_refusal(action, repair_runs.Reason.UNCONFIRMED_PARTIAL)

    assert refusal is not None


def test_run_of_nothing_is_refused(database: WatchedDatabase) -> None:
    with pytest.raises(RefusedError, match="none of these"):
        start(database)
