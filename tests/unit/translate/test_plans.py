"""What a plan keeps for people: the story of each parcel as JSON, and how many came to what."""

from bridge.domain.reasons import Reason
from bridge.domain.shipments import ShipmentItem
from bridge.translate.contents import Fate, ItemFate
from bridge.translate.plans import Decision, OrderLookup, contents_of, summary
from tests.support.planning import ORDER, OTHER, label, planned
from tests.support.rows import units


def test_decision_is_kept_under_the_names_that_explain_reads() -> None:
    [decision] = planned(label(units(1, "TEE"), units(2, "SOCKS"))).decisions

    assert decision.as_json() == {
        "record_kind": "v2_label",
        "record_id": "se-501",
        "shipstation_shipment_id": "se-480",
        "order_number": "PD100",
        "tracking_number": "1Z1",
        "verdict": "held",
        "reason": Reason.UNKNOWN_LINE,
        "detail": decision.detail,
        "rule": "orderNumber",
        "delivery_id": "dlv_new1",
        "items": contents_of(decision.items),
    }
    assert [item["sku"] for item in contents_of(decision.items)] == ["TEE", "SOCKS"]


def test_item_is_kept_by_its_sku_alone() -> None:
    """What has none may be named by a person's own words."""
    bundled = ShipmentItem(0, "MUG", bundle_sku="SET", unreadable_quantity="2.5")
    why = "its quantity is no whole number of units"
    fates = [
        ItemFate(bundled, Fate.HELD, why),
        ItemFate(units(3), Fate.NOT_PURPLE_DOTS, "To my dear Ada"),
    ]

    assert contents_of(fates) == [
        {"sku": "MUG", "bundle_sku": "SET", "quantity": "2.5", "fate": "held", "evidence": why},
        {
            "sku": None,
            "bundle_sku": None,
            "quantity": 3,
            "fate": "not_purple_dots",
            "evidence": "it has no SKU",
        },
    ]


def test_summary_counts_verdicts_and_what_was_ignored_by_its_reason() -> None:
    decisions = [
        Decision(label(), "delivery"),
        Decision(label(), "ignored", Reason.VOIDED),
        Decision(label(), "held", Reason.NO_ITEMS),
        Decision(label(), "ignored", Reason.VOIDED),
        Decision(label(), "ignored", Reason.RETURN_LABEL),
        Decision(label(), "held", Reason.UNKNOWN_LINE),
        Decision(label(), "held", Reason.NO_ITEMS),
    ]

    assert summary(decisions) == {"delivery": 1, "voided": 2, "return_label": 1, "held": 3}
    assert summary([]) == {}


def test_order_is_fresh_only_where_it_was_just_read() -> None:
    lookup = OrderLookup(orders=(ORDER, OTHER), fresh=(OTHER,))

    assert [lookup.is_fresh(order.id) for order in (ORDER, OTHER)] == [False, True]
