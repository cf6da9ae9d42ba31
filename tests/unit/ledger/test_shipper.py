"""Rows reach the database in order and once, however it behaves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from llm_gateway.errors import DatabaseUnavailable
from llm_gateway.ledger import shipper as module
from llm_gateway.ledger.shipper import BATCH, Row, Shipper
from support.net import wait_until


class Database:
    """Takes rows; `down` makes it refuse that many batches first."""

    def __init__(self, down: int = 0) -> None:
        self.rows: list[Row] = []
        self.batches: list[int] = []
        self.down = down

    async def insert(self, rows: Sequence[Row]) -> int:
        await asyncio.sleep(0)
        if self.down:
            self.down -= 1
            raise DatabaseUnavailable("gone")
        self.batches.append(len(rows))
        self.rows += rows
        return len(rows)


def rows(count: int) -> list[Row]:
    return [{"id": n} for n in range(count)]


async def test_rows_arrive_in_order_and_in_bounded_batches():
    database = Database()
    shipper = Shipper(database.insert)
    wanted = rows(2 * BATCH + 7)
    for row in wanted:
        shipper.put(row)
    task = asyncio.create_task(shipper.run())
    await wait_until(lambda: len(database.rows) == len(wanted), within=5)
    await shipper.stop(task)
    assert database.rows == wanted
    assert max(database.batches) == BATCH
    assert (shipper.shipped, shipper.dropped, len(shipper)) == (len(wanted), 0, 0)


async def test_a_stop_flushes_what_was_put_a_moment_before():
    database = Database()
    shipper = Shipper(database.insert)
    task = asyncio.create_task(shipper.run())
    shipper.put({"id": 1})
    await wait_until(lambda: len(database.rows) == 1, within=5)
    shipper.put({"id": 2})
    await shipper.stop(task)
    assert database.rows == [{"id": 1}, {"id": 2}]
    assert task.done()


async def test_a_database_that_is_away_loses_and_doubles_nothing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "BACKOFF", (0.01,))
    database = Database(down=3)
    shipper = Shipper(database.insert)
    task = asyncio.create_task(shipper.run())
    for row in rows(10):
        shipper.put(row)
    await wait_until(lambda: len(database.rows) == 10, within=5)
    await shipper.stop(task)
    assert database.rows == rows(10)


async def test_a_batch_that_cannot_be_written_at_all_is_counted_and_the_next_ones_go_on():
    database = Database()

    async def picky(batch: Sequence[Row]) -> int:
        if any(row["id"] == "broken" for row in batch):
            raise TypeError("no such column")
        return await database.insert(batch)

    shipper = Shipper(picky)
    task = asyncio.create_task(shipper.run())
    shipper.put({"id": "broken"})
    await wait_until(lambda: shipper.dropped == 1, within=5)
    shipper.put({"id": 1})
    await shipper.stop(task)
    assert database.rows == [{"id": 1}]


async def test_past_its_bound_the_oldest_rows_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "BOUND", 5)
    database = Database()
    shipper = Shipper(database.insert)
    for row in rows(8):
        shipper.put(row)
    task = asyncio.create_task(shipper.run())
    await shipper.stop(task)
    assert database.rows == rows(8)[3:]
    assert shipper.dropped == 3


async def test_a_row_that_is_dropped_while_its_batch_is_under_way_is_not_taken_for_another(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setattr(module, "BOUND", 3)
    gate = asyncio.Event()
    database = Database()

    async def slow(batch: Sequence[Row]) -> int:
        await gate.wait()
        return await database.insert(batch)

    shipper = Shipper(slow)
    for row in rows(3):
        shipper.put(row)
    task = asyncio.create_task(shipper.run())
    await asyncio.sleep(0)
    shipper.put({"id": 3})
    gate.set()
    await shipper.stop(task)
    assert database.rows == rows(4)
