"""What processes tell each other of the dashboard's door: that sessions were ended, and who tried to sign in.

Nothing waits for it: a process that does not hear it goes by the database, and by what it has counted itself.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from llm_gateway.shared.client import Away
from llm_gateway.shared.seen import TOGETHER, Over, Tried, Tries, packed

GATHER: Final = 0.1
"""Seconds for which what there is to tell is gathered."""
AGAIN: Final = 1.0
"""Seconds between tries while Redis is away."""
KEPT: Final = 1_000
"""Sign-ins of others that wait for whoever asks for them."""


class Doors:
    """`tell` is a task; `hear` is told what the others say."""

    def __init__(self, say: Callable[[bytes], Awaitable[None]], now: Callable[[], float]) -> None:
        """`say`: to all others; raises Away. `now`: monotonic seconds."""
        self.sessions_ended = 0
        """How often others said that they had ended sessions."""
        self._say, self._now = say, now
        self._over = False
        """Have sessions been ended here that the others do not know of?"""
        self._tries: deque[Tried] = deque(maxlen=TOGETHER)
        self._busy = asyncio.Event()
        self._heard: deque[tuple[float, Tried]] = deque(maxlen=KEPT)

    def end_sessions(self) -> None:
        """Sessions were ended here. Never waits."""
        self._over = True
        self._busy.set()

    def tried(self, tried: Tried) -> None:
        """Somebody tried to sign in here. Never waits."""
        self._tries.append(tried)
        self._busy.set()

    def hear(self, words: Over | Tries, age: float) -> None:
        """What another process said so many seconds ago."""
        if isinstance(words, Over):
            self.sessions_ended += 1
        else:
            self._heard.extend((self._now() - age, tried) for tried in words.tries)

    def take(self) -> list[tuple[float, Tried]]:
        """Who tried elsewhere, and when (monotonic), since this was asked last."""
        heard = list(self._heard)
        self._heard.clear()
        return heard

    async def tell(self) -> None:
        """Until cancelled."""
        while True:
            await self._busy.wait()
            await asyncio.sleep(GATHER)
            self._busy.clear()
            over, tries, self._over = self._over, tuple(self._tries), False
            self._tries.clear()
            try:
                if over:
                    await self._say(packed(Over()))
                    over = False
                if tries:
                    await self._say(packed(Tries(tries)))
            except Away:
                self._over = self._over or over
                self._tries.extendleft(reversed(tries[: TOGETHER - len(self._tries)]))
                self._busy.set()
                await asyncio.sleep(AGAIN)
