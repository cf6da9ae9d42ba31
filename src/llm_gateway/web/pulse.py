"""One look a second at all open streams: a word to clients that wait, an end for those that do not read.

One task for all streams instead of a timer for each chunk.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol

from llm_gateway.clock import Clock

LOOK: Final = 1.0
SILENCE: Final = 10.0
"""Seconds without a byte after which a stream gets a keep-alive, so that intermediaries leave it open."""
STUCK: Final = 30.0
"""Seconds that one write may wait for a client that does not read."""


class Streaming(Protocol):
    last_write: float
    """Seconds on the monotonic clock: when the last write ended."""
    writing_since: float | None
    """When the write began that is under way; None = none is."""

    async def ping(self) -> None: ...

    def give_up(self) -> None:
        """The client does not read: ends the request."""


class Pulse:
    """`add` a stream when its head has left, `discard` it at its end."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._open: set[Streaming] = set()
        self._pings: set[asyncio.Task[None]] = set()

    def add(self, stream: Streaming) -> None:
        self._open.add(stream)

    def discard(self, stream: Streaming) -> None:
        self._open.discard(stream)

    async def run(self) -> None:
        """Until cancelled."""
        try:
            while True:
                await asyncio.sleep(LOOK)
                self.look(self._clock.now())
        finally:
            for ping in self._pings:
                ping.cancel()

    def look(self, now: float) -> None:
        for stream in tuple(self._open):
            if stream.writing_since is not None:
                if now - stream.writing_since >= STUCK:
                    self._open.discard(stream)
                    stream.give_up()
            elif now - stream.last_write >= SILENCE:
                stream.last_write = now
                ping = asyncio.create_task(stream.ping(), name="keep-alive")
                self._pings.add(ping)
                ping.add_done_callback(self._pings.discard)
