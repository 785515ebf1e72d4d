"""The settings: one table, read from the environment or `.env`, checked at the start. All mistakes
are reported at once, and no value is repeated.

After a change of the table: `python -m bridge.settings > deploy/env.example`.
"""

import difflib
import importlib.util
import os
import re
import secrets
import sys
import textwrap
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from dotenv import dotenv_values
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    InstanceOf,
    SecretStr,
    ValidationError,
)
from pydantic_core import ErrorDetails, PydanticUndefined

from bridge.domain.durations import DailyTime, read_daily_time, read_duration
from bridge.domain.errors import SettingsError

PREFIX = "BRIDGE_"
_MAKE_ONE = "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
_SHIPSTATION_KEYS = "ShipStation makes keys under Settings > Account > API Settings"

SECRETS = (
    "database_url",
    "webhook_tokens",
    "shipstation_api_key",
    "shipstation_v1_api_key",
    "shipstation_v1_api_secret",
    "purple_dot_access_token",
    "console_password",
    "console_readonly_password",
    "secret_key",
    "alert_urls",
    "heartbeat_url",
)
"""Each of these may be read from the file that BRIDGE_<NAME>_FILE names."""

_REMEDIES = {
    "webhook_tokens": _MAKE_ONE,
    "purple_dot_access_token": "copy the store's private access token from Purple Dot's merchant"
    " portal, API keys",
}
"""What to do about a setting that must be there and is not."""

_PLAIN_WORDS = {
    "missing": "is missing",
    "int_parsing": "must be a whole number",
    "bool_parsing": "must be true or false",
}
"""Sentences for pydantic's error types whose own say it less plainly."""

# Kubernetes puts these into every pod beside a Service that is named "bridge"; they are no one's
# mistake. https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_KUBERNETES = re.compile(r"service_host|service_port(_\w+)?|port(_\d+_(tcp|udp|sctp)(_\w+)?)?")

_PORT = r":(?:[0-5]?\d{1,4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])"
_HOST = r"[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]"
_ORIGIN = (
    rf"(?:https://(?:{_HOST})|http://(?:localhost|127\.\d+\.\d+\.\d+|\[::1\]))(?:(?!:0+\b){_PORT})?"
)


def _like(pattern: str, wrong: str) -> BeforeValidator:
    """The whole text must fit; `wrong` says what is wrong and what to do, never the value."""

    def check(text: str) -> str:
        if not re.fullmatch(pattern, text, re.ASCII | re.DOTALL):
            raise ValueError(wrong)
        return text

    return BeforeValidator(check)


def read_pattern(text: str) -> re.Pattern[str] | None:
    """Any case; None when empty, which means that every order number is looked up. ValueError for
    one that could be slow beyond use: a repeated group, a back-reference, more than three open
    repetitions. Such patterns are never needed for order numbers."""
    flat = re.sub(r"\\[^1-9]|\[\^?\]?(?:\\.|[^\]\\])*\]", "x", text)
    if (
        len(text) > 200
        or re.search(r"\)[*+{]|\\[1-9]|\(\?P=", flat)
        or len(re.findall(r"[*+{]", re.sub(r"\{\d+\}", "", flat))) > 3
    ):
        raise ValueError(
            "could take forever on some order numbers; repeat no group, and use few repetitions"
        )
    try:
        with warnings.catch_warnings():
            # What only warns today, such as "[[", will mean something else in a later Python.
            warnings.simplefilter("error", FutureWarning)
            return re.compile(text, re.IGNORECASE) if text else None
    except (re.error, FutureWarning, OverflowError, RecursionError) as exc:
        raise ValueError(
            f"is not a regular expression ({exc}); correct it, or leave it empty to look up every"
            " order number"
        ) from None


def _read_database_url(text: str) -> str:
    """The short schemes that hosting platforms hand out are completed."""
    if text.startswith("sqlite:"):
        if not re.match(r"sqlite:///[^?]", text) or ":memory:" in text or "mode=memory" in text:
            raise ValueError(
                "names no SQLite file, and a database in memory would be lost; write sqlite:///bridge.db"
            )
        return text
    url, is_postgresql = re.subn(
        r"^postgres(?:ql)?(?:\+psycopg)?://", "postgresql+psycopg://", text
    )
    if not is_postgresql:
        raise ValueError(
            "is neither SQLite nor PostgreSQL; write sqlite:///file.db or postgresql+psycopg://user:password@host/database"
        )
    if importlib.util.find_spec("psycopg") is None:
        raise ValueError(
            "needs the Python package psycopg, which is missing: `pip install 'psycopg[binary]'`,"
            " or install the bridge with its extra [postgres]"
        )
    return url


def _with_apprise(url: SecretStr) -> SecretStr:
    if importlib.util.find_spec("apprise") is None:
        raise ValueError(
            "needs the Python package apprise, which is missing: `pip install apprise`, or install"
            " the bridge with its extra [alerts]"
        )
    return url


def _read_file_name(text: str) -> Path | None:
    if text and not Path(text).is_file():
        raise ValueError("names no file; write the path of an existing one, or leave it empty")
    return Path(text) if text else None


_NO_URL = (
    "is no https:// URL (http:// goes on this machine only: credentials must not travel in the"
    " open), or holds"
)
_PATH = r"(?:/(?:(?![?#\\])[!-~])*)?"
_NO_SLASH = AfterValidator(lambda url: url.rstrip("/"))
Url = Annotated[
    str,
    _like(
        _ORIGIN + _PATH, f"{_NO_URL} a user, a query or a fragment; leave only https://host/path"
    ),
    _NO_SLASH,
]
Origin = Annotated[
    str,
    _like(_ORIGIN + "/?", f"{_NO_URL} a path; leave only https://host, the path is added"),
    _NO_SLASH,
]
Bind = Annotated[
    str,
    _like(
        rf"(?:{_HOST}){_PORT}",
        "is not host:port; write it like 127.0.0.1:8000, 0.0.0.0:8000 or [::1]:8000",
    ),
]
Token = Annotated[
    SecretStr,
    _like("[A-Za-z0-9_-]{16,200}", f"is not 16 to 200 letters, digits, - or _; {_MAKE_ONE}"),
]
Credential = Annotated[
    SecretStr,
    _like(
        "[!-~]+",
        "holds a space, a line break or a character outside ASCII; copy the value again, alone",
    ),
]
ConsolePassword = Annotated[
    # A hash is written as werkzeug.security writes it: method$salt$hash.
    SecretStr,
    _like(".{12,}", f"is shorter than 12 characters; {_MAKE_ONE}"),
]
SecretKey = Annotated[SecretStr, _like(".{16,}", f"is shorter than 16 characters; {_MAKE_ONE}")]
_APPRISE = AfterValidator(_with_apprise)
AlertUrl = Annotated[
    SecretStr,
    _like(
        r"[A-Za-z][\w+.-]*://\S.*", "is no Apprise URL; see https://github.com/caronc/apprise/wiki"
    ),
    _APPRISE,
]
DatabaseUrl = Annotated[str, BeforeValidator(_read_database_url), Field(repr=False)]
Duration = Annotated[timedelta, BeforeValidator(read_duration)]
TimeOfDay = Annotated[
    InstanceOf[DailyTime] | None,
    BeforeValidator(lambda text: read_daily_time(text) if isinstance(text, str) else text),
]
Pattern = Annotated[re.Pattern[str] | None, BeforeValidator(read_pattern)]
Schedule = Annotated[tuple[Duration, ...], BeforeValidator(lambda text: text.split(","))]
Tokens = Annotated[
    tuple[Token, ...],
    BeforeValidator(lambda text: list(dict.fromkeys(re.split(r"\s*,\s*", text.strip(" ,"))))),
]
# Apprise URLs hold commas of their own: only a comma before the next `scheme://` parts them.
Alerts = Annotated[
    tuple[AlertUrl, ...],
    BeforeValidator(lambda text: re.split(r"\s*,\s*(?=[A-Za-z][\w+.-]*://)", text) if text else []),
]
SecretUrl = Annotated[
    SecretStr,
    _like(_ORIGIN + r"(?:/[^\s#]*)?", "is no https:// URL; copy the whole address of the check"),
]
File = Annotated[Path | None, BeforeValidator(_read_file_name)]
LogLevel = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(str.upper)
]


def _optional(
    default: object, meaning: str, *, ge: int | None = None, le: int | None = None
) -> Any:
    """A default is written as an operator would write it, and read the same way."""
    return Field(default, description=meaning, ge=ge, le=le)


class Settings(BaseModel):
    """One attribute for each BRIDGE_ name. `Settings.load()` reads them and reports every mistake,
    not the first."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, validate_default=True)

    database_url: DatabaseUrl = _optional(
        "sqlite:///bridge.db",
        "SQLAlchemy URL of the database: a SQLite file, or"
        " `postgresql+psycopg://user:password@host/database` for many machines",
    )
    webhook_tokens: Tokens = Field(
        description="secret of the webhook URL, 16 characters or more; two, comma separated, while"
        " you rotate it"
    )
    shipstation_api_key: Credential | None = _optional(
        None, "ShipStation V2 API key; at least one of this and the V1 pair is needed"
    )
    shipstation_v1_api_key: Credential | None = _optional(None, "ShipStation V1 API key")
    shipstation_v1_api_secret: Credential | None = _optional(None, "ShipStation V1 API secret")
    shipstation_base_url: Origin = _optional("https://api.shipstation.com", "where V2 calls go")
    shipstation_v1_base_url: Origin = _optional(
        "https://ssapi.shipstation.com", "where V1 calls go"
    )
    shipstation_v1_custom_fields: bool = _optional(
        False, "on V1, look for Purple Dot's reference or id in custom fields of labeled orders too"
    )
    shipstation_jwks_url: Url = _optional(
        "https://api.shipengine.com/jwks", "where the keys of V2 webhook signatures are"
    )
    shipstation_signature: Literal["enforce", "log", "off"] = _optional(
        "enforce", "V2 signatures: `enforce`, `log` wrong ones, or `off`"
    )
    purple_dot_access_token: Credential = Field(
        description="the store's private access token, from Purple Dot's merchant portal"
    )
    purple_dot_base_url: Url = _optional(
        "https://www.purpledotprice.com/admin/api/v1", "where Purple Dot calls go"
    )
    notify_customer: bool = _optional(
        False, "whether Purple Dot e-mails the shopper; an inline payload's `notify_customer` wins"
    )
    dry_run: bool = _optional(
        False,
        "everything is decided and shown, nothing is posted to Purple Dot or written to"
        " ShipStation",
    )
    hold_seconds: int = _optional(
        0, "wait this long before posting, then look whether the label was voided", ge=0, le=604_800
    )
    reference_pattern: Pattern = _optional(
        r"^#?PD\d", "order numbers that look like Purple Dot's, in any case (empty: look all up)"
    )
    shipstation_rate_per_minute: int = _optional(
        200, "V2 calls a minute, over all processes of one database", ge=1, le=100_000
    )
    shipstation_v1_rate_per_minute: int = _optional(
        40, "V1 calls a minute, likewise", ge=1, le=100_000
    )
    purple_dot_rate_per_minute: int = _optional(
        120, "Purple Dot calls a minute, likewise", ge=1, le=100_000
    )
    retry_schedule: Schedule = _optional(
        "10s,1m,5m,30m,2h,6h,12h,24h",
        "waits between tries, then dead; `Retry-After` wins, up to a day",
    )
    wait_schedule: Schedule = _optional(
        "15s,1m,5m,15m,1h",
        "waits before looking again at an empty page or a label still processing",
    )
    confirm_schedule: Schedule = _optional(
        "15s,1m,5m,15m", "waits before looking whether an unanswered POST arrived"
    )
    lease_seconds: int = _optional(
        60,
        "work that was not renewed for so long may be taken over by another worker",
        ge=1,
        le=86_400,
    )
    bind: Bind = _optional("127.0.0.1:8000", "address of the receiver, host:port")
    operations_bind: Bind | None = _optional(
        None, "address of `/console/`, `/metrics` and `/readyz`, which then leave BRIDGE_BIND"
    )
    trusted_proxies: int = _optional(
        1,
        "how many proxies before the receiver add to X-Forwarded-For; who is believed is set by"
        " gunicorn's FORWARDED_ALLOW_IPS (this machine by default)",
        ge=0,
        le=10,
    )
    web_workers: int = _optional(2, "processes of the receiver", ge=1, le=64)
    worker_threads: int = _optional(8, "threads of the worker", ge=1, le=128)
    reconcile_every: Duration = _optional(
        "15m", "how often the worker looks for shipments that no webhook reported (`0`: never)"
    )
    console_password: ConsolePassword | None = _optional(
        None,
        "the operator's password, at least 12 characters, or a hash of it by werkzeug.security;"
        " without one the console is off",
    )
    console_readonly_password: ConsolePassword | None = _optional(
        None, "a viewer's password, for the console without its buttons"
    )
    secret_key: SecretKey | None = _optional(
        None, "signs the console's session; made and kept in the database when not given"
    )
    alert_urls: Alerts = _optional(
        "", "Apprise URLs, comma separated, which get a message about exceptions and silence"
    )
    alert_digest_at: TimeOfDay = _optional(
        None,
        "also send each alert URL one digest a day of what waits for a person, at this time:"
        " `08:00` by the machine's own zone, or `08:00 America/New_York`",
    )
    heartbeat_url: SecretUrl | None = _optional(
        None, "asked (GET) each minute while the bridge is ready: a dead man's switch elsewhere"
    )
    carriers_file: File = _optional(
        "",
        "CSV of your own carrier rows (codes, company, aliases, link), which go before the built-in"
        " table",
    )
    retention_days: int = _optional(
        90,
        "resolved events are redacted after so many days; exceptions never, ids stay",
        ge=1,
        le=36_500,
    )
    max_body_bytes: int = _optional(
        1_048_576, "largest webhook body that is taken", ge=1_024, le=104_857_600
    )
    log_format: Literal["json", "console"] = _optional("json", "`json`, or `console` for people")
    log_level: LogLevel = _optional("INFO", "`DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`")

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Self:
        """The settings of this process: environment over `.env`, or only `environ` when given.
        Raises SettingsError with all mistakes."""
        provided, problems = _with_secret_files(_provided(_environment(environ)))
        problems += [*_contradictions(provided), *_unknown_names(provided)]
        try:
            settings = cls.model_validate(_only_settings(provided))
        except ValidationError as exc:
            errors = exc.errors(include_url=False, include_input=False)
            problems = [*map(_sentence, errors), *problems]
        if problems:
            raise SettingsError(problems)
        return settings

    @classmethod
    def load_lenient(cls, environ: Mapping[str, str] | None = None) -> tuple[Self, list[str]]:
        """For what must run even so: what is right of the settings, defaults for the rest, and
        every mistake. What is required and isn't right becomes a random text that opens nothing."""
        try:
            return cls.load(environ), []
        except SettingsError as exc:
            problems = exc.problems
        readable: Mapping[str, str | None] = os.environ
        with suppress(SettingsError):
            readable = _environment(environ)
        provided, _ = _with_secret_files(_provided(readable))
        values = _only_settings(provided)
        for name, field in cls.model_fields.items():
            if field.is_required():
                values.setdefault(name, secrets.token_urlsafe())
        try:
            return cls.model_validate(values), problems
        except ValidationError as exc:
            wrong = {str(error["loc"][0]) for error in exc.errors()}
        for name in wrong:
            del values[name]
            if cls.model_fields[name].is_required():
                values[name] = secrets.token_urlsafe()
        return cls.model_validate(values), problems

    @property
    def database_url_masked(self) -> str:
        """For people: the database URL with its password, in either place, as `***`."""
        return re.sub(r"(://[^/:@]*:)[^/]*(?=@)|(password=)[^&]*", r"\1\2***", self.database_url)


def rates(settings: Settings) -> dict[str, int]:
    """Calls a minute that the settings allow, by system."""
    return {
        "shipstation": settings.shipstation_rate_per_minute,
        "shipstation_v1": settings.shipstation_v1_rate_per_minute,
        "purple_dot": settings.purple_dot_rate_per_minute,
    }


def _environment(environ: Mapping[str, str] | None) -> Mapping[str, str | None]:
    if environ is not None:
        return environ
    try:
        from_file = dotenv_values(".env", encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        remedy = "correct its owner and mode, or write it again as UTF-8: bridge init"
        raise SettingsError([f".env: can't be read ({exc}); {remedy}"]) from exc
    return {name.upper(): value for name, value in from_file.items()} | os.environ


def _provided(environ: Mapping[str, str | None]) -> dict[str, str]:
    """{attribute name: text}, unknown names included. Empty means "not set", as in a copied
    env.example, save for the pattern."""
    provided = {}
    for name, value in environ.items():
        attribute = name[len(PREFIX) :].lower()
        text = (value or "").strip()
        if name.upper().startswith(PREFIX) and (text or attribute == "reference_pattern"):
            provided[attribute] = text
    return provided


def _with_secret_files(provided: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Each `<secret>_file` replaced by what stands in that file, and what is wrong with them."""
    values, problems = dict(provided), list[str]()
    for attribute in SECRETS:
        path = values.pop(f"{attribute}_file", None)
        if path is None:
            continue
        name = f"{_name(attribute)}_FILE"
        if attribute in values:
            problems.append(f"{name}: is set beside {_name(attribute)}; set one of them")
            continue
        # A required secret must not be reported as missing beside the reason why it is.
        values[attribute] = f"unreadable-{secrets.token_urlsafe(16)}"
        try:
            text = Path(path).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as exc:
            reason = getattr(exc, "strerror", None) or "not UTF-8"
            problems.append(f"{name}: {path} can't be read ({reason}); correct its path and mode")
            continue
        if text:
            values[attribute] = text
        else:
            problems.append(f"{name}: {path} is empty; put the secret into it")
    return values, problems


def _only_settings(provided: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in provided.items() if name in Settings.model_fields}


def _sentence(error: ErrorDetails) -> str:
    """ "BRIDGE_NAME: what is wrong; what to do"; a ValueError of ours says both by itself."""
    attribute, *place = error["loc"]
    name = _name(str(attribute))
    entry = f"entry {int(place[0]) + 1} " if place else ""
    if own := error.get("ctx", {}).get("error"):
        return f"{name}: {entry}{own}"
    wrong = _PLAIN_WORDS.get(error["type"]) or error["msg"].replace("Input should be", "must be")
    default = _as_written(str(attribute))
    remedy = _REMEDIES.get(str(attribute)) or f"correct it, or leave it out for {default}"
    return f"{name}: {entry}{wrong}; {remedy}"


def _contradictions(provided: Mapping[str, str]) -> Iterator[str]:
    v2, *pair = "shipstation_api_key", "shipstation_v1_api_key", "shipstation_v1_api_secret"
    if not provided.keys() & {v2, *pair}:
        wrong = "is missing, and so is the V1 pair; set at least one."
        yield f"{_name(v2)}: {wrong} {_SHIPSTATION_KEYS}"
    missing, other = sorted(pair, key=provided.__contains__)
    if other in provided and missing not in provided:
        wrong = f"is missing while {_name(other)} is set; set both or neither."
        yield f"{_name(missing)}: {wrong} {_SHIPSTATION_KEYS}"
    operator, viewer = _name("console_password"), _name("console_readonly_password")
    operator_password = provided.get("console_password")
    viewer_password = provided.get("console_readonly_password")
    if viewer_password and not operator_password:
        yield f"{viewer}: opens nothing while the console is off; set {operator} too"
    elif viewer_password and viewer_password == operator_password:
        yield f"{viewer}: is the operator's password as well; choose another"
    if "alert_digest_at" in provided and "alert_urls" not in provided:
        yield f"{_name('alert_digest_at')}: goes nowhere; set {_name('alert_urls')} too"
    # The port alone says which pages answer: an address may be a name, or stand for all of them.
    operations_port = provided.get("operations_bind", "").rpartition(":")[2]
    port = provided.get("bind", _as_written("bind")).rpartition(":")[2]
    if operations_port and operations_port == port:
        bind, operations_bind = _name("bind"), _name("operations_bind")
        yield f"{operations_bind}: has the port of {bind} as well; choose another port"


def _unknown_names(provided: Mapping[str, str]) -> Iterator[str]:
    for attribute in sorted(provided.keys() - Settings.model_fields.keys()):
        if _KUBERNETES.fullmatch(attribute):
            continue
        nearest = difflib.get_close_matches(attribute, Settings.model_fields, n=1, cutoff=0.6)
        remedy = "remove it, or look its name up in README.md"
        if nearest:
            remedy = f"did you mean {_name(nearest[0])}?"
        yield f"{_name(attribute)}: is no setting; {remedy}"


def _name(attribute: str) -> str:
    return PREFIX + attribute.upper()


def _as_written(attribute: str) -> str:
    """The default as an operator would write it; empty where there is none."""
    default = Settings.model_fields[attribute].default
    if isinstance(default, bool):
        return str(default).lower()
    return "" if default in (None, PydanticUndefined) else str(default)


def env_example() -> str:
    """The whole of deploy/env.example: what is required is left open, everything else shows its
    default."""
    text = """\
# Copy to .env (read from the folder where `bridge` is started), or give it to systemd, Docker or
# Kubernetes. What is commented out shows its default. All mistakes are reported at the start.
# Each secret, and the database URL, may stand in a file, whose path takes its name and _FILE.
"""
    for attribute, field in Settings.model_fields.items():
        meaning = field.description or ""
        sentence = f"{meaning[:1].upper()}{meaning[1:]}."
        line = f"{_name(attribute)}={_as_written(attribute)}"
        if field.is_required():
            sentence = f"{sentence} Required."
        else:
            line = f"# {line}"
        comment = textwrap.fill(sentence, width=110, initial_indent="# ", subsequent_indent="# ")
        text += f"\n{comment}\n{line}\n"
    return text


if __name__ == "__main__":
    sys.stdout.write(env_example())
