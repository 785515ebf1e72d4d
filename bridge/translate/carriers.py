"""Carriers: a code or name from ShipStation → the name that shoppers know, and a link that opens.
The table is `carriers.csv`.

Each row holds its codes (parted by spaces; a trailing `*` stands for any further suffix), the name
in exactly Shopify's spelling where Shopify lists the carrier, other names (parted by `|`), services
that mean this carrier whatever account sold them, the link with `{n}` for the number, where all
that was seen, and how certain it is: `sure`, `likely` or `guess`. A guessed link is not sent.
Codes: https://docs.shipstation.com/openapi/labels · names:
https://shopify.dev/docs/api/admin-graphql/latest/objects/FulfillmentTrackingInfo"""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from urllib.parse import quote, urlsplit

from bridge.domain.shipments import Shipment

Row = dict[str, str]


def _table() -> tuple[Row, ...]:
    text = files(__package__).joinpath("carriers.csv").read_text(encoding="utf-8")
    return tuple(csv.DictReader(text.splitlines()))


TABLE = _table()

_NAMELESS = frozenset({"", "other", "unknown", "none", "null", "external", "custom", "na"})
"""What ShipStation says when nobody chose a carrier; no shopper knows a carrier of that name."""
_OWN_ACCOUNT = re.compile(r"(?:_cnd)?_?wallet(?:ed)?(?:_[a-z]{2})?$")
"""What ShipStation adds to the codes of its own accounts."""
_COUNTRIES = frozenset({
    "at", "au", "be", "ca", "ch", "cz", "de", "dk", "es", "fi", "fr", "gb", "ie", "it", "nl", "no",
    "nz", "pl", "pt", "se", "uk", "us",
})  # fmt: skip
_SERVICE_WORDS = frozenset({
    "1st", "2day", "2nd", "3", "24", "3rd", "48", "advantage", "air", "am", "by", "class", "day",
    "delivery", "economy", "envelope", "expedited", "express", "first", "for", "freight", "ground",
    "guaranteed", "home", "international", "intl", "mail", "next", "overnight", "parcel", "plus",
    "post", "premium", "priority", "return", "saver", "select", "shipstation", "signed",
    "signature", "special", "standard", "surepost", "tracked", "untracked", "worldwide", "from",
    "smartpost", "a.m", "p.m", "to", "canada", "mexico", "direct", "inc", "ltd", "limited", "llc",
    "corp", "corporation", "gmbh", "account", "main",
})  # fmt: skip
"""What people write behind a carrier's name; any other word makes it another carrier."""
_ACCOUNT_NUMBER = re.compile(r"[0-9]{4,}")
_OTHER_NAMES = re.compile(r"[()/]")
"""What parts two names of one carrier."""
_LINK = re.compile(r"https?://[\w.-]+(:\d{1,5})?([/?#][^\s\\<>\"]*)?", re.IGNORECASE | re.ASCII)
_LONGEST_LINK = 2000


def own_rows(text: str) -> list[Row]:
    """An operator's own rows, CSV with at least the columns codes and company. ValueError names the
    line and what is wrong with it."""
    rows = []
    for number, cells in enumerate(csv.DictReader(text.lstrip("\ufeff").splitlines()), start=2):
        row = {name: (cells.get(name) or "").strip() for name in TABLE[0]}
        if not row["codes"] or not row["company"]:
            raise ValueError(f"line {number}: codes and company are both needed")
        url = row["link"]
        if url and not (url.startswith("https://") and url.count("{n}") == 1):
            raise ValueError(
                f"line {number}: a link starts with https:// and holds {{n}} once, where the"
                " number goes"
            )
        rows.append(row)
    return rows


class Carriers:
    """The table, ready to be asked; an operator's `own` rows go before it."""

    def __init__(self, own: Sequence[Row] = ()) -> None:
        rows = (*own, *TABLE)
        # An exact code wins over a name, and the first row over a later one.
        texts = [*_by(rows, "codes", " "), *_names(rows)]
        self._exact = {
            _squeezed(text): row for text, row in reversed(texts) if not text.endswith("*")
        }
        self._prefixes = {
            f"{_code(code.removesuffix('*'))}_": row
            for code, row in reversed(list(_by(rows, "codes", " ")))
            if code.endswith("*")
        }
        self._services = list(_by(rows, "services", " "))
        self._companies_by_domain: dict[str, set[str]] = {}
        for row in rows:
            companies = self._companies_by_domain.setdefault(_domain(row["link"]), set())
            companies.add(_brand(row))
        self._learned: dict[str, str] = {}

    def learn(self, names: Mapping[str, str]) -> None:
        """Names that the account's own carriers have, by code, as `GET /v2/carriers` shows them.
        They count for codes that the table does not hold."""
        for code, name in names.items():
            if _squeezed(name) not in _NAMELESS:
                self._learned[_squeezed(code)] = _without_shipstation(name)

    def of(self, shipment: Shipment) -> tuple[str | None, str | None]:
        """(company, link) for the shopper; each None where nothing is known for certain. A
        service that names another carrier than the account goes first, then the name that a person
        chose, then the code. The label's own link counts where it is not another carrier's. An
        unknown carrier is passed on readable, never as another one."""
        row = self._row_of(shipment)
        company = row["company"] if row else self._readable(_given(shipment))
        return company, self._link_of(shipment, row)

    def unknown(self, shipment: Shipment) -> str | None:
        """The carrier that neither the table nor the account's own list holds, as ShipStation wrote
        it; None when one does, or when nobody named one."""
        given = _given(shipment)
        is_known = given is None or self._row_of(shipment) is not None
        return None if is_known or _squeezed(given or "") in self._learned else given

    def row(self, code_or_name: str) -> Row | None:
        """The carrier of this code or name, whatever its case, spaces and punctuation, with or
        without a service behind it; None for one that is not in the table."""
        exact = self._exact.get(_squeezed(code_or_name))
        if exact:
            return exact
        by_code = self._row_of_code(_code(code_or_name))
        return by_code or self._row_of_name(code_or_name) or self._row_of_names(code_or_name)

    def _row_of(self, shipment: Shipment) -> Row | None:
        by_service = self._row_of_service(shipment.service_code)
        given = _given(shipment)
        if by_service or given is None:
            return by_service
        learned = self._learned.get(_squeezed(given))
        return self.row(given) or (self.row(learned) if learned else None)

    def _row_of_service(self, service_code: str | None) -> Row | None:
        code = _code(service_code or "")
        for service, row in self._services:
            is_open = service.endswith("*")
            if code == service or (is_open and code.startswith(service.removesuffix("*"))):
                return row
        return None

    def _row_of_code(self, code: str) -> Row | None:
        plain = _OWN_ACCOUNT.sub("", code)
        # Of several beginnings of one code, the longest is the last in the alphabet as well.
        prefix = max((p for p in self._prefixes if plain.startswith(p)), default="")
        row = self._exact.get(_squeezed(plain)) or self._prefixes.get(prefix)
        if row:
            return row
        carrier, _, country = plain.rpartition("_")
        if country in _COUNTRIES and _squeezed(carrier) in self._exact:
            row = self._exact[_squeezed(carrier)]
            # A carrier's page for one country does not know another's numbers.
            is_national = len(_domain(row["link"]).rpartition(".")[2]) == 2
            return row | {"link": ""} if is_national else row
        # Only in a code of ShipStation's own accounts is what follows the carrier a service.
        return self._shortened(plain) if plain != code else None

    def _shortened(self, code: str) -> Row | None:
        while "_" in code:
            code = code.rpartition("_")[0]
            if _squeezed(code) in self._exact:
                return self._exact[_squeezed(code)]
        return None

    def _row_of_name(self, name: str) -> Row | None:
        """The carrier whose name a text begins with, if only words of a service follow."""
        words = re.findall(r"[^\W_]+(?:\.[^\W_]+)*", name.casefold())
        for length in range(len(words) - 1, 0, -1):
            row = self._exact.get("".join(_squeezed(word) for word in words[:length]))
            further = [word for word in words[length:] if not _ACCOUNT_NUMBER.fullmatch(word)]
            if row and _SERVICE_WORDS.issuperset(further):
                return row
        return None

    def _row_of_names(self, text: str) -> Row | None:
        """The carrier that a text names twice, as `Federal Express (FedEx)` does."""
        names = [name.strip() for name in _OTHER_NAMES.split(text) if name.strip()]
        if len(names) < 2:
            return None
        rows = [row for row in map(self.row, names) if row]
        companies = {row["company"] for row in rows}
        return rows[0] if len(companies) == 1 else None

    def _readable(self, given: str | None) -> str | None:
        if given is None:
            return None
        return self._learned.get(_squeezed(given)) or _readable(given)

    def _link_of(self, shipment: Shipment, row: Row | None) -> str | None:
        own = _own_link(shipment.tracking_url)
        if own is None:
            return link(row, shipment.tracking_number)
        companies = self._companies_by_domain.get(_domain(own), set())
        # A link of another carrier than is named: which of the two is right can't be known.
        is_anothers = row is not None and companies and _brand(row) not in companies
        return None if is_anothers else own


def _by(rows: Sequence[Row], column: str, separator: str) -> Iterator[tuple[str, Row]]:
    for row in rows:
        for text in row[column].split(separator):
            if text:
                yield text, row


def _names(rows: Sequence[Row]) -> Iterator[tuple[str, Row]]:
    for row in rows:
        yield row["company"], row
    yield from _by(rows, "aliases", "|")


def _given(shipment: Shipment) -> str | None:
    for text in (shipment.carrier_name, shipment.carrier_code):
        if text and _squeezed(text) not in _NAMELESS:
            return text
    return None


def link(row: Row | None, number: str | None) -> str | None:
    """The carrier's page for exactly this number, URL-encoded; None where the carrier has no page
    that is known for certain, or the number can't be written."""
    if row is None or not row["link"] or row["certainty"] == "guess":
        return None
    if not number or not number.isprintable():
        return None
    return row["link"].replace("{n}", quote(number, safe=""))


def _own_link(url: str | None) -> str | None:
    """A label's own link, if a shopper's browser can open it."""
    if not url or len(url) > _LONGEST_LINK or not url.isprintable():
        return None
    return url if _LINK.fullmatch(url) else None


def _domain(url: str) -> str:
    """`https://tools.usps.com/…` → `usps.com`: whose page it is."""
    labels = (urlsplit(url).hostname or "").split(".")
    is_second_level = len(labels) > 2 and labels[-2] in {"co", "com", "org", "net"}
    return ".".join(labels[-3:] if is_second_level else labels[-2:])


def _brand(row: Row) -> str:
    """`DHL Express` and `DHL Paket` share their pages."""
    return row["company"].split()[0]


def _code(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.casefold()).strip("_")


def _squeezed(text: str) -> str:
    """`Fed Ex`, `fedex` and `FEDEX_WALLETED` are one; letters beyond ASCII stay, so that foreign
    names never meet by accident."""
    return "".join(char for char in text.casefold() if char.isalnum()).removesuffix("walleted")


def _without_shipstation(name: str) -> str:
    return re.sub(r"\s+(?:by|from) shipstation$", "", name.strip(), flags=re.IGNORECASE)


def _readable(text: str) -> str:
    """`my_carrier` → `My Carrier`; what a person wrote stays as it was written."""
    words = text.strip()
    if words != words.casefold() or " " in words:
        return words
    plain = _OWN_ACCOUNT.sub("", words)
    return " ".join(word.capitalize() for word in re.split(r"[_-]+", plain) if word)
