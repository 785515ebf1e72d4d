"""One finding a line: what was looked at, how it is, and what to do. It looks by what it is handed,
and changes nothing."""

import os
import shutil
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any, Literal

from bridge.domain.errors import BridgeError, CredentialsError, StorageError, ThrottledError
from bridge.operations.vendor_drift import VendorField, changes, has_rows, unreadable
from bridge.store.engine.database import Database
from bridge.vendors.http import SYSTEMS, ApiClient

Status = Literal["ok", "warn", "fail"]
Sample = Callable[[], object]
STATUSES: tuple[Status, ...] = ("ok", "warn", "fail")
_MIB = 1 << 20
_CLOCK_IS_OFF, _CLOCK_IS_WRONG = 30.0, 240.0
"""Seconds. Signatures are taken for five minutes."""


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    status: Status
    found: str
    to_do: str | None = None

    as_json = asdict


@dataclass(slots=True)
class Ear:
    """Hears what time it is at the vendors, from the Date of each answer: seconds that they are
    ahead of us, the least of all."""

    ahead: float | None = None
    uses_budget: bool = True

    def put_on(self, api: ApiClient) -> ApiClient:
        """`api`, listened to; without a ledger its calls can't be counted, and go by."""
        counted = api.after_call if self.uses_budget else lambda *_: None
        api.before_call = api.before_call if self.uses_budget else lambda _: None

        def heard(operation: str, outcome: str, seconds: float, headers: Mapping[str, str]) -> None:
            self._hear(headers.get("Date", ""), now=datetime.now(UTC))
            counted(operation, outcome, seconds, headers)

        api.after_call = heard
        return api

    def _hear(self, text: str, *, now: datetime) -> None:
        try:
            ahead = (
                parsedate_to_datetime(text) - now
            ).total_seconds() + 0.5  # It tells whole seconds, rounded down.
        except (ValueError, TypeError):
            return
        self.ahead = ahead if self.ahead is None else min(self.ahead, ahead, key=abs)


def settings(problems: Sequence[str], env_file: Path) -> Iterator[Finding]:
    for problem in problems:
        yield Finding(
            "settings", "fail", problem, "correct it in the environment or in .env, then restart"
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


def vendor(system: str, setting: str, read: Callable[[], object]) -> Finding:
    """Let in, and answered? `read` is one cheap call."""
    name = SYSTEMS[system]
    try:
        read()
    except CredentialsError as exc:
        return Finding(name, "fail", str(exc), f"put a valid value into {setting}, then restart")
    except ThrottledError as exc:
        return Finding(
            name, "warn", str(exc), "wait: the bridge goes on by itself when the time is over"
        )
    except BridgeError as exc:
        return Finding(
            name,
            "fail",
            str(exc),
            "see whether this machine can reach it, and whether the vendor has an outage",
        )
    return Finding(name, "ok", "answers, and takes our credentials")


def keys(setting: str, count: Callable[[], int]) -> Finding:
    try:
        found = count()
    except BridgeError as exc:
        return Finding(
            "signature keys",
            "fail",
            str(exc),
            f"see whether this machine can reach {setting}; without keys V2 webhooks wait",
        )
    return Finding(
        "signature keys",
        "ok" if found else "fail",
        f"{found} published",
        None if found else f"correct {setting}",
    )


def subscriptions(look: Callable[[], list[str] | None]) -> Iterator[Finding]:
    check, ensure = "subscriptions", "bridge webhooks ensure https://YOUR-ADDRESS"
    try:
        problems = look()
    except BridgeError as exc:
        yield Finding(check, "warn", f"could not be seen: {exc}", "mend that first")
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
    yield from (Finding(check, "fail", problem, ensure) for problem in problems or [])


def clock(ahead: float | None) -> Finding:
    if ahead is None:
        return Finding("clock", "warn", "no vendor told the time", "mend the calls first")
    status: Status = (
        "fail" if abs(ahead) > _CLOCK_IS_WRONG else "warn" if abs(ahead) > _CLOCK_IS_OFF else "ok"
    )
    found = (
        "right"
        if status == "ok"
        else f"{abs(ahead):.0f} s {'behind' if ahead > 0 else 'ahead of'} the vendors"
    )
    return Finding(
        "clock",
        status,
        found,
        None
        if status == "ok"
        else "set it by NTP: signed webhooks are refused when it is 5 minutes off",
    )


def database_file(database: Database) -> Iterator[Finding]:
    """SQLite's file and disk; nothing for PostgreSQL."""
    file = Path(database.url.database or "")
    if not database.is_sqlite:
        return
    if not file.exists():
        yield Finding(
            "database",
            "warn",
            f"there is no {file} yet",
            "start `bridge run`, or `bridge migrate`; or correct BRIDGE_DATABASE_URL",
        )
        return
    free = shutil.disk_usage(file.parent).free
    status: Status = "fail" if free < 100 * _MIB else "warn" if free < 1024 * _MIB else "ok"
    yield Finding(
        "disk",
        status,
        f"{free // _MIB} MiB free beside {file}",
        None if status == "ok" else "make room: a full disk stops it",
    )
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
    try:
        if (mode := database.journal_mode()) != "wal":
            yield Finding(
                "database",
                "warn",
                f"journal mode is {mode}, not wal",
                "keep the file on a local disk, where SQLite can share memory",
            )
    except StorageError as exc:
        yield Finding(
            "database",
            "fail",
            str(exc),
            "see whether BRIDGE_DATABASE_URL is right and the file is whole; else restore a backup",
        )


def ledger(told: Mapping[str, Any], *, unused: Sequence[str] = ()) -> Iterator[Finding]:
    """From what /readyz tells. `unused` are the vendors' APIs for which there is no key."""
    if told["database"] != "ok":
        yield Finding(
            "database",
            "fail",
            told["database"],
            "see whether BRIDGE_DATABASE_URL is right and the database up; `bridge migrate` creates it",
        )
        return
    behind = told["migrations"] != "ok"
    yield Finding(
        "database",
        "fail" if behind else "ok",
        "of another version" if behind else "reachable and up to date",
        "bridge migrate" if behind else None,
    )
    age, silent = told["worker_heartbeat_age_seconds"], told["worker"] != "ok"
    beat = "never ran on this database" if age is None else f"last heard {age:.0f} s ago"
    yield Finding(
        "worker",
        "fail" if silent else "ok",
        beat,
        "start `bridge run` or `bridge work`, or see its log" if silent else None,
    )
    waiting, oldest = told["exceptions_waiting"], told["oldest_unprocessed_seconds"]
    if oldest > 900:
        yield Finding(
            "backlog",
            "warn",
            f"the oldest event waits for {oldest / 60:.0f} min",
            "bridge events --status received; then the worker's log",
        )
    to_do = "bridge deliveries --status held, bridge deliveries --status dead, bridge events --status dead"
    yield Finding(
        "exceptions",
        "warn" if waiting else "ok",
        f"{waiting} waiting for a person",
        to_do if waiting else None,
    )
    yield from (
        _budget(SYSTEMS[system], state)
        for system, state in told["vendors"].items()
        if system not in unused
    )


def _budget(name: str, told: Mapping[str, Any]) -> Finding:
    left, state = told["calls_left"], told["state"]
    if state == "ok":
        return Finding(f"{name} budget", "ok", f"{left} calls may start now")
    until = f" until {told['until']}" if told.get("until") else ""
    return Finding(
        f"{name} budget",
        "warn",
        f"{state}{until}",
        "wait: the bridge goes on by itself; see the vendor's status page if it lasts",
    )


def sweep(last: datetime | None, *, every: timedelta, now: datetime) -> Finding:
    if not every:
        return Finding(
            "sweep",
            "warn",
            "switched off, so nobody finds what no webhook told",
            "set BRIDGE_RECONCILE_EVERY, such as 15m",
        )
    late = last is None or now - last > max(3 * every, timedelta(minutes=10))
    found = (
        "none was finished yet"
        if last is None
        else f"last finished {(now - last).total_seconds() / 60:.0f} min ago"
    )
    return Finding(
        "sweep",
        "warn" if late else "ok",
        found,
        "see the worker's log for `periodic_task_failed`" if late else None,
    )


def contract(kind: str, sample: Sample, fields: list[VendorField]) -> Iterator[Finding]:
    """A live answer held against our models and our list of fields; what comes is looked at and let
    go."""
    call, to_do = (
        fields[0].call,
        "upgrade the bridge, or report it with this line; it holds what it can't read for a person",
    )
    try:
        body = sample()
    except BridgeError as exc:
        yield Finding(call, "warn", f"could not be compared: {exc}", "mend that first")
        return
    broken, changed = (
        (unreadable(kind, body), changes(body, fields)) if has_rows(body, fields) else ([], [])
    )
    yield from (Finding(call, "fail", told, to_do) for told in broken)
    yield from (Finding(call, "warn", told, to_do) for told in changed)
    if not broken + changed:
        yield Finding(
            call,
            "ok",
            "has the shape that we know"
            if has_rows(body, fields)
            else "answers, but has no rows yet to compare",
        )


def _open_to_others(file: Path) -> bool:
    return bool(file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO) & ~stat.S_IXGRP & ~stat.S_IXOTH)
