"""Text for people: safe on a terminal, lines of an order in words."""

from collections.abc import Iterable, Mapping
from typing import Any


def printable(text: str) -> str:
    """The text with every character that a terminal could obey as `\\ufffd`."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else "\ufffd" for char in text)


def format_lines(lines: Iterable[Mapping[str, Any]]) -> str:
    """Lines with `quantity`, `sku` and `id`, such as `2 x TEE, 1 x CAP`; the id where there is no
    SKU."""
    return ", ".join(f"{line['quantity']} x {line.get('sku') or line['id']}" for line in lines)
