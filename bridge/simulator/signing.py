"""Signs webhooks as ShipStation V2 does, with a real RSA key, and publishes the key in a JWKS
beside an EC key, as theirs is."""

import base64
from datetime import UTC, datetime
from functools import cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from bridge.simulator.shapes import Json, v2_instant


class Signer:
    """One key pair, the same for all signers of a process. `rotate` makes a new one; the old stays
    published until told otherwise."""

    def __init__(self) -> None:
        other = ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers()
        self._other = {
            "kty": "EC",
            "use": "sig",
            "crv": "P-256",
            "kid": "simulator-ec",
            "x": _text(other.x, 32),
            "y": _text(other.y, 32),
        }
        self._published: list[Json] = []
        self._use(_first_key())

    def rotate(self, *, keep_old: bool = True) -> str:
        """The new key's id."""
        self._published = self._published if keep_old else []
        self._use(_new_key())
        return self.key_id

    def _use(self, key: rsa.RSAPrivateKey) -> None:
        numbers = key.public_key().public_numbers()
        self._key, self.key_id = key, f"simulator-rsa-{_text(numbers.n)[:12]}"
        own = {
            "kty": "RSA",
            "use": "sig",
            "alg": "RS256",
            "kid": self.key_id,
            "n": _text(numbers.n),
            "e": _text(numbers.e),
        }
        self._published = [*self._published, own]

    def jwks(self) -> Json:
        return {"keys": [self._other, *self._published]}

    def headers(
        self,
        raw: bytes,
        *,
        now: datetime | None = None,
        key_id: str | None = None,
        timestamp: str | None = None,
    ) -> dict[str, str]:
        """The three headers over `timestamp + "." + raw`:
        https://docs.shipstation.com/apis/docs/guides/webhooks-validation."""
        stamp = timestamp or v2_instant(now or datetime.now(UTC))
        signature = self._key.sign(stamp.encode() + b"." + raw, padding.PKCS1v15(), hashes.SHA256())
        return {
            "x-shipengine-rsa-sha256-key-id": key_id or self.key_id,
            "x-shipengine-rsa-sha256-signature": base64.b64encode(signature).decode(),
            "x-shipengine-timestamp": stamp,
        }


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


# Making a key takes a good part of a second: too long for each of many simulators.
_first_key = cache(_new_key)


def _text(number: int, size: int = 0) -> str:
    return (
        base64.urlsafe_b64encode(number.to_bytes(size or (number.bit_length() + 7) // 8, "big"))
        .rstrip(b"=")
        .decode()
    )
