"""`bridge alerts test`: does a message reach each alert URL?"""

import sys

import click

from bridge.cli.context import load_settings
from bridge.cli.options import json_option
from bridge.cli.output import emit

_TITLE = "Purple Dot bridge: a test"
_BODY = (
    "`bridge alerts test` sent this. You will get a message like this about exceptions, silence and"
    " vendors that fail, and when it is over."
)


@click.group()
def alerts() -> None:
    """Who gets a message about exceptions, silence and vendors that fail."""


@alerts.command()
@json_option
def test(as_json: bool) -> None:
    """Send one message to each URL of BRIDGE_ALERT_URLS, and show what became of it. Exit code 1 if
    one failed."""
    from bridge.operations.alert_check import mask, send

    urls = load_settings().alert_urls
    if not urls:
        raise click.UsageError(
            "BRIDGE_ALERT_URLS is empty; put an Apprise URL there, such as slack://…"
            " (https://github.com/caronc/apprise/wiki)"
        )
    rows = []
    for number, url in enumerate(urls, 1):
        problem = send(url, title=_TITLE, body=_BODY)
        rows.append({"number": number, "url": mask(url), "problem": problem})
    lines = [f"{row['number']}. {row['url']}: {_outcome(row['problem'])}" for row in rows]
    emit(rows, lines, as_json=as_json)
    sys.exit(1 if any(row["problem"] for row in rows) else 0)


def _outcome(problem: object) -> str:
    return f"failed: {problem}" if problem else "sent"
