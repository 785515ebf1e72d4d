"""The settings: one table, read from the environment or `.env`, checked at the start, all mistakes told at once."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from bridge.errors import SettingsError
from bridge.settings.problems import PREFIX, all_problems
from bridge.settings.reading import given_values
from bridge.settings.values import (
    Alerts,
    Bind,
    Credential,
    DatabaseUrl,
    Duration,
    Origin,
    Pattern,
    Schedule,
    SecretKey,
    Tokens,
    Url,
    masked_database_url,
)

LogLevel = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(lambda value: str(value).upper())]
LogFormat = Literal["json", "console"]
SignatureMode = Literal["enforce", "log", "off"]


def _optional(default: object, meaning: str, *, ge: int | None = None, le: int | None = None) -> Any:
    """A default is written as an operator would write it, and read the same way."""
    return Field(default, description=meaning, validate_default=True, ge=ge, le=le)


class Settings(BaseSettings):
    """One attribute for each BRIDGE_ name. `Settings.load()` is the way in; it tells every mistake, not the first."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True)

    database_url: DatabaseUrl = Field(
        "sqlite:///bridge.db",
        description="SQLAlchemy URL of the ledger: a SQLite file, or `postgresql+psycopg://user:password@host/database` for many machines",
        repr=False,
    )
    webhook_tokens: Tokens = Field(
        description="any one of these, comma separated, opens the webhook URL; two while one is being replaced. At least 16 characters each"
    )
    shipstation_api_key: Credential | None = _optional(None, "ShipStation V2 API key; at least one of this and the V1 pair is needed")
    shipstation_v1_api_key: Credential | None = _optional(None, "ShipStation V1 API key")
    shipstation_v1_api_secret: Credential | None = _optional(None, "ShipStation V1 API secret")
    shipstation_base_url: Origin = _optional("https://api.shipstation.com", "where V2 calls go")
    shipstation_v1_base_url: Origin = _optional("https://ssapi.shipstation.com", "where V1 calls go")
    shipstation_jwks_url: Url = _optional("https://api.shipengine.com/jwks", "where the keys of V2 webhook signatures are")
    shipstation_signature: SignatureMode = _optional(
        "enforce", "V2 webhook signatures: `enforce`, `log` (accept, but count and say so loudly) or `off`"
    )
    purple_dot_access_token: Credential = Field(description="the store's private access token, from Purple Dot's merchant portal")
    purple_dot_base_url: Url = _optional("https://www.purpledotprice.com/admin/api/v1", "where Purple Dot calls go")
    notify_customer: bool = _optional(False, "whether Purple Dot e-mails the shopper; an inline payload's own wish wins")
    hold_seconds: int = _optional(0, "wait this long before posting, then look whether the label was voided", ge=0, le=604_800)
    reference_pattern: Pattern = _optional(
        "^#?PD", "order numbers that look like Purple Dot's, in any case; others are looked up only through ids (empty: look all up)"
    )
    shipstation_rate_per_minute: int = _optional(200, "V2 calls a minute, over all processes of one database", ge=1, le=100_000)
    shipstation_v1_rate_per_minute: int = _optional(40, "V1 calls a minute, likewise", ge=1, le=100_000)
    purple_dot_rate_per_minute: int = _optional(120, "Purple Dot calls a minute, likewise", ge=1, le=100_000)
    retry_schedule: Schedule = _optional(
        "10s,1m,5m,30m,2h,6h,12h,24h", "waits between tries, then dead; a vendor's `Retry-After` wins, up to a day"
    )
    wait_schedule: Schedule = _optional("15s,1m,5m,15m,1h", "waits before looking again at an empty page or a label still processing")
    confirm_schedule: Schedule = _optional("15s,1m,5m,15m", "waits before looking whether an unanswered POST arrived")
    lease_seconds: int = _optional(60, "work that was not renewed for so long may be taken over by another worker", ge=1, le=86_400)
    bind: Bind = _optional("127.0.0.1:8000", "address of the receiver, host:port")
    web_workers: int = _optional(2, "processes of the receiver", ge=1, le=64)
    worker_threads: int = _optional(8, "threads of the worker", ge=1, le=128)
    reconcile_every: Duration = _optional("15m", "how often the worker sweeps for shipments that no webhook told (`0`: never)")
    console_password: SecretStr | None = _optional(None, "the operator's password; without one the console is off")
    console_readonly_password: SecretStr | None = _optional(None, "a viewer's password, for the console without its buttons")
    secret_key: SecretKey | None = _optional(None, "signs the console's session; made and kept in the database when not given")
    alert_urls: Alerts = _optional((), "Apprise URLs, comma separated, that hear of exceptions and silence")
    retention_days: int = _optional(
        90, "resolved events are redacted after so many days; exceptions never; ids and the mapping stay", ge=1, le=36_500
    )
    max_body_bytes: int = _optional(1_048_576, "largest webhook body that is taken", ge=1_024, le=104_857_600)
    log_format: LogFormat = _optional("json", "`json`, or `console` for people")
    log_level: LogLevel = _optional("INFO", "`DEBUG`, `INFO`, `WARNING`, `ERROR` or `CRITICAL`")

    @classmethod
    def load(cls, environ: Mapping[str, str] | None = None) -> Self:
        """The settings of this process: environment over `.env`, or only `environ` when given. Raises SettingsError with all mistakes."""
        given = given_values(cls, environ)
        try:
            settings, invalid = cls.model_validate({name: text for name, text in given.items() if name in cls.model_fields}), None
        except ValidationError as exc:
            settings, invalid = None, exc
        problems = all_problems(cls, given, invalid)
        if problems or settings is None:
            raise SettingsError(problems)
        return settings

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  # the signature is pydantic-settings'
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the same
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the same
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the same
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what `load` hands in: it has read the environment already, and a test's mapping shuts the real one out."""
        return (init_settings,)

    @property
    def database_url_masked(self) -> str:
        """For people: the database URL without its password."""
        return masked_database_url(self.database_url)
