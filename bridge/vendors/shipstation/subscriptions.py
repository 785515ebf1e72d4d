"""Which events ShipStation sends to which URL, on V2 and on V1, and what is still to do so that it
sends them to ours.

Unknown to us: whether V2 shows a subscription's headers in clear (where it does not, our token is
written anew), whether it takes a second URL for an event of another store, and how long a URL V1
stores. https://docs.shipstation.com/openapi/webhooks (V2),
https://www.shipstation.com/docs/api/webhooks/subscribe/ (V1)"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationError

from bridge.domain.errors import ForeignUrlError, PayloadError
from bridge.vendors.http import ApiClient, origin_of
from bridge.vendors.shipstation.payloads import Id, Items, Row, Text

WANTED: Mapping[str, Sequence[Sequence[str]]] = {
    "v2": (("label_created_v2",), ("fulfillment_shipped_v2",), ("fulfillment_rejected_v2",)),
    "v1": (
        ("SHIP_NOTIFY", "ITEM_SHIP_NOTIFY"),
        ("FULFILLMENT_SHIPPED",),
        ("FULFILLMENT_REJECTED",),
    ),
}
"""One group a family: labels, marked as shipped, refused by a provider. Its first event is
subscribed to, any other of it is as good."""
HEADER = "X-Bridge-Token"
_PLAIN_SEGMENT = re.compile(r"[a-z][a-z._-]{0,19}|v\d{1,3}|", re.ASCII)


@dataclass(frozen=True, slots=True)
class Subscription:
    """`url` and `headers` may hold a secret of whoever made it: only `masked` is for people.
    `store` None is every store."""

    api: str
    subscription_id: str
    event: str
    url: str = field(repr=False)
    name: str | None = None
    store: str | None = None
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    is_active: bool = True

    def token(self, address: str) -> str | None:
        """The token that will come with each webhook, as far as it is shown: in the header, else
        behind our path."""
        for key, value in self.headers:
            is_shown = not set(value) <= set("*•")
            if key.lower() == HEADER.lower() and is_shown:
                return value
        path = urlsplit(self.url).path.rstrip("/")
        return path.removeprefix(urlsplit(address).path).strip("/") or None


Verb = Literal["keep", "create", "update", "delete", "blocked"]


@dataclass(frozen=True, slots=True)
class Step:
    """What to do about one event. `blocked`: somebody else's URL stands there (as `subscription`),
    and V2 takes only one."""

    verb: Verb
    api: str
    event: str
    subscription: Subscription | None = None


def is_ours(url: str, address: str) -> bool:
    """Ours is what has our scheme, host and path, with or without one more segment (a token, new or
    old); nothing else is."""
    try:
        is_same_origin = origin_of(url) == origin_of(address)
    except ForeignUrlError:
        return False
    our_path = re.escape(urlsplit(address).path) + "(/[^/]*)?"
    return is_same_origin and re.fullmatch(our_path, urlsplit(url).path) is not None


def plan(
    api: str,
    existing: Sequence[Subscription],
    *,
    address: str,
    tokens: Collection[str | None],
    store: str | None = None,
) -> list[Step]:
    """The steps until each family reaches `address` with one of `tokens`, where None is a token
    that isn't shown. A subscription that isn't ours is never touched."""
    steps: list[Step] = []
    for events in WANTED[api]:
        of_family = [
            subscription
            for subscription in existing
            if subscription.event in events
            and (store is None or subscription.store in (None, store))
        ]
        ours = [subscription for subscription in of_family if is_ours(subscription.url, address)]
        steps += _steps_for_ours(ours, address=address, tokens=tokens)
        if not ours:
            steps.append(_step_for_none(api, events[0], of_family, store))
    return steps


def _steps_for_ours(
    ours: Sequence[Subscription], *, address: str, tokens: Collection[str | None]
) -> list[Step]:
    kept: list[Subscription] = []
    stale: list[Subscription] = []
    for subscription in ours:
        is_right = subscription.is_active and subscription.token(address) in tokens
        (kept if is_right else stale).append(subscription)
    steps = [_step("keep", subscription) for subscription in kept]
    # One of each store goes on; a stale one beside it would only be refused by us.
    stores = {subscription.store for subscription in kept}
    deletions = []
    for subscription in stale:
        if subscription.store in stores:
            deletions.append(_step("delete", subscription))
        else:
            steps.append(_step("update", subscription))
        stores.add(subscription.store)
    return steps + deletions


def _step_for_none(
    api: str, event: str, of_family: Sequence[Subscription], store: str | None
) -> Step:
    if api == "v2":
        for subscription in of_family:
            if subscription.store == store:
                return Step("blocked", api, event, subscription)
    return Step("create", api, event)


def _step(verb: Verb, subscription: Subscription) -> Step:
    return Step(verb, subscription.api, subscription.event, subscription)


def masked(url: str) -> str:
    """A URL for people: whatever could be a secret in it is `***`. The host always shows."""
    split = urlsplit(url)
    parts = [part if _PLAIN_SEGMENT.fullmatch(part) else "***" for part in split.path.split("/")]
    path = re.sub(r"(/webhooks/shipstation)/.+", r"\1/***", "/".join(parts))
    host = split.netloc.rpartition("@")[2]
    rest = "?***" if split.query or split.fragment else ""
    return f"{split.scheme}://{host}{path}{rest}"


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


class Subscriptions:
    """One API version's list; the class attributes and the bodies are all that differs. Errors are
    those of ApiClient; every call may safely be repeated."""

    api: str
    path: str

    def __init__(self, client: ApiClient, base_url: str) -> None:
        self._client, self._url = client, base_url + self.path

    def sample(self) -> object:
        """The list as it came."""
        return self._client.get("webhooks", self._url).body

    def all(self) -> list[Subscription]:
        """The whole list. PayloadError when it has another shape than we know."""
        raise NotImplementedError

    def create(self, event: str, address: str, token: str, store: str | None) -> None:
        raise NotImplementedError

    def update(self, subscription: Subscription, address: str, token: str) -> None:
        raise NotImplementedError

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
