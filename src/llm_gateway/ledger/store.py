"""The database as the shipper's `Store`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from llm_gateway.ledger.journal import Position
from llm_gateway.ledger.shipper import Batch
from llm_gateway.storage import journals, requests, rollups
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

    async def ship(self, journal: str, batch: Batch, position: Position) -> None:
        rows = await requests.records(batch.rows)
        async with self._sessions.write() as s:
            new, sums = await asyncio.gather(requests.insert(s, rows), rollups.summed(rows))
            if len(new) < len(rows):
                sums = await rollups.summed(new)
            await rollups.add(s, sums)  # late: other processes that add to the same sums wait from here on
            await journals.set_position(s, journal, position.segment, position.offset)

        if len(new) < len(rows):
            self._repeated(len(rows) - len(new))

    async def forget(self, journal: str) -> None:
        async with self._sessions.write() as s:
            await journals.forget(s, journal)
