from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from llm_gateway.clock import Ids
from llm_gateway.errors import InvalidRequest, NotFound
from llm_gateway.storage import requests
from llm_gateway.storage.requests import Cursor, RequestFilters
from llm_gateway.storage.sessions import Sessions

LEGAL, SALES = str(uuid4()), str(uuid4())
DAY = 1_790_035_200.0
"""A midnight in UTC."""
new_id = Ids()


def row(at: float = DAY, **fields: Any) -> dict[str, Any]:
    return {
        "id": new_id(),
        "project_id": LEGAL,
        "timestamp": at,
        "endpoint": "/v1/chat",
        "status": 200,
        "outcome": "ok",
        "latency_ms": 10.0,
        **fields,
    }


async def put(sessions: Sessions, *rows: dict[str, Any]) -> list[str]:
    async with sessions.write() as s:
        assert await requests.insert_rows(s, rows) == len(rows)
    return [str(row["id"]) for row in rows]


async def test_a_row_comes_back_as_it_was_written(sessions: Sessions):
    written = {
        "id": new_id(),
        "project_id": UUID(LEGAL),
        "key_id": uuid4(),
        "timestamp": datetime(2026, 11, 23, 14, 5, 6, 789_012, tzinfo=UTC),
        "endpoint": "/v1/chat/completions",
        "model": "law-assistant",
        "backend_model": "llama3.3:70b",
        "server_id": "srv_0123456789",
        "tier": "own",
        "stream": True,
        "status": 502,
        "outcome": "error",
        "error_code": "upstream_stream_lost",
        "finish_reason": "length",
        "latency_ms": 1234.5,
        "ttft_ms": 98.7,
        "attempts": 3,
        "continuations": 2,
        "tokens_input": 5_000_000_000,
        "tokens_output": 7,
        "tokens_estimated": True,
        "end_user": "ana",
        "correlation_id": "c-1",
        "project_context": "case 42",
        "client_request_id": "r-1",
        "notes": "think=dropped, tool_choice=best_effort",
        "failovers": 2,
        "cost_nanos": 1_234_567,
    }
    (id,) = await put(sessions, written)
    async with sessions.read() as s:
        found = await requests.get(s, id)
    as_text = {name: str(written[name]) for name in ("id", "project_id", "key_id")}
    assert found == {**written, **as_text, "timestamp": written["timestamp"].timestamp()}


async def test_a_row_that_is_there_already_stays_as_it_is(sessions: Sessions):
    first = row(model="a")
    await put(sessions, first)
    async with sessions.write() as s:
        second = row()
        assert await requests.insert_rows(s, [{**first, "model": "b"}, second, second, row()]) == 2
        assert await requests.insert_rows(s, []) == 0
        assert (await requests.get(s, str(first["id"])))["model"] == "a"


async def test_nothing_that_strangers_wrote_stops_a_batch(sessions: Sessions):
    odd = row(
        model="x" * 5000, end_user="a\0b", correlation_id="\ud800", attempts=2**40, tokens_output=2**80, server_id=None
    )
    (id,) = await put(sessions, odd)
    async with sessions.read() as s:
        found = await requests.get(s, id)
    assert (found["model"], found["end_user"]) == ("x" * 300, "a\N{REPLACEMENT CHARACTER}b")
    assert (found["attempts"], found["tokens_output"]) == (2**31 - 1, 10**12)


async def test_a_name_that_is_no_column_is_a_mistake(sessions: Sessions):
    with pytest.raises(TypeError, match="no column latency"):
        await put(sessions, row(latency=1))


async def test_a_large_batch_goes_in_at_once(sessions: Sessions):
    ids = await put(sessions, *(row(DAY + n) for n in range(1500)))
    async with sessions.read() as s:
        assert [found["id"] async for found in requests.export(s)] == ids


async def test_a_request_of_another_project_does_not_exist(sessions: Sessions):
    (id,) = await put(sessions, row())
    async with sessions.read() as s:
        assert (await requests.get(s, id, project_id=LEGAL))["id"] == id
        with pytest.raises(NotFound):
            await requests.get(s, id, project_id=SALES)
        with pytest.raises(NotFound):
            await requests.get(s, str(uuid4()))
        with pytest.raises(InvalidRequest):
            await requests.get(s, "' OR 1=1 --")


async def test_pages_go_from_new_to_old_and_miss_nothing_while_rows_arrive(sessions: Sessions):
    ids = await put(sessions, *(row(DAY + n // 3) for n in range(10)))  # three of each timestamp
    seen, cursor = [], None
    while True:
        async with sessions.read() as s:
            rows, following = await requests.page(s, before=cursor, limit=4)
        seen += [found["id"] for found in rows]
        await put(sessions, row(DAY + 1000))
        if following is None:
            break
        cursor = Cursor.parse(str(following))
    assert seen == ids[::-1]


async def test_the_last_page_has_no_cursor_and_no_page_is_larger_than_asked(sessions: Sessions):
    await put(sessions, *(row(DAY + n) for n in range(4)))
    async with sessions.read() as s:
        rows, following = await requests.page(s, limit=4)
        assert (len(rows), following) == (4, None)
        rows, following = await requests.page(s, limit=0)
        assert len(rows) == 1
        assert following is not None
        rows, following = await requests.page(s, limit=10**9)
        assert len(rows) == 4


KEY = str(uuid4())
CHOSEN: dict[str, Any] = {
    "project_id": SALES,
    "key_id": KEY,
    "model": "fast%",
    "backend_model": "m",
    "server_id": "srv_1",
    "endpoint": "/api/chat",
    "status": 504,
    "outcome": "error",
    "error_code": "upstream_timeout",
    "stream": True,
    "correlation_id": "c",
    "client_request_id": "r",
    "end_user": "ana",
}


@pytest.mark.parametrize(
    "filters",
    [
        *({name: value} for name, value in CHOSEN.items()),
        {"since": DAY + 60},
        {"status_class": 5},
        {"min_latency_ms": 500},
        {"since": DAY + 60, "until": DAY + 60.000001, "status_class": 5, "project_id": SALES},
    ],
    ids=lambda filters: "+".join(filters),
)
async def test_a_filter_finds_the_row_and_only_the_row(sessions: Sessions, filters: dict[str, Any]):
    id, *_ = await put(sessions, row(DAY + 60, latency_ms=500.0, **CHOSEN), row(DAY + 59, model="faster"), row(DAY))
    async with sessions.read() as s:
        rows, _ = await requests.page(s, filters=RequestFilters(**filters))
        assert [found["id"] for found in rows] == [id]
        assert [found["id"] async for found in requests.export(s, RequestFilters(**filters))] == [id]


async def test_filters_that_exclude_and_filters_of_nonsense(sessions: Sessions):
    ids = await put(sessions, row(DAY), row(DAY + 1, stream=True))
    async with sessions.read() as s:
        assert await found(s, until=DAY + 1) == [ids[0]]
        assert await found(s, stream=False) == [ids[0]]
        assert await found(s, request_id=ids[1].upper()) == [ids[1]]
        assert await found(s, model="'; DROP TABLE request_log; --") == []
        assert await found(s) == ids[::-1]
        for nonsense in ({"request_id": "x"}, {"project_id": "legal"}, {"end_user": "\0"}, {"since": float("inf")}):
            with pytest.raises(InvalidRequest):
                await found(s, **nonsense)


async def found(s: AsyncSession, **filters: Any) -> list[str]:
    rows, _ = await requests.page(s, filters=RequestFilters(**filters))
    return [row["id"] for row in rows]
