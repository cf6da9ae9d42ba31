"""Which processes serve together now, and which of them asks the servers: known to all within a second or two.

Every process shows that it lives once a second, in one call that also tells who else does and who leads. Time is
Redis's own, so hosts need no common clock. Who is silent for `GONE` seconds is a member no more, and leads no more.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from llm_gateway.shared.client import Away, Client, Script

BEAT: Final = 1.0
"""Seconds between signs of life."""
GONE: Final = 4.0
"""Seconds of silence after which a process is held for dead."""
PATIENCE: Final = 1.0
"""Seconds for an answer of Redis that no request waits for."""
MEMBERS: Final = "llmgw:members"
LEADER: Final = "llmgw:leader"

_BEAT: Final = Script(
    """
    local t = redis.call('TIME')
    local now = t[1] * 1000 + math.floor(t[2] / 1000)
    local gone = tonumber(ARGV[2])
    redis.call('ZADD', KEYS[1], now, ARGV[1])
    redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - gone)
    redis.call('PEXPIRE', KEYS[1], 10 * gone)
    local leader = redis.call('GET', KEYS[2])
    if not leader or leader == ARGV[1] then
        redis.call('SET', KEYS[2], ARGV[1], 'PX', gone)
        leader = ARGV[1]
    end
    return {now, leader, redis.call('ZRANGE', KEYS[1], 0, -1)}
    """
)
_LEAVE: Final = Script(
    """
    redis.call('ZREM', KEYS[1], ARGV[1])
    if redis.call('GET', KEYS[2]) == ARGV[1] then redis.call('DEL', KEYS[2]) end
    return 0
    """
)


class Members:
    """As seen by the process `me`. Answers are from memory, those of the last sign of life."""

    def __init__(self, client: Client, me: str, now: Callable[[], float]) -> None:
        """`now`: monotonic seconds."""
        self.me = me
        self.known: tuple[str, ...] = (me,)
        """All that live, this one included, in order. While Redis is away: the last that were known."""
        self._client = client
        self._now = now
        self._leader: str | None = None
        self._heard_at = now()
        self._offset: float | None = None
        """Redis's Unix time minus this clock's."""
        self._left = False

    def instances(self) -> int:
        """How many processes serve together, at least 1."""
        return len(self.known)

    @property
    def leads(self) -> bool:
        """Is it for this process to ask the servers? Where Redis does not say, everybody does."""
        return not self._left and (self._leader == self.me or self._now() - self._heard_at > GONE)

    def redis_time(self) -> float | None:
        """Unix seconds on Redis's clock, None before it was ever heard."""
        return None if self._offset is None else self._now() + self._offset

    async def beat(self) -> bool:
        """One sign of life, unless it has left. False: there was none, and what was known stays."""
        if self._left:
            return False
        try:
            now, leader, members = await self._client.run(
                _BEAT, (MEMBERS, LEADER), (self.me, int(GONE * 1000)), patience=PATIENCE
            )
        except Away:
            return False
        self._heard_at = self._now()
        self._offset = int(now) / 1000 - self._heard_at
        self._leader = leader.decode("utf-8", "replace")
        self.known = tuple(sorted({self.me, *(member.decode("utf-8", "replace") for member in members)}))
        return True

    async def leave(self) -> None:
        """For good: the others need not wait until it is held for dead."""
        self._left = True
        with suppress(Away):
            await self._client.run(_LEAVE, (MEMBERS, LEADER), (self.me,), patience=PATIENCE)
