"""The database as a feed's `Store`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.errors import DatabaseUnavailable
from llm_gateway.ledger.feed import Batch
from llm_gateway.ledger.journal import START, Position
from llm_gateway.storage import attempts, erasures, journals, payloads, records, requests, rollups
from llm_gateway.storage.faults import lacks_column
from llm_gateway.storage.sessions import Sessions


class DatabaseStore:
    def __init__(self, sessions: Sessions, repeated: Callable[[int], None] = lambda _: None) -> None:
        """`repeated` hears of rows that were in the database already, which should never be."""
        self._sessions = sessions
        self._repeated = repeated

    async def position(self, journal: str) -> Position | None:
        async with self._sessions.read() as s:
            found = await journals.get_position(s, journal)
        return Position(*found) if found is not None else None

    async def ship(self, journal: str, batch: Batch, position: Position, after: Position | None = None) -> None:
        try:
            await self._ship(journal, batch, position, after)
        except DBAPIError as error:
            if lacks_column(error):  # as after a restored backup: the rows wait, and no row is to blame
                raise DatabaseUnavailable(f"The database's tables are not this version's: {error.orig}.") from error
            raise

    async def _ship(self, journal: str, batch: Batch, position: Position, after: Position | None) -> None:
        async with self._sessions.write() as s:
            if after is None:
                await journals.set_position(s, journal, *position)
            elif not await journals.move_position(s, journal, None if after == START else after, position):
                raise DatabaseUnavailable(
                    "The database has lost rows that it had confirmed, or another process brings in the same ones."
                )
            spared = await _spared(s, batch)
            sums: rollups.Sums = {}
            new = await requests.insert(s, _counted(records.parts(spared.rows), sums))
            if repeated := len(spared.rows) - len(new):
                sums = await rollups.summed(new)
            await attempts.insert_rows(s, spared.tries)
            await payloads.insert_payloads(s, spared.payloads)
            await rollups.add(s, sums)  # late: other processes that add to the same sums wait from here on
        if repeated:
            self._repeated(repeated)

    async def forget(self, journal: str) -> None:
        async with self._sessions.write() as s:
            await journals.forget(s, journal)


async def _counted(parts: AsyncIterator[records.Records], sums: rollups.Sums) -> AsyncIterator[records.Records]:
    async for part in parts:
        yield part
        rollups.count(sums, part)  # the database is at work on it meanwhile


async def _spared(s: AsyncSession, batch: Batch) -> Batch:
    """The batch without what was erased while it was in a journal."""
    oldest = min((row["timestamp"] for row in (*batch.rows, *batch.payloads)), default=0.0)
    erased = await erasures.erased(s, oldest)
    if erased is None:
        return batch
    rows = [row for row in batch.rows if not erased(row)]
    kept = {row["id"] for row in rows}
    tries = [row for row in batch.tries if row["request_id"] in kept]
    return Batch(rows, tries, [row for row in batch.payloads if not erased(row)])
