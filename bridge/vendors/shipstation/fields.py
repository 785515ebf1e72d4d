"""How single fields of ShipStation's rows are read.

Lenient where a loose value can do no harm (ids as numbers, blank texts, dates) and strict where a
guess would ship the wrong thing: a quantity that is no whole number is kept as it was written, for
a person to see."""

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, TypeVar

from pydantic import (
    BeforeValidator,
    StringConstraints,
    ValidationError,
    WrapValidator,
)

from bridge.domain.orders import reference_words
from bridge.domain.redaction import LEFT_OUT
from bridge.domain.tracking_numbers import tracking_numbers

LONGEST_ID = 100
LONGEST_SKU = 255
"""As at Shopify."""
UNREADABLE = "unreadable"
_LARGEST_EXACT_FLOAT = 2**53


def text_field(value: object) -> object:
    """Numbers become text, white space around goes, blank means absent, and so does what no
    database stores (NUL, half a character)."""
    if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST_EXACT_FLOAT:
        return str(int(value))
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        return value
    return value.replace("\0", "").encode(errors="replace").decode().strip() or None


def _word(value: object) -> object:
    """One word with a digit in it, as what can name an order has."""
    text = text_field(value)
    if not isinstance(text, str):
        return text
    is_id = len(text) <= LONGEST_ID and re.fullmatch(r"[^\s@]*[0-9][^\s@]*", text)
    return text if is_id else None


def _key(value: object) -> object:
    """One word, as ids and keys are; a text of several, or an e-mail address, is none."""
    text = text_field(value)
    if not isinstance(text, str):
        return text
    return text if re.fullmatch(r"[^\s@]{1,100}", text) else None


def _order_number(value: object) -> object:
    """The number of an order: a word with a digit in it. Of a longer text the references of Purple
    Dot's, or else its only such word: whatever stands beside may be a person's."""
    text = text_field(value)
    if not isinstance(text, str):
        return text
    words = [word for word in text.split() if isinstance(_word(word), str)]
    if len(text.split()) > 1:
        words = list(reference_words(text)) or words
    is_known = len(words) == 1 or bool(reference_words(text))
    return " ".join(words) if words and is_known else None


def number_field(value: object) -> object:
    """The tracking numbers in the field. A text that holds none is kept as `…`: it says that
    somebody wrote something, not what."""
    text = text_field(value)
    if not isinstance(text, str):
        return text
    return ", ".join(tracking_numbers(text)) or LEFT_OUT


def _listed_number(value: object) -> object:
    """As `number_field`, where what is no text must not take its row along."""
    numbers = number_field(value)
    return numbers if numbers is None or isinstance(numbers, str) else LEFT_OUT


def _short_text(value: object) -> object:
    """A code or a carrier's name: never an e-mail address, never long. What is no text names
    nothing."""
    text = text_field(value)
    is_short = isinstance(text, str) and len(text) <= LONGEST_ID and "@" not in text
    return text if is_short else None


def _sku(value: object) -> object:
    """A SKU. One that can't be kept, since it is an e-mail address or longer than any, still says
    that the item is goods."""
    text = text_field(value)
    if not isinstance(text, str):
        return text
    is_address = re.search(r"[^\s@]@[^\s@]+\.[^\s@]", text) is not None
    return LEFT_OUT if is_address or len(text) > LONGEST_SKU else text


def _link(value: object) -> object:
    text = text_field(value)
    is_link = isinstance(text, str) and re.fullmatch(
        r"https?://[^\s@]{1,2000}", text, re.IGNORECASE
    )
    return text if is_link else None


def _day(value: object) -> date | None:
    """The calendar date as written: real answers carry a midnight of another time zone, which must
    not move the day."""
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        return None


def _quantity(value: object) -> int | str | None:
    """Whole units as a number; what is no whole number stays as it was written; None is absent."""
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    text = str(value).strip()
    if re.fullmatch(r"[+-]?[0-9]{1,9}(\.0*)?", text):
        return int(text.partition(".")[0])
    is_number = re.fullmatch(r"[+-]?[0-9]{0,9}[.,]?[0-9]{1,9}", text)
    return text if is_number else UNREADABLE


def _flag(value: object) -> object:
    return False if value == "" else value


def _list(value: object) -> object:
    return value if isinstance(value, list) else []


def _all_or_none(items: object, read: Any) -> Any:
    """A list of which each row counts says nothing where one can't be read."""
    try:
        return read(items)
    except ValidationError:
        return []


def _rows(value: object) -> object:
    """What is no list, or no object in it, says nothing, and takes no other along."""
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []


def or_nothing(value: object) -> object:
    """An empty list where an object should stand, as some languages write an empty one."""
    return value or {}


T = TypeVar("T")
_SHORT = StringConstraints(max_length=LONGEST_ID)
Id = Annotated[str, BeforeValidator(text_field), _SHORT]
Text = Annotated[str | None, BeforeValidator(text_field)]
Word = Annotated[str | None, BeforeValidator(_word)]
Key = Annotated[str | None, BeforeValidator(_key)]
OrderNumber = Annotated[str | None, BeforeValidator(_order_number)]
NumberField = Annotated[str | None, BeforeValidator(_listed_number)]
Sku = Annotated[str | None, BeforeValidator(_sku)]
Link = Annotated[str | None, BeforeValidator(_link)]
ShortText = Annotated[str | None, BeforeValidator(_short_text)]
Day = Annotated[date | None, BeforeValidator(_day)]
Flag = Annotated[bool, BeforeValidator(_flag)]
Quantity = Annotated[int | str | None, BeforeValidator(_quantity)]
Items = Annotated[list[T], WrapValidator(_all_or_none)]
Rows = Annotated[list[T], BeforeValidator(_rows)]
Ids = Annotated[list[Key], BeforeValidator(_list)]
