"""How many wrong tokens an address may show before it is turned away unread. In memory, of fixed
size, in each process."""

from zlib import crc32

TRIES_PER_MINUTE = 60
_BUCKETS = 1024
_INTERVAL = 60.0 / TRIES_PER_MINUTE
_BURST_SECONDS = 60.0


class FailedAttemptLimiter:
    """Asked only after a token was found wrong, so nobody with a right one is slowed down, from
    whatever address. It guards the time that refusing takes; the token is guarded by its length."""

    def __init__(self) -> None:
        # Addresses share so many buckets: a sender with many addresses fills no table, and a sender
        # who shares one with a guesser has a right token.
        self._free_at = [0.0] * _BUCKETS

    def wait(self, address: str, *, now: float) -> float:
        """Count one wrong token from `address` at `now` (seconds, of any clock that doesn't go
        back): 0.0 while it is answered as such, else the seconds until one will be again."""
        bucket = crc32(address.encode()) % _BUCKETS
        free_at = max(self._free_at[bucket], now) + _INTERVAL
        if free_at > now + _BURST_SECONDS:
            return free_at - now - _BURST_SECONDS
        self._free_at[bucket] = free_at
        return 0.0
