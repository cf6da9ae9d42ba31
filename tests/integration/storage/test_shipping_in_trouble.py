"""A database in trouble is one that is away: no row is ever taken for the cause of it, so none is dropped."""

from __future__ import annotations

import asyncio
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import event, func, select
from sqlalchemy.ext.asyncio import AsyncEngine

from llm_gateway.errors import DatabaseUnavailable
from llm_gateway.ledger.journal import Position
from llm_gateway.ledger.shipper import Batch
from llm_gateway.ledger.store import DatabaseStore
from llm_gateway.storage.audit import audit
from llm_gateway.storage.engine import open_engine
from llm_gateway.storage.scrub import scrub
from llm_gateway.storage.sessions import Sessions
from llm_gateway.storage.tables import request_log
from support.net import wait_until

NOON = 1_790_035_200 + 43_200


def batch(rows: int = 1) -> Batch:
    made = Batch([], [], [])
    for _ in range(rows):
        id = str(uuid4())
        made.rows.append(
            {
                "id": id,
                "project_id": str(uuid4()),
                "timestamp": NOON,
                "endpoint": "/v1/chat",
                "status": 200,
                "outcome": "ok",
                "latency_ms": 5.0,
                "correlation_id": "x" * 250,
            }
        )
        made.tries.append(
            {
                "request_id": id,
                "number": 1,
                "timestamp": NOON,
                "server_id": "s",
                "backend_model": "m",
                "tier": "own",
                "why": "first",
                "outcome": "ok",
                "duration_ms": 4.0,
                "tokens_output": 1,
                "tokens_wasted": 0,
            }
        )
    return made


async def shipped(sessions: Sessions) -> int:
    async with sessions.read() as s:
        assert await audit(s) == []
        return int((await s.execute(select(func.count()).select_from(request_log))).scalar_one())


@pytest.mark.parametrize("table", ["request_log", "attempt_log", "usage_rollup", "journal_position"])
async def test_a_statement_that_takes_too_long_is_an_outage(postgresql_url: str, tmp_path: Path, table: str):
    engine = open_engine(postgresql_url, data_dir=tmp_path, patience=0.3)
    store, wanted = DatabaseStore(Sessions(engine)), batch()
    other = await asyncpg.connect(postgresql_url)
    async with other.transaction():
        await other.execute(f"LOCK TABLE {table}")
        with pytest.raises(DatabaseUnavailable):
            await store.ship("j", wanted, Position(1, 1))
    await other.close()
    await store.ship("j", wanted, Position(1, 1))
    assert await shipped(Sessions(engine)) == 1
    await engine.dispose()


async def test_a_connection_that_ends_while_tables_are_cleaned_is_an_outage(postgresql_url: str, tmp_path: Path):
    engine = open_engine(postgresql_url, data_dir=tmp_path)
    other, admin = await asyncpg.connect(postgresql_url), await asyncpg.connect(postgresql_url)
    async with other.transaction():
        await other.execute("LOCK TABLE request_log IN SHARE MODE")
        cleaning = asyncio.create_task(scrub(engine))
        end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE query LIKE 'VACUUM%'"
        await wait_until(lambda: admin.fetchval(end))
        with pytest.raises(DatabaseUnavailable):
            await cleaning
    await other.close()
    await admin.close()
    await engine.dispose()


async def test_a_full_disk_under_sqlite_is_an_outage(sqlite_url: str, tmp_path: Path):
    engine = open_engine(sqlite_url, data_dir=tmp_path)
    full = _full(engine)
    store, wanted = DatabaseStore(Sessions(engine)), batch(500)
    with pytest.raises(DatabaseUnavailable):
        await store.ship("j", wanted, Position(1, 1))
    full.clear()
    await engine.dispose()
    await store.ship("j", wanted, Position(1, 1))
    assert await shipped(Sessions(engine)) == 500
    await engine.dispose()


def _full(engine: AsyncEngine) -> list[bool]:
    """As long as it is not empty, connections find that the disk has room for a few pages more."""
    full = [True]

    @event.listens_for(engine.sync_engine, "connect")
    def bound(connection: object, _: object) -> None:
        if full:
            cursor = connection.cursor()  # type: ignore[attr-defined]  # a driver's
            cursor.execute("PRAGMA page_count")
            cursor.execute(f"PRAGMA max_page_count={cursor.fetchone()[0] + 5}")
            cursor.close()

    return full
