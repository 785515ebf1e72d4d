"""The simulator: one loopback origin for both vendors, the keys, and the control routes."""

import http.client
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from functools import wraps
from typing import Any, Self

from flask import Flask, Response, jsonify, request
from werkzeug.exceptions import NotFound

from bridge.simulator import breakage, control, purple_dot, shipstation_v1, shipstation_v2
from bridge.simulator.answers import redirect_to_login, v2_error
from bridge.simulator.delivery import is_loopback, is_signed, post, raw_body, subscription_event
from bridge.simulator.faults import FaultBox, parse_fault
from bridge.simulator.http_server import Server
from bridge.simulator.model import Credentials, Json
from bridge.simulator.signing import Signer
from bridge.simulator.world import World

_HOST = "127.0.0.1"


class Simulator:
    """`with Simulator() as simulator:` serves a world on `simulator.url` until the block ends; it can be started again after.

    Faults are texts, `NAME[:argument][:operation[:count]]`. A webhook goes to `webhook_url`, or without one to the loopback URLs
    that were subscribed through the API.
    """

    def __init__(
        self,
        world: World | None = None,
        port: int = 0,
        faults: Iterable[str] = (),
        *,
        credentials: Credentials | None = None,
        webhook_url: str | None = None,
    ) -> None:
        self.world = world or World()
        self.credentials = credentials or Credentials()
        self.signer = Signer()
        self.faults = FaultBox(faults)
        self.webhook_url = webhook_url
        self.port = port
        self._stopping = threading.Event()
        self._server: Server | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The origin, such as `http://127.0.0.1:40123`; both vendors, the keys and the control routes live under it."""
        return f"http://{_HOST}:{self.port}"

    def start(self) -> None:
        """OSError when the port is taken. A port of 0 is replaced by the one found, and kept for a second start."""
        self._stopping.clear()
        self._server = Server(_HOST, self.port, self._app())
        self.port = self._server.server_port
        self.world.origin = self.url
        self._thread = threading.Thread(target=self._server.serve, name="simulator", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Refuses further connections and cuts the open ones; the world stays as it is."""
        self._stopping.set()
        if self._server is None or self._thread is None:
            return
        self._server.stop()
        self._thread.join()
        self._server = self._thread = None

    def inject(self, operation: str, fault: str, count: int | None = 1) -> None:
        """Put in a fault, such as `("purple_dot.create_fulfillment", "status:503", 2)`; a count of None is for ever."""
        parsed = parse_fault(fault)
        parsed.operation, parsed.count = operation, count
        self.faults.put(parsed)

    def webhook(self, body: Json, *, signed: bool | None = None, now: datetime | None = None) -> tuple[bytes, dict[str, str]]:
        """The raw bytes and headers as ShipStation sends them. V2 is signed, V1 and inline are not, unless `signed` says so."""
        raw = raw_body(body)
        headers = {"Content-Type": "application/json", "User-Agent": "ShipStation-Simulator"}
        return raw, headers | (self.signer.headers(raw, now=now) if (is_signed(body) if signed is None else signed) else {})

    def send_webhook(self, url: str, body: Json, *, extra_headers: Mapping[str, str] | None = None) -> int:
        """Post a webhook and return the status answered."""
        raw, headers = self.webhook(body)
        return post(url, raw, headers | dict(extra_headers or {}))

    def env(self) -> dict[str, str]:
        """The settings that point a bridge at this simulator."""
        return {
            "BRIDGE_SHIPSTATION_BASE_URL": self.url,
            "BRIDGE_SHIPSTATION_API_KEY": self.credentials.v2_key,
            "BRIDGE_SHIPSTATION_V1_BASE_URL": self.url,
            "BRIDGE_SHIPSTATION_V1_API_KEY": self.credentials.v1_key,
            "BRIDGE_SHIPSTATION_V1_API_SECRET": self.credentials.v1_secret,
            "BRIDGE_SHIPSTATION_JWKS_URL": f"{self.url}/jwks",
            "BRIDGE_PURPLE_DOT_BASE_URL": f"{self.url}{purple_dot.PREFIX}",
            "BRIDGE_PURPLE_DOT_ACCESS_TOKEN": self.credentials.purple_dot_token,
        }

    def _send_to_subscribers(self, body: Json) -> Json:
        raw, headers = self.webhook(body)
        answers = [_try_to_post(url, raw, headers | extra) for url, extra in self._targets(body)]
        return {"body": body, "headers": headers, "answers": answers}

    def _targets(self, body: Json) -> list[tuple[str, dict[str, str]]]:
        if self.webhook_url:
            return [(self.webhook_url, {})]
        event, is_v2 = subscription_event(body)
        subscriptions = self.world.subscriptions if is_v2 else self.world.v1_subscriptions
        # A simulator never speaks to the outside because of what someone subscribed.
        mine = [one for one in subscriptions if one.event == event and is_loopback(one.url)]
        return [(one.url, {str(header["key"]): str(header["value"]) for header in one.headers}) for one in mine]

    def _app(self) -> Flask:
        app = Flask("bridge.simulator")
        app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider has it
        app.register_blueprint(shipstation_v2.routes(self.world, self.credentials))
        app.register_blueprint(shipstation_v1.routes(self.world, self.credentials))
        app.register_blueprint(purple_dot.routes(self.world, self.credentials))
        app.add_url_rule("/jwks", "jwks", lambda: jsonify(self.signer.jwks()))
        app.add_url_rule("/admin/login", "login", purple_dot.login_page)
        app.register_error_handler(404, _unknown_path)
        for name, view in app.view_functions.items():
            app.view_functions[name] = _one_at_a_time(view, self.world)
        # After the lock: sending waits for the bridge, which may ask us before it answers.
        app.register_blueprint(control.routes(self.world, self.faults, self._send_to_subscribers))
        breakage.install(app, self.world, self.faults, self._stopping)
        return app


def _unknown_path(error: NotFound) -> Response | NotFound:
    """Each vendor's own way: V2 says 404, Purple Dot leads to its login page."""
    if request.path.startswith("/v2/"):
        return v2_error(404, "not_found", "The requested resource was not found.")
    return redirect_to_login() if request.path.startswith("/admin/") else error


def _one_at_a_time(view: Callable[..., Any], world: World) -> Callable[..., Any]:
    """No route sees the world while a verb is changing it."""

    @wraps(view)
    def locked(**arguments: object) -> Response:
        with world.lock:
            answer: Response = view(**arguments)
            return answer

    return locked


def _try_to_post(url: str, raw: bytes, headers: Mapping[str, str]) -> Json:
    try:
        return {"status": post(url, raw, headers)}
    except (OSError, http.client.HTTPException) as error:
        return {"error": f"{type(error).__name__}: {error}"}
