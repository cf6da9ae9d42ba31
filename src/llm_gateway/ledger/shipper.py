"""Brings closed rows from journals into the database: this process's while it serves, those of dead ones at start.

One transaction holds a batch of rows, what they add to the sums, and the position in the journal behind them: after
any failure the position in the database says what is in, so nothing is lost and nothing counted twice. A database
that is down or slow is invisible to clients: rows wait in the journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final

import structlog

from llm_gateway.errors import DatabaseUnavailable
from llm_gateway.ledger.feed import BATCH, Batch, Feed, Store
from llm_gateway.ledger.journal import (
    CLOSE,
    PAYLOAD,
    START,
    Adopted,
    Position,
    Row,
    Unclosed,
    abandoned,
    read,
    segments,
    sweep,
)
from llm_gateway.ledger.ledger import Ledger

__all__ = ["BATCH", "Batch", "Shipper", "Store"]

SCAN: Final = 3 * BATCH
"""Records looked at for one batch."""
BYTES: Final = 16 * 2**20
"""Of the journal that are read for one; a single record may exceed it."""
PAUSE: Final = 0.25
"""Seconds between batches: a finished request is in the database well within two seconds."""
BACKOFF = (0.5, 1.0, 2.0, 3.0)
"""Seconds between tries, so that rows arrive well within ten seconds of the database's return."""
LOOK: Final = 2.0
"""Seconds between two looks for journals of processes that were killed."""
FAREWELL: Final = 2.0
"""Seconds for what only tidies up at the end."""
AWAY: Final = (DatabaseUnavailable, OSError)
"""The database, or the disk."""
CRASHED: Final = ".open"
"""Ends the name under which the requests that a dead process left open have a position of their own."""

log = structlog.get_logger(__name__)


class Shipper:
    """`run` is one task that ends after a last flush; `recover` another, which ends when nothing is left over, or
    `look_after`, which does not."""

    def __init__(self, ledger: Ledger, store: Store) -> None:
        self._ledger = ledger
        self._store = store
        self._wake = asyncio.Event()
        self._stopping = False
        self._flushed = False
        ledger.wake = self._wake.set

    async def run(self) -> None:
        directory = self._ledger.journal.directory
        feed = Feed(self._store, directory.name, from_disk(directory), START, self._ledger.fresh)
        failures = 0
        while True:
            self._wake.clear()
            self._ledger.told = False
            try:
                step = await feed.step()
            except Exception as error:  # the outermost edge: without this task no row ever arrives
                failures += 1
                self._ledger.stuck = True
                told = {"rows": self._ledger.waiting, "error": str(error), "exc_info": not isinstance(error, AWAY)}
                if self._stopping and failures > 1:
                    log.warning("log_rows_left_in_the_journal", **told)
                    return
                log.warning("log_rows_wait", **told)
                await asyncio.sleep(BACKOFF[min(failures, len(BACKOFF)) - 1])
                continue
            failures, self._ledger.stuck = 0, False
            if step is None:
                if self._stopping:
                    self._flushed = True
                    return
                await self._wake.wait()
                continue
            for _ in range(step.refused):
                self._ledger.refused()
            self._ledger.rows += step.again
            self._ledger.shipped(step.rows, step.position)
            if not step.whole and not self._stopping:
                await self._pause()

    async def recover(self, root: Path) -> None:
        """Ships what processes that are gone have left under `root`; requests that they left open are closed as
        `gateway_crashed`, and come first. Ends when nothing is left over; a database that is away is waited for. A
        journal that cannot be read stays where it is."""
        for directory in await asyncio.to_thread(_left_under, root):
            journal = Adopted(directory)
            try:
                with journal as mine:
                    if mine and directory.is_dir():  # else the one who recovered it has just removed it
                        failures = 0
                        while not await self._recovered(journal, failures):
                            failures += 1
            except OSError as error:  # it cannot be locked
                log.error("journal_not_recovered", journal=directory.name, error=str(error))

    async def look_after(self, root: Path) -> None:
        """As `recover`, again and again until cancelled: where several processes share a directory, one that was killed
        has its open requests closed by the others within seconds."""
        while True:
            await self.recover(root)
            await asyncio.sleep(LOOK)

    async def _recovered(self, journal: Adopted, failures: int) -> bool:
        directory = journal.directory
        name = directory.name
        try:
            crashed = await self._crashed(directory)
            ended = await self._all(Feed(self._store, name + CRASHED, lambda after, most: _part(crashed, after, most)))
            count = await self._all(Feed(self._store, name, from_disk(directory)))
            await asyncio.to_thread(journal.remove)
            await self._store.forget(name)
            await self._store.forget(name + CRASHED)
        except AWAY as error:
            log.warning("journal_waits", journal=name, error=str(error))
            await asyncio.sleep(BACKOFF[min(failures, len(BACKOFF) - 1)])
            return False
        except Exception:  # the outermost edge: other journals are there as well
            log.exception("journal_not_recovered", journal=name)
            return True
        log.info("journal_recovered", journal=name, rows=count, crashed=ended)
        return True

    async def _crashed(self, directory: Path) -> list[Row]:
        """The rows of the requests that were open. A segment at a time, so that others get to run."""
        open = Unclosed()
        for segment in await asyncio.to_thread(segments, directory):
            await asyncio.to_thread(open.look, directory, segment)
        return [_crashed(row) for row in open.rows]

    async def _all(self, feed: Feed) -> int:
        """Returns how many rows are new in the database."""
        count = 0
        while (step := await feed.step()) is not None:
            count += step.rows
            self._ledger.dropped += step.refused
        return count

    async def _pause(self) -> None:
        """Lets rows gather; a stop ends it."""
        for _ in range(5):
            if self._stopping:
                return
            await asyncio.sleep(PAUSE / 5)

    async def stop(self, task: asyncio.Task[None], grace: float = 10.0) -> None:
        """Flushes what waits, then ends `task` and the journal. What could not be shipped stays in the journal for the
        next start."""
        self._stopping = True
        self._wake.set()
        await asyncio.wait((task,), timeout=grace)
        task.cancel()
        await asyncio.wait((task,), timeout=FAREWELL)
        self._ledger.end(empty=self._flushed)
        if self._flushed:
            with suppress(DatabaseUnavailable, TimeoutError):
                async with asyncio.timeout(FAREWELL):
                    await self._store.forget(self._ledger.journal.directory.name)


def _left_under(root: Path) -> list[Path]:
    try:
        sweep(root)
        return abandoned(root)
    except OSError as error:  # it cannot be read or locked: the next start looks again
        log.error("journals_not_recovered", error=str(error))
        return []


def from_disk(directory: Path) -> Callable[[Position, int], tuple[Batch, Position]]:
    """A journal as a feed's source."""

    def source(after: Position, most: int) -> tuple[Batch, Position]:
        batch, size = Batch([], [], []), 0
        for record in islice(read(directory, after), SCAN):
            size += record.end.offset - (after.offset if record.end.segment == after.segment else 0)
            after = record.end
            if record.kind == CLOSE:
                batch.tries.extend(record.tries)
                batch.rows.append(record.row)
            elif record.kind == PAYLOAD:
                batch.payloads.append(record.row)
            if len(batch.rows) + len(batch.payloads) == most or size >= BYTES:
                break
        return batch, after

    return source


def _part(rows: list[Row], after: Position, most: int) -> tuple[Batch, Position]:
    """A list as a feed's source."""
    part = rows[after.offset : after.offset + most]
    return Batch(part, [], []), Position(0, after.offset + len(part))


def _crashed(row: Row) -> Row:
    return row | {"latency_ms": 0.0, "outcome": "gateway_crashed", "status": 500, "error_code": "gateway_crashed"}
