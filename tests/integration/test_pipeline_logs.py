"""What the journey of a parcel leaves in the log and in the counters: one line a step, each naming
its row, none naming a person."""

from collections.abc import MutableMapping
from typing import Any

import pytest
from prometheus_client import REGISTRY

from bridge.domain.errors import PermanentError, TemporaryError, ThrottledError, UnclearError
from bridge.domain.events import Trigger
from bridge.domain.reasons import Reason
from bridge.pipeline import outcomes
from tests.support.jobs import Jobs
from tests.support.rows import a_parcel, put, v1_label

pytest_plugins = ["tests.support.database_fixtures"]

Lines = list[MutableMapping[str, Any]]


def lines(logged: Lines, event: str) -> Lines:
    return [line for line in logged if line["event"] == event]


def the_line(logged: Lines, event: str) -> dict[str, Any]:
    """The only line of an event."""
    [line] = lines(logged, event)
    return dict(line)


def test_delivery_says_where_it_moved(jobs: Jobs, logged: Lines) -> None:
    event_id = jobs.notify()
    jobs.process()

    delivery_id = jobs.deliver().id

    assert the_line(logged, "delivery_moved") == {
        "event": "delivery_moved",
        "log_level": "info",
        "delivery_id": delivery_id,
        "event_ids": [event_id],
        "status": "delivered",
        "reason": None,
        "attempt": 1,
        "detail": "",
    }


@pytest.mark.parametrize(
    ("error", "status", "reason", "attempt"),
    [
        (PermanentError("over quantity " * 99), "dead", Reason.REJECTED_BY_PURPLE_DOT, 1),
        (TemporaryError("connection refused"), "retrying", None, 1),
        (UnclearError("no answer"), "unconfirmed", None, 1),
    ],
)
def test_delivery_that_was_not_taken_says_why_in_short(
    jobs: Jobs, logged: Lines, error: Exception, status: str, reason: Reason | None, attempt: int
) -> None:
    delivery_id = jobs.parcel()
    jobs.purple_dot.script("create_fulfillment", error)

    jobs.deliver()

    line = the_line(logged, "delivery_moved")
    assert (line["delivery_id"], line["status"], line["reason"]) == (delivery_id, status, reason)
    assert (line["attempt"], line["detail"]) == (attempt, str(error)[:300])


def test_delivery_whose_facts_changed_says_so_and_what_was_decided(
    jobs: Jobs, logged: Lines
) -> None:
    jobs.hold(60)
    delivery_id = jobs.parcel()
    jobs.fetcher.records = [v1_label(number="1Z2")]

    jobs.deliver(after=61)

    assert the_line(logged, "delivery_facts_changed") == {
        "event": "delivery_facts_changed",
        "log_level": "info",
        "delivery_id": delivery_id,
        "detail": "the number is 1Z2 now, no more 1Z1",
    }
    assert the_line(logged, "delivery_decided_again") == {
        "event": "delivery_decided_again",
        "log_level": "info",
        "delivery_id": delivery_id,
        "verdicts": ["delivery"],
    }


@pytest.mark.parametrize("operation", ["order", "create_fulfillment"])
def test_fault_of_ours_is_logged_with_its_delivery(
    jobs: Jobs, logged: Lines, operation: str
) -> None:
    delivery_id = jobs.parcel()
    jobs.purple_dot.script(operation, ValueError("what was that"))

    stored = jobs.deliver(after=30)

    line = the_line(logged, "delivery_failed_unforeseen")
    assert (line["delivery_id"], line["log_level"]) == (delivery_id, "error")
    assert stored.detail.startswith("unforeseen ValueError")


def test_database_that_does_not_answer_says_so_each_time(
    jobs: Jobs, logged: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "_STORE_AGAIN_AFTER", 0)
    delivery_id = jobs.parcel()

    def refuse_while_the_database_restarts() -> Any:
        jobs.database.fail(2)
        raise TemporaryError("connection refused")

    jobs.purple_dot.script("create_fulfillment", refuse_while_the_database_restarts)
    jobs.deliver()

    notice = {
        "event": "database_does_not_answer_yet",
        "log_level": "warning",
        "delivery_id": delivery_id,
        "error": "the database is being restarted",
    }
    assert lines(logged, "database_does_not_answer_yet") == [notice, notice]


def test_event_says_what_its_shipments_came_to(jobs: Jobs, logged: Lines) -> None:
    jobs.fetcher.records = [v1_label(), v1_label(record="502", reference="SHOP-1")]
    event_id = jobs.notify()

    jobs.process()

    line = the_line(logged, "event_placed")
    [delivery_id] = line.pop("delivery_ids")
    assert delivery_id.startswith("dlv_")
    assert line == {
        "event": "event_placed",
        "log_level": "info",
        "event_id": event_id,
        "event_type": "SHIP_NOTIFY",
        "again_at": None,
        "delivery": 1,
        "not_a_purple_dot_order": 1,
    }


def test_event_that_waits_says_until_when(jobs: Jobs, logged: Lines) -> None:
    jobs.fetcher.records = []
    jobs.notify()

    stored = jobs.process()

    assert the_line(logged, "event_placed")["again_at"] == stored.due_at


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (TemporaryError("busy " * 99), ("busy " * 99)[:300]),
        (PermanentError("no such batch"), "no such batch"),
        (ValueError("a fault of ours"), "unforeseen ValueError: a fault of ours"),
    ],
)
def test_event_that_failed_says_why_and_how_often(
    jobs: Jobs, logged: Lines, error: Exception, told: str
) -> None:
    event_id = jobs.notify()
    jobs.fetcher.script("fetch", error, error)

    jobs.process()
    jobs.process(after=20)

    assert lines(logged, "event_attempt_failed") == [
        {
            "event": "event_attempt_failed",
            "log_level": "warning",
            "event_id": event_id,
            "attempt": attempt,
            "error": told,
        }
        for attempt in (1, 2)
    ]
    is_ours = isinstance(error, ValueError)
    assert [line["event_id"] for line in lines(logged, "event_failed_unforeseen")] == (
        [event_id] * 2 * is_ours
    )


def test_being_told_to_wait_is_no_line_of_the_log(jobs: Jobs, logged: Lines) -> None:
    jobs.notify()
    jobs.fetcher.script("fetch", ThrottledError("wait"))

    jobs.process()

    assert lines(logged, "event_attempt_failed") == []


def test_unknown_carrier_says_what_to_do(jobs: Jobs, logged: Lines) -> None:
    jobs.fetcher.records = [v1_label(carrierCode="planet_courier")]
    jobs.notify()

    jobs.process()

    assert the_line(logged, "carrier_unknown") == {
        "event": "carrier_unknown",
        "log_level": "warning",
        "carrier": "planet_courier",
        "next_step": "name it in BRIDGE_CARRIERS_FILE; until then it goes out as written",
    }


def test_carrier_of_what_is_held_or_ignored_is_no_news(jobs: Jobs, logged: Lines) -> None:
    put(jobs.database, a_parcel())
    jobs.fetcher.records = [
        v1_label(record="502", number="1Z2", carrierCode="planet_courier"),
        v1_label(record="503", reference="SHOP-1", carrierCode="moon_courier"),
    ]
    jobs.notify()

    jobs.process()

    assert lines(logged, "carrier_unknown") == []


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (None, "delivered"),
        (TemporaryError("connection refused"), "retrying"),
        (PermanentError("over quantity"), "dead"),
    ],
)
def test_try_is_counted_by_its_outcome_and_a_delivery_by_how_long_it_took(
    jobs: Jobs, answer: Exception | None, status: str
) -> None:
    jobs.parcel()
    jobs.purple_dot.script("create_fulfillment", *[answer] * (answer is not None))
    is_delivered = answer is None
    tries = counted("bridge_deliveries_total", status=status)
    deliveries = counted("bridge_delivery_seconds_count")
    seconds = counted("bridge_delivery_seconds_sum")

    jobs.deliver(after=7)

    assert counted("bridge_deliveries_total", status=status) == tries + 1
    assert counted("bridge_delivery_seconds_count") == deliveries + is_delivered
    assert counted("bridge_delivery_seconds_sum") == seconds + 7 * is_delivered


def test_replay_tells_nothing_of_how_long_a_delivery_takes(jobs: Jobs) -> None:
    put(jobs.database, a_parcel(), trigger=Trigger.REPLAY)
    before = counted("bridge_delivery_seconds_count")

    assert jobs.deliver().status == "delivered"

    assert counted("bridge_delivery_seconds_count") == before


def test_look_that_only_put_off_is_no_try(jobs: Jobs) -> None:
    jobs.parcel()
    jobs.purple_dot.script("create_fulfillment", ThrottledError("wait"))
    before = counted("bridge_deliveries_total", status="waiting")

    assert jobs.deliver().status == "waiting"

    assert counted("bridge_deliveries_total", status="waiting") == before


def test_held_parcel_is_counted_when_it_is_held(jobs: Jobs) -> None:
    jobs.fetcher.records = [v1_label(), v1_label(record="502", number="1Z2")]
    jobs.notify()
    before = counted("bridge_deliveries_total", status="held")

    jobs.process()

    assert counted("bridge_deliveries_total", status="held") == before + 1
