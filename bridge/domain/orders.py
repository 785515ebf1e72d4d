"""Fulfillment order: Purple Dot's work to be done, and its lines. `reference` is its number.

Purple Dot's confirmation numbers begin with `PD` and digits; a fulfillment order adds its index:
`#PD1389447/1`. https://docs.getpurpledot.com/docs/purple-dot-apis/private-api/fulfillment-orders"""

import html
import re
import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import lru_cache

UUID = re.compile(
    r"(?<![0-9A-Za-z])[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}(?![0-9A-Za-z])", re.IGNORECASE
)
"""Also with something before or behind it, as an id has that must be another one: `…-2`."""
_REFERENCE = re.compile(
    r"(?<![0-9A-Za-z])#?PD[0-9]+(?:/[0-9]+)?(?![0-9A-Za-z])"
    r"|PD[0-9]{6,}/[0-9]+(?![0-9A-Za-z])",  # with an index, also glued to another word
    re.IGNORECASE,
)
_SET_APART = re.compile(
    r"(?<![0-9A-Za-z])PD(?:\s+|\s?[#:._-]\s?)(?=[0-9]+/[0-9]|[0-9]{7})"
    r"|(?<![0-9A-Za-z])PD\s+(?=[0-9]{5})",
    re.IGNORECASE,
)
"""`PD 1389447/1`, and also `PD-1389447`, but not a shop's own `PD-1001`."""
_FURTHER = re.compile(
    r"(PD[0-9]+)(/[0-9]+)((?:\s*(?:[&+,;|/-]|\band\b)\s*/?[0-9]{1,2}(?![0-9A-Za-z/]))+)",
    re.IGNORECASE,
)
"""`PD1389447/1 & 2`: two orders of one pre-order. `PD1389447/1-2` may be a part of one order as
well, where there is no other."""
_LONG_ENOUGH = len("PD123456")
_ENCODED = {
    "%23": "#",
    "%2f": "/",
    "%2F": "/",
    "\N{FRACTION SLASH}": "/",
    "\N{DIVISION SLASH}": "/",
}
_BLANKS = re.compile(r"[\s,;|]+")
_STARTS = re.compile(r"(?<![0-9A-Za-z])(?=[#0-9A-Za-z])")


class OrderStatus(StrEnum):
    """Purple Dot's own three values (there is none for partly fulfilled), and ours for one that is
    there and is none of them."""

    UNFULFILLED = "UNFULFILLED"
    FULFILLED = "FULFILLED"
    VOIDED = "VOIDED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class OrderLine:
    """`id` is what POST /fulfillment needs; `quantity` is what was ordered, however much was sent
    since."""

    id: str
    quantity: int
    sku: str | None = None


@dataclass(frozen=True, slots=True)
class FulfillmentOrder:
    """`status` is None where Purple Dot does not return it (its oldest answers). `created_at` is
    when it became ready to be fulfilled, `purchased_at` when the shopper ordered, where Purple Dot
    says so. Neither ever changes, so they make no difference between two orders."""

    id: str
    reference: str
    status: OrderStatus | None
    lines: tuple[OrderLine, ...]
    created_at: datetime | None = field(default=None, compare=False)
    purchased_at: datetime | None = field(default=None, compare=False)


def normalize_reference(text: str) -> str:
    """Two references are the same order's exactly when this is equal for both: trimmed, any case,
    with or without one leading `#`."""
    return text.strip().upper().removeprefix("#").strip()


def is_uuid(text: str | None) -> bool:
    """Purple Dot's ids look like this; ShipStation's own automatic `SEAuto-…` ids don't."""
    return UUID.fullmatch((text or "").strip()) is not None


def reference_words(text: str) -> tuple[str, ...]:
    """The words of Purple Dot's form in a text, as they are written there, but for what other
    systems and people make of letters, dashes and blanks."""
    return tuple(_REFERENCE.findall(_legible(text)))


def _legible(text: str) -> str:
    """`％23ＰＤ 1389447／1` → `#PD1389447/1`."""
    plain = unicodedata.normalize("NFKC", html.unescape(text))
    for written, meant in _ENCODED.items():
        plain = plain.replace(written, meant)
    if not plain.isascii():
        plain = "".join(char for char in plain if unicodedata.category(char) != "Cf")
    return _FURTHER.sub(_each_in_full, _SET_APART.sub("PD", plain))


def _each_in_full(match: re.Match[str]) -> str:
    number, first, others = match.groups()
    indexes = [first, *(f"/{index}" for index in re.findall("[0-9]+", others))]
    return " ".join(f"{number}{index}" for index in indexes)


def sure_references(text: str) -> tuple[str, ...]:
    """What in a text of whatever purpose surely has Purple Dot's form: an index, or as many digits
    as its numbers have."""
    words = reference_words(text)
    return tuple(word for word in words if "/" in word or len(word) >= _LONG_ENOUGH)


@lru_cache(maxsize=4096)  # A batch compares the same few texts again and again.
def likely_references(text: str, pattern: re.Pattern[str] | None) -> frozenset[str]:
    """What in a text looks like Purple Dot's, normalized: the whole of it, or words inside it.
    `pattern` says how a reference begins; without one, any text may be a reference."""
    text = _legible(text)
    whole = normalize_reference(text)
    words = {
        normalize_reference(word)
        for word in reference_words(text)
        if pattern is None or pattern.search(word)
    }
    if pattern is None:
        return frozenset({whole, *words} - {""})
    for word in _BLANKS.split(text):
        tails = [word[match.start() :] for match in _STARTS.finditer(word)]
        # A word that looks right as a whole is not looked into: its end would be another number.
        parts = [word] if pattern.search(word) else filter(pattern.search, tails)
        words |= {normalize_reference(part) for part in parts}
    is_one_word = _BLANKS.search(text.strip()) is None
    if pattern.search(text.strip()) and (is_one_word or not words):
        words.add(whole)
    return frozenset(words - {""})
