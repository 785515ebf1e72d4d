"""Whose request it is: the peer's address, or what trusted proxies say of a client behind them."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Self

from flask import Request

_LOOPBACK = "127.0.0.1,::1"
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class ProxyTrust:
    """`peers` may say for whom they ask; `proxies` is how many of them stand in a row, each of
    which adds the address that it was asked from to X-Forwarded-For."""

    peers: Sequence[Network]
    proxies: int

    @classmethod
    def from_environment(cls, proxies: int) -> Self:
        """The peers that gunicorn trusts, too: FORWARDED_ALLOW_IPS, this machine by default.
        https://docs.gunicorn.org/en/stable/settings.html#forwarded-allow-ips"""
        listed = os.environ.get("FORWARDED_ALLOW_IPS", _LOOPBACK)
        if "*" in listed:
            return cls((ip_network("0.0.0.0/0"), ip_network("::/0")), proxies)
        networks = [ip_network(text.strip(), strict=False) for text in listed.split(",") if text]
        return cls(tuple(networks), proxies)

    def client(self, peer: str, forwarded_for: str) -> str:
        """The address that the outermost trusted proxy saw, where `peer` is trusted and has said
        it; else `peer`. What stands further left in the header, anybody can write."""
        entries = [entry.strip() for entry in forwarded_for.split(",") if entry.strip()]
        if not 0 < self.proxies <= len(entries) or not self._is_trusted(peer):
            return peer
        claimed = entries[-self.proxies]
        try:
            return str(ip_address(claimed))
        except ValueError:
            return peer

    def _is_trusted(self, peer: str) -> bool:
        if not peer:
            return True  # A Unix socket has no address, and only this machine reaches it.
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self.peers)


def client_of(request: Request, trust: ProxyTrust) -> str:
    """The address of whoever sent this request."""
    return trust.client(request.remote_addr or "", request.headers.get("X-Forwarded-For", ""))
