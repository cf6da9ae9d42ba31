"""Forwarded headers are believed only of configured proxies."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from llm_gateway.web.peers import Peers

PROXIES = Peers([ip_network("10.0.0.0/8"), ip_network("::1/128")])


def scope(peer: str | None, forwarded: str | None = None, proto: str | None = None) -> dict[str, object]:
    headers = []
    if forwarded is not None:
        headers.append((b"x-forwarded-for", forwarded.encode()))
    if proto is not None:
        headers.append((b"x-forwarded-proto", proto.encode()))
    return {"type": "http", "scheme": "http", "client": (peer, 1234) if peer else None, "headers": headers}


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.9", None, "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),  # a stranger's word about itself
        ("10.1.1.1", "198.51.100.1", "198.51.100.1"),
        ("10.1.1.1", "6.6.6.6, 198.51.100.1", "198.51.100.1"),  # what came before the last hop is the client's claim
        ("10.1.1.1", "198.51.100.1, 10.2.2.2", "198.51.100.1"),
        ("10.1.1.1", "10.3.3.3", "10.3.3.3"),
        ("10.1.1.1", "nonsense", "10.1.1.1"),
        ("10.1.1.1", "", "10.1.1.1"),
        ("::ffff:10.1.1.1", "198.51.100.1", "198.51.100.1"),
        ("::1", "2001:db8::5", "2001:db8::5"),
        (None, "198.51.100.1", "unknown"),
    ],
)
def test_the_client_is_the_last_hop_that_is_no_proxy_of_ours(peer: str | None, forwarded: str | None, client: str):
    assert PROXIES.client(scope(peer, forwarded)) == client


def test_nobody_is_trusted_by_default():
    assert Peers().client(scope("127.0.0.1", "198.51.100.1")) == "127.0.0.1"


@pytest.mark.parametrize(("address", "trusted"), [("10.9.9.9", True), ("11.0.0.1", False), ("", False)])
def test_a_proxy_of_ours_is_known_by_its_address(address: str, trusted: bool):
    assert PROXIES.trusts(address) is trusted


@pytest.mark.parametrize(
    ("peer", "proto", "seen"),
    [("10.1.1.1", "https", "https"), ("203.0.113.9", "https", "http"), ("10.1.1.1", "gopher", "http")],
)
def test_the_scheme_is_https_when_a_trusted_proxy_says_so(peer: str, proto: str, seen: str):
    assert PROXIES.scheme(scope(peer, proto=proto)) == seen
