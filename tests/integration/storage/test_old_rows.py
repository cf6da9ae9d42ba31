"""What is too old goes in bounded batches; what is younger, and roll-ups by hours and days, stay. On both databases."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Table, func, insert, select

from llm_gateway.clock import Ids
from llm_gateway.ledger import retention as ledger_retention
from llm_gateway.ledger.erasing import erase
from llm_gateway.ledger.retention import cutoffs, prune
from llm_gateway.storage import erasures, payloads, requests, retention
from llm_gateway.storage.sessions import Sessions
from llm_gateway.storage.tables import (
    ROLLED,
    attempt_log,
    payload,
    request_log,
    usage_rollup,
)

NOW = 1_800_000_000.0
DAY = 86_400.0
PROJECT, OTHER = str(uuid4()), str(uuid4())
ids = Ids()


def row(age: float, end_user: str | None = None, project_id: str = PROJECT) -> dict[str, Any]:
    """`age` in days."""
    return {
        "id": str(ids()), "project_id": project_id, "timestamp": NOW - age * DAY, "endpoint": "/v1/chat",
        "status": 200, "outcome": "ok", "latency_ms": 1.0, "end_user": end_user,
    }  # fmt: skip


def said(of: dict[str, Any], days: float = 7.0) -> dict[str, Any]:
    return {
        "request_id": of["id"], "project_id": of["project_id"], "timestamp": of["timestamp"],
        "expires_at": of["timestamp"] + days * DAY, "end_user": of["end_user"], "request": '"q"', "response": '"a"',
        "redactions": 0, "cut": False,
    }  # fmt: skip


def attempt(of: dict[str, Any], number: int) -> dict[str, Any]:
    return {
        "request_id": of["id"], "number": number, "timestamp": of["timestamp"], "server_id": "s", "backend_model": "m",
        "tier": "own", "why": "first", "outcome": "ok", "duration_ms": 1.0, "tokens_output": 1, "tokens_wasted": 0,
    }  # fmt: skip


def rolled(seconds: int, age: float) -> dict[str, Any]:
    bucket = int(NOW - age * DAY) // seconds * seconds
    return {
        "seconds": seconds, "bucket": bucket, "project_id": PROJECT, "key_id": PROJECT, "model": "m",
        "backend_model": "m", "tier": "own", "endpoint": "/v1/chat", "status_class": 2, "error_code": "", "detail": 1,
        **dict.fromkeys(ROLLED, 1),
    }  # fmt: skip


async def store(sessions: Sessions, rows: Iterable[dict[str, Any]], days: float = 7.0) -> None:
    rows = list(rows)
    async with sessions.write() as s:
        await requests.insert_rows(s, rows)
        await payloads.insert_payloads(s, [said(one, days) for one in rows])
        await s.execute(insert(attempt_log), [attempt(one, n) for one in rows for n in (1, 2)])


async def count(sessions: Sessions, table: Table) -> int:
    async with sessions.read() as s:
        return (await s.execute(select(func.count()).select_from(table))).scalar_one()


async def counts(sessions: Sessions) -> tuple[int, int, int]:
    """Rows, attempts, payloads."""
    return (
        await count(sessions, request_log),
        await count(sessions, attempt_log),
        await count(sessions, payload),
    )


async def test_each_kind_goes_after_its_own_time(sessions: Sessions, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger_retention, "MOST", 100)
    monkeypatch.setattr(ledger_retention, "REST", 0.0)
    await store(sessions, [row(100 - n / 1000) for n in range(250)])  # too old
    await store(sessions, [row(30) for _ in range(50)])  # of these the payloads have expired
    await store(sessions, [row(1) for _ in range(20)])
    async with sessions.write() as s:
        await s.execute(insert(usage_rollup), [rolled(n, age) for n in (60, 3600, 86400) for age in range(1, 41)])
    old = cutoffs(NOW, 90, 14, 365)
    async with sessions.read() as s:
        told = await retention.too_old(s, old)
    assert told == {"payloads": 300, "requests": 250, "minutes": 26, "audit": 0}

    deleted = await prune(sessions, old)

    assert deleted == told
    assert await counts(sessions) == (70, 140, 20)
    assert await count(sessions, usage_rollup) == 120 - 26
    assert await prune(sessions, old) == {"payloads": 0, "requests": 0, "minutes": 0, "audit": 0}


async def test_a_payload_does_not_outlive_its_row(sessions: Sessions) -> None:
    await store(sessions, [row(100), row(1)], days=3000)
    await prune(sessions, cutoffs(NOW, 90, 14, 365))
    assert await counts(sessions) == (1, 2, 1)


async def test_a_batch_that_takes_long_is_followed_by_smaller_ones(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ledger_retention, "LONGEST", -1.0)
    monkeypatch.setattr(ledger_retention, "REST", 0.0)
    limits: list[int] = []

    async def counted(s: Any, old: Any, limit: int) -> int:
        limits.append(limit)
        return await retention.prune_requests(s, old, limit)

    monkeypatch.setattr(ledger_retention, "STEPS", {"requests": counted})
    await store(sessions, [row(100) for _ in range(420)])
    await prune(sessions, cutoffs(NOW, 90, 14, 365))
    assert limits == [200, 100, 50, 50, 50]
    assert (await counts(sessions))[0] == 0


async def test_only_one_process_deletes(postgresql_url: str, tmp_path: Any) -> None:
    from llm_gateway.storage.engine import open_engine

    engine = open_engine(postgresql_url, data_dir=tmp_path)
    sessions = Sessions(engine)
    try:
        await store(sessions, [row(100)])
        async with sessions.write() as s:
            assert await retention.claim(s)
            assert (await prune(sessions, cutoffs(NOW, 90, 14, 365)))["requests"] == 0
        assert (await prune(sessions, cutoffs(NOW, 90, 14, 365)))["requests"] == 1
    finally:
        await engine.dispose()


async def test_an_erasure_takes_what_is_its_own_and_counts_it_by_days(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasures, "WINDOW", 7)
    await store(sessions, [row(age, user) for age in (1, 1, 3) for user in ("eve", "bob", None, "Eve")])
    await store(sessions, [row(1, "eve", OTHER), row(-1, "eve")])  # another's, and a later one
    async with sessions.write() as s:
        await payloads.insert_payloads(s, [said({**row(1, "eve"), "id": str(uuid4())})])  # whose row was lost
    async with sessions.write() as s:
        begun = await erasures.begin(s, PROJECT, "eve", NOW)

    told = [each async for each in erase(sessions, begun)]

    assert told[-1] == (3, sessions.engine.dialect.name == "sqlite")  # PostgreSQL's files may hold bytes of it
    async with sessions.read() as s:
        left = [(one["project_id"], one["end_user"]) async for one in requests.export(sessions)]
        assert left.count((PROJECT, "eve")) == 1
        assert left.count((OTHER, "eve")) == 1
        assert len(left) == 14 - 3
        day = int(NOW // DAY) * int(DAY)
        assert await erasures.erased_days(s) == {(day - 86_400, PROJECT): 2, (day - 3 * 86_400, PROJECT): 1}
        done = await erasures.get_erasure(s, begun.id)
        assert (done.done, done.rows) == (True, 3)
    assert await counts(sessions) == (11, 22, 11)


async def test_an_erasure_that_broke_off_is_finished_and_counts_once(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasures, "WINDOW", 4)
    await store(sessions, [row(1) for _ in range(10)])
    async with sessions.write() as s:
        begun = await erasures.begin(s, PROJECT, None, NOW)
    steps = erase(sessions, begun)
    assert await anext(steps) == (4, False)
    await steps.aclose()
    async with sessions.read() as s:
        [again] = await erasures.list_erasures(s, unfinished=True)
    assert (again.rows, again.done) == (4, False)
    assert [rows async for rows, _ in erase(sessions, again)][-1] == 10
    async with sessions.read() as s:
        assert sum((await erasures.erased_days(s)).values()) == 10
        assert not await erasures.list_erasures(s, unfinished=True)


async def test_postgresql_tables_written_anew_hold_no_byte_of_it(
    postgresql_url: str, postgresql_server: Any, tmp_path: Any
) -> None:
    from llm_gateway.storage.engine import open_engine

    if not hasattr(postgresql_server, "_dir"):
        pytest.skip("the files of a PostgreSQL that somebody else runs cannot be looked at")
    files = postgresql_server._dir / "data" / "base"
    engine = open_engine(postgresql_url, data_dir=tmp_path)
    sessions = Sessions(engine)

    def found(needle: bytes) -> int:
        postgresql_server.execute("CHECKPOINT")
        return sum(needle in file.read_bytes() for file in files.rglob("*") if file.is_file())

    try:
        await store(sessions, [row(1, user) for user in ("eve-4711", "bob-0815") * 50])
        async with sessions.write() as s:
            begun = await erasures.begin(s, PROJECT, "eve-4711", NOW)
        assert found(b"eve-4711")
        assert [each async for each in erase(sessions, begun, rewrite=True)][-1] == (50, False)
        assert not found(b"eve-4711")
        assert found(b"bob-0815")
    finally:
        await engine.dispose()


async def test_the_tombstone_says_nothing_of_whose_it_is(sessions: Sessions) -> None:
    async with sessions.write() as s:
        begun = await erasures.begin(s, PROJECT, "eve@example.org", NOW)
    assert begun.tag is not None
    assert b"eve" not in begun.tag
    async with sessions.write() as s:
        erased = await erasures.erased(s, NOW - 10)
        assert erased is not None
        assert erased(row(0, "eve@example.org"))
        assert not erased(row(0, "bob@example.org"))
        assert not erased(row(0))
        assert not erased(row(0, "eve@example.org", OTHER))
        assert not erased(row(-1, "eve@example.org"))
        assert await erasures.erased(s, NOW + 10) is None


async def test_old_tombstones_are_forgotten_when_they_are_done(sessions: Sessions) -> None:
    async with sessions.write() as s:
        done = await erasures.begin(s, PROJECT, None, NOW - 100 * DAY)
        await erasures.finish(s, done.id)
        begun = await erasures.begin(s, PROJECT, "eve", NOW - 100 * DAY)
        await erasures.forget_before(s, NOW - 90 * DAY)
        assert [one.id for one in await erasures.list_erasures(s)] == [begun.id]


async def test_what_is_shipped_while_an_erasure_begins_is_seen_by_it(sessions: Sessions) -> None:
    """The erasure's tombstone waits for transactions that ship, so that its search finds their rows."""
    import asyncio

    async def begin() -> float:
        async with sessions.write() as s:
            await erasures.begin(s, PROJECT, None, NOW)
        return time.monotonic()

    async with sessions.write() as s:
        assert await erasures.erased(s, NOW - 10) is None
        await requests.insert_rows(s, [row(1)])
        waiting = asyncio.create_task(begin())
        await asyncio.sleep(0.2)  # it must not be through, however long it gets
        assert not waiting.done()
        shipped = time.monotonic()
    assert await waiting > shipped


def test_ids_are_what_the_tests_take_them_for() -> None:
    assert UUID(row(0)["id"]).version == 7


async def test_two_that_go_on_with_the_same_erasure_count_each_row_once(sessions: Sessions) -> None:
    await store(sessions, [row(n / 100) for n in range(300)])
    async with sessions.write() as s:
        begun = await erasures.begin(s, PROJECT, None, NOW)

    async def finish() -> None:
        async for _ in erase(sessions, begun):
            pass

    await asyncio.gather(finish(), finish(), finish())
    assert await counts(sessions) == (0, 0, 0)
    async with sessions.read() as s:
        assert (await erasures.get_erasure(s, begun.id)).rows == 300
        assert sum((await erasures.erased_days(s)).values()) == 300
