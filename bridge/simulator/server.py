"""The simulator: one loopback origin for both vendors, the keys, and routes of its own under
/_simulator."""

import http.client
import json
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from datetime import datetime
from hmac import compare_digest
from typing import Any, Self
from urllib.parse import urlsplit

from flask import Flask, Response, request

from bridge.simulator import purple_dot, shipstation, subscribing
from bridge.simulator.faults import FaultBox, install, parse_fault, redirect_to_login, refusal
from bridge.simulator.http_server import Server
from bridge.simulator.model import Credentials, RefusedError
from bridge.simulator.scenarios import SCENARIOS
from bridge.simulator.shapes import Json, row
from bridge.simulator.signing import Signer
from bridge.simulator.world import World


class Simulator:
    """`with Simulator() as simulator:` serves a world on `simulator.url` until the block ends; it
    can be started again after.

    Faults are texts, `NAME[:argument][:operation[:count]]`. The webhooks of a story go to
    `webhook_url`, if there is one, and to whoever subscribed to them."""

    def __init__(
        self,
        world: World | None = None,
        port: int = 0,
        faults: Iterable[str] = (),
        *,
        credentials: Credentials | None = None,
        webhook_url: str | None = None,
    ) -> None:
        self.world, self.credentials, self.signer = (
            world or World(),
            credentials or Credentials(),
            Signer(),
        )
        self.faults, self.webhook_url, self.port = FaultBox(faults), webhook_url, port
        self._stopping = threading.Event()
        self._server: Server | None = None

    @property
    def url(self) -> str:
        """The origin, such as `http://127.0.0.1:40123`; everything lives under it."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> Self:
        """OSError when the port is taken. A port of 0 is replaced by the one found, and kept for a
        second start."""
        self._stopping.clear()
        self._server = Server("127.0.0.1", self.port, self._app())
        self.port = self._server.server_address[1]
        self.world.origin = self.url
        return self

    __enter__ = start

    def stop(self) -> None:
        """Refuses further connections and cuts the open ones; the world stays as it is."""
        self._stopping.set()
        if self._server is not None:
            self._server.stop()
            self._server = None

    def __exit__(self, *_exc_info: object) -> None:
        self.stop()

    def is_idle(self) -> bool:
        """Whether all that was sent so far is done with, also what its client no longer waits
        for."""
        return self._server is None or self._server.is_idle()

    def inject(self, operation: str, fault: str, count: int | None = 1) -> None:
        """Put in a fault, such as `("purple_dot.create_fulfillment", "status:503", 2)`; a count of
        None is for ever."""
        self.faults.append(parse_fault(f"{fault}:{operation}:{count or 'always'}"))

    def webhook(
        self, body: Json, *, signed: bool | None = None, now: datetime | None = None
    ) -> tuple[bytes, dict[str, str]]:
        """The raw bytes and headers as ShipStation sends them. V2 is signed, V1 and inline are not,
        unless `signed` says so."""
        raw = json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
        is_signed = str(body.get("resource_type")).endswith("_V2") if signed is None else signed
        return raw, {"Content-Type": "application/json"} | (
            self.signer.headers(raw, now=now) if is_signed else {}
        )

    def send_webhook(self, url: str, body: Json, further: Mapping[str, str] | None = None) -> int:
        """Post a webhook, with a subscription's `further` headers; the status answered. The vendor
        gives up a try after ten seconds."""
        raw, headers = self.webhook(body)
        target = urlsplit(url)
        kind = (
            http.client.HTTPSConnection if target.scheme == "https" else http.client.HTTPConnection
        )
        with closing(kind(target.netloc, timeout=10)) as connection:
            connection.request(
                "POST",
                target._replace(scheme="", netloc="").geturl() or "/",
                raw,
                headers | dict(further or {}),
            )
            return connection.getresponse().status

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

    def _send(self, body: Json) -> Json:
        answers: list[Json] = []
        fixed: list[tuple[str, Json]] = [(self.webhook_url, {})] if self.webhook_url else []
        for url, further in [
            *fixed,
            *subscribing.listeners(self.world, str(body.get("resource_type"))),
        ]:
            try:
                answers.append({"status": self.send_webhook(url, body, further)})
            except (OSError, http.client.HTTPException) as error:
                answers.append({"error": f"{type(error).__name__}: {error}"})
        return {"body": body, "answers": answers}

    def _app(self) -> Flask:
        app = Flask("bridge.simulator", static_folder=None)
        for method, path, operation, view in (
            shipstation.ROUTES + subscribing.ROUTES + purple_dot.ROUTES
        ):
            app.add_url_rule(path, operation, self._one_at_a_time(view), methods=[method])
        app.add_url_rule("/jwks", "jwks", self.signer.jwks)
        app.add_url_rule(
            "/admin/login",
            "_login",
            lambda: "<!doctype html><title>Log in</title><h1>Log in to Purple Dot</h1>",
        )
        app.add_url_rule("/_simulator", "_state", self._state)
        app.add_url_rule("/_simulator/faults", "_faults", self._add_faults, methods=["POST"])
        app.add_url_rule("/_simulator/ship/<name>", "_ship", self._ship, methods=["POST"])
        app.register_error_handler(RefusedError, refusal)
        app.register_error_handler(404, _unknown_path)
        install(app, self.world, self.faults, self._stopping)
        app.before_request(self._check_credentials)
        app.after_request(_tell_rate)
        return app

    def _one_at_a_time(self, view: Callable[..., Any]) -> Callable[..., Any]:
        """No route sees the world while a verb is changing it."""

        def locked(**arguments: str) -> Any:
            with self.world.lock:
                return view(self.world, **arguments)

        return locked

    def _check_credentials(self) -> None:
        credentials, basic = self.credentials, request.authorization
        presented, expected = {
            "shipstation": (request.headers.get("api-key"), credentials.v2_key),
            "shipstation_v1": (
                basic and f"{basic.username}:{basic.password}",
                f"{credentials.v1_key}:{credentials.v1_secret}",
            ),
            "purple_dot": (
                request.headers.get("X-Purple-Dot-Access-Token"),
                credentials.purple_dot_token,
            ),
        }.get((request.endpoint or "").partition(".")[0], ("", ""))
        if not compare_digest((presented or "").encode(), expected.encode()):
            raise RefusedError(401, "unauthorized", "The credentials are invalid.", kind="security")

    def _state(self) -> Json:
        with self.world.lock:
            state: Json = row("state", self.world)
            state |= {
                "emails": [email._asdict() for email in self.world.emails],
                "calls": [".".join(call) for call in self.world.calls],
            }
        return state | {
            "faults": self.faults.waiting(),
            "scenarios": {name: scenario.summary for name, scenario in SCENARIOS.items()},
        }

    def _add_faults(self) -> Any:
        try:
            self.faults += [parse_fault(text) for text in request.get_json()["faults"]]
        except (LookupError, TypeError, ValueError) as error:
            return {
                "message": f'Send {{"faults": ["NAME[:argument][:operation[:count]]"]}}. {error}'
            }, 400
        return {"faults": self.faults.waiting()}

    def _ship(self, name: str) -> Any:
        if name not in SCENARIOS:
            return {"message": f"There are: {', '.join(SCENARIOS)}."}, 404
        return {
            "scenario": name,
            "webhooks": [self._send(body) for body in SCENARIOS[name].play(self.world)],
        }


def _unknown_path(_error: Exception) -> Response:
    return (
        redirect_to_login()
        if request.path.startswith("/admin/")
        else refusal(RefusedError(404, "not_found", "There is nothing here."))
    )


def _tell_rate(response: Response) -> Response:
    """ShipStation says 40; as nothing is counted here, nobody shall be slowed.
    https://www.shipstation.com/docs/api/requirements/"""
    if (request.endpoint or "").startswith("shipstation_v1."):
        response.headers.update(
            {
                "X-Rate-Limit-Limit": "100000",
                "X-Rate-Limit-Remaining": "99999",
                "X-Rate-Limit-Reset": "20",
            }
        )
    return response
