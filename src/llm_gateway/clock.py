"""Time and identity, handed in as arguments everywhere else.

`Clock.now()` is monotonic (timers, limits, rests); `Clock.wall()` is Unix time (log rows, key expiry).
`Ids` makes UUIDv7 (RFC 9562 §5.7) that rise strictly within one process, even when the wall clock steps back.
"""

from __future__ import annotations

import builtins
import os
import struct
import time
import weakref
from collections.abc import Callable
from typing import Final, Protocol
from uuid import UUID, SafeUUID

BLOCK: Final = 128
"""Ids whose random bits are fetched together: the system's call for each would be a sixth of what an id costs."""
_set: Final = object.__setattr__  # UUID's own refuses
_tails_of: Final = struct.Struct(f"{BLOCK}Q").unpack


class Clock(Protocol):
    def now(self) -> float:
        """Seconds on a monotonic clock; only differences mean anything."""

    def wall(self) -> float:
        """Seconds since the Unix epoch."""


class SystemClock:
    """The machine's own clocks. `now()` equals `loop.time()` of asyncio and uvloop.

    The functions themselves, without one of ours around them: a request looks at them some twenty times.
    """

    __slots__ = ()

    now = staticmethod(time.monotonic)
    wall = staticmethod(time.time)


class Id(UUID):
    """A UUID that knows its text and its bytes: of each request they are written half a dozen times."""

    __slots__ = ("bytes", "text")

    bytes: builtins.bytes
    text: str
    is_safe = SafeUUID.unknown  # type: ignore[misc]  # of all of them, so none has to be told

    def __init__(self, value: int) -> None:
        raw = value.to_bytes(16, "big")
        text = raw.hex()
        _set(self, "int", value)
        _set(self, "bytes", raw)
        _set(self, "text", f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}")

    def __str__(self) -> str:
        return self.text


class Ids:
    """A source of UUIDv7: 48 bits of milliseconds, a 12-bit counter, 62 random bits.

    When the wall clock steps back, or more than 4,096 ids are asked for within a millisecond, the last
    millisecond is kept or moved on by one: ids stay unique and ordered (RFC 9562 §6.2). Processes that are forked off
    have random bits of their own.
    """

    __slots__ = ("__weakref__", "_counter", "_last", "_random", "_tails", "_wall")

    def __init__(self, wall: Callable[[], float] = time.time, random: Callable[[int], bytes] = os.urandom) -> None:
        self._wall = wall
        self._random = random
        self._last = 0
        self._counter = 0
        self._tails: list[int] = []
        """Random bits of ids to come. Nobody sees any of them before it is taken."""
        me = weakref.ref(self)
        os.register_at_fork(after_in_child=lambda: _forget(me()))

    def __call__(self) -> Id:
        ms = int(self._wall() * 1000)
        if ms > self._last:
            self._last, self._counter = ms, 0
        else:
            self._counter += 1
            if self._counter > 0xFFF:
                self._last, self._counter = self._last + 1, 0
        try:
            tail = self._tails.pop()
        except IndexError:
            tails = [*_tails_of(self._random(8 * BLOCK))]
            tail = tails.pop()
            self._tails = tails
        variant = 0x8000_0000_0000_0000 | (tail & 0x3FFF_FFFF_FFFF_FFFF)
        return Id((self._last << 80) | (0x7000 | self._counter) << 64 | variant)

    def forget(self) -> None:
        """What was fetched for ids to come: in a process that was forked off, which would make its parent's again."""
        self._tails.clear()


def _forget(ids: Ids | None) -> None:
    if ids is not None:
        ids.forget()
