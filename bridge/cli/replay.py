"""`bridge replay`: stored webhooks processed again. The count and the dry run come first, then the
reason, then the run."""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.context import actor, open_existing_services
from bridge.cli.listing import EVENT_ID, exactly_one
from bridge.cli.options import TIMESTAMP, json_option
from bridge.cli.output import emit, plural, progress_bar
from bridge.domain.errors import RefusedError
from bridge.domain.events import EXCEPTIONS, DeliveryStatus, EventStatus

if TYPE_CHECKING:
    from bridge.operations.replay import Plan
    from bridge.pipeline.process_event import EventJob
    from bridge.store.engine.database import Connection, Database

Story = Mapping[str, Any]
_STATUSES = [
    *(str(status) for status in EventStatus if status is not EventStatus.RECEIVED),
    str(DeliveryStatus.HELD),
]
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
    from bridge.operations.replay import plan
    from bridge.store import replays
    from bridge.store.queries import Query

    status = options.pop("status")
    narrowed = {name: options.pop(name) for name in ("event_type", "since", "until")}
    has_range = bool(status or any(narrowed.values()))
    if sum([bool(texts), has_range, bool(resume), bool(cancel)]) != 1:
        raise click.UsageError(
            "Say either which events (ids), or which range (--since --until --status --type), or"
            " --resume, or --cancel."
        )
    services = click.get_current_context().with_resource(open_existing_services())
    database = services.database
    if cancel or resume:
        _change_run(database, resume, cancel)
        _watch(database, resume or cancel or "", as_json=as_json)
        return
    with database.read() as connection:
        ids = [_event_id(connection, text) for text in texts]
        query = None if texts else Query(**narrowed)
        candidates = replays.candidates(connection, ids=ids, query=query, standing=status)
    chosen = plan(candidates, as_stored=options["as_stored"], origins=services.shipstation_origins)
    if yes and chosen.needs_reason and not reason:
        count = plural(len(chosen.events), "event")
        raise click.UsageError(
            f"{count}, or one of which Purple Dot has a parcel, need a --reason."
        )
    if not yes or not chosen.events:
        is_agreed = _dry_run(services.event_job, chosen, options, show=show, as_json=as_json)
        if not is_agreed:
            raise SystemExit(0 if chosen.events else 1)
        if chosen.needs_reason and not reason:
            reason = click.prompt("Why", err=True)
    selection: dict[str, Any] = {"ids": ids}
    if not texts:
        selection = {
            name: value and str(value) for name, value in {"status": status, **narrowed}.items()
        }
    with database.begin() as connection:
        run_id = replays.start(
            connection,
            [event.id for event in chosen.events],
            chosen=selection,
            actor=actor(),
            reason=reason,
            **options,
            now=database.now(connection),
        )
    _watch(database, run_id, as_json=as_json)


def _event_id(connection: "Connection", text: str) -> str:
    from bridge.store import reports

    ids = reports.find_ids(connection, text.rstrip("…"))
    return exactly_one([id_ for id_ in ids if id_.startswith(EVENT_ID)], text)


def _dry_run(
    job: "EventJob", chosen: "Plan", options: Mapping[str, Any], *, show: int, as_json: bool
) -> bool:
    """Show what would be sent. Does the person agree? Never, where nobody can be asked."""
    from bridge.operations.replay import look, plan_as_json

    event_ids = [event.id for event in chosen.events][:show]
    with progress_bar(event_ids, "Dry run") as bar:
        looked_at = [look(job, event_id, **options) for event_id in bar]
    report = plan_as_json(job, chosen, looked_at, **options)
    is_asked = bool(chosen.events) and not as_json and sys.stdin.isatty()
    emit(report, _plan_lines(report, is_asked=is_asked), as_json=as_json)
    return is_asked and click.confirm(f"Replay {report['counted']}?", err=True)


def _change_run(database: "Database", resume: str | None, cancel: str | None) -> None:
    from bridge.store import replays

    with database.begin() as connection:
        if resume:
            replays.resume(connection, resume, now=database.now(connection))
        elif cancel:
            replays.cancel(connection, cancel, actor=actor(), now=database.now(connection))


def _watch(database: "Database", run_id: str, *, as_json: bool) -> None:
    """Until it is done, with a bar; Ctrl-C pauses it. Exit 1 while something of it needs a person,
    or is still to do."""
    from bridge.store import replays
    from bridge.store.replays import ReplayStatus

    story, note = _story(database, run_id), ""
    unchanged_since = time.monotonic()
    try:
        with progress_bar(range(story["total"]), "Replay") as bar:
            bar.update(story["ended"])
            while _moves(story):
                note = _why_not_watched(database, story, time.monotonic() - unchanged_since)
                if note:
                    break
                time.sleep(_LOOK_EVERY)
                ended, story = story["ended"], _story(database, run_id)
                bar.update(story["ended"] - ended)
                if story["ended"] != ended:
                    unchanged_since = time.monotonic()
    except KeyboardInterrupt:
        with database.begin() as connection:
            replays.pause(connection, run_id)
        story = _story(database, run_id)
        note = (
            f"Paused. Go on: `bridge replay --resume {run_id}`; or end it:"
            f" `bridge replay --cancel {run_id}`"
        )
    lines = run_lines(story)
    emit(story, [*lines, note] if note else lines, as_json=as_json)
    ends = (*story["events"], *story["deliveries"])
    needs_person = any(row["status"] in EXCEPTIONS for row in ends)
    if story["status"] != ReplayStatus.DONE or needs_person:
        raise SystemExit(1)


def _why_not_watched(database: "Database", story: Story, waited: float) -> str:
    """Empty while it is worth waiting."""
    if not _worker_lives(database):
        return "No worker is alive: start `bridge work`, and the run goes on by itself."
    if waited < _MOST_SECONDS_UNCHANGED:
        return ""
    waiting = plural(story["total"] - story["ended"], "event")
    return (
        f"{waiting} of it still wait, such as for a label to be finished. The run goes on by"
        f" itself: `bridge replay --resume {story['id']}` looks at it."
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


def _plan_lines(report: Story, *, is_asked: bool) -> Iterator[str]:
    """What would be sent first: it is the number that matters."""
    sending = [shipment for event in report["events"] for shipment in event["shipments"]]
    bodies = [shipment for shipment in sending if shipment["body"]]
    looked_at = plural(len(report["events"]), "event")
    yield f"Would be posted: {plural(len(bodies), 'parcel')}, of the {looked_at} looked at."
    yield report["sentence"]
    for refused in report["refused"]:
        yield f"  left out: {refused['event_id']}: {refused['why']}"
    for event in report["events"]:
        error = f": {event['error']}" if event["error"] else ""
        yield f"{event['event_id']} {event['event_type']}{error}"
        for shipment in event["shipments"]:
            yield f"  {shipment['sentence']}"
            if shipment["body"]:
                yield f"    {json.dumps(shipment['body'])}"
                yield from (f"    {line}" for line in shipment["beside"])
    yield report["never_again"]
    if not is_asked:
        yield "Nothing was written or sent. To do it: --yes, and --reason where it is needed."
