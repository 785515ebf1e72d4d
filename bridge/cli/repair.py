"""`bridge explain`, `retry`, `link`, `resolve` and `export`: understand a delivery and mend it by
hand."""

import sys
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

import click

from bridge.cli.context import open_services, opened, who
from bridge.cli.output import MOMENT, json_option, story_of, tell, the_one, write_csv
from bridge.domain.deliveries import Delivery
from bridge.domain.errors import BridgeError, RefusedError
from bridge.domain.events import DeliveryStatus
from bridge.domain.orders import FulfillmentOrder
from bridge.operations import repair
from bridge.operations.explain import explain_delivery, explain_event
from bridge.store import repairs, reports
from bridge.store.engine.database import Connection
from bridge.store.reports import Query
from bridge.translate.carriers import Carriers

EXPORTED = (
    "id", "status", "reason", "order_number", "reference", "fulfillment_order_id", "purple_dot_fulfillment_id",
    "shipstation_shipment_id", "shipstation_record_id", "carrier_code", "tracking_company", "tracking_number", "tracking_url",
    "all_tracking_numbers", "line_items", "notify_customer", "attempts", "created_at", "delivered_at",
)  # fmt: skip

Do = Callable[..., str]
"""One of `operations.repair`: connection and delivery in, what became of it out."""

_why = click.option("--reason", "why", help="Why, for those who read it later.")


@click.command()
@click.argument("id_", metavar="ID")
@json_option
def explain(id_: str, as_json: bool) -> None:
    """The trail of decisions for an event or a delivery, in sentences. Also for what was ignored:
    why did nothing happen?"""
    story = story_of(id_)
    sentences = (explain_event if story["id"].startswith("evt_") else explain_delivery)(story)
    tell({"id": story["id"], "explanation": sentences}, sentences, as_json=as_json)


@click.command()
@click.argument("wanted", metavar="ID...", nargs=-1, required=True)
@click.option(
    "--what-is-left",
    is_flag=True,
    help="Held because its lines are in doubt: fulfill all that is left of its order.",
)
@click.option(
    "--yes",
    is_flag=True,
    help="With --what-is-left: do it, after a first call has shown the lines.",
)
@_why
@json_option
def retry(
    wanted: tuple[str, ...], what_is_left: bool, yes: bool, why: str | None, as_json: bool
) -> None:
    """Try deliveries now, as attempts of their own, or dead events (evt_…) anew. What Purple Dot
    already has is refused."""
    do: Do = repair.retry
    if what_is_left:
        with open_services() as services:
            carriers = services.carriers
        fulfill = repair.fulfill_remaining if yes else _show_remaining
        do = partial(fulfill, carriers=carriers, agreed=None)
    _do_to_each(wanted, do, reason=why, as_json=as_json)


@click.command()
@click.argument("shipment", metavar="SHIPMENT")
@click.argument("fulfillment_order", metavar="FULFILLMENT_ORDER")
@_why
@json_option
def link(shipment: str, fulfillment_order: str, why: str | None, as_json: bool) -> None:
    """Bind what was ambiguous to the right order, then let it go on. SHIPMENT is a delivery's id, a
    ShipStation shipment or record id, or a tracking number; FULFILLMENT_ORDER a Purple Dot id or
    reference."""
    do = partial(repair.link, order=_order(fulfillment_order))
    _do_to_each((shipment,), do, reason=why, as_json=as_json)


@click.command()
@click.argument("wanted", metavar="DELIVERY")
@click.option(
    "--as",
    "status",
    type=click.Choice(["delivered", "cancelled"]),
    required=True,
    help="What became of it outside.",
)
@click.option("--reason", "why", required=True, help="Why, for those who read it later.")
@json_option
def resolve(wanted: str, status: str, why: str, as_json: bool) -> None:
    """Close an exception that was mended outside."""
    do = partial(repair.resolve, status=DeliveryStatus(status))
    _do_to_each((wanted,), do, reason=why, as_json=as_json)


@click.command()
@click.option(
    "--since", type=MOMENT, help="An age such as 30d, or an ISO date or time; all when left out."
)
def export(since: datetime | None) -> None:
    """The mapping log as CSV on stdout: which shipment became which fulfillment."""
    with opened() as database, database.read() as connection:
        rows = reports.list_deliveries(connection, Query(since=since, limit=None))
    for row in rows:
        row["line_items"] = "; ".join(
            f"{line['quantity']} x {line['sku'] or line['id']}" for line in row["line_items"]
        )
        row["all_tracking_numbers"] = " ".join(row["all_tracking_numbers"])
    write_csv(sys.stdout, EXPORTED, rows)


def _order(text: str) -> FulfillmentOrder:
    """The order with this id or reference, from Purple Dot itself: a typo must not bind a parcel to
    nothing."""
    with open_services() as services:
        return repair.exactly_one(services.orders_named(text), text)


def _show_remaining(
    connection: Connection, delivery: Delivery, *, carriers: Carriers, **_: Any
) -> str:
    """What would be fulfilled; RefusedError, as it takes --yes to do it."""
    action = repair.remaining_for(connection, delivery, carriers=carriers)
    raise RefusedError(
        f"would tell Purple Dot that {repair.format_lines(action)} of {action.reference} left; "
        "say --yes to do it"
    )


def _do_to_each(wanted: Sequence[str], do: Do, *, reason: str | None, as_json: bool) -> None:
    """One transaction for each; what is refused is shown, the others go on. Exit 1 when any was
    refused."""
    results: list[dict[str, Any]] = []
    with opened() as database:
        for text in wanted:
            try:
                with database.begin() as connection:
                    id_, message = _do_to(connection, text, do, reason, database.now(connection))
                results.append({"id": id_, "done": True, "message": message})
            except BridgeError as exc:
                results.append({"id": text, "done": False, "message": str(exc)})
    tell(results, [f"{row['id']}: {row['message']}" for row in results], as_json=as_json)
    if not all(row["done"] for row in results):
        raise SystemExit(1)


def _do_to(
    connection: Connection, text: str, do: Do, reason: str | None, now: datetime
) -> tuple[str, str]:
    """The id of what was meant, and what became of it."""
    if do is repair.retry and text.startswith("evt_"):
        event_id = the_one(reports.find_ids(connection, text), text)
        message = repair.retry_event(connection, event_id, actor=who(), reason=reason, now=now)
        return event_id, message
    found = {delivery.id: delivery for delivery in repairs.find(connection, text)}
    delivery_id = the_one(list(found), text)
    return delivery_id, do(connection, found[delivery_id], actor=who(), reason=reason, now=now)
