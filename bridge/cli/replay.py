"""`bridge replay`: stored webhooks processed again. The count and the dry run come first, then the
reason, then the run."""

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.context import actor, open_existing_services
from bridge.cli.listing import EVENT_ID, check_range, exactly_one
from bridge.cli.options import TIMESTAMP, json_option
from bridge.cli.output import emit, is_terminal, plural, progress_bar
from bridge.cli.rehearsal import rehearse, said_while_waiting, vendor_waits, waiting_line
from bridge.domain.errors import RefusedError
from bridge.domain.events import EXCEPTIONS, DeliveryStatus, EventStatus

if TYPE_CHECKING:
    from bridge.operations.replay import Plan
    from bridge.services import Services
    from bridge.store.engine.database import Connection, Database

Story = Mapping[str, Any]
_STATUSES = [
    *(str(status) for status in EventStatus if status is not EventStatus.RECEIVED),
    str(DeliveryStatus.HELD),
]
_RANGE = ("status", "event_type", "since", "until")
"""The options that name a range of events."""
_SOON = {DeliveryStatus.PENDING, DeliveryStatus.DELIVERING}
_LOOK_EVERY = 0.5
_MOST_SECONDS_UNCHANGED = 60.0


@click.command(
    epilog="""\b
    Examples:
      bridge replay evt_01a228166c17
      bridge replay --since yesterday --status dead
      bridge replay --since 2d --status held --reason "SKUs corrected" --yes
    """
)
@click.argument("texts", metavar="EVENT...", nargs=-1)
@click.option(
    "--status",
    type=click.Choice(_STATUSES),
    help="All events that ended so, or of whose deliveries one did.",
)
@click.option(
    "--type",
    "event_type",
    metavar="EVENT_TYPE",
    help="Only of this type, such as LABEL_CREATED_V2.",
)
@click.option("--since", type=TIMESTAMP, help="An age such as 2d, or an ISO date or time.")
@click.option("--until", type=TIMESTAMP, help="Likewise.")
@click.option(
    "--as-stored/--fetch-again",
    default=False,
    help="Use what was fetched then, or (default) what ShipStation says now.",
)
@click.option(
    "--notify-customer",
    is_flag=True,
    help="Let Purple Dot e-mail the shoppers. A replay doesn't, whatever the settings say.",
)
@click.option("--reason", help="Why. Needed for several events, and for what was delivered.")
@click.option(
    "--show",
    type=click.IntRange(0),
    default=20,
    show_default=True,
    help="How many events the dry run works through.",
)
@click.option("--yes", is_flag=True, help="Do it without asking.")
@click.option(
    "--resume", metavar="RUN", help="Go on with a run that was interrupted, or look at one."
)
@click.option("--cancel", metavar="RUN", help="End a run: nothing more of it begins.")
@json_option
def replay(
    texts: tuple[str, ...],
    reason: str | None,
    show: int,
    yes: bool,
    resume: str | None,
    cancel: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Process stored webhooks again: the exact count and a dry run first. Nothing that Purple Dot
    has is sent twice."""
    filters = {name: options.pop(name) for name in _RANGE}
    if sum([bool(texts), any(filters.values()), bool(resume), bool(cancel)]) != 1:
        raise click.UsageError(
            "Say either which events (ids), or which range (--since --until --status --type), or"
            " --resume, or --cancel."
        )
    services = click.get_current_context().with_resource(open_existing_services())
    if cancel or resume:
        _change_run(services.database, resume, cancel)
        _watch(services, resume or cancel or "", as_json=as_json)
        return
    chosen, selection = _choose(services, texts, filters, as_stored=options["as_stored"])
    if yes and chosen.events:
        _check_reason(chosen, reason)
    else:
        is_agreed = rehearse(services, chosen, options, show=show, as_json=as_json)
        if not is_agreed:
            raise SystemExit(0 if chosen.events else 1)
        if chosen.needs_reason and not reason:
            reason = click.prompt("Why", err=True)
    run_id = _start(services.database, chosen, selection, reason=reason, **options)
    _watch(services, run_id, as_json=as_json)


def _choose(
    services: "Services", texts: tuple[str, ...], filters: Mapping[str, Any], *, as_stored: bool
) -> "tuple[Plan, dict[str, Any]]":
    """What would be replayed, and how it was chosen, for those who read it later."""
    from bridge.operations.replay import plan
    from bridge.store import replays
    from bridge.store.queries import Query

    narrowed = Query(**{name: value for name, value in filters.items() if name != "status"})
    check_range(narrowed)
    with services.database.read() as connection:
        ids = [_event_id(connection, text) for text in texts]
        query = None if texts else narrowed
        candidates = replays.candidates(
            connection, ids=ids, query=query, standing=filters["status"]
        )
    selection: dict[str, Any] = {"ids": ids}
    if not texts:
        selection = {name: value and str(value) for name, value in filters.items()}
    return plan(candidates, as_stored=as_stored, origins=services.shipstation_origins), selection


def _check_reason(chosen: "Plan", reason: str | None) -> None:
    if chosen.needs_reason and not reason:
        count = plural(len(chosen.events), "event")
        raise click.UsageError(
            f"{count}, or one of which Purple Dot has a parcel, need a --reason."
        )


def _start(
    database: "Database",
    chosen: "Plan",
    selection: Mapping[str, Any],
    *,
    reason: str | None,
    **options: Any,
) -> str:
    """The run's id."""
    from bridge.store import replays

    with database.begin() as connection:
        return replays.start(
            connection,
            [event.id for event in chosen.events],
            chosen=selection,
            actor=actor(),
            reason=reason,
            **options,
            now=database.now(connection),
        )


def _event_id(connection: "Connection", text: str) -> str:
    from bridge.store import reports

    ids = reports.find_ids(connection, text.rstrip("…"))
    return exactly_one([id_ for id_ in ids if id_.startswith(EVENT_ID)], text)


def _change_run(database: "Database", resume: str | None, cancel: str | None) -> None:
    from bridge.store import replays

    with database.begin() as connection:
        if resume:
            replays.resume(connection, resume, now=database.now(connection))
        elif cancel:
            replays.cancel(connection, cancel, actor=actor(), now=database.now(connection))


def _watch(services: "Services", run_id: str, *, as_json: bool) -> None:
    """Until it is done, with a bar; Ctrl-C pauses it. Exit 1 while something of it needs a person,
    or is still to do."""
    from bridge.store import replays
    from bridge.store.replays import ReplayStatus

    database = services.database
    try:
        note = _follow(services, run_id)
    except KeyboardInterrupt:
        with database.begin() as connection:
            replays.pause(connection, run_id)
        note = (
            f"Paused. Go on: `bridge replay --resume {run_id}`; or end it:"
            f" `bridge replay --cancel {run_id}`"
        )
    story = _story(database, run_id)
    lines = run_lines(story)
    emit(story, [*lines, note] if note else lines, as_json=as_json)
    ends = (*story["events"], *story["deliveries"])
    needs_person = any(row["status"] in EXCEPTIONS for row in ends)
    if story["status"] != ReplayStatus.DONE or needs_person:
        raise SystemExit(1)


def _follow(services: "Services", run_id: str) -> str:
    """Returns when the run moves no more, or why it isn't worth waiting for it."""
    database = services.database
    story = _story(database, run_id)
    unchanged_since = time.monotonic()

    def standing() -> str:
        done = f"Replay: {story['ended']} of {plural(story['total'], 'event')} ended."
        return waiting_line(done, vendor_waits(services), is_bar_seen=is_terminal(sys.stderr))

    with said_while_waiting(standing), progress_bar(range(story["total"]), "Replay") as bar:
        bar.update(story["ended"])
        while _moves(story):
            note = _why_not_watched(services, story, time.monotonic() - unchanged_since)
            if note:
                return note
            time.sleep(_LOOK_EVERY)
            ended, story = story["ended"], _story(database, run_id)
            bar.update(story["ended"] - ended)
            if story["ended"] != ended:
                unchanged_since = time.monotonic()
    return ""


def _why_not_watched(services: "Services", story: Story, waited: float) -> str:
    """Empty while it is worth waiting."""
    if not _worker_lives(services.database):
        return "No worker is alive: start `bridge work`, and the run goes on by itself."
    if waited < _MOST_SECONDS_UNCHANGED:
        return ""
    waiting = plural(story["total"] - story["ended"], "event")
    cause = " ".join(vendor_waits(services)) or "They wait for a label to be finished, for example."
    return (
        f"{waiting} of it are still to do. {cause} The run goes on by itself:"
        f" `bridge replay --resume {story['id']}` looks at it."
    )


def _story(database: "Database", run_id: str) -> dict[str, Any]:
    from bridge.store import replays

    with database.read() as connection:
        story = replays.run_story(connection, run_id)
    if story is None:
        raise RefusedError(f"there is no replay run {run_id}")
    return story


def _moves(story: Story) -> bool:
    """What a retry waits for hours for is not waited for here."""
    from bridge.store.replays import ReplayStatus

    return story["status"] == ReplayStatus.RUNNING or (
        story["status"] == ReplayStatus.DONE
        and any(row["status"] in _SOON for row in story["deliveries"])
    )


def _worker_lives(database: "Database") -> bool:
    from bridge.store import workers

    with database.read() as connection:
        return workers.is_alive(connection, now=database.now(connection))


def run_lines(story: Story) -> list[str]:
    """A run for people: how far it is, and what became of it."""
    reason = f": {story['reason']}" if story["reason"] else ""
    lines = [
        f"{story['id']} of {story['created_by']}{reason}",
        f"It is {story['status']}: {story['ended']} of {story['total']} events ended.",
        *map(_count_line, story["events"]),
        "Deliveries:" if story["deliveries"] else "It led to no delivery.",
    ]
    for row in story["deliveries"]:
        when = " before, and not sent again" if row["before"] else ""
        lines.append(_count_line(row) + when)
    return lines


def _count_line(row: Story) -> str:
    return f"  {row['count']} {row['status']} {row['reason'] or ''}".rstrip()
