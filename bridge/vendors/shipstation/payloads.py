"""ShipStation's rows, cut down to the fields we read: no person's name, no address, no e-mail, no
phone, no cost ever gets past here.

What ShipStation adds is ignored, and null means absent. V2:
https://docs.shipstation.com/openapi · V1: https://www.shipstation.com/docs/api/"""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import (
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic.alias_generators import to_camel

from bridge.domain.errors import PayloadError, TemporaryError
from bridge.domain.events import Record
from bridge.domain.orders import UUID, reference_words
from bridge.domain.redaction import LEFT_OUT
from bridge.domain.tracking_numbers import normalize_tracking
from bridge.vendors.shipstation.fields import (
    UNREADABLE,
    Day,
    Flag,
    Id,
    Ids,
    Key,
    Link,
    NumberField,
    OrderNumber,
    Quantity,
    Rows,
    ShortText,
    Sku,
    Word,
    number_field,
    or_nothing,
    text_field,
)


class Row(BaseModel):
    """Names are the vendor's own; texts of errors never quote a value, since a value may be a
    person's."""

    model_config = ConfigDict(
        extra="ignore", frozen=True, hide_input_in_errors=True, populate_by_name=True
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_absent(cls, row: object) -> object:
        if not isinstance(row, Mapping):
            return row
        return {name: value for name, value in row.items() if value is not None}


class V1Row(Row):
    """V1 writes camelCase; here and in our code the same names stand in snake_case."""

    model_config = ConfigDict(alias_generator=to_camel)


class UnreadableRow(Row):
    """A row of which nothing but its id could be read, and why."""

    unreadable: str


class Parcel(Row):
    """A label that was bought, or (as a fulfillment) an order that somebody marked as shipped."""

    tracking_number: NumberField = None
    carrier_code: ShortText = None
    ship_date: Day = None
    is_return_label: Flag = False
    voided: Flag = False
    void_requested: Flag = False


class V2Package(Row):
    tracking_number: NumberField = None


class V2Label(Parcel):
    label_id: Id
    shipment_id: Key = None
    status: ShortText = None
    external_shipment_id: Word = None  # can be one that ShipStation made up (`SEAuto-…`)
    external_order_id: OrderNumber = None
    tracking_url: Link = None
    service_code: ShortText = None
    packages: Rows[V2Package] = []


class V2Fulfillment(Parcel):
    fulfillment_id: Id
    shipment_id: Key = None
    shipment_number: OrderNumber = None
    fulfillment_carrier_friendly_name: ShortText = None
    fulfillment_service_code: ShortText = None


class Item(Row):
    """One item of an order or a parcel; where it can't be read, its quantity says so."""

    sku: Sku = None
    quantity: Quantity = None


class V2Item(Item):
    bundle_sku: Sku = None
    sales_order_id: Key = None
    external_order_id: OrderNumber = None
    external_order_item_id: Key = None


def _items(model: type[Item]) -> BeforeValidator:
    """Reads item by item: one that can't be read stays as an item of an unreadable quantity, so
    that its own parcel is held for a person."""

    def read(value: object) -> object:
        if not isinstance(value, list):
            return [{"quantity": UNREADABLE}] if value else []
        return [_item(model, item) for item in value]

    return BeforeValidator(read)


def _item(model: type[Item], item: object) -> Item:
    try:
        return model.model_validate(item)
    except ValidationError:
        return model(quantity=UNREADABLE)


def _reference(value: object) -> object:
    """Custom fields are anybody's notepad: only ids and references of Purple Dot's get past here,
    so no sentence, name, phone or date."""
    text = text_field(value)
    if not isinstance(text, str):
        return None
    words = [*UUID.findall(text), *reference_words(text)]
    return " ".join(dict.fromkeys(words)) or None


Reference = Annotated[str | None, BeforeValidator(_reference)]


class CustomFields(Row):
    custom_field1: Reference = None
    custom_field2: Reference = None
    custom_field3: Reference = None


class V2Shipment(Row):
    shipment_id: Id  # V2 says "shipment" to what everybody calls an order
    shipment_number: OrderNumber = None  # several may share it after a split
    external_shipment_id: Word = None
    external_order_id: OrderNumber = None
    is_return: Flag = False
    items: Annotated[list[V2Item], _items(V2Item)] = []
    sales_order_ids: Ids = []  # several after a merge
    advanced_options: Annotated[CustomFields, BeforeValidator(or_nothing)] = CustomFields()


class V1Item(Item, V1Row):
    order_item_id: Key = None
    line_item_key: Key = None
    adjustment: Flag = False


class V1Shipment(Parcel, V1Row):
    shipment_id: Id
    order_id: Key = None
    order_key: Word = None
    order_number: OrderNumber = None
    service_code: ShortText = None
    shipment_items: Annotated[list[V1Item], _items(V1Item)] = []


class V1Fulfillment(Parcel, V1Row):
    fulfillment_id: Id
    order_id: Key = None
    order_number: OrderNumber = None
    fulfillment_service_code: ShortText = None


class V1CustomFields(CustomFields, V1Row):
    merged_ids: Ids = []  # the orders that were merged into this one; the API shows them no more


class V1Order(V1Row):
    order_id: Id
    order_number: OrderNumber = None
    order_key: Word = None
    items: Annotated[list[V1Item], _items(V1Item)] = []
    advanced_options: Annotated[V1CustomFields, BeforeValidator(or_nothing)] = V1CustomFields()


class InlineRow(Row):
    """What a warehouse system sends us itself, in the words of `POST /v2/fulfillments`.
    https://docs.shipstation.com/openapi/fulfillments"""

    shipment_id: Id
    tracking_number: Annotated[str, BeforeValidator(number_field)]
    carrier_code: Id
    ship_date: Day = None
    notify_customer: bool | None = None

    @property
    def row_id(self) -> str:
        """A warehouse system gives its rows no id: what it reports is this parcel of this
        order, in whichever spelling."""
        number = normalize_tracking(self.tracking_number) or LEFT_OUT
        return f"{self.shipment_id}:{number}"


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


def record_of_any(kind: str, row: object) -> Record:
    """As `record_of`, but a row that can't be read sets itself aside as a record that says so: the
    others of its page go on."""
    try:
        return record_of(kind, row)
    except PayloadError as exc:
        return Record(kind, _id_in(kind, row) or _made_id(row), {"unreadable": str(exc)})


def parse(record: Record) -> Row:
    """The row again, of the type that MODELS names for its kind, or an UnreadableRow."""
    if record.body.keys() == {"unreadable"}:
        return UnreadableRow.model_validate(record.body)
    return _validated(record.kind, record.body)


def _validated(kind: str, row: object) -> Row:
    try:
        return MODELS[kind].model_validate(row)
    except ValidationError as exc:
        errors = exc.errors(include_input=False)[:5]
        problems = "; ".join(
            f"{'.'.join(map(str, error['loc'])) or 'row'}: {error['msg']}" for error in errors
        )
        name = _id_in(kind, row) or "without id"
        raise PayloadError(f"{kind} {name}: {problems}") from exc


def _id_in(kind: str, row: object) -> str | None:
    """The id of a row that can't be read, if it has one; cut, and without control characters."""
    if not isinstance(row, Mapping):
        return None
    names = (to_camel(_ID_FIELDS[kind]), _ID_FIELDS[kind], "shipment_id")
    row_id = next((row[name] for name in names if row.get(name)), None)
    is_id = isinstance(row_id, str | int) and not isinstance(row_id, bool)
    return ascii(str(row_id))[1:-1][:40] if is_id else None


def _made_id(row: object) -> str:
    """Equal for the same row whenever it is read; shows nothing of what it holds."""
    text = json.dumps(row, sort_keys=True, default=str)
    return f"row-{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:16]}"


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
        if self.next_url:
            return False
        if self.pages is None and self.total is None:
            return not self.rows
        return number >= (self.pages or 0) and rows_so_far >= (self.total or 0)


def page_of(key: str, body: object) -> Page:
    """A list answer; a single object (`GET /v2/labels/{id}`) is a page of one. PayloadError when it
    is neither."""
    if body is None:
        raise TemporaryError(f"ShipStation answered nothing where {key} should stand")
    if not isinstance(body, Mapping):
        raise PayloadError(f"ShipStation's list of {key} is not a JSON object")
    try:
        if key not in body:
            return Page(rows=(body,), pages=1)
        return Page.model_validate(dict(body) | {"rows": body[key]})
    except ValidationError as exc:
        raise PayloadError(
            f"ShipStation's {key} is not a list, or its page count is unreadable"
        ) from exc


def carrier_names_in(body: object) -> dict[str, str]:
    """What the account calls its carriers, by carrier code: V2 lists them under `carriers`, V1 as a
    bare list with the name that people know under `name`. What can't be read is left out."""
    rows = body.get("carriers") if isinstance(body, Mapping) else body
    names: dict[str, str] = {}
    for row in rows if isinstance(rows, list) else []:
        if isinstance(row, Mapping):
            code = row.get("carrier_code") or row.get("code")
            name = row.get("friendly_name") or row.get("name")
            if isinstance(code, str) and isinstance(name, str) and name.strip():
                names.setdefault(code, name.strip())
    return names
