"""The first step of every request: whose key is this?

Only headers are read, so a key in a URL (where proxies and histories would keep it) opens nothing. What is known
comes from a snapshot in memory; no database is asked.
"""

from __future__ import annotations

import hmac
import ipaddress
from collections import OrderedDict
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from llm_gateway.access.keys import hash_key
from llm_gateway.access.policy import ApiKey, Caller, Project, Snapshot
from llm_gateway.errors import InvalidKey, NotFound, ProjectDisabled, TooManyFailedKeys

EXPIRY_TOLERANCE: Final = 60.0
"""Seconds that a key outlives its expiry: clocks differ."""

NO_KEY: Final = ""
"""Id in place of a key's, of requests that operators make as a project: their rows have none."""

KEY_HEADERS: Final = frozenset({b"x-api-key", b"authorization", b"api-key"})
"""Where a key may stand."""

WAYS: Final = "Send it as `Authorization: Bearer …`, `X-API-Key: …` or `api-key: …`."


def presented_key(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The key among raw ASGI headers (lower-case names), None when there is none.

    When a client sends several, `X-API-Key` wins over `Authorization: Bearer` over `api-key`, and of one name the
    first that is not empty.
    """
    bearer = azure = b""
    for name, value in headers:
        if name == b"x-api-key":
            if value := value.strip():
                return value.decode("latin-1")
        elif name == b"authorization":
            if not bearer and value[:7].lower() == b"bearer ":
                bearer = value[7:].strip()
        elif name == b"api-key" and not azure:
            azure = value.strip()
    found = bearer or azure
    return found.decode("latin-1") if found else None


def identify(snapshot: Snapshot, presented: str | None, wall: float) -> Caller:
    """Who presents this key at `wall` (Unix seconds).

    Raises InvalidKey, in the same words for a key that is unknown, revoked, expired or without a project, and
    ProjectDisabled. Looking up a hash in a dict leaks nothing of the key by its timing; the comparison after it is
    constant-time all the same.
    """
    if not presented:
        raise InvalidKey(f"This request has no API key. {WAYS}")
    digest = hash_key(presented)
    key = snapshot.keys.get(digest)
    if key is None or not hmac.compare_digest(key.hash, digest) or key.revoked_at is not None:
        raise _invalid()  # revoked it stays wherever the wall clock jumps
    if key.expires_at is not None and wall >= key.expires_at + EXPIRY_TOLERANCE:
        raise _invalid()
    project = snapshot.projects.get(key.project_id)
    if project is None:
        raise _invalid()
    _check_active(project)
    return Caller(project, key)


def acting(snapshot: Snapshot, named: str) -> Caller:
    """An operator who asks as the project of this id or name: with its limits and permissions, without a key of it.
    Whoever calls this has made sure that an operator it is. Raises NotFound, ProjectDisabled."""
    project = snapshot.projects.get(named)
    if project is None:
        project = next((each for each in snapshot.projects.values() if each.name == named), None)
    if project is None:
        raise NotFound(f"There is no project {named[:100]!r}.", param="project")
    _check_active(project)
    return Caller(project, _no_key(project.id))


@lru_cache(256)  # the same object each time: limits keep what follows of a key by its object
def _no_key(project_id: str) -> ApiKey:
    return ApiKey(id=NO_KEY, project_id=project_id, name="", hash=b"", prefix="", last4="")


def _check_active(project: Project) -> None:
    if not project.is_active:
        raise ProjectDisabled(f"The project `{project.name}` is disabled. Ask an administrator to enable it.")


def _invalid() -> InvalidKey:
    return InvalidKey(f"This API key is not valid. {WAYS}")


class FailedKeys:
    """Counts wrong keys per client address, so that a broken script or a guesser costs little and is told to stop.

    Past the limit an address gets 429 instead of 401 for *wrong* keys; a valid key passes from it all the same, so
    one bad script behind a company's NAT shuts nobody else out. (Slowing guesses is not the point: 190 random bits
    cannot be guessed at any speed.) IPv6 addresses count by their /64, the least that one client has.
    """

    __slots__ = ("_bound", "_limit", "_seen", "_window")

    def __init__(self, limit: int = 20, window: float = 60.0, bound: int = 10_000) -> None:
        """`limit` failures within `window` seconds; at most `bound` addresses are remembered, the least recently
        failed are forgotten first."""
        self._limit = limit
        self._window = window
        self._bound = bound
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """Address -> (when its window began, failures in it)."""

    def lately(self, now: float) -> bool:
        """Did anybody come with a wrong key within the window that ends now (monotonic seconds)?"""
        latest = next(reversed(self._seen.values()), None)
        return latest is not None and now - latest[0] < self._window

    def failed(self, address: str, now: float) -> None:
        """Notes one wrong key (monotonic seconds). Raises TooManyFailedKeys once the address is past the limit."""
        block = address_block(address)
        began, count = self._seen.get(block, (now, 0))
        if now >= began + self._window:
            began, count = now, 0
        self._seen[block] = (began, count + 1)
        self._seen.move_to_end(block)
        if len(self._seen) > self._bound:
            self._seen.popitem(last=False)
        if count >= self._limit:
            raise TooManyFailedKeys(
                f"Too many wrong API keys from this address: {self._limit} within {self._window:.0f} s are answered. "
                "Check the key that your client sends; a valid one works at once.",
                retry_after=began + self._window - now,
            )

    def __len__(self) -> int:
        return len(self._seen)


def address_block(address: str) -> str:
    """What counts as one client: an IPv4 address, an IPv6 /64; any other text is taken as it is."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return address[:64]
    if ip.version == 4:
        return address
    if ip.ipv4_mapped:
        return str(ip.ipv4_mapped)
    return ip.packed[:8].hex()
