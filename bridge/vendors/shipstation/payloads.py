"""ShipStation's rows, cut down to the fields we read: no person's name, no address, no e-mail, no
phone, no cost ever gets past here.

What ShipStation adds is ignored, and null means absent. Lenient where a loose value can do no harm
(ids as numbers, blank texts, dates) and strict where a guess would ship the wrong thing. Unknown:
whether a quantity can be null (read as 0, which ships nothing). V2:
https://docs.shipstation.com/openapi · V1: https://www.shipstation.com/docs/api/"""

import re
from collections.abc import Mapping
from datetime import date
from typing import Annotated, Any, TypeVar

from pydantic import (
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WrapValidator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from bridge.domain.errors import PayloadError, TemporaryError
from bridge.domain.events import Record


def _text(value: object) -> object:
    """Numbers become text, white space around goes, blank means absent, and so does what no
    database stores (NUL, half a character)."""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return (
        (value.replace("\0", "").encode(errors="replace").decode().strip() or None)
        if isinstance(value, str)
        else value
    )


def _day(value: object) -> date | None:
    """The calendar date as written: real answers carry a midnight of another time zone, which must
    not move the day."""
    try:
        return date.fromisoformat(str(value)[:10])
    except ValueError:
        return None


def _all_or_none(items: object, read: Any) -> Any:
    """Where one item can't be read (half a unit, say) none is told: that one parcel is held for a
    person, and the page's others go on."""
    try:
        return read(items)
    except ValidationError:
        return []


T = TypeVar("T")
Id = Annotated[str, BeforeValidator(_text)]
Text = Annotated[str | None, BeforeValidator(_text)]
Day = Annotated[date | None, BeforeValidator(_day)]
Items = Annotated[list[T], WrapValidator(_all_or_none)]


class Row(BaseModel):
    """Names are the vendor's own; texts of errors never quote a value, since a value may be a
    person's."""

    model_config = ConfigDict(
        extra="ignore", frozen=True, hide_input_in_errors=True, populate_by_name=True
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, row: object) -> object:
        return (
            {name: value for name, value in row.items() if value is not None}
            if isinstance(row, Mapping)
            else row
        )


class V1Row(Row):
    """V1 writes camelCase; here and in our code the same names stand in snake_case."""

    model_config = ConfigDict(alias_generator=to_camel)


class Parcel(Row):
    """A label that was bought, or (as a fulfillment) an order that somebody marked as shipped."""

    tracking_number: Text = None
    carrier_code: Text = None
    ship_date: Day = None
    is_return_label: bool = False
    voided: bool = False
    void_requested: bool = False


class V2Package(Row):
    tracking_number: Text = None


class V2Label(Parcel):
    label_id: Id
    shipment_id: Text = None
    status: Text = None
    external_shipment_id: Text = None  # can be one that ShipStation made up (`SEAuto-…`)
    external_order_id: Text = None
    tracking_url: Text = None
    packages: list[V2Package] = []


class V2Fulfillment(Parcel):
    fulfillment_id: Id
    shipment_id: Text = None
    shipment_number: Text = None
    fulfillment_carrier_friendly_name: Text = None


class V2Item(Row):
    sku: Text = None
    name: Text = None
    quantity: int = 0
    external_order_id: Text = None
    external_order_item_id: Text = None


def _reference(value: object) -> object:
    """Custom fields are anybody's notepad: only what could be a reference or an id gets past here,
    so no sentence, name or address."""
    text = _text(value)
    return (
        text
        if isinstance(text, str)
        and re.fullmatch(r"#?[\w/.:-]{1,64}", text, re.ASCII)
        and re.search("[0-9]", text)
        else None
    )


Reference = Annotated[str | None, BeforeValidator(_reference)]


class CustomFields(Row):
    custom_field1: Reference = None
    custom_field2: Reference = None
    custom_field3: Reference = None


class V2Shipment(Row):
    shipment_id: Id  # V2 says "shipment" to what everybody calls an order
    shipment_number: Text = None  # several may share it after a split
    external_shipment_id: Text = None
    external_order_id: Text = None
    is_return: bool = False
    items: Items[V2Item] = []
    advanced_options: CustomFields = CustomFields()


class V1Item(V1Row):
    order_item_id: Text = None
    line_item_key: Text = None
    sku: Text = None
    name: Text = None
    quantity: int = 0
    adjustment: bool = False


class V1Shipment(Parcel, V1Row):
    shipment_id: Id
    order_id: Text = None
    order_key: Text = None
    order_number: Text = None
    shipment_items: Items[V1Item] = []


class V1Fulfillment(Parcel, V1Row):
    fulfillment_id: Id
    order_id: Text = None
    order_number: Text = None


class V1CustomFields(CustomFields, V1Row): ...


class V1Order(V1Row):
    order_id: Id
    order_number: Text = None
    order_key: Text = None
    items: Items[V1Item] = []
    advanced_options: V1CustomFields = V1CustomFields()


class InlineRow(Row):
    """What a warehouse system tells us itself, in the words of `POST /v2/fulfillments`.
    https://docs.shipstation.com/openapi/fulfillments"""

    shipment_id: Id
    tracking_number: Id
    carrier_code: Id
    ship_date: Day = None
    notify_customer: bool | None = None

    @property
    def row_id(self) -> str:
        """A warehouse system gives its rows no id: what it tells about is this parcel of this
        order."""
        return f"{self.shipment_id}:{self.tracking_number}"


MODELS: dict[str, type[Row]] = {
    "v2_label": V2Label,
    "v2_fulfillment": V2Fulfillment,
    "v2_shipment": V2Shipment,
    "v1_shipment": V1Shipment,
    "v1_fulfillment": V1Fulfillment,
    "v1_order": V1Order,
    "inline_row": InlineRow,
}
_ID_FIELDS = {kind: f"{kind.partition('_')[2]}_id" for kind in MODELS}


def record_of(kind: str, row: object) -> Record:
    """One row as the record that is stored, with the vendor's own field names. PayloadError names
    kind, id and field, never a value."""
    model = _validated(kind, row)
    return Record(
        kind=kind,
        record_id=getattr(model, _ID_FIELDS[kind]),
        body=model.model_dump(mode="json", by_alias=True),
    )


def parse(record: Record) -> Row:
    """The row again, of the type that MODELS names for its kind."""
    return _validated(record.kind, record.body)


def _validated(kind: str, row: object) -> Row:
    try:
        return MODELS[kind].model_validate(row)
    except ValidationError as exc:
        names = (_ID_FIELDS[kind], to_camel(_ID_FIELDS[kind]), "shipment_id")
        told = (
            next((row[name] for name in names if row.get(name)), None)
            if isinstance(row, Mapping)
            else None
        )
        problems = "; ".join(
            f"{'.'.join(map(str, e['loc'])) or 'row'}: {e['msg']}"
            for e in exc.errors(include_input=False)[:5]
        )
        raise PayloadError(
            f"{kind} {ascii(str(told))[1:-1][:40] if isinstance(told, str | int) else 'without id'}: {problems}"
        ) from exc


class Page(Row):
    """One page of a list: its rows, and what it says about further ones. `links.next` is `{}` on
    V2's last page and absent on V1."""

    rows: tuple[Any, ...] = ()
    pages: int | None = None
    total: int | None = None
    next_url: str | None = Field(default=None, validation_alias=AliasPath("links", "next", "href"))

    def is_last(self, *, number: int, rows_so_far: int) -> bool:
        """Only when nothing speaks of more; where `pages` and `total` disagree, the one that
        promises more is asked once more."""
        if self.pages is None and self.total is None:
            return not self.next_url and not self.rows
        return (
            not self.next_url and number >= (self.pages or 0) and rows_so_far >= (self.total or 0)
        )


def page_of(key: str, body: object) -> Page:
    """A list answer; a single object (`GET /v2/labels/{id}`) is a page of one. PayloadError when it
    is neither."""
    if body is None:
        raise TemporaryError(f"ShipStation answered nothing where {key} should stand")
    if not isinstance(body, Mapping):
        raise PayloadError(f"ShipStation's list of {key} is not a JSON object")
    try:
        return Page.model_validate(
            {**body, "rows": body[key]} if key in body else {"rows": [body], "pages": 1}
        )
    except ValidationError as exc:
        raise PayloadError(
            f"ShipStation's {key} is not a list, or its page count is unreadable"
        ) from exc
