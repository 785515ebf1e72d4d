"""What is written for each parcel: all that its delivery needs later, and no more."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest

from bridge.domain.actions import CreateFulfillment, FulfilledLine, Held, Tracking
from bridge.domain.deliveries import Claim, Draft
from bridge.domain.events import DeliveryStatus, Lane, Trigger
from bridge.domain.orders import OrderLine
from bridge.domain.reasons import Reason
from bridge.domain.shipments import Clue, ClueKind, Shipment, ShipmentState
from bridge.translate.placement import identities_of, may_be_forgotten, plan, plan_pages
from bridge.translate.plans import (
    ClaimAllowance,
    Create,
    Decision,
    OrderLookup,
    Page,
    PageContext,
    Redecide,
    Snapshot,
)
from tests.support.planning import (
    DELIVERED,
    HELD,
    NOW,
    ONE_CAP,
    ONE_TEE,
    ORDER,
    OTHER,
    known,
    label,
    planned,
    v1_label,
    verdicts,
)
from tests.support.rows import ORDER_ID, OTHER_ID, POLICY, an_order, units

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
MARK: dict[str, Any] = {"record": "se-900", "record_kind": "v2_fulfillment"}
UNKNOWN = label(reference="PD999")


def draft_of(*shipments: Shipment, **context: Any) -> Draft:
    [change] = planned(*shipments, **context).changes
    assert isinstance(change, (Create, Redecide))
    return change.draft


def test_draft_holds_all_that_its_delivery_needs() -> None:
    parcel = label()

    draft = draft_of(
        parcel,
        lane=Lane.SWEEP,
        trigger=Trigger.REPLAY,
        received_at=NOW - DAY,
        fetched_at=NOW - HOUR,
        tries=2,
    )

    action = CreateFulfillment(
        ORDER_ID,
        "#PD100",
        (FulfilledLine("line-tee", 1, "TEE"),),
        Tracking("1Z1", "UPS", "https://www.ups.com/track?tracknum=1Z1"),
        notify_customer=False,
    )
    content = {
        "sku": "TEE",
        "bundle_sku": None,
        "quantity": 1,
        "fate": "sent",
        "evidence": "it is line line-tee (SKU TEE) of #PD100",
    }
    assert draft == Draft(
        f"{ORDER_ID}:1Z1",
        parcel,
        action,
        Lane.SWEEP,
        NOW - DAY,
        "orderNumber",
        Trigger.REPLAY,
        due_at=NOW,
        order_seen_at=NOW,
        label_seen_at=NOW - HOUR,
        notify_customer=False,
        attempts=2,
        contents=(content,),
    )


def test_order_that_was_not_just_read_is_looked_at_before_it_goes_out() -> None:
    lookup = OrderLookup(orders=(ORDER, OTHER), fresh=(OTHER,), seen_at=NOW)

    result = plan(
        [label()],
        lookup,
        Snapshot(),
        policy=POLICY,
        context=PageContext(Lane.LIVE, Trigger.LIVE, NOW, NOW, NOW),
        new_id=lambda: "dlv_1",
    )

    [create] = result.changes
    assert isinstance(create, Create)
    assert (create.draft.order_seen_at, result.claimed) == (None, ())


def test_after_a_hold_the_label_is_looked_at_again() -> None:
    held_back = replace(POLICY, hold=HOUR)

    result = planned(label(), policy=held_back, limit=1)

    [create] = result.changes
    assert isinstance(create, Create)
    assert (create.draft.due_at, create.draft.label_seen_at) == (NOW + HOUR, None)
    assert create.delivery.status is DeliveryStatus.WAITING
    assert result.claimed == ()


@pytest.mark.parametrize(
    ("on_the_record", "default", "told"),
    [(None, False, False), (None, True, True), (True, False, True), (False, True, False)],
)
@pytest.mark.parametrize("goods", [units(1, "TEE"), units(9, "TEE")], ids=["sent", "held"])
def test_shopper_is_notified_as_the_record_says_else_as_the_merchant_does(
    on_the_record: bool | None, default: bool, told: bool, goods: Any
) -> None:
    policy = replace(POLICY, notify_customer=default)

    assert draft_of(label(goods, notify_customer=on_the_record), policy=policy).notify_customer is (
        told
    )


def test_held_parcel_waits_for_a_person_with_its_order_and_its_number() -> None:
    result = planned(label(units(9, "TEE")), limit=1)

    [create] = result.changes
    assert isinstance(create, Create)
    action = create.draft.action
    assert isinstance(action, Held)
    assert (action.fulfillment_order_id, action.reference) == (ORDER_ID, "#PD100")
    assert action.detail == result.decisions[0].detail
    assert (create.draft.due_at, create.claim, result.claimed) == (None, None, ())
    assert create.delivery.tracking == Tracking("1Z1", None, None)


def test_order_that_is_not_there_yet_is_looked_for_again() -> None:
    result = planned(UNKNOWN, limit=1)

    [decision] = result.decisions
    [create] = result.changes
    assert isinstance(create, Create)
    assert decision == Decision(
        UNKNOWN,
        "searching",
        Reason.ORDER_NOT_FOUND,
        "orderNumber PD999 looks like Purple Dot's, which has no such fulfillment order",
        delivery_id="dlv_new1",
    )
    draft = create.draft
    assert (draft.identity, draft.action, draft.rule) == ("?PD999:1Z1", None, None)
    assert (draft.due_at, create.claim) == (NOW + timedelta(seconds=10), None)


def test_search_that_is_over_waits_for_a_person_who_reads_why() -> None:
    draft = draft_of(UNKNOWN, tries=3)

    assert draft.action == Held(
        Reason.ORDER_NOT_FOUND,
        "orderNumber PD999 looks like Purple Dot's, which has no such fulfillment order",
    )
    assert draft.identity == "?PD999:1Z1"


def test_row_that_is_decided_anew_keeps_its_identity() -> None:
    searching = known(
        UNKNOWN,
        status=DeliveryStatus.RETRYING,
        reason=Reason.ORDER_NOT_FOUND,
        fulfillment_order_id=None,
        lines=(),
        identity="?PD999:1Z1",
    )
    held = known(label(), reason=Reason.UNKNOWN_LINE, **HELD)

    assert draft_of(UNKNOWN, deliveries=(searching,), tries=1).identity == searching.identity
    assert draft_of(label(), deliveries=(held,)).identity == held.identity


def test_second_parcel_under_one_number_is_told_apart_by_its_record() -> None:
    plain, of_record = f"{ORDER_ID}:1Z1", f"{ORDER_ID}:1Z1:v2_fulfillment:se-900"
    first = known(label(), identity=plain, **DELIVERED)
    mark = label(ONE_CAP, shipstation_shipment_id="se-481", **MARK)
    taken = known(label(), id="dlv_2", identity=of_record, status=DeliveryStatus.CANCELLED)

    assert draft_of(mark, deliveries=(first,)).identity == of_record
    assert draft_of(mark, deliveries=(first, taken)).identity == f"{plain}:dlv_new1"


def test_delivery_may_stand_under_its_number_or_its_record_with_or_without_an_order() -> None:
    assert list(identities_of(label(), [None, ORDER_ID])) == [
        "?PD100:1Z1",
        "?PD100:1Z1:v2_label:se-501",
        f"{ORDER_ID}:1Z1",
        f"{ORDER_ID}:1Z1:v2_label:se-501",
    ]
    assert (
        next(identities_of(label(number=None), [ORDER_ID])) == f"{ORDER_ID}:record:v2_label:se-501"
    )
    assert next(identities_of(label(number=None, order_number=None), [None])) == (
        "?:record:v2_label:se-501"
    )


def pages_planned(*pages: Page, deliveries: Any = (), limit: int = 9) -> Any:
    numbers = iter(range(1, 99))
    return plan_pages(
        pages,
        OrderLookup(orders=(ORDER,), fresh=(ORDER,), seen_at=NOW),
        Snapshot(tuple(deliveries)),
        policy=POLICY,
        new_id=lambda: f"dlv_new{next(numbers)}",
        allowance=ClaimAllowance(Claim("worker-1", NOW + HOUR), limit),
    )


def page(*shipments: Shipment) -> Page:
    return Page(shipments, PageContext(Lane.LIVE, Trigger.LIVE, NOW, NOW, NOW))


def part(number: int) -> Shipment:
    """A third of the order, in a box of its own."""
    ids = {"record": f"se-{number}", "shipstation_shipment_id": f"se-{number}"}
    return label((ONE_TEE, ONE_TEE, ONE_CAP)[number - 1], number=f"1Z{number}", **ids)


@pytest.mark.parametrize(("limit", "claimed"), [(0, 0), (1, 1), (2, 2), (3, 3), (9, 3)])
def test_pages_share_what_a_worker_may_take(limit: int, claimed: int) -> None:
    plans = pages_planned(page(part(1)), page(part(2)), page(part(3)), limit=limit)

    taken = [delivery for planned in plans for delivery in planned.claimed]
    assert [delivery.id for delivery in taken] == [f"dlv_new{n + 1}" for n in range(claimed)]
    assert all(delivery.status is DeliveryStatus.DELIVERING for delivery in taken)
    claims = [change.claim for planned in plans for change in planned.changes]
    assert claims == [Claim("worker-1", NOW + HOUR)] * claimed + [None] * (3 - claimed)


def test_each_page_sees_what_was_planned_for_those_before_it() -> None:
    again = label(ONE_CAP, number="1Z9", record="se-9", shipstation_shipment_id="se-9")

    plans = pages_planned(page(part(3)), page(again), page(part(3)))

    assert [verdicts(planned) for planned in plans] == [
        [("delivery", None)],
        [("held", Reason.NOTHING_LEFT)],
        [("ignored", Reason.ALREADY_DELIVERED)],
    ]
    assert [len(planned.changes) for planned in plans] == [1, 1, 0]


def test_without_a_worker_nothing_begins_as_claimed() -> None:
    context = PageContext(Lane.LIVE, Trigger.LIVE, NOW, NOW, NOW)

    result = plan(
        [label()],
        OrderLookup(orders=(ORDER,), fresh=(ORDER,), seen_at=NOW),
        Snapshot(),
        policy=POLICY,
        context=context,
        new_id=lambda: "dlv_1",
    )

    [create] = result.changes
    assert isinstance(create, Create)
    assert (create.claim, create.delivery.status) == (None, DeliveryStatus.PENDING)


RESTORED = NOW - 2 * DAY
"""November 2, noon."""


@pytest.mark.parametrize(
    ("ship_date", "lane", "received_at", "is_forgotten"),
    [
        (date(2026, 11, 1), Lane.LIVE, NOW, True),
        (date(2026, 11, 2), Lane.LIVE, RESTORED + 3 * HOUR, False),
        (date(2026, 11, 2), Lane.LIVE, RESTORED + 2 * HOUR, True),
        (date(2026, 11, 2), Lane.SWEEP, NOW, True),
        (date(2026, 11, 2), Lane.REPLAY, NOW, True),
        (date(2026, 11, 12), Lane.SWEEP, NOW, True),
        (date(2026, 11, 13), Lane.SWEEP, NOW, False),
        (date(2026, 11, 13), Lane.LIVE, RESTORED, False),
        (None, Lane.LIVE, RESTORED - DAY, True),
        (None, Lane.LIVE, NOW, False),
        (None, Lane.SWEEP, NOW, True),
    ],
)
def test_what_may_have_been_sent_before_an_older_copy_was_restored(
    ship_date: date | None, lane: Lane, received_at: Any, is_forgotten: bool
) -> None:
    parcel = label(ship_date=ship_date)
    context = PageContext(lane, Trigger.LIVE, received_at, NOW, NOW)

    assert may_be_forgotten(parcel, context, restored_at=RESTORED) is is_forgotten
    assert may_be_forgotten(parcel, context, restored_at=None) is False


def test_what_may_be_forgotten_begins_as_one_whose_answer_was_lost() -> None:
    """Its units are taken; only reading can say whether Purple Dot has them."""
    result = planned(
        label(ONE_CAP),
        label(ONE_CAP, record="se-502", number="1Z2", shipstation_shipment_id="se-481"),
        lane=Lane.SWEEP,
        restored_at=RESTORED,
        limit=9,
    )

    assert verdicts(result) == [("delivery", None), ("held", Reason.NOTHING_LEFT)]
    [create, _] = result.changes
    assert isinstance(create, Create)
    assert create.is_doubtful
    assert (create.claim, result.claimed) == (None, ())


def test_refusal_of_a_provider_says_that_nothing_left_and_no_more() -> None:
    refused = label(ONE_CAP, units(2, "SOCKS"), state=ShipmentState.REJECTED)

    assert draft_of(refused).action == Held(
        Reason.REJECTED_BY_PROVIDER,
        "the fulfillment provider rejected it: nothing was shipped",
        ORDER_ID,
        "#PD100",
    )


def test_held_parcel_was_never_sent_so_it_is_in_no_doubt() -> None:
    result = planned(label(units(9, "TEE")), lane=Lane.SWEEP, restored_at=RESTORED)

    [create] = result.changes
    assert isinstance(create, Create)
    assert not create.is_doubtful


def test_doubtful_row_that_is_decided_anew_stays_doubtful() -> None:
    held = known(label(), reason=Reason.UNKNOWN_LINE, **HELD)

    result = planned(
        label(), v1_label(number="1Z2"), deliveries=(held,), lane=Lane.SWEEP, restored_at=RESTORED
    )

    [redecide, second] = result.changes
    assert isinstance(redecide, Redecide)
    assert redecide.is_doubtful
    assert verdicts(result)[1] == ("held", Reason.TRACKING_CHANGED_AFTER_DELIVERY)
    assert isinstance(second, Create)


def test_order_that_we_may_have_fulfilled_ourselves_is_no_exception_yet() -> None:
    """Its parcels are told again one by one after a restore; reading settles them."""
    fulfilled = an_order(*ORDER.lines, status=ORDER.status.FULFILLED)  # type: ignore[union-attr]  # it has one

    forgotten = planned(label(), orders=(fulfilled,), lane=Lane.SWEEP, restored_at=RESTORED)
    elsewhere = planned(label(), orders=(fulfilled,))

    assert verdicts(forgotten) == [("delivery", None)]
    assert verdicts(elsewhere) == [("held", Reason.ALREADY_FULFILLED_ELSEWHERE)]


def test_goods_left_out_are_named_and_fees_are_not() -> None:
    assert draft_of(
        label(ONE_CAP, ONE_TEE, units(2, "SOCKS"), units(1, "HAT"), units(1))
    ).left_out == ("2 x SOCKS, 1 x HAT")
    assert draft_of(label(ONE_CAP, units(1))).left_out is None


def test_decision_says_what_was_left_out_of_a_delivery() -> None:
    [decision] = planned(label(ONE_CAP, ONE_TEE, units(2, "SOCKS"))).decisions

    assert decision.verdict == "delivery"
    assert decision.detail == "left out, as not on order #PD100: 2 x SOCKS"


def test_same_goods_under_one_number_say_both_parcels() -> None:
    mark = v1_label(record="77", record_kind="v1_fulfillment", shipstation_shipment_id="481")

    draft = draft_of(mark, deliveries=(known(label(), **DELIVERED),))

    assert draft.action == Held(
        Reason.COMBINED_PARCEL,
        "number 1Z1 belongs to delivery dlv_1 already, and ShipStation names another order (481)"
        " with the same goods: it can't be known whether they left once or twice",
        ORDER_ID,
        "#PD100",
    )


def test_record_that_names_another_order_after_it_went_out_says_both() -> None:
    delivered = known(label(), **DELIVERED)

    draft = draft_of(label(reference="PD200"), deliveries=(delivered,), orders=(ORDER, OTHER))

    assert draft.action == Held(
        Reason.AMBIGUOUS_ORDER,
        "ShipStation names #PD200 for this parcel now, but it went out for #PD100 already"
        " (delivery dlv_1)",
        OTHER_ID,
        "#PD200",
    )
    assert draft.identity == f"{OTHER_ID}:1Z1"


def test_new_number_of_a_sent_record_says_both() -> None:
    draft = draft_of(label(number="1Z2"), deliveries=(known(label(), **DELIVERED),))

    assert draft.action == Held(
        Reason.TRACKING_CHANGED_AFTER_DELIVERY,
        "v2_label se-501 has number 1Z2 now, but Purple Dot has its goods with number 1Z1"
        " (delivery dlv_1)",
        ORDER_ID,
        "#PD100",
    )


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"state": ShipmentState.AWAITING_NUMBER}, "the shipment is awaiting number still"),
        ({"state": ShipmentState.UNKNOWN, "problem": "no status"}, "no status"),
    ],
)
def test_what_is_not_known_yet_says_what_it_waits_for(fields: dict[str, Any], told: str) -> None:
    shipment = label(**fields)

    assert planned(shipment).decisions == (Decision(shipment, "waiting", detail=told),)


@pytest.mark.parametrize("is_first_look", [True, False])
def test_parcel_of_another_shop_is_named_by_its_number(is_first_look: bool) -> None:
    theirs = label(reference="SHOP-7")

    assert planned(theirs, is_first_look=is_first_look).decisions == (
        Decision(
            theirs,
            "ignored",
            Reason.NOT_A_PURPLE_DOT_ORDER,
            "nothing on it names a fulfillment order (orderNumber SHOP-7)",
        ),
    )


def test_id_that_is_asked_for_again_is_named() -> None:
    foreign = label(clues=(Clue(ClueKind.ORDER_ID, "external_shipment_id", OTHER_ID),))

    [decision] = planned(
        foreign, orders=(), missing=frozenset({OTHER_ID}), is_first_look=True
    ).decisions

    assert decision == Decision(
        foreign,
        "waiting",
        detail=f"nothing on it names a fulfillment order (external_shipment_id {OTHER_ID})",
    )


def test_line_of_two_orders_that_one_parcel_holds_goes_to_each() -> None:
    """Two rows, and each has its own part of the parcel."""
    mug = an_order(OrderLine("line-mug", 1, "MUG"), id=OTHER_ID, reference="#PD200")
    tee, cup = units(1, "TEE", "line-tee"), units(1, "MUG", "line-mug")
    combined = label(tee, cup, clues=(), order_number="3PL-7")

    result = planned(combined, orders=(ORDER, mug))

    first, second = result.changes
    assert isinstance(first, Create)
    assert isinstance(second, Create)
    assert (first.draft.shipment.items, second.draft.shipment.items) == ((tee,), (cup,))
    assert [decision.rule for decision in result.decisions] == ["line_item_id", "line_item_id"]
    assert [decision.items[0].item for decision in result.decisions] == [tee, cup]
