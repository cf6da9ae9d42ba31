"""Brings closed rows from journals into the database: this process's while it serves, those of dead ones at start.

One transaction holds a batch of rows, what they add to the sums, and the position in the journal behind them: after
any failure the position in the database says what is in, so nothing is lost and nothing counted twice. A database
that is down or slow is invisible to clients: rows wait in the journal.
"""

from __future__ import annotations

import asyncio
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple, Protocol
from uuid import UUID

import structlog

from llm_gateway.errors import DatabaseUnavailable
from llm_gateway.ledger.journal import CLOSE, OPEN, PAYLOAD, START, Adopted, Position, Row, abandoned, read
from llm_gateway.ledger.ledger import Ledger

BATCH: Final = 10_000
"""Rows of one transaction, where so many wait: it is as large as what came in meanwhile."""
SCAN: Final = 3 * BATCH
"""Records looked at for one."""
BYTES: Final = 16 * 2**20
"""Of the journal that are read for one; a single record may exceed it."""
PAUSE: Final = 0.25
"""Seconds between batches: a finished request is in the database well within two seconds."""
BACKOFF = (0.5, 1.0, 2.0, 5.0)

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
    """The database as the shipper sees it. Every method raises DatabaseUnavailable when it could not."""

    async def position(self, journal: str) -> Position | None:
        """How far the journal is in the database; None = nothing of it."""

    async def ship(self, journal: str, batch: Batch, position: Position) -> None:
        """The batch, its sums and the position in one transaction."""

    async def forget(self, journal: str) -> None:
        """The journal is gone."""


class Shipper:
    """`run` is one task that ends after a last flush; `recover` another, which ends when nothing is left over."""

    def __init__(self, ledger: Ledger, store: Store) -> None:
        self._ledger = ledger
        self._store = store
        self._wake = asyncio.Event()
        self._stopping = False
        ledger.wake = self._wake.set

    async def run(self) -> None:
        journal = self._ledger.journal
        position, failures, most = START, 0, BATCH
        while True:
            self._wake.clear()
            batch, end = await asyncio.to_thread(_next, journal.directory, position, most)
            if end == position:
                if self._stopping:
                    await self._store.forget(journal.directory.name)
                    return
                await self._wake.wait()
                continue
            try:
                if failures:  # did the transaction that failed commit after all?
                    position, failures = await self._store.position(journal.directory.name) or START, 0
                    continue
                if batch:
                    await self._store.ship(journal.directory.name, batch, end)
            except DatabaseUnavailable as error:
                failures += 1
                if self._stopping and failures > 1:
                    log.warning("log_rows_left_in_the_journal", rows=self._ledger.waiting, error=error.message)
                    return
                log.warning("log_rows_wait", rows=self._ledger.waiting, error=error.message)
                await asyncio.sleep(BACKOFF[min(failures, len(BACKOFF)) - 1])
                continue
            except Exception:  # the outermost edge: a bug must not stop every later row
                if len(batch.rows) > 1:  # nor take those around it along
                    most = len(batch.rows) // 2
                    continue
                log.exception("log_rows_dropped", rows=len(batch.rows))
                self._ledger.dropped += len(batch.rows)
            position, most = end, min(BATCH, 2 * most)
            self._ledger.shipped(len(batch.rows), end)
            if len(batch.rows) < most and not self._stopping:
                await self._pause()

    async def recover(self, root: Path) -> None:
        """Ships what processes that are gone have left under `root`; requests that they left open are closed as
        `gateway_crashed`. Ends when nothing is left over; a database that is away is waited for."""
        for directory in await asyncio.to_thread(abandoned, root):
            journal = Adopted(directory)
            with journal as mine:
                if mine:
                    failures = 0
                    while not await self._recovered(journal, failures):
                        failures += 1

    async def _recovered(self, journal: Adopted, failures: int) -> bool:
        name = journal.directory.name
        try:
            position = await self._store.position(name) or START
            crashed, whole = await asyncio.to_thread(_left_open, journal.directory)
            count = 0
            while True:
                batch, end = await asyncio.to_thread(_next, journal.directory, position)
                if end == position:
                    break
                if batch:
                    await self._store.ship(name, batch, end)
                position, count = end, count + len(batch.rows)
            if crashed and position < (done := Position(whole.segment + 1, 0)):
                ended = Batch([_crashed(row) for row in crashed], [], [])
                await self._store.ship(name, ended, done)
            await asyncio.to_thread(journal.remove)
            await self._store.forget(name)
        except DatabaseUnavailable as error:
            log.warning("journal_waits", journal=name, error=error.message)
            await asyncio.sleep(BACKOFF[min(failures, len(BACKOFF) - 1)])
            return False
        log.info("journal_recovered", journal=name, rows=count, crashed=len(crashed))
        return True

    async def _pause(self) -> None:
        """Lets rows gather; a stop ends it."""
        for _ in range(5):
            if self._stopping:
                return
            await asyncio.sleep(PAUSE / 5)

    async def stop(self, task: asyncio.Task[None], grace: float = 10.0) -> None:
        """Flushes what waits, then ends `task`. What could not be shipped stays in the journal for the next start."""
        self._stopping = True
        self._wake.set()
        await asyncio.wait((task,), timeout=grace)
        task.cancel()
        await asyncio.wait((task,))


def _next(directory: Path, after: Position, most: int = BATCH) -> tuple[Batch, Position]:
    """The next rows, and the position behind the last record that was looked at. Reads files: in a thread."""
    batch, size = Batch([], [], []), 0
    for record in islice(read(directory, after), SCAN):
        size += record.end.offset - (after.offset if record.end.segment == after.segment else 0)
        after = record.end
        if record.kind == CLOSE:
            batch.tries.extend(record.row.pop("tries", ()))
            batch.rows.append(record.row)
        elif record.kind == PAYLOAD:
            batch.payloads.append(record.row)
        if len(batch.rows) == most or size >= BYTES:
            break
    return batch, after


def _left_open(directory: Path) -> tuple[list[Row], Position]:
    """Of requests that never ended, and the position behind the last record. Reads everything: in a thread."""
    open: dict[UUID, Row] = {}
    whole = START
    for record in read(directory):
        if record.kind == OPEN:
            open[record.id] = record.row
        else:
            open.pop(record.id, None)
        whole = record.end
    return list(open.values()), whole


def _crashed(row: Row) -> Row:
    return row | {"outcome": "gateway_crashed", "status": 500, "error_code": "gateway_crashed"}
