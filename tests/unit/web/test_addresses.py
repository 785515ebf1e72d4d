"""For whom a proxy may speak."""

from ipaddress import ip_network

import pytest

from bridge.web.addresses import ProxyTrust

LOOPBACK = ProxyTrust((ip_network("127.0.0.1/32"), ip_network("::1/128")), proxies=1)
ANYBODY_TWICE = ProxyTrust((ip_network("0.0.0.0/0"), ip_network("::/0")), proxies=2)


@pytest.mark.parametrize(
    ("trust", "peer", "forwarded_for", "client"),
    [
        (LOOPBACK, "127.0.0.1", "", "127.0.0.1"),
        (LOOPBACK, "127.0.0.1", "203.0.113.9", "203.0.113.9"),
        (LOOPBACK, "127.0.0.1", "6.6.6.6, 203.0.113.9", "203.0.113.9"),
        (LOOPBACK, "::1", "2001:db8::1", "2001:db8::1"),
        (LOOPBACK, "", "203.0.113.9", "203.0.113.9"),
        (LOOPBACK, "198.51.100.1", "203.0.113.9", "198.51.100.1"),
        (LOOPBACK, "127.0.0.1", "203.0.113.9, <script>", "127.0.0.1"),
        (ANYBODY_TWICE, "10.0.0.7", "6.6.6.6, 203.0.113.9, 10.0.0.3", "203.0.113.9"),
        (ANYBODY_TWICE, "10.0.0.7", "203.0.113.9", "10.0.0.7"),
    ],
)
def test_client_is_whom_the_outermost_trusted_proxy_saw(
    trust: ProxyTrust, peer: str, forwarded_for: str, client: str
) -> None:
    assert trust.client(peer, forwarded_for) == client


@pytest.mark.parametrize(
    ("listed", "peer", "is_trusted"),
    [
        (None, "127.0.0.1", True),
        (None, "10.1.2.3", False),
        ("*", "2001:db8::5", True),
        ("10.0.0.0/8,192.0.2.1", "10.1.2.3", True),
        ("10.0.0.0/8,192.0.2.1", "127.0.0.1", False),
    ],
)
def test_peers_are_those_that_gunicorn_trusts(
    monkeypatch: pytest.MonkeyPatch, listed: str | None, peer: str, is_trusted: bool
) -> None:
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    if listed is not None:
        monkeypatch.setenv("FORWARDED_ALLOW_IPS", listed)

    client = ProxyTrust.from_environment(1).client(peer, "203.0.113.9")

    assert (client == "203.0.113.9") is is_trusted
