"""One timer for a connection, moved instead of made anew.

A connection waits for one thing at a time, and nearly always gets it. Two timers for each request, made and cancelled,
cost more than reading its headers; this one stays where it is, looks when it fires, and goes on to where it ought to
be.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Deadline:
    """Calls what `set` was told last, unless `clear` comes first."""

    __slots__ = ("_due", "_fires", "_loop", "_then", "_timer")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._due = self._fires = 0.0
        self._then: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_set(self) -> bool:
        return self._then is not None

    def set(self, seconds: float, then: Callable[[], None]) -> None:
        """In place of what was set before."""
        self._due, self._then = self._loop.time() + seconds, then
        if self._timer is not None:
            if self._fires <= self._due:
                return
            self._timer.cancel()
        self._start(seconds)

    def clear(self) -> None:
        self._then = None

    def stop(self) -> None:
        """As `clear`, and nothing is left in the loop."""
        self._then = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _start(self, seconds: float) -> None:
        self._fires = self._due
        self._timer = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        self._timer = None
        if self._then is None:
            return
        left = self._due - self._loop.time()
        if left > 0:
            self._start(left)
        else:
            then, self._then = self._then, None
            then()
