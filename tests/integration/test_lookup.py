"""A number that is not here, looked up at both vendors: what they say, the next step, and that
nothing is kept of it."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from bridge.operations.lookup import Answer, Finding
from bridge.services import Services
from bridge.settings import Settings
from tests.support.fakes import Clock
from tests.support.rows import rows
from tests.support.virtual_bridge import VirtualBridge

pytest_plugins = ["tests.support.database_fixtures"]

Ask = Callable[[str], dict[str, Answer]]
PERSONAL = ("Solberg", "Marta", "example.com", "Nordlys")


@pytest.fixture
def bridge(migrated_url: str, clock: Clock) -> Iterator[VirtualBridge]:
    with VirtualBridge(migrated_url, clock) as bridge:
        yield bridge


@pytest.fixture
def services(bridge: VirtualBridge) -> Services:
    return Services(Settings.load(bridge.environ), bridge.database)


@pytest.fixture
def ask(services: Services) -> Ask:
    return lambda text: {answer.vendor: answer for answer in services.look_up.ask(text)}


def shipped(bridge: VirtualBridge, reference: str = "PD940/1", **named: Any) -> Any:
    """A label that no webhook reports, bought two days ago."""
    order = bridge.world.add_order(reference, [("TEE", 2)])
    [label] = bridge.world.buy_labels(bridge.world.add_shipstation_order(order, **named))
    bridge.clock.advance(timedelta(days=2).total_seconds())
    return label


def sentences(answer: Answer) -> str:
    return " ".join(f"{finding.sentence} {finding.next_step}" for finding in answer.findings)


@pytest.mark.parametrize("text", ["PD940/1", "#pd940/1", "PD940"])
def test_parcel_that_no_webhook_reported_is_found_by_its_orders_number(
    bridge: VirtualBridge, ask: Ask, text: str
) -> None:
    label = shipped(bridge)

    answers = ask(text)

    for vendor in ("ShipStation V2", "ShipStation V1"):
        [finding] = answers[vendor].findings
        assert finding.sentence.startswith(f"A label of order PD940/1: {label.tracking_number},")
        assert finding.next_step.startswith("No webhook of it came. `bridge reconcile --since 3d`")
    assert "PD940/1 UNFULFILLED: 2 x TEE, ordered 2026-11-04" in sentences(answers["Purple Dot"])


def test_parcel_is_found_by_its_tracking_number_and_its_order_at_purple_dot(
    bridge: VirtualBridge, ask: Ask
) -> None:
    number = shipped(bridge).tracking_number

    answers = ask(f"{number[:4]} {number[4:].lower()}")

    assert "of order PD940/1" in sentences(answers["ShipStation V2"])
    assert "of order PD940/1" in sentences(answers["ShipStation V1"])
    assert "PD940/1 UNFULFILLED" in sentences(answers["Purple Dot"])


def test_mark_as_shipped_is_found_too(bridge: VirtualBridge, ask: Ask) -> None:
    order = bridge.world.add_order("PD941/1", [("TEE", 1)])
    bridge.world.mark_shipped(
        bridge.world.add_shipstation_order(order), "UPS", "1ZB7X0410300009999"
    )

    answers = ask("PD941/1")

    assert sentences(answers["ShipStation V2"]).startswith(
        "A mark-as-shipped of order PD941/1: 1ZB7X0410300009999"
    )


def test_parcel_whose_webhook_came_leads_to_it(bridge: VirtualBridge, ask: Ask) -> None:
    order = bridge.world.add_order("PD942/1", [("TEE", 1)])
    labels = bridge.world.buy_labels(bridge.world.add_shipstation_order(order))
    bridge.travel(bridge.world.label_created_v2(labels))
    [delivery] = bridge.deliveries()

    [finding] = ask("PD942/1")["ShipStation V2"].findings

    assert (finding.known_as, finding.record_id) == (delivery["id"], "")


def test_order_of_which_nothing_was_shipped_says_so(bridge: VirtualBridge, ask: Ask) -> None:
    bridge.world.add_shipstation_order(bridge.world.add_order("PD943/1", [("TEE", 1)]))

    assert sentences(ask("PD943/1")["ShipStation V2"]) == (
        "Order PD943/1: nothing was shipped of it. Buy the label, or mark it as shipped, in"
        " ShipStation."
    )


def test_voided_label_is_no_missed_webhook(bridge: VirtualBridge, ask: Ask) -> None:
    label = shipped(bridge)
    bridge.world.void_label(label)

    [finding] = ask("PD940/1")["ShipStation V2"].findings

    assert finding.next_step == "It was voided, so nothing of it is posted."


def test_longer_number_that_only_begins_alike_is_another_order(
    bridge: VirtualBridge, ask: Ask
) -> None:
    shipped(bridge, "PD940/10")

    answers = ask("PD940/1")

    assert [answer.findings for answer in answers.values()] == [[], [], []]
    assert "see in ShipStation whether the order arrived" in answers["ShipStation V2"].nothing
    assert "when it is ready to ship" in answers["Purple Dot"].nothing


def test_vendor_that_fails_says_so_and_the_others_answer(bridge: VirtualBridge, ask: Ask) -> None:
    shipped(bridge)
    bridge.simulator.inject("shipstation.shipments", "status:500", 5)

    answers = ask("PD940/1")

    assert "answered 500" in answers["ShipStation V2"].problem
    assert "of order PD940/1" in sentences(answers["ShipStation V1"])
    assert "PD940/1 UNFULFILLED" in sentences(answers["Purple Dot"])


def test_nothing_is_kept_and_nobody_is_named(bridge: VirtualBridge, ask: Ask) -> None:
    shipped(bridge)
    tables = ("events", "records", "deliveries", "fulfillment_orders", "audit")
    before = {table: rows(bridge.database, table) for table in tables}

    shown = str(ask("PD940/1"))

    assert {table: rows(bridge.database, table) for table in tables} == before
    assert [word for word in PERSONAL if word in shown] == []


def test_without_a_v1_key_v1_is_not_asked(bridge: VirtualBridge) -> None:
    environ = bridge.environ | {
        "BRIDGE_SHIPSTATION_V1_API_KEY": "",
        "BRIDGE_SHIPSTATION_V1_API_SECRET": "",
    }
    services = Services(Settings.load(environ), bridge.database)

    vendors = [answer.vendor for answer in services.look_up.ask("PD940/1")]

    assert vendors == ["ShipStation V2", "Purple Dot"]


def test_calls_are_counted_in_the_budgets(bridge: VirtualBridge, ask: Ask) -> None:
    shipped(bridge)

    ask("PD940/1")

    counted = {row.system for row in rows(bridge.database, "rate_limits")}
    assert counted >= {"shipstation", "shipstation_v1", "purple_dot"}


@pytest.mark.parametrize("vendor", ["ShipStation V2", "ShipStation V1"])
def test_missed_parcel_that_is_processed_is_posted_once(
    bridge: VirtualBridge, services: Services, ask: Ask, vendor: str
) -> None:
    shipped(bridge)
    [finding] = ask("PD940/1")[vendor].findings

    for _ in range(2):
        assert services.look_up.process(
            "PD940/1", kind=finding.kind, record_id=finding.record_id, actor="Anna"
        )
    bridge.settle()

    assert [body["line_items"][0]["quantity"] for body in bridge.sent] == [2]
    assert [(row.actor, row.action) for row in rows(bridge.database, "audit")] == [
        ("Anna", "reconcile"),
        ("Anna", "reconcile"),
    ]
    assert ask("PD940/1")[vendor].findings[0].known_as.startswith("dlv_")


def test_parcel_that_the_vendor_does_not_show_is_not_processed(
    bridge: VirtualBridge, services: Services
) -> None:
    shipped(bridge)
    made_up = Finding("", kind="v2_label", record_id="se-1")

    assert not services.look_up.process(
        "PD940/1", kind=made_up.kind, record_id=made_up.record_id, actor="Anna"
    )
    assert rows(bridge.database, "events") == []
