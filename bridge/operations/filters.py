"""The filter line of lists: `status:held reason:ambiguous_order order:PD138 since:2d` → a query, or
what is wrong with it. Pure."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from bridge.domain.durations import read_timestamp
from bridge.domain.errors import RefusedError
from bridge.domain.reasons import Reason
from bridge.store.reports import Query

_SCANNED = timedelta(days=14)
QUALIFIERS = {
    "status": "status",
    "reason": "reason",
    "type": "event_type",
    "order": "order",
    "tracking": "tracking",
    "id": "search",
}
"""What may stand before a colon, and the field of the query that it sets; `since` and `until` take
a moment."""


def read_filter(line: str, *, statuses: Collection[str], now: datetime) -> Query:
    """The query that a line means: words with a qualifier, and at most one without, which is
    searched for. `statuses` are those of what is listed. RefusedError says which word is wrong, and
    what would be right."""
    given: dict[str, Any] = {"scan_since": now - _SCANNED}
    for word in line.split():
        name, colon, value = word.partition(":")
        field = QUALIFIERS.get(name.lower()) if colon else "search"
        if not value and colon:
            raise RefusedError(
                f"{word} says nothing; write it like {name}:…, without a space after the colon"
            )
        if name.lower() in ("since", "until") and colon:
            given |= _moment(name.lower(), value, now)
        elif field is None:
            raise RefusedError(
                f"{name}: is no qualifier; there are {', '.join([*QUALIFIERS, 'since', 'until'])}"
            )
        elif field in given:
            raise RefusedError(
                f"{word} comes beside another one; only one of each can be looked for"
            )
        else:
            given[field] = _known(field, value if colon else word, statuses)
    return Query(**given)


def _moment(name: str, value: str, now: datetime) -> dict[str, datetime]:
    try:
        moment = read_timestamp(value, now=now)
    except ValueError as exc:
        raise RefusedError(f"{name}:{exc}") from exc
    return {name: moment, "scan_since": moment} if name == "since" else {name: moment}


def _known(field: str, value: str, statuses: Collection[str]) -> str:
    closed: dict[str, Collection[str]] = {
        "status": [str(status) for status in statuses],
        "reason": [str(reason) for reason in Reason],
    }
    known = closed.get(field)
    if known is not None and value.lower() not in known:
        raise RefusedError(f"{value} is no {field} here; there are {', '.join(known)}")
    return value.lower() if known is not None else value.upper() if field == "event_type" else value
