"""`POST /v2/fulfillments`: mark shipments as shipped, and tell what became of each row.
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
from bridge.vendors.shipstation.payloads import Id, InlineRow, Items, Row

LOOK_FIRST = "it may be marked already, so look in ShipStation before you send it again"
_FACTS = ("error_source", "error_type", "error_code", "field_name", "field_value")
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
    moment = datetime.fromisoformat(f"{text}T12:00" if len(text) <= 10 else text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class MarkRow(InlineRow):
    """One row of the request: strict where the inline webhook is lenient, since a person can mend
    it before it is sent."""

    shipment_id: Annotated[Id, Field(max_length=200)]
    tracking_number: Annotated[Id, Field(max_length=200), AfterValidator(_whole)]
    ship_date: Annotated[datetime | None, BeforeValidator(_moment)] = None
    notify_order_source: bool | None = None


Told = Annotated[str | None, BeforeValidator(str)]


class RowAnswer(Row):
    shipment_id: Told = None
    shipment_number: Told = None
    error_message: Told = None


class MarkAnswer(Row):
    """A 200 or a 400. What has another shape says nothing about any row."""

    has_errors: Any = False
    fulfillments: Items[RowAnswer] = Field(default_factory=list)
    request_id: Told = None
    errors: Items[dict[str, Any]] = Field(default_factory=list)


def read_row(given: Mapping[str, Any]) -> MarkRow | list[str]:
    """A row that may be sent, or every mistake in it as "column: what is wrong"; values are never
    repeated."""
    try:
        return MarkRow.model_validate(given)
    except ValidationError as exc:
        wrong = [
            (str(error["loc"][0]), error["type"], error["msg"])
            for error in exc.errors(include_url=False, include_input=False)
        ]
        return [
            f"{name}: {_PLAIN.get(kind) or _PLAIN.get(name) or message.removeprefix('Value error, ')}"
            for name, kind, message in wrong
        ]


@dataclass(frozen=True, slots=True)
class Marker:
    """Sends a chunk a call, each shipment at most once in it. What goes wrong is told on the rows;
    no error leaves."""

    api: ApiClient
    base_url: str

    def mark(self, rows: Sequence[MarkRow]) -> list[RowResult]:
        sent = {"fulfillments": [row.model_dump(mode="json", exclude_none=True) for row in rows]}
        try:
            answer = _read(
                self.api.send(
                    "create_fulfillments", "POST", f"{self.base_url}/fulfillments", sent
                ).body
            )
        except UnclearError as exc:
            return [RowResult("unclear", f"{exc}; {LOOK_FIRST}")] * len(rows)
        except (TemporaryError, CredentialsError) as exc:
            return [RowResult("not_sent", f"not marked: {exc}")] * len(rows)
        except PermanentError as exc:
            return self._refused(rows, _read(exc.body)) or [RowResult("refused", str(exc))] * len(
                rows
            )
        return [self._judged(row, answer) for row in rows]

    def _judged(self, row: MarkRow, answer: MarkAnswer) -> RowResult:
        told = [one for one in answer.fulfillments if one.shipment_id == row.shipment_id]
        if len(told) != 1:
            return RowResult(
                "unclear", f"ShipStation's answer does not say what became of it; {LOOK_FIRST}"
            )
        if told[0].error_message:
            return RowResult("refused", self._clean(told[0].error_message), told[0].shipment_number)
        if (answer.has_errors or answer.errors) and not any(
            one.error_message for one in answer.fulfillments
        ):
            said = self._clean(
                "ShipStation speaks of errors and names no row", *map(_words, answer.errors)
            )
            return RowResult("unclear", f"{said}; {LOOK_FIRST}", told[0].shipment_number)
        return RowResult("marked", None, told[0].shipment_number)

    def _refused(self, rows: Sequence[MarkRow], answer: MarkAnswer) -> list[RowResult]:
        """Nothing was done. An error that names rows is told on those; one that names none, on all.
        Empty if none is told."""
        named = [(_words(error), _rows_named(error, rows)) for error in answer.errors]
        each = (
            [
                [text for text, places in named if not places or place in places]
                for place in range(len(rows))
            ]
            if named
            else []
        )
        request, others = (
            f"request {answer.request_id}",
            "not marked: the whole request was refused for other rows; send it without those",
        )
        return [
            RowResult("refused", self._clean(*own, request))
            if own
            else RowResult("not_sent", others)
            for own in each
        ]

    def _clean(self, *said: str) -> str:
        """One printable line without our credentials, should the vendor repeat them."""
        return self.api.words_in({"message": list(said)})


def _read(body: object) -> MarkAnswer:
    return MarkAnswer.model_validate(body if isinstance(body, Mapping) else {})


def _words(error: Mapping[str, Any]) -> str:
    """Sources, types and codes that we never heard of are values like the others.
    https://docs.shipstation.com/errors"""
    facts = [str(error[name]) for name in _FACTS if error.get(name)]
    return f"{error.get('message') or 'no message'} ({', '.join(facts)})"


def _rows_named(error: Mapping[str, Any], rows: Sequence[MarkRow]) -> set[int]:
    """The places of the rows that an error's `fulfillments[3].carrier_code`, or its value, speaks
    of; none where that can't be known."""
    name, value = str(error.get("field_name") or ""), error.get("field_value")
    counted = {int(number) for number in re.findall(r"\d{1,4}", name)[:1]} & set(range(len(rows)))
    if value is None:
        return counted
    holders = {
        place
        for place, row in enumerate(rows)
        if row.model_dump(mode="json").get(name.rpartition(".")[2]) == str(value)
    }
    return counted & holders or holders
