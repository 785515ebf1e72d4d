"""Carriers: a code or name from ShipStation → the name that shoppers know, and a link that opens. The table is `carriers.csv`.

Each row of the table holds its codes (parted by spaces; a trailing `*` stands for any further regional suffix), the name in exactly
Shopify's spelling where Shopify lists the carrier, other names (parted by `|`), the link with `{n}` for the number, where all that was
seen, and how certain it is: `sure`, `likely` or `guess`.
Codes: https://docs.shipstation.com/openapi/labels · names: https://shopify.dev/docs/api/admin-graphql/latest/objects/FulfillmentTrackingInfo
"""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from urllib.parse import quote, urlsplit

from bridge.shipments import Shipment

_NAMELESS = frozenset({"other", "unknown", "none", "null", "external", "custom", "na"})
"""What ShipStation says when nobody chose a carrier; no shopper knows a carrier of that name."""

_LONGEST_LINK = 2000


@dataclass(frozen=True, slots=True)
class CarrierRow:
    """One carrier. A link is https and holds `{n}` exactly once, or is None; ValueError otherwise."""

    codes: tuple[str, ...]
    company: str
    link: str | None = None
    aliases: tuple[str, ...] = ()
    source: str = ""
    certainty: str = ""

    def __post_init__(self) -> None:
        if not self.company or not self.codes:
            raise ValueError(f"a carrier needs a code and a name: {self.codes} {self.company!r}")
        if self.link is not None and not (self.link.startswith("https://") and self.link.count("{n}") == 1):
            raise ValueError(f"the link of {self.company} must start with https:// and hold {{n}} once: {self.link!r}")


def rows_of(text: str) -> tuple[CarrierRow, ...]:
    """CSV with the columns of `carriers.csv` → rows; only `codes` and `company` must be there. ValueError names the wrong line."""
    reader = csv.DictReader(io.StringIO(text), restval="")
    rows = []
    for row in reader:
        cells = {key: (value or "").strip() for key, value in row.items() if isinstance(key, str) and not isinstance(value, list)}
        try:
            rows.append(_row(cells))
        except ValueError as exc:
            raise ValueError(f"line {reader.line_num}: {exc}") from exc
    return tuple(rows)


def _row(cells: dict[str, str]) -> CarrierRow:
    return CarrierRow(
        codes=tuple(cells.get("codes", "").split()),
        company=cells.get("company", ""),
        link=cells.get("link") or None,
        aliases=tuple(alias.strip() for alias in cells.get("aliases", "").split("|") if alias.strip()),
        source=cells.get("source", ""),
        certainty=cells.get("certainty", ""),
    )


TABLE = rows_of(files(__package__).joinpath("carriers.csv").read_text(encoding="utf-8"))


class Carriers:
    """The table, with an operator's own rows before it."""

    def __init__(self, overrides: Iterable[CarrierRow] = ()) -> None:
        self._exact: dict[str, CarrierRow] = {}
        self._prefixes: dict[str, CarrierRow] = {}
        # An operator's row wins whole; in the table itself an exact code wins over a name, and a name over nothing.
        for rows in (tuple(overrides), TABLE):
            self._learn(rows)

    def _learn(self, rows: Sequence[CarrierRow]) -> None:
        for row in rows:
            for code in row.codes:
                known = self._prefixes if code.endswith("*") else self._exact
                known.setdefault(_code(code.removesuffix("*")) + "_" if code.endswith("*") else _squeezed(code), row)
        for row in rows:
            for name in (row.company, *row.aliases):
                self._exact.setdefault(_squeezed(name), row)

    def of(self, shipment: Shipment) -> tuple[str | None, str | None]:
        """(company, link) to tell the shopper; each None where nothing is known for certain. The label's own link goes first, and
        the name that a person chose goes before any code. An unknown carrier is passed on readable, never as another carrier."""
        given = next((value for value in (shipment.carrier_name, shipment.carrier_code) if not _is_nameless(value)), None)
        row = self.row(given) if given else None
        company = row.company if row else _readable(given) if given else None
        return company, _own_link(shipment.tracking_url) or link(row, shipment.tracking_number)

    def row(self, code_or_name: str) -> CarrierRow | None:
        """The carrier of this code or name, whatever its case, spaces and punctuation; None for one that is not in the table."""
        exact = self._exact.get(_squeezed(code_or_name))
        if exact is not None:
            return exact
        code = _code(code_or_name)
        fitting = [prefix for prefix in self._prefixes if code.startswith(prefix)]
        return self._prefixes[max(fitting, key=len)] if fitting else None


def link(row: CarrierRow | None, number: str | None) -> str | None:
    """The carrier's page for exactly this number, URL-encoded; None where the carrier has no page or the number can't be written."""
    if row is None or row.link is None or not number or not number.isprintable():
        return None
    return row.link.replace("{n}", quote(number, safe=""))


def _own_link(url: str | None) -> str | None:
    """A label's own link, if a shopper's browser can open it."""
    if not url or len(url) > _LONGEST_LINK or not url.isprintable() or re.search(r'[\s\\<>"]', url):
        return None
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.username is None
    except ValueError:
        return None
    return url if usable else None


def _code(text: str) -> str:
    """`UPS-Walleted` → `ups`: one account's billing is no other carrier."""
    return re.sub(r"[^a-z0-9]+", "_", text.casefold()).strip("_").removesuffix("_walleted")


def _squeezed(text: str) -> str:
    """`Fed Ex`, `fedex` and `FEDEX_WALLETED` are one; letters beyond ASCII stay, so that foreign names never meet by accident."""
    return "".join(char for char in text.casefold() if char.isalnum()).removesuffix("walleted")


def _is_nameless(text: str | None) -> bool:
    return text is None or _squeezed(text) in _NAMELESS | {""}


def _readable(text: str) -> str:
    """`my_carrier` → `My Carrier`; what a person wrote stays as it was written."""
    words = text.strip().removesuffix("_walleted")
    if words != words.casefold() or " " in words:
        return words
    return " ".join(word.capitalize() for word in re.split(r"[_\-]+", words) if word)
