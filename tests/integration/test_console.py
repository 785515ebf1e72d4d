"""The console's door: who comes in, what a page may do, and that no form can be sent by another
site or by a viewer."""

import hashlib
import re
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from itsdangerous import Signer
from werkzeug.security import generate_password_hash

from bridge.settings import Settings
from bridge.store import tables
from bridge.web.app import create_app
from bridge.web.console import ROUTES, Route, auth
from bridge.web.console.auth import Role
from tests.support.console_client import (
    OPERATOR,
    PASSWORDS,
    SIGN_IN,
    VIEWER,
    Page,
    sign_in,
    token_in,
)

SETTINGS = {
    "BRIDGE_WEBHOOK_TOKENS": "t0ken-of-the-front-door",
    "BRIDGE_PURPLE_DOT_ACCESS_TOKEN": "pd-access-7c1",
    "BRIDGE_SHIPSTATION_API_KEY": "v2-key-95d",
    **PASSWORDS,
}

pytest_plugins = ["tests.support.database_fixtures"]

Open = Callable[..., Flask]


@pytest.fixture
def opened_app(migrated_url: str) -> Iterator[Open]:
    """One process of the receiver on the database, and another with other settings."""
    apps = []

    def open_it(**settings: str) -> Flask:
        app = create_app(Settings.load(SETTINGS | {"BRIDGE_DATABASE_URL": migrated_url} | settings))
        apps.append(app)
        return app

    yield open_it
    for app in apps:
        app.extensions["database"].close()


@pytest.fixture(scope="module")
def _app(_migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Flask]:
    file = tmp_path_factory.mktemp("console") / "bridge.db"
    shutil.copy(_migrated_file, file)
    app = create_app(Settings.load(SETTINGS | {"BRIDGE_DATABASE_URL": f"sqlite:///{file}"}))
    yield app
    app.extensions["database"].close()


@pytest.fixture
def client(_app: Flask) -> FlaskClient:
    """A browser that was never here, where nobody has guessed lately."""
    with _app.extensions["database"].begin() as connection:
        connection.execute(tables.rate_limits.delete())
    return _app.test_client()


def is_in(client: FlaskClient) -> bool:
    return client.get("/console/").status_code == 200


def address_of(route: Route) -> str:
    """With something in each part of the path."""
    return "/console" + re.sub(r"<[^>]+>", "dlv_0", route.path)


by_name: dict[str, Any] = {"ids": lambda route: route.name}
INSIDE = [route for route in ROUTES if route.role is not None]
FORMS = [route for route in ROUTES if route.method == "POST"]


# On and off


def test_without_a_password_there_is_no_console(opened_app: Open) -> None:
    app = opened_app(BRIDGE_CONSOLE_PASSWORD="", BRIDGE_CONSOLE_READONLY_PASSWORD="")

    assert app.test_client().get("/console/").status_code == 404
    assert [rule for rule in app.url_map.iter_rules() if "console" in str(rule)] == []


def test_every_rule_of_the_url_map_is_in_the_table_of_routes(opened_app: Open) -> None:
    rules = {
        str(rule) for rule in opened_app().url_map.iter_rules() if str(rule).startswith("/console")
    }

    assert rules == {f"/console{route.path}" for route in ROUTES} | {
        "/console/static/<path:filename>"
    }


# Signing in


@pytest.mark.parametrize(("password", "role"), [(OPERATOR, Role.OPERATOR), (VIEWER, Role.VIEWER)])
def test_password_opens_the_console_in_its_role(
    client: FlaskClient, password: str, role: Role
) -> None:
    answer = sign_in(client, password, name="  Anna \n B. ")

    assert (answer.status_code, answer.headers["Location"]) == (303, "/console/")
    assert f"Anna B. ({role})" in Page(client.get("/console/").text)


@pytest.mark.parametrize(
    "password", ["", "wrong", OPERATOR.upper(), f"{OPERATOR} ", "ü" * 4000, "\ud800"]
)
def test_wrong_password_opens_nothing(client: FlaskClient, password: str) -> None:
    answer = sign_in(client, password.encode(errors="surrogatepass").decode(errors="replace"))

    assert (answer.status_code, "Wrong password." in answer.text) == (401, True)
    assert not is_in(client)


@pytest.mark.parametrize("route", INSIDE, **by_name)
def test_nothing_inside_is_shown_or_done_before_signing_in(
    client: FlaskClient, route: Route
) -> None:
    answer = client.open(
        address_of(route),
        method=route.method,
        data={"csrf": "x"} if route.method == "POST" else None,
    )

    assert (answer.status_code, answer.headers["Location"].partition("?")[0]) == (303, SIGN_IN)


def test_page_that_was_asked_for_comes_after_signing_in(client: FlaskClient) -> None:
    to_sign_in = client.get("/console/deliveries?q=status:held")
    form = client.get(to_sign_in.headers["Location"]).text

    [wanted] = re.findall(r'name="next" value="([^"]*)"', form)
    answer = client.post(
        SIGN_IN,
        data={"csrf": token_in(form), "password": OPERATOR, "next": wanted.replace("&amp;", "&")},
    )

    assert answer.headers["Location"] == "/console/deliveries?q=status:held"


@pytest.mark.parametrize(
    "elsewhere",
    [
        "https://evil.example/",
        "//evil.example",
        "/\\evil.example",
        "javascript:alert(1)",
        "/console/\r\nx: y",
        "/",
    ],
)
def test_signing_in_leads_to_no_other_site(client: FlaskClient, elsewhere: str) -> None:
    assert sign_in(client, next=elsewhere).headers["Location"] == "/console/"


def test_guessing_is_slowed_down_over_all_processes(opened_app: Open) -> None:
    clients = [opened_app().test_client() for _ in range(2)]
    answers = [sign_in(clients[number % 2], "guess").status_code for number in range(5)]

    refused = sign_in(clients[0])

    assert answers == [401] * 5
    assert refused.status_code == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    assert not is_in(clients[0])


def test_guesser_behind_the_proxy_does_not_lock_others_out(client: FlaskClient) -> None:
    for number in range(8):
        client.environ_base["HTTP_X_FORWARDED_FOR"] = f"10.0.0.{number}, 203.0.113.5"
        last = sign_in(client, "guess").status_code
    client.environ_base["HTTP_X_FORWARDED_FOR"] = "198.51.100.7"

    assert last == 429
    assert sign_in(client).status_code == 303


# Sessions


def test_cookie_is_kept_from_scripts_and_other_paths_and_sent_over_https_alone_where_there_is_https(
    client: FlaskClient,
) -> None:
    plain = client.get(SIGN_IN).headers["Set-Cookie"]
    client.delete_cookie("bridge_console", path="/console/")
    secure = client.get(SIGN_IN, base_url="https://localhost").headers["Set-Cookie"]

    assert all(part in plain for part in ("HttpOnly", "SameSite=Lax", "Path=/console/"))
    assert ("Secure" in plain, "Secure" in secure) == (False, True)


def test_webhooks_and_health_get_no_cookie(client: FlaskClient) -> None:
    sign_in(client)

    assert "Set-Cookie" not in client.get("/healthz").headers


def test_session_holds_in_every_process_of_the_database(opened_app: Open) -> None:
    first, second = opened_app().test_client(), opened_app().test_client()
    sign_in(first)
    cookie = first.get_cookie("bridge_console", path="/console/")
    assert cookie is not None

    second.set_cookie("bridge_console", cookie.value, path="/console/")

    assert is_in(second)


@pytest.mark.parametrize(
    "change",
    [
        {"BRIDGE_CONSOLE_PASSWORD": "another-password"},
        {"BRIDGE_SECRET_KEY": "a-key-of-sixteen-or-more"},
    ],
    ids=lambda c: next(iter(c)),
)
def test_another_password_or_key_ends_the_sessions(
    opened_app: Open, change: dict[str, str]
) -> None:
    before, after = opened_app().test_client(), opened_app(**change).test_client()
    sign_in(before)
    cookie = before.get_cookie("bridge_console", path="/console/")
    assert cookie is not None

    after.set_cookie("bridge_console", cookie.value, path="/console/")

    assert (is_in(before), is_in(after)) == (True, False)


def _forged_cookie(client: FlaskClient, password: str) -> str:
    """A session that was made with the key of the sessions."""
    app = client.application
    key = str(app.secret_key).encode()
    serializer = app.session_interface.get_signing_serializer(app)  # type: ignore[attr-defined]
    proof = hashlib.pbkdf2_hmac("sha256", f"operator\n{password}".encode(), key, 200_000).hex()
    session = {"role": "operator", "name": "x", "until": time.time() + 1000, "proof": proof}
    return str(serializer.dumps(session))


def _opens(client: FlaskClient, cookie: str) -> bool:
    client.set_cookie("bridge_console", cookie, path="/console/")
    return is_in(client)


def test_key_of_the_sessions_opens_nothing_without_the_password(client: FlaskClient) -> None:
    """It stands in the database, of which somebody may have a copy."""
    client.get(SIGN_IN)
    guesses = [_forged_cookie(client, password) for password in ("", "None", "a guess")]

    assert [_opens(client, cookie) for cookie in guesses] == [False] * 3
    # So it was only the password that the others lacked.
    assert _opens(client, _forged_cookie(client, OPERATOR))


def test_whoever_has_the_key_of_the_sessions_guesses_no_faster_than_at_the_sign_in(
    client: FlaskClient,
) -> None:
    client.get(SIGN_IN)
    guesses = [_forged_cookie(client, f"guess {number}") for number in range(5)]
    right = _forged_cookie(client, OPERATOR)

    assert [_opens(client, cookie) for cookie in [*guesses, right]] == [False] * 6


def test_whoever_has_the_key_makes_no_browsers_with_limits_of_their_own(
    client: FlaskClient,
) -> None:
    csrf = token_in(client.get(SIGN_IN).text)
    signer = Signer(str(client.application.secret_key), salt="device", digest_method=hashlib.sha256)

    def try_with(device: str) -> int:
        cookie = signer.sign(device).decode()
        client.set_cookie("bridge_console_device", cookie, path="/console/")
        return client.post(SIGN_IN, data={"csrf": csrf, "password": "a guess"}).status_code

    assert [try_with(f"device-{number}") for number in range(7)] == [401] * 5 + [429] * 2


def test_session_ends_after_its_time(client: FlaskClient, monkeypatch: pytest.MonkeyPatch) -> None:
    sign_in(client)
    before = is_in(client)
    now = auth.time.time()

    monkeypatch.setattr(
        auth.time, "time", lambda: now + (auth.LIFETIME + timedelta(seconds=1)).total_seconds()
    )

    assert (before, is_in(client)) == (True, False)


def test_signing_out_forgets_the_session(client: FlaskClient) -> None:
    sign_in(client)

    answer = client.post("/console/sign-out", data={"csrf": token_in(client.get("/console/").text)})

    assert answer.status_code == 303
    assert not is_in(client)


def test_signing_out_ends_the_session_for_whoever_copied_its_cookie(opened_app: Open) -> None:
    owner, thief = opened_app().test_client(), opened_app().test_client()
    sign_in(owner)
    cookie = owner.get_cookie("bridge_console", path="/console/")
    assert cookie is not None
    thief.set_cookie("bridge_console", cookie.value, path="/console/")
    before = is_in(thief)
    other = opened_app().test_client()
    sign_in(other)

    owner.post("/console/sign-out", data={"csrf": token_in(owner.get("/console/").text)})
    thief.set_cookie("bridge_console", cookie.value, path="/console/")

    assert (before, is_in(thief), is_in(other)) == (True, False, True)


@pytest.mark.parametrize("method", ["scrypt:1024:8:1", "pbkdf2:sha256:1000"])
def test_password_may_be_given_as_a_hash(opened_app: Open, method: str) -> None:
    hashed = generate_password_hash(OPERATOR, method=method)
    client = opened_app(BRIDGE_CONSOLE_PASSWORD=hashed).test_client()

    statuses = [sign_in(client, given).status_code for given in (hashed, "wrong", OPERATOR)]

    assert statuses == [401, 401, 303]
    assert is_in(client)


def test_refused_sign_in_names_the_address_and_throttled_ones_are_only_counted(
    client: FlaskClient, capfd: pytest.CaptureFixture[str]
) -> None:
    client.environ_base["HTTP_X_FORWARDED_FOR"] = "203.0.113.77"

    statuses = [sign_in(client, "guess").status_code for _ in range(20)]

    lines = capfd.readouterr().err.splitlines()
    refused = [line for line in lines if "console_sign_in_refused" in line]
    assert set(statuses) == {401, 429}
    assert len(refused) == statuses.count(401)
    assert all('"address": "203.0.113.77"' in line for line in refused)
    assert not [line for line in lines if "throttled" in line]


def test_browser_that_signed_in_before_is_not_locked_out_by_guesses_from_its_address(
    client: FlaskClient,
) -> None:
    sign_in(client)
    stranger = client.application.test_client()
    while sign_in(stranger, "guess").status_code != 429:
        pass
    client.delete_cookie("bridge_console", path="/console/")

    assert sign_in(stranger).status_code == 429
    assert sign_in(client).status_code == 303


# Every form


@pytest.mark.parametrize("given", [None, "", "another"], ids=["none", "empty", "wrong"])
@pytest.mark.parametrize("route", FORMS, **by_name)
def test_form_without_the_sessions_token_does_nothing(
    client: FlaskClient, route: Route, given: str | None
) -> None:
    sign_in(client)
    data = {"password": OPERATOR, "reason": "x"} | ({} if given is None else {"csrf": given})

    answer = client.post(address_of(route), data=data)

    assert (answer.status_code, "Nothing was changed" in answer.text) == (403, True)


@pytest.mark.parametrize(
    "route", [route for route in FORMS if route.name not in ("sign_in_with", "sign_out")], **by_name
)
def test_viewer_can_look_but_not_act(client: FlaskClient, route: Route) -> None:
    sign_in(client, VIEWER)
    csrf = token_in(client.get("/console/").text)

    answer = client.post(address_of(route), data={"csrf": csrf, "reason": "x"})

    assert (answer.status_code, "signed in as a viewer" in answer.text) == (403, True)


@pytest.mark.parametrize(
    "route",
    [route for route in INSIDE if route.method == "GET" and "<" not in route.path],
    **by_name,
)
def test_viewer_sees_every_page_and_no_button_that_acts(client: FlaskClient, route: Route) -> None:
    sign_in(client, VIEWER)

    answer = client.get(address_of(route))

    assert answer.status_code == 200
    assert re.findall(r'<form method="post" action="([^"]+)"', answer.text) in (
        [],
        ["/console/sign-out"],
    )


# What a page may do


@pytest.mark.parametrize("path", [SIGN_IN, "/console/", "/console/nowhere", "/console/counts"])
def test_page_is_kept_by_nobody_framed_by_nobody_and_runs_no_inline_script(
    client: FlaskClient, path: str
) -> None:
    sign_in(client)
    answer = client.get(path)

    policy = answer.headers["Content-Security-Policy"]
    assert "unsafe" not in policy
    assert all(
        rule in policy
        for rule in (
            "default-src 'none'",
            "script-src 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        )
    )
    assert [
        answer.headers[name]
        for name in ("Cache-Control", "X-Content-Type-Options", "X-Frame-Options")
    ] == [
        "no-store",
        "nosniff",
        "DENY",
    ]
    assert not re.search(r"<script(?! src=)|<style| style=| on\w+=", answer.text)


def test_unknown_page_is_told_in_a_page(client: FlaskClient) -> None:
    sign_in(client)

    answer = client.get("/console/nowhere/at/all")

    assert (answer.status_code, "There is no such page." in answer.text) == (404, True)


@pytest.mark.parametrize(("table", "path"), [("secret_keys", SIGN_IN), ("workers", "/console/")])
def test_database_that_does_not_answer_is_told_in_a_page(
    opened_app: Open, tmp_path: Path, table: str, path: str
) -> None:
    app = opened_app(BRIDGE_DATABASE_URL=f"sqlite:///{tmp_path / 'own.db'}")
    client = app.test_client()
    if path != SIGN_IN:
        sign_in(client)
    with app.extensions["database"].begin() as connection:
        connection.exec_driver_sql(f"DROP TABLE {table}")

    answer = client.get(path)

    assert (answer.status_code, "The database can&#39;t be reached" in answer.text) == (503, True)


def test_unforeseen_failure_is_a_page_without_its_insides(
    opened_app: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = opened_app().test_client()
    sign_in(client)
    monkeypatch.setattr("bridge.web.console.lists.read_filter", lambda *_, **__: 1 / 0)

    answer = client.get("/console/events")

    assert (
        answer.status_code,
        "This went wrong" in answer.text,
        "ZeroDivision" in answer.text,
    ) == (500, True, False)
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "path",
    ["events?q=%00", "deliveries?q=order:a%00b", "deliveries/dlv_%00", "audit?subject=%00", "x%00"],
)
def test_character_that_no_database_takes_is_refused(opened_app: Open, path: str) -> None:
    client = opened_app().test_client()
    sign_in(client)

    assert client.get(f"/console/{path}").status_code == 400
