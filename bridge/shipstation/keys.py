"""ShipStation's public signature keys, cached so that neither a rotation nor an outage of the key endpoint stops the webhooks.

Unknown to us: how long before its first use a new key is published. So an unknown key id causes one look, at most once per cooldown.
https://docs.shipstation.com/apis/docs/guides/webhooks-validation
"""

import base64
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from bridge.api_client import ApiClient, origin_of
from bridge.errors import BridgeError, KeysUnavailableError, PayloadError


class KeySet:
    """RSA keys by id. Safe to share between threads: a known key is answered without waiting for one that is being looked for."""

    def __init__(
        self,
        fetch: Callable[[], Mapping[str, Any]],
        *,
        clock: Callable[[], float] = time.monotonic,
        max_age: float = 24 * 3600,
        cooldown: float = 60,
    ) -> None:
        """`fetch` returns a JWKS or raises a BridgeError; `max_age` and `cooldown` are seconds of `clock`."""
        self._fetch, self._clock, self._max_age, self._cooldown = fetch, clock, max_age, cooldown
        self._lock = threading.Lock()
        self._keys: dict[str, RSAPublicKey] = {}
        self._fetched_at: float | None = None
        self._tried_at: float | None = None

    def key(self, kid: str) -> RSAPublicKey | None:
        """The key, or None if ShipStation publishes none of this id. KeysUnavailableError while no key set was ever got."""
        if kid in self._keys and not self._is_old():
            return self._keys[kid]
        # A known key is good enough while somebody else renews it; an unknown one has to wait for the answer.
        if self._lock.acquire(blocking=kid not in self._keys):
            try:
                if (kid not in self._keys or self._is_old()) and self._may_fetch():
                    self._refresh()
            finally:
                self._lock.release()
        if self._fetched_at is None:
            raise KeysUnavailableError("ShipStation's signature keys could not be fetched yet", retry_after=self._cooldown)
        return self._keys.get(kid)

    def _is_old(self) -> bool:
        return self._fetched_at is None or self._clock() - self._fetched_at >= self._max_age

    def _may_fetch(self) -> bool:
        return self._tried_at is None or self._clock() - self._tried_at >= self._cooldown

    def _refresh(self) -> None:
        """A failure or an empty set keeps the old keys; a good set replaces them, so a withdrawn key is refused from then on."""
        self._tried_at = self._clock()
        try:
            keys = rsa_keys(self._fetch())
        except BridgeError:
            return
        if keys:
            self._keys, self._fetched_at = keys, self._clock()


def rsa_keys(jwks: Mapping[str, Any]) -> dict[str, RSAPublicKey]:
    """The usable RSA keys of a JWKS by id. ShipStation's set also holds an EC key; that and whatever is malformed is passed over."""
    entries = jwks.get("keys")
    found = {str(entry.get("kid")): _rsa_key(entry) for entry in (entries if isinstance(entries, list) else []) if _is_rsa(entry)}
    return {kid: key for kid, key in found.items() if key is not None}


def _is_rsa(entry: object) -> bool:
    return isinstance(entry, Mapping) and entry.get("kty") == "RSA" and isinstance(entry.get("kid"), str)


def _rsa_key(entry: Mapping[str, Any]) -> RSAPublicKey | None:
    try:
        return RSAPublicNumbers(e=_number(entry["e"]), n=_number(entry["n"])).public_key()
    except (KeyError, ValueError, TypeError, AttributeError):
        return None


def _number(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")


def jwks_fetcher(url: str) -> Callable[[], Mapping[str, Any]]:
    """A `fetch` for KeySet that reads `url` without any credential, for at most three seconds between bytes.

    https://api.shipengine.com/jwks
    """
    origin = origin_of(url)
    api = ApiClient(system="shipstation", origins=lambda candidate: candidate == origin, timeout=(3.0, 3.0), max_bytes=256 * 1024)

    def fetch() -> Mapping[str, Any]:
        try:
            body = api.get("jwks", url).body
        finally:
            # Once a day: a kept-alive connection would only go stale.
            api.close()
        if not isinstance(body, Mapping):
            raise PayloadError("the key endpoint did not answer with a JWKS")
        return body

    return fetch
