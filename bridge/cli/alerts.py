"""`bridge alerts test`: does a message reach each alert URL?"""

import sys

import click

from bridge.cli.context import load_settings
from bridge.cli.output import json_option, tell
from bridge.operations import notify

_TITLE = "Purple Dot bridge: a test"
_BODY = "`bridge alerts test` sent this. So you will hear of exceptions, silence and vendors that fail, and when it is over."


@click.group()
def alerts() -> None:
    """Who hears of exceptions, silence and vendors that fail."""


@alerts.command()
@json_option
def test(as_json: bool) -> None:
    """Send one message to each URL of BRIDGE_ALERT_URLS and tell what became of it. Exit code 1 if
    one failed."""
    urls = load_settings().alert_urls
    if not urls:
        raise click.UsageError(
            "BRIDGE_ALERT_URLS is empty; put an Apprise URL there (https://github.com/caronc/apprise/wiki), such as slack://…"
        )
    rows = [
        {
            "number": number,
            "url": notify.masked(url),
            "problem": notify.send(url, title=_TITLE, body=_BODY),
        }
        for number, url in enumerate(urls, 1)
    ]
    told = [
        f"{row['number']}. {row['url']}: {'failed: ' + str(row['problem']) if row['problem'] else 'sent'}"
        for row in rows
    ]
    tell(rows, told, as_json=as_json)
    sys.exit(1 if any(row["problem"] for row in rows) else 0)
