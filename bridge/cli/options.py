"""The options that several commands share."""

from collections.abc import Callable, Iterable
from datetime import datetime
from functools import reduce
from typing import Any

import click

from bridge.domain.durations import local_zone, read_timestamp
from bridge.domain.reasons import Reason

Command = Callable[..., None]


class _Timestamp(click.ParamType[datetime]):
    """An age, a day or an ISO date, in the machine's zone unless it says otherwise."""

    name = "when"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return read_timestamp(value, now=datetime.now(local_zone()))
        except ValueError as exc:
            self.fail(str(exc), param, ctx)


TIMESTAMP = _Timestamp()

json_option = click.option("--json", "as_json", is_flag=True, help="One JSON document.")
since_option = click.option(
    "--since",
    type=TIMESTAMP,
    help="An age such as 2d, today, yesterday, or an ISO date or time.",
)
until_option = click.option("--until", type=TIMESTAMP, help="Likewise.")
limit_option = click.option(
    "--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="How many."
)
type_option = click.option(
    "--type",
    "event_type",
    metavar="EVENT_TYPE",
    help="Only of (or from) this event type, such as LABEL_CREATED_V2.",
)
reason_option = click.option("--reason", "reason", help="Why, for those who read it later.")


def list_options(statuses: Iterable[str]) -> Callable[[Command], Command]:
    """What narrows a list, the same for events and deliveries."""
    options = (
        click.option(
            "--status", type=click.Choice([str(status) for status in statuses]), help="Only these."
        ),
        type_option,
        click.option(
            "--reason",
            type=click.Choice([str(reason) for reason in Reason]),
            metavar="REASON",
            help="Only with this reason, such as unknown_line.",
        ),
        since_option,
        until_option,
        click.option("--order", metavar="NUMBER", help="An order number or reference."),
        click.option(
            "--search",
            metavar="TEXT",
            help="Exactly this id, order number, reference or tracking number.",
        ),
        limit_option,
        json_option,
    )
    return lambda command: reduce(lambda made, option: option(made), reversed(options), command)
