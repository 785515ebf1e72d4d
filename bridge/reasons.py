"""The closed list of reasons: why an event, a shipment or a delivery stands where it stands, and what a person does next."""

from dataclasses import dataclass
from enum import StrEnum


class Reason(StrEnum):
    """Every reason this product can give. README's table is checked against it."""

    NOT_A_PURPLE_DOT_ORDER = "not_a_purple_dot_order"
    RETURN_LABEL = "return_label"
    VOIDED = "voided"
    NOTHING_SHIPPED = "nothing_shipped"
    EVENT_TYPE_NOT_HANDLED = "event_type_not_handled"
    ALREADY_DELIVERED = "already_delivered"
    AMBIGUOUS_ORDER = "ambiguous_order"
    ORDER_NOT_FOUND = "order_not_found"
    ORDER_VOIDED = "order_voided"
    ALREADY_FULFILLED_ELSEWHERE = "already_fulfilled_elsewhere"
    NOTHING_LEFT = "nothing_left"
    UNKNOWN_LINE = "unknown_line"
    NO_ITEMS = "no_items"
    OVER_QUANTITY = "over_quantity"
    NO_TRACKING_NUMBER = "no_tracking_number"
    UNCONFIRMED_PARTIAL = "unconfirmed_partial"
    VOIDED_AFTER_DELIVERY = "voided_after_delivery"
    TRACKING_CHANGED_AFTER_DELIVERY = "tracking_changed_after_delivery"
    REJECTED_BY_PROVIDER = "rejected_by_provider"
    SCHEDULE_EXHAUSTED = "schedule_exhausted"
    REJECTED_BY_PURPLE_DOT = "rejected_by_purple_dot"
    CREDENTIALS_REFUSED = "credentials_refused"
    BAD_JSON = "bad_json"
    BAD_SHAPE = "bad_shape"
    FOREIGN_URL = "foreign_url"


@dataclass(frozen=True, slots=True)
class Meaning:
    """`verdict` is the status a reason belongs to; `sentence` says what is so, `next_step` what to do about it."""

    verdict: str
    sentence: str
    next_step: str


MEANINGS: dict[Reason, Meaning] = {
    Reason.NOT_A_PURPLE_DOT_ORDER: Meaning(
        "ignored",
        "The parcel belongs to no Purple Dot order.",
        "Nothing. If it should have, put the fulfillment order's reference or id on the ShipStation order and replay the event.",
    ),
    Reason.RETURN_LABEL: Meaning("ignored", "It is a return label: nothing left the warehouse.", "Nothing."),
    Reason.VOIDED: Meaning(
        "ignored", "The label was voided before anything was told to Purple Dot.", "Nothing. A new label is a new shipment."
    ),
    Reason.NOTHING_SHIPPED: Meaning(
        "ignored",
        "ShipStation listed no finished shipment, however often we looked.",
        "Nothing. The sweep finds the shipment if it appears later.",
    ),
    Reason.EVENT_TYPE_NOT_HANDLED: Meaning(
        "ignored",
        "This event type says nothing about shipped goods.",
        "Nothing. Unsubscribe it in ShipStation to save the traffic.",
    ),
    Reason.ALREADY_DELIVERED: Meaning("ignored", "This shipment is known already, from an earlier notification.", "Nothing."),
    Reason.AMBIGUOUS_ORDER: Meaning(
        "held",
        "What the ShipStation order says fits more than one Purple Dot order.",
        "Find the right one in Purple Dot, then `bridge link SHIPMENT FULFILLMENT_ORDER`.",
    ),
    Reason.ORDER_NOT_FOUND: Meaning(
        "held",
        "The number looks like Purple Dot's, but Purple Dot has no such fulfillment order.",
        "Check the number in ShipStation; correct it and retry, or link the order by hand.",
    ),
    Reason.ORDER_VOIDED: Meaning(
        "held",
        "Purple Dot cancelled the order, yet a parcel left.",
        "Stop the parcel or agree with the shopper, then resolve the delivery with what was decided.",
    ),
    Reason.ALREADY_FULFILLED_ELSEWHERE: Meaning(
        "held",
        "Purple Dot says the order is fulfilled, and not all of it by us.",
        "Find out who else posts fulfillments; if the parcel is known there, resolve as delivered.",
    ),
    Reason.NOTHING_LEFT: Meaning(
        "held",
        "Every unit of these lines was already told to Purple Dot.",
        "Was it a second parcel for the same goods? Resolve as cancelled, or correct the order in Purple Dot.",
    ),
    Reason.UNKNOWN_LINE: Meaning(
        "held",
        "None of the parcel's items stands on the Purple Dot order.",
        "Compare SKUs on both sides; correct the one that is wrong and retry.",
    ),
    Reason.NO_ITEMS: Meaning(
        "held",
        "ShipStation names no items for this parcel, so its lines can't be known.",
        "Look what was in the parcel, then fulfil those lines in Purple Dot and resolve as delivered.",
    ),
    Reason.OVER_QUANTITY: Meaning(
        "held",
        "The parcel holds more units of a line than are left to deliver.",
        "Compare the parcel with the order; fulfil what is right in Purple Dot and resolve.",
    ),
    Reason.NO_TRACKING_NUMBER: Meaning(
        "held",
        "The shipment has no tracking number.",
        "Add the number in ShipStation and replay the event, or fulfil it in Purple Dot and resolve as delivered.",
    ),
    Reason.UNCONFIRMED_PARTIAL: Meaning(
        "held",
        "The answer to a partial fulfillment was lost, and Purple Dot does not show whether it arrived.",
        "Open the order in Purple Dot: if the tracking number is there resolve as delivered, else retry.",
    ),
    Reason.VOIDED_AFTER_DELIVERY: Meaning(
        "held",
        "The label was voided after Purple Dot had been told.",
        "Correct the fulfillment in Purple Dot by hand, then resolve.",
    ),
    Reason.TRACKING_CHANGED_AFTER_DELIVERY: Meaning(
        "held",
        "A new tracking number came for goods that Purple Dot already has as sent.",
        "Replace the tracking number in Purple Dot by hand, then resolve as delivered.",
    ),
    Reason.REJECTED_BY_PROVIDER: Meaning(
        "held",
        "The fulfilment provider refused the order: nothing was shipped.",
        "Look at the order in ShipStation; when it ships after all, a new event comes. Resolve as cancelled.",
    ),
    Reason.SCHEDULE_EXHAUSTED: Meaning(
        "dead",
        "Every try of the schedule failed for a passing reason.",
        "See the last error with `bridge show`; when the cause is gone, `bridge retry`.",
    ),
    Reason.REJECTED_BY_PURPLE_DOT: Meaning(
        "dead",
        "Purple Dot refused the fulfillment and would refuse it again.",
        "Read its answer with `bridge show`; mend the order, then `bridge retry` or resolve.",
    ),
    Reason.CREDENTIALS_REFUSED: Meaning(
        "dead",
        "A vendor refused our credentials on every try of the schedule.",
        "Put a valid key into the settings, restart, then `bridge retry`.",
    ),
    Reason.BAD_JSON: Meaning("rejected", "The body is not JSON.", "See who sends it; ShipStation always sends JSON."),
    Reason.BAD_SHAPE: Meaning(
        "rejected", "The body is JSON, but not a notification.", "See who sends it; compare with README's example bodies."
    ),
    Reason.FOREIGN_URL: Meaning(
        "rejected",
        "The `resource_url` does not point at ShipStation, so it is never fetched.",
        "If it is a real ShipStation address, report it; otherwise rotate the webhook token.",
    ),
}
