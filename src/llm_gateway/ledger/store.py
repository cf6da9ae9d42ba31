"""The database as the shipper's `Store`."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.ledger.journal import Position
from llm_gateway.ledger.shipper import Batch
from llm_gateway.storage import erasures, journals, payloads, requests
from llm_gateway.storage.sessions import Sessions


class DatabaseStore:
    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def position(self, journal: str) -> Position | None:
        async with self._sessions.read() as s:
            found = await journals.get_position(s, journal)
        return Position(*found) if found is not None else None

    async def ship(self, journal: str, batch: Batch, position: Position) -> None:
        async with self._sessions.write() as s:
            batch = await _spared(s, batch)
            await requests.insert_rows(s, batch.rows)
            await payloads.insert_payloads(s, batch.payloads)
            await journals.set_position(s, journal, position.segment, position.offset)

    async def forget(self, journal: str) -> None:
        async with self._sessions.write() as s:
            await journals.forget(s, journal)


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
