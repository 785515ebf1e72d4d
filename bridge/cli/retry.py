"""`bridge retry`: try deliveries, or webhooks that failed, again now."""

import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.context import actor, open_database, open_existing_services
from bridge.cli.listing import EVENT_ID, exactly_one
from bridge.cli.options import json_option, reason_option
from bridge.cli.output import emit, plural
from bridge.cli.repair import Repair, one_delivery, repair_each
from bridge.domain.errors import LookFirstError, RefusedError
from bridge.domain.reasons import MEANINGS, PersonAction

if TYPE_CHECKING:
    from bridge.domain.deliveries import Delivery
    from bridge.store.engine.database import Connection
    from bridge.translate.carriers import Carriers


_BULK_REASONS = [
    str(reason)
    for reason, meaning in MEANINGS.items()
    if PersonAction.RETRY in meaning.bulk_actions
]


class _LineQuantity(click.ParamType[tuple[str, int]]):
    """A line of an order, by its SKU or id, and how many units of it."""

    name = "line"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int]:
        if isinstance(value, tuple):
            return value
        line, _, quantity = value.rpartition("=")
        is_count = quantity.isascii() and quantity.isdigit() and 0 < len(quantity) < 7
        if not line or not is_count or not int(quantity):
            self.fail(
                f"{value!r} is not like TEE-OAT-M=2: a SKU or line id, =, and how many", param, ctx
            )
        return line, int(quantity)


@click.command(
    epilog="""\b
    Examples:
      bridge retry dlv_01a228166c17
      bridge retry dlv_01a228166c17 --what-is-left --yes
      bridge retry dlv_01a228166c17 --line TEE-OAT-M=2 --line CAP=1 --yes
      bridge retry dlv_01a228166c17 --not-in-purple-dot --reason "looked at the order"
      bridge retry --all unknown_line --reason "the SKUs are right now"
    """
)
@click.argument("texts", metavar="ID...", nargs=-1)
@click.option(
    "--all",
    "all_of",
    metavar="REASON",
    type=click.Choice(_BULK_REASONS),
    help="Instead of ids: every exception with this reason. Needs a --reason of yours.",
)
@click.option(
    "--what-is-left",
    is_flag=True,
    help="Held because its lines are unclear: fulfill all that is left of its order.",
)
@click.option(
    "--line",
    "lines",
    metavar="LINE=QUANTITY",
    type=_LineQuantity(),
    multiple=True,
    help="Likewise, but only these units were in the parcel: a SKU or line id, and how many."
    " Can be given several times.",
)
@click.option(
    "--not-in-purple-dot",
    is_flag=True,
    help="Held as unconfirmed_partial: you looked, and its number is not on the order.",
)
@click.option(
    "--yes",
    is_flag=True,
    help="With --what-is-left or --line: do it, after a first call has shown the lines.",
)
@reason_option
@json_option
def retry(
    texts: tuple[str, ...],
    all_of: str | None,
    what_is_left: bool,
    lines: tuple[tuple[str, int], ...],
    not_in_purple_dot: bool,
    yes: bool,
    reason: str | None,
    as_json: bool,
) -> None:
    """Try deliveries again now, as attempts of their own, or webhooks that failed (evt_…). What
    Purple Dot already has is refused."""
    if bool(texts) == (all_of is not None):
        raise click.UsageError("Say either which (ids), or --all REASON.")
    if sum([what_is_left, bool(lines), not_in_purple_dot, all_of is not None]) > 1:
        raise click.UsageError(
            "--all, --what-is-left, --line and --not-in-purple-dot answer different questions: say"
            " one of them."
        )
    if lines and len(texts) > 1:
        raise click.UsageError("--line says what was in one parcel: name one delivery.")
    if not_in_purple_dot and not reason:
        raise click.UsageError("--not-in-purple-dot needs a --reason: how do you know?")
    if all_of is not None:
        _retry_all(all_of, reason, as_json=as_json)
        return
    repair: Repair
    if lines or what_is_left:
        with open_existing_services() as services:
            carriers = services.carriers
        named = _summed(lines) if lines else None
        repair = partial(_send_lines, carriers=carriers, named=named, yes=yes, reason=reason)
    else:
        repair = partial(_try_again, has_looked=not_in_purple_dot, reason=reason)
    repair_each(texts, repair, as_json=as_json)


def _summed(lines: tuple[tuple[str, int], ...]) -> dict[str, int]:
    quantities: dict[str, int] = {}
    for line, quantity in lines:
        quantities[line] = quantities.get(line, 0) + quantity
    return quantities


def _try_again(
    connection: "Connection", text: str, now: datetime, *, has_looked: bool, reason: str | None
) -> tuple[str, str]:
    from bridge.operations import repair
    from bridge.store import reports

    details: dict[str, Any] = {"actor": actor(), "reason": reason, "now": now}
    if text.startswith(EVENT_ID):
        event_id = exactly_one(reports.find_ids(connection, text.rstrip("…")), text)
        return event_id, repair.retry_event(connection, event_id, **details)
    delivery = one_delivery(connection, text)
    retry = partial(repair.retry, connection, delivery, has_looked=has_looked, **details)
    return delivery.id, _asking_in_the_shell(delivery, retry)


def _send_lines(
    connection: "Connection",
    text: str,
    now: datetime,
    *,
    carriers: "Carriers",
    named: Mapping[str, int] | None,
    yes: bool,
    reason: str | None,
) -> tuple[str, str]:
    """All that is left where no line is named. Without `yes` always a RefusedError, which says what
    would be posted."""
    delivery = one_delivery(connection, text)
    send = partial(_send_named, connection, delivery, carriers=carriers, named=named, yes=yes)
    details = {"actor": actor(), "reason": reason, "now": now}
    return delivery.id, _asking_in_the_shell(delivery, partial(send, **details))


def _send_named(
    connection: "Connection",
    delivery: "Delivery",
    *,
    carriers: "Carriers",
    named: Mapping[str, int] | None,
    yes: bool,
    **details: Any,
) -> str:
    from bridge.operations import repair

    action = repair.remaining_for(connection, delivery, carriers=carriers)
    chosen = {line.id: line.quantity for line in action.lines}
    if named is not None:
        chosen = repair.named_lines(action, named)
    action = repair.with_chosen(action, chosen)
    if not yes:
        raise RefusedError(
            f"would post {repair.format_lines(action)} of {action.reference} as shipped; say --yes"
            " to do it"
        )
    if named is None:
        send_rest = partial(repair.fulfill_remaining, agreed=None)
        return send_rest(connection, delivery, carriers=carriers, **details)
    return repair.fulfill_chosen(connection, delivery, carriers=carriers, chosen=chosen, **details)


def _asking_in_the_shell(delivery: "Delivery", act: Callable[[], str]) -> str:
    """What a look into Purple Dot has to answer is asked with the commands that answer it."""
    try:
        return act()
    except LookFirstError as exc:
        raise RefusedError(
            f"{exc} Yes: `bridge resolve {delivery.id} --as delivered --reason …`."
            f" No: `bridge retry {delivery.id} --not-in-purple-dot --reason …`"
        ) from exc


def _retry_all(exception_reason: str, reason: str | None, *, as_json: bool) -> None:
    """As a run, which a worker goes on with when this is interrupted. Exit 1 when any was
    refused."""
    from bridge.operations import repair_runs
    from bridge.store import repairs
    from bridge.store.queries import Query

    if not reason:
        raise click.UsageError("--all needs a --reason, for those who read it later.")
    with open_database() as database:
        with database.begin() as connection:
            run_id = repair_runs.start(
                connection,
                action="retry",
                actor=actor(),
                reason=reason,
                query=Query(reason=exception_reason, limit=None),
                chosen={"reason": exception_reason},
                now=database.now(connection),
            )
        repair_runs.RepairRuns(database).run(threading.Event())
        with database.read() as connection:
            run = repairs.run_story(connection, run_id) or {}
    lines = [f"{run['done']} of {plural(run['total'], 'exception')} tried again; run {run_id}."]
    lines += [f"{count} refused: {sentence}" for sentence, count in run["refused"].items()]
    lines.append("What comes of it: `bridge exceptions`, and the run's page in the console.")
    emit(run, lines, as_json=as_json)
    if run["refused"]:
        raise SystemExit(1)
