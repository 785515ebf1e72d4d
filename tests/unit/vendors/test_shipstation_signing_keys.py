"""Signature keys: a rotation needs no restart, an outage changes nothing, and nobody can make us
hammer the key endpoint."""

import base64
import json
import threading
from collections.abc import Mapping
from typing import Any

import pytest
import responses
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from hypothesis import given
from hypothesis import strategies as st

from bridge.domain.errors import (
    CredentialsError,
    KeysUnavailableError,
    PayloadError,
    TemporaryError,
)
from bridge.vendors.shipstation.signing_keys import KeySet, jwks_fetcher, rsa_keys

OLD = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
NEW = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
EC_ENTRY = {"kty": "EC", "kid": "curve", "crv": "P-256", "x": "AA", "y": "AA"}
URL = "https://keys.example/jwks"


def entry(kid: str, key: RSAPublicKey) -> dict[str, str]:
    numbers = key.public_numbers()
    return {
        "kty": "RSA",
        "kid": kid,
        "alg": "RS256",
        "use": "sig",
        "e": encoded(numbers.e),
        "n": encoded(numbers.n),
    }


def encoded(number: int) -> str:
    return (
        base64.urlsafe_b64encode(number.to_bytes((number.bit_length() + 7) // 8, "big"))
        .rstrip(b"=")
        .decode()
    )


class Endpoint:
    """What ShipStation publishes, how often it was asked, and whether it is down."""

    def __init__(self, **keys: RSAPublicKey) -> None:
        self.keys, self.calls, self.down, self.now = keys, 0, False, 1000.0

    def fetch(self) -> Mapping[str, Any]:
        self.calls += 1
        if self.down:
            raise TemporaryError("down")
        return {"keys": [EC_ENTRY, *(entry(kid, key) for kid, key in self.keys.items())]}

    def key_set(self) -> KeySet:
        return KeySet(self.fetch, clock=lambda: self.now, max_age=3600, cooldown=60)


def numbers(key: RSAPublicKey | None) -> rsa.RSAPublicNumbers | None:
    return key.public_numbers() if key else None


def test_keys_are_fetched_once_and_kept() -> None:
    endpoint = Endpoint(a=OLD)
    keys = endpoint.key_set()

    found = [keys.key("a"), keys.key("a")]

    assert numbers(found[0]) == OLD.public_numbers()
    assert found[0] is found[1]
    assert endpoint.calls == 1


def test_a_new_key_is_found_when_it_is_first_used() -> None:
    endpoint = Endpoint(a=OLD)
    keys = endpoint.key_set()
    keys.key("a")
    endpoint.keys["b"] = NEW
    endpoint.now += 61

    assert numbers(keys.key("b")) == NEW.public_numbers()


def test_unknown_ids_cause_one_look_per_cooldown() -> None:
    endpoint = Endpoint(a=OLD)
    keys = endpoint.key_set()
    keys.key("a")
    endpoint.now += 61

    found = [keys.key(f"forged-{n}") for n in range(100)]

    assert set(found) == {None}
    assert endpoint.calls == 2


def test_a_known_key_is_answered_while_the_cooldown_lasts() -> None:
    endpoint = Endpoint(a=OLD)
    keys = endpoint.key_set()
    keys.key("forged")

    assert keys.key("a") is not None


def test_old_keys_serve_on_while_the_endpoint_is_down() -> None:
    endpoint = Endpoint(a=OLD)
    keys = endpoint.key_set()
    keys.key("a")
    endpoint.down = True
    endpoint.now += 7200

    assert keys.key("a") is not None
    assert keys.key("b") is None


def test_an_empty_answer_does_not_throw_the_old_keys_away() -> None:
    endpoint = Endpoint(a=OLD)
    keys = endpoint.key_set()
    keys.key("a")
    endpoint.keys = {}
    endpoint.now += 7200

    assert keys.key("a") is not None


def test_a_withdrawn_key_is_refused_once_the_keys_are_renewed() -> None:
    endpoint = Endpoint(a=OLD)
    keys = endpoint.key_set()
    keys.key("a")
    endpoint.keys = {"b": NEW}
    endpoint.now += 3600

    assert keys.key("a") is None


def test_without_any_keys_nothing_can_be_judged_and_the_endpoint_is_left_alone_meanwhile() -> None:
    endpoint = Endpoint(a=OLD)
    endpoint.down = True
    keys = endpoint.key_set()

    for _ in range(3):
        with pytest.raises(KeysUnavailableError):
            keys.key("a")

    assert endpoint.calls == 1


@pytest.mark.parametrize(("later", "is_there"), [(4.9, False), (5, True)])
def test_the_first_keys_are_looked_for_every_five_seconds(later: float, is_there: bool) -> None:
    endpoint = Endpoint(a=OLD)
    endpoint.down = True
    keys = endpoint.key_set()
    with pytest.raises(KeysUnavailableError) as caught:
        keys.key("a")
    endpoint.down = False
    endpoint.now += later

    if is_there:
        assert keys.key("a") is not None
    else:
        with pytest.raises(KeysUnavailableError):
            keys.key("a")
    assert caught.value.retry_after == 5


def test_a_failure_with_keys_at_hand_waits_for_the_whole_cooldown() -> None:
    endpoint = Endpoint(a=OLD)
    keys = endpoint.key_set()
    keys.key("a")
    endpoint.down = True
    for _ in range(6):
        endpoint.now += 59
        keys.key("b")

    assert endpoint.calls == 4


def test_a_known_key_does_not_wait_for_a_search() -> None:
    endpoint = Endpoint(a=OLD)
    searching, found = threading.Event(), threading.Event()

    def slow_fetch() -> Mapping[str, Any]:
        if endpoint.calls:
            searching.set()
            assert found.wait(10)
        return endpoint.fetch()

    keys = KeySet(slow_fetch, clock=lambda: endpoint.now, cooldown=60)
    keys.key("a")
    endpoint.now += 61
    search = threading.Thread(target=keys.key, args=["unknown"])
    search.start()
    assert searching.wait(10)

    answered = keys.key("a")

    found.set()
    search.join()
    assert answered is not None


def test_many_threads_with_an_unknown_id_make_one_call() -> None:
    endpoint = Endpoint(a=OLD)
    keys = endpoint.key_set()
    answers: list[RSAPublicKey | None] = []
    threads = [threading.Thread(target=lambda: answers.append(keys.key("a"))) for _ in range(8)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert endpoint.calls == 1
    assert len(answers) == 8
    assert None not in answers


@pytest.mark.parametrize(
    "broken",
    [
        EC_ENTRY,
        None,
        "text",
        {},
        {"kty": "RSA"},
        {"kty": "RSA", "kid": "x"},
        {"kty": "RSA", "kid": 5, "e": "AQAB", "n": "AQAB"},
        {"kty": "RSA", "kid": "x", "e": "AQAB", "n": ""},
        {"kty": "RSA", "kid": "x", "e": "AQAB", "n": "ü"},
        {"kty": "RSA", "kid": "x", "e": 65537, "n": 77},
        {"kty": "RSA", "kid": "x", "e": "AA", "n": "AQAB"},
    ],
)
def test_what_is_no_usable_rsa_key_is_passed_over(broken: object) -> None:
    assert list(rsa_keys({"keys": [broken, entry("good", OLD)]})) == ["good"]


Json = st.recursive(
    st.none() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@given(
    st.fixed_dictionaries(
        {
            "keys": Json
            | st.lists(
                st.fixed_dictionaries(
                    {"kty": st.just("RSA"), "kid": st.text(max_size=3), "e": Json, "n": Json}
                )
            )
        }
    )
)
def test_any_key_set_is_read_without_an_error(jwks: dict[str, Any]) -> None:
    assert isinstance(rsa_keys(jwks), dict)


@responses.activate
def test_the_key_endpoint_is_asked_without_credentials() -> None:
    responses.get(URL, json={"keys": [entry("a", OLD)]})

    fetched = jwks_fetcher(URL)()

    sent = {name.lower() for name in responses.calls[0].request.headers}
    assert list(rsa_keys(fetched)) == ["a"]
    assert sent.isdisjoint({"authorization", "api-key", "cookie"})


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [(503, {}, TemporaryError), (302, {}, CredentialsError), (200, [], PayloadError)],
)
@responses.activate
def test_an_endpoint_that_fails_in_any_way_is_a_failure_the_key_set_survives(
    status: int, body: object, error: type[Exception]
) -> None:
    responses.get(URL, status=status, body=json.dumps(body))

    with pytest.raises(error):
        jwks_fetcher(URL)()
    with pytest.raises(KeysUnavailableError):
        KeySet(jwks_fetcher(URL)).key("a")
