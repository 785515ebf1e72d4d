"""What `retry`, `link`, `resolve` and `reopen` have in common: one transaction for each delivery,
and what became of it."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.context import open_database
from bridge.cli.listing import exactly_one
from bridge.cli.output import emit
from bridge.domain.errors import BridgeError

if TYPE_CHECKING:
    from bridge.domain.deliveries import Delivery
    from bridge.store.engine.database import Connection

Repair = Callable[["Connection", str, datetime], tuple[str, str]]
"""Of the delivery or event that a text names, at this time: its id, and what became of it."""

required_reason_option = click.option(
    "--reason", required=True, help="Why, for those who read it later."
)


def repair_each(texts: Sequence[str], repair: Repair, *, as_json: bool) -> None:
    """What is refused is shown, the others go on. Exit 1 when any was refused."""
    results: list[dict[str, Any]] = []
    with open_database() as database:
        for text in texts:
            try:
                with database.begin() as connection:
                    id_, message = repair(connection, text, database.now(connection))
                results.append({"id": id_, "done": True, "message": message})
            except BridgeError as exc:
                results.append({"id": text, "done": False, "message": str(exc)})
    emit(results, map(_line, results), as_json=as_json)
    if not all(result["done"] for result in results):
        raise SystemExit(1)


def _line(result: dict[str, Any]) -> str:
    """A refusal often names what it is about by itself."""
    id_, message = result["id"], result["message"]
    return message if message.startswith(id_) else f"{id_}: {message}"


def one_delivery(connection: "Connection", text: str) -> "Delivery":
    """The delivery that `text` names. RefusedError when it is none or several."""
    from bridge.store import repairs

    deliveries = {delivery.id: delivery for delivery in repairs.find(connection, text.rstrip("…"))}
    return deliveries[exactly_one(list(deliveries), text)]
