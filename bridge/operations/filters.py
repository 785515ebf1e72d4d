"""The filter line of lists: `status:held reason:ambiguous_order order:PD138 since:2d` → a query, or
what is wrong with it. Pure."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

from bridge.domain.durations import read_timestamp
from bridge.domain.errors import RefusedError
from bridge.domain.reasons import Reason
from bridge.store.queries import Query

_SCANNED = timedelta(days=14)
_WORDS_OF_PAGES = {"failed": "dead", "needs-review": "held"}
"""What pages call these statuses."""

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


PERIODS = {
    "today": "since:today",
    "yesterday": "since:yesterday until:today",
    "7 days": "since:7d",
}
"""What people ask for most often, and how it is written."""


def with_period(line: str, period: str) -> str:
    """The same line for another stretch of time."""
    words = [word for word in line.split() if not word.lower().startswith(("since:", "until:"))]
    return " ".join([*words, period])


def read_filter(line: str, *, statuses: Collection[str], now: datetime) -> Query:
    """The query that a line means: words with a qualifier, and at most one without, which is
    searched for. `statuses` are those of what is listed. RefusedError says which word is wrong, and
    what would be right."""
    fields: dict[str, Any] = {"scan_since": now - _SCANNED}
    for word in line.split():
        name, colon, value = word.partition(":")
        if colon and not value:
            raise RefusedError(
                f"{word} says nothing; write it like {name}:…, without a space after the colon"
            )
        if colon and name.lower() in ("since", "until"):
            fields |= _time_field(name.lower(), value, now)
            continue
        field = QUALIFIERS.get(name.lower()) if colon else "search"
        if field is None:
            qualifiers = ", ".join([*QUALIFIERS, "since", "until"])
            raise RefusedError(f"{name}: is no qualifier; there are {qualifiers}")
        if field in fields:
            raise RefusedError(
                f"{word} comes beside another one; only one of each can be looked for"
            )
        fields[field] = _value(field, value if colon else word, statuses)
    return Query(**fields)


def _time_field(name: str, text: str, now: datetime) -> dict[str, datetime]:
    try:
        time = read_timestamp(text, now=now)
    except ValueError as exc:
        raise RefusedError(f"{name}:{exc}") from exc
    if name == "since":
        return {"since": time, "scan_since": time}
    return {name: time}


def _value(field: str, text: str, statuses: Collection[str]) -> str:
    closed_sets: dict[str, Collection[str]] = {
        "status": [str(status) for status in statuses],
        "reason": [str(reason) for reason in Reason],
    }
    if field in closed_sets:
        value = _WORDS_OF_PAGES.get(text.lower(), text.lower())
        if value not in closed_sets[field]:
            allowed = ", ".join(closed_sets[field])
            raise RefusedError(f"{text} is no {field} here; there are {allowed}")
        return value
    return text.upper() if field == "event_type" else text
