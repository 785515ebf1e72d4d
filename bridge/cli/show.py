"""`bridge show`: everything that is stored about one event or delivery."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import click

from bridge.cli.listing import story_of
from bridge.cli.options import json_option
from bridge.cli.output import cell_text, emit
from bridge.domain.reasons import MEANINGS, Reason

_WIDTH = 26


@click.command(
    epilog="""\b
    Examples:
      bridge show PD1391279/1
      bridge show dlv_01a228166c17 --json
    """
)
@click.argument("id_", metavar="ID")
@json_option
def show(id_: str, as_json: bool) -> None:
    """Everything stored about one event or delivery. ID may be the beginning of an id, an order
    number or a tracking number."""
    story = story_of(id_)
    emit(story, _lines(story), as_json=as_json)


def _lines(story: Mapping[str, Any], indent: str = "") -> Iterator[str]:
    """Plain fields first, the reason with what to do, then each list under its name."""
    for name, value in story.items():
        if not isinstance(value, list | dict):
            yield f"{indent}{name.replace('_', ' '):{_WIDTH}}{cell_text(value)}"
    if story.get("reason"):
        meaning = MEANINGS[Reason(story["reason"])]
        yield f"{indent}{'':{_WIDTH}}{meaning.sentence}"
        yield f"{indent}{'what to do':{_WIDTH}}{meaning.shell_step}"
    for name, value in story.items():
        if value and isinstance(value, list | dict):
            yield f"{indent}{name.replace('_', ' ')}"
            yield from _values(value, indent + "  ")


def _values(value: list[Any] | dict[str, Any], indent: str) -> Iterator[str]:
    if isinstance(value, dict):
        yield indent + json.dumps(value, ensure_ascii=False, default=str)
        return
    for entry in value:
        if isinstance(entry, dict):
            yield from _lines(entry, indent)
            yield ""
        else:
            yield indent + cell_text(entry)
