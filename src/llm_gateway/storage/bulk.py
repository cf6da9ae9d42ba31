"""Many rows at once, by the shortest way that each driver has: COPY on PostgreSQL, `executemany` on SQLite.

SQLAlchemy makes a dict and a bind of every value, which costs more than the database itself does. Rows are tuples in
the form that the driver takes; how many there are is bounded by the caller.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.storage.faults import translated, unreachable

SLICE: Final = 500
"""Rows that are worked on between two looks at other tasks: two to four milliseconds."""
_DRIVERS: Final = ("asyncpg", "sqlite3")

T = TypeVar("T")


def on_postgresql(s: AsyncSession) -> bool:
    return s.get_bind().dialect.name == "postgresql"


async def driver(s: AsyncSession) -> Any:
    """The driver's own connection (asyncpg's, aiosqlite's), within the session's transaction."""
    found = (await (await s.connection()).get_raw_connection()).driver_connection
    assert found is not None
    if on_postgresql(s) and not found.is_in_transaction():  # SQLAlchemy begins one with its first statement
        await s.execute(text("SELECT 1"))
    return found


@contextmanager
def faults() -> Iterator[None]:
    """Around the driver's own calls: its errors become ours, as those of statements do."""
    try:
        yield
    except OSError as error:  # a TimeoutError is one: asyncpg's own when a statement takes too long
        raise unreachable(error) from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] not in _DRIVERS:
            raise
        said = DBAPIError(None, None, error)
        raise (translated(said) or said) from error


async def slices(rows: Sequence[T]) -> AsyncIterator[Sequence[T]]:
    """The rows in short parts, with a look at other tasks between two: work on many must not hold up requests."""
    for at in range(0, len(rows), SLICE):
        if at:
            await asyncio.sleep(0)
        yield rows[at : at + SLICE]
