"""`bridge retry`: try deliveries, or webhooks that failed, again now."""

import threading
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.context import actor, open_database, open_existing_services
from bridge.cli.listing import EVENT_ID, exactly_one
from bridge.cli.options import json_option, reason_option
from bridge.cli.output import emit, plural
from bridge.cli.repair import one_delivery, repair_each
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


@click.command(
    epilog="""\b
    Examples:
      bridge retry dlv_01a228166c17
      bridge retry dlv_01a228166c17 --what-is-left --yes
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
    "--not-in-purple-dot",
    is_flag=True,
    help="Held as unconfirmed_partial: you looked, and its number is not on the order.",
)
@click.option(
    "--yes",
    is_flag=True,
    help="With --what-is-left: do it, after a first call has shown the lines.",
)
@reason_option
@json_option
def retry(
    texts: tuple[str, ...],
    all_of: str | None,
    what_is_left: bool,
    not_in_purple_dot: bool,
    yes: bool,
    reason: str | None,
    as_json: bool,
) -> None:
    """Try deliveries again now, as attempts of their own, or webhooks that failed (evt_…). What
    Purple Dot already has is refused."""
    from bridge.operations import repair
    from bridge.store import reports

    if bool(texts) == (all_of is not None):
        raise click.UsageError("Say either which (ids), or --all REASON.")
    if all_of is not None:
        _retry_all(all_of, reason, as_json=as_json)
        return
    if not_in_purple_dot and not reason:
        raise click.UsageError("--not-in-purple-dot needs a --reason: how do you know?")
    carriers: Carriers | None = None
    if what_is_left:
        with open_existing_services() as services:
            carriers = services.carriers
    by = actor()

    def repair_one(connection: "Connection", text: str, now: datetime) -> tuple[str, str]:
        if text.startswith(EVENT_ID) and carriers is None:
            event_id = exactly_one(reports.find_ids(connection, text.rstrip("…")), text)
            outcome = repair.retry_event(connection, event_id, actor=by, reason=reason, now=now)
            return event_id, outcome
        delivery = one_delivery(connection, text)
        if carriers is None:
            outcome = _retry_one(
                connection,
                delivery,
                actor=by,
                reason=reason,
                has_looked=not_in_purple_dot,
                now=now,
            )
        else:
            if not yes:
                _show_remaining(connection, delivery, carriers)
            outcome = repair.fulfill_remaining(
                connection,
                delivery,
                carriers=carriers,
                agreed=None,
                actor=by,
                reason=reason,
                now=now,
            )
        return delivery.id, outcome

    repair_each(texts, repair_one, as_json=as_json)


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


def _retry_one(connection: "Connection", delivery: "Delivery", **details: Any) -> str:
    from bridge.operations import repair

    try:
        return repair.retry(connection, delivery, **details)
    except LookFirstError as exc:
        raise RefusedError(
            f"{exc} Yes: `bridge resolve {delivery.id} --as delivered --reason …`."
            f" No: `bridge retry {delivery.id} --not-in-purple-dot --reason …`"
        ) from exc


def _show_remaining(connection: "Connection", delivery: "Delivery", carriers: "Carriers") -> None:
    """Always a RefusedError: it takes --yes to do it."""
    from bridge.operations import repair

    action = repair.remaining_for(connection, delivery, carriers=carriers)
    raise RefusedError(
        f"would post {repair.format_lines(action)} of {action.reference} as shipped; say --yes to"
        " do it"
    )
