"""ShipStation's public signature keys, cached so that neither a rotation nor an outage of the key
endpoint stops the webhooks.

Unknown to us: how long before its first use a new key is published. So an unknown key id causes one
look, at most once per cooldown. https://docs.shipstation.com/apis/docs/guides/webhooks-validation
"""

import base64
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from bridge.domain.errors import BridgeError, KeysUnavailableError, PayloadError
from bridge.vendors.http import ApiClient, origin_of

FIRST_COOLDOWN = 5.0  # while there are no keys at all, every signed webhook is put off
Fetch = Callable[[], Mapping[str, Any]]


class KeySet:
    """RSA keys by id. Safe to share between threads: a known key is answered without waiting for
    one that is being looked for."""

    def __init__(
        self,
        fetch: Fetch,
        *,
        clock: Callable[[], float] = time.monotonic,
        max_age: float = 24 * 3600,
        cooldown: float = 60,
    ) -> None:
        """`fetch` returns a JWKS or raises a BridgeError; `max_age` and `cooldown` are seconds of
        `clock`."""
        self._fetch = fetch
        self._clock = clock
        self._max_age = max_age
        self._cooldown = cooldown
        self._lock = threading.Lock()
        self._keys: dict[str, RSAPublicKey] = {}
        self._old_at = float("-inf")
        self._next_look_at = float("-inf")

    def key(self, kid: str) -> RSAPublicKey | None:
        """The key, or None if ShipStation publishes none of this id. KeysUnavailableError while no
        key set was ever got."""
        is_known = kid in self._keys
        is_old = self._clock() >= self._old_at
        # A known key is good enough while somebody else renews it; an unknown one has to wait for
        # the answer.
        if (not is_known or is_old) and self._lock.acquire(blocking=not is_known):
            try:
                if self._clock() >= self._next_look_at:
                    self._refresh()
            finally:
                self._lock.release()
        if not self._keys:
            raise KeysUnavailableError(
                "ShipStation's signature keys could not be fetched yet", retry_after=FIRST_COOLDOWN
            )
        return self._keys.get(kid)

    def _refresh(self) -> None:
        """A failure or an empty set keeps the old keys; a good set replaces them, so a withdrawn
        key is refused from then on."""
        with suppress(BridgeError):
            keys = rsa_keys(self._fetch())
            if keys:
                self._keys = keys
                self._old_at = self._clock() + self._max_age
        pause = self._cooldown if self._keys else FIRST_COOLDOWN
        self._next_look_at = self._clock() + pause


def rsa_keys(jwks: Mapping[str, Any]) -> dict[str, RSAPublicKey]:
    """The usable RSA keys of a JWKS by id. ShipStation's set also holds an EC key; that and
    whatever is malformed is passed over."""
    entries = jwks.get("keys")
    keys: dict[str, RSAPublicKey] = {}
    if not isinstance(entries, list):
        return keys
    for entry in entries:
        with suppress(KeyError, ValueError, TypeError, AttributeError):
            if entry["kty"] == "RSA" and isinstance(entry["kid"], str):
                numbers = RSAPublicNumbers(e=_integer(entry["e"]), n=_integer(entry["n"]))
                keys[entry["kid"]] = numbers.public_key()
    return keys


def _integer(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=="), "big")


def jwks_fetcher(url: str) -> Fetch:
    """A `fetch` for KeySet that reads `url` without any credential, for at most three seconds
    between bytes. https://api.shipengine.com/jwks"""
    api = ApiClient(
        system="shipstation",
        origins={origin_of(url)}.__contains__,
        timeout=(3.0, 3.0),
        max_bytes=256 * 1024,
    )

    def fetch() -> Mapping[str, Any]:
        # Once a day: a kept-alive connection would only go stale.
        with closing(api):
            body = api.get("jwks", url).body
        if not isinstance(body, Mapping):
            raise PayloadError("the key endpoint did not answer with a JWKS")
        return body

    return fetch
