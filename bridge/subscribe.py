"""Sees to it that ShipStation tells us: what `bridge webhooks` does, and the worker's daily look whether it still holds."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog

from bridge.errors import BridgeError
from bridge.shipstation.subscriptions import Step, Subscription, Subscriptions, is_ours, masked, plan
from bridge.store import notes
from bridge.store.database import Database

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
WRONG = {"create": "is not subscribed", "update": "is subscribed, but switched off or with a token that we no longer take"}
NEXT = "ShipStation takes one URL for each event here. Remove that one in ShipStation if nobody needs it, or leave these events to V1"


def ensure(
    every: Sequence[Subscriptions], *, address: str, token: str, store: str | None, dry_run: bool = False
) -> Iterator[dict[str, Any]]:
    """Bring each API's subscriptions to `address` with `token`; a row for each event, told with its secrets masked."""
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
                outcome = f"would be {DONE[step.verb]}" if dry_run and step.verb in ("create", "update", "delete") else DONE[step.verb]
                at = masked(step.subscription.url) if step.subscription and step.verb in ("blocked", "delete") else address
                yield told(one.api, step.event, outcome, f"{at}. {NEXT}" if step.verb == "blocked" else at)
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


def problems(api: str, there: Sequence[Subscription], *, address: str, tokens: Sequence[str], store: str | None) -> list[str]:
    """What is wrong with an API's subscriptions, a sentence each. A token that ShipStation doesn't show is let pass."""
    steps = plan(api, there, address=address, tokens=tokens, store=store)
    wrong = [step for step in steps if step.verb != "keep" and not (step.verb == "update" and _is_hidden(step, address))]
    return [
        f"ShipStation {api.upper()} {step.event} "
        + (f"goes to {masked(step.subscription.url)}, not to us" if step.subscription and step.verb == "blocked" else WRONG[step.verb])
        for step in wrong
        if step.verb != "delete"
    ]


def _is_hidden(step: Step, address: str) -> bool:
    return step.subscription is not None and step.subscription.is_active and step.api == "v2" and step.subscription.token(address) is None


@dataclass(frozen=True, slots=True)
class SubscriptionCheck:
    """The worker's chore: what `bridge webhooks ensure` left is compared with what is there, and noted for the doctor and the alerts."""

    database: Database
    every: Sequence[Subscriptions]
    tokens: Sequence[str]

    def do(self, _stopping: object) -> None:
        """Look, note and log. Raises what the vendor's client raises."""
        found = self.look()
        with self.database.begin() as connection:
            notes.put(connection, notes.LOST, {"problems": found or []}, now=self.database.now(connection))
        for problem in found or []:
            log.error("subscription_lost", problem=problem, next_step="bridge webhooks ensure URL")

    def look(self) -> list[str] | None:
        """The problems; None before `ensure` was used, as nothing can be compared then."""
        with self.database.read() as connection:
            wanted = notes.get(connection, notes.SUBSCRIBED)
        if wanted is None:
            return None
        to = {"address": wanted[0]["url"], "store": wanted[0]["store"], "tokens": self.tokens}
        return [wrong for one in self.every if one.api in wanted[0]["apis"] for wrong in problems(one.api, one.all(), **to)]
