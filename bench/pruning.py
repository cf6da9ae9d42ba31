"""Does deleting what is old hurt what arrives? Inserts with and without retention at work, on a log of a million rows.

    python bench/pruning.py                              SQLite in a temporary directory
    python bench/pruning.py --database postgresql://…    an empty database (its tables are made)

Prints the latency of batches as the shipper writes them, alone and while a third of the log is deleted, and how long
the deleting transactions took. Exit code 1 when one of them took longer than `MOST_BATCH`, or inserts `MOST_INSERT`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
import tempfile
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any
from uuid import uuid4

from sqlalchemy import text

from llm_gateway.clock import Ids
from llm_gateway.ledger import retention
from llm_gateway.ledger.journal import Position
from llm_gateway.ledger.retention import cutoffs, prune
from llm_gateway.ledger.shipper import Batch
from llm_gateway.ledger.store import DatabaseStore
from llm_gateway.storage.engine import open_engine
from llm_gateway.storage.sessions import Sessions
from llm_gateway.storage.upgrade import upgrade

MOST_BATCH = 0.25
"""Seconds, p95 of the deleting transactions, once they have found their size."""
MOST_INSERT = 0.5
"""Seconds, p95 of inserts beside them: rows are in the database well within two."""
BATCH = 20
PAUSE = 0.05
DAY = 86_400.0
PROJECT = str(uuid4())
COLUMNS = (
    "id, project_id, timestamp, endpoint, model, backend_model, server_id, tier, stream, status, outcome, latency_ms, "
    "attempts, tokens_input, tokens_output, tokens_estimated, end_user"
)
SQLITE = f"""
    WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < :last)
    INSERT INTO request_log ({COLUMNS})
    SELECT printf('%012x7000', (:since + i * :step) * 1000) || lower(hex(randomblob(8))), :project,
        CAST((:since + i * :step) * 1000000 AS INTEGER), '/v1/chat', 'm', 'm',
        's', 'own', 0, 200, 'ok', 1.0, 1, 10, 10, 0, 'user' || (i % 1000) FROM n"""
POSTGRESQL = f"""
    INSERT INTO request_log ({COLUMNS})
    SELECT CAST(lpad(to_hex(CAST((CAST(:since AS float8) + i * CAST(:step AS float8)) * 1000 AS bigint)), 12, '0')
            || '7000' || substr(md5(CAST(random() AS text)), 1, 16) AS uuid),
        CAST(CAST(:project AS text) AS uuid),
        to_timestamp(CAST(:since AS float8) + i * CAST(:step AS float8)), '/v1/chat', 'm', 'm', 's', 'own', false, 200,
        'ok', 1.0, 1, 10, 10, false, 'user' || (i % 1000) FROM generate_series(0, CAST(:last AS int)) AS i"""


async def main(url: str, directory: Path, rows: int) -> bool:
    await upgrade(url, directory)
    engine = open_engine(url, data_dir=directory, patience=600.0)
    sessions = Sessions(engine)
    try:
        now = time.time()
        fill = POSTGRESQL if engine.dialect.name == "postgresql" else SQLITE
        project = PROJECT if engine.dialect.name == "postgresql" else PROJECT.replace("-", "")
        values = {"last": rows - 1, "project": project, "since": now - 120 * DAY, "step": 120 * DAY / rows}
        began = time.perf_counter()
        async with sessions.write() as s:
            await s.execute(text(fill), values)
        print(f"{rows:,} rows on {engine.dialect.name}, made in {time.perf_counter() - began:.1f} s")
        store = DatabaseStore(sessions)
        alone = await inserts(store, asyncio.sleep(10))
        took: list[float] = []
        for name, step in retention.STEPS.items():
            retention.STEPS[name] = timed(step, took)  # the transaction's own work, without its wait for the lock
        began = time.perf_counter()
        deleted: dict[str, int] = {}

        async def work() -> None:
            deleted.update(await prune(sessions, cutoffs(time.time(), 80, 14)))

        beside = await inserts(store, work())
        print(f"deleted {deleted['requests']:,} rows in {time.perf_counter() - began:.1f} s")
        report("inserts alone", alone)
        report("inserts beside", beside)
        report("deleting", took)
        return share(took, 0.95) <= MOST_BATCH and share(beside, 0.95) <= MOST_INSERT
    finally:
        await engine.dispose()


async def inserts(store: DatabaseStore, work: Awaitable[Any]) -> list[float]:
    """Latencies of batches while `work` goes on."""
    ids, found = Ids(), []
    task = asyncio.ensure_future(work)
    number = 0
    while not task.done():
        rows = [row(str(ids())) for _ in range(BATCH)]
        number += 1
        began = time.perf_counter()
        await store.ship("bench", Batch(rows, [], []), Position(1, number))
        found.append(time.perf_counter() - began)
        await asyncio.sleep(PAUSE)
    await task
    return found


def row(id: str) -> dict[str, Any]:
    return {
        "id": id, "project_id": PROJECT, "timestamp": time.time(), "endpoint": "/v1/chat", "model": "m", "status": 200,
        "outcome": "ok", "latency_ms": 1.0, "tokens_input": 1, "tokens_output": 1, "end_user": "user1",
    }  # fmt: skip


def timed(step: retention.Step, took: list[float]) -> retention.Step:
    async def run(s: Any, old: Any, limit: int) -> int:
        began = time.perf_counter()
        count = await step(s, old, limit)
        took.append(time.perf_counter() - began)
        return count

    return run


def share(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


def report(name: str, values: list[float]) -> None:
    middle, high, most = (1000 * share(values, part) for part in (0.5, 0.95, 1.0))
    print(f"{name:15} {len(values):6} times   p50 {middle:7.1f} ms   p95 {high:7.1f} ms   longest {most:7.1f} ms")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--database")
    parser.add_argument("--rows", type=int, default=1_000_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, contextlib.suppress(KeyboardInterrupt):
        good = asyncio.run(main(given.database or "sqlite:///bench.db", Path(place), given.rows))
        sys.exit(0 if good else 1)
