"""Who is really calling: forwarded headers are believed only of configured proxies."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import TYPE_CHECKING

from llm_gateway.access.standing import Headers

if TYPE_CHECKING:
    from starlette.types import Scope

Network = IPv4Network | IPv6Network


class Peers:
    """Reads `X-Forwarded-For` and `X-Forwarded-Proto` when, and only when, the peer is a trusted proxy."""

    def __init__(self, trusted: Sequence[Network] = ()) -> None:
        self._trusted = tuple(trusted)

    def client(self, scope: Scope) -> str:
        """The client's address: the right-most one that no trusted proxy of ours has."""
        peer = str(scope["client"][0]) if scope.get("client") else "unknown"
        return self.behind(peer, scope["headers"]) if self._trusted and self.trusts(peer) else peer

    def behind(self, peer: str, headers: Headers) -> str:
        """`client` of a request that a trusted proxy sends."""
        hops = ",".join(v.decode("latin-1") for k, v in headers if k == b"x-forwarded-for").split(",")
        for hop in (h.strip() for h in reversed(hops)):
            if not hop:
                continue
            if (parsed := _address(hop)) is None:
                break
            peer = hop
            if not self._has(parsed):
                break
        return peer

    def scheme(self, scope: Scope) -> str:
        """`https` when a trusted proxy says so."""
        own: str = scope.get("scheme", "http")
        peer = scope["client"][0] if scope.get("client") else ""
        if not self.trusts(peer):
            return own
        for name, value in scope["headers"]:
            if name == b"x-forwarded-proto" and value in (b"http", b"https"):
                return str(value.decode())
        return own

    def trusts(self, address: str) -> bool:
        """Is it a proxy of ours?"""
        parsed = _address(address)
        return parsed is not None and self._has(parsed)

    def _has(self, address: IPv4Address | IPv6Address) -> bool:
        return any(address in network for network in self._trusted)


def _address(text: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address
