"""How each kind of setting is read from text. A mistake is a ValueError that says "what is wrong; what to do", never the value itself."""

import importlib.util
import ipaddress
import re
import warnings
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import BeforeValidator, SecretStr

LONGEST_WAIT = timedelta(days=30)
LONGEST_PATTERN = 200
HOW_TO_MAKE_A_TOKEN = "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"  # noqa: S105  # a sentence

_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)", re.ASCII)
_TOKEN = re.compile(r"[A-Za-z0-9_-]{16,200}", re.ASCII)
_CREDENTIAL = re.compile(r"[\x21-\x7e]+")
_BIND = re.compile(r"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})", re.ASCII)
_POSTGRESQL = re.compile(r"postgres(?:ql)?(?:\+psycopg)?://")


def read_duration(text: str) -> timedelta:
    """`10s`, `1.5m`, `2h`, `1d`; a plain `0` is none at all."""
    if text.strip() == "0":
        return timedelta(0)
    found = _DURATION.fullmatch(text.strip())
    if not found:
        raise ValueError("is not a duration; write a number with its unit, such as 10s, 5m, 2h or 1d")
    duration = timedelta(**{_UNITS[found[2]]: float(found[1])})
    if duration > LONGEST_WAIT:
        raise ValueError(f"is longer than {LONGEST_WAIT.days} days; choose a shorter one")
    return duration


def read_schedule(text: str) -> tuple[timedelta, ...]:
    """Durations between commas, in the order in which they are waited."""
    schedule = []
    for number, part in enumerate(text.split(","), start=1):
        try:
            schedule.append(read_duration(part))
        except ValueError as exc:
            raise ValueError(f"entry {number} {exc}") from None
    return tuple(schedule)


def read_tokens(text: str) -> tuple[SecretStr, ...]:
    """Several may be valid at once, so that one can be replaced without a gap. They stand in URLs, hence the few characters."""
    tokens = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    wrong = [str(number) for number, token in enumerate(tokens, start=1) if not _TOKEN.fullmatch(token)]
    if wrong or not tokens:
        which = f"token {', '.join(wrong)} is" if wrong else "is"
        raise ValueError(f"{which} not 16 to 200 letters, digits, - or _; {HOW_TO_MAKE_A_TOKEN}")
    return tuple(SecretStr(token) for token in tokens)


def read_alert_urls(text: str) -> tuple[SecretStr, ...]:
    """Apprise URLs hold commas of their own: only a comma before the next `scheme://` parts them."""
    urls = re.split(r"\s*,\s*(?=[A-Za-z][\w+.-]*://)", text.strip())
    if any(not re.match(r"[A-Za-z][\w+.-]*://\S", url) for url in urls):
        raise ValueError("holds something that is no Apprise URL; see https://github.com/caronc/apprise/wiki")
    return tuple(SecretStr(url) for url in urls)


def read_credential(text: str) -> SecretStr:
    """What is sent as a header: one word of printable ASCII, or a line break smuggled in by copying would break every call."""
    if not _CREDENTIAL.fullmatch(text):
        raise ValueError("holds a space, a line break or a character outside ASCII; copy the value again, alone")
    return SecretStr(text)


def read_secret_key(text: str) -> SecretStr:
    """Long enough that nobody guesses it offline."""
    if len(text) < 16:
        raise ValueError(f"is shorter than 16 characters; {HOW_TO_MAKE_A_TOKEN}")
    return SecretStr(text)


def read_url(text: str) -> str:
    """An https URL (http on loopback only) that paths can be appended to: no userinfo, query, fragment or trailing slash."""
    if not re.fullmatch(r"[\x21-\x7e]+", text) or "\\" in text:
        raise ValueError("holds a space or another character that no URL holds; write it as https://host/path")
    parts = _split(text)
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.hostname or "")):
        raise ValueError("is neither https nor http on this machine, and credentials must not travel in the open; write it with https://")
    if "@" in parts.netloc or "?" in text or "#" in text:
        raise ValueError("holds a user, a query or a fragment; leave only https://host/path")
    return text.rstrip("/")


def read_origin(text: str) -> str:
    """A URL without a path: the paths are the vendor's, and we add them."""
    url = read_url(text)
    if _split(url).path:
        raise ValueError("holds a path; leave only https://host, the path is added")
    return url


def _split(text: str) -> SplitResult:
    try:
        parts = urlsplit(text)
        port_is_wrong = parts.port == 0
    except ValueError:
        port_is_wrong = True
    if port_is_wrong or not parts.hostname:
        raise ValueError("has no host or a wrong port; write it as https://host/path")
    return parts


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_database_url(text: str) -> str:
    """A SQLite file or PostgreSQL through psycopg; the short schemes that hosting platforms hand out are completed."""
    if text.startswith("sqlite:"):
        return _checked_sqlite(text)
    if not _POSTGRESQL.match(text):
        raise ValueError("is neither SQLite nor PostgreSQL; write sqlite:///file.db or postgresql+psycopg://user:password@host/database")
    if importlib.util.find_spec("psycopg") is None:
        raise ValueError("needs psycopg, which is not installed; pip install 'purpledot-shipstation-bridge[postgres]'")
    return _POSTGRESQL.sub("postgresql+psycopg://", text, count=1)


def _checked_sqlite(text: str) -> str:
    path = text.removeprefix("sqlite:///")
    if path == text or not path or path.startswith("?") or ":memory:" in path or "mode=memory" in path:
        raise ValueError("names no SQLite file, and a ledger in memory would be lost; write sqlite:///bridge.db or sqlite:////full/path.db")
    return text


def masked_database_url(url: str) -> str:
    """The same URL with its password, in either place, as `***`."""
    return re.sub(
        r"(?<=password=)[^&]*|(?<=://)([^/:@]*):[^/]*(?=@)", lambda found: f"{found[1]}:***" if found[1] is not None else "***", url
    )


def read_bind(text: str) -> str:
    """host:port, an IPv6 host in brackets."""
    found = _BIND.fullmatch(text)
    if not found or int(found[1]) > 65535:
        raise ValueError("is not host:port; write it like 127.0.0.1:8000, 0.0.0.0:8000 or [::1]:8000")
    return text


def read_pattern(text: str) -> re.Pattern[str] | None:
    """Any case; None when empty, which means that every order number is looked up."""
    if not text:
        return None
    if len(text) > LONGEST_PATTERN or backtracks(text):
        raise ValueError("could take for ever on an unlucky order number; don't repeat a group that holds a repetition or alternatives")
    try:
        with warnings.catch_warnings():
            # What only warns today, such as "[[", will mean something else in a later Python.
            warnings.simplefilter("error", FutureWarning)
            return re.compile(text, re.IGNORECASE)
    except (re.error, FutureWarning, OverflowError, RecursionError) as exc:
        raise ValueError(f"is not a regular expression ({exc}); correct it, or leave it empty to look up every order number") from None


def backtracks(pattern: str) -> bool:
    """Whether a pattern can be slow beyond use: a repeated group around a repetition or alternatives, a back-reference,
    or more than three open repetitions. Errs on the side of caution; such patterns are never needed for order numbers."""
    if re.search(r"\\[1-9]|\(\?P=", pattern):
        return True
    flat = re.sub(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]", "x", pattern)
    flat = re.sub(r"(?<!\))\{\d+\}", "", flat)
    while group := re.search(r"\(((?:\?[^()]*?[:=!>])?)([^()]*)\)([*+{]?)", flat):
        inside = re.sub(r"[^*+{|?]", "", group[2])
        if inside and group[3]:
            return True
        flat = f"{flat[: group.start()]}x{inside}{group[3]}{flat[group.end() :]}"
    return len(re.findall(r"[*+{]", flat)) > 3


def as_written(default: object) -> str | None:
    """A default as an operator would write it; None where there is none."""
    if isinstance(default, bool):
        return str(default).lower()
    return str(default) if default not in (None, ()) else None


def _read_by(read: Callable[[str], object]) -> BeforeValidator:
    """Values that are not text, such as a test's own tuple, pass on to pydantic."""
    return BeforeValidator(lambda value: read(value) if isinstance(value, str) else value)


Alerts = Annotated[tuple[SecretStr, ...], _read_by(read_alert_urls)]
Bind = Annotated[str, _read_by(read_bind)]
Credential = Annotated[SecretStr, _read_by(read_credential)]
DatabaseUrl = Annotated[str, _read_by(read_database_url)]
Duration = Annotated[timedelta, _read_by(read_duration)]
Origin = Annotated[str, _read_by(read_origin)]
Pattern = Annotated[re.Pattern[str] | None, _read_by(read_pattern)]
Schedule = Annotated[tuple[timedelta, ...], _read_by(read_schedule)]
SecretKey = Annotated[SecretStr, _read_by(read_secret_key)]
Tokens = Annotated[tuple[SecretStr, ...], _read_by(read_tokens)]
Url = Annotated[str, _read_by(read_url)]
