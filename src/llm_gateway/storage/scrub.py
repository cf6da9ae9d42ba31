"""Makes what was deleted physically gone, as far as a database lets one.

SQLite: the file is written anew and the write-ahead log emptied; afterwards no byte of it is in either. PostgreSQL: a
plain VACUUM, which locks nobody out; a page's free space is overwritten when rows are written to it, so until then
bytes are found in the files. Written anew (VACUUM FULL), which locks the log meanwhile, the tables hold none of it, and
the write-ahead log does until it was recycled.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncEngine

from llm_gateway.errors import DatabaseUnavailable
from llm_gateway.storage.bulk import faults
from llm_gateway.storage.engine import connecting

TABLES: Final = ("request_log", "attempt_log", "payload")
PATIENCE: Final = 3600.0
"""Seconds for one table of PostgreSQL."""
TRIES: Final = 20
"""Looks, half a second apart, at whether readers still need SQLite's write-ahead log."""


async def scrub(engine: AsyncEngine, *, rewrite: bool = False) -> bool:
    """Is everything that was deleted before gone from the database's files? `rewrite`: PostgreSQL's as well, except
    for its write-ahead log; nobody can read or write the log meanwhile. Raises DatabaseUnavailable when somebody
    writes all the time, or the disk has no room for a second copy."""
    with connecting():
        connection = await engine.connect()
    try:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        if engine.dialect.name == "postgresql":
            for table in TABLES:
                with faults():
                    await driver.execute(f"VACUUM {'FULL ' if rewrite else ''}{table}", timeout=PATIENCE)
            return False
        return await _scrub_sqlite(driver)
    finally:
        await connection.close()


async def _scrub_sqlite(driver: Any) -> bool:
    import sqlite3

    try:
        await driver.execute("VACUUM")
        for _ in range(TRIES):
            async with driver.execute("PRAGMA wal_checkpoint(TRUNCATE)") as cursor:
                busy, _, _ = await cursor.fetchone()
            if not busy:
                return True
            await asyncio.sleep(0.5)
    except sqlite3.OperationalError as error:
        raise DatabaseUnavailable(f"What was erased is still in the database's free space: {error}.") from error
    return False
