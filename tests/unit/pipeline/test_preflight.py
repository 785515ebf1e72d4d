"""The look before the POST: fresh knowledge costs no call, stale knowledge is read again, and what
changed stops the delivery."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bridge.domain.actions import Held, Ignored
from bridge.domain.deliveries import Delivery
from bridge.domain.errors import CredentialsError, NotFoundError, TemporaryError, ThrottledError
from bridge.domain.orders import OrderStatus
from bridge.domain.reasons import Reason
from bridge.pipeline.preflight import LABEL_IS_FRESH, ORDER_IS_FRESH, judge_order, look
from tests.support.fakes import Clock, FakeFetcher, FakePurpleDot
from tests.support.rows import ORDER_ID, a_delivery, a_parcel, an_order, v1_label

NOW = Clock().now
MOMENT = timedelta(microseconds=1)


def looked(
    delivery: Delivery, purple_dot: FakePurpleDot | None = None, fetcher: FakeFetcher | None = None
) -> tuple[Held | Ignored | None, list[str]]:
    """The verdict, and the calls it took."""
    purple_dot, fetcher = (
        purple_dot or FakePurpleDot(an_order()),
        fetcher or FakeFetcher(v1_label()),
    )
    verdict = look(delivery, purple_dot=purple_dot, fetcher=fetcher, now=NOW)
    return verdict, [name for name, _ in (*fetcher.calls, *purple_dot.calls)]


def test_fresh_knowledge_costs_no_call() -> None:
    assert looked(a_delivery()) == (None, [])


@pytest.mark.parametrize(
    ("order_age", "label_age", "calls"),
    [
        (ORDER_IS_FRESH, LABEL_IS_FRESH, []),
        (ORDER_IS_FRESH + MOMENT, LABEL_IS_FRESH, ["order"]),
        (ORDER_IS_FRESH, LABEL_IS_FRESH + MOMENT, ["current"]),
        (timedelta(days=2), timedelta(days=2), ["current", "order"]),
        (None, None, ["current", "order"]),
    ],
)
def test_only_what_is_stale_is_read_again(
    order_age: timedelta | None, label_age: timedelta | None, calls: list[str]
) -> None:
    ages = {"order_seen_at": order_age, "label_seen_at": label_age}
    delivery = a_delivery(
        **{name: None if age is None else NOW - age for name, age in ages.items()}
    )

    assert looked(delivery) == (None, calls)


def test_label_voided_meanwhile_cancels_without_asking_purple_dot() -> None:
    verdict, calls = looked(
        a_delivery(label_seen_at=None, order_seen_at=None),
        fetcher=FakeFetcher(v1_label(voided=True)),
    )

    assert isinstance(verdict, Ignored)
    assert (verdict.reason, calls) == (Reason.VOIDED, ["current"])


def test_label_that_is_listed_no_more_is_tried_again_later() -> None:
    with pytest.raises(TemporaryError, match="v1_shipment 501"):
        looked(a_delivery(label_seen_at=None), fetcher=FakeFetcher())


def test_inline_row_has_no_label_to_look_at() -> None:
    told = a_parcel(record_kind="inline_row", record="se-1:1Z1")

    assert looked(a_delivery(shipment=told, label_seen_at=None)) == (None, [])


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (OrderStatus.VOIDED, Reason.ORDER_VOIDED),
        (OrderStatus.FULFILLED, Reason.ALREADY_FULFILLED_ELSEWHERE),
        (OrderStatus.UNFULFILLED, None),
        (None, None),
    ],
)
def test_order_that_takes_no_goods_any_more_is_held(
    status: OrderStatus | None, reason: Reason | None
) -> None:
    verdict, _ = looked(a_delivery(order_seen_at=None), FakePurpleDot(an_order(status=status)))

    assert (verdict.reason if verdict else None) == reason
    assert verdict is None or (
        isinstance(verdict, Held) and "#PD100" in verdict.detail and "1Z1" in verdict.detail
    )


def test_parcel_without_a_number_can_be_told_about_too() -> None:
    held = judge_order(replace(a_delivery(), tracking=None), an_order(status=OrderStatus.VOIDED))

    assert held is not None
    assert "without number" in held.detail


@pytest.mark.parametrize(
    "error",
    [TemporaryError("busy"), ThrottledError("wait"), CredentialsError("no"), NotFoundError("gone")],
)
def test_errors_of_the_clients_pass_through(error: Exception) -> None:
    purple_dot, fetcher = FakePurpleDot(), FakeFetcher()
    purple_dot.script("order", error)
    fetcher.script("current", error)

    with pytest.raises(type(error)):
        looked(a_delivery(order_seen_at=None), purple_dot)
    with pytest.raises(type(error)):
        looked(a_delivery(label_seen_at=None), fetcher=fetcher)
    assert purple_dot.asked("order") == [ORDER_ID]
