"""Sees to it that ShipStation tells us: what `bridge webhooks` does, and the worker's daily look
whether it still holds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog

from bridge.domain.errors import BridgeError, PermanentError
from bridge.store import shared_state
from bridge.store.engine.database import Database
from bridge.vendors.shipstation.subscriptions import (
    Step,
    Subscription,
    Subscriptions,
    is_ours,
    masked,
    plan,
)

log = structlog.get_logger(__name__)

CHECK_EVERY = timedelta(days=1)
CHECK = "check_subscriptions"
DONE = {
    "keep": "already there",
    "create": "created",
    "update": "brought up to date",
    "delete": "removed",
    "blocked": "not ours, left alone",
}
WRONG = {
    "create": "is not subscribed",
    "update": "is subscribed, but switched off or with a token that we no longer take",
}
NEXT = "ShipStation V2 takes one URL for each event. If that is an old address of this bridge: bridge webhooks remove URL; else: --api v1"


def ensure(
    every: Sequence[Subscriptions],
    *,
    address: str,
    token: str,
    store: str | None,
    dry_run: bool = False,
) -> Iterator[dict[str, Any]]:
    """Bring each API's subscriptions to `address` with `token`; a row for each event, told with its
    secrets masked."""
    for one in every:
        try:
            steps = plan(one.api, one.all(), address=address, tokens=[token], store=store)
        except BridgeError as exc:
            yield told(one.api, "every event", "failed", str(exc))
            continue
        for step in steps:
            try:
                if not dry_run:
                    _take(step, one, address, token, store)
                outcome = (
                    f"would be {DONE[step.verb]}"
                    if dry_run and step.verb in ("create", "update", "delete")
                    else DONE[step.verb]
                )
                at = (
                    masked(step.subscription.url)
                    if step.subscription and step.verb in ("blocked", "delete")
                    else address
                )
                yield told(one.api, step.event, outcome, at)
            except BridgeError as exc:
                yield told(one.api, step.event, "failed", str(exc))


def _take(step: Step, one: Subscriptions, address: str, token: str, store: str | None) -> None:
    if step.verb == "create":
        one.create(step.event, address, token, store)
    elif step.subscription and step.verb == "update":
        one.update(step.subscription, address, token)
    elif step.subscription and step.verb == "delete":
        one.delete(step.subscription)


def remove(every: Sequence[Subscriptions], *, address: str) -> Iterator[dict[str, Any]]:
    """Take away what is ours, of whatever event, and nothing else."""
    for one in every:
        try:
            for subscription in [there for there in one.all() if is_ours(there.url, address)]:
                one.delete(subscription)
                yield told(one.api, subscription.event, "removed", masked(subscription.url))
        except BridgeError as exc:
            yield told(one.api, "every event", "failed", str(exc))


def told(api: str, event: str, outcome: str, detail: str) -> dict[str, Any]:
    return {"api": api, "event": event, "outcome": outcome, "detail": detail}


def problems(
    api: str,
    there: Sequence[Subscription],
    *,
    address: str,
    tokens: Sequence[str],
    store: str | None,
) -> Iterator[str]:
    """What is wrong with an API's subscriptions, a sentence each. A token in a header that V2
    doesn't show is let pass."""
    for step in plan(
        api, there, address=address, tokens=[*tokens, *([None] if api == "v2" else [])], store=store
    ):
        if step.verb == "blocked" and step.subscription:
            yield f"ShipStation {api.upper()} {step.event} goes to {masked(step.subscription.url)}, not to us"
        elif step.verb in WRONG:
            yield f"ShipStation {api.upper()} {step.event} {WRONG[step.verb]}"


@dataclass(frozen=True, slots=True)
class SubscriptionCheck:
    """The worker's chore: what `bridge webhooks ensure` left is compared with what is there, and
    noted for the doctor and the alerts."""

    database: Database
    every: Sequence[Subscriptions]
    tokens: Sequence[str]

    def do(self, _stopping: object) -> None:
        """Look, note and log. Raises what the vendor's client raises."""
        found = self.look()
        with self.database.begin() as connection:
            shared_state.put(
                connection,
                shared_state.LOST,
                {"problems": found or []},
                now=self.database.now(connection),
            )
        for problem in found or []:
            log.error("subscription_lost", problem=problem, next_step="bridge webhooks ensure URL")

    def look(self) -> list[str] | None:
        """The problems; None before `ensure` was used, as nothing can be compared then."""
        with self.database.read() as connection:
            wanted = shared_state.get(connection, shared_state.SUBSCRIBED)
        if wanted is None or not wanted[0]:
            return None
        to = {"address": wanted[0]["url"], "store": wanted[0]["store"], "tokens": self.tokens}
        return [
            wrong
            for one in self.every
            if one.api in wanted[0]["apis"]
            for wrong in _seen(one, **to)
        ]


def _seen(one: Subscriptions, **to: Any) -> list[str]:
    """A vendor that is down is asked again later; one that refuses us is a problem of its own."""
    try:
        return list(problems(one.api, one.all(), **to))
    except PermanentError as exc:
        return [f"ShipStation {one.api.upper()} does not show its subscriptions: {exc}"]
