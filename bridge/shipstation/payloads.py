"""ShipStation's rows, cut down to the fields we read: no person's name, no address, no e-mail, no phone, no cost ever gets past here.

Fields that ShipStation adds are ignored. Its published specification and its real answers differ, so this is lenient where a loose value
can do no harm (ids as numbers, blank texts, null lists) and strict where a guess would ship the wrong thing (half a unit).
Unknown: whether a quantity can be null (read as 0, which ships nothing), and V1's date format in fulfillments (a date we can't read is left
out).
V2: https://docs.shipstation.com/openapi · V1: https://www.shipstation.com/docs/api/
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any

from pydantic import AliasPath, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from bridge.errors import PayloadError, TemporaryError
from bridge.events import Record


def _text(value: object) -> object:
    """Numbers become text, white space around goes, blank means absent, and so does what no database stores (NUL, half a character)."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return (value.replace("\0", "").encode(errors="replace").decode().strip() or None) if isinstance(value, str) else value


def _day(value: object) -> date | None:
    """The calendar date as written: real answers carry a midnight of another time zone, which must not move the day."""
    try:
        return value if isinstance(value, date) else date.fromisoformat(str(value)[:10])
    except ValueError:
        return None


def _units(value: object) -> object:
    return 0 if value is None else value


def _list(value: object) -> object:
    return [] if value is None else value


def _flag(value: object) -> object:
    return False if value is None else value


Id = Annotated[str, BeforeValidator(_text)]
Text = Annotated[str | None, BeforeValidator(_text)]
Day = Annotated[date | None, BeforeValidator(_day)]
Units = Annotated[int, BeforeValidator(_units)]
Flag = Annotated[bool, BeforeValidator(_flag)]


class Row(BaseModel):
    """Names are the vendor's own; texts of errors never quote a value, since a value may be a person's."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)


class V1Row(Row):
    """V1 writes camelCase; here and in our code the same names stand in snake_case."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, validate_by_alias=True)


class V2Package(Row):
    tracking_number: Text = None
    sequence: int | None = None


class V2Label(Row):
    """A label bought in ShipStation. `external_shipment_id` can be one that ShipStation made up (`SEAuto-…`)."""

    label_id: Id
    shipment_id: Text = None
    status: Text = None
    external_shipment_id: Text = None
    external_order_id: Text = None
    batch_id: Text = None
    tracking_number: Text = None
    tracking_url: Text = None
    carrier_code: Text = None
    ship_date: Day = None
    is_return_label: Flag = False
    voided: Flag = False
    packages: Annotated[list[V2Package], BeforeValidator(_list)] = Field(default_factory=list)


class V2Fulfillment(Row):
    """An order marked as shipped, by a person or a provider; it has a carrier's friendly name and no code."""

    fulfillment_id: Id
    shipment_id: Text = None
    shipment_number: Text = None
    tracking_number: Text = None
    fulfillment_carrier_friendly_name: Text = None
    fulfillment_provider_code: Text = None
    fulfillment_provider_friendly_name: Text = None
    ship_date: Day = None
    voided: Flag = False
    void_requested: Flag = False


class V2Item(Row):
    sku: Text = None
    name: Text = None
    quantity: Units = 0
    item_id: Text = None
    external_order_id: Text = None
    external_order_item_id: Text = None


class V2AdvancedOptions(Row):
    custom_field1: Text = None
    custom_field2: Text = None
    custom_field3: Text = None


class V2Shipment(Row):
    """V2's own word for an order. Several may share one `shipment_number` after a split."""

    shipment_id: Id
    shipment_number: Text = None
    external_shipment_id: Text = None
    external_order_id: Text = None
    shipment_status: Text = None
    ship_date: Day = None
    is_return: Flag = False
    items: Annotated[list[V2Item], BeforeValidator(_list)] = Field(default_factory=list)
    advanced_options: Annotated[V2AdvancedOptions, BeforeValidator(lambda value: {} if value is None else value)] = V2AdvancedOptions()


class V1Item(V1Row):
    order_item_id: Text = None
    line_item_key: Text = None
    sku: Text = None
    name: Text = None
    quantity: Units = 0
    adjustment: Flag = False


class V1Shipment(V1Row):
    """A label bought in ShipStation, as V1 tells it."""

    shipment_id: Id
    order_id: Text = None
    order_key: Text = None
    order_number: Text = None
    tracking_number: Text = None
    carrier_code: Text = None
    ship_date: Day = None
    is_return_label: Flag = False
    voided: Flag = False
    shipment_items: Annotated[list[V1Item], BeforeValidator(_list)] = Field(default_factory=list)


class V1Fulfillment(V1Row):
    """An order marked as shipped, as V1 tells it; `carrier_code` is what somebody typed."""

    fulfillment_id: Id
    order_id: Text = None
    order_number: Text = None
    tracking_number: Text = None
    carrier_code: Text = None
    fulfillment_provider_code: Text = None
    ship_date: Day = None
    voided: Flag = False
    void_requested: Flag = False


class V1AdvancedOptions(V1Row):
    custom_field1: Text = None
    custom_field2: Text = None
    custom_field3: Text = None


class V1Order(V1Row):
    order_id: Id
    order_number: Text = None
    order_key: Text = None
    order_status: Text = None
    items: Annotated[list[V1Item], BeforeValidator(_list)] = Field(default_factory=list)
    advanced_options: Annotated[V1AdvancedOptions, BeforeValidator(lambda value: {} if value is None else value)] = V1AdvancedOptions()


class InlineRow(Row):
    """One row that a warehouse system tells us itself, in the words of `POST /v2/fulfillments`. https://docs.shipstation.com/openapi/fulfillments"""

    shipment_id: Id
    tracking_number: Id
    carrier_code: Id
    ship_date: Day = None
    notify_customer: bool | None = None
    notify_order_source: bool | None = None


MODELS: dict[str, type[BaseModel]] = {
    "v2_label": V2Label,
    "v2_fulfillment": V2Fulfillment,
    "v2_shipment": V2Shipment,
    "v1_shipment": V1Shipment,
    "v1_fulfillment": V1Fulfillment,
    "v1_order": V1Order,
    "inline_row": InlineRow,
}
"""Each kind of record and its model: the one place a new kind is added, with its id below."""

_IDS: dict[str, Callable[[Any], str]] = {
    "v2_label": lambda row: str(row.label_id),
    "v2_fulfillment": lambda row: str(row.fulfillment_id),
    "v2_shipment": lambda row: str(row.shipment_id),
    "v1_shipment": lambda row: str(row.shipment_id),
    "v1_fulfillment": lambda row: str(row.fulfillment_id),
    "v1_order": lambda row: str(row.order_id),
    # A warehouse system gives its rows no id: what it tells about is this parcel of this order.
    "inline_row": lambda row: f"{row.shipment_id}:{row.tracking_number}",
}
_ID_FIELDS = ("label_id", "fulfillment_id", "shipment_id", "fulfillmentId", "shipmentId", "orderId")


def record_of(kind: str, row: object) -> Record:
    """One row as the record that is stored, with the vendor's own field names. PayloadError names kind, id and field, never a value."""
    model = _validated(kind, row)
    return Record(kind=kind, record_id=_IDS[kind](model), body=model.model_dump(mode="json", by_alias=True))


def parse(record: Record) -> BaseModel:
    """The row again, of the type that MODELS names for its kind."""
    return _validated(record.kind, record.body)


def _validated(kind: str, row: object) -> BaseModel:
    try:
        return MODELS[kind].model_validate(row)
    except ValidationError as exc:
        problems = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'row'}: {e['msg']}" for e in exc.errors(include_input=False)[:5])
        raise PayloadError(f"{kind} {_told_id(row)}: {problems}") from exc


def _told_id(row: object) -> str:
    told = next((row[field] for field in _ID_FIELDS if row.get(field)), None) if isinstance(row, Mapping) else None
    return str(told)[:40] if isinstance(told, str | int) else "without id"


class _PageHead(Row):
    """`links.next` is `{}` on V2's last page and absent on V1."""

    pages: int | None = None
    total: int | None = None
    next_url: str | None = Field(default=None, validation_alias=AliasPath("links", "next", "href"))


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list: its rows, and what it says about further ones."""

    rows: tuple[object, ...]
    pages: int | None = None
    total: int | None = None
    next_url: str | None = None

    def is_last(self, *, number: int, rows_so_far: int) -> bool:
        """Only when nothing speaks of more; where `pages` and `total` disagree, the one that promises more is asked once more."""
        if self.next_url:
            return False
        if self.pages is None and self.total is None:
            return not self.rows
        return number >= (self.pages or 0) and rows_so_far >= (self.total or 0)


def page_of(key: str, body: object) -> Page:
    """A list answer; a single object (`GET /v2/labels/{id}`) is a page of one. PayloadError when it is neither."""
    if body is None:
        raise TemporaryError(f"ShipStation answered nothing where {key} should stand")
    if not isinstance(body, Mapping):
        raise PayloadError(f"ShipStation's list of {key} is not a JSON object")
    if key not in body:
        return Page(rows=(body,), pages=1)
    rows = [] if body[key] is None else body[key]
    if not isinstance(rows, list):
        raise PayloadError(f"ShipStation's {key} is not a list")
    try:
        head = _PageHead.model_validate(body)
    except ValidationError as exc:
        raise PayloadError(f"ShipStation's list of {key} has an unreadable page count") from exc
    return Page(rows=tuple(rows), pages=head.pages, total=head.total, next_url=head.next_url)
