"""Signs webhooks as ShipStation V2 does, with a real RSA key, and publishes the key in a JWKS beside an EC key, as theirs is."""

import base64
from datetime import UTC, datetime
from functools import cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from bridge.simulator.model import Json


class Signer:
    """One key pair, the same for all signers of a process. `rotate` makes a new one; the old stays published until told otherwise."""

    def __init__(self) -> None:
        self._published: list[Json] = []
        self._elliptic = _ec_jwk(ec.generate_private_key(ec.SECP256R1()).public_key().public_numbers())
        self._use(_first_key())

    def rotate(self, *, keep_old: bool = True) -> str:
        """The new key's id."""
        if not keep_old:
            self._published = []
        self._use(_new_key())
        return self.key_id

    def _use(self, key: rsa.RSAPrivateKey) -> None:
        self._key = key
        self.key_id = f"simulator-rsa-{_number(self._key.public_key().public_numbers().n)[:12]}"
        self._published.append(_rsa_jwk(self.key_id, key.public_key().public_numbers()))

    def jwks(self) -> Json:
        return {"keys": [self._elliptic, *self._published]}

    def headers(
        self, raw: bytes, *, now: datetime | None = None, key_id: str | None = None, timestamp: str | None = None
    ) -> dict[str, str]:
        """The three headers over `timestamp + "." + raw`: https://docs.shipstation.com/apis/docs/guides/webhooks-validation."""
        moment = (now or datetime.now(UTC)).astimezone(UTC)
        stamp = timestamp or moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
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


def _rsa_jwk(key_id: str, numbers: rsa.RSAPublicNumbers) -> Json:
    return {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": key_id, "n": _number(numbers.n), "e": _number(numbers.e)}


def _ec_jwk(numbers: ec.EllipticCurvePublicNumbers) -> Json:
    return {"kty": "EC", "use": "sig", "crv": "P-256", "kid": "simulator-ec", "x": _number(numbers.x, 32), "y": _number(numbers.y, 32)}


def _number(value: int, size: int | None = None) -> str:
    raw = value.to_bytes(size or (value.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
