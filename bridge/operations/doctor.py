"""One finding a line: what was looked at, how it is, and what to do. It looks by what it is handed,
and changes nothing but what it is asked to."""

import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from bridge.domain.errors import BridgeError, CredentialsError, StorageError, ThrottledError
from bridge.operations.public_address import PublicTest
from bridge.operations.vendor_drift import VendorField, changes, has_rows, unreadable
from bridge.settings import Settings
from bridge.store import leases, rate_limits
from bridge.store.engine.database import Database
from bridge.store.engine.postgresql import ServerState
from bridge.vendors.http import SYSTEMS, ApiClient, ca_bundle, proxy_for

Status = Literal["ok", "warn", "fail"]
Sample = Callable[[], object]
STATUSES: tuple[Status, ...] = ("ok", "warn", "fail")
_MIB = 1 << 20
_CLOCK_IS_OFF = 30.0
_CLOCK_IS_WRONG = 240.0
"""Seconds. Signatures are taken for five minutes."""
_BACKLOG_SECONDS = 900.0
_CONNECTIONS_WARN = 0.8


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    status: Status
    found: str
    to_do: str | None = None

    as_json = asdict


@dataclass(slots=True)
class ClockSkewProbe:
    """Reads what time it is at the vendors from the Date of each answer: seconds that they are
    ahead of us, the least of all."""

    skew_seconds: float | None = None
    uses_budget: bool = True

    def attach(self, api: ApiClient) -> ApiClient:
        """`api`, watched; without a database its calls can't be counted, and go by."""
        before_call = api.before_call
        after_call = api.after_call

        def count_before(operation: str) -> None:
            if self.uses_budget:
                before_call(operation)

        def note_after(
            operation: str, outcome: str, seconds: float, headers: Mapping[str, str]
        ) -> None:
            self._note(headers.get("Date", ""), now=datetime.now(UTC))
            if self.uses_budget:
                after_call(operation, outcome, seconds, headers)

        api.before_call = count_before
        api.after_call = note_after
        return api

    def _note(self, date: str, *, now: datetime) -> None:
        try:
            ahead = (parsedate_to_datetime(date) - now).total_seconds()
        except (ValueError, TypeError):
            return
        ahead += 0.5  # It is in whole seconds, rounded down.
        if self.skew_seconds is None or abs(ahead) < abs(self.skew_seconds):
            self.skew_seconds = ahead


def settings(
    problems: Sequence[str], env_file: Path, loaded: Settings | None = None
) -> Iterator[Finding]:
    """Whether they can be used, and what in them is dangerous or makes the bridge do less."""
    for problem in problems:
        yield Finding(
            "settings",
            "fail",
            problem,
            "correct it in the environment or in .env, or run `bridge init`; then restart",
        )
    if not problems:
        yield Finding("settings", "ok", "complete and well formed")
    if env_file.exists() and _open_to_others(env_file):
        yield Finding(
            "settings",
            "warn",
            f"{env_file} can be read by other users of this machine",
            f"chmod 600 {env_file}",
        )
    if loaded is None:
        return
    if loaded.dry_run:
        yield Finding(
            "dry run",
            "warn",
            "everything is decided and shown, nothing is posted",
            "set BRIDGE_DRY_RUN=false and restart when what it shows is right; what waited goes out"
            " within an hour then",
        )
    if loaded.shipstation_signature != "enforce" and loaded.shipstation_api_key is not None:
        yield Finding(
            "signature keys",
            "warn",
            f"BRIDGE_SHIPSTATION_SIGNATURE is {loaded.shipstation_signature}, so whoever knows a"
            " token can send webhooks",
            "set it to enforce and restart",
        )


def network() -> Iterator[Finding]:
    """How the vendors are called, where this machine's environment says so; without the proxy's
    password."""
    proxy = proxy_for("https://api.shipstation.com")
    if proxy is not None:
        host = urlsplit(proxy).netloc.rpartition("@")[2]
        yield Finding("network", "ok", f"vendors are called through the proxy {host}")
    certificates = ca_bundle()
    if certificates is not None:
        yield Finding("network", "ok", f"certificates are checked with {certificates}")


def vendor(system: str, setting: str, read: Callable[[], object]) -> Finding:
    """Let in, and answered? `read` is one cheap call."""
    name = SYSTEMS[system]
    try:
        read()
    except CredentialsError as exc:
        return Finding(name, "fail", str(exc), f"put a valid value into {setting}, then restart")
    except ThrottledError as exc:
        to_do = "wait: the bridge goes on by itself when the time is over"
        return Finding(name, "warn", str(exc), to_do)
    except BridgeError as exc:
        to_do = "see whether this machine can reach it, and whether the vendor has an outage"
        return Finding(name, "fail", str(exc), to_do)
    return Finding(name, "ok", "answers, and takes our credentials")


def keys(setting: str, count: Callable[[], int]) -> Finding:
    """Whether ShipStation's public keys can be fetched."""
    check = "signature keys"
    try:
        published = count()
    except BridgeError as exc:
        to_do = f"see whether this machine can reach {setting}; without keys V2 webhooks wait"
        return Finding(check, "fail", str(exc), to_do)
    if not published:
        return Finding(check, "fail", "0 published", f"correct {setting}")
    return Finding(check, "ok", f"{published} published")


def subscriptions(look: Callable[[], list[str] | None]) -> Iterator[Finding]:
    """Whether the webhooks still come to us."""
    check = "subscriptions"
    ensure = "bridge webhooks ensure https://YOUR-ADDRESS"
    try:
        problems = look()
    except BridgeError as exc:
        yield Finding(check, "warn", f"could not be read: {exc}", "repair that first")
        return
    if problems is None:
        yield Finding(
            check,
            "warn",
            "`bridge webhooks ensure` was not used yet, so nobody watches over them",
            ensure,
        )
    elif not problems:
        yield Finding(check, "ok", "as `bridge webhooks ensure` left them")
    for problem in problems or []:
        yield Finding(check, "fail", problem, ensure)


def clock(skew_seconds: float | None) -> Finding:
    """Whether this machine's clock is right, by the vendors'."""
    if skew_seconds is None:
        return Finding("clock", "warn", "no vendor said what time it is", "repair the calls first")
    off = abs(skew_seconds)
    if off <= _CLOCK_IS_OFF:
        return Finding("clock", "ok", "right")
    status: Status = "fail" if off > _CLOCK_IS_WRONG else "warn"
    side = "behind" if skew_seconds > 0 else "ahead of"
    to_do = "set it by NTP: signed webhooks are refused when it is 5 minutes off"
    return Finding("clock", status, f"{off:.0f} s {side} the vendors", to_do)


def public_address(outcome: PublicTest) -> Finding:
    """Whether a test webhook came through from outside."""
    status: Status = "ok" if outcome.is_ok else "warn" if outcome.is_unknown else "fail"
    return Finding("public address", status, outcome.found, outcome.to_do)


def lift_pauses(database: Database, systems: Sequence[str]) -> Iterator[Finding]:
    """Call vendors again at once that asked us to wait, or that failed, and take up again what
    waited for that."""
    due_now: dict[str, int] = {}
    with database.begin() as connection:
        now = database.now(connection)
        for system in systems:
            rate_limits.lift(connection, system, now=now)
            due_now[system] = leases.end_throttled_waits(connection, system=system, now=now)
    for system, rows in due_now.items():
        found = f"no pause any more; of what waited for it, due now: {rows}"
        yield Finding(f"{SYSTEMS[system]} budget", "ok", found)


def database_file(database: Database) -> Iterator[Finding]:
    """SQLite's file and disk; nothing for PostgreSQL."""
    file = Path(database.url.database or "")
    if not database.is_sqlite:
        return
    if not file.exists():
        try:
            database.check_not_lost()
        except StorageError as exc:
            yield Finding("database", "fail", str(exc), "see docs/operate.md, After a restore")
            return
        yield Finding(
            "database",
            "warn",
            f"there is no {file.absolute()} yet",
            "start `bridge run`, or `bridge migrate`; or correct BRIDGE_DATABASE_URL",
        )
        return
    yield _disk(file)
    if not os.access(file, os.W_OK) or not os.access(file.parent, os.W_OK):
        yield Finding(
            "database",
            "fail",
            f"{file} or its folder can't be written by this user",
            "run as the bridge's user, or correct owner and mode",
        )
    if _open_to_others(file):
        yield Finding(
            "database",
            "warn",
            f"{file} can be read by other users of this machine",
            f"chmod 600 {file}",
        )
    yield from _journal_mode(database)


def _disk(file: Path) -> Finding:
    free = shutil.disk_usage(file.parent).free // _MIB
    sentence = f"{free} MiB free beside {file}"
    if free >= 1024:
        return Finding("disk", "ok", sentence)
    status: Status = "fail" if free < 100 else "warn"
    return Finding("disk", status, sentence, "make room: a full disk stops it")


def _journal_mode(database: Database) -> Iterator[Finding]:
    try:
        mode = database.journal_mode()
    except StorageError as exc:
        yield Finding(
            "database",
            "fail",
            str(exc),
            "see whether BRIDGE_DATABASE_URL is right and the file is whole; else restore a backup",
        )
        return
    if mode != "wal":
        yield Finding(
            "database",
            "warn",
            f"journal mode is {mode}, not wal",
            "keep the file on a local disk, where SQLite can share memory",
        )


def database_server(state: ServerState, *, is_remote: bool) -> Iterator[Finding]:
    """PostgreSQL, as it says itself that it is set."""
    most, count = state.most_connections, state.open_connections
    sentence = f"PostgreSQL {state.version}, {count} of {most} connections are open"
    is_nearly_full = count > _CONNECTIONS_WARN * most
    to_do = "raise max_connections, or run fewer processes" if is_nearly_full else None
    yield Finding("database server", "warn" if is_nearly_full else "ok", sentence, to_do)
    for name in ("fsync", "full_page_writes"):
        if state.settings.get(name) == "off":
            sentence = f"{name} is off: a power cut may lose what was accepted"
            yield Finding("database server", "fail", sentence, f"set {name} = on")
    if state.settings.get("synchronous_commit") == "off":
        sentence = "synchronous_commit is off; the bridge turns it on for its own transactions"
        yield Finding("database server", "ok", sentence)
    if is_remote and not state.is_encrypted:
        sentence = "the connection to the database is not encrypted"
        to_do = "put ?sslmode=require, or verify-full, into BRIDGE_DATABASE_URL"
        yield Finding("database server", "warn", sentence, to_do)


def health(readiness: Mapping[str, Any], *, unused: Sequence[str] = ()) -> Iterator[Finding]:
    """From what /readyz answers. `unused` are the vendors' APIs for which there is no key."""
    if readiness["database"] != "ok":
        yield Finding(
            "database",
            "fail",
            readiness["database"],
            "see whether BRIDGE_DATABASE_URL is right and the database up; `bridge migrate`"
            " creates it",
        )
        return
    if readiness["migrations"] == "ok":
        yield Finding("database", "ok", "reachable and up to date")
    else:
        yield Finding("database", "fail", "of another version", readiness["next_step"])
    yield _worker(readiness)
    oldest = readiness["oldest_unprocessed_seconds"]
    if oldest > _BACKLOG_SECONDS:
        yield Finding(
            "backlog",
            "warn",
            f"the oldest work has been due for {oldest / 60:.0f} min",
            "bridge events --status received; then the worker's log",
        )
    waiting = readiness["exceptions_waiting"]
    sentence = f"{waiting} waiting for a person"
    if waiting:
        yield Finding("exceptions", "warn", sentence, "bridge exceptions")
    else:
        yield Finding("exceptions", "ok", sentence)
    for system, state in readiness["vendors"].items():
        if system not in unused:
            yield _budget(SYSTEMS[system], state)


def _worker(readiness: Mapping[str, Any]) -> Finding:
    age = readiness["worker_heartbeat_age_seconds"]
    sentence = "never ran on this database" if age is None else f"last heard {age:.0f} s ago"
    if readiness["worker"] == "ok":
        return Finding("worker", "ok", sentence)
    return Finding(
        "worker", "fail", sentence, "start `bridge run` or `bridge work`, or see its log"
    )


def _budget(name: str, vendor_state: Mapping[str, Any]) -> Finding:
    state = vendor_state["state"]
    if state == "ok":
        sentence = f"{vendor_state['calls_left']} calls may start now"
        return Finding(f"{name} budget", "ok", sentence)
    until = f" until {vendor_state['until']}" if vendor_state.get("until") else ""
    return Finding(
        f"{name} budget",
        "warn",
        f"{state}{until}",
        "wait: the bridge goes on by itself; see the vendor's status page if it lasts. To call it"
        " at once: `bridge doctor --lift-pauses`",
    )


def sweep(last: datetime | None, *, interval: timedelta, now: datetime) -> Finding:
    """Whether somebody looks for what no webhook reported."""
    if not interval:
        return Finding(
            "sweep",
            "warn",
            "switched off, so nobody finds what no webhook reported",
            "set BRIDGE_RECONCILE_EVERY, such as 15m",
        )
    if last is None:
        to_do = "wait for the first, which begins with the worker; it may take some minutes"
        return Finding("sweep", "warn", "none was finished yet", to_do)
    sentence = f"last finished {(now - last).total_seconds() / 60:.0f} min ago"
    if now - last > max(3 * interval, timedelta(minutes=10)):
        to_do = "see the worker's log for `periodic_task_failed`"
        return Finding("sweep", "warn", sentence, to_do)
    return Finding("sweep", "ok", sentence)


def contract(kind: str, sample: Sample, fields: list[VendorField]) -> Iterator[Finding]:
    """A live answer held against our models and our list of fields; what comes is looked at and let
    go."""
    call = fields[0].call
    try:
        body = sample()
    except BridgeError as exc:
        yield Finding(call, "warn", f"could not be compared: {exc}", "repair that first")
        return
    if not has_rows(body, fields):
        yield Finding(call, "ok", "answers, but has no rows yet to compare")
        return
    broken = unreadable(kind, body)
    changed = changes(body, fields)
    to_do = (
        "upgrade the bridge, or report it with this line; it holds what it can't read for a person"
    )
    for problem in broken:
        yield Finding(call, "fail", problem, to_do)
    for problem in changed:
        yield Finding(call, "warn", problem, to_do)
    if not broken and not changed:
        yield Finding(call, "ok", "has the shape that we know")


def _open_to_others(file: Path) -> bool:
    others = (stat.S_IRWXG | stat.S_IRWXO) & ~stat.S_IXGRP & ~stat.S_IXOTH
    return bool(file.stat().st_mode & others)
