"""What of a text from outside may be stored: its shape, and the values under names that we read.
People stay out. Pure."""

import re
from collections.abc import Collection, Mapping
from typing import Any

LEFT_OUT = "…"
_DEEPEST = 12
_NAME = re.compile(r"[A-Za-z_][\w-]{0,60}", re.ASCII)


def outline(node: object, known: Collection[str], key: str = "", depth: int = 0) -> Any:
    """JSON again, in which every text and number that does not stand under a `known` name is `…`;
    so is what lies too deep to be ours."""
    if isinstance(node, Mapping) and depth < _DEEPEST:
        return {
            (name if _NAME.fullmatch(name) else LEFT_OUT): outline(inner, known, name, depth + 1)
            for name, inner in node.items()
        }
    if isinstance(node, list) and depth < _DEEPEST:
        return [outline(inner, known, key, depth + 1) for inner in node]
    is_plain = (
        node is None
        or isinstance(node, bool)
        or (key in known and not isinstance(node, Mapping | list))
    )
    return node if is_plain else LEFT_OUT
