"""The look before the POST: fresh knowledge costs no call, stale knowledge is read again, and what
changed stops the delivery."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bridge.domain.actions import FulfilledLine, Held, Ignored, Tracking
from bridge.domain.deliveries import Delivery
from bridge.domain.errors import CredentialsError, NotFoundError, TemporaryError, ThrottledError
from bridge.domain.events import DeliveryStatus, Record
from bridge.domain.orders import OrderLine, OrderStatus
from bridge.domain.reasons import Reason
from bridge.domain.shipments import ShipmentState
from bridge.pipeline.preflight import (
    LABEL_IS_FRESH,
    ORDER_IS_FRESH,
    DecideAgain,
    Verdict,
    judge_order,
    look,
)
from tests.support.fakes import Clock, FakeFetcher, FakePurpleDot
from tests.support.rows import ORDER_ID, a_delivery, a_parcel, an_order, v1_label

NOW = Clock().now
MOMENT = timedelta(microseconds=1)


def looked(
    delivery: Delivery, purple_dot: FakePurpleDot | None = None, fetcher: FakeFetcher | None = None
) -> tuple[Verdict, list[str]]:
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
        (OrderStatus.UNKNOWN, Reason.ORDER_VOIDED),
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


def test_label_known_to_be_void_needs_no_call() -> None:
    void = a_parcel(record_kind="inline_row", record="1:1Z1", state=ShipmentState.VOIDED)

    verdict, calls = looked(a_delivery(shipment=void, label_seen_at=None))

    assert isinstance(verdict, Ignored)
    assert calls == []


@pytest.mark.parametrize(
    "now", [{"number": "1Z2"}, {"number": ""}, {"carrierCode": "fedex"}, {"carrierCode": None}]
)
def test_what_shipstation_says_otherwise_now_is_decided_anew(now: dict[str, Any]) -> None:
    fetcher = FakeFetcher(v1_label(**now))
    if not now.get("number", "1Z1"):
        with pytest.raises(TemporaryError, match="awaiting_number"):
            looked(a_delivery(label_seen_at=None), fetcher=fetcher)
        return

    verdict, _ = looked(a_delivery(label_seen_at=None), fetcher=fetcher)

    assert isinstance(verdict, DecideAgain)


def test_number_in_another_spelling_is_the_same() -> None:
    fetcher = FakeFetcher(v1_label(number=" 1z-1"))

    assert looked(a_delivery(label_seen_at=None), fetcher=fetcher)[0] is None


@pytest.mark.parametrize(
    "lines",
    [
        (OrderLine("line-shawl", 1, "SHAWL-RED"), OrderLine("line-cap", 1)),
        (OrderLine("line-shawl", 2, "SHAWL-RED"),),
        (OrderLine("line-new", 2, "SHAWL-RED"), OrderLine("line-cap", 1)),
    ],
)
def test_order_with_other_lines_is_matched_anew(lines: tuple[OrderLine, ...]) -> None:
    verdict, _ = looked(a_delivery(order_seen_at=None), FakePurpleDot(an_order(*lines)))

    assert isinstance(verdict, DecideAgain)


def test_units_that_others_took_leave_no_room() -> None:
    other = replace(a_delivery(FulfilledLine("line-cap", 1)), id="dlv_2")

    assert isinstance(judge_order(a_delivery(), an_order(), [other]), DecideAgain)
    assert judge_order(a_delivery(), an_order(), []) is None


def test_units_that_others_took_count_in_the_look_at_a_stale_order() -> None:
    other = replace(a_delivery(FulfilledLine("line-cap", 1)), id="dlv_2")

    verdict = look(
        a_delivery(order_seen_at=None),
        others=[other],
        purple_dot=FakePurpleDot(an_order()),
        fetcher=FakeFetcher(),
        now=NOW,
    )

    assert isinstance(verdict, DecideAgain)


def test_order_without_units_says_nothing_about_its_lines() -> None:
    with pytest.raises(TemporaryError, match="#PD100"):
        judge_order(a_delivery(), an_order(OrderLine("line-cap", 0)))


SENT = {"status": DeliveryStatus.DELIVERED, "id": "dlv_2"}


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (v1_label(record="500", number="1Z0"), None),
        (v1_label(record="500", number="1Z0", voided=True), "is void"),
        (None, "can't be read"),
    ],
)
def test_v1_label_of_goods_that_were_sent_before_looks_at_the_first_label(
    record: Record | None, reason: str | None
) -> None:
    twin = replace(a_delivery(shipment=a_parcel(record="500", number="1Z0")), **SENT)
    fetcher = FakeFetcher(*([record] if record else []))

    verdict = look(
        a_delivery(), others=[twin], purple_dot=FakePurpleDot(), fetcher=fetcher, now=NOW
    )

    if reason is None:
        assert verdict is None
    else:
        assert isinstance(verdict, Held)
        assert verdict.reason is Reason.TRACKING_CHANGED_AFTER_DELIVERY
        assert reason in verdict.detail
    assert [name for name, _ in fetcher.calls] == ["current"]


@pytest.mark.parametrize(
    "changes",
    [
        {"status": DeliveryStatus.PENDING},
        {"lines": (FulfilledLine("line-cap", 1),)},
        {"shipment": a_parcel(record="500", number="1Z0", shipstation_shipment_id="481")},
        {"shipment": a_parcel(record="480:1Z0", record_kind="inline_row")},
    ],
)
def test_what_is_no_twin_costs_no_call(changes: dict[str, Any]) -> None:
    twin = replace(a_delivery(shipment=a_parcel(record="500", number="1Z0")), **(SENT | changes))
    fetcher = FakeFetcher()

    assert (
        look(a_delivery(), others=[twin], purple_dot=FakePurpleDot(), fetcher=fetcher, now=NOW)
        is None
    )
    assert fetcher.calls == []


def told(call: Any) -> str:
    """What a person reads of a verdict, or of why none could be had."""
    try:
        verdict = call()
    except TemporaryError as exc:
        return str(exc)
    assert verdict is not None
    return str(verdict.detail)


LONG_AGO = {"order_seen_at": None, "label_seen_at": None}


@pytest.mark.parametrize(
    ("order", "label", "sentence"),
    [
        (
            {"status": OrderStatus.VOIDED},
            {},
            "#PD100 was cancelled in Purple Dot, but parcel 1Z1 left",
        ),
        (
            {"status": OrderStatus.UNKNOWN},
            {},
            "#PD100 has a status that Purple Dot does not document, yet parcel 1Z1 left",
        ),
        (
            {"status": OrderStatus.FULFILLED},
            {},
            "#PD100 is fulfilled in Purple Dot, but parcel 1Z1 was not sent by us",
        ),
        (
            {"lines": (OrderLine("line-shawl", 1, "SHAWL-RED"),)},
            {},
            "the lines of #PD100 have changed in Purple Dot",
        ),
        ({"lines": ()}, {}, "Purple Dot shows no units of #PD100"),
        ({}, {"voided": True}, "the label was voided before anything was sent"),
        ({}, {"number": "1Z2"}, "the number is 1Z2 now, no more 1Z1"),
        ({}, {"carrierCode": "fedex"}, "the carrier has changed in ShipStation"),
        (
            {},
            {"record": "502"},
            "ShipStation lists v1_shipment 501 no more; it can't be known whether it was voided",
        ),
        (
            {},
            {"number": ""},
            "v1_shipment 501 is awaiting_number at ShipStation; it can't be known whether it left",
        ),
    ],
)
def test_sentence_says_what_was_read(
    order: dict[str, Any], label: dict[str, Any], sentence: str
) -> None:
    purple_dot = FakePurpleDot(replace(an_order(), **order))
    fetcher = FakeFetcher(v1_label(**label))

    assert told(lambda: looked(a_delivery(**LONG_AGO), purple_dot, fetcher)[0]) == sentence


def test_void_that_the_ledger_knows_is_told_in_the_same_words() -> None:
    void = a_delivery(shipment=a_parcel(state=ShipmentState.VOIDED))

    assert looked(void)[0] == Ignored(
        Reason.VOIDED, "the label was voided before anything was sent"
    )


def test_parcel_without_a_number_is_told_as_such() -> None:
    voided = an_order(status=OrderStatus.VOIDED)

    assert told(lambda: judge_order(a_delivery(tracking=None), voided)) == (
        "#PD100 was cancelled in Purple Dot, but parcel without number left"
    )


def a_twin(**fields: Any) -> Delivery:
    """The same goods under another number, sent before."""
    shipment = a_parcel(record="500", number="1Z0")
    given = {"shipment": shipment, "tracking": Tracking("1Z0", "UPS", None)}
    return replace(a_delivery(), **(SENT | given | fields))


def of_twins(*others: Delivery, fetcher: FakeFetcher, **fields: Any) -> Verdict:
    return look(
        a_delivery(**fields), others=others, purple_dot=FakePurpleDot(), fetcher=fetcher, now=NOW
    )


@pytest.mark.parametrize(
    ("records", "fields", "sentence"),
    [
        (
            [v1_label(record="500", number="1Z0", voided=True)],
            {},
            "Purple Dot has the same goods with number 1Z0 (delivery dlv_2), and that label is"
            " void: this one may have replaced it",
        ),
        (
            [],
            {"tracking": None},
            "Purple Dot has the same goods with number without number (delivery dlv_2), and that"
            " label can't be read, so it may be void: this one may have replaced it",
        ),
    ],
)
def test_label_that_may_have_replaced_another_says_which(
    records: list[Record], fields: dict[str, Any], sentence: str
) -> None:
    fetcher = FakeFetcher(*records)

    assert told(lambda: of_twins(a_twin(**fields), fetcher=fetcher)) == sentence


def test_each_twin_is_looked_at_until_one_is_void() -> None:
    good = v1_label(record="500", number="1Z0")
    void = v1_label(record="499", number="1Z9", voided=True)
    second = a_twin(id="dlv_3", shipment=a_parcel(record="499", number="1Z9"))
    fetcher = FakeFetcher(good, void)

    verdict = of_twins(a_delivery(), a_twin(), second, fetcher=fetcher)

    assert isinstance(verdict, Held)
    assert "(delivery dlv_3)" in verdict.detail
    assert fetcher.asked("current") == [("v1_shipment", "500"), ("v1_shipment", "499")]


def test_twin_whose_api_has_no_key_any_more_can_not_be_read() -> None:
    fetcher = FakeFetcher()
    fetcher.script("current", CredentialsError("no key"))

    assert "can't be read" in told(lambda: of_twins(a_twin(), fetcher=fetcher))


@pytest.mark.parametrize(
    ("mine", "theirs", "is_twin"),
    [
        ({}, {"record_kind": "v2_label", "shipstation_shipment_id": "se-480"}, True),
        ({}, {"record_kind": "v2_label", "shipstation_shipment_id": "se-481"}, True),
        (
            {},
            {
                "record_kind": "v2_label",
                "shipstation_shipment_id": "se-481",
                "order_number": "PD200",
            },
            False,
        ),
        (
            {"order_number": None},
            {
                "record_kind": "v2_label",
                "shipstation_shipment_id": "se-481",
                "order_number": None,
            },
            False,
        ),
        ({}, {"record_kind": "v1_fulfillment", "shipstation_shipment_id": "481"}, False),
        ({"record_kind": "v2_label"}, {}, False),
    ],
)
def test_twin_is_of_the_same_order_by_its_id_or_at_the_other_api_by_its_number(
    mine: dict[str, Any], theirs: dict[str, Any], is_twin: bool
) -> None:
    fetcher = FakeFetcher()
    delivery = a_delivery(shipment=replace(a_parcel(), **mine))
    twin = a_twin(shipment=replace(a_parcel(record="500", number="1Z0"), **theirs))

    look(delivery, others=[twin], purple_dot=FakePurpleDot(), fetcher=fetcher, now=NOW)

    assert bool(fetcher.calls) is is_twin


def test_units_of_several_others_and_of_a_line_named_twice_are_summed() -> None:
    cap = OrderLine("line-cap", 1, "CAP-OAT")
    order = an_order(cap, cap)
    one_cap = (FulfilledLine("line-cap", 1),)
    other = a_twin(lines=one_cap)

    assert judge_order(a_delivery(*one_cap), order, [other]) is None
    assert isinstance(judge_order(a_delivery(*one_cap), order, [other, other]), DecideAgain)


def test_order_is_asked_for_by_its_id_and_the_label_by_its_record() -> None:
    purple_dot, fetcher = FakePurpleDot(an_order()), FakeFetcher(v1_label())

    assert looked(a_delivery(**LONG_AGO), purple_dot, fetcher)[0] is None
    assert purple_dot.asked("order") == [ORDER_ID]
    assert fetcher.asked("current") == [("v1_shipment", "501")]
