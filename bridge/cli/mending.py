"""`bridge explain`, `retry`, `link`, `resolve` and `export`: understand a delivery and mend it by hand."""

import csv
import sys
import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any

import click

from bridge.cli.looking import MOMENT, ask, find_one, printable, story_of, to_json
from bridge.cli.settings import load_settings
from bridge.errors import BridgeError, NotFoundError, RefusedError
from bridge.events import DeliveryStatus
from bridge.explain import explain_delivery, explain_event
from bridge.orders import FulfillmentOrder, normalise_reference
from bridge.place import fulfil_rest
from bridge.store import mending, orders, reports
from bridge.store.database import Connection
from bridge.store.deliveries import Delivery
from bridge.store.reports import Query
from bridge.translate.matching import is_uuid

EXPORTED = (
    "id", "status", "reason", "order_number", "reference", "fulfillment_order_id", "purple_dot_fulfillment_id",
    "shipstation_shipment_id", "shipstation_record_id", "carrier_code", "tracking_company", "tracking_number", "tracking_url",
    "all_tracking_numbers", "line_items", "notify_customer", "attempts", "created_at", "delivered_at",
)  # fmt: skip


@click.command()
@click.argument("id_", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def explain(id_: str, as_json: bool) -> None:
    """The trail of decisions for an event or a delivery, in sentences. Also for what was ignored: why did nothing happen?"""
    found = find_one(id_)
    sentences = (explain_event if found.startswith("evt_") else explain_delivery)(story_of(found))
    click.echo(to_json({"id": found, "explanation": sentences}) if as_json else "\n".join(printable(line) for line in sentences))


@click.command()
@click.argument("wanted", metavar="DELIVERY...", nargs=-1, required=True)
@click.option("--what-is-left", is_flag=True, help="Held because its lines are in doubt: fulfil all that is left of its order.")
@click.option("--yes", is_flag=True, help="With --what-is-left: do it, after a first call has shown the lines.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def retry(wanted: tuple[str, ...], what_is_left: bool, yes: bool, as_json: bool) -> None:
    """Try deliveries now, as attempts of their own. What Purple Dot already has is refused."""

    def act(connection: Connection, delivery: Delivery, now: datetime) -> str:
        if not what_is_left:
            mending.retry(connection, delivery, now=now)
            return "is tried again now"
        action = fulfil_rest(connection, delivery, carriers=own_carriers(load_settings()), now=now)
        lines = ", ".join(f"{line.quantity} x {line.sku or line.id}" for line in action.lines)
        if not yes:  # Raising takes all of it back.
            raise RefusedError(f"would tell Purple Dot that {lines} of {action.reference} left; say --yes to do it")
        return f"goes out now with {lines} of {action.reference}"

    from bridge.app import own_carriers

    _act_on(wanted, act, as_json=as_json)


@click.command()
@click.argument("shipment", metavar="SHIPMENT")
@click.argument("fulfillment_order", metavar="FULFILLMENT_ORDER")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def link(shipment: str, fulfillment_order: str, as_json: bool) -> None:
    """Bind what was ambiguous to the right order, then let it go on. SHIPMENT is a delivery's id, a ShipStation shipment or record id, or
    a tracking number; FULFILLMENT_ORDER a Purple Dot id or reference."""
    order = _order(fulfillment_order)

    def act(connection: Connection, delivery: Delivery, now: datetime) -> str:
        orders.remember(connection, [order], now=now)
        mending.link(connection, delivery, fulfillment_order_id=order.id, reference=order.reference, now=now)
        return f"is linked to {order.reference} and goes on"

    _act_on((shipment,), act, as_json=as_json)


@click.command()
@click.argument("wanted", metavar="DELIVERY")
@click.option("--as", "status", type=click.Choice(["delivered", "cancelled"]), required=True, help="What became of it outside.")
@click.option("--reason", "why", required=True, help="Why, for those who read it later.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def resolve(wanted: str, status: str, why: str, as_json: bool) -> None:
    """Close an exception that was mended outside."""

    def act(connection: Connection, delivery: Delivery, now: datetime) -> str:
        mending.resolve(connection, delivery, status=DeliveryStatus(status), why=why, now=now)
        return f"is closed as {status}"

    _act_on((wanted,), act, as_json=as_json)


@click.command()
@click.option("--since", type=MOMENT, help="An age such as 30d, or an ISO date or time; all when left out.")
def export(since: datetime | None) -> None:
    """The mapping log as CSV on stdout: which shipment became which fulfillment."""
    rows = ask(lambda connection: reports.list_deliveries(connection, Query(since=since, limit=None)))
    writer = csv.DictWriter(sys.stdout, EXPORTED, extrasaction="ignore")
    writer.writeheader()
    for row in rows:
        lines = "; ".join(f"{line['quantity']} x {line['sku'] or line['id']}" for line in row["line_items"])
        flat = {"line_items": lines, "all_tracking_numbers": " ".join(row["all_tracking_numbers"])}
        writer.writerow({name: harmless(value) for name, value in (row | flat).items()})


def harmless(value: Any) -> Any:
    """A spreadsheet must not run what came from outside. https://owasp.org/www-community/attacks/CSV_Injection"""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _order(text: str) -> FulfillmentOrder:
    """The order with this id or reference, from Purple Dot itself: a typo must not bind a parcel to nothing."""
    from bridge.app import create_clients, open_database

    settings = load_settings()
    database = open_database(settings)
    _fetcher, purple_dot = create_clients(settings, database, stopping=threading.Event())
    try:
        if is_uuid(text):
            return purple_dot.order(text)
        found = [one for one in purple_dot.orders_by_reference([text]) if normalise_reference(one.reference) == normalise_reference(text)]
    except NotFoundError as exc:
        raise click.ClickException(f"Purple Dot has no fulfillment order {text}. Copy its id or reference from there.") from exc
    except BridgeError as exc:
        raise click.ClickException(f"Purple Dot could not be asked: {exc}") from exc
    finally:
        database.close()
    if len(found) != 1:
        told = "no fulfillment order" if not found else f"{len(found)} fulfillment orders"
        raise click.ClickException(f"Purple Dot has {told} with the reference {text}. Give the id instead.")
    return found[0]


def _act_on(wanted: tuple[str, ...], act: Callable[[Connection, Delivery, datetime], str], *, as_json: bool) -> None:
    """One transaction for each; what is refused is told, the others go on. Exit 1 when any was refused."""
    from bridge.app import open_database

    database = open_database(load_settings())
    results: list[dict[str, Any]] = []
    for text in wanted:
        try:
            with database.begin() as connection:
                delivery = _one(mending.find(connection, text), text)
                results.append({"id": delivery.id, "done": True, "message": act(connection, delivery, database.now(connection))})
        except BridgeError as exc:
            results.append({"id": text, "done": False, "message": str(exc)})
    database.close()
    click.echo(to_json(results) if as_json else "\n".join(printable(f"{row['id']}: {row['message']}") for row in results))
    if not all(row["done"] for row in results):
        raise SystemExit(1)


def _one(found: list[Delivery], text: str) -> Delivery:
    if len(found) == 1:
        return found[0]
    told = "no delivery fits" if not found else f"several fit: {', '.join(one.id for one in found)}"
    raise RefusedError(f"{text!r}: {told}; `bridge deliveries --search` lists them")
