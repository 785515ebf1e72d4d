"""What the hot path asks is found by an index, however much there is."""

from collections.abc import Callable

import pytest

from bridge.domain.events import Lane
from bridge.store import deliveries, leases, orders, rate_limits
from bridge.store.engine.database import Database
from tests.support.jobs import Jobs
from tests.support.query_plans import plans_of, reading_through

pytest_plugins = ["tests.support.database_fixtures"]

pytestmark = pytest.mark.parametrize("migrated_url", ["sqlite"], indirect=True)


@pytest.fixture
def database(opened: Callable[[], Database]) -> Database:
    """One that runs the product's own statements alone."""
    return opened()


def test_what_a_parcel_takes_from_webhook_to_fulfillment_is_found_by_an_index(jobs: Jobs) -> None:
    """By the row's own key, too: an index of statuses holds all that was ever delivered."""
    with plans_of(jobs.database) as plans:
        jobs.notify()
        jobs.process()
        jobs.deliver()

    assert len(plans) > 20
    assert reading_through(plans) == {}
    steps = [step for steps in plans.values() for step in steps]
    assert not [step for step in steps if "MULTI-INDEX" in step or "_status" in step]


def test_what_workers_and_other_records_ask_is_found_by_an_index(jobs: Jobs) -> None:
    with plans_of(jobs.database) as plans, jobs.database.begin() as connection:
        now = jobs.database.now(connection)
        leases.next_due(connection)
        leases.renew(connection, leases.EVENTS, held=[("evt_1", 1)], owner="worker-1", until=now)
        rate_limits.take(connection, "purple_dot", per_minute=60, now=now, lane=Lane.LIVE)
        rate_limits.failed(connection, "purple_dot", now=now)
        deliveries.by_record(connection, "v2_label", ["se-1", "se-2"])
        deliveries.by_tracking(connection, "1Z", order_number="PD1")
        deliveries.events_of(connection, "dlv_1")
        deliveries.of_page(
            connection,
            order_ids=["a"],
            identities=["a:1Z"],
            record_keys=["label:1"],
            number_keys=["1Z"],
        )
        deliveries.parcels_of(connection, ["dlv_1"])
        deliveries.linked_orders(connection, ["label:1"])
        orders.known(connection, order_ids=["a"], references=["pd1"], line_ids=["l"])
        orders.bindings(connection, ["se-1"])

    assert len(plans) > 10
    assert reading_through(plans) == {}
