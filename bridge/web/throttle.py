"""How many wrong tokens an address may show before it is sent away unheard. Pure memory, of fixed
size, in each process."""

from zlib import crc32

TRIES_PER_MINUTE = 60
_BUCKETS = 1024
"""Addresses share so many brakes: a stranger with many addresses fills no table, and who shares one
with a guesser has a right token."""


class Brake:
    """Asked only after a token was found wrong, so it slows down nobody who has a right one, from
    whatever address.

    It guards the log, and the time it takes to write one; the token itself is guarded by its
    length."""

    def __init__(self) -> None:
        self._free_at = [0.0] * _BUCKETS

    def wait(self, address: str, *, now: float) -> float:
        """Count one wrong token from `address` at `now` (seconds, of any clock that doesn't go
        back): 0.0 while it is answered as such, else the seconds until one will be again."""
        bucket, interval = crc32(address.encode()) % _BUCKETS, 60.0 / TRIES_PER_MINUTE
        free_at = max(self._free_at[bucket], now) + interval
        if free_at > now + 60.0:
            return free_at - now - 60.0
        self._free_at[bucket] = free_at
        return 0.0
