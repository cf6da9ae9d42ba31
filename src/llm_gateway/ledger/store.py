"""The database as a feed's `Store`."""

from __future__ import annotations

from sqlalchemy.exc import DBAPIError

from llm_gateway.errors import DatabaseUnavailable
from llm_gateway.ledger.feed import Batch
from llm_gateway.ledger.journal import Position
from llm_gateway.storage import journals, requests
from llm_gateway.storage.faults import lacks_column
from llm_gateway.storage.sessions import Sessions


class DatabaseStore:
    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    async def position(self, journal: str) -> Position | None:
        async with self._sessions.read() as s:
            found = await journals.get_position(s, journal)
        return Position(*found) if found is not None else None

    async def ship(self, journal: str, batch: Batch, position: Position) -> None:
        try:
            async with self._sessions.write() as s:
                await requests.insert_rows(s, batch.rows)
                await journals.set_position(s, journal, position.segment, position.offset)
        except DBAPIError as error:
            if lacks_column(error):  # as after a restored backup: the rows wait, and no row is to blame
                raise DatabaseUnavailable(f"The database's tables are not this version's: {error.orig}.") from error
            raise

    async def forget(self, journal: str) -> None:
        async with self._sessions.write() as s:
            await journals.forget(s, journal)
