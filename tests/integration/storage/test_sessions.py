from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import insert, text

from llm_gateway.errors import Conflict, DatabaseUnavailable, InvalidRequest
from llm_gateway.storage import projects
from llm_gateway.storage.sessions import Sessions
from llm_gateway.storage.snapshot import bump_version, current_version
from llm_gateway.storage.tables import setting


async def test_a_write_that_raises_leaves_nothing(sessions: Sessions):
    with pytest.raises(RuntimeError):
        await create_and_fail(sessions)
    async with sessions.read() as s:
        assert await projects.list_projects(s) == []
        assert await current_version(s) == 1


async def create_and_fail(sessions: Sessions) -> None:
    async with sessions.write() as s:
        await projects.create_project(s, name="legal")
        raise RuntimeError


async def test_a_reader_sees_one_state_while_others_write(sessions: Sessions):
    async with sessions.read() as reader:
        before = await current_version(reader)
        async with sessions.write() as writer:
            await bump_version(writer)
        assert await current_version(reader) == before
    async with sessions.read() as reader:
        assert await current_version(reader) == before + 1


async def test_writers_queue_up_and_none_of_them_is_lost(sessions: Sessions):
    async def bump() -> None:
        async with sessions.write() as s:
            version = await current_version(s)  # a read first: this is what a deferred transaction would trip over
            assert await bump_version(s) > version

    await asyncio.gather(*(bump() for _ in range(8)))
    async with sessions.read() as s:
        assert await current_version(s) == 9


async def test_a_row_that_is_there_already_is_a_conflict(sessions: Sessions):
    with pytest.raises(Conflict):
        async with sessions.write() as s:
            await s.execute(insert(setting).values(key="config_version", value=7))


async def test_after_a_conflict_the_same_transaction_goes_on(sessions: Sessions):
    async with sessions.write() as s:
        await projects.create_project(s, name="legal")
        with pytest.raises(Conflict):
            await projects.create_project(s, name="legal")
        await projects.create_project(s, name="sales")
    async with sessions.read() as s:
        assert [project.name for project in await projects.list_projects(s)] == ["legal", "sales"]


async def test_a_mistake_of_ours_is_not_dressed_up_as_an_outage(sessions: Sessions):
    with pytest.raises(Exception, match="nonsense") as raised:
        async with sessions.read() as s:
            await s.execute(text("SELECT nonsense"))
    assert not isinstance(raised.value, DatabaseUnavailable)


async def test_a_negative_limit_is_refused(sessions: Sessions):
    with pytest.raises(InvalidRequest):
        async with sessions.write() as s:
            await projects.create_project(s, name="legal", tokens_per_minute=-1)


async def test_a_number_that_no_column_holds_is_refused(sessions: Sessions):
    with pytest.raises(InvalidRequest):
        async with sessions.write() as s:
            await projects.create_project(s, name="legal", monthly_tokens=2**70)


async def test_a_cancelled_write_leaves_nothing_and_its_connection_is_usable(sessions: Sessions):
    inside = asyncio.Event()

    async def hang() -> None:
        async with sessions.write() as s:
            await projects.create_project(s, name="legal")
            inside.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(hang())
    await asyncio.wait_for(inside.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with sessions.write() as s:
        assert await projects.list_projects(s) == []
        await projects.create_project(s, name="legal")
