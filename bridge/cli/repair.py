"""`bridge explain`, `retry`, `link`, `resolve` and `export`: understand a delivery and mend it by
hand."""

import sys
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import click

from bridge.cli.context import open_services, opened, who
from bridge.cli.output import MOMENT, json_option, story_of, tell, the_one, write_csv
from bridge.domain.errors import BridgeError
from bridge.domain.events import DeliveryStatus
from bridge.domain.orders import FulfillmentOrder
from bridge.operations import repair
from bridge.operations.explain import explain_delivery, explain_event
from bridge.store import mending, reports
from bridge.store.reports import Query

EXPORTED = (
    "id", "status", "reason", "order_number", "reference", "fulfillment_order_id", "purple_dot_fulfillment_id",
    "shipstation_shipment_id", "shipstation_record_id", "carrier_code", "tracking_company", "tracking_number", "tracking_url",
    "all_tracking_numbers", "line_items", "notify_customer", "attempts", "created_at", "delivered_at",
)  # fmt: skip

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
    act: repair.Act = repair.retry
    if what_is_left:
        with open_services() as services:
            carriers = services.carriers
        act = repair.fulfill_what_is_left(carriers, agrees=lambda _: yes, ask="say --yes to do it")
    _act_on("retry", wanted, act, why=why, as_json=as_json)


@click.command()
@click.argument("shipment", metavar="SHIPMENT")
@click.argument("fulfillment_order", metavar="FULFILLMENT_ORDER")
@_why
@json_option
def link(shipment: str, fulfillment_order: str, why: str | None, as_json: bool) -> None:
    """Bind what was ambiguous to the right order, then let it go on. SHIPMENT is a delivery's id, a
    ShipStation shipment or record id, or a tracking number; FULFILLMENT_ORDER a Purple Dot id or
    reference."""
    _act_on(
        "link", (shipment,), repair.link_to(_order(fulfillment_order)), why=why, as_json=as_json
    )


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
    _act_on(
        "resolve",
        (wanted,),
        repair.resolve_as(DeliveryStatus(status), why),
        why=why,
        as_json=as_json,
    )


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
        return repair.the_only(services.orders_named(text), text)


def _act_on(
    what: str, wanted: Sequence[str], act: repair.Act, *, why: str | None, as_json: bool
) -> None:
    """One transaction for each; what is refused is told, the others go on. Exit 1 when any was
    refused."""
    results: list[dict[str, Any]] = []
    with opened() as database:
        for text in wanted:
            try:
                with database.begin() as connection:
                    by: dict[str, Any] = {"who": who(), "why": why, "now": database.now(connection)}
                    if act is repair.retry and text.startswith("evt_"):
                        id_ = the_one(reports.find_ids(connection, text), text)
                        told = repair.retry_event(connection, id_, **by)
                    else:
                        found = {one.id: one for one in mending.find(connection, text)}
                        id_ = the_one(list(found), text)
                        told = repair.on_delivery(connection, found[id_], what, act, **by)
                results.append({"id": id_, "done": True, "message": told})
            except BridgeError as exc:
                results.append({"id": text, "done": False, "message": str(exc)})
    tell(results, [f"{row['id']}: {row['message']}" for row in results], as_json=as_json)
    if not all(row["done"] for row in results):
        raise SystemExit(1)
