"""Writes things as the vendors' rows. The rows are data, in shapes.json: templates, key for key as
live answers and the documents are.

In a template `$path` stands for an attribute of the thing, `$path:shape` for a list of things, each
written in that shape, `@shape` for another shape of the same thing, and `{0.path}` within a text.
All else is written as it is."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from importlib.resources import files
from operator import attrgetter
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

SHAPES: Json = json.loads(
    files("bridge.simulator").joinpath("shapes.json").read_text(encoding="utf-8")
)


def row(shape: str, subject: object) -> Any:
    """The thing in that shape; what its `overrides` name is shown in place of the truth."""
    write = v1_instant if shape.startswith("v1_") else v2_instant
    filled = _filled(SHAPES[shape], subject, write)
    overrides = getattr(subject, "overrides", {})
    return filled | overrides if overrides else filled


def _filled(value: Any, subject: object, write: Callable[[datetime], str]) -> Any:
    if isinstance(value, dict):
        return {name: _filled(inner, subject, write) for name, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, subject, write) for inner in value]
    if not isinstance(value, str) or value[:1] not in ("$", "@"):
        return value.format(subject) if isinstance(value, str) and "{" in value else value
    path, _, shape = value[1:].partition(":")
    if value.startswith("@"):
        return _filled(SHAPES[path], subject, write)
    attribute = attrgetter(path)(subject)
    if shape:
        return [_filled(SHAPES[shape], element, write) for element in attribute]
    return write(attribute) if isinstance(attribute, datetime) else attribute


def v2_instant(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def v1_instant(at: datetime) -> str:
    """Pacific, no zone, seven decimals: https://www.shipstation.com/docs/api/requirements/."""
    return pacific(at).strftime("%Y-%m-%dT%H:%M:%S.%f0")


def pacific(at: datetime) -> datetime:
    """By its rule, as a bare machine has no table of time zones: summer time from March's second
    Sunday to November's first, at two."""
    march, november = (
        datetime(at.year, month, first, tzinfo=UTC) for month, first in ((3, 14), (11, 7))
    )
    begins, ends = (last - timedelta(days=(last.weekday() + 1) % 7) for last in (march, november))
    is_summer = begins + timedelta(hours=10) <= at < ends + timedelta(hours=9)
    return at.astimezone(timezone(timedelta(hours=-7 if is_summer else -8)))


def read_instant(text: str, *, is_pacific: bool = False) -> datetime:
    """A filter's value, in UTC or Pacific time where it names no zone; ValueError when it is no
    date."""
    at = datetime.fromisoformat(text.strip())
    if at.tzinfo is None and is_pacific:
        return at.replace(tzinfo=pacific(at.replace(tzinfo=UTC) + timedelta(hours=8)).tzinfo)
    return at if at.tzinfo else at.replace(tzinfo=UTC)
