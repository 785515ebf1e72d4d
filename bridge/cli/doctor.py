"""`bridge doctor`: is all as it must be, line by line, and what to do where it isn't. It looks, and
changes nothing."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from bridge.cli.options import json_option
from bridge.cli.output import colored, emit, for_people
from bridge.domain.errors import StorageError

if TYPE_CHECKING:
    from bridge.operations.doctor import Finding, Sample
    from bridge.services import Services
    from bridge.settings import Settings
    from bridge.store.engine.database import Database
    from bridge.vendors.purple_dot.client import PurpleDot
    from bridge.vendors.shipstation.fetch import Fetcher


@click.command()
@click.option(
    "--contract",
    is_flag=True,
    help="Hold the vendors' live answers against the fields that we count on, instead.",
)
@click.option(
    "--public",
    is_flag=True,
    help="Also send a test webhook through the public address, as ShipStation does.",
)
@click.option(
    "--lift-pauses",
    is_flag=True,
    help="Call vendors again at once that asked us to wait, or that failed, and take up what"
    " waited for them.",
)
@json_option
def doctor(contract: bool, public: bool, lift_pauses: bool, as_json: bool) -> None:
    """Look at settings, credentials, signature keys, subscriptions, clock, database and worker.
    Each line says ok, warn or fail, and what to do. Exit code 0: nothing fails, 1: something
    does."""
    from bridge.operations.doctor import STATUSES
    from bridge.settings import Settings
    from bridge.store.engine.database import Database

    settings, problems = Settings.load_lenient()
    with closing(Database(settings.database_url, patience=5.0)) as database:
        findings = list(
            _findings(
                settings,
                problems,
                database,
                contract=contract,
                public=public,
                lift_pauses=lift_pauses,
            )
        )
    worst = max(STATUSES.index(finding.status) for finding in findings)
    lines = [line for finding in findings for line in _lines(finding)]
    lines.append(_summary(findings))
    emit(
        {"status": STATUSES[worst], "findings": [finding.as_json() for finding in findings]},
        lines,
        as_json=as_json,
    )
    raise SystemExit(1 if STATUSES[worst] == "fail" else 0)


def _summary(findings: "list[Finding]") -> str:
    counts = Counter(finding.status for finding in findings)
    if not counts["fail"] and not counts["warn"]:
        return "All is well."
    return f"{counts['fail']} fail, {counts['warn']} warn."


def _lines(finding: "Finding") -> Iterator[str]:
    line = for_people(f"{finding.status:5} {finding.check:26} {finding.found}")
    yield colored(line, finding.status)
    if finding.to_do:
        yield f"{'':5} {'':26} → {finding.to_do}"


def _findings(
    settings: "Settings",
    problems: list[str],
    database: "Database",
    *,
    contract: bool,
    public: bool,
    lift_pauses: bool,
) -> "Iterator[Finding]":
    from bridge.operations import doctor as checks
    from bridge.operations import public_address
    from bridge.operations.health import readiness
    from bridge.operations.vendor_drift import vendor_fields
    from bridge.services import Services

    yield from checks.settings(problems, Path(".env"), settings)
    # Else it is the default, which nobody meant.
    is_named = not any("BRIDGE_DATABASE_URL" in problem for problem in problems)
    is_there = is_named and (not database.is_sqlite or Path(database.url.database or "").exists())
    ready = readiness(database, settings) if is_there else {}
    is_well = ready.get("migrations") == "ok" and ready.get("database") == "ok"
    probe = checks.ClockSkewProbe(uses_budget=is_well)
    services = Services(settings, database, wrap=probe.attach)
    if lift_pauses and is_well:
        yield from checks.lift_pauses(database, list(services.rates))
    fetcher, purple_dot = services.fetcher, services.purple_dot
    has_token = not any("PURPLE_DOT_ACCESS_TOKEN" in problem for problem in problems)
    if contract:
        fields = vendor_fields()
        for kind, sample in _samples(fetcher, purple_dot if has_token else None).items():
            yield from checks.contract(kind, sample, fields[kind])
        return
    yield from checks.network()
    yield from _vendors(settings, fetcher, purple_dot if has_token else None)
    yield checks.clock(probe.skew_seconds)
    if is_named:
        yield from checks.database_file(database)
    if ready and not database.is_sqlite:
        yield from _database_server(database)
    if ready:
        apis = {"shipstation": fetcher.v2, "shipstation_v1": fetcher.v1}
        unused = [name for name, api in apis.items() if api is None]
        yield from checks.health(ready, unused=unused)
    if is_well:
        yield from _from_database(services, problems)
        if public and services.settings.webhook_tokens:
            token = services.settings.webhook_tokens[0].get_secret_value()
            yield checks.public_address(public_address.send_test(database, token))


def _database_server(database: "Database") -> "Iterator[Finding]":
    from bridge.operations import doctor as checks
    from bridge.store.engine.postgresql import server_state

    try:
        with database.read() as connection:
            state = server_state(connection)
    except StorageError:
        return  # What is wrong with it is said by the health's own lines.
    host = database.url.host or ""
    is_local = not host or host.startswith("/") or host in ("localhost", "127.0.0.1", "::1")
    yield from checks.database_server(state, is_remote=not is_local)


def _vendors(
    settings: "Settings", fetcher: "Fetcher", purple_dot: "PurpleDot | None"
) -> "Iterator[Finding]":
    from bridge.operations import doctor as checks
    from bridge.vendors.shipstation.signing_keys import jwks_fetcher, rsa_keys

    if fetcher.v2 is not None:
        yield checks.vendor(
            "shipstation", "BRIDGE_SHIPSTATION_API_KEY", fetcher.v2.subscriptions().all
        )
        if settings.shipstation_signature != "off":
            jwks = jwks_fetcher(settings.shipstation_jwks_url)
            yield checks.keys("BRIDGE_SHIPSTATION_JWKS_URL", lambda: len(rsa_keys(jwks())))
    if fetcher.v1 is not None:
        yield checks.vendor(
            "shipstation_v1",
            "BRIDGE_SHIPSTATION_V1_API_KEY and its secret",
            fetcher.v1.subscriptions().all,
        )
    if purple_dot is not None:
        yield checks.vendor("purple_dot", "BRIDGE_PURPLE_DOT_ACCESS_TOKEN", purple_dot.sample)


def _from_database(services: "Services", problems: list[str]) -> "Iterator[Finding]":
    from bridge.operations import doctor as checks
    from bridge.store import periodic

    if not any("WEBHOOK_TOKENS" in problem for problem in problems):
        yield from checks.subscriptions(services.subscription_check.look)
    with services.database.read() as connection:
        last = periodic.last_done(connection, "sweep")
        now = services.database.now(connection)
    yield checks.sweep(last, interval=services.settings.reconcile_every, now=now)


def _samples(fetcher: "Fetcher", purple_dot: "PurpleDot | None") -> "dict[str, Sample]":
    samples: dict[str, Sample] = {}
    if fetcher.v2 is not None:
        samples |= {
            f"v2_{kind}": partial(fetcher.v2.sample, kind)
            for kind in ("label", "fulfillment", "shipment")
        }
        samples["v2_webhook"] = fetcher.v2.subscriptions().sample
    if fetcher.v1 is not None:
        samples |= {
            f"v1_{kind}": partial(fetcher.v1.sample, kind)
            for kind in ("shipment", "fulfillment", "order")
        }
        samples["v1_webhook"] = fetcher.v1.subscriptions().sample
    return samples | ({"pd_order": purple_dot.sample} if purple_dot is not None else {})
