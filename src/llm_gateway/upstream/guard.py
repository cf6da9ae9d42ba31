"""Where the gateway may connect to. Asked twice: when a URL is written down, and at every single connection.

A URL is checked once, for people: a clear sentence about what is wrong. That check protects nobody, since a name
may resolve to anything later; so `Guard.addresses` resolves for every new connection, lets only permitted addresses
through, and the caller connects to exactly those (no second look-up, so DNS rebinding has no gap to use).
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, NamedTuple
from urllib.parse import SplitResult, urlsplit

from llm_gateway.errors import Fault, FaultKind, InvalidRequest

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Awaitable[Iterable[IPAddress]]]

MAX_URL = 2048
MOST_CHECKED: Final = 4096
"""URLs that are known to be good ones. There are no more servers than that."""
DEFAULT_PORTS = {"http": 80, "https": 443}
OTHER_SERVICES = frozenset(
    # Databases, queues, control planes and remote desktops: nothing that serves models, much that obeys text.
    {1433, 1521, 2049, 2181, 2375, 2376, 2379, 2380, 3306, 3389, 4369, 5432, 5672, 5900, 5984}
    | {6000, 6379, 6380, 6443, 9042, 9092, 9200, 9300, 10250, 10255, 11211, 26379, 27017}
)

# IANA special-purpose address registries (RFC 6890 and its updates), as of 2026. An own table, since `is_global` of
# `ipaddress` changed between patch releases of Python and calls multicast global.
_NOT_PUBLIC: tuple[tuple[IPNetwork, str], ...] = tuple(
    (ip_network(net), word)
    for net, word in (
        ("0.0.0.0/8", "unspecified"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "shared (CGNAT)"),
        ("127.0.0.0/8", "loopback"),
        ("168.63.129.16/32", "metadata"),  # Azure's platform endpoint, on a public address
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "documentation"),
        ("192.88.99.0/24", "reserved"),
        ("192.168.0.0/16", "private"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved"),
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("64:ff9b::/96", "translated (NAT64)"),  # would reach any IPv4 address, private ones too
        ("64:ff9b:1::/48", "translated (NAT64)"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "private"),
        ("ff00::/8", "multicast"),
        ("2001::/23", "reserved"),  # Teredo among them
        ("2001:db8::/32", "documentation"),
        ("2002::/16", "translated (6to4)"),
        ("3fff::/20", "documentation"),
    )
)
_GLOBAL_IPV6 = IPv6Network("2000::/3")
_LOOPBACK = (IPv4Address("127.0.0.1"), IPv6Address("::1"))

_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)*")
_UNSEEN = re.compile(r"[\x00-\x20\x7f\\]")


class Origin(NamedTuple):
    """Scheme, canonical host and port: what a connection, a pool and an upstream key are bound to. A tuple, since it is
    hashed for every request."""

    scheme: str
    """http | https"""
    host: str
    """Lower-case ASCII name without a trailing dot, or a canonical IP address without brackets."""
    port: int

    @property
    def authority(self) -> str:
        """The value of the `Host` header: no port where it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


class Guard:
    """The addresses that connections may be opened to.

    Public addresses are permitted; others (loopback, private, link-local, CGNAT, multicast, reserved, metadata,
    this machine's own) only inside a network of `allow_private`. With `only_networks`, nothing outside those
    networks is permitted at all, and the first rule still holds inside them.
    """

    def __init__(
        self,
        only_networks: Iterable[str | IPNetwork] = (),
        allow_private: Iterable[str | IPNetwork] = (),
        *,
        resolve: Resolve | None = None,
    ) -> None:
        """Networks are CIDRs; raises ValueError for what is none. `resolve` replaces the system's resolver."""
        self._only = tuple(ip_network(net, strict=False) for net in only_networks)
        self._private = tuple(ip_network(net, strict=False) for net in allow_private)
        self._resolve = resolve or _system_resolver
        self._checked: dict[str, tuple[Origin, str]] = {}
        self.changes = 0
        """Of what is allowed: a URL that was good before one may be none after it."""

    def allow(self, networks: Iterable[str | IPNetwork]) -> None:
        """Replaces `allow_private`; connections that are open stay."""
        self._private = tuple(ip_network(net, strict=False) for net in networks)
        self._checked.clear()
        self.changes += 1

    def check_url(self, url: str) -> tuple[Origin, str]:
        """The canonical origin and the base path (no slash at its end) of a server's URL.

        Raises InvalidRequest with a sentence that says what is wrong and what is allowed. `only_networks` is not
        asked here: a server that may not be reached from this installation may still be listed.
        """
        if (checked := self._checked.get(url)) is not None:
            return checked  # every request asks for one of the same few
        parts = _split(url)
        origin = Origin(parts.scheme, _host(parts), _port(parts))
        known = _known_addresses(origin.host)
        if known and not any(_within(address, self._private) for address in known) and (word := _not_public(known[0])):
            raise _refused(
                f"{origin.host} is a {word} address; servers may have one only inside a network that "
                f"`allow_private_upstreams` lists, such as {ip_network(known[0])}"
            )
        if len(self._checked) >= MOST_CHECKED:
            self._checked.clear()
        checked = self._checked[url] = origin, _base_path(parts.path)
        return checked

    def permits(self, address: IPAddress) -> bool:
        """Whether a connection may be opened to this address."""
        return self.objection(address) is None

    def objection(self, address: IPAddress, *, own: bool = False) -> str | None:
        """Why this address is not permitted, or None. `own`: it is known to be one of this machine's own."""
        address = _unmapped(address)
        if self._only and not _within(address, self._only):
            return f"{address} is outside the networks that this installation may connect to"
        word = _not_public(address) or ("own" if own else None)
        if word and not _within(address, self._private):
            return f"{address} is a {word} address that allow_private_upstreams does not list"
        return None

    async def addresses(self, origin: Origin, *, within: float = 3.0) -> list[IPAddress]:
        """The permitted addresses of the origin, families taking turns (RFC 8305 §4). Resolves anew at each call.

        Raises Fault: NOT_PERMITTED when none is left, DNS when there is none `within` so many seconds.
        """
        literal = _literal(origin.host)
        found = [literal] if literal else await self._look_up(origin, within)
        permitted, objections = [], []
        for address in dict.fromkeys(_unmapped(a) for a in found):
            objection = self.objection(address) or self.objection(address, own=_is_own(address))
            if objection is None:
                permitted.append(address)
            else:
                objections.append(objection)
        if not permitted:
            raise Fault(FaultKind.NOT_PERMITTED, "; ".join(objections))
        return _taking_turns(permitted)

    async def _look_up(self, origin: Origin, within: float) -> list[IPAddress]:
        try:
            async with asyncio.timeout(within):
                found = list(await self._resolve(origin.host, origin.port))
        except TimeoutError:
            raise Fault(FaultKind.DNS, f"{origin.host} did not resolve within {within:g} s") from None
        except (OSError, UnicodeError) as error:
            raise Fault(FaultKind.DNS, f"{origin.host} does not resolve: {error}") from None
        if not found:
            raise Fault(FaultKind.DNS, f"{origin.host} has no address")
        return found


async def _system_resolver(host: str, port: int) -> list[IPAddress]:
    loop = asyncio.get_running_loop()
    infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [ip_address(str(info[4][0]).partition("%")[0]) for info in infos]


# --- URLs ---------------------------------------------------------------------------------------------------------


def _refused(sentence: str) -> InvalidRequest:
    return InvalidRequest(f"Not a usable server URL: {sentence}.", param="url")


def _split(url: str) -> SplitResult:
    if len(url) > MAX_URL:
        raise _refused(f"it has {len(url)} characters; at most {MAX_URL} are allowed")
    if _UNSEEN.search(url):  # before urlsplit, which silently drops some of them
        raise _refused("it contains a blank, a backslash or a control character")
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise _refused(f"{error}; expected something like http://host:11434") from None
    if parts.scheme not in DEFAULT_PORTS:
        raise _refused(f"the scheme is {parts.scheme or 'missing'!r}; only http:// and https:// are allowed")
    if "@" in parts.netloc:  # the message must not repeat the password
        raise _refused("it contains a user name or password; put the server's key into its own setting")
    if "?" in url or "#" in url:
        raise _refused("it has a query or a fragment; only a host, a port and a path are allowed")
    return parts


def _host(parts: SplitResult) -> str:
    netloc = parts.netloc
    if netloc.startswith("["):
        text, bracket, after = netloc[1:].partition("]")
        if not bracket or (after and not after.startswith(":")) or "%" in text:
            raise _refused("the IPv6 address is malformed; expected something like http://[2001:470::1]:11434")
        try:
            return str(_unmapped(IPv6Address(text)))
        except ValueError:
            raise _refused(f"{text!r} is not an IPv6 address") from None
    name = netloc.partition(":")[0]
    if not name:
        raise _refused("the host is missing; expected something like http://host:11434")
    try:
        # Also folds full-width digits and ideographic dots, which would hide an IP address.
        name = name.encode("idna").decode("ascii").lower() if not name.isascii() else name.lower()
    except UnicodeError:
        raise _refused(f"{name!r} is not a valid international host name; write its xn-- form") from None
    name = name.removesuffix(".")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        address = _ipv4(labels)
        if address is None:
            raise _refused(f"{name!r} ends in a number but is not an IPv4 address")
        return str(address)
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise _refused(f"{name!r} is not a host name: letters, digits, '-', '_' and dots are allowed")
    return name


def _ipv4(labels: list[str]) -> IPv4Address | None:
    """Every spelling that `inet_aton` accepts: octal, hex, fewer than four parts (WHATWG URL Standard §3.5)."""
    if len(labels) > 4:
        return None
    numbers = []
    for label in labels:
        if not _NUMBER.fullmatch(label) or len(label) > 40:
            return None
        base = 16 if label.startswith("0x") else 8 if label.startswith("0") else 10
        try:
            numbers.append(int(label, base) if label != "0x" else 0)
        except ValueError:
            return None
    *front, last = numbers
    if any(number > 255 for number in front) or last >= 256 ** (4 - len(front)):
        return None
    return IPv4Address(sum(number << 8 * (3 - i) for i, number in enumerate(front)) + last)


def _port(parts: SplitResult) -> int:
    try:
        port = parts.port
    except ValueError:
        raise _refused("the port is not a number from 1 to 65535") from None
    if port is None:
        return DEFAULT_PORTS[parts.scheme]
    if port in (80, 443) or (port >= 1024 and port not in OTHER_SERVICES):
        return port
    raise _refused(
        f"port {port} is not allowed; 80, 443 and 1024-65535 are, without the usual ports of databases, queues "
        "and control planes"
    )


def _base_path(path: str) -> str:
    base = path.rstrip("/")
    if not _PATH.fullmatch(base) or {".", ".."} & set(base.split("/")):
        raise _refused(f"the path {path!r} is unusual; expected none or something like /v1")
    return base


# --- Addresses ----------------------------------------------------------------------------------------------------


def _literal(host: str) -> IPAddress | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _known_addresses(host: str) -> tuple[IPAddress, ...]:
    """The addresses of a host that are certain without asking anyone: literals and localhost (RFC 6761 §6.3)."""
    if host == "localhost" or host.endswith(".localhost"):
        return _LOOPBACK
    literal = _literal(host)
    return (literal,) if literal else ()


def _unmapped(address: IPAddress) -> IPAddress:
    """IPv4 inside IPv6 (`::ffff:127.0.0.1`) is that IPv4 address: packets go there."""
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def _not_public(address: IPAddress) -> str | None:
    for net, word in _NOT_PUBLIC:
        if address in net:
            return word
    return "reserved" if address.version == 6 and address not in _GLOBAL_IPV6 else None


def _within(address: IPAddress, networks: tuple[IPNetwork, ...]) -> bool:
    return any(address in net for net in networks)


def _is_own(address: IPAddress) -> bool:
    """Whether the address belongs to this machine. Connecting a UDP socket only asks the routing table: for an
    address of its own the kernel answers with that very address as the source. No packet is sent."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((str(address), 9))
            return bool(probe.getsockname()[0] == str(address))
    except OSError:  # no route there, or no such family: then it is not ours
        return False


def _taking_turns(addresses: list[IPAddress]) -> list[IPAddress]:
    """Alternates families, the resolver's first choice first, so that one dead family costs one delay only."""
    first = [a for a in addresses if a.version == addresses[0].version]
    other = [a for a in addresses if a.version != addresses[0].version]
    turns: list[IPAddress] = []
    for i in range(max(len(first), len(other))):
        turns += first[i : i + 1] + other[i : i + 1]
    return turns
