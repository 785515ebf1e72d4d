"""A test webhook through the public address: whatever stands in the way is named, with what to do
about it."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from bridge.operations import public_address
from bridge.operations.public_address import PublicTest, send_test
from bridge.store import shared_state
from bridge.store.engine.database import Database
from bridge.vendors.http import NoAnswerError
from tests.support.rows import receive

pytest_plugins = ["tests.support.database_fixtures"]

HOME = "https://hooks.example.com"
TOKEN = "t0ken-of-the-front-door"
Send = Callable[..., PublicTest]


class Address:
    """Answers what it is told to."""

    def __init__(
        self, status: int = 202, body: bytes = b"", error: Exception | None = None
    ) -> None:
        self.status, self.body, self.error = status, body, error
        self.requests: list[Any] = []

    def __call__(self, method: str, url: str, **options: Any) -> tuple[int, bytes]:
        self.requests.append((method, url, options["headers"]["X-Bridge-Token"]))
        if self.error is not None:
            raise self.error
        return self.status, self.body


@pytest.fixture
def subscribed(database: Database) -> Database:
    value = {"url": f"{HOME}/webhooks/shipstation", "store": None, "apis": ["v2"]}
    with database.begin() as connection:
        shared_state.put(connection, shared_state.SUBSCRIBED, value, now=datetime.now(UTC))
    return database


def test_webhook_that_is_stored_here_came_through(subscribed: Database) -> None:
    event_id, _ = receive(subscribed)
    address = Address(body=f'{{"status": "ignored", "event_id": "{event_id}"}}'.encode())

    outcome = send_test(subscribed, TOKEN, post=address)

    assert address.requests == [("POST", f"{HOME}/webhooks/shipstation", TOKEN)]
    assert (outcome.is_ok, outcome.answer, outcome.to_do) == (True, "202 Accepted", None)


def test_webhook_that_another_database_has_never_arrived(subscribed: Database) -> None:
    outcome = send_test(subscribed, TOKEN, post=Address(body=b'{"event_id": "evt_0"}'))

    assert (outcome.is_ok, "in another database" in outcome.found) == (False, True)


@pytest.mark.parametrize(
    ("status", "body", "found"),
    [
        (200, b"<html>Welcome</html>", "it is not our receiver"),
        (202, b"[]", "it is not our receiver"),
        (301, b"", "redirects"),
        (308, b"", "redirects"),
        (401, b'{"error": "unauthorized"}', "refuses our webhook token"),
        (401, b"Sign in", "asks for a sign-in"),
        (403, b"blocked", "forbids it"),
        (404, b"", "knows no /webhooks/shipstation"),
        (405, b"", "takes no POST"),
        (413, b"", "takes no body of this size"),
        (418, b"", "it is not our receiver"),
        (502, b"Bad Gateway", "does not reach our receiver"),
        (503, b"", "does not reach our receiver"),
        (503, b'{"error": "unavailable"}', "can't take it now"),
    ],
)
def test_answer_that_is_not_ours_says_who_stands_in_the_way(
    subscribed: Database, status: int, body: bytes, found: str
) -> None:
    outcome = send_test(subscribed, TOKEN, post=Address(status, body))

    assert found in outcome.found
    assert outcome.answer.startswith(str(status))
    assert outcome.to_do
    assert not outcome.is_ok


@pytest.mark.parametrize("cause", ["dns", "tls", "refused", "timeout", "proxy", "lost"])
def test_no_answer_says_why_and_what_to_do(subscribed: Database, cause: str) -> None:
    error = NoAnswerError("ConnectionError", cause=cause)

    outcome = send_test(subscribed, TOKEN, post=Address(error=error))

    assert "hooks.example.com" in outcome.found
    assert (outcome.is_ok, bool(outcome.to_do)) == (False, True)


def test_without_a_subscription_no_address_is_known(database: Database) -> None:
    outcome = send_test(database, TOKEN, post=Address())

    assert (outcome.is_unknown, public_address.address_of(database)) == (True, None)
