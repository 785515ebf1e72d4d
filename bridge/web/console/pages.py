"""How things are shown: whatever comes from outside is masked, bounded and kept on its line before
it reaches a page; times are in one zone, which is named."""

import json
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flask import abort, g, render_template, request
from markupsafe import Markup, escape

from bridge.domain.reasons import MEANINGS, Meaning, Reason
from bridge.logs import mask_secrets, masked_text
from bridge.services import Services

LONGEST = 60_000
"""Characters of one text that a page shows; the rest is counted."""

MOST_LISTED = 6
"""Lines of an order that are named within a sentence; the tables have them all."""

ZONE_COOKIE = "bridge_console_zone"
"""The browser's time zone, which the script writes there; UTC without it."""

_STATUS_WORDS = {"held": "needs review", "dead": "failed"}
_STEPS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_CONTROL_CATEGORIES = ("Cc", "Cf", "Cs", "Co")

render = render_template


def not_found(services: Services, rest: str) -> str:
    """Any other address."""
    _ = services, rest
    abort(404, "There is no such page. The menu leads to all there are.")


def zone() -> tzinfo:
    """The zone in which this request's times are shown and read."""
    if "zone" not in g:
        g.zone = _zone_named(request.cookies.get(ZONE_COOKIE, ""))
    chosen: tzinfo = g.zone
    return chosen


def zone_name() -> str:
    """As people know it: `America/New_York`, or `UTC`."""
    return str(zone())


def _zone_named(name: str) -> tzinfo:
    try:
        return ZoneInfo(name) if name else UTC
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def sanitize(value: Any) -> Any:
    """Jinja's last step for every value: no secret, no endless text, no character that could turn
    the line around. Escaped after it."""
    if isinstance(value, Markup):
        return value
    if value is None:
        return "–"
    text = masked_text(value) if isinstance(value, str) else str(value)
    more = len(text) - LONGEST
    text = "".join(map(_visible, text[:LONGEST]))
    return f"{text} … ({more:,} more characters)" if more > 0 else text


def _visible(char: str) -> str:
    if char in "\n\t" or unicodedata.category(char) not in _CONTROL_CATEGORIES:
        return char
    return "\ufffd"


def timestamp(value: datetime | None) -> str | Markup:
    """A time in the zone of this page, which it names; UTC on hover."""
    if value is None:
        return "never"
    local = value.astimezone(zone())
    utc = value.astimezone(UTC)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        f"{utc:%Y-%m-%dT%H:%M:%SZ}",
        f"{utc:%Y-%m-%d %H:%M:%S} UTC",
        f"{local:%Y-%m-%d %H:%M:%S %Z}",
    )


def age(value: datetime | None, now: datetime) -> str:
    """How long ago, or ahead, in its two largest units: `2 d 4 h`."""
    return "never" if value is None else span(now - value)


def span(value: timedelta | float) -> str:
    """A length of time in its two largest units."""
    seconds = abs(int(value.total_seconds() if isinstance(value, timedelta) else value))
    parts = []
    for size, unit in _STEPS:
        count, seconds = divmod(seconds, size)
        parts.append((count, unit))
    first = next((place for place, (count, _) in enumerate(parts) if count), len(parts) - 1)
    named = [f"{count} {unit}" for count, unit in parts[first : first + 2] if count]
    return " ".join(named) or "0 s"


def pretty(value: Any) -> str:
    """JSON with indentation, secrets masked by name as in the logs; a text that is JSON is laid
    out, any other stays as it is."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return str(value)
    masked = mask_secrets(None, "", {"value": value})["value"]
    return json.dumps(masked, indent=2, ensure_ascii=False, default=str)


def meaning(reason: str | None) -> Meaning | None:
    """What a reason says, and what to do about it."""
    return MEANINGS[Reason(reason)] if reason else None


def status_word(status: str) -> str:
    """What people call a status; commands, JSON and filters keep its name."""
    return _STATUS_WORDS.get(status, status)


def title_of(reason: str | None) -> str:
    """What people call a reason."""
    return MEANINGS[Reason(reason)].title if reason else "Without a reason"


def format_lines(lines: Sequence[Mapping[str, Any]]) -> str:
    """`2 × TEE-S, 1 × CAP`, of many lines the first ones."""
    return _listed([f"{line['quantity']} × {line['sku'] or line['id']}" for line in lines])


def format_items(items: Sequence[Mapping[str, Any]]) -> str:
    """What a parcel holds, in words; of many items the first ones."""
    named = [item["sku"] or item["line_item_id"] or "something without a SKU" for item in items]
    counted = zip(items, named, strict=True)
    return _listed([f"{item['quantity']} × {name}" for item, name in counted])


def _listed(texts: Sequence[str]) -> str:
    rest = len(texts) - MOST_LISTED
    shown = ", ".join(texts[:MOST_LISTED])
    return f"{shown} and {rest} more" if rest > 0 else shown


def steps(text: str) -> Markup:
    """A sentence whose `code` is set as code."""
    parts = [escape(sanitize(part)) for part in text.split("`")]
    set_apart = [
        Markup("<code>{}</code>").format(part) if number % 2 else part
        for number, part in enumerate(parts)
    ]
    return Markup("").join(set_apart)


FILTERS: Mapping[str, Callable[..., Any]] = {
    "timestamp": timestamp,
    "age": age,
    "span": span,
    "pretty": pretty,
    "meaning": meaning,
    "status_word": status_word,
    "title_of": title_of,
    "format_lines": format_lines,
    "format_items": format_items,
    "steps": steps,
}
