"""The calls that read and change subscriptions, on V2 and on V1.

Unknown to us: whether V2 shows a subscription's headers in clear (where it does not, our token is
written anew), whether it takes a second URL for an event of another store, and how long a URL V1
stores. https://docs.shipstation.com/openapi/webhooks (V2),
https://www.shipstation.com/docs/api/webhooks/subscribe/ (V1)"""

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field, ValidationError

from bridge.domain.errors import PayloadError
from bridge.vendors.http import ApiClient
from bridge.vendors.shipstation.fields import Id, Items, Text
from bridge.vendors.shipstation.payloads import Row
from bridge.vendors.shipstation.subscriptions import HEADER, Subscription


class V2Webhook(Row):
    webhook_id: Id
    url: Id
    event: Id
    name: Text = None
    store_id: Text = None
    headers: Items[dict[str, Any]] = Field(default_factory=list)


class V1Webhook(Row):
    webhook_id: Annotated[Id, Field(alias="WebHookID")]
    event: Annotated[Id, Field(alias="HookType")]
    url: Annotated[Id, Field(alias="Url")]
    name: Annotated[Text, Field(alias="Name")] = None
    store_id: Annotated[Text, Field(alias="StoreID")] = None
    active: Annotated[bool, Field(alias="Active")] = True


class Subscriptions(ABC):
    """One API version's list; the class attributes and the bodies are all that differs. Errors are
    those of ApiClient; every call may safely be repeated."""

    api: str
    path: str

    def __init__(self, client: ApiClient, base_url: str) -> None:
        self._client, self._url = client, base_url + self.path

    def sample(self) -> object:
        """The list as it came."""
        return self._client.get("webhooks", self._url).body

    @abstractmethod
    def all(self) -> list[Subscription]:
        """The whole list. PayloadError when it has another shape than we know."""

    @abstractmethod
    def create(self, event: str, address: str, token: str, store: str | None) -> None:
        """Have an event, of one store or of all, sent to our address."""

    @abstractmethod
    def update(self, subscription: Subscription, address: str, token: str) -> None:
        """Have a subscription of ours sent to our address, with this token."""

    def delete(self, subscription: Subscription) -> None:
        self._send("delete_webhook", "DELETE", _tail(subscription), None)

    def _send(self, operation: str, method: str, tail: str, body: object) -> None:
        self._client.send(operation, method, self._url + tail, body, safe_to_repeat=True)


class SubscriptionsV2(Subscriptions):
    """`/v2/environment/webhooks`. The token goes into a header."""

    api, path = "v2", "/environment/webhooks"

    def all(self) -> list[Subscription]:
        subscriptions = []
        for row in _rows(V2Webhook, self.sample()):
            headers = tuple(
                (str(header.get("key")), str(header.get("value"))) for header in row.headers
            )
            subscriptions.append(
                Subscription(
                    "v2",
                    row.webhook_id,
                    row.event.lower(),
                    row.url,
                    row.name,
                    row.store_id,
                    headers,
                )
            )
        return subscriptions

    def create(self, event: str, address: str, token: str, store: str | None) -> None:
        headers = [{"key": HEADER, "value": token}]
        self._send(
            "create_webhook",
            "POST",
            "",
            {
                "name": _name(event),
                "event": event,
                "url": address,
                "headers": headers,
                **_store(store),
            },
        )

    def update(self, subscription: Subscription, address: str, token: str) -> None:
        """Headers are replaced as a whole, so what else somebody put there is sent along."""
        headers = [
            {"key": key, "value": value}
            for key, value in subscription.headers
            if key.lower() != HEADER.lower()
        ]
        headers.append({"key": HEADER, "value": token})
        body = {
            "name": subscription.name or _name(subscription.event),
            "url": address,
            "headers": headers,
        }
        self._send("update_webhook", "PUT", _tail(subscription), body)


class SubscriptionsV1(Subscriptions):
    """`/webhooks`. V1 sends no header, so the token is the end of the URL; nothing can be changed,
    only made anew."""

    api, path = "v1", "/webhooks"

    def all(self) -> list[Subscription]:
        body = self.sample()
        rows = _rows(V1Webhook, body.get("webhooks") if isinstance(body, Mapping) else body)
        return [
            Subscription(
                "v1",
                row.webhook_id,
                row.event.upper(),
                row.url,
                row.name,
                row.store_id,
                is_active=row.active,
            )
            for row in rows
        ]

    def create(self, event: str, address: str, token: str, store: str | None) -> None:
        body = {
            "target_url": f"{address}/{token}",
            "event": event,
            "friendly_name": _name(event),
            **_store(store),
        }
        self._send("create_webhook", "POST", "/subscribe", body)

    def update(self, subscription: Subscription, address: str, token: str) -> None:
        """The new one first: between the two steps a webhook comes twice rather than not at all."""
        self.create(subscription.event, address, token, subscription.store)
        self.delete(subscription)


def _rows(model: type[Any], body: object) -> list[Any]:
    if not isinstance(body, list):
        raise PayloadError("ShipStation's answer is no list of webhooks")
    try:
        return [model.model_validate(row) for row in body]
    except ValidationError as exc:
        wrong = ", ".join(
            sorted({".".join(map(str, error["loc"])) for error in exc.errors(include_input=False)})
        )
        raise PayloadError(
            f"ShipStation's list of webhooks has another shape than we know: {wrong}"
        ) from exc


def _tail(subscription: Subscription) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", subscription.subscription_id, re.ASCII):
        raise PayloadError("ShipStation gave a webhook an id that no path can hold")
    return f"/{subscription.subscription_id}"


def _name(event: str) -> str:
    return f"Purple Dot bridge: {event}"


def _store(store: str | None) -> dict[str, int]:
    return {"store_id": int(store)} if store and store.isdigit() else {}
