"""Carries faults out: what stands between a request and its route, and between the route's answer and the wire."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from email.utils import format_datetime
from itertools import repeat
from threading import Event
from typing import TypeAlias

from flask import Flask, Response, g, jsonify, request

from bridge.simulator.answers import redirect_to_login, refusal
from bridge.simulator.faults import Fault, FaultBox
from bridge.simulator.ground import utc_now
from bridge.simulator.http_server import SOCKET, cut
from bridge.simulator.purple_dot import operation_of_list
from bridge.simulator.world import World

Step: TypeAlias = Callable[[Fault, World], Response]
Spoiler: TypeAlias = Callable[[Fault, Response], Response]

_HUGE_PIECE = b"x" * 65536
_HUGE_PIECES = 512
_LISTS = ("labels", "shipments", "fulfillments", "orders", "fulfillment_orders")


def install(app: Flask, world: World, faults: FaultBox, stopping: Event) -> None:
    """Each call of a vendor's route is recorded, and meets the faults that lie in wait for its operation."""

    @app.before_request
    def meet_faults() -> Response | None:
        operation = operation_of_request()
        if operation is None:
            return None
        world.record_call(operation)
        g.operation, g.stopping = operation, stopping
        return _meet(faults.take(operation), world, stopping)

    @app.after_request
    def spoil(response: Response) -> Response:
        fault: Fault | None = g.pop("spoils", None)
        return response if fault is None else _SPOILERS[fault.name](fault, response)


def operation_of_request() -> str | None:
    """`system.operation`, such as `purple_dot.order`; None for what is no vendor's."""
    endpoint = request.endpoint
    if endpoint is None or endpoint.partition(".")[0] not in ("shipstation", "shipstation_v1", "purple_dot", "jwks"):
        return None
    return operation_of_list() if endpoint == "purple_dot.orders" else endpoint


def _meet(met: list[Fault], world: World, stopping: Event) -> Response | None:
    answer = None
    for fault in met:
        if fault.kind.moment == "slow":
            stopping.wait(fault.argument)
        elif fault.kind.moment == "spoil":
            g.spoils = fault
        else:
            answer = _INSTEAD[fault.name](fault, world)
    return answer


def _status(fault: Fault, _world: World) -> Response:
    return refusal(_system(), int(fault.argument))


def _throttle(fault: Fault, _world: World) -> Response:
    answer = refusal(_system(), 429)
    answer.headers["Retry-After"] = f"{fault.argument:g}"
    return answer


def _throttle_date(fault: Fault, _world: World) -> Response:
    answer = refusal(_system(), 429)
    answer.headers["Retry-After"] = format_datetime(utc_now() + timedelta(seconds=fault.argument), usegmt=True)
    return answer


def _drop(_fault: Fault, _world: World) -> Response:
    cut(request.environ[SOCKET])
    return Response()


def _commit_late(fault: Fault, world: World) -> Response:
    body = request.get_json(silent=True)
    if isinstance(body, dict):
        world.commit_late(body, after_reads=int(fault.argument))
    return _drop(fault, world)


def _redirect(_fault: Fault, _world: World) -> Response:
    return redirect_to_login()


def _success_false(_fault: Fault, _world: World) -> Response:
    return jsonify({"meta": {"success": False, "error": {"code": "INTERNAL_ERROR", "message": "Something went wrong"}}, "data": None})


_INSTEAD: dict[str, Step] = {
    "status": _status,
    "throttle": _throttle,
    "throttle_date": _throttle_date,
    "drop_before": _drop,
    "commit_late": _commit_late,
    "redirect_login": _redirect,
    "success_false": _success_false,
}


def _spoil_by_drop(_fault: Fault, response: Response) -> Response:
    cut(request.environ[SOCKET])
    return response


def _spoil_by_error(_fault: Fault, _response: Response) -> Response:
    return refusal(_system(), 500)


def _spoil_by_emptiness(_fault: Fault, response: Response) -> Response:
    body = response.get_json(silent=True)
    if isinstance(body, list):
        return jsonify([])
    if not isinstance(body, dict):
        return response
    rows = body["data"] if isinstance(body.get("data"), dict) else body
    rows |= {name: [] for name in _LISTS if isinstance(rows.get(name), list)}
    rows |= {name: value for name, value in (("total", 0), ("pages", 0), ("has_more", False), ("starting_after", None)) if name in rows}
    if "links" in rows:
        rows["links"] |= {"prev": {}, "next": {}}
    return jsonify(body)


def _spoil_by_web_page(_fault: Fault, _response: Response) -> Response:
    return Response("<!doctype html><title>Back soon</title><h1>Back soon</h1>", mimetype="text/html")


def _spoil_by_truncation(_fault: Fault, response: Response) -> Response:
    """The length says more than comes."""
    whole = response.get_data()
    response.set_data(whole[: len(whole) // 2])
    response.headers["Content-Length"] = str(len(whole))
    connection = request.environ[SOCKET]
    response.call_on_close(lambda: cut(connection))
    return response


def _spoil_by_size(_fault: Fault, _response: Response) -> Response:
    return Response(_huge(), mimetype="application/json")


def _huge() -> Iterator[bytes]:
    yield b'{"padding": "'
    yield from repeat(_HUGE_PIECE, _HUGE_PIECES)
    yield b'"}'


def _spoil_by_slowness(fault: Fault, response: Response) -> Response:
    return Response(_drip(response.get_data(), fault.argument, g.stopping), status=response.status_code, mimetype="application/json")


def _drip(whole: bytes, seconds: float, stopping: Event) -> Iterator[bytes]:
    for index in range(len(whole)):
        yield whole[index : index + 1]
        if stopping.wait(seconds):
            return


_SPOILERS: dict[str, Spoiler] = {
    "drop_after_commit": _spoil_by_drop,
    "error_after_commit": _spoil_by_error,
    "empty_first": _spoil_by_emptiness,
    "not_json": _spoil_by_web_page,
    "truncated": _spoil_by_truncation,
    "huge": _spoil_by_size,
    "drip": _spoil_by_slowness,
}


def _system() -> str:
    return str(g.operation).partition(".")[0]
