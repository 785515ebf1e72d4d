"""What we count on in the vendors' answers: the models, and vendor_fields.csv, our own list of each
field that we read or write.

In the list, `always` is what each row must have (null is as good), `sometimes` what may be left
out; `source` says who told us of it: the vendor's document, a captured answer, a public client's
code, or nobody (undocumented: read in case it comes). Nothing is stored."""

import csv
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from bridge.domain.errors import PayloadError
from bridge.vendors.purple_dot.payloads import order_of, order_rows
from bridge.vendors.shipstation.payloads import page_of, record_of

_MISSING = object()
_NAMES = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "list",
    dict: "object",
}


@dataclass(frozen=True, slots=True)
class VendorField:
    """One field of one call: its path such as `labels[].packages[].tracking_number`, and its JSON
    type."""

    kind: str
    call: str
    field: str
    type: str
    when: str
    source: str


def vendor_fields() -> dict[str, list[VendorField]]:
    """The list by kind of row: `v2_label` and so on; `sent` is what we write, `query` what we
    filter by."""
    lines = (
        files(__package__).joinpath("vendor_fields.csv").read_text(encoding="utf-8").splitlines()
    )
    found: dict[str, list[VendorField]] = defaultdict(list)
    for row in csv.DictReader(line for line in lines if not line.startswith("#")):
        found[row["kind"]].append(VendorField(**row))
    return found


def changes(body: object, fields: list[VendorField]) -> list[str]:
    """How an answer differs from the list, a sentence for each field; never a value."""
    return [
        told
        for field in fields
        for told in _changed(field, list(_values(body, field.field.split("."))))
    ]


def has_rows(body: object, fields: list[VendorField]) -> bool:
    """Whether there is anything to compare; a list that isn't there counts as something."""
    return any(True for _ in _values(body, fields[0].field.split(".")))


def _changed(field: VendorField, values: list[Any]) -> Iterator[str]:
    missing = sum(value is _MISSING for value in values)
    if missing and field.when == "always":
        yield f"{field.field} is missing in {missing} of {len(values)}"
    kinds = Counter(
        _NAMES.get(type(value), "null")
        for value in values
        if value is not _MISSING and value is not None
    )
    for kind in kinds.keys() - {field.type}:
        yield f"{field.field} is {kind} in {kinds[kind]} of {len(values)}, and was {field.type}"


def _values(node: Any, path: list[str]) -> Iterator[Any]:
    if not path:
        yield node
        return
    name = path[0].removesuffix("[]")
    inner = (
        node if not name else node.get(name, _MISSING) if isinstance(node, Mapping) else _MISSING
    )
    if path[0].endswith("[]") and inner is not _MISSING:
        for one in inner if isinstance(inner, list) else [inner] * (inner is not None):
            yield from _values(one, path[1:])
    elif inner is not None or not path[1:]:
        yield from _values(inner, path[1:] if inner is not _MISSING else [])


def unreadable(kind: str, body: object) -> list[str]:
    """What our models say of rows that they can't read; subscriptions are read by whoever lists
    them."""
    told: list[str] = []
    try:
        rows = (
            order_rows(body)
            if kind == "pd_order"
            else []
            if kind.endswith("_webhook")
            else page_of(f"{kind[3:]}s", body).rows
        )
        for row in rows:
            order_of(row) if kind == "pd_order" else record_of(kind, row)
    except PayloadError as exc:
        told.append(str(exc))
    return told
