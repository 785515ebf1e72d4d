"""`bridge explain`: the decisions behind an event or a delivery, in sentences."""

import click

from bridge.cli.listing import EVENT_ID, story_of
from bridge.cli.options import json_option
from bridge.cli.output import emit


@click.command(
    epilog="""\b
    Examples:
      bridge explain PD1391279/1
      bridge explain evt_01a228166c17
    """
)
@click.argument("id_", metavar="ID")
@json_option
def explain(id_: str, as_json: bool) -> None:
    """Why an event or a delivery came to what it is, in sentences. Also for what was ignored: why
    did nothing happen? ID may be the beginning of an id, an order or a tracking number."""
    from bridge.operations.explain import explain_delivery, explain_event

    story = story_of(id_)
    explain_it = explain_event if story["id"].startswith(EVENT_ID) else explain_delivery
    sentences = explain_it(story)
    emit({"id": story["id"], "explanation": sentences}, sentences, as_json=as_json)
