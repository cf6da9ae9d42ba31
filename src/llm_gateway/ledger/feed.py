"""One source of rows on its way into the database, batch by batch, each row once.

Every batch goes in one transaction with the position behind it. Whether a transaction that failed was committed after
all, the database itself is asked. A batch that it refuses for what is in it is split until the row is alone that
cannot be stored: its neighbours are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple, Protocol

import structlog

from llm_gateway.errors import DatabaseUnavailable
from llm_gateway.ledger.journal import START, Position, Row

BATCH: Final = 10_000
"""Rows of one transaction, where so many wait: it is as large as what came in meanwhile."""

log = structlog.get_logger(__name__)


class Batch(NamedTuple):
    """What one transaction brings in."""

    rows: list[Row]
    """Of `request_log`."""
    tries: list[Row]
    """Of `attempt_log`."""
    payloads: list[Row]
    """Of `payload`."""

    def __bool__(self) -> bool:
        return bool(self.rows or self.payloads)


class Store(Protocol):
    """The database as a feed sees it. Every method raises DatabaseUnavailable when it could not."""

    async def position(self, journal: str) -> Position | None:
        """How far the journal is in the database; None = nothing of it."""

    async def ship(self, journal: str, batch: Batch, position: Position, after: Position | None = None) -> None:
        """The batch, its sums and the position in one transaction; DatabaseUnavailable where the journal is not in as
        far as `after`."""

    async def forget(self, journal: str) -> None:
        """The journal is gone."""


class Step(NamedTuple):
    rows: int
    """That are in the database now."""
    refused: int
    """Rows that never will be."""
    position: Position
    whole: bool = True
    """Are more likely?"""
    again: int = 0
    """Rows that the database has lost (it failed over to one that lacks its last transactions) and gets once more."""


Source = Callable[[Position, int], tuple[Batch, Position]]
"""The next rows behind a position, at most so many, and the position behind what was looked at. Called in a thread."""


Fresh = Callable[[Position, int], tuple[Batch, Position] | None]
"""The same at once, of what is in memory; None = the source has it."""


def _nothing(after: Position, most: int) -> None:
    """Of what is in memory."""


class Feed:
    def __init__(
        self,
        store: Store,
        name: str,
        source: Source,
        after: Position | None = None,
        fresh: Fresh = _nothing,
    ) -> None:
        """`after`: where to begin; None = the database knows."""
        self._store = store
        self._name = name
        self._source = source
        self._fresh = fresh
        self._position = after
        self._unsure: tuple[Position, int] | None = None
        """The end of a transaction of which nobody knows whether it was committed, and the rows in it."""
        self._reached = after or START
        """How far the journal is in the database, as far as this one knows."""
        self._most = BATCH

    async def step(self) -> Step | None:
        """Ships the next batch; None = there is nothing more. After DatabaseUnavailable and OSError (the source cannot
        be read) it may be called again."""
        if self._position is None and (step := await self._asked()) is not None:
            return step
        before = self._position or START
        found = self._fresh(before, self._most)
        batch, end = found if found is not None else await asyncio.to_thread(self._source, before, self._most)
        if end == before:
            return None
        size = len(batch.rows) + len(batch.payloads)
        refused = 0
        if batch:
            self._unsure, self._position = (end, len(batch.rows)), None
            try:
                await self._store.ship(self._name, batch, end, self._reached)
            except DatabaseUnavailable:
                raise
            except Exception as error:  # the outermost edge: one row must not stop all that come after it
                if size > 1:
                    self._position, self._most = before, max(1, size // 2)
                    return Step(0, 0, before)
                refused = await self._without(batch, end, error)
            self._unsure = None
            self._reached = end
            self._most = min(BATCH, 2 * self._most)
        self._position = end
        return Step(len(batch.rows) - refused, refused, end, whole=size >= self._most // 2)

    async def _asked(self) -> Step | None:
        """How far the database says that it is. A step where that is not where it was."""
        self._position = found = await self._store.position(self._name) or START
        if self._unsure is not None and self._unsure[0] == found:
            (self._reached, rows), self._unsure = self._unsure, None
            return Step(rows, 0, found)
        before, self._reached = self._reached, found
        if found < before:
            again = await asyncio.to_thread(self._between, found, before)
            log.warning("database_lost_rows", journal=self._name, rows_shipped_again=again)
            return Step(0, 0, found, again=again)
        return None

    def _between(self, found: Position, end: Position) -> int:
        rows = 0
        while found < end:
            batch, after = self._source(found, 1)
            if after == found:
                break
            rows, found = rows + len(batch.rows), after
        return rows

    async def _without(self, batch: Batch, end: Position, error: Exception) -> int:
        """Of one row that cannot be stored: stores it without its attempts, where that helps. Returns how many rows
        are lost: none while the database does not even take a transaction without any."""
        reason: dict[str, Any] = {"reason": f"{type(error).__name__}: {error}"[:500]}
        named = {"request_id": batch.rows[0].get("id"), **reason} if batch.rows else reason
        if batch.tries:
            try:
                await self._store.ship(self._name, batch._replace(tries=[]), end, self._reached)
            except DatabaseUnavailable:
                raise
            except Exception as again:  # the outermost edge, as above
                named["reason_without_attempts"] = f"{type(again).__name__}: {again}"[:500]
            else:
                log.error("attempts_dropped", **named)
                return 0
        await self._store.ship(self._name, Batch([], [], []), end, self._reached)
        if not batch.rows:
            log.error("payload_dropped", **named)
            return 0
        log.error("log_rows_dropped", rows=1, **named)
        return 1
