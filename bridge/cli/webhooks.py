"""`bridge webhooks list`, `ensure` and `remove`: who hears of what at ShipStation, V2 and V1, with
every token masked."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import click
from pydantic import TypeAdapter, ValidationError

from bridge.cli.context import actor, open_services
from bridge.cli.options import json_option
from bridge.cli.output import WHOLE, Column, emit, table
from bridge.domain.errors import RefusedError
from bridge.operations import subscriptions
from bridge.settings import Settings, Url
from bridge.store import audit, shared_state
from bridge.store.engine.database import Database
from bridge.vendors.shipstation.subscriptions import Subscription, Subscriptions, is_ours, masked

PATH = "/webhooks/shipstation"


class _Address(click.ParamType[str]):
    """The bridge's public address, completed with the path of its door."""

    name = "url"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            url: str = TypeAdapter(Url).validate_python(str(value).strip())
        except ValidationError as exc:
            self.fail(f"the URL {exc.errors()[0]['ctx']['error']}", param, ctx)
        if f"{PATH}/" in url:
            self.fail(
                f"leave out what stands behind {PATH}: the token is added where ShipStation needs it",
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
    with _at_shipstation(api) as (_, database, every):
        home = _remembered(database).get("url")
        rows = [_row(one, home) for version in every for one in version.all()]
    lines = ["Nobody is subscribed."]
    if rows:
        lines = table(rows, [*tuple(rows[0])[:-2], Column("url", WHOLE), "name"])
    emit(rows, lines, as_json=as_json)


def _row(one: Subscription, home: str | None) -> dict[str, Any]:
    ours = is_ours(one.url, home) if home else None
    told = {
        "api": one.api,
        "id": one.subscription_id,
        "event": one.event,
        "store": one.store,
        "ours": ours,
        "active": one.is_active,
    }
    return told | {"url": masked(one.url), "name": one.name}


@webhooks.command()
@click.argument("address", metavar="URL", type=_Address())
@click.option(
    "--store",
    type=click.IntRange(1),
    help="Only parcels of this ShipStation store (its number).  [default: all stores]",
)
@click.option("--dry-run", is_flag=True, help="Tell what would be done, and do nothing.")
@_api
@json_option
def ensure(address: str, store: int | None, dry_run: bool, api: str | None, as_json: bool) -> None:
    """Make every event that the bridge wants reach URL, with the first of BRIDGE_WEBHOOK_TOKENS.
    Ours is what has exactly this host and path: that is brought up to date, whatever else is
    subscribed is left alone and told. Run it again after each change of a token."""
    with _at_shipstation(api) as (settings, database, every):
        token, wanted = settings.webhook_tokens[0].get_secret_value(), str(store) if store else None
        done = list(
            subscriptions.ensure(every, address=address, token=token, store=wanted, dry_run=dry_run)
        )
        if not dry_run:
            _note(
                database,
                address,
                done,
                {"url": address, "store": wanted, "apis": [one.api for one in every]},
            )
    _report(done, as_json=as_json)


@webhooks.command()
@click.argument("address", metavar="[URL]", type=_Address(), required=False)
@_api
@json_option
def remove(address: str | None, api: str | None, as_json: bool) -> None:
    """Remove ours, those with the host and path of URL, and nothing else. Without URL: of the one
    that `ensure` was given last."""
    with _at_shipstation(api) as (_, database, every):
        address = address or _remembered(database).get("url")
        if address is None:
            raise RefusedError(
                "`ensure` was never used with this database, so say which are ours: bridge webhooks remove https://HOST"
            )
        done = list(subscriptions.remove(every, address=address))
        wanted = _remembered(database)
        is_over = (
            api is None
            and address == wanted.get("url")
            and not any(row["outcome"] == "failed" for row in done)
        )
        _note(database, address, done, {} if is_over else wanted)
    _report(done, as_json=as_json)


@contextmanager
def _at_shipstation(api: str | None) -> Iterator[tuple[Settings, Database, list[Subscriptions]]]:
    with open_services() as services:
        apis = (services.shipstation_v2, services.shipstation_v1)
        every: list[Subscriptions] = [api.subscriptions() for api in apis if api is not None]
        wanted = [one for one in every if api in (None, one.api)]
        if not wanted:
            raise RefusedError(
                f"there is no key for ShipStation {str(api).upper()} in the settings"
            )
        yield services.settings, services.database, wanted


def _report(done: Sequence[Mapping[str, Any]], *, as_json: bool) -> None:
    is_blocked = any(row["outcome"] == subscriptions.DONE["blocked"] for row in done)
    lines = (
        table(done, ("api", "event", Column("outcome", WHOLE), Column("detail", WHOLE)))
        if done
        else ["There was none of ours."]
    )
    emit(done, [*lines, *([subscriptions.NEXT] if is_blocked else [])], as_json=as_json)
    if is_blocked or any(row["outcome"] == "failed" for row in done):
        raise SystemExit(1)


def _remembered(database: Database) -> dict[str, Any]:
    with database.read() as connection:
        note = shared_state.get(connection, shared_state.SUBSCRIBED)
    return dict(note[0]) if note else {}


def _note(
    database: Database, address: str, done: Sequence[Mapping[str, Any]], wanted: dict[str, Any]
) -> None:
    """Who did what; and what the worker holds its daily look against from now on, unless nothing
    came of it."""
    outcomes = Counter(row["outcome"] for row in done)
    with database.begin() as connection:
        now = database.now(connection)
        told = (
            ", ".join(f"{count} {outcome}" for outcome, count in outcomes.items())
            or "nothing to do"
        )
        audit.note(
            connection,
            actor=actor(),
            action="webhooks",
            subject=masked(address),
            outcome=told,
            now=now,
        )
        if set(outcomes) != {"failed"}:
            shared_state.drop(connection, shared_state.LOST)
            shared_state.put(connection, shared_state.SUBSCRIBED, wanted, now=now)
