from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, event, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from llm_gateway.clock import Ids
from llm_gateway.errors import InvalidRequest, NotFound
from llm_gateway.storage import requests
from llm_gateway.storage.engine import open_engine
from llm_gateway.storage.requests import Cursor, RequestFilters
from llm_gateway.storage.sessions import Sessions
from llm_gateway.storage.tables import request_log

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
    assert [found["id"] async for found in requests.export(sessions)] == ids


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
    "tier": "partner",
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
        {"failed": True},
        {"min_latency_ms": 500},
        {"min_latency_ms": 100, "max_latency_ms": 500},
        {"since": DAY + 60, "until": DAY + 60.000001, "status_class": 5, "project_id": SALES},
    ],
    ids=lambda filters: "+".join(filters),
)
async def test_a_filter_finds_the_row_and_only_the_row(sessions: Sessions, filters: dict[str, Any]):
    id, *_ = await put(sessions, row(DAY + 60, latency_ms=500.0, **CHOSEN), row(DAY + 59, model="faster"), row(DAY))
    async with sessions.read() as s:
        rows, _ = await requests.page(s, filters=RequestFilters(**filters))
        assert [found["id"] for found in rows] == [id]
    assert [found["id"] async for found in requests.export(sessions, RequestFilters(**filters))] == [id]


async def test_filters_that_exclude_and_filters_of_nonsense(sessions: Sessions):
    ids = await put(sessions, row(DAY), row(DAY + 1, stream=True))
    async with sessions.read() as s:
        assert await found(s, until=DAY + 1) == [ids[0]]
        assert await found(s, stream=False) == [ids[0]]
        assert await found(s, failed=False, max_latency_ms=10) == ids[::-1]
        assert await found(s, failed=True) == await found(s, max_latency_ms=9) == []
        assert await found(s, request_id=ids[1].upper()) == [ids[1]]
        assert await found(s, model="'; DROP TABLE request_log; --") == []
        assert await found(s) == ids[::-1]
        for nonsense in ({"request_id": "x"}, {"project_id": "legal"}, {"end_user": "\0"}, {"since": float("inf")}):
            with pytest.raises(InvalidRequest):
                await found(s, **nonsense)


async def found(s: AsyncSession, **filters: Any) -> list[str]:
    rows, _ = await requests.page(s, filters=RequestFilters(**filters))
    return [row["id"] for row in rows]


async def test_an_export_has_every_row_once_while_rows_arrive_and_are_pruned(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(requests, "_EXPORT_CHUNK", 7)
    there = await put(sessions, *(row(DAY + n // 3) for n in range(100)))
    seen: list[str] = []
    pruned: set[str] = set()
    async for one in requests.export(sessions):
        seen.append(one["id"])
        if len(seen) % 10 == 0:  # behind and before the place that has been reached, and where it is
            await put(sessions, row(DAY), row(DAY + len(seen) // 3), row(DAY + 90))
            gone = {there[len(seen) // 2], there[-len(seen) // 2]}
            async with sessions.write() as s:
                await s.execute(delete(request_log).where(request_log.c.id.in_(gone)))
            pruned |= gone - set(seen)
    assert len(seen) == len(set(seen))
    assert set(there) - pruned <= set(seen)


async def test_an_export_that_nobody_reads_on_holds_no_transaction(sessions: Sessions, engine: AsyncEngine):
    await put(sessions, *(row(DAY + n) for n in range(3)))
    rows = requests.export(sessions)
    first = await anext(rows)
    if engine.dialect.name == "postgresql":
        async with sessions.read() as s:
            open_ones = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%' AND datname = "
            assert (await s.execute(text(f"{open_ones}current_database()"))).scalar_one() == 0
    assert engine.pool.checkedout() == 0  # type: ignore[attr-defined]  # of the pools that count
    assert first["timestamp"] == DAY


async def test_a_page_looks_at_a_bounded_number_of_rows_and_says_where_to_go_on(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(requests, "SCAN", 10)
    rare = {n for n in range(60) if n in (3, 4, 5, 31, 59)}
    ids = await put(sessions, *(row(DAY + n, latency_ms=900.0 if n in rare else 1.0) for n in range(60)))
    seen, cursor, pages = [], None, 0
    async with sessions.read() as s:
        while True:
            found, cursor = await requests.page(s, filters=RequestFilters(min_latency_ms=500), before=cursor, limit=2)
            seen += [row["id"] for row in found]
            pages += 1
            if cursor is None:
                break
    assert seen == [ids[n] for n in sorted(rare, reverse=True)]
    assert pages == 7  # six windows of ten rows, of which one held more than a page
    exported = [found["id"] async for found in requests.export(sessions, RequestFilters(min_latency_ms=500))]
    assert exported == [ids[n] for n in sorted(rare)]


@pytest.mark.parametrize(
    ("filters", "index"),
    [
        ({}, "timestamp_id"),
        ({"project_id": LEGAL}, "project_id_timestamp_id"),
        ({"correlation_id": "c"}, "correlation_id_timestamp_id"),
        ({"client_request_id": "c", "status_class": 5}, "client_request_id_timestamp_id"),
        ({"end_user": "ana", "model": "m"}, "end_user_timestamp_id"),
        ({"error_code": "x", "project_id": LEGAL}, "error_code_timestamp_id"),
        ({"status_class": 5}, "failed"),
        ({"status": 404}, "failed"),
        ({"model": "m"}, "timestamp_id"),
    ],
    ids=lambda value: "+".join(value) if isinstance(value, dict) else "",
)
async def test_every_page_goes_along_an_index_without_sorting(
    sqlite_url: str, tmp_path: Path, filters: dict[str, Any], index: str
):
    engine = open_engine(sqlite_url, data_dir=tmp_path)
    told: list[tuple[str, Any]] = []

    def heard(_: Any, __: Any, statement: str, values: Any, *___: Any) -> None:
        told.append((f"EXPLAIN QUERY PLAN {statement}", values))

    event.listen(engine.sync_engine, "before_cursor_execute", heard)
    async with Sessions(engine).read() as s:
        await requests.page(s, filters=RequestFilters(**filters))
        plan = [line[3] for line in (await (await s.connection()).exec_driver_sql(*told[-1])).all()]
    await engine.dispose()
    scans = [line for line in plan if "request_log" in line and "ended" not in line]
    assert scans
    assert all(f"ix_request_log_{index}" in line for line in scans), plan
