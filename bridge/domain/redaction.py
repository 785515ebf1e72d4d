"""What of a text from outside may be stored: its shape, and the values under names that we read.
People stay out. Pure."""

import re
from collections.abc import Collection, Mapping
from typing import Any

LEFT_OUT = "…"
_DEEPEST = 12
_NAME = re.compile(r"[A-Za-z_][\w-]{0,60}", re.ASCII)


def redact(node: object, names: Collection[str], key: str = "", depth: int = 0) -> Any:
    """JSON again, in which every text and number that does not stand under one of these names is
    `…`; so is what lies too deep to be ours."""
    if isinstance(node, Mapping) and depth < _DEEPEST:
        return {
            (name if _NAME.fullmatch(name) else LEFT_OUT): redact(inner, names, name, depth + 1)
            for name, inner in node.items()
        }
    if isinstance(node, list) and depth < _DEEPEST:
        return [redact(inner, names, key, depth + 1) for inner in node]
    is_value = not isinstance(node, Mapping | list)
    may_stay = node is None or isinstance(node, bool) or (key in names and is_value)
    return node if may_stay else LEFT_OUT
