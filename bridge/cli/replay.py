"""`bridge replay`: stored events through the journey again. The count and the dry run come first,
the reason next, then the run."""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import click

from bridge.cli.context import actor, load_settings, open_services
from bridge.cli.listing import exactly_one
from bridge.cli.options import TIMESTAMP, json_option
from bridge.cli.output import emit
from bridge.domain.errors import RefusedError
from bridge.domain.events import EXCEPTIONS, DeliveryStatus, EventStatus
from bridge.store import replays, reports, workers
from bridge.store.engine.database import Database
from bridge.store.replays import ReplayStatus
from bridge.store.reports import Query

Story = Mapping[str, Any]
_STATUSES = [
    *(str(status) for status in EventStatus if status is not EventStatus.RECEIVED),
    str(DeliveryStatus.HELD),
]
_SOON = {DeliveryStatus.PENDING, DeliveryStatus.DELIVERING}
_LOOK_EVERY = 0.5


@click.command()
@click.argument("wanted", metavar="EVENT...", nargs=-1)
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
@click.option("--reason", "why", help="Why. Needed for several events, and for what was delivered.")
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
    wanted: tuple[str, ...],
    why: str | None,
    show: int,
    yes: bool,
    resume: str | None,
    cancel: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Take stored events through the journey again: the exact count and a dry run first. Nothing
    that Purple Dot has is sent twice."""
    from bridge.operations.replay import look, plan, plan_as_json

    settings = load_settings()
    status, narrowed = (
        given.pop("status"),
        {name: given.pop(name) for name in ("event_type", "since", "until")},
    )
    if sum((bool(wanted), bool(status or any(narrowed.values())), bool(resume), bool(cancel))) != 1:
        raise click.UsageError(
            "Say either which events (ids), or which range (--since --until --status --type), or --resume, or --cancel."
        )
    services = click.get_current_context().with_resource(open_services(settings))
    job = services.event_job
    if cancel or resume:
        _turn(job.database, resume, cancel)
        _watch(job.database, resume or cancel or "", as_json=as_json)
        return
    with job.database.read() as connection:
        ids = [
            exactly_one(
                [id_ for id_ in reports.find_ids(connection, text) if id_.startswith("evt_")], text
            )
            for text in wanted
        ]
        found = replays.candidates(
            connection, ids=ids, query=None if wanted else Query(**narrowed), standing=status
        )
    chosen = plan(found, as_stored=given["as_stored"], origins=services.shipstation_origins)
    if yes and chosen.needs_reason and not why:
        raise click.UsageError(
            f"{len(chosen.events)} events, or one of which Purple Dot has a parcel, need a --reason."
        )
    if not yes or not chosen.events:
        with click.progressbar(
            [event.id for event in chosen.events][:show], label="Dry run", file=sys.stderr
        ) as bar:
            told = plan_as_json(
                job, chosen, [look(job, event_id, **given) for event_id in bar], **given
            )
        emit(told, _plan_lines(told), as_json=as_json)
        asks = bool(chosen.events) and not as_json and sys.stdin.isatty()
        if not (asks and click.confirm(f"Replay {told['counted']}?", err=True)):
            raise SystemExit(0 if chosen.events else 1)
        why = why or (click.prompt("Why", err=True) if chosen.needs_reason else None)
    by = (
        {"ids": ids}
        if wanted
        else {name: value and str(value) for name, value in {"status": status, **narrowed}.items()}
    )
    with job.database.begin() as connection:
        now, ids = job.database.now(connection), [event.id for event in chosen.events]
        run_id = replays.start(
            connection, ids, chosen=by, actor=actor(), reason=why, **given, now=now
        )
    _watch(job.database, run_id, as_json=as_json)


def _turn(database: Database, resume: str | None, cancel: str | None) -> None:
    with database.begin() as connection:
        if resume:
            replays.resume(connection, resume, now=database.now(connection))
        elif cancel:
            replays.cancel(connection, cancel, actor=actor(), now=database.now(connection))


def _watch(database: Database, run_id: str, *, as_json: bool) -> None:
    """Until it is done, with a bar; Ctrl-C pauses it. Exit 1 while something of it needs a person,
    or is still to do."""
    story, said = _story(database, run_id), ""
    try:
        with click.progressbar(
            length=story["total"], label=run_id, show_pos=True, file=sys.stderr
        ) as bar:
            bar.update(story["ended"])
            while _moves(story):
                if not _worker_lives(database):
                    said = "No worker is alive: start `bridge work`, and the run goes on by itself."
                    break
                time.sleep(_LOOK_EVERY)
                before, story = story, _story(database, run_id)
                bar.update(story["ended"] - before["ended"])
    except KeyboardInterrupt:
        with database.begin() as connection:
            replays.pause(connection, run_id)
        story, said = (
            _story(database, run_id),
            f"Paused. Go on: bridge replay --resume {run_id}; or end it: bridge replay --cancel {run_id}",
        )
    emit(story, [*run_lines(story), said] if said else run_lines(story), as_json=as_json)
    if story["status"] != ReplayStatus.DONE or any(
        row["status"] in EXCEPTIONS for row in (*story["events"], *story["deliveries"])
    ):
        raise SystemExit(1)


def _story(database: Database, run_id: str) -> dict[str, Any]:
    with database.read() as connection:
        story = replays.run_story(connection, run_id)
    if story is None:
        raise RefusedError(f"there is no replay run {run_id}")
    return story


def _moves(story: Story) -> bool:
    """What a retry waits for hours for is not waited for here."""
    return story["status"] == ReplayStatus.RUNNING or (
        story["status"] == ReplayStatus.DONE
        and any(row["status"] in _SOON for row in story["deliveries"])
    )


def _worker_lives(database: Database) -> bool:
    with database.read() as connection:
        return workers.is_alive(connection, now=database.now(connection))


def run_lines(story: Story) -> list[str]:
    """A run for people: how far it is, and honestly what became of it."""
    why = f": {story['reason']}" if story["reason"] else ""
    lines = [
        f"{story['id']} of {story['created_by']}{why}",
        f"It is {story['status']}: {story['ended']} of {story['total']} events ended.",
    ]
    lines += [
        f"  {row['count']} {row['status']} {row['reason'] or ''}".rstrip()
        for row in story["events"]
    ]
    lines += ["Deliveries:"] if story["deliveries"] else ["It led to no delivery."]
    for row in story["deliveries"]:
        when = " before, and not sent again" if row["before"] else ""
        lines.append(f"  {row['count']} {row['status']} {row['reason'] or ''}".rstrip() + when)
    return lines


def _plan_lines(told: Story) -> Iterator[str]:
    yield told["sentence"]
    for one in told["refused"]:
        yield f"  left out: {one['event_id']}: {one['why']}"
    for event in told["events"]:
        yield f"{event['event_id']} {event['event_type']}{': ' + event['error'] if event['error'] else ''}"
        for shipment in event["shipments"]:
            yield f"  {shipment['sentence']}"
            if shipment["body"]:
                yield f"    {json.dumps(shipment['body'])}"
                yield from (f"    {line}" for line in shipment["beside"])
    yield from (
        told["never_again"],
        "Nothing was written or sent. To do it: --yes, and --reason where it is needed.",
    )
