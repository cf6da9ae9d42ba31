"""Where requests are written down: into the journal at once, from there into the database.

When the disk is full the journal gives up its ballast first. A request that it cannot take all the same (disk full,
unwritable) is served by default and counted as a dropped row; in strict mode it is refused before anything is asked
upstream.
"""

from __future__ import annotations

import asyncio
import errno
import time
from collections.abc import Callable, Sequence
from uuid import UUID

import structlog

from llm_gateway.errors import LogUnavailable
from llm_gateway.ledger.ballast import Ballast
from llm_gateway.ledger.feed import Batch
from llm_gateway.ledger.fresh import Fresh
from llm_gateway.ledger.journal import (
    CLOSE,
    OPEN,
    PAYLOAD,
    START,
    Journal,
    Position,
    Row,
    remove,
    segment_path,
    segments,
)

MOST_SEGMENTS = 128
"""Segments that wait for a database that is away: 1 GiB, some millions of rows. Past it rows are dropped."""
MOST_SEGMENTS_WITH_PAYLOADS = MOST_SEGMENTS // 2
"""Segments that wait, past which payloads are dropped: they must not take the place of rows."""
SYNC = 0.2
"""Seconds between group syncs: what a power cut may cost."""
AGAIN = 30.0
"""Seconds between two looks whether there is room for the ballast again."""
RETRY = 5.0
"""Seconds after which a client asks again that was refused because the log cannot be written."""
_FULL = (errno.ENOSPC, errno.EDQUOT)

log = structlog.get_logger(__name__)


class Ledger:
    """The book of this process. `opened` and `closed` never wait."""

    def __init__(
        self,
        journal: Journal,
        *,
        strict: bool = False,
        ballast: Ballast | None = None,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        """`wake` is called when there is a row to ship, once until `told` is taken back."""
        self.journal = journal
        self.wake = wake
        self.dropped = 0
        """Rows that never will be in the database."""
        self.rows = 0
        """Rows in the journal that are in the database, or will be; those that it lost and gets again count twice."""
        self.in_database = 0
        """Of these, the ones that are in the database."""
        self.repeated = 0
        """Rows that the database had already when they came: never, if all is well."""
        self.troubled = False
        """Could the journal not be written when it was tried last?"""
        self.stuck = False
        """Does the database take no rows?"""
        self._strict = strict
        self._ballast = ballast
        self.told = False
        """Has `wake` been called since whoever ships looked last? It is not called again then."""
        self._open: dict[int, int] = {}
        """Requests under way, by the number that their id is -> the segment of their open record."""
        self._opens: dict[int, int] = {}
        """Segment -> requests under way whose open record is there."""
        self._fresh = Fresh()
        self._oldest = 1
        self._shipped = START

    def opened(self, id: UUID, row: Row) -> None:
        """Before the first upstream attempt. Raises LogUnavailable in strict mode."""
        if not self._written(OPEN, id, row):
            if self._strict:
                raise LogUnavailable(
                    "The request log cannot be written, so no request is served. Ask again in a moment.",
                    retry_after=RETRY,
                )
            return
        segment = self.journal.segment
        self._open[id.int] = segment
        self._opens[segment] = self._opens.get(segment, 0) + 1

    def closed(self, id: UUID, row: Row, tries: Sequence[Row] = ()) -> None:
        """Before the last bytes of the answer leave. One that is open in the journal has its place there: it would be
        held for crashed otherwise. Nobody changes the row from then on."""
        segment = self._open.pop(id.int, None)
        if self._written(CLOSE, id, row, tries, segment is None):
            self.rows += 1
            if not self.told:
                self.told = True
                self.wake()
        else:
            self.dropped += 1
        if segment is not None:
            left = self._opens.pop(segment) - 1
            if left:
                self._opens[segment] = left

    def kept(self, id: UUID, payload: Row) -> bool:
        """What was said, of a request that is closed. Best effort: False = the journal cannot take it, it is gone."""
        if self.journal.segment - self._oldest >= MOST_SEGMENTS_WITH_PAYLOADS:
            return False
        if not self._written(PAYLOAD, id, payload):
            return False
        if not self.told:
            self.told = True
            self.wake()
        return True

    def fresh(self, after: Position, most: int) -> tuple[Batch, Position] | None:
        """The next rows behind a position, and the position behind them, where they are in memory."""
        return self._fresh.batch(after, most, self.journal.position)

    @property
    def waiting(self) -> int:
        """Rows that are in the journal only."""
        return self.rows - self.in_database

    def refused(self) -> None:
        """The database cannot hold a row of the journal."""
        self.rows -= 1
        self.dropped += 1

    def shipped(self, rows: int, position: Position) -> None:
        """So many more rows, up to `position`, are in the database: segments that nothing needs any more go."""
        self.in_database += rows
        self._shipped = position
        self._tidy()

    def roll(self) -> None:
        """What is written from here on goes into another segment: this one is removed as soon as it was shipped, so
        that nothing stays in it for longer than in the database."""
        self.journal.roll()
        self._tidy()

    def _tidy(self) -> None:
        over = self.journal.rolled and self._shipped == self.journal.position
        keep = min([self._shipped.segment + over, *self._opens])
        while self._oldest < keep:
            try:
                segment_path(self.journal.directory, self._oldest).unlink(missing_ok=True)
            except OSError as error:  # it is in the database: whoever finds it later skips it
                log.warning("journal_segment_stays", segment=self._oldest, error=str(error))
            self._oldest += 1

    def doubled(self, rows: int) -> None:
        self.repeated += rows

    def end(self, *, empty: bool) -> None:
        """The process ends. `empty`: everything is in the database, so nothing needs to be found by the next one.
        Raises nothing."""
        try:
            if empty:
                remove(self.journal.directory)  # while its lock is held: nobody takes it for an abandoned one
            self.journal.end(removed=empty)
        except OSError as error:
            log.warning("journal_not_ended", error=str(error))

    async def sync(self) -> None:
        """Until cancelled: brings what was written to the disk itself, a group at a time, and sees to the ballast."""
        looked = -AGAIN
        while True:
            if self._ballast is not None and time.monotonic() - looked >= AGAIN:
                await asyncio.to_thread(self._ballast.make)
                looked = time.monotonic()
            await asyncio.sleep(SYNC)
            try:
                await asyncio.to_thread(self.journal.sync)
            except OSError as error:
                self._trouble(error)

    def _written(self, kind: int, id: UUID, row: Row, tries: Sequence[Row] = (), bounded: bool = True) -> bool:
        """Writes one record. On a full disk the ballast makes room for it."""
        journal = self.journal
        try:
            if bounded and journal.segment - self._oldest >= MOST_SEGMENTS:
                raise OSError(f"{len(segments(journal.directory))} segments wait for the database")
            try:
                size = journal.write(kind, id, row, tries)
            except OSError as error:
                if error.errno not in _FULL or self._ballast is None or not self._ballast.give_up():
                    raise
                log.error("disk_full", freed=str(self._ballast.path))
                size = journal.write(kind, id, row, tries)
        except OSError as error:
            self._trouble(error)
            return False
        if kind != OPEN:
            self._fresh.put(journal.segment, journal.offset, size, kind, row, tries)
        if self.troubled:
            self.troubled = False
            log.info("journal_back", log_rows_dropped=self.dropped)
        return True

    def _trouble(self, error: OSError) -> None:
        if not self.troubled:
            log.error("journal_unavailable", error=str(error), strict=self._strict, log_rows_dropped=self.dropped)
        self.troubled = True
