"""The closed list of reasons: why an event, a shipment or a delivery stands where it stands, and
what a person does next. Pages, commands, alerts and documents all read this one table."""

import csv
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files


class Reason(StrEnum):
    """Every reason this product can give. The table in the documentation is checked against it."""

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
    COMBINED_PARCEL = "combined_parcel"
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


class PersonAction(StrEnum):
    """What a person can do about an event or a delivery."""

    RETRY = "retry"
    REPLAY = "replay"
    LINK = "link"
    CHOOSE_LINES = "choose_lines"
    CONFIRM = "confirm"
    """Answer whether Purple Dot has the number: yes closes it as delivered, no sends it again."""
    RESOLVE_DELIVERED = "delivered"
    RESOLVE_CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Meaning:
    """`verdict` is the status a reason belongs to, `title` what people call it, `sentence` what is
    so. `console_step` and `shell_step` say what to do about it, for a reader of pages and for one
    of commands. Only `bulk_actions` may be offered for many deliveries at once."""

    verdict: str
    title: str
    sentence: str
    console_step: str
    shell_step: str
    primary_action: PersonAction | None
    bulk_actions: tuple[PersonAction, ...]


def _meaning(row: dict[str, str]) -> Meaning:
    primary = row["primary_action"]
    return Meaning(
        verdict=row["verdict"],
        title=row["title"],
        sentence=row["sentence"],
        console_step=row["console_step"],
        shell_step=row["shell_step"],
        primary_action=PersonAction(primary) if primary else None,
        bulk_actions=tuple(PersonAction(action) for action in row["bulk_actions"].split()),
    )


def _read() -> dict[Reason, Meaning]:
    text = files(__package__).joinpath("reasons.csv").read_text(encoding="utf-8")
    return {Reason(row["reason"]): _meaning(row) for row in csv.DictReader(text.splitlines())}


MEANINGS = _read()
"""Each reason with its row of `reasons.csv`."""
