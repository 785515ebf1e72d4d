"""The closed list of reasons: why an event, a shipment or a delivery stands where it stands, and
what a person does next."""

import csv
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files


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
    """`verdict` is the status a reason belongs to; `sentence` says what is so, `next_step` what to
    do about it."""

    verdict: str
    sentence: str
    next_step: str


def _read() -> dict[Reason, Meaning]:
    rows = csv.DictReader(
        files(__package__).joinpath("reasons.csv").read_text(encoding="utf-8").splitlines()
    )
    return {
        Reason(row["reason"]): Meaning(row["verdict"], row["sentence"], row["next_step"])
        for row in rows
    }


MEANINGS = _read()
"""Each reason with its row of `reasons.csv`."""
