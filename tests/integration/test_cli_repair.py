"""Mending by hand, command by command: what goes on, what is refused and why, what is told as text,
as JSON and as a table."""

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from click.testing import CliRunner, Result

from bridge.cli import main
from bridge.domain.reasons import MEANINGS, Reason
from bridge.simulator import Label, PurpleDotOrder
from tests.support.virtual_bridge import Json, VirtualBridge

pytest_plugins = ["tests.support.bridge_fixtures"]

ONE_TEE = [("TEE", 1)]
ALWAYS = 99
NOWHERE = "7b0e4c52-91d3-4f6a-8a27-3c5d9e1f0aff"

Run = Callable[..., Result]


@pytest.fixture
def bridge(sqlite_bridge: VirtualBridge) -> VirtualBridge:
    return sqlite_bridge


@pytest.fixture
def run(bridge: VirtualBridge) -> Run:
    return lambda *arguments: CliRunner().invoke(main, arguments, env=bridge.environ)


def ship(
    bridge: VirtualBridge, order: PurpleDotOrder | str, items: Any = None, **named: Any
) -> Label:
    """A label is bought, and its webhook comes in; nothing is done about it yet."""
    [label] = bridge.world.buy_labels(bridge.world.add_shipstation_order(order, items, **named))
    bridge.send(bridge.world.label_created_v2(label))
    return label


def only(bridge: VirtualBridge) -> Json:
    [delivery] = bridge.deliveries()
    return delivery


def held(bridge: VirtualBridge) -> Json:
    """The delivery of a parcel whose item stands on no line of its order."""
    ship(bridge, bridge.world.add_order("PD800/1", ONE_TEE), [("SHIRT", 1)])
    bridge.settle()
    return only(bridge)


def ambiguous(bridge: VirtualBridge) -> tuple[Json, PurpleDotOrder, PurpleDotOrder]:
    first, second = (bridge.world.add_order(f"PD800/{number}", ONE_TEE) for number in (1, 2))
    ship(bridge, first, custom_fields=(second.reference, None, None))
    bridge.settle()
    return only(bridge), first, second


def changed(bridge: VirtualBridge, before: Json) -> bool:
    return only(bridge) != before


# Link


@pytest.mark.parametrize("named", ["{0.reference}", "#pd800/2", " PD800/2 ", "{0.id}"])
@pytest.mark.parametrize(
    "key", ["id", "shipstation_shipment_id", "shipstation_record_id", "tracking_number"]
)
def test_linked_parcel_goes_on_to_the_order_that_was_named(
    bridge: VirtualBridge, run: Run, key: str, named: str
) -> None:
    delivery, first, second = ambiguous(bridge)

    result = run("link", delivery[key], named.format(second), "--json")
    bridge.settle()

    assert result.exit_code == 0
    assert json.loads(result.stdout) == [
        {"id": delivery["id"], "done": True, "message": "is linked to PD800/2 and goes on"}
    ]
    assert (first.status, second.status) == ("UNFULFILLED", "FULFILLED")
    assert (only(bridge)["rule"], only(bridge)["status"]) == ("linked", "delivered")


@pytest.mark.parametrize("named", ["PD800/9", NOWHERE, ""])
def test_order_that_is_not_there_is_not_linked(bridge: VirtualBridge, run: Run, named: str) -> None:
    delivery, *_ = ambiguous(bridge)

    result = run("link", delivery["id"], named)

    assert result.exit_code == 1
    assert "Purple Dot" in result.stderr
    assert not changed(bridge, delivery)


def test_reference_that_fits_two_orders_is_not_linked(bridge: VirtualBridge, run: Run) -> None:
    delivery, *_ = ambiguous(bridge)
    bridge.world.add_order("PD800/2", ONE_TEE, ref_style="hash")

    result = run("link", delivery["id"], "PD800/2")

    assert (
        result.exit_code,
        "2 fulfillment orders" in result.stderr,
        "Give the id" in result.stderr,
    ) == (1, True, True)
    assert not changed(bridge, delivery)


def test_nothing_is_linked_while_purple_dot_can_not_be_asked(
    bridge: VirtualBridge, run: Run
) -> None:
    delivery, *_ = ambiguous(bridge)
    bridge.simulator.inject("purple_dot.orders_by_reference", "status:503")

    result = run("link", delivery["id"], "PD800/2")

    assert (result.exit_code, "503" in result.stderr, "Traceback" in result.output) == (
        1,
        True,
        False,
    )
    assert not changed(bridge, delivery)


def test_link_to_a_wrong_order_is_held_again_and_can_be_put_right(
    bridge: VirtualBridge, run: Run
) -> None:
    delivery, _, second = ambiguous(bridge)
    wrong = bridge.world.add_order("PD801/1", [("MUG", 1)])

    run("link", delivery["id"], wrong.reference)
    bridge.settle()
    after = only(bridge)
    again = run("link", delivery["id"], second.reference)
    bridge.settle()

    assert (after["status"], after["reason"], after["reference"]) == (
        "held",
        "unknown_line",
        "PD801/1",
    )
    assert (again.exit_code, wrong.status, second.status) == (0, "UNFULFILLED", "FULFILLED")


def test_what_went_its_way_is_not_linked(bridge: VirtualBridge, run: Run) -> None:
    ship(bridge, bridge.world.add_order("PD800/1", ONE_TEE))
    bridge.settle()
    bridge.world.add_order("PD800/2", ONE_TEE)
    delivered = only(bridge)

    result = run("link", delivered["id"], "PD800/2")

    assert (result.exit_code, "belongs to PD800/1 already" in result.stdout) == (1, True)
    assert not changed(bridge, delivered)


def test_shipment_that_is_several_deliveries_is_not_linked(bridge: VirtualBridge, run: Run) -> None:
    shipment = bridge.world.add_shipstation_order("PD802/1", ONE_TEE)
    bridge.travel(bridge.world.label_created_v2(bridge.world.buy_labels([shipment])))
    bridge.travel(bridge.world.label_created_v2(bridge.world.buy_labels([shipment])))
    bridge.world.add_order("PD800/1", ONE_TEE)
    before = bridge.deliveries()

    result = run("link", shipment.shipment_id, "PD800/1")

    assert result.exit_code == 1
    assert all(delivery["id"] in result.output for delivery in before)
    assert bridge.deliveries() == before


# Retry


def _waiting(bridge: VirtualBridge) -> None:
    bridge.simulator.inject("purple_dot.create_fulfillment", "throttle:90")
    ship(bridge, bridge.world.add_order("PD800/1", ONE_TEE))
    bridge.work()


def _looking(bridge: VirtualBridge) -> None:
    ship(bridge, "PD800/1", ONE_TEE)
    bridge.work()
    bridge.world.add_order("PD800/1", ONE_TEE)


def _pending(bridge: VirtualBridge) -> None:
    ship(bridge, bridge.world.add_order("PD800/1", ONE_TEE))
    bridge.step()


def _unconfirmed(bridge: VirtualBridge) -> None:
    bridge.simulator.inject("purple_dot.create_fulfillment", "drop_after_commit")
    ship(bridge, bridge.world.add_order("PD800/1", ONE_TEE))
    bridge.work()


def _held(bridge: VirtualBridge) -> None:
    """It can be tried again, since the SKU was corrected in ShipStation."""
    held(bridge)
    packed = bridge.world.shipstation_orders[-1]
    packed.items = bridge.world.add_shipstation_order("PD800/1", ONE_TEE).items


def _dead(bridge: VirtualBridge) -> None:
    bridge.simulator.inject("purple_dot.create_fulfillment", "status:422")
    ship(bridge, bridge.world.add_order("PD800/1", ONE_TEE))
    bridge.settle()


@pytest.mark.parametrize(
    ("make", "status"),
    [
        (_waiting, "waiting"),
        (_looking, "retrying"),
        (_pending, "pending"),
        (_held, "held"),
        (_dead, "dead"),
    ],
)
def test_what_is_not_told_yet_is_tried_now_and_told_once(
    bridge: VirtualBridge, run: Run, make: Callable[..., None], status: str
) -> None:
    make(bridge)
    before = only(bridge)

    result = run("retry", before["id"], "--json")
    bridge.settle()

    assert before["status"] == status
    assert result.exit_code == 0
    assert json.loads(result.stdout) == [
        {"id": before["id"], "done": True, "message": "is tried again now"}
    ]
    assert only(bridge)["status"] == "delivered"
    assert len(bridge.accepted()) == 1


def _delivering(bridge: VirtualBridge) -> None:
    bridge.dies_at = "create_fulfillment"
    ship(bridge, bridge.world.add_order("PD800/1", ONE_TEE))
    bridge.work()


def _delivered(bridge: VirtualBridge) -> None:
    ship(bridge, bridge.world.add_order("PD800/1", ONE_TEE))
    bridge.settle()


def _cancelled(bridge: VirtualBridge) -> None:
    _waiting(bridge)
    bridge.world.void_label(bridge.world.labels[-1])
    bridge.settle()


def _voided_late(bridge: VirtualBridge) -> None:
    _delivered(bridge)
    bridge.travel(bridge.world.label_created_v2(bridge.world.void_label(bridge.world.labels[-1])))


@pytest.mark.parametrize(
    ("make", "status", "told"),
    [
        (_delivering, "delivering", "deliver"),
        (_delivered, "delivered", "twice"),
        (_cancelled, "cancelled", "reopen it first"),
        (_voided_late, "held", "twice"),
    ],
)
def test_what_must_not_be_tried_is_refused(
    bridge: VirtualBridge, run: Run, make: Callable[..., None], status: str, told: str
) -> None:
    make(bridge)
    before = only(bridge)

    result = run("retry", before["id"])

    assert (before["status"], result.exit_code) == (status, 1)
    assert told in result.stdout
    assert not changed(bridge, before)


def test_answer_that_is_still_unclear_is_not_hurried_into_a_second_post(
    bridge: VirtualBridge, run: Run
) -> None:
    _unconfirmed(bridge)
    before = only(bridge)

    run("retry", before["id"])
    bridge.settle()

    assert (before["status"], only(bridge)["status"]) == ("unconfirmed", "delivered")
    assert len(bridge.sent) == len(bridge.accepted()) == 1


def test_one_that_is_refused_does_not_stop_the_others(bridge: VirtualBridge, run: Run) -> None:
    _delivered(bridge)
    [delivered] = bridge.deliveries()
    ship(bridge, bridge.world.add_order("PD801/1", ONE_TEE), [("SHIRT", 1)])
    bridge.settle()
    [mendable] = [delivery for delivery in bridge.deliveries() if delivery["status"] == "held"]

    result = run("retry", delivered["id"], mendable["id"], "dlv_nothing", "--json")

    assert result.exit_code == 1
    assert [row["done"] for row in json.loads(result.stdout)] == [False, True, False]


def test_all_that_is_left_goes_out_only_after_it_was_shown(bridge: VirtualBridge, run: Run) -> None:
    order = bridge.world.add_order("PD800/1", [("TEE", 2), ("CAP", 1)])
    labels = bridge.world.buy_labels(bridge.world.add_shipstation_order(order), items=[])
    bridge.travel(bridge.world.item_ship_notify(labels))
    before = only(bridge)

    shown = run("retry", before["id"], "--what-is-left")
    untouched = only(bridge)
    done = run("retry", before["id"], "--what-is-left", "--yes")
    bridge.settle()

    assert (before["reason"], shown.exit_code, untouched) == ("no_items", 1, before)
    assert "2 x TEE, 1 x CAP of PD800/1" in shown.stdout
    assert "--yes" in shown.stdout
    assert (done.exit_code, order.status) == (0, "FULFILLED")


def over_quantity(bridge: VirtualBridge) -> tuple[Json, PurpleDotOrder]:
    """A parcel of more jackets than were ordered, which leaves totes to ship."""
    order = bridge.world.add_order("PD800/1", [("JACKET", 1), ("TOTE", 2)])
    ship(bridge, order, [("JACKET", 2)])
    bridge.settle()
    return only(bridge), order


def posted(bridge: VirtualBridge) -> list[dict[str, int]]:
    """By line id what each accepted fulfillment has."""
    bodies = [body["line_items"] for body in bridge.accepted()]
    return [{line["id"]: line["quantity"] for line in lines} for lines in bodies]


@pytest.mark.parametrize("by", ["sku", "id"])
def test_chosen_lines_go_out_only_after_they_were_shown(
    bridge: VirtualBridge, run: Run, by: str
) -> None:
    before, order = over_quantity(bridge)
    jacket, tote = order.lines
    choice = [f"--line={getattr(jacket, by)}=1", f"--line={getattr(tote, by)}=1"]

    shown = run("retry", before["id"], *choice)
    untouched = only(bridge)
    done = run("retry", before["id"], *choice, "--yes", "--reason", "counted them")
    bridge.settle()

    assert (before["reason"], shown.exit_code, untouched) == ("over_quantity", 1, before)
    assert "would post 1 x JACKET, 1 x TOTE of PD800/1 as shipped; say --yes" in shown.stdout
    assert (done.exit_code, only(bridge)["status"]) == (0, "delivered")
    assert posted(bridge) == [{jacket.id: 1, tote.id: 1}]


def test_line_that_is_named_twice_counts_together(bridge: VirtualBridge, run: Run) -> None:
    before, order = over_quantity(bridge)

    run("retry", before["id"], "--line", "TOTE=1", "--line", "TOTE=1", "--yes")
    bridge.settle()

    assert posted(bridge) == [{order.lines[1].id: 2}]


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("JACKET=2", "not so many are left of PD800/1: 1 x JACKET, 2 x TOTE can go out"),
        ("SCARF=1", "no line of what is left of PD800/1 is called SCARF; left are 1 x JACKET ("),
    ],
)
def test_lines_that_are_not_left_are_refused_with_what_is(
    bridge: VirtualBridge, run: Run, choice: str, said: str
) -> None:
    before, _ = over_quantity(bridge)

    result = run("retry", before["id"], "--line", choice, "--yes")
    bridge.settle()

    assert (result.exit_code, said in result.stdout, bridge.accepted()) == (1, True, [])
    assert not changed(bridge, before)


def test_sku_of_two_lines_is_asked_for_by_their_ids(bridge: VirtualBridge, run: Run) -> None:
    order = bridge.world.add_order("PD800/1", [("TEE", 1), ("TEE", 1)])
    ship(bridge, order, [("TEE", 5)])
    bridge.settle()
    before = only(bridge)

    result = run("retry", before["id"], "--line", "TEE=1", "--yes")

    assert (result.exit_code, "2 lines of what is left" in result.stdout) == (1, True)
    assert [line.id in result.stdout for line in order.lines] == [True, True]
    assert not changed(bridge, before)


@pytest.mark.parametrize("choice", [["--line", "TEE=1"], ["--what-is-left"]])
def test_lines_of_what_may_be_posted_already_are_asked_about_first(
    bridge: VirtualBridge, run: Run, choice: list[str]
) -> None:
    order = bridge.world.add_order("PD800/1", [("TEE", 3)])
    bridge.simulator.inject("purple_dot.create_fulfillment", "drop_after_commit")
    ship(bridge, order, ONE_TEE)
    bridge.settle()
    before = only(bridge)

    result = run("retry", before["id"], *choice, "--yes")
    bridge.settle()

    assert before["reason"] == "unconfirmed_partial"
    assert (result.exit_code, "--not-in-purple-dot" in result.stdout) == (1, True)
    assert len(bridge.accepted()) == 1
    assert not changed(bridge, before)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dlv_1", "--line", "TEE"], "is not like TEE-OAT-M=2"),
        (["dlv_1", "--line", "TEE=0"], "is not like TEE-OAT-M=2"),
        (["dlv_1", "--line", "=1"], "is not like TEE-OAT-M=2"),
        (["dlv_1", "dlv_2", "--line", "TEE=1"], "name one delivery"),
        (["dlv_1", "--line", "TEE=1", "--what-is-left"], "say one of them"),
        (["dlv_1", "--line", "TEE=1", "--not-in-purple-dot"], "say one of them"),
        (["--all", "no_items", "--line", "TEE=1"], "say one of them"),
    ],
)
def test_choice_of_lines_that_says_nothing_clear_is_wrong_use(
    run: Run, arguments: list[str], said: str
) -> None:
    result = run("retry", *arguments)

    words = " ".join(result.output.replace("│", " ").split())
    assert (result.exit_code, said in words) == (2, True)


def test_all_exceptions_of_a_reason_are_tried_again_with_one_command(
    bridge: VirtualBridge, run: Run
) -> None:
    shipments = []
    for _ in range(3):
        order = bridge.world.add_order(lines=[("TEE", 1)])
        shipment = bridge.world.add_shipstation_order(order, [("SHIRT", 1)])
        bridge.travel(bridge.world.label_created_v2(bridge.world.buy_labels(shipment)))
        shipments.append((order, shipment))
    assert {row["reason"] for row in bridge.deliveries()} == {"unknown_line"}
    for order, shipment in shipments:
        shipment.items = bridge.world.add_shipstation_order(order).items

    without_reason = run("retry", "--all", "unknown_line")
    done = run("retry", "--all", "unknown_line", "--reason", "the SKUs are right now")
    again = run("retry", "--all", "unknown_line", "--reason", "once more")
    bridge.settle()

    assert (without_reason.exit_code, done.exit_code) == (2, 0)
    assert done.stdout.startswith("3 of 3 exceptions tried again; run rep_")
    assert [row["status"] for row in bridge.deliveries()] == ["delivered"] * 3
    assert "none of these waits for a person" in again.output


def test_what_may_be_posted_already_is_not_offered_to_be_tried_again_together(run: Run) -> None:
    result = run("retry", "--all", "unconfirmed_partial", "--reason", "all of them")

    assert (result.exit_code, "unconfirmed_partial" in result.output) == (2, True)


# Resolve


@pytest.mark.parametrize("status", ["delivered", "cancelled"])
@pytest.mark.parametrize("make", [_held, _dead, _voided_late])
def test_exception_is_closed_as_a_person_says(
    bridge: VirtualBridge, run: Run, make: Callable[..., None], status: str
) -> None:
    make(bridge)
    before = only(bridge)

    result = run("resolve", before["id"], "--as", status, "--reason", "mended there", "--json")

    after = only(bridge)
    assert result.exit_code == 0
    assert json.loads(result.stdout) == [
        {"id": before["id"], "done": True, "message": f"is closed as {status}"}
    ]
    assert (after["status"], after["reason"]) == (status, None)
    assert (after["delivered_at"] is not None) == (
        status == "delivered" or before["delivered_at"] is not None
    )
    assert (after["attempt_history"][-1]["trigger"], after["attempt_history"][-1]["outcome"]) == (
        "manual",
        status,
    )
    assert "mended there" in run("explain", before["id"]).stdout


@pytest.mark.parametrize(
    "make", [_waiting, _looking, _pending, _unconfirmed, _delivering, _delivered, _cancelled]
)
def test_what_is_no_exception_is_not_resolved(
    bridge: VirtualBridge, run: Run, make: Callable[..., None]
) -> None:
    make(bridge)
    before = only(bridge)

    result = run("resolve", before["id"], "--as", "cancelled", "--reason", "no more of it")

    assert (result.exit_code, "held or dead" in result.stdout) == (1, True)
    assert not changed(bridge, before)


@pytest.mark.parametrize("name", ["link", "retry", "resolve"])
def test_delivery_that_is_not_there_is_told_with_what_to_do(
    bridge: VirtualBridge, run: Run, name: str
) -> None:
    bridge.world.add_order("PD800/1", ONE_TEE)
    more = {"link": ["PD800/1"], "resolve": ["--as", "delivered", "--reason", "x"]}.get(name, [])

    result = run(name, "dlv_nothing", *more)

    assert (result.exit_code, "bridge find" in result.output) == (1, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["retry"],
        ["link", "se-1"],
        ["resolve", "dlv_1"],
        ["resolve", "dlv_1", "--as", "held", "--reason", "x"],
        ["resolve", "dlv_1", "--as", "delivered"],
        ["explain"],
        ["export", "--since", "soon"],
    ],
)
def test_wrong_use_exits_2_and_changes_nothing(
    bridge: VirtualBridge, run: Run, arguments: list[str]
) -> None:
    held(bridge)
    before = only(bridge)

    result = run(*arguments)

    assert (result.exit_code, "Usage: " in result.stderr) == (2, True)
    assert not changed(bridge, before)


# Explain


def test_why_nothing_happened_is_told_in_sentences(bridge: VirtualBridge, run: Run) -> None:
    ship(bridge, "100482", ONE_TEE)
    bridge.settle()
    [event] = bridge.events()

    result = run("explain", event["id"])

    assert result.exit_code == 0
    assert MEANINGS[Reason.NOT_A_PURPLE_DOT_ORDER].sentence in result.stdout
    assert MEANINGS[Reason.NOT_A_PURPLE_DOT_ORDER].shell_step in result.stdout
    assert "(order 100482, " in result.stdout
    assert "ignored because not_a_purple_dot_order" in result.stdout


def test_explanation_as_json_has_the_same_sentences(bridge: VirtualBridge, run: Run) -> None:
    delivery = held(bridge)

    told = json.loads(run("explain", delivery["id"], "--json").stdout)

    assert told["id"] == delivery["id"]
    assert "\n".join(told["explanation"]) == run("explain", delivery["id"]).stdout.rstrip("\n")


def test_explain_finds_by_whatever_a_person_has(bridge: VirtualBridge, run: Run) -> None:
    delivery = held(bridge)

    outputs = {
        run("explain", delivery[key]).stdout
        for key in ("id", "tracking_number", "order_number", "shipstation_shipment_id")
    }

    assert len(outputs) == 1
    assert run("explain", "PD999/9").exit_code == 1


# Export


def _exported(result: Result) -> list[dict[str, str]]:
    assert result.exit_code == 0
    return list(csv.DictReader(io.StringIO(result.stdout)))


def test_all_numbers_of_a_multi_package_label_are_exported(bridge: VirtualBridge, run: Run) -> None:
    order = bridge.world.add_order("PD800/1", [("TEE", 2), ("CAP", 1)])
    [label] = bridge.world.buy_labels(bridge.world.add_shipstation_order(order), packages=3)
    bridge.travel(bridge.world.label_created_v2(label))

    [row] = _exported(run("export"))

    delivery = only(bridge)
    assert row["all_tracking_numbers"].split() == label.tracking_numbers
    assert len(label.tracking_numbers) == 3
    assert (row["tracking_number"], row["line_items"]) == (
        label.tracking_number,
        "2 x TEE; 1 x CAP",
    )
    assert {key: row[key] for key in ("id", "purple_dot_fulfillment_id")} == {
        key: delivery[key] for key in ("id", "purple_dot_fulfillment_id")
    }


def test_parcel_that_may_be_posted_already_is_not_sent_again_without_a_look(
    bridge: VirtualBridge, run: Run
) -> None:
    order = bridge.world.add_order("PD880/1", [("TEE", 3)])
    bridge.simulator.inject("purple_dot.create_fulfillment", "drop_after_commit")
    shipment = bridge.world.add_shipstation_order(order, [("TEE", 1)])
    bridge.travel(bridge.world.label_created_v2(bridge.world.buy_labels(shipment)))
    [held] = bridge.deliveries()

    refused = run("retry", held["id"])
    without_reason = run("retry", held["id"], "--not-in-purple-dot")
    bridge.settle()

    assert held["reason"] == "unconfirmed_partial"
    assert (refused.exit_code, without_reason.exit_code) == (1, 2)
    assert f"Is {held['tracking_number']} on PD880/1 in Purple Dot?" in refused.stdout
    assert len(bridge.accepted(order)) == 1


@pytest.mark.parametrize("evil", ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)"])
def test_no_cell_is_run_by_a_spreadsheet(bridge: VirtualBridge, run: Run, evil: str) -> None:
    order = bridge.world.add_order("PD800/1", [(evil, 1)])
    shipment = bridge.world.add_shipstation_order(
        order, shipment_number=evil, external_shipment_id=order.id
    )
    bridge.travel(
        bridge.world.label_created_v2(bridge.world.buy_labels(shipment, tracking=f"{evil}22"))
    )

    [row] = _exported(run("export"))

    # What is no number is not stored as one; what is stored is text in a spreadsheet.
    assert not [
        value for value in row.values() if value.startswith(("=", "+", "-", "@", "\t", "\r"))
    ]


def test_export_is_narrowed_by_age_and_may_be_empty(bridge: VirtualBridge, run: Run) -> None:
    held(bridge)

    assert len(_exported(run("export", "--since", "2026-11-04"))) == 1
    assert _exported(run("export", "--since", "2999-01-01")) == []


# The audit list


def test_every_act_by_hand_is_in_the_audit_list_and_what_was_refused_is_not(
    bridge: VirtualBridge, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUDO_USER", "alice")
    delivery, first, _ = ambiguous(bridge)

    run("link", delivery["id"], first.reference, "--reason", "the label says so")
    bridge.settle()
    refused = run("retry", delivery["id"])
    told = run("audit", "--json")

    assert refused.exit_code == 1
    [act] = json.loads(told.stdout)
    assert (act["actor"], act["action"], act["subject"], act["reason"]) == (
        "alice (shell)",
        "link",
        delivery["id"],
        "the label says so",
    )
    assert act["outcome"] == f"is linked to {first.reference} and goes on"


def test_audit_list_is_a_table_for_people_or_says_that_it_is_empty(
    bridge: VirtualBridge, run: Run
) -> None:
    assert run("audit").stdout == "Nothing was done by hand.\n"

    delivery = held(bridge)
    run("resolve", delivery["id"], "--as", "cancelled", "--reason", "never left")
    run("retry", delivery["id"])

    assert "resolve" in run("audit", "--search", delivery["id"]).stdout
    assert "never left" in run("audit", "--since", "5w").stdout
