"""Housekeeping: what is too old is deleted, erasures that nobody finished are finished, journals let go of segments.

A batch is small enough to take a tenth of a second at most, and then the others have their turn: rows that arrive
meanwhile wait no longer than that. One process at a time deletes; the others find that somebody is at it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.clock import Clock
from llm_gateway.errors import DatabaseUnavailable
from llm_gateway.ledger.erasing import erase
from llm_gateway.ledger.ledger import Ledger
from llm_gateway.storage import erasures, retention
from llm_gateway.storage.retention import Cutoffs
from llm_gateway.storage.sessions import Sessions

LOOK: Final = 60.0
"""Seconds between looks at whether something was erased, and until the first round."""
ROUND: Final = 3600.0
"""Seconds between rounds of deleting, and for which a journal's segment may hold what was shipped."""
MOST, FIRST, LEAST = 1000, 200, 50
"""Rows of a batch."""
LONGEST = 0.1
"""Seconds that a batch may take: the next is half as large when one took longer, and larger when it took a third."""
REST = 1.0
"""Times that a batch took are waited before the next one."""
DAY: Final = 86_400.0

Step = Callable[[AsyncSession, Cutoffs, int], Awaitable[int]]
STEPS: Final[dict[str, Step]] = {
    "payloads": retention.prune_payloads,
    "requests": retention.prune_requests,
    "minutes": retention.prune_minutes,
    "audit": retention.prune_audit,
}

log = structlog.get_logger(__name__)


def cutoffs(now: float, request_days: float, minute_days: float, audit_days: float) -> Cutoffs:
    """`now` is Unix seconds."""
    return Cutoffs(now, now - request_days * DAY, now - minute_days * DAY, now - audit_days * DAY)


async def prune(sessions: Sessions, old: Cutoffs) -> dict[str, int]:
    """Deletes what is too old; returns how much of each. Raises DatabaseUnavailable."""
    deleted = dict.fromkeys(STEPS, 0)
    for name, step in STEPS.items():
        limit = FIRST
        while True:
            began = time.monotonic()
            async with sessions.write() as s:
                if not await retention.claim(s):
                    return deleted
                count = await step(s, old, limit)
            took = time.monotonic() - began
            deleted[name] += count
            if count < limit:
                break
            if took > LONGEST:
                limit = max(LEAST, limit // 2)
            elif took < LONGEST / 3:
                limit = min(MOST, limit + LEAST)
            await asyncio.sleep(REST * took)
    return deleted


class Housekeeping:
    """`run` is one task, until cancelled."""

    def __init__(
        self,
        sessions: Sessions,
        ledger: Ledger,
        clock: Clock,
        *,
        request_days: float,
        minute_days: float,
        audit_days: float,
    ) -> None:
        self._sessions = sessions
        self._ledger = ledger
        self._clock = clock
        self._request_days = request_days
        self._minute_days = minute_days
        self._audit_days = audit_days
        self._erased_at = 0.0
        """Of the newest erasure that the journal has let go for."""
        self._round_at = clock.now() + LOOK

    async def run(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            try:
                await self.look()
                if self._clock.now() >= self._round_at:
                    await self.round()
                    self._round_at = self._clock.now() + ROUND
            except DatabaseUnavailable as error:
                log.warning("housekeeping_waits", error=error.message)
            except Exception:  # the outermost edge: the next round may do better
                log.exception("housekeeping_failed")

    async def look(self) -> None:
        """Lets the journal's segment go when another process has erased something that may be in it."""
        async with self._sessions.read() as s:
            newest = await erasures.latest(s)
        if newest > self._erased_at:
            self._erased_at = newest
            self._ledger.roll()

    async def round(self) -> None:
        self._ledger.roll()
        old = cutoffs(self._clock.wall(), self._request_days, self._minute_days, self._audit_days)
        deleted = await prune(self._sessions, old)
        if any(deleted.values()):
            log.info("old_rows_deleted", **deleted)
        async with self._sessions.write() as s:
            begun = await erasures.list_erasures(s, unfinished=True)
            await erasures.forget_before(s, self._clock.wall() - self._request_days * DAY)
        left = [one for one in begun if one.erased_at < self._clock.wall() - ROUND]  # others may still be under way
        for one in left:
            async for rows, _ in erase(self._sessions, one, self._ledger.roll, scrubs=one is left[-1]):
                log.info("erasure_goes_on", erasure=one.id, rows=rows)
