"""`bridge webhooks list`, `ensure` and `remove`: subscriptions at ShipStation, tokens masked."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from bridge.cli.context import actor, open_services
from bridge.cli.options import json_option
from bridge.cli.output import WHOLE, Column, emit, table
from bridge.domain.errors import RefusedError

if TYPE_CHECKING:
    from bridge.settings import Settings
    from bridge.store.engine.database import Database
    from bridge.vendors.shipstation.subscription_calls import Subscriptions
    from bridge.vendors.shipstation.subscriptions import Subscription

PATH = "/webhooks/shipstation"
_COLUMNS = (
    "api",
    "id",
    "event",
    "store",
    "ours",
    "active",
    Column("url", WHOLE),
    "name",
)
_STEP_COLUMNS = ("api", "event", Column("outcome", WHOLE), Column("detail", WHOLE))


class _Address(click.ParamType[str]):
    """The bridge's public address, completed with the path of the webhooks."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from pydantic import TypeAdapter, ValidationError

        from bridge.settings import Url

        try:
            url: str = TypeAdapter(Url).validate_python(str(value).strip())
        except ValidationError as exc:
            self.fail(f"the URL {exc.errors()[0]['ctx']['error']}", param, ctx)
        if f"{PATH}/" in url:
            self.fail(
                f"leave out what comes after {PATH}: the token is added where ShipStation needs it",
                param,
                ctx,
            )
        return url if url.endswith(PATH) else url + PATH


_api = click.option(
    "--api",
    type=click.Choice(["v2", "v1"]),
    help="Only this API.  [default: each with a key in the settings]",
)


@click.group()
def webhooks() -> None:
    """Subscriptions at ShipStation: list them, make them reach this bridge, remove ours."""


@webhooks.command("list")
@_api
@json_option
def list_(api: str | None, as_json: bool) -> None:
    """Everyone who is subscribed, and which of them `ensure` would call ours. Tokens are masked."""
    with _at_shipstation(api) as (_, database, apis):
        ours = _stored(database).get("url")
        rows = [
            _row(subscription, ours)
            for subscriptions_of_api in apis
            for subscription in subscriptions_of_api.all()
        ]
    emit(rows, table(rows, _COLUMNS) if rows else ["Nobody is subscribed."], as_json=as_json)


def _row(subscription: "Subscription", ours: str | None) -> dict[str, Any]:
    """`ours` is the URL that `ensure` was given last."""
    from bridge.vendors.shipstation.subscriptions import is_ours, masked

    return {
        "api": subscription.api,
        "id": subscription.subscription_id,
        "event": subscription.event,
        "store": subscription.store,
        "ours": is_ours(subscription.url, ours) if ours else None,
        "active": subscription.is_active,
        "url": masked(subscription.url),
        "name": subscription.name,
    }


@webhooks.command(
    epilog="""\b
    Example:
      bridge webhooks ensure https://bridge.example.com --dry-run
    """
)
@click.argument("address", metavar="URL", type=_Address())
@click.option(
    "--store",
    type=click.IntRange(1),
    help="Only parcels of this ShipStation store (its number).  [default: all stores]",
)
@click.option("--dry-run", is_flag=True, help="Show what would be done, and do nothing.")
@_api
@json_option
def ensure(address: str, store: int | None, dry_run: bool, api: str | None, as_json: bool) -> None:
    """Make every event that the bridge wants reach URL, with the first of BRIDGE_WEBHOOK_TOKENS.
    Ours is what has exactly this host and path: that is brought up to date, whatever else is
    subscribed is left alone and listed. Run it again after each change of a token."""
    from bridge.operations import subscriptions

    with _at_shipstation(api) as (settings, database, apis):
        token = settings.webhook_tokens[0].get_secret_value()
        store_id = str(store) if store else None
        is_dry = dry_run or settings.dry_run
        steps = list(
            subscriptions.ensure(apis, address=address, token=token, store=store_id, dry_run=is_dry)
        )
        if not is_dry:
            names = [subscriptions_of_api.api for subscriptions_of_api in apis]
            kept = {"url": address, "store": store_id, "apis": names}
            _note(database, address, steps, kept)
    _report(steps, as_json=as_json)


@webhooks.command()
@click.argument("address", metavar="[URL]", type=_Address(), required=False)
@_api
@json_option
def remove(address: str | None, api: str | None, as_json: bool) -> None:
    """Remove ours, those with the host and path of URL, and nothing else. Without URL: of the one
    that `ensure` was given last."""
    from bridge.operations import subscriptions

    with _at_shipstation(api) as (settings, database, apis):
        if settings.dry_run:
            raise RefusedError("BRIDGE_DRY_RUN is set, so nothing is removed at ShipStation")
        stored = _stored(database)
        address = address or stored.get("url")
        if address is None:
            raise RefusedError(
                "`ensure` was never used with this database, so say which are ours: bridge webhooks"
                " remove https://HOST"
            )
        steps = list(subscriptions.remove(apis, address=address))
        has_failed = any(step["outcome"] == "failed" for step in steps)
        is_over = api is None and address == stored.get("url") and not has_failed
        _note(database, address, steps, {} if is_over else stored)
    _report(steps, as_json=as_json)


@contextmanager
def _at_shipstation(
    api: str | None,
) -> "Iterator[tuple[Settings, Database, list[Subscriptions]]]":
    with open_services() as services:
        clients = (services.shipstation_v2, services.shipstation_v1)
        apis: list[Subscriptions] = [
            client.subscriptions() for client in clients if client is not None
        ]
        chosen = [candidate for candidate in apis if api in (None, candidate.api)]
        if not chosen:
            raise RefusedError(
                f"there is no key for ShipStation {str(api).upper()} in the settings"
            )
        yield services.settings, services.database, chosen


def _report(steps: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    from bridge.operations import subscriptions

    is_blocked = any(step["outcome"] == subscriptions.DONE["blocked"] for step in steps)
    lines = table(steps, _STEP_COLUMNS) if steps else ["There was none of ours."]
    if is_blocked:
        lines.append(subscriptions.NEXT)
    emit(steps, lines, as_json=as_json)
    if is_blocked or any(step["outcome"] == "failed" for step in steps):
        raise SystemExit(1)


def _stored(database: "Database") -> dict[str, Any]:
    """What `ensure` was given last; empty if it was never used."""
    from bridge.store import shared_state

    with database.read() as connection:
        entry = shared_state.get(connection, shared_state.SUBSCRIBED)
    return dict(entry[0]) if entry else {}


def _note(
    database: "Database", address: str, steps: Sequence[Mapping[str, Any]], kept: dict[str, Any]
) -> None:
    """Who did what; and what the worker compares with each day from now on, unless nothing came of
    it."""
    from bridge.store import audit, shared_state
    from bridge.vendors.shipstation.subscriptions import masked

    outcomes = Counter(step["outcome"] for step in steps)
    summary = ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
    with database.begin() as connection:
        now = database.now(connection)
        audit.note(
            connection,
            actor=actor(),
            action="webhooks",
            subject=masked(address),
            outcome=summary or "nothing to do",
            now=now,
        )
        if set(outcomes) != {"failed"}:
            shared_state.drop(connection, shared_state.LOST)
            shared_state.put(connection, shared_state.SUBSCRIBED, kept, now=now)
