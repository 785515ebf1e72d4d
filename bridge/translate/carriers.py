"""Carriers: a code or name from ShipStation → the name that shoppers know, and a link that opens.
The table is `carriers.csv`.

Each row holds its codes (parted by spaces; a trailing `*` stands for any further regional suffix),
the name in exactly Shopify's spelling where Shopify lists the carrier, other names (parted by `|`),
the link with `{n}` for the number, where all that was seen, and how certain it is: `sure`, `likely`
or `guess`. Codes: https://docs.shipstation.com/openapi/labels · names:
https://shopify.dev/docs/api/admin-graphql/latest/objects/FulfillmentTrackingInfo"""

import csv
import re
from collections.abc import Sequence
from importlib.resources import files
from urllib.parse import quote

from bridge.domain.shipments import Shipment

Row = dict[str, str]
TABLE: tuple[Row, ...] = tuple(
    csv.DictReader(
        files(__package__).joinpath("carriers.csv").read_text(encoding="utf-8").splitlines()
    )
)

_NAMELESS = frozenset({"", "other", "unknown", "none", "null", "external", "custom", "na"})
"""What ShipStation says when nobody chose a carrier; no shopper knows a carrier of that name."""


def own_rows(text: str) -> list[Row]:
    """An operator's own rows, CSV with at least the columns codes and company. ValueError names the
    line and what is wrong with it."""
    rows = []
    for number, given in enumerate(csv.DictReader(text.lstrip("\ufeff").splitlines()), start=2):
        row = {name: (given.get(name) or "").strip() for name in TABLE[0]}
        if not row["codes"] or not row["company"]:
            raise ValueError(f"line {number}: codes and company are both needed")
        if row["link"] and not (
            row["link"].startswith("https://") and row["link"].count("{n}") == 1
        ):
            raise ValueError(
                f"line {number}: a link starts with https:// and holds {{n}} once, where the number goes"
            )
        rows.append(row)
    return rows


class Carriers:
    """The table, ready to be asked; an operator's `own` rows go before it."""

    def __init__(self, own: Sequence[Row] = ()) -> None:
        codes = [(code, row) for row in (*own, *TABLE) for code in row["codes"].split()]
        names = [
            (name, row)
            for row in (*own, *TABLE)
            for name in (row["company"], *row["aliases"].split("|"))
        ]
        # An exact code wins over a name, and the first row over a later one.
        self._exact = {
            _squeezed(text): row
            for text, row in reversed([*codes, *names])
            if text and not text.endswith("*")
        }
        self._prefixes = {
            _code(code.removesuffix("*")) + "_": row
            for code, row in reversed(codes)
            if code.endswith("*")
        }

    def of(self, shipment: Shipment) -> tuple[str | None, str | None]:
        """(company, link) to tell the shopper; each None where nothing is known for certain. The
        label's own link goes first, and the name that a person chose goes before any code. An
        unknown carrier is passed on readable, never as another carrier."""
        given = _given(shipment)
        row = self.row(given) if given else None
        company = row["company"] if row else _readable(given) if given else None
        return company, _own_link(shipment.tracking_url) or link(row, shipment.tracking_number)

    def unknown(self, shipment: Shipment) -> str | None:
        """The carrier that the table does not hold, as ShipStation wrote it; None when it does, or
        when nobody named one."""
        given = _given(shipment)
        return given if given and self.row(given) is None else None

    def row(self, code_or_name: str) -> Row | None:
        """The carrier of this code or name, whatever its case, spaces and punctuation; None for one
        that is not in the table."""
        code = _code(code_or_name)
        prefix = max(
            (prefix for prefix in self._prefixes if code.startswith(prefix)), key=len, default=""
        )
        return self._exact.get(_squeezed(code_or_name)) or self._prefixes.get(prefix)


def _given(shipment: Shipment) -> str | None:
    return next(
        (
            text
            for text in (shipment.carrier_name, shipment.carrier_code)
            if _squeezed(text or "") not in _NAMELESS
        ),
        None,
    )


def link(row: Row | None, number: str | None) -> str | None:
    """The carrier's page for exactly this number, URL-encoded; None where the carrier has no page
    or the number can't be written."""
    if row is None or not row["link"] or not number or not number.isprintable():
        return None
    return row["link"].replace("{n}", quote(number, safe=""))


def _own_link(url: str | None) -> str | None:
    """A label's own link, if a shopper's browser can open it."""
    fits = (
        url
        and len(url) <= 2000
        and re.fullmatch(
            r"https?://[\w.-]+(:\d{1,5})?([/?#][^\s\\<>\"]*)?", url, re.IGNORECASE | re.ASCII
        )
    )
    return url if fits and url and url.isprintable() else None


def _code(text: str) -> str:
    """`UPS-Walleted` → `ups`: one account's billing is no other carrier."""
    return re.sub(r"[^a-z0-9]+", "_", text.casefold()).strip("_").removesuffix("_walleted")


def _squeezed(text: str) -> str:
    """`Fed Ex`, `fedex` and `FEDEX_WALLETED` are one; letters beyond ASCII stay, so that foreign
    names never meet by accident."""
    return "".join(char for char in text.casefold() if char.isalnum()).removesuffix("walleted")


def _readable(text: str) -> str:
    """`my_carrier` → `My Carrier`; what a person wrote stays as it was written."""
    words = text.strip().removesuffix("_walleted")
    return (
        words
        if words != words.casefold() or " " in words
        else " ".join(word.capitalize() for word in re.split(r"[_-]+", words) if word)
    )
