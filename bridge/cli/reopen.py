"""`bridge reopen`: undo a resolve."""

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
      bridge reopen dlv_01a228166c17 --reason "closed the wrong one"
    """
)
@click.argument("text", metavar="DELIVERY")
@required_reason_option
@json_option
def reopen(text: str, reason: str, as_json: bool) -> None:
    """Undo a resolve: the exception is back as it was, with its first reason. Nothing is posted."""
    from bridge.operations import repair

    by = actor()

    def reopen_one(connection: "Connection", text: str, now: datetime) -> tuple[str, str]:
        delivery = one_delivery(connection, text)
        outcome = repair.reopen(connection, delivery, actor=by, reason=reason, now=now)
        return delivery.id, outcome

    repair_each([text], reopen_one, as_json=as_json)
