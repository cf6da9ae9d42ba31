"""Following the request log: nothing that arrives is missed, whoever writes it and however late."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from contextlib import closing
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import delete, text
from sqlalchemy.ext.asyncio import AsyncEngine

from llm_gateway.clock import Ids
from llm_gateway.errors import InvalidRequest
from llm_gateway.storage import arrivals, requests
from llm_gateway.storage.arrivals import Mark
from llm_gateway.storage.requests import RequestFilters
from llm_gateway.storage.sessions import Sessions
from llm_gateway.storage.tables import request_log

PROJECT = str(uuid4())
NOW = 1_790_035_200.0
new_id = Ids()


def row(at: float = NOW, **fields: Any) -> dict[str, Any]:
    plain = {"project_id": PROJECT, "endpoint": "/v1/chat", "status": 200, "outcome": "ok", "latency_ms": 10.0}
    return {"id": str(new_id()), "timestamp": at, **plain, **fields}


async def put(sessions: Sessions, *rows: dict[str, Any]) -> list[str]:
    async with sessions.write() as s:
        await requests.insert_rows(s, rows)
    return [row["id"] for row in rows]


class Follower:
    """Goes on from where it is; `seen` has every row once, as a client keeps them."""

    def __init__(self, sessions: Sessions) -> None:
        self.sessions = sessions
        self.mark = ""
        self.seen: dict[str, None] = {}

    async def begin(self) -> Follower:
        async with self.sessions.read() as s:
            self.mark = str(await arrivals.now(s))
        return self

    async def look(self, limit: int = 500, **filters: Any) -> list[str]:
        """What is new, in the order in which it came."""
        before, more = len(self.seen), True
        while more:
            async with self.sessions.read() as s:
                rows, mark, more = await arrivals.after(
                    s, Mark.parse(self.mark), filters=RequestFilters(**filters), limit=limit, wall=NOW
                )
            self.seen |= {row["id"]: None for row in rows}
            self.mark = str(mark)
        return list(self.seen)[before:]


async def test_what_arrives_comes_once_and_what_was_there_does_not(sessions: Sessions):
    await put(sessions, row(), row())
    follower = await Follower(sessions).begin()
    assert await follower.look() == []
    for count in (1, 3):
        new = await put(sessions, *(row(NOW + count + n) for n in range(count)))
        assert await follower.look() == new
    assert await follower.look() == []


async def test_an_empty_log_can_be_followed(sessions: Sessions):
    follower = await Follower(sessions).begin()
    assert await follower.look() == []
    new = await put(sessions, row())
    assert await follower.look() == new


async def test_a_request_that_took_long_comes_after_younger_ones(sessions: Sessions):
    follower = await Follower(sessions).begin()
    young = await put(sessions, *(row(NOW + n) for n in range(3)))
    assert await follower.look() == young
    old = await put(sessions, row(NOW - 1800))
    assert await follower.look() == old


async def test_more_than_a_page_comes_in_pages(sessions: Sessions):
    follower = await Follower(sessions).begin()
    new = await put(sessions, *(row(NOW + n // 4) for n in range(1200)))
    assert await follower.look(limit=7) == new


async def test_filters_hide_rows_and_the_rest_goes_on(sessions: Sessions):
    follower = await Follower(sessions).begin()
    rows = [row(status=503 if n % 5 == 0 else 200) for n in range(50)]
    await put(sessions, *rows)
    assert await follower.look(limit=3, failed=True) == [row["id"] for row in rows[::5]]
    (last,) = await put(sessions, row(status=500))
    assert await follower.look(limit=3, failed=True) == [last]


async def test_writers_that_commit_late_and_out_of_order_are_heard(sessions: Sessions, engine: AsyncEngine):
    if engine.dialect.name == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    follower = await Follower(sessions).begin()
    async with sessions.write() as slow:
        late = [row(), row()]
        await requests.insert_rows(slow, late[:1])
        async with slow.begin_nested():  # writes under a number of its own
            await requests.insert_rows(slow, late[1:])
        early = await put(sessions, row(NOW + 5))
        assert await follower.look() == early
        await put(sessions, row(NOW + 6))
        await follower.look()
    assert await follower.look() == [row["id"] for row in late]
    assert len(follower.seen) == 4


async def test_nothing_is_missed_of_many_writers_at_once(sessions: Sessions):
    follower = await Follower(sessions).begin()
    written: list[str] = []
    dice = random.Random(7)

    async def write(count: int) -> None:
        for _ in range(count):
            written.extend(await put(sessions, *(row(NOW - dice.random() * 600) for _ in range(dice.randint(1, 40)))))

    writers = [asyncio.create_task(write(15)) for _ in range(4)]
    while not all(writer.done() for writer in writers):
        await follower.look(limit=50)
    await asyncio.gather(*writers)
    await follower.look()
    assert sorted(follower.seen) == sorted(written)


async def test_rows_may_be_deleted_under_a_follower(sessions: Sessions):
    follower = await Follower(sessions).begin()
    first = await put(sessions, row(), row(NOW + 1))
    await follower.look()
    async with sessions.write() as s:
        await s.execute(delete(request_log).where(request_log.c.id.in_(first)))
    assert await follower.look() == []
    new = await put(sessions, row(NOW + 2), row(NOW + 3))  # SQLite gives the numbers of the deleted ones again
    assert await follower.look() == new


async def test_a_vacuum_under_a_follower_is_no_matter(sessions: Sessions, engine: AsyncEngine):
    old = await put(sessions, *(row(NOW + n) for n in range(9)))
    follower = await Follower(sessions).begin()
    async with sessions.write() as s:
        await s.execute(delete(request_log).where(request_log.c.id.in_(old[:5])))
    if engine.dialect.name == "sqlite":
        await engine.dispose()  # VACUUM wants to be alone
        with closing(sqlite3.connect(str(engine.url.database))) as connection:
            connection.execute("VACUUM")
    else:
        async with engine.connect() as connection:
            alone = await connection.execution_options(isolation_level="AUTOCOMMIT")
            await alone.execute(text("VACUUM FREEZE request_log"))
    new = await put(sessions, row(NOW + 20))
    assert await follower.look() == new


@pytest.mark.parametrize("mark", ["", "x", "AAAA", "é", "A" * 400])
def test_a_mark_that_nobody_gave_is_refused(mark: str):
    with pytest.raises(InvalidRequest, match="cursor"):
        Mark.parse(mark)


def test_a_mark_survives_its_trip_to_the_client():
    mark = Mark(2**40, time.time() // 1, 2**41, 5.0, 6.000001, str(uuid4()))
    assert Mark.parse(str(mark)) == mark
