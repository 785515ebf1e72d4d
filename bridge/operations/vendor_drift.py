"""What we count on in the vendors' answers, and how a live answer differs from it.

What we count on is what our models read: their fields, in the vendor's own words, of the types that
they take. Only which fields may be left out is written down here. Nothing is stored."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel

from bridge.domain.errors import PayloadError
from bridge.vendors.purple_dot.payloads import OrderRow, order_of, order_rows
from bridge.vendors.shipstation.payloads import MODELS, page_of, record_of
from bridge.vendors.shipstation.subscription_calls import V1Webhook, V2Webhook

_MISSING = object()
_NAMES = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "list",
    dict: "object",
}
_READABLE: Mapping[type, tuple[str, ...]] = {
    str: ("string", "integer"),
    bool: ("boolean",),
    int: ("integer",),
    float: ("number", "integer"),
    date: ("string",),
    datetime: ("string",),
}
"""Which JSON types a field of a model takes: an id may come as a number."""


class _List(NamedTuple):
    """A call that lists rows of a model: where they stand in its answer, and which fields of a row
    may be left out, for the vendor says so or nobody says that they come."""

    call: str
    rows: str
    model: type[BaseModel]
    may_be_left_out: str = ""


_LISTS = {
    "v2_label": _List(
        "GET /v2/labels",
        "labels[].",
        MODELS["v2_label"],
        "external_shipment_id external_order_id service_code void_requested",
    ),
    "v2_fulfillment": _List(
        "GET /v2/fulfillments",
        "fulfillments[].",
        MODELS["v2_fulfillment"],
        "carrier_code is_return_label fulfillment_service_code",
    ),
    "v2_shipment": _List(
        "GET /v2/shipments",
        "shipments[].",
        MODELS["v2_shipment"],
        "external_order_id is_return sales_order_ids[] items[].external_order_id items[].bundle_sku"
        " items[].sales_order_id",
    ),
    "v2_webhook": _List(
        "GET /v2/environment/webhooks", "[].", V2Webhook, "name store_id headers[]"
    ),
    "v1_shipment": _List(
        "GET /shipments",
        "shipments[].",
        MODELS["v1_shipment"],
        "shipmentItems[].adjustment voidRequested serviceCode",
    ),
    "v1_fulfillment": _List(
        "GET /fulfillments",
        "fulfillments[].",
        MODELS["v1_fulfillment"],
        "isReturnLabel fulfillmentServiceCode",
    ),
    "v1_order": _List(
        "GET /orders",
        "orders[].",
        MODELS["v1_order"],
        "items[].adjustment advancedOptions.mergedIds[]",
    ),
    "v1_webhook": _List("GET /webhooks", "webhooks[].", V1Webhook, "Name StoreID Active"),
    "pd_order": _List(
        "GET /fulfillment-orders", "data.fulfillment_orders[].", OrderRow, "created_at"
    ),
}
_PAGING = (("total", ("integer",)), ("pages", ("integer",)))


@dataclass(frozen=True, slots=True)
class VendorField:
    """One field of one call: its path such as `labels[].packages[].tracking_number`, and the JSON
    types that we can read; none where any will do."""

    kind: str
    call: str
    field: str
    types: tuple[str, ...]
    may_be_left_out: bool


def vendor_fields() -> dict[str, list[VendorField]]:
    """Each field that we read, by kind of row: `v2_label` and so on."""
    return {kind: list(_fields(kind, listed)) for kind, listed in _LISTS.items()}


def changes(body: object, fields: list[VendorField]) -> list[str]:
    """How an answer differs from what we count on, a sentence for each field; never a value."""
    sentences: list[str] = []
    for field in fields:
        sentences += _changed(field, list(_values(body, field.field.split("."))))
    return sentences


def has_rows(body: object, fields: list[VendorField]) -> bool:
    """Whether there is anything to compare; a list that isn't there counts as something."""
    return any(True for _ in _values(body, fields[0].field.split(".")))


def unreadable(kind: str, body: object) -> list[str]:
    """What our models say of rows that they can't read; subscriptions are read by whoever lists
    them."""
    if kind.endswith("_webhook"):
        return []
    try:
        if kind == "pd_order":
            for row in order_rows(body):
                order_of(row)
        else:
            for row in page_of(f"{kind[3:]}s", body).rows:
                record_of(kind, row)
    except PayloadError as exc:
        return [str(exc)]
    return []


def _fields(kind: str, listed: _List) -> Iterator[VendorField]:
    left_out = {f"{listed.rows}{path}" for path in listed.may_be_left_out.split()}
    for path, types in _leaves(listed.model, listed.rows):
        yield VendorField(kind, listed.call, path, types, path in left_out)
    if kind in MODELS:
        for path, types in _PAGING:
            yield VendorField(kind, listed.call, path, types, may_be_left_out=False)


def _leaves(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """The paths of a model's fields, in the vendor's own words, and the types that it takes."""
    for name, field in model.model_fields.items():
        path = f"{prefix}{field.alias or name}"
        annotation = field.annotation
        is_list = get_origin(annotation) is list
        inner = get_args(annotation)[0] if is_list else annotation
        if is_list:
            path += "[]"
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _leaves(inner, f"{path}.")
        else:
            yield path, _types_of(inner)


def _types_of(annotation: object) -> tuple[str, ...]:
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) is dict:
        return ()
    for part in get_args(annotation) or (annotation,):
        if isinstance(part, type) and part in _READABLE:
            return _READABLE[part]
    return ()


def _changed(field: VendorField, values: Sequence[Any]) -> Iterator[str]:
    missing = sum(value is _MISSING for value in values)
    if missing and not field.may_be_left_out:
        yield f"{field.field} is missing in {missing} of {len(values)}"
    counts: Counter[str] = Counter()
    for value in values:
        if value is not _MISSING and value is not None:
            counts[_NAMES[type(value)]] += 1
    for name, count in counts.items():
        if field.types and name not in field.types:
            readable = " or ".join(field.types)
            yield f"{field.field} is {name} in {count} of {len(values)}, and was {readable}"


def _values(node: Any, path: list[str]) -> Iterator[Any]:
    """Every value at `path`, _MISSING where a row hasn't it; nothing where what should hold it is
    null."""
    if not path:
        yield node
        return
    name = path[0].removesuffix("[]")
    inner = node
    if name:
        inner = node.get(name, _MISSING) if isinstance(node, Mapping) else _MISSING
    rest = path[1:]
    if inner is _MISSING:
        yield _MISSING
    elif path[0].endswith("[]"):
        yield from _values_of_list(inner, rest)
    elif inner is not None or not rest:
        yield from _values(inner, rest)


def _values_of_list(inner: Any, rest: list[str]) -> Iterator[Any]:
    if inner is None:
        return
    for row in inner if isinstance(inner, list) else [inner]:
        yield from _values(row, rest)
