"""How things are shown: whatever comes from outside is masked, bounded and kept on its line before
it reaches a page."""

import json
import unicodedata
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import abort, render_template
from markupsafe import Markup, escape

from bridge.domain.reasons import MEANINGS, Meaning, Reason
from bridge.logs import mask_secrets, masked_text
from bridge.services import Services

LONGEST = 60_000
"""Characters of one text that a page shows; the rest is counted."""

render = render_template
_STEPS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def nowhere(services: Services, rest: str) -> str:
    """Any other address."""
    _ = services, rest
    abort(404, "There is no such page. The menu leads to all there are.")


def shown(value: Any) -> Any:
    """Jinja's last step for every value: no secret, no endless text, no character that could turn
    the line around. Escaped after it."""
    if isinstance(value, Markup):
        return value
    if value is None:
        return "–"
    text = masked_text(value) if isinstance(value, str) else str(value)
    more = len(text) - LONGEST
    text = "".join(
        char
        if char in "\n\t" or unicodedata.category(char) not in ("Cc", "Cf", "Cs", "Co")
        else "\ufffd"
        for char in text[:LONGEST]
    )
    return f"{text} … ({more:,} more characters)" if more > 0 else text


def moment(value: datetime | None) -> str | Markup:
    """A time in UTC; the script turns it into the reader's own, and UTC stays on hover."""
    if value is None:
        return "never"
    utc = value.astimezone(UTC)
    told = f"{utc:%Y-%m-%d %H:%M:%S} UTC"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        f"{utc:%Y-%m-%dT%H:%M:%SZ}", told, told
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
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count) or "0 s"


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


def goods(lines: list[Mapping[str, Any]]) -> str:
    """`2 × TEE-S, 1 × CAP`"""
    return ", ".join(f"{line['quantity']} × {line['sku'] or line['id']}" for line in lines)


def steps(text: str) -> Markup:
    """A sentence whose `code` is set as code."""
    parts = [escape(masked_text(part)) for part in text.split("`")]
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if number % 2 else part
        for number, part in enumerate(parts)
    )


FILTERS: Mapping[str, Callable[..., Any]] = {
    "moment": moment, "age": age, "span": span, "pretty": pretty, "meaning": meaning, "goods": goods, "steps": steps,
}  # fmt: skip
