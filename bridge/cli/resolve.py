"""`bridge resolve`: close an exception that was settled elsewhere."""

from datetime import datetime
from typing import TYPE_CHECKING

import click

from bridge.cli.context import actor
from bridge.cli.options import json_option
from bridge.cli.repair import one_delivery, repair_each, required_reason_option

if TYPE_CHECKING:
    from bridge.store.engine.database import Connection


@click.command(
    epilog="""\b
    Example:
      bridge resolve dlv_01a228166c17 --as delivered --reason "entered by hand"
    """
)
@click.argument("text", metavar="DELIVERY")
@click.option(
    "--as",
    "status",
    type=click.Choice(["delivered", "cancelled"]),
    required=True,
    help="What became of it elsewhere.",
)
@required_reason_option
@json_option
def resolve(text: str, status: str, reason: str, as_json: bool) -> None:
    """Close an exception that was settled elsewhere. Nothing is posted; `bridge reopen` undoes
    it."""
    from bridge.domain.events import DeliveryStatus
    from bridge.operations import repair

    by = actor()

    def resolve_one(connection: "Connection", text: str, now: datetime) -> tuple[str, str]:
        delivery = one_delivery(connection, text)
        outcome = repair.resolve(
            connection,
            delivery,
            status=DeliveryStatus(status),
            actor=by,
            reason=reason,
            now=now,
        )
        return delivery.id, outcome

    repair_each([text], resolve_one, as_json=as_json)
