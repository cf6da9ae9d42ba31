"""The one way to Redis or Valkey: every call is answered within 50 ms or fails, and a Redis that is away costs nothing.

After a failure the way is closed for a while: calls fail at once, without a packet, until the pause is over and one
call tries again. So a Redis that is dead or a black hole delays one request now and then by 50 ms, and no other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import structlog
from redis.asyncio import Redis
from redis.asyncio.client import PubSub
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

PATIENCE: Final = 0.05
"""Seconds that a request may lose to a Redis that does not answer."""
PAUSES: Final = (0.5, 1.0, 2.0, 5.0)
"""Seconds without any call after so many failures in a row."""
CONNECTIONS: Final = 64

log = structlog.get_logger(__name__)


class Away(Exception):
    """Redis did not answer in time, or was not asked because it did not answer a moment ago."""


class Script:
    """A Lua script that Redis runs as one step. Its SHA-1 is asked for first, its text only where that is unknown."""

    def __init__(self, text: str) -> None:
        from hashlib import sha1

        self.text = text
        self.sha = sha1(text.encode(), usedforsecurity=False).hexdigest()


class Client:
    """Connects when it is first used; whoever made it awaits `aclose`."""

    def __init__(self, url: str, now: Callable[[], float], *, patience: float = PATIENCE) -> None:
        """`url`: redis://, rediss://, valkey://, valkeys://, unix://. `now`: monotonic seconds."""
        scheme, mark, rest = url.partition("://")
        named = {"valkey": "redis", "valkeys": "rediss"}.get(scheme, scheme)
        self._redis: Redis = Redis.from_url(
            f"{named}{mark}{rest}",
            max_connections=CONNECTIONS,
            socket_connect_timeout=1.0,
            socket_timeout=None,  # ours is `ask`'s; theirs is `asyncio.wait_for`, which loses cancellations before 3.12
            retry=Retry(NoBackoff(), 0),
            client_name="llm-gateway",
        )
        self._now = now
        self._patience = patience
        self._failures = 0
        self._closed_until = 0.0

    @property
    def up(self) -> bool:
        """Did the last call get its answer? True before the first."""
        return self._failures == 0

    async def run(
        self,
        script: Script,
        keys: Sequence[str],
        arguments: Sequence[str | bytes | int | float],
        *,
        patience: float | None = None,
    ) -> Any:
        """What the script returns; `patience` as for `ask`. Raises Away."""

        async def call() -> Any:
            try:
                return await self._redis.evalsha(script.sha, len(keys), *keys, *arguments)
            except NoScriptError:
                return await self._redis.eval(script.text, len(keys), *keys, *arguments)

        return await self.ask(call, patience=patience)

    async def command(self, *words: str | bytes | int | float, patience: float | None = None) -> Any:
        """What one command returns; `patience` as for `ask`. Raises Away."""

        async def call() -> Any:
            return await self._redis.execute_command(*words)  # type: ignore[no-untyped-call]

        return await self.ask(call, patience=patience)

    async def ask(self, call: Callable[[], Any], *, patience: float | None = None) -> Any:
        """The answer of one call. Raises Away within `patience` seconds (50 ms unless said)."""
        if self._now() < self._closed_until:
            raise Away
        if self._failures:  # one tries; the others go on without, until it is known
            self._closed_until = self._now() + self._patience
        try:
            async with asyncio.timeout(self._patience if patience is None else patience):
                answer = await call()
        except (TimeoutError, RedisError, OSError) as error:
            self._failed(error)
            raise Away from error
        if self._failures:
            log.info("redis_back")
        self._failures, self._closed_until = 0, 0.0
        return answer

    @asynccontextmanager
    async def subscribed(self, *channels: str) -> AsyncIterator[PubSub]:
        """A connection of its own that hears the channels. Raises RedisError, OSError."""
        async with self._redis.pubsub() as listening:
            await listening.subscribe(*channels)
            yield listening

    async def aclose(self) -> None:
        await self._redis.aclose()

    def _failed(self, error: BaseException) -> None:
        if not self._failures:
            log.error("redis_unavailable", error=type(error).__name__)
        pause = PAUSES[min(self._failures, len(PAUSES) - 1)]
        self._failures += 1
        self._closed_until = self._now() + pause
