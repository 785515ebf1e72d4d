"""What a person can do about one delivery, and what of it is the right thing to do first. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bridge.domain.events import EXCEPTIONS, DeliveryStatus
from bridge.domain.reasons import MEANINGS, PersonAction, Reason
from bridge.operations.repair import AFTER_DELIVERY, CLOSED

_WAITING = frozenset({DeliveryStatus.PENDING, DeliveryStatus.RETRYING, DeliveryStatus.WAITING})
_LINKABLE = frozenset({Reason.AMBIGUOUS_ORDER, Reason.ORDER_NOT_FOUND})
_CLOSING = frozenset({PersonAction.RESOLVE_DELIVERED, PersonAction.RESOLVE_CANCELLED})


@dataclass(frozen=True, slots=True)
class Choices:
    """`primary` is the right action for the reason; each other says whether it is offered."""

    primary: PersonAction | None = None
    retry: bool = False
    link: bool = False
    choose_lines: bool = False
    confirm: bool = False
    resolve: bool = False
    reopen: bool = False

    @property
    def any(self) -> bool:
        return any(
            (self.retry, self.link, self.choose_lines, self.confirm, self.resolve, self.reopen)
        )

    @property
    def close_as(self) -> str:
        """The way to close it that is chosen beforehand; none where that is not the first thing to
        do."""
        return str(self.primary) if self.primary in _CLOSING else ""


def choices_for(delivery: Mapping[str, Any]) -> Choices:
    """For a delivery as `store.reports` lists it."""
    status = DeliveryStatus(delivery["status"])
    if status in CLOSED:
        return Choices(reopen=delivery["resolved_from"] is not None)
    if status in _WAITING:
        return Choices(primary=PersonAction.RETRY, retry=True)
    if status not in EXCEPTIONS:
        return Choices()  # Whether it arrived is being found out, which must not be hurried.
    reason = Reason(delivery["reason"]) if delivery["reason"] else None
    if reason is None:
        return Choices(primary=PersonAction.RETRY, retry=True, resolve=True)
    meaning = MEANINGS[reason]
    may_retry = PersonAction.RETRY in (meaning.primary_action, *meaning.bulk_actions)
    has_order = delivery["fulfillment_order_id"] is not None
    may_choose = meaning.primary_action is PersonAction.CHOOSE_LINES
    may_choose = may_choose and has_order and bool(delivery["tracking_number"])
    return Choices(
        primary=meaning.primary_action,
        retry=may_retry and reason not in AFTER_DELIVERY,
        link=reason in _LINKABLE and not delivery["line_items"],
        choose_lines=may_choose,
        confirm=meaning.primary_action is PersonAction.CONFIRM,
        resolve=True,
    )
