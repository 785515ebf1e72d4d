"""Ids that sort by time, so that lists page steadily and new rows sit together on disk."""

import secrets
from datetime import datetime


def new_id(prefix: str, now: datetime) -> str:
    """Such as `evt_0193f3a1b2c34f0e9d7a6b5c`: twelve hex digits of milliseconds, twelve of
    chance."""
    return f"{prefix}_{int(now.timestamp() * 1000):012x}{secrets.token_hex(6)}"


def first_id(prefix: str, at: datetime) -> str:
    """Not after any id of that time or later, and after every earlier one: what turns a time into
    a place in a list."""
    return f"{prefix}_{int(at.timestamp() * 1000):012x}"
