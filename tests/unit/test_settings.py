"""Settings: the table's defaults, every kind of value, and all mistakes told at once without a
secret in them."""

import re
import sys
import time
from datetime import time as time_of_day
from datetime import timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.durations import DailyTime, read_duration
from bridge.domain.errors import SettingsError
from bridge.settings import SECRETS, Settings, env_example, read_pattern

TOKEN = "t0ken-of-the-front-door"
ENOUGH = {
    "BRIDGE_WEBHOOK_TOKENS": TOKEN,
    "BRIDGE_PURPLE_DOT_ACCESS_TOKEN": "pd-access-7c1",
    "BRIDGE_SHIPSTATION_API_KEY": "v2-key-95d",
}


def load(**changes: str) -> Settings:
    return Settings.load(
        ENOUGH | {f"BRIDGE_{name.upper()}": value for name, value in changes.items()}
    )


def problems(environ: dict[str, str]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Settings.load(environ)
    return caught.value.problems


def problem(**changes: str) -> str:
    """The one sentence that is told about one wrong setting."""
    (told,) = problems(
        ENOUGH | {f"BRIDGE_{name.upper()}": value for name, value in changes.items()}
    )
    return told


# What stands when only the necessary is given


def test_defaults_are_those_of_the_table() -> None:
    settings = load()

    assert settings.database_url == "sqlite:///bridge.db"
    assert settings.shipstation_base_url == "https://api.shipstation.com"
    assert settings.shipstation_v1_base_url == "https://ssapi.shipstation.com"
    assert settings.shipstation_jwks_url == "https://api.shipengine.com/jwks"
    assert settings.shipstation_signature == "enforce"
    assert settings.purple_dot_base_url == "https://www.purpledotprice.com/admin/api/v1"
    assert settings.notify_customer is False
    assert settings.hold_seconds == 0
    assert settings.reference_pattern == re.compile(r"^#?PD\d", re.IGNORECASE)
    assert (settings.shipstation_rate_per_minute, settings.shipstation_v1_rate_per_minute) == (
        200,
        40,
    )
    assert settings.purple_dot_rate_per_minute == 120
    assert settings.lease_seconds == 60
    assert (settings.bind, settings.web_workers, settings.worker_threads) == (
        "127.0.0.1:8000",
        2,
        8,
    )
    assert settings.reconcile_every == timedelta(minutes=15)
    assert (settings.console_password, settings.console_readonly_password, settings.secret_key) == (
        None,
        None,
        None,
    )
    assert settings.alert_urls == ()
    assert (settings.retention_days, settings.max_body_bytes) == (90, 1048576)
    assert (settings.log_format, settings.log_level) == ("json", "INFO")


def test_default_schedules_are_those_of_the_table() -> None:
    settings = load()
    minute, hour = timedelta(minutes=1), timedelta(hours=1)
    ten, fifteen = timedelta(seconds=10), timedelta(seconds=15)

    assert settings.retry_schedule == (
        ten,
        minute,
        5 * minute,
        30 * minute,
        2 * hour,
        6 * hour,
        12 * hour,
        24 * hour,
    )
    assert settings.wait_schedule == (fifteen, minute, 5 * minute, 15 * minute, hour)
    assert settings.confirm_schedule == (fifteen, minute, 5 * minute, 15 * minute)


def test_empty_value_means_not_set_as_in_a_copied_example() -> None:
    settings = load(web_workers="", shipstation_v1_api_key=" ", alert_urls="")

    assert (settings.web_workers, settings.shipstation_v1_api_key, settings.alert_urls) == (
        2,
        None,
        (),
    )


def test_empty_reference_pattern_means_look_all_up() -> None:
    assert load(reference_pattern="").reference_pattern is None


def test_v1_pair_alone_is_enough() -> None:
    environ = {
        name: value for name, value in ENOUGH.items() if name != "BRIDGE_SHIPSTATION_API_KEY"
    }

    settings = Settings.load(
        environ | {"BRIDGE_SHIPSTATION_V1_API_KEY": "k", "BRIDGE_SHIPSTATION_V1_API_SECRET": "s"}
    )

    assert settings.shipstation_api_key is None


# Where they come from


def test_environment_wins_over_dotenv_of_the_current_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = [f"{name}={value}" for name, value in ENOUGH.items()]
    Path(".env").write_text(
        "\n".join([*lines, "BRIDGE_WEB_WORKERS=3", "BRIDGE_WORKER_THREADS=5", "OTHER=1"])
    )
    monkeypatch.setenv("BRIDGE_WEB_WORKERS", "4")

    settings = Settings.load()

    assert (settings.web_workers, settings.worker_threads) == (4, 5)


def test_given_mapping_shuts_the_machine_out(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("BRIDGE_WEB_WORKERS=3")
    monkeypatch.setenv("BRIDGE_WORKER_THREADS", "5")

    settings = Settings.load(ENOUGH)

    assert (settings.web_workers, settings.worker_threads) == (2, 8)


def test_misspelled_name_in_dotenv_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("BRIDGE_WORKER_THREAD=5")
    for name, value in ENOUGH.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(
        SettingsError,
        match="BRIDGE_WORKER_THREAD: is no setting; did you mean BRIDGE_WORKER_THREADS",
    ):
        Settings.load()


# Kinds of values


def test_webhook_tokens_may_be_several_and_are_told_once() -> None:
    settings = load(webhook_tokens=f"{TOKEN}, another_token_of_ours,{TOKEN}")

    assert [token.get_secret_value() for token in settings.webhook_tokens] == [
        TOKEN,
        "another_token_of_ours",
    ]


@pytest.mark.parametrize(
    "tokens", ["short", f"{TOKEN},short", "has/slash/in/the/middle", "ümlautümlautümlaut", ","]
)
def test_weak_webhook_token_is_refused_with_how_to_make_one(tokens: str) -> None:
    told = problem(webhook_tokens=tokens)

    assert "token_urlsafe" in told
    assert "short" not in told


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("10s", 10),
        ("1m", 60),
        ("2h", 7200),
        ("1d", 86400),
        ("0.5s", 0.5),
        ("250ms", 0.25),
        (" 5m ", 300),
    ],
)
def test_duration_is_a_number_with_its_unit(text: str, seconds: float) -> None:
    assert read_duration(text) == timedelta(seconds=seconds)


@given(st.integers(0, 2_592_000))
def test_every_whole_second_up_to_thirty_days_can_be_written(seconds: int) -> None:
    assert read_duration(f"{seconds}s") == timedelta(seconds=seconds)


@given(st.text(max_size=20))
def test_text_is_a_duration_or_refused_never_an_accident(text: str) -> None:
    try:
        duration = read_duration(text)
    except ValueError:
        return
    assert timedelta(0) <= duration <= timedelta(days=30)


@pytest.mark.parametrize("schedule", ["10", "10s,,1m", "10s,1y", "-1s", "31d", "٣s", "10s 1m"])
def test_unreadable_schedule_is_told(schedule: str) -> None:
    assert re.match(r"BRIDGE_RETRY_SCHEDULE: entry \d is ", problem(retry_schedule=schedule))


def test_zero_switches_the_sweep_off() -> None:
    assert load(reconcile_every="0").reconcile_every == timedelta(0)


@pytest.mark.parametrize(
    ("given_url", "used"),
    [
        ("https://purple.example/admin/", "https://purple.example/admin"),
        ("http://127.0.0.1:9000/admin/api/v1", "http://127.0.0.1:9000/admin/api/v1"),
        ("http://localhost:9000", "http://localhost:9000"),
        ("http://[::1]:9000", "http://[::1]:9000"),
    ],
)
def test_url_is_https_or_on_this_machine(given_url: str, used: str) -> None:
    assert load(purple_dot_base_url=given_url).purple_dot_base_url == used


@pytest.mark.parametrize(
    "url",
    [
        "http://purple.example",
        "ftp://127.0.0.1",
        "purple.example",
        "https://",
        "https://user:hunter2@purple.example",
        "https://purple.example?key=hunter2",
        "https://purple.example/#x",
        "https://purple.example:99999",
        "https://purple.example:0",
        "https://purple .example",
        "https://purple.example\\@evil.example",
        "http://127.0.0.1.evil.example",
        "http://localhost.evil.example",
        "https://[::1",
    ],
)
def test_other_url_is_refused_without_repeating_it(url: str) -> None:
    told = problem(purple_dot_base_url=url)

    assert told.startswith("BRIDGE_PURPLE_DOT_BASE_URL: ")
    assert "hunter2" not in told


def test_shipstation_base_url_has_no_path_because_paths_are_added() -> None:
    assert (
        load(shipstation_base_url="https://api.shipstation.com/").shipstation_base_url
        == "https://api.shipstation.com"
    )
    assert "holds a path" in problem(shipstation_base_url="https://api.shipstation.com/v2")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgresql_url_always_goes_through_psycopg(scheme: str) -> None:
    assert (
        load(database_url=f"{scheme}://u:p@db/bridge").database_url
        == "postgresql+psycopg://u:p@db/bridge"
    )


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:hunter2@h/d",
        "bridge.db",
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///?x",
        "postgresql+asyncpg://h/d",
    ],
)
def test_unusable_database_is_refused_without_repeating_it(url: str) -> None:
    told = problem(database_url=url)

    assert told.startswith("BRIDGE_DATABASE_URL: ")
    assert "hunter2" not in told


def test_postgresql_without_its_driver_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)

    assert "its extra [postgres]" in problem(database_url="postgresql://h/d")


@pytest.mark.parametrize(
    ("url", "masked"),
    [
        ("postgresql+psycopg://u:hunter2@h/d", "postgresql+psycopg://u:***@h/d"),
        (
            "postgresql+psycopg://u@h/d?password=hunter2&sslmode=require",
            "postgresql+psycopg://u@h/d?password=***&sslmode=require",
        ),
        (
            "postgresql+psycopg:///d?host=/run/postgresql",
            "postgresql+psycopg:///d?host=/run/postgresql",
        ),
        ("sqlite:///bridge.db", "sqlite:///bridge.db"),
    ],
)
def test_masked_database_url_shows_no_password(url: str, masked: str) -> None:
    assert load(database_url=url).database_url_masked == masked


@pytest.mark.parametrize(
    "bind", ["127.0.0.1:8000", "0.0.0.0:80", "[::1]:8000", "localhost:0", "bridge.internal:65535"]
)
def test_bind_is_host_and_port(bind: str) -> None:
    assert load(bind=bind).bind == bind


@pytest.mark.parametrize(
    "bind", ["8000", "localhost", "localhost:65536", "::1:8000", "unix:/run/x", "localhost:http"]
)
def test_other_bind_is_refused(bind: str) -> None:
    assert "is not host:port" in problem(bind=bind)


@pytest.mark.parametrize(
    "pattern",
    [
        "^#?PD",
        "^(?:PD|PO)-\\d{6}$",
        "[A-Z]{2}-\\d{4}-\\d{2}-\\d{3}",
        "(?P<shop>a)?b+",
        "[(+]+",
        "\\(+\\)+",
        ".*PD",
    ],
)
def test_sensible_reference_pattern_is_taken_in_any_case(pattern: str) -> None:
    assert load(reference_pattern=pattern).reference_pattern == re.compile(pattern, re.IGNORECASE)


@pytest.mark.parametrize(
    "pattern",
    [
        "(a+)+$",
        "(a|a)*$",
        "((a|b))+$",
        "(?:a?){30}",
        "(a)\\1",
        "a*a*a*a*$",
        "((x)(a*))*",
        "x" * 201,
    ],
)
def test_pattern_that_could_take_forever_is_refused(pattern: str) -> None:
    assert "could take forever" in problem(reference_pattern=pattern)


@pytest.mark.parametrize("pattern", ["(", "[a", "*a", "a{99999999999}", "[[a]]"])
def test_broken_pattern_is_told_with_what_is_wrong_in_it(pattern: str) -> None:
    assert "is not a regular expression" in problem(reference_pattern=pattern)


@given(st.text(alphabet="ab()|*+?{}1,[]\\^$.", max_size=12))
def test_accepted_pattern_is_quick_on_an_unlucky_order_number(pattern: str) -> None:
    try:
        compiled = read_pattern(pattern)
    except ValueError:
        return
    started = time.process_time()

    if compiled:
        compiled.search("ab" * 20 + "aaaaaaaaaaaaaaaaaaaa!")

    assert time.process_time() - started < 1


def test_digest_has_a_time_of_day_and_somewhere_to_go() -> None:
    settings = load(alert_urls="slack://A/B/C", alert_digest_at="07:30 Europe/Berlin")

    assert settings.alert_digest_at == DailyTime(time_of_day(7, 30), ZoneInfo("Europe/Berlin"))
    with pytest.raises(SettingsError, match="BRIDGE_ALERT_DIGEST_AT: goes nowhere"):
        load(alert_digest_at="07:30")
    with pytest.raises(SettingsError, match=r"BRIDGE_ALERT_DIGEST_AT.*is no time of day"):
        load(alert_urls="slack://A/B/C", alert_digest_at="at eight")


def test_alert_urls_keep_their_own_commas() -> None:
    settings = load(alert_urls="mailto://u:p@h?to=a@x.example,b@x.example, slack://A/B/C")

    assert [url.get_secret_value() for url in settings.alert_urls] == [
        "mailto://u:p@h?to=a@x.example,b@x.example",
        "slack://A/B/C",
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"web_workers": "many"},
            "BRIDGE_WEB_WORKERS: must be a whole number; correct it, or leave it out for 2",
        ),
        (
            {"web_workers": "0"},
            (
                "BRIDGE_WEB_WORKERS: must be greater than or equal to 1; correct it, or leave it "
                "out for 2"
            ),
        ),
        (
            {"notify_customer": "perhaps"},
            "BRIDGE_NOTIFY_CUSTOMER: must be true or false; correct it, or leave it out for false",
        ),
        (
            {"shipstation_signature": "on"},
            (
                "BRIDGE_SHIPSTATION_SIGNATURE: must be 'enforce', 'log' or 'off'; correct it, or "
                "leave it out for enforce"
            ),
        ),
        (
            {"log_format": "xml"},
            "BRIDGE_LOG_FORMAT: must be 'json' or 'console'; correct it, or leave it out for json",
        ),
    ],
)
def test_wrong_value_is_told_in_plain_words(changes: dict[str, str], told: str) -> None:
    assert problem(**changes) == told


def test_log_level_may_be_written_small() -> None:
    assert load(log_level="debug").log_level == "DEBUG"


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "kéy"])
def test_credential_that_no_header_can_carry_is_refused(key: str) -> None:
    told = problem(shipstation_api_key=key)

    assert "copy the value again" in told
    assert key not in told


def test_guessable_secret_key_is_refused() -> None:
    assert "shorter than 16" in problem(secret_key="changeme")
    assert "must" not in repr(load(secret_key="x" * 16))


def test_short_console_password_is_refused() -> None:
    assert "shorter than 12 characters" in problem(console_password="eleven-char")


def test_heartbeat_url_may_hold_a_query_and_is_a_secret() -> None:
    settings = load(heartbeat_url="https://hc-ping.com/4f1c?create=1")

    assert settings.heartbeat_url is not None
    assert settings.heartbeat_url.get_secret_value() == "https://hc-ping.com/4f1c?create=1"
    assert "no https:// URL" in problem(heartbeat_url="http://hc-ping.com/4f1c")


def test_operations_have_an_address_of_their_own_or_none() -> None:
    assert load().operations_bind is None
    assert load(operations_bind="127.0.0.1:9000").operations_bind == "127.0.0.1:9000"
    assert "choose another port" in problem(operations_bind="127.0.0.1:8000")


# Secrets from files


def test_every_secret_may_come_from_a_file(tmp_path: Path) -> None:
    secret_fields = {
        name
        for name, field in Settings.model_fields.items()
        if "SecretStr" in repr(field.annotation) + repr(field.metadata)
    }
    assert {*SECRETS} == secret_fields | {"database_url"}
    file = tmp_path / "token"
    file.write_text("pd-from-a-file\n")
    environ = ENOUGH | {"BRIDGE_PURPLE_DOT_ACCESS_TOKEN_FILE": str(file)}
    del environ["BRIDGE_PURPLE_DOT_ACCESS_TOKEN"]

    settings = Settings.load(environ)

    assert settings.purple_dot_access_token.get_secret_value() == "pd-from-a-file"


def test_secret_file_that_cannot_be_read_is_the_only_mistake(tmp_path: Path) -> None:
    environ = ENOUGH | {"BRIDGE_PURPLE_DOT_ACCESS_TOKEN_FILE": str(tmp_path / "nothing")}
    del environ["BRIDGE_PURPLE_DOT_ACCESS_TOKEN"]

    (sentence,) = problems(environ)

    assert sentence.startswith("BRIDGE_PURPLE_DOT_ACCESS_TOKEN_FILE: ")
    assert "can't be read (No such file or directory)" in sentence


def test_empty_secret_file_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")

    assert "is empty" in problem(secret_key_file=str(tmp_path / "empty"))


def test_secret_given_twice_is_a_mistake(tmp_path: Path) -> None:
    assert "set one of them" in problem(
        purple_dot_access_token_file=str(tmp_path), purple_dot_access_token="pd-access-7c1"
    )


def test_what_is_no_secret_has_no_file() -> None:
    assert "did you mean BRIDGE_BIND?" in problem(bind_file="/etc/hostname")


# Mistakes between settings, and names that are none


def test_all_mistakes_are_told_at_once() -> None:
    told = problems(
        {
            "BRIDGE_WEBHOOK_TOKEN": TOKEN,
            "BRIDGE_SHIPSTATION_V1_API_KEY": "only-half",
            "BRIDGE_BIND": "nowhere",
            "BRIDGE_RETRY_SCHEDULE": "soon",
            "BRIDGE_CONSOLE_READONLY_PASSWORD": "look-but-not-touch",
        }
    )

    assert [sentence.split(":")[0] for sentence in told] == [
        "BRIDGE_WEBHOOK_TOKENS",
        "BRIDGE_PURPLE_DOT_ACCESS_TOKEN",
        "BRIDGE_RETRY_SCHEDULE",
        "BRIDGE_BIND",
        "BRIDGE_SHIPSTATION_V1_API_SECRET",
        "BRIDGE_CONSOLE_READONLY_PASSWORD",
        "BRIDGE_WEBHOOK_TOKEN",
    ]
    assert not [sentence for sentence in told if "only-half" in sentence or TOKEN in sentence]


def test_no_shipstation_credential_at_all_is_told_once() -> None:
    (told,) = problems(
        {name: value for name, value in ENOUGH.items() if name != "BRIDGE_SHIPSTATION_API_KEY"}
    )

    assert told.startswith("BRIDGE_SHIPSTATION_API_KEY: is missing, and so is the V1 pair")


@pytest.mark.parametrize(
    ("there", "missing"), [("API_KEY", "API_SECRET"), ("API_SECRET", "API_KEY")]
)
def test_half_of_the_v1_pair_is_told(there: str, missing: str) -> None:
    (told,) = problems(ENOUGH | {f"BRIDGE_SHIPSTATION_V1_{there}": "half"})

    assert told.startswith(
        f"BRIDGE_SHIPSTATION_V1_{missing}: is missing while BRIDGE_SHIPSTATION_V1_{there} is set"
    )


def test_viewer_with_the_operators_password_is_refused() -> None:
    assert "is the operator's password as well" in problem(
        console_password="the-same-words", console_readonly_password="the-same-words"
    )


def test_unknown_name_without_a_neighbor_is_told() -> None:
    assert (
        problem(favorite_color="x")
        == "BRIDGE_FAVORITE_COLOR: is no setting; remove it, or look its name up in README.md"
    )


def test_names_that_kubernetes_puts_into_the_pod_are_no_mistake() -> None:
    load(
        service_host="10.0.0.1",
        service_port="80",
        service_port_http="80",
        port="tcp://10.0.0.1:80",
        port_80_tcp_addr="10.0.0.1",
    )


def test_pydantic_settings_own_arguments_cannot_be_smuggled_in() -> None:
    assert "BRIDGE__ENV_FILE: is no setting" in problem(_env_file="/etc/passwd")


def test_no_secret_shows_when_settings_are_printed() -> None:
    settings = load(
        database_url="postgresql://u:hunter2@h/d",
        shipstation_v1_api_key="hunter2",
        shipstation_v1_api_secret="hunter2",
        console_password="hunter2hunter2",
        heartbeat_url="https://hc-ping.com/hunter2",
        secret_key="hunter2hunter2hunter2",
        alert_urls="slack://hunter2",
        webhook_tokens="hunter2hunter2hunter2",
        purple_dot_access_token="hunter2",
    )

    assert "hunter2" not in f"{settings} {settings!r}"


# The table for people


def test_env_example_is_what_the_settings_say(project: Path) -> None:
    shipped = (project / "deploy" / "env.example").read_text()

    assert shipped == env_example(), "renew it: python -m bridge.settings > deploy/env.example"


def test_copied_env_example_with_its_gaps_filled_gives_the_defaults() -> None:
    text = env_example().replace("# BRIDGE_", "BRIDGE_")
    for name, value in ENOUGH.items():
        text = text.replace(f"\n{name}=\n", f"\n{name}={value}\n")
    Path(".env").write_text(text)

    assert Settings.load() == load()


def test_every_setting_has_its_meaning() -> None:
    fields = Settings.model_fields

    assert [name for name, field in fields.items() if not field.description] == []
    assert {name for name, field in fields.items() if field.is_required()} == {
        "webhook_tokens",
        "purple_dot_access_token",
    }


# What is right of them, for who must look even so


def test_what_is_right_is_salvaged_and_the_rest_is_default_or_opens_nothing() -> None:
    settings, problems = Settings.load_lenient(
        {
            "BRIDGE_WEBHOOK_TOKENS": "short",
            "BRIDGE_HOLD_SECONDS": "soon",
            "BRIDGE_LEASE_SECONDS": "90",
            "BRIDGE_SHIPSTATION_API_KEY": "v2-key-95d",
        }
    )

    assert (settings.lease_seconds, settings.hold_seconds) == (90, 0)
    assert settings.shipstation_api_key is not None
    assert len(settings.webhook_tokens[0].get_secret_value()) > 40
    assert {problem.partition(":")[0] for problem in problems} == {
        "BRIDGE_WEBHOOK_TOKENS",
        "BRIDGE_HOLD_SECONDS",
        "BRIDGE_PURPLE_DOT_ACCESS_TOKEN",
    }
    assert (
        Settings.load_lenient({})[0].webhook_tokens != Settings.load_lenient({})[0].webhook_tokens
    )


def test_env_file_that_can_not_be_read_is_a_mistake_like_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".env").write_bytes(b"BRIDGE_LOG_LEVEL=\xff\xfe")

    assert [problem.partition(":")[0] for problem in problems_of_the_machine()] == [".env"]
    assert Settings.load_lenient()[1][0].startswith(".env: can't be read")


def problems_of_the_machine() -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    return caught.value.problems
