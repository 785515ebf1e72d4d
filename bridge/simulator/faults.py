"""The named ways to fail, one row each, and the box in which faults lie until a call meets them."""

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.client import responses
from itertools import chain, repeat
from uuid import uuid4

from flask import Flask, Response, g, jsonify, request

from bridge.simulator.http_server import SOCKET, cut
from bridge.simulator.model import RefusedError
from bridge.simulator.purple_dot import asked_references
from bridge.simulator.shapes import Json, row
from bridge.simulator.world import World


@dataclass(slots=True, eq=False)
class Fault:
    """One fault lying in wait for an operation, a system such as `purple_dot.*`, or all; `count`
    None is for ever."""

    name: str
    argument: float
    operation: str
    count: int | None

    def __str__(self) -> str:
        argument = "" if FAULTS[self.name].default is None else f":{self.argument:g}"
        return f"{self.name}{argument}:{self.operation}:{self.count or 'always'}"


def refusal(error: RefusedError) -> Response:
    """A no in the words of the system that was called; V2's 500 has none."""
    system = _system()
    body = row(f"{system}_error", error)
    if system == "shipstation":
        body = {"request_id": str(uuid4()), "errors": [body["errors"][0] | error.field]}
    is_silent = system == "shipstation" and error.status == 500
    answer = Response() if is_silent else jsonify(body)
    answer.status_code = error.status
    return answer


def _system() -> str:
    """The system that was called."""
    if request.path.startswith("/v2/"):
        return "shipstation"
    return "purple_dot" if request.path.startswith("/admin/") else "shipstation_v1"


def redirect_to_login(*_: object) -> Response:
    """What Purple Dot does with a path that it does not know."""
    return Response(status=302, headers={"Location": "/admin/login"})


def _status(fault: Fault, _response: Response) -> Response:
    status = int(fault.argument) or 500
    words = responses.get(status, "Unspecified")
    return refusal(
        RefusedError(
            status,
            words.lower().replace(" ", "_"),
            words,
            kind="security" if status in (401, 403) else "system",
        )
    )


def _throttle(fault: Fault, _response: Response) -> Response:
    answer = refusal(
        RefusedError(429, "rate_limit_exceeded", "You've exceeded your rate limit.", kind="system")
    )
    is_date = fault.name == "throttle_date"
    answer.headers["Retry-After"] = _wish(fault.argument, is_date=is_date)
    return answer


def _unavailable(fault: Fault, _response: Response) -> Response:
    answer = refusal(RefusedError(503, "unavailable", "Back soon.", kind="system"))
    is_past = fault.name == "unavailable_past"
    answer.headers["Retry-After"] = _wish(
        -fault.argument if is_past else fault.argument, is_date=is_past
    )
    return answer


def _wish(seconds: float, *, is_date: bool) -> str:
    """A Retry-After, in seconds or as the date that is so far from now."""
    if not is_date:
        return f"{seconds:.0f}"
    return format_datetime(datetime.now(UTC) + timedelta(seconds=seconds), usegmt=True)


def _spent(fault: Fault, response: Response) -> Response:
    """V1's headers on whatever answer, the reset as a point in time."""
    response.headers["X-Rate-Limit-Limit"] = "10"
    response.headers["X-Rate-Limit-Remaining"] = "0"
    reset = datetime.now(UTC) + timedelta(seconds=fault.argument)
    response.headers["X-Rate-Limit-Reset"] = f"{reset.timestamp():.0f}"
    return response


NO_IN_A_SUCCESS: list[Json] = [
    {"error": "The fulfillment could not be created"},
    {"errors": [{"message": "Invalid request"}]},
    {"success": False},
    {"meta": {"success": "false"}},
    {"meta": {"success": 0}},
    {"meta": {"error": {"code": "INTERNAL_ERROR"}}},
    {"meta": {"status": "error"}},
    {"data": {"success": False}},
    {"message": "Unauthorized"},
    {},
]
"""Bodies that a 200 may have though nothing was done."""


def _no_in_a_success(fault: Fault, _response: Response) -> Response:
    return jsonify(NO_IN_A_SUCCESS[int(fault.argument) % len(NO_IN_A_SUCCESS)])


def _redirect(fault: Fault, _response: Response) -> Response:
    return Response(status=int(fault.argument), headers={"Location": "/admin/login"})


def _no_data(*_: object) -> Response:
    return jsonify({"meta": {"success": True}, "data": None})


def _delay(fault: Fault, _response: Response) -> None:
    g.stopping.wait(fault.argument)


def _drop(_fault: Fault, response: Response) -> Response:
    cut(request.environ[SOCKET])
    return response


def _commit_late(fault: Fault, response: Response) -> Response:
    g.world.commit_late(request.get_json(), after_reads=int(fault.argument))
    return _drop(fault, response)


_FAILED = RefusedError(200, "INTERNAL_ERROR", "Something went wrong")
_EMPTY: Json = {
    name: [] for name in ("labels", "shipments", "fulfillments", "orders", "fulfillment_orders")
}
_EMPTY |= {
    "total": 0,
    "pages": 0,
    "has_more": False,
    "starting_after": None,
    "links": {"first": {}, "last": {}, "prev": {}, "next": {}},
}


def _empty(_fault: Fault, response: Response) -> Response:
    body = response.get_json()
    rows = body.get("data", body)
    rows |= {name: nothing for name, nothing in _EMPTY.items() if name in rows}
    return jsonify(body)


def _truncate(_fault: Fault, response: Response) -> Response:
    """The length says more than comes."""
    whole = response.get_data()
    response.set_data(whole[: len(whole) // 2])
    response.headers.update({"Content-Length": str(len(whole)), "Connection": "close"})
    return response


def _huge(*_: object) -> Response:
    """No length is told, so it ends with the connection."""
    return Response(
        chain([b'{"padding": "'], repeat(b"x" * 65536, 512), [b'"}']), mimetype="application/json"
    )


def _drip(fault: Fault, response: Response) -> Response:
    """The length is told first, so that whoever is cut off notices."""
    whole, stopping = response.get_data(), g.stopping

    def pieces() -> Iterator[bytes]:
        for index in range(len(whole)):
            yield whole[index : index + 1]
            if stopping.wait(fault.argument):
                return

    return Response(
        pieces(),
        response.status,
        {"Content-Type": "application/json", "Content-Length": str(len(whole))},
    )


@dataclass(frozen=True, slots=True)
class FaultKind:
    """Strikes before a call is carried out, and then instead of it if it answers, or else after, on
    its answer. `default` is the argument where none is given; None means that it takes none."""

    is_after: bool
    summary: str
    act: Callable[[Fault, Response], Response | None]
    default: float | None = None


FAULTS: dict[str, FaultKind] = {
    "status": FaultKind(False, "status:CODE answers with that status, nothing done", _status, 500),
    "throttle": FaultKind(
        False, "throttle:SECONDS answers 429 with Retry-After in seconds", _throttle, 1
    ),
    "throttle_date": FaultKind(
        False, "throttle_date:SECONDS answers 429 with Retry-After as an HTTP date", _throttle, 1
    ),
    "delay": FaultKind(
        False, "delay:SECONDS waits before doing anything, then goes on as always", _delay, 1
    ),
    "drop_before": FaultKind(False, "closes the connection before anything is done", _drop),
    "drop_after_commit": FaultKind(
        True, "does it, then closes the connection without an answer", _drop
    ),
    "commit_late": FaultKind(
        False,
        "commit_late:READS drops it; done after so many reads of the order, or by apply_late",
        _commit_late,
        1,
    ),
    "error_after_commit": FaultKind(True, "does it, then answers 500", _status),
    "unavailable": FaultKind(
        False, "unavailable:SECONDS answers 503 with Retry-After in seconds", _unavailable, 0
    ),
    "unavailable_past": FaultKind(
        False,
        "unavailable_past:SECONDS answers 503 with Retry-After as a date so long ago",
        _unavailable,
        3600,
    ),
    "spent": FaultKind(
        True,
        "spent:SECONDS does it; headers say that no call is left until a point in time",
        _spent,
        60,
    ),
    "no_in_a_success": FaultKind(
        False,
        "no_in_a_success:N answers 200 with the Nth body that means no, nothing done",
        _no_in_a_success,
        0,
    ),
    "redirect_after_commit": FaultKind(
        True, "redirect_after_commit:CODE does it, then answers with a redirect", _redirect, 303
    ),
    "no_data": FaultKind(False, "answers 200 with data null, nothing done", _no_data),
    "empty_first": FaultKind(True, "answers a list without rows", _empty),
    "redirect_login": FaultKind(
        False, "redirects to a login page, nothing done", redirect_to_login
    ),
    "not_json": FaultKind(
        True,
        "does it, then answers 200 with a web page",
        lambda *_: Response("<!doctype html><h1>Back soon</h1>"),
    ),
    "truncated": FaultKind(True, "does it, then breaks off in the middle of the answer", _truncate),
    "success_false": FaultKind(
        False,
        "answers 200 with meta.success false, nothing done",
        lambda *_: jsonify(row("purple_dot_error", _FAILED)),
    ),
    "huge": FaultKind(True, "does it, then answers with 32 MiB", _huge),
    "drip": FaultKind(
        True,
        "drip:SECONDS does it, then sends the answer one byte at a time, so far apart",
        _drip,
        1,
    ),
}


def parse_fault(text: str) -> Fault:
    """`NAME[:argument][:operation[:count]]`, where count is a number or `always`; ValueError with a
    sentence otherwise."""
    name, *rest = text.strip().split(":")
    if name not in FAULTS:
        raise ValueError(f"There is no fault {name!r}; there are: {', '.join(FAULTS)}.")
    argument = FAULTS[name].default
    if argument is not None and rest and rest[0].replace(".", "", 1).isdigit():
        argument = float(rest.pop(0))
    defaults = ["*", "1"]
    operation, count, *too_much = [*rest, *defaults[len(rest) :]]
    is_count = count == "always" or (count.isdigit() and int(count) > 0)
    if too_much or not is_count:
        raise ValueError(
            f"{text!r} is not NAME[:argument][:operation[:count]] "
            "with a count from 1 up, or 'always'."
        )
    return Fault(name, argument or 0, operation, None if count == "always" else int(count))


class FaultBox(list[Fault]):
    """Faults wait in the order in which they were put in; each call uses up one, besides any
    delay."""

    def __init__(self, faults: Iterable[str] = ()) -> None:
        super().__init__(parse_fault(text) for text in faults)
        self._lock = threading.Lock()

    def waiting(self) -> list[str]:
        return [str(fault) for fault in self]

    def take(self, operation: str) -> list[Fault]:
        """The faults that this call meets: every delay, and the first of all others."""
        with self._lock:
            aims = ("*", operation, f"{operation.partition('.')[0]}.*")
            met = [fault for fault in self if fault.operation in aims]
            delays = [fault for fault in met if fault.name == "delay"]
            others = [fault for fault in met if fault.name != "delay"]
            struck = [*delays, *others[:1]]
            for fault in struck:
                fault.count = fault.count and fault.count - 1
                if fault.count == 0:
                    self.remove(fault)
            return struck


def install(app: Flask, world: World, box: FaultBox, stopping: threading.Event) -> None:
    """Each call of a vendor's route is recorded, and meets the faults that lie in wait for its
    operation."""

    def strike_before() -> Response | None:
        operation = request.endpoint or "_"
        if operation.startswith("_"):
            return None
        if operation == "purple_dot.orders" and asked_references() is not None:
            operation = "purple_dot.orders_by_reference"
        system, _, name = operation.partition(".")
        world.calls.append((system, name or system))
        g.world, g.stopping = world, stopping
        met = box.take(operation)
        g.after = [fault for fault in met if FAULTS[fault.name].is_after]
        before = [fault for fault in met if fault not in g.after]
        answers = [FAULTS[fault.name].act(fault, Response()) for fault in before]
        return answers[-1] if answers else None

    def strike_after(response: Response) -> Response:
        if not g.get("after"):
            return response
        fault = g.after[0]
        return FAULTS[fault.name].act(fault, response) or response

    app.before_request(strike_before)
    app.after_request(strike_after)
