"""What is in flight in the other processes, and ending it, for as long as somebody looks on.

A process with an open page says so to all, once a second, by way of the fleet's stream, which everybody hears anyway.
The others then tell it, in a stream of its own, what is in flight, once a second, and what has ended, five times a
second; after some seconds without its word they stop. While nobody looks, nothing is done and nothing is sent.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

import structlog

from llm_gateway.errors import Unavailable
from llm_gateway.shared.client import Away, Client, Script
from llm_gateway.shared.members import PATIENCE, Members
from llm_gateway.shared.others import Shown
from llm_gateway.shared.seen import (
    LISTED,
    LONGEST_ID,
    ROWS,
    Look,
    Moment,
    Seen,
    Stop,
    Stopped,
    Told,
    answer,
    packed,
    shown,
    since,
)

MINE: Final = "llmgw:live:"
"""And the name of the process that is told there."""
TICK: Final = 0.2
"""Seconds between looks for what has ended."""
EVERY: Final = 1.0
"""Seconds between two lists, between two words that somebody looks, and between tries while Redis is away."""
LEASE: Final = 3.0
"""Seconds for which one word holds that somebody looks."""
GATHER: Final = 1.0
"""Seconds for which whoever begins to look waits for the others."""
STOPPING: Final = 2.0
"""Seconds for which whoever stops a request waits for its process …"""
LATE: Final = 0.3
"""… and for one that is no member any more and finishes what it has."""
LOOKERS: Final = 64
ANSWERS: Final = 100
"""That wait to be sent."""
KEPT: Final = 300
"""Messages of a stream, about; it lasts for `LASTS` milliseconds after the latest."""
LASTS: Final = 5_000
AT_ONCE: Final = 10
"""Messages that are read in one call."""
WAIT: Final = 0.5
"""Seconds that one call waits for something new."""
BEGINNING: Final = "0-0"

_TELL: Final = Script(
    """
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'from', ARGV[2], 'told', ARGV[3])
    return redis.call('PEXPIRE', KEYS[1], ARGV[4])
    """
)

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class _Looker:
    """A process that wants to be told."""

    turn: int
    rows: bool
    until: float = 0.0
    last: Any = None
    """The latest row that it was told."""
    listed: float = -math.inf


class Sight:
    """`tell` and `hear` are tasks; `said` is told what others say to all."""

    def __init__(
        self, client: Client, members: Members, say: Callable[[bytes], Awaitable[None]], now: Callable[[], float]
    ) -> None:
        """`say`: to all others; raises Away. `now`: monotonic seconds."""
        self.seen = Seen()
        self._client, self._members, self._say, self._now = client, members, say, now
        self._here: Shown | None = None
        self._lookers: dict[str, _Looker] = {}
        self._answers: deque[tuple[str, Stopped]] = deque(maxlen=ANSWERS)
        self._busy = asyncio.Event()
        self._wanted = asyncio.Event()
        self._wanted_until = self._rows_until = self._asked = -math.inf
        self._asked_rows = False
        self._turn = 0
        self._last = BEGINNING
        self._heard = asyncio.Event()
        self._stopping: dict[int, dict[str, Moment | None]] = {}
        """By number: what each process answered."""
        self._number = 0
        self._wondered = False

    # whoever looks on

    def keep(self, *, rows: bool = False) -> None:
        """Somebody looks on, for the next seconds; `rows`: also at what ends. Never waits."""
        now = self._now()
        self._wanted_until = now + LEASE
        if rows:
            self._rows_until = now + LEASE
        self._wanted.set()

    async def look(self, *, rows: bool = False) -> None:
        """As `keep`, and waits until all others have told what there is, for a second at most."""
        self.keep(rows=rows)
        if not self._client.up or self._all_told(rows):
            return
        with suppress(Away):
            if (rows and not self._asked_rows) or self._now() - self._asked >= TICK:
                await self._ask()
            await self._until(lambda: self._all_told(rows), GATHER)

    async def stop(self, request_id: str) -> Moment | None:
        """Ends a request of another process: what it was doing, None where nobody has it. Raises Unavailable when that
        cannot be known."""
        if len(request_id) > LONGEST_ID:
            return None
        self.keep()
        self._number += 1
        number = self._number
        answers = self._stopping[number] = {}

        def found() -> bool:
            return any(moment is not None for moment in answers.values())

        def complete() -> bool:
            return self._others() <= answers.keys()

        try:
            await self._say(packed(Stop(number, request_id)))
            await self._until(lambda: found() or complete(), STOPPING)
            if complete():
                await self._until(found, LATE)
        except Away:
            pass  # as if nobody had answered
        finally:
            del self._stopping[number]
        if not found() and not complete():
            raise Unavailable("It is not in flight in this process, and not all others answer.", retry_after=2)
        return next((moment for moment in answers.values() if moment is not None), None)

    # what comes from the others

    def said(self, sender: str, words: Look | Stop, age: float) -> None:
        """Something that was said to all, so many seconds ago."""
        if age > STOPPING:  # heard at a start, or after an outage
            return
        if isinstance(words, Look):
            self._looked(sender, words)
            return
        moment = self._here.stop(words.request_id) if self._here is not None else None
        self._answers.append((sender, Stopped(words.number, moment)))
        self._busy.set()

    def _looked(self, sender: str, look: Look) -> None:
        looker = self._lookers.get(sender)
        if looker is None or (looker.turn, looker.rows) != (look.turn, look.rows):
            if looker is None and len(self._lookers) >= LOOKERS:
                return
            looker = self._lookers[sender] = _Looker(look.turn, look.rows)
            self._busy.set()
        looker.until = self._now() + LEASE

    def _answered(self, sender: str, data: bytes, at: float) -> None:
        words = answer(data)
        if words is None or not 0 < len(sender) <= LONGEST_ID:
            self.wonder(sender)
        elif isinstance(words, Stopped):
            if (answers := self._stopping.get(words.number)) is not None:
                answers[sender] = words.moment
        elif words.turn == self._turn:
            self.seen.hear(sender, words, at)

    def wonder(self, sender: str) -> None:
        """Something that was no message came from there. Logged once."""
        if not self._wondered:
            self._wondered = True
            log.warning("strange_message_ignored", sender=sender[:LONGEST_ID])

    # tasks

    async def tell(self, here: Shown) -> None:
        """Tells those who look what is here. Until cancelled."""
        self._here = here
        while True:
            now = self._now()
            self._lookers = {name: looker for name, looker in self._lookers.items() if looker.until > now}
            if not (self._lookers or self._answers):
                await self._busy.wait()
            self._busy.clear()
            try:
                await self._tell(here)
            except Away:
                await asyncio.sleep(EVERY)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(TICK):
                    await self._busy.wait()

    async def hear(self) -> None:
        """While somebody looks: asks the others, and hears what they tell. Until cancelled."""
        while True:
            if self._now() >= self._wanted_until:
                self.seen.clear()
                self._begin_anew()
                self._wanted.clear()
                await self._wanted.wait()
            try:
                if self._now() - self._asked >= EVERY:
                    await self._ask()
                await self._read()
            except Away:
                self.seen.lose(self._now())
                self._begin_anew()  # messages may be lost, and another Redis numbers them by its own clock
                await asyncio.sleep(EVERY)

    def _begin_anew(self) -> None:
        """What was told so far is left alone, and the others tell their latest rows once more."""
        self._turn += 1
        self._last = BEGINNING

    async def _tell(self, here: Shown) -> None:
        while self._answers:
            await self._send(*self._answers.popleft())
        now = self._now()
        for name, looker in list(self._lookers.items()):
            rows, whole = since(here.ended, looker.last, ROWS) if looker.rows else ([], True)
            listing = now - looker.listed >= EVERY
            if not rows and not listing:
                continue
            moments = here.moments(LISTED) if listing else None
            ended = [shown(row) for row in rows] if looker.rows else None
            await self._send(name, Told(looker.turn, here.total, moments, ended, whole))
            if listing:
                looker.listed = now
            if rows:
                looker.last = rows[-1]

    async def _send(self, name: str, message: Told | Stopped) -> None:
        words = (KEPT, self._members.me, packed(message), LASTS)
        await self._client.run(_TELL, (MINE + name,), words, patience=PATIENCE)

    async def _ask(self) -> None:
        self._asked = now = self._now()
        self._asked_rows = now < self._rows_until
        await self._say(packed(Look(self._turn, self._asked_rows)))

    async def _read(self) -> None:
        words = ("XREAD", "COUNT", AT_ONCE, "BLOCK", int(WAIT * 1000), "STREAMS", MINE + self._members.me, self._last)
        found = await self._client.command(*words, patience=PATIENCE + WAIT)
        time, now = self._members.redis_time(), self._now()
        for id, fields in (entry for _, entries in found or () for entry in entries):
            self._last = id.decode()
            under_way = time - int(self._last.partition("-")[0]) / 1000 if time is not None else 0.0
            sender = fields.get(b"from", b"").decode("utf-8", "replace")
            self._answered(sender, fields.get(b"told", b""), now - max(0.0, under_way))
        self._heard.set()

    def _others(self) -> set[str]:
        return set(self._members.known) - {self._members.me}

    def _all_told(self, rows: bool) -> bool:
        return self._others() <= self.seen.fresh(self._now(), rows=rows)

    async def _until(self, true: Callable[[], bool], seconds: float) -> None:
        """Until it is so, or so many seconds are over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not true():
                    self._heard.clear()
                    await self._heard.wait()
