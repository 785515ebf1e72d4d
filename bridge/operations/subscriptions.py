"""Sees to it that ShipStation's webhooks come to us: what `bridge webhooks` does, and the
worker's daily look whether it still holds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog

from bridge.domain.errors import BridgeError, PermanentError
from bridge.store import shared_state
from bridge.store.engine.database import Database
from bridge.vendors.shipstation.subscription_calls import Subscriptions
from bridge.vendors.shipstation.subscriptions import Step, Subscription, is_ours, masked, plan

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
NEXT = (
    "ShipStation V2 takes one URL for each event. If that is an old address of this bridge: bridge"
    " webhooks remove URL; else: --api v1"
)


def ensure(
    apis: Sequence[Subscriptions],
    *,
    address: str,
    token: str,
    store: str | None,
    dry_run: bool = False,
) -> Iterator[dict[str, Any]]:
    """Bring each API's subscriptions to `address` with `token`; a row for each event, with its
    secrets masked."""
    for api in apis:
        try:
            steps = plan(api.api, api.all(), address=address, tokens=[token], store=store)
        except BridgeError as exc:
            yield outcome_row(api.api, "every event", "failed", str(exc))
            continue
        for step in steps:
            try:
                if not dry_run:
                    _take(step, api, address, token, store)
                yield _done_row(api.api, step, address, dry_run=dry_run)
            except BridgeError as exc:
                yield outcome_row(api.api, step.event, "failed", str(exc))


def _done_row(api: str, step: Step, address: str, *, dry_run: bool) -> dict[str, Any]:
    outcome = DONE[step.verb]
    if dry_run and step.verb in ("create", "update", "delete"):
        outcome = f"would be {outcome}"
    detail = address
    if step.subscription and step.verb in ("blocked", "delete"):
        detail = masked(step.subscription.url)
    return outcome_row(api, step.event, outcome, detail)


def _take(step: Step, api: Subscriptions, address: str, token: str, store: str | None) -> None:
    if step.verb == "create":
        api.create(step.event, address, token, store)
    elif step.subscription and step.verb == "update":
        api.update(step.subscription, address, token)
    elif step.subscription and step.verb == "delete":
        api.delete(step.subscription)


def remove(apis: Sequence[Subscriptions], *, address: str) -> Iterator[dict[str, Any]]:
    """Take away what is ours, of whatever event, and nothing else."""
    for api in apis:
        try:
            ours = [each for each in api.all() if is_ours(each.url, address)]
            for subscription in ours:
                api.delete(subscription)
                detail = masked(subscription.url)
                yield outcome_row(api.api, subscription.event, "removed", detail)
        except BridgeError as exc:
            yield outcome_row(api.api, "every event", "failed", str(exc))


def outcome_row(api: str, event: str, outcome: str, detail: str) -> dict[str, Any]:
    """What became of one event's subscription, as it is shown."""
    return {"api": api, "event": event, "outcome": outcome, "detail": detail}


def problems(
    api: str,
    existing: Sequence[Subscription],
    *,
    address: str,
    tokens: Sequence[str],
    store: str | None,
) -> Iterator[str]:
    """What is wrong with an API's subscriptions, a sentence each. A token in a header that V2
    doesn't show is let pass."""
    accepted = [*tokens, *([None] if api == "v2" else [])]
    for step in plan(api, existing, address=address, tokens=accepted, store=store):
        name = f"ShipStation {api.upper()} {step.event}"
        if step.verb == "blocked" and step.subscription:
            yield f"{name} goes to {masked(step.subscription.url)}, not to us"
        elif step.verb in WRONG:
            yield f"{name} {WRONG[step.verb]}"


@dataclass(frozen=True, slots=True)
class SubscriptionCheck:
    """The worker's daily task: what `bridge webhooks ensure` left is compared with what is there,
    and noted for the doctor and the alerts."""

    database: Database
    apis: Sequence[Subscriptions]
    tokens: Sequence[str]

    def run(self, _stopping: object) -> None:
        """Look, note and log. Raises what the vendor's client raises."""
        lost = self.look() or []
        with self.database.begin() as connection:
            now = self.database.now(connection)
            shared_state.put(connection, shared_state.LOST, {"problems": lost}, now=now)
        for problem in lost:
            log.error("subscription_lost", problem=problem, next_step="bridge webhooks ensure URL")

    def look(self) -> list[str] | None:
        """The problems; None before `ensure` was used, as nothing can be compared then."""
        with self.database.read() as connection:
            stored = shared_state.get(connection, shared_state.SUBSCRIBED)
        if stored is None or not stored[0]:
            return None
        subscribed = stored[0]
        problems: list[str] = []
        for api in self.apis:
            if api.api in subscribed["apis"]:
                problems += _problems_of(
                    api, address=subscribed["url"], store=subscribed["store"], tokens=self.tokens
                )
        return problems


def _problems_of(api: Subscriptions, **options: Any) -> list[str]:
    """A vendor that is down is asked again later; one that refuses us is a problem of its own."""
    try:
        return list(problems(api.api, api.all(), **options))
    except PermanentError as exc:
        return [f"ShipStation {api.api.upper()} does not show its subscriptions: {exc}"]
