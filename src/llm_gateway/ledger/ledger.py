"""Where requests are written down: into the journal at once, from there into the database.

A request that the journal cannot take (disk full, unwritable) is served all the same by default and counted as a
dropped row; in strict mode it is refused before anything is asked upstream.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from uuid import UUID

import structlog

from llm_gateway.errors import LogUnavailable
from llm_gateway.ledger.journal import START, Journal, Position, Row, remove, segment_path, segments

MOST_SEGMENTS = 128
"""Segments that wait for a database that is away: 1 GiB, some millions of rows. Past it rows are dropped."""
MOST_SEGMENTS_WITH_PAYLOADS = MOST_SEGMENTS // 2
"""Segments that wait, past which payloads are dropped: they must not take the place of rows."""
SYNC = 0.2
"""Seconds between group syncs: what a power cut may cost."""

log = structlog.get_logger(__name__)


class Ledger:
    """The book of this process. `opened` and `closed` never wait."""

    def __init__(self, journal: Journal, *, strict: bool = False, wake: Callable[[], None] = lambda: None) -> None:
        """`wake` is called when there is a row to ship."""
        self.journal = journal
        self.wake = wake
        self.dropped = 0
        """Rows that are not in the journal and never will be in the database."""
        self.rows = 0
        """Rows written to the journal."""
        self.in_database = 0
        """Of these, the ones that are in the database."""
        self.repeated = 0
        """Rows that the database had already when they came: never, if all is well."""
        self._strict = strict
        self._open: dict[UUID, int] = {}
        """Requests under way -> the segment of their open record."""
        self._opens: Counter[int] = Counter()
        self._oldest = 1
        self._shipped = START
        self._troubled = False

    def opened(self, id: UUID, row: Row) -> None:
        """Before the first upstream attempt. Raises LogUnavailable in strict mode."""
        try:
            self._room()
            self.journal.opened(id, row)
        except OSError as error:
            self._trouble(error)
            if self._strict:
                raise LogUnavailable("The request log cannot be written, so no request is served.") from error
            return
        segment = self.journal.position.segment
        self._open[id] = segment
        self._opens[segment] += 1

    def closed(self, id: UUID, row: Row) -> None:
        """Before the last bytes of the answer leave."""
        segment = self._open.pop(id, None)
        try:
            self._room()
            self.journal.closed(id, row)
        except OSError as error:
            self._trouble(error)
            self.dropped += 1
        else:
            self.rows += 1
            self._troubled = False
            self.wake()
        if segment is not None:
            self._opens[segment] -= 1
            if not self._opens[segment]:
                del self._opens[segment]

    def kept(self, id: UUID, payload: Row) -> bool:
        """What was said, of a request that is closed. Best effort: False = the journal cannot take it, it is gone."""
        if self.journal.position.segment - self._oldest >= MOST_SEGMENTS_WITH_PAYLOADS:
            return False
        try:
            self.journal.kept(id, payload)
        except OSError as error:
            self._trouble(error)
            return False
        self.wake()
        return True

    @property
    def waiting(self) -> int:
        """Rows that are in the journal only."""
        return self.rows - self.in_database

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
            segment_path(self.journal.directory, self._oldest).unlink(missing_ok=True)
            self._oldest += 1

    def doubled(self, rows: int) -> None:
        self.repeated += rows

    def end(self, *, empty: bool) -> None:
        """The process ends. `empty`: everything is in the database, so nothing needs to be found by the next one."""
        if empty:
            remove(self.journal.directory)
        self.journal.end()

    async def sync(self) -> None:
        """Until cancelled: brings what was written to the disk itself, a group at a time."""
        while True:
            await asyncio.sleep(SYNC)
            try:
                await asyncio.to_thread(self.journal.sync)
            except OSError as error:
                self._trouble(error)

    def _room(self) -> None:
        if self.journal.position.segment - self._oldest >= MOST_SEGMENTS:
            raise OSError(f"{len(segments(self.journal.directory))} segments wait for the database")

    def _trouble(self, error: OSError) -> None:
        if not self._troubled:
            log.error("journal_unavailable", error=str(error), strict=self._strict)
        self._troubled = True
