"""One parcel, one order, and what went out before: the rules asked directly."""

from bridge.domain.actions import Action, CreateFulfillment, FulfilledLine, Held
from bridge.domain.events import DeliveryStatus
from bridge.domain.orders import FulfillmentOrder, OrderLine, OrderStatus
from bridge.domain.reasons import Reason
from bridge.domain.shipments import Shipment, ShipmentItem, ShipmentState
from bridge.translate.carriers import Carriers
from bridge.translate.fulfillments import decide
from bridge.translate.matching import Match
from bridge.translate.remaining import Earlier

ID = "7b0e4c52-91d3-4f6a-8a27-3c5d9e1f0a01"
SHAWL, CAP = OrderLine("line-shawl", 2, "SHAWL-RED"), OrderLine("line-cap", 1, "CAP-OAT")
CARRIERS = Carriers()


def an_order(
    *lines: OrderLine, status: OrderStatus | None = OrderStatus.UNFULFILLED
) -> FulfillmentOrder:
    return FulfillmentOrder(ID, "PD100/1", status, lines or (SHAWL, CAP))


def units(quantity: int, sku: str | None = None, line: str | None = None) -> ShipmentItem:
    return ShipmentItem(quantity=quantity, sku=sku, line_item_id=line)


def parcel(
    *,
    number: str | None = "1Z1",
    kind: str = "v1_shipment",
    state: ShipmentState = ShipmentState.SHIPPED,
    notify: bool | None = None,
) -> Shipment:
    return Shipment(
        kind,
        "7",
        state,
        shipstation_shipment_id="480",
        tracking_number=number,
        carrier_code="ups_walleted",
        notify_customer=notify,
    )


def earlier(
    *lines: FulfilledLine,
    number: str = "1Z0",
    status: DeliveryStatus = DeliveryStatus.DELIVERED,
    order: str | None = "480",
    reason: Reason | None = None,
) -> Earlier:
    return Earlier(order, "6", number, status, lines, reason)


def decided(
    *items: ShipmentItem,
    order: FulfillmentOrder | None = None,
    shipment: Shipment | None = None,
    before: tuple[Earlier, ...] = (),
    notify: bool = False,
) -> Action:
    match = Match(order or an_order(), "orderKey", items)
    return decide(
        shipment or parcel(), match, earlier=before, notify_default=notify, carriers=CARRIERS
    )


def lines(action: Action) -> dict[str, int]:
    assert isinstance(action, CreateFulfillment), action
    return {line.id: line.quantity for line in action.lines}


def held(action: Action) -> Held:
    assert isinstance(action, Held), action
    return action
