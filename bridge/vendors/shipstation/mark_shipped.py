"""`POST /v2/fulfillments`: mark shipments as shipped, and say what became of each row.
https://docs.shipstation.com/create-fulfillments

Unknown to us: how many rows a call may hold, and whether a `field_name` counts rows from 0 (so a
`field_value` beside it wins)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from bridge.domain.errors import CredentialsError, PermanentError, TemporaryError, UnclearError
from bridge.domain.shipments import RowResult
from bridge.vendors.http import ApiClient
from bridge.vendors.shipstation.fields import Id, Items
from bridge.vendors.shipstation.payloads import InlineRow, Row
from bridge.vendors.wording import plain_words

LOOK_FIRST = "it may be marked already, so look in ShipStation before you send it again"
_FACTS = ("error_source", "error_type", "error_code", "field_name")
_CODE = re.compile(r"[\w.$\[\]-]{1,64}", re.ASCII)
_PLAIN = {"missing": "is missing", "ship_date": "is no ISO date such as 2026-11-04"}


def _whole(number: str) -> str:
    if re.fullmatch(r"\d([.,]\d+)?E\+\d+", number, re.IGNORECASE | re.ASCII):
        raise ValueError(
            "was cut short by a spreadsheet; format the column as text and fill the number in again"
        )
    return number


def _moment(value: object) -> datetime:
    """ShipStation wants a date-time. A plain date becomes noon UTC, which is that very day nearly
    everywhere."""
    text = str(value).strip()
    is_plain_date = len(text) <= len("2026-01-31")
    shipped_at = datetime.fromisoformat(f"{text}T12:00" if is_plain_date else text)
    return shipped_at if shipped_at.tzinfo else shipped_at.replace(tzinfo=UTC)


class MarkRow(InlineRow):
    """One row of the request: strict where the inline webhook is lenient, since a person can
    correct it before it is sent."""

    shipment_id: Annotated[Id, Field(max_length=200)]
    tracking_number: Annotated[Id, Field(max_length=200), AfterValidator(_whole)]
    ship_date: Annotated[datetime | None, BeforeValidator(_moment)] = None
    notify_order_source: bool | None = None


Shown = Annotated[str | None, BeforeValidator(str)]


class RowAnswer(Row):
    shipment_id: Shown = None
    shipment_number: Shown = None
    error_message: Shown = None


class MarkAnswer(Row):
    """A 200 or a 400. What has another shape says nothing about any row."""

    has_errors: Any = False
    fulfillments: Items[RowAnswer] = Field(default_factory=list)
    request_id: Shown = None
    errors: Items[dict[str, Any]] = Field(default_factory=list)


def read_row(given: Mapping[str, Any]) -> MarkRow | list[str]:
    """A row that may be sent, or every mistake in it as "column: what is wrong"; values are never
    repeated."""
    try:
        return MarkRow.model_validate(given)
    except ValidationError as exc:
        return [_mistake(error) for error in exc.errors(include_url=False, include_input=False)]


def _mistake(error: Mapping[str, Any]) -> str:
    column = str(error["loc"][0])
    wrong = _PLAIN.get(error["type"]) or _PLAIN.get(column)
    return f"{column}: {wrong or error['msg'].removeprefix('Value error, ')}"


@dataclass(frozen=True, slots=True)
class Marker:
    """Sends a chunk a call, each shipment at most once in it. What goes wrong is said on the rows;
    no error leaves."""

    api: ApiClient
    base_url: str

    def mark(self, rows: Sequence[MarkRow]) -> list[RowResult]:
        """What became of each row, in their order."""
        body = {"fulfillments": [row.model_dump(mode="json", exclude_none=True) for row in rows]}
        url = f"{self.base_url}/fulfillments"
        try:
            answer = _read(self.api.send("create_fulfillments", "POST", url, body).body)
        except UnclearError as exc:
            return [RowResult("unclear", f"{exc}; {LOOK_FIRST}")] * len(rows)
        except (TemporaryError, CredentialsError) as exc:
            return [RowResult("not_sent", f"not marked: {exc}")] * len(rows)
        except PermanentError as exc:
            refused = self._refused(rows, _read(exc.body))
            return refused or [RowResult("refused", str(exc))] * len(rows)
        return [self._judged(row, answer) for row in rows]

    def _judged(self, row: MarkRow, answer: MarkAnswer) -> RowResult:
        about = [given for given in answer.fulfillments if given.shipment_id == row.shipment_id]
        if len(about) != 1:
            return RowResult(
                "unclear", f"ShipStation's answer does not say what became of it; {LOOK_FIRST}"
            )
        number, problem = about[0].shipment_number, about[0].error_message
        if problem:
            return RowResult("refused", self._clean(plain_words(problem)), number)
        names_a_row = any(given.error_message for given in answer.fulfillments)
        if (answer.has_errors or answer.errors) and not names_a_row:
            phrases = [_describe(error, [row]) for error in answer.errors]
            text = self._clean("ShipStation speaks of errors and names no row", *phrases)
            return RowResult("unclear", f"{text}; {LOOK_FIRST}", number)
        return RowResult("marked", None, number)

    def _refused(self, rows: Sequence[MarkRow], answer: MarkAnswer) -> list[RowResult]:
        """Nothing was done. An error that names rows is said on those; one that names none, on all.
        Empty if there is none."""
        if not answer.errors:
            return []
        phrases: list[list[str]] = [[] for _ in rows]
        for error in answer.errors:
            for place in _rows_named(error, rows) or range(len(rows)):
                phrases[place].append(_describe(error, rows))
        request = f"request {answer.request_id}"
        return [self._refusal(own, request) for own in phrases]

    def _refusal(self, phrases: Sequence[str], request: str) -> RowResult:
        if phrases:
            return RowResult("refused", self._clean(*phrases, request))
        others = "the whole request was refused for other rows; send it without those"
        return RowResult("not_sent", f"not marked: {others}")

    def _clean(self, *phrases: str) -> str:
        """One printable line without our credentials, should the vendor repeat them."""
        return self.api.without_secrets("; ".join(phrases))[:500]


def _read(body: object) -> MarkAnswer:
    return MarkAnswer.model_validate(body if isinstance(body, Mapping) else {})


def _describe(error: Mapping[str, Any], rows: Sequence[MarkRow]) -> str:
    """Sources, types and codes that we never heard of are values like the others; a value that
    ShipStation repeats is shown where it is one of ours. https://docs.shipstation.com/errors"""
    facts = [str(error[name]) for name in _FACTS if error.get(name)]
    codes = [fact for fact in facts if _CODE.fullmatch(fact)]
    value = str(error.get("field_value"))
    if any(value in row.model_dump(mode="json").values() for row in rows):
        codes.append(value)
    return f"{plain_words(str(error.get('message') or 'no message'))} ({', '.join(codes)})"


def _rows_named(error: Mapping[str, Any], rows: Sequence[MarkRow]) -> set[int]:
    """The places of the rows that an error's `fulfillments[3].carrier_code`, or its value, speaks
    of; none where that can't be known."""
    name = str(error.get("field_name") or "")
    value = error.get("field_value")
    counted = {int(number) for number in re.findall(r"\d{1,4}", name)[:1]} & set(range(len(rows)))
    if value is None:
        return counted
    column = name.rpartition(".")[2]
    holders = set()
    for place, row in enumerate(rows):
        if row.model_dump(mode="json").get(column) == str(value):
            holders.add(place)
    return counted & holders or holders
