"""`bridge events`: the webhooks that came in."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.listing import print_list
from bridge.cli.options import list_options
from bridge.cli.output import Column, Rows, age_column
from bridge.domain.events import DeliveryStatus, EventStatus

if TYPE_CHECKING:
    from bridge.store.engine.database import Connection

_WORST_FIRST = (DeliveryStatus.DEAD, DeliveryStatus.HELD, DeliveryStatus.UNCONFIRMED)


def with_parcels(connection: "Connection", rows: Rows) -> Rows:
    """Each webhook with its parcels, by which a person knows it."""
    from bridge.store import reports

    parcels = reports.parcels_of(connection, [row["id"] for row in rows])
    return [{**row, "parcels": parcels.get(row["id"], [])} for row in rows]


def _status(row: Mapping[str, Any]) -> str:
    """The worst that became of its parcels: a webhook that was processed is not well yet."""
    statuses = {parcel["status"] for parcel in row["parcels"]}
    worst = next((status for status in _WORST_FIRST if status in statuses), None)
    return worst or str(row["status"])


def _parcels(row: Mapping[str, Any]) -> str:
    """The order of one, or what became of many."""
    parcels = row["parcels"]
    if len(parcels) == 1:
        [parcel] = parcels
        order = parcel["reference"] or parcel["order_number"] or "no order"
        return f"{order} {parcel['status']}"
    counts = Counter(parcel["status"] for parcel in parcels)
    return ", ".join(f"{count} {status}" for status, count in counts.items())


COLUMNS = (
    age_column("received_at"),
    Column("event_type", 9),
    Column("status", 9, status_of=_status),
    Column("reason", 11),
    Column("parcels", 16, _parcels, status_of=_status),
    Column("repeats", 7, lambda row: row["duplicates"] or "-", needed=False),
    Column("id", 17),
)


@click.command(
    epilog="""\b
    Examples:
      bridge events --since yesterday
      bridge events --status ignored --reason not_a_purple_dot_order
    """
)
@list_options(EventStatus)
def events(as_json: bool, **options: Any) -> None:
    """List webhooks, newest first. `bridge explain ID` says what became of one."""
    from bridge.store import reports

    print_list(reports.list_events, options, COLUMNS, as_json=as_json, add=with_parcels)
