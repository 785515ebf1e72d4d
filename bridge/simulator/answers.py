"""What the routes of both vendors share: paging, filtering, and each vendor's way to say no."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Generic, TypeAlias, TypeVar
from urllib.parse import urlencode
from uuid import uuid4
from zoneinfo import ZoneInfo

from flask import Response, jsonify, request
from werkzeug.datastructures import MultiDict

from bridge.simulator import purple_dot_shapes, v2_shapes
from bridge.simulator.model import Json
from bridge.simulator.v2_shapes import ErrorKind
from bridge.simulator.vendor_time import read_instant

T = TypeVar("T")
Filter: TypeAlias = Callable[[str], Callable[[T], bool]]
"""Makes a test of a row out of the text that was asked for; ValueError when the text can't be read."""
Filters: TypeAlias = Mapping[str, Filter[T]]


class BadQueryError(Exception):
    """A parameter's value can't be read."""

    def __init__(self, parameter: str, value: str) -> None:
        super().__init__(f"Invalid {parameter}.")
        self.parameter = parameter
        self.value = value


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    rows: list[T]
    total: int
    number: int
    pages: int


def chosen(rows: Iterable[T], filters: Filters[T], args: MultiDict[str, str]) -> list[T]:
    """The rows that pass every filter asked for. Names that are no filter are ignored in silence, as the vendors do."""
    tests = [_test(make, name, args[name]) for name, make in filters.items() if args.get(name)]
    return [row for row in rows if all(test(row) for test in tests)]


def _test(make: Filter[T], name: str, text: str) -> Callable[[T], bool]:
    try:
        return make(text)
    except ValueError as error:
        raise BadQueryError(name, text) from error


def equals(read: Callable[[T], object], convert: Callable[[str], object] = str) -> Filter[T]:
    def make(text: str) -> Callable[[T], bool]:
        wanted = convert(text)
        return lambda row: read(row) == wanted

    return make


def since(read: Callable[[T], datetime | None], *, zone: ZoneInfo | None = None) -> Filter[T]:
    def make(text: str) -> Callable[[T], bool]:
        first = read_instant(text, zone=zone)
        return lambda row: (moment := read(row)) is not None and moment >= first

    return make


def until(read: Callable[[T], datetime | None], *, zone: ZoneInfo | None = None) -> Filter[T]:
    def make(text: str) -> Callable[[T], bool]:
        last = read_instant(text, zone=zone)
        return lambda row: (moment := read(row)) is not None and moment <= last

    return make


def number_of(args: MultiDict[str, str], name: str, default: int) -> int:
    text = args.get(name) or str(default)
    if not text.isdigit() or int(text) < 1:
        raise BadQueryError(name, text)
    return int(text)


def page_of(rows: Sequence[T], *, number: int, size: int) -> Page[T]:
    """A page beyond the last is empty."""
    first = (number - 1) * size
    return Page(list(rows[first : first + size]), len(rows), number, -(-len(rows) // size))


def v2_links(page: Page[T], size: int) -> Json:
    """`prev` and `next` are empty objects where there is none: https://docs.shipstation.com/pagination."""
    asked = [(name, value) for name, value in request.args.items(multi=True) if name not in ("page", "page_size")]

    def link(number: int) -> Json:
        return {"href": f"{request.base_url}?{urlencode([*asked, ('page', number), ('page_size', size)])}"}

    last = max(page.pages, 1)
    return {
        "first": link(1),
        "last": link(last),
        "prev": link(page.number - 1) if 1 < page.number <= last else {},
        "next": link(page.number + 1) if page.number < last else {},
    }


def v2_error(status: int, code: str, message: str, *, kind: ErrorKind = "business_rules", field: Json | None = None) -> Response:
    """The documented body; a 500 has none."""
    answer = (
        jsonify(v2_shapes.error_body(str(uuid4()), code, message, kind=kind, field=field))
        if status != HTTPStatus.INTERNAL_SERVER_ERROR
        else Response()
    )
    answer.status_code = status
    return answer


def v1_error(status: int, message: str) -> Response:
    answer = jsonify({"message": message})
    answer.status_code = status
    return answer


def purple_dot_error(status: int, code: str, message: str) -> Response:
    answer = jsonify(purple_dot_shapes.refusal(code, message))
    answer.status_code = status
    return answer


def redirect_to_login() -> Response:
    """What Purple Dot does with a path that it does not know."""
    return Response(status=302, headers={"Location": "/admin/login"})


def refusal(system: str, status: int) -> Response:
    """A bare status in the words of the system that was called."""
    code, message = _WORDS.get(status, ("unspecified", "Something went wrong."))
    if system == "shipstation":
        return v2_error(status, code, message, kind="security" if status in (401, 403) else "system")
    if system == "shipstation_v1":
        return v1_error(status, message)
    return purple_dot_error(status, code.upper(), message)


_WORDS = {
    400: ("invalid_request", "The request is invalid."),
    401: ("unauthorized", "The credentials were refused."),
    403: ("forbidden", "This is not allowed."),
    404: ("not_found", "There is no such thing."),
    409: ("conflict", "This conflicts with what is there."),
    422: ("unprocessable", "The request can't be processed."),
    429: ("rate_limit_exceeded", "You've exceeded your rate limit."),
    503: ("unavailable", "Try again later."),
}


def newest_first(rows: Iterable[T], read: Callable[[T], datetime], *, descending: bool) -> list[T]:
    return sorted(rows, key=lambda row: read(row).astimezone(UTC), reverse=descending)
