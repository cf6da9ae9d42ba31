"""Who is signed in, from memory: an open tab asks often, and the database once in ten seconds at most.

A session that was ended here is over at once, one that another process ended as soon as it says so over Redis, without
it within those ten seconds. While the database is away, whoever was signed in stays so: that is when they want to look.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from llm_gateway.errors import DatabaseUnavailable
from llm_gateway.running import Running
from llm_gateway.storage import logins
from llm_gateway.storage.logins import StoredSession

FRESH: Final = 10.0
"""Seconds for which a look-up is believed."""
SEEN: Final = 60.0
"""Seconds between writes of when a session was used."""
MOST: Final = 1_000
"""Sessions that are remembered."""
LOOKUPS: Final = 4
"""At the same time: strangers' cookies take no more connections than that from the others."""


class Hashes(NamedTuple):
    """What the database knows a session by."""

    of_user: bytes
    of_owner: bytes
    """Of whoever came by a link or with the admin token: it ends when the gateway is given another token."""


@dataclass(frozen=True, slots=True)
class _Known:
    session: StoredSession
    until: float
    """Monotonic seconds until which it is not looked up again."""


class SignedIn:
    def __init__(self, running: Running) -> None:
        self._running = running
        self._known: OrderedDict[bytes, _Known] = OrderedDict()
        self._lookups = asyncio.Semaphore(LOOKUPS)
        self._ended = self._heard = 0
        """How often sessions were ended here, or their users changed; how often others said so, when it was looked at.
        """

    @property
    def ended(self) -> int:
        """Another number than before: sessions were ended, or their users changed. What was read before may be over."""
        doors = self._running.others.doors
        if doors is not None and doors.sessions_ended != self._heard:
            self._heard = doors.sessions_ended
            self._ended += 1
            self._known = OrderedDict((key, replace(known, until=0.0)) for key, known in self._known.items())
        return self._ended

    def hashes(self, cookie: str) -> Hashes:
        of_user = hashlib.sha256(cookie.encode()).digest()
        return Hashes(of_user, hashlib.sha256(f"{cookie} {self._running.admin_token}".encode()).digest())

    async def look(self, cookie: str) -> StoredSession | None:
        """The session of whoever holds the cookie; None: there is none, or it has ended. Raises DatabaseUnavailable
        for one that is not known here."""
        hashes, clock = self.hashes(cookie), self._running.gateway.clock
        wall, ended = clock.wall(), self.ended
        known = self._known.get(hashes.of_user)
        if known is not None and not _over(known.session, wall):
            if clock.now() < known.until:
                return known.session
        else:
            known = None
        try:
            return await self._look_up(hashes, wall, ended)
        except DatabaseUnavailable:
            if known is None:
                raise
            return known.session

    async def _look_up(self, hashes: Hashes, wall: float, ended: int) -> StoredSession | None:
        async with self._lookups, self._running.sessions.read() as s:
            found = await logins.find_session(s, *hashes, wall)
        if found is None:
            self._known.pop(hashes.of_user, None)
            return None
        if wall - found.last_seen_at >= SEEN:
            with suppress(DatabaseUnavailable):  # read, and yet not to be written: a full disk signs nobody out
                async with self._running.sessions.write() as s:
                    await logins.saw_session(s, found.hash, wall)
            found = replace(found, last_seen_at=wall)
        if ended == self.ended:
            self._known[hashes.of_user] = _Known(found, self._running.gateway.clock.now() + FRESH)
            self._known.move_to_end(hashes.of_user)
            if len(self._known) > MOST:
                self._known.popitem(last=False)
        return found

    def forget(self, hash: bytes) -> None:
        """That session was ended."""
        self._forget([key for key, known in self._known.items() if known.session.hash == hash])

    def forget_user(self, user_id: str) -> None:
        """Something about the user has changed: each of their sessions is looked up anew."""
        self._forget([key for key, known in self._known.items() if known.session.user_id == user_id])

    def _forget(self, keys: list[bytes]) -> None:
        self._ended += 1
        for key in keys:
            del self._known[key]
        if (doors := self._running.others.doors) is not None:
            doors.end_sessions()


def _over(session: StoredSession, wall: float) -> bool:
    return wall >= session.expires_at or wall >= session.last_seen_at + logins.IDLE
