"""Brings closed entries to the database in batches, off the request's path.

A database that is down or slow is invisible to clients: rows wait here, in order and bounded, and are sent again
until they are in. A row id is sent at most once into the table (`ON CONFLICT DO NOTHING`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import structlog

from llm_gateway.errors import DatabaseUnavailable

Row = dict[str, Any]

BATCH = 500
"""Rows of one insert."""
PAUSE = 0.25
"""Seconds between batches: a finished request is in the database well within two seconds."""
BOUND = 100_000
"""Rows kept while the database is away (about 100 MB); past it the oldest are dropped and counted."""
BACKOFF = (0.5, 1.0, 2.0, 5.0)

log = structlog.get_logger(__name__)


class Shipper:
    """`put` never waits; `run` is one task that ends after a last flush."""

    def __init__(self, insert: Callable[[Sequence[Row]], Awaitable[int]]) -> None:
        """`insert` writes one batch in one transaction and raises DatabaseUnavailable when it could not."""
        self._insert = insert
        self._waiting: deque[Row] = deque()
        self._wake = asyncio.Event()
        self._stopping = False
        self.dropped = 0
        self.shipped = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, row: Row) -> None:
        if len(self._waiting) >= BOUND:
            self._waiting.popleft()
            self.dropped += 1
        self._waiting.append(row)
        self._wake.set()

    async def run(self) -> None:
        failures = 0
        while True:
            if not self._waiting:
                if self._stopping:
                    return
                self._wake.clear()
                await self._wake.wait()
                continue
            batch = [self._waiting[i] for i in range(min(BATCH, len(self._waiting)))]
            try:
                await self._insert(batch)
            except DatabaseUnavailable as error:
                log.warning("log_rows_wait", waiting=len(self._waiting), error=error.message)
                if self._stopping and failures >= len(BACKOFF):
                    log.error("log_rows_lost", rows=len(self._waiting))
                    return
                await asyncio.sleep(BACKOFF[min(failures, len(BACKOFF) - 1)])
                failures += 1
                continue
            except Exception:  # the outermost edge: a bug must not stop every later row
                log.exception("log_rows_dropped", rows=len(batch))
                self.dropped += len(batch)
            else:
                self.shipped += len(batch)
            failures = 0
            for row in batch:
                if self._waiting and self._waiting[0] is row:  # not when the bound dropped it meanwhile
                    self._waiting.popleft()
            if len(self._waiting) < BATCH and not self._stopping:
                await self._pause()

    async def _pause(self) -> None:
        """Lets rows gather; a stop ends it."""
        for _ in range(5):
            if self._stopping:
                return
            await asyncio.sleep(PAUSE / 5)

    async def stop(self, task: asyncio.Task[None], grace: float = 10.0) -> None:
        """Flushes what waits, then ends `task`."""
        self._stopping = True
        self._wake.set()
        await asyncio.wait((task,), timeout=grace)
        task.cancel()
        await asyncio.wait((task,))
