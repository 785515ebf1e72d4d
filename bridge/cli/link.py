"""`bridge link`: a person chooses the order of a parcel."""

from datetime import datetime
from typing import TYPE_CHECKING

import click

from bridge.cli.context import actor, open_existing_services
from bridge.cli.options import json_option, reason_option
from bridge.cli.repair import one_delivery, repair_each

if TYPE_CHECKING:
    from bridge.store.engine.database import Connection


@click.command(
    epilog="""\b
    Example:
      bridge link dlv_01a228166c17 PD1391279/1 --reason "the blue box"
    """
)
@click.argument("shipment", metavar="SHIPMENT")
@click.argument("fulfillment_order", metavar="FULFILLMENT_ORDER")
@reason_option
@json_option
def link(shipment: str, fulfillment_order: str, reason: str | None, as_json: bool) -> None:
    """Choose the order of an ambiguous parcel, which then goes out. SHIPMENT is a delivery's id, a
    ShipStation shipment or record id, or a tracking number; FULFILLMENT_ORDER a Purple Dot id or
    reference."""
    from bridge.operations import repair

    with open_existing_services() as services:
        # Looked for here first: only then is it worth a call to Purple Dot.
        with services.database.read() as connection:
            delivery_id = one_delivery(connection, shipment).id
        # From Purple Dot itself: a typo must not bind a parcel to nothing.
        candidates = services.orders_named(fulfillment_order)
    order = repair.exactly_one(candidates, fulfillment_order)
    by = actor()

    def link_one(connection: "Connection", text: str, now: datetime) -> tuple[str, str]:
        delivery = one_delivery(connection, text)
        outcome = repair.link(connection, delivery, order=order, actor=by, reason=reason, now=now)
        return delivery.id, outcome

    repair_each([delivery_id], link_one, as_json=as_json)
