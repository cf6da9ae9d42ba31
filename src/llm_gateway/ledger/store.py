"""The database as a feed's `Store`."""

from __future__ import annotations

from llm_gateway.ledger.feed import Batch
from llm_gateway.ledger.journal import Position
from llm_gateway.storage import journals, requests
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
            await requests.insert_rows(s, batch.rows)
            await journals.set_position(s, journal, position.segment, position.offset)

    async def forget(self, journal: str) -> None:
        async with self._sessions.write() as s:
            await journals.forget(s, journal)
