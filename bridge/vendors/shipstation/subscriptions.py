"""Which events ShipStation sends to which URL, and what is still to do so that it sends them to
ours. Pure."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import urlsplit

from bridge.domain.errors import ForeignUrlError
from bridge.vendors.http import origin_of

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
