"""Rows, roll-ups and the figures of `usage` are the same, whatever happens to batches."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime
from math import floor
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import delete, func, select, text, update

from llm_gateway.clock import Ids
from llm_gateway.errors import DatabaseUnavailable, InvalidRequest
from llm_gateway.ledger.journal import START, Position
from llm_gateway.ledger.shipper import Batch
from llm_gateway.ledger.store import DatabaseStore
from llm_gateway.storage import upgrade as upgrades
from llm_gateway.storage.audit import Difference, audit
from llm_gateway.storage.engine import open_engine
from llm_gateway.storage.rollups import NOBODY
from llm_gateway.storage.sessions import Sessions
from llm_gateway.storage.tables import request_log, usage_rollup
from llm_gateway.storage.usage import UsageFilters, UsageRow, usage

MIDNIGHT = 1_790_035_200
PROJECTS = [str(uuid4()) for _ in range(3)]
KEYS = [str(uuid4()), None]
new_id = Ids()
dice = random.Random(5)


def some_row(at: float, **fields: Any) -> dict[str, Any]:
    """Any row that the ledger may write."""
    failed = dice.random() < 0.3
    return {
        "id": str(new_id()),
        "project_id": dice.choice(PROJECTS),
        "key_id": dice.choice(KEYS),
        "timestamp": at,
        "endpoint": dice.choice(["/v1/chat", "/api/chat"]),
        "model": dice.choice(["fast", "gründlich", None]),
        "backend_model": None if failed else "llama3.2:3b",
        "tier": None if failed else "own",
        "status": dice.choice([400, 404, 499, 503]) if failed else 200,
        "outcome": "error" if failed else "ok",
        "error_code": dice.choice(["model_not_found", "no_healthy_upstream"]) if failed else None,
        "latency_ms": dice.choice([0.0, 25.0, 25.1, 99.95, 1_234.567, 320_000.0, 1e9, dice.random() * 5_000]),
        "ttft_ms": None if failed else dice.choice([0.04, 0.0005, 250.0, dice.random() * 500]),
        "attempts": dice.randrange(4),
        "failovers": dice.randrange(3),
        "continuations": dice.randrange(2),
        "tokens_input": dice.randrange(10_000),
        "tokens_output": dice.choice([0, 7, 2**70]),
        "tokens_estimated": dice.random() < 0.5,
        "cost_nanos": dice.randrange(10**9),
        **fields,
    }


def some_rows(count: int, *, since: float = MIDNIGHT - 7_200, length: float = 14_400) -> list[dict[str, Any]]:
    """Around a midnight."""
    return [some_row(since + dice.random() * length) for _ in range(count)]


async def ship(sessions: Sessions, rows: list[dict[str, Any]], journal: str = "j", offset: int = 1) -> int:
    """Returns how many were there already."""
    repeated: list[int] = []
    await DatabaseStore(sessions, repeated.append).ship(journal, Batch(rows, [], []), Position(1, offset))
    return sum(repeated)


async def differences(sessions: Sessions, **since: float) -> list[Difference]:
    async with sessions.read() as s:
        return await audit(s, **since)


async def test_rows_roll_ups_and_series_are_the_same_after_many_batches(sessions: Sessions):
    for n in range(5):
        await ship(sessions, some_rows(400), offset=n)
    assert await differences(sessions) == []
    async with sessions.read() as s:
        (total,) = await usage(s, since=MIDNIGHT - 86_400, until=MIDNIGHT + 86_400)
    assert total.requests == 2_000


async def test_rows_that_are_there_already_add_nothing_and_are_told_of(sessions: Sessions):
    rows = some_rows(50)
    assert await ship(sessions, rows) == 0
    assert await ship(sessions, [*rows[:20], *some_rows(30)]) == 20
    twice = some_row(MIDNIGHT)
    assert await ship(sessions, [twice, twice]) == 1
    assert await differences(sessions) == []
    async with sessions.read() as s:
        (total,) = await usage(s, since=MIDNIGHT - 86_400, until=MIDNIGHT + 86_400)
    assert total.requests == 81


async def test_of_rows_that_came_in_before_or_twice_exactly_the_new_ones_count(sessions: Sessions):
    known = some_rows(200)
    await ship(sessions, known)
    async with sessions.write() as s:  # the rows that came last are gone, so that their numbers are free again
        await s.execute(delete(request_log).where(request_log.c.id.in_([row["id"] for row in known[150:]])))
        await s.execute(delete(usage_rollup))
    new = some_rows(300)
    twice = [{**row, "model": "later", "tokens_input": 10**6} for row in dice.sample([*known[:150], *new], 120)]
    after = [*new, *known[:150]]
    dice.shuffle(after)
    assert await ship(sessions, [*after, *twice], offset=2) == 150 + 120
    async with sessions.read() as s:
        (total,) = await usage(s, since=MIDNIGHT - 86_400, until=MIDNIGHT + 86_400)
        later = (await s.execute(select(request_log.c.id).where(request_log.c.model == "later"))).all()
    assert (total.requests, total.tokens_input, later) == (300, sum(row["tokens_input"] for row in new), [])


async def test_a_batch_that_does_not_follow_what_is_there_does_not_arrive(sessions: Sessions):
    store, rows = DatabaseStore(sessions), some_rows(4)
    parts = [Batch([row], [], []) for row in rows]
    await store.ship("j", parts[0], Position(1, 10), after=START)
    await store.ship("j", parts[1], Position(1, 20), after=Position(1, 10))
    for after in (START, Position(1, 10), Position(1, 30)):
        with pytest.raises(DatabaseUnavailable, match="has lost rows"):
            await store.ship("j", parts[2], Position(1, 40), after=after)
    with pytest.raises(DatabaseUnavailable, match="has lost rows"):
        await store.ship("another", parts[2], Position(1, 40), after=Position(1, 20))
    assert await store.position("j") == Position(1, 20)
    again = [store.ship("j", parts[3], Position(2, 5), after=Position(1, 20)) for _ in range(3)]
    assert [type(done) for done in await asyncio.gather(*again, return_exceptions=True)].count(type(None)) == 1
    assert await differences(sessions) == []
    async with sessions.read() as s:
        (total,) = await usage(s, since=MIDNIGHT - 86_400, until=MIDNIGHT + 86_400)
    assert total.requests == 3


async def test_a_row_that_is_there_already_is_found_while_the_batch_is_still_sent(
    sessions: Sessions,
):
    rows = [some_row(MIDNIGHT + n, notes="n" * 512, correlation_id="c" * 256, end_user="e" * 256) for n in range(500)]
    await ship(sessions, rows[:1])
    assert await ship(sessions, rows) == 1
    assert await differences(sessions) == []


async def test_a_batch_of_which_a_late_row_cannot_be_made_ready_leaves_nothing(sessions: Sessions):
    rows = some_rows(3_000)
    with pytest.raises(TypeError, match="no column surprise"):
        await ship(sessions, [*rows, some_row(MIDNIGHT, surprise=1)])
    assert await ship(sessions, rows) == 0
    assert await differences(sessions) == []


async def test_a_batch_may_have_as_many_different_sums_as_rows(sessions: Sessions):
    rows = [some_row(MIDNIGHT - 86_400 + 90 * n, model=f"m{n}") for n in range(2_000)]
    await ship(sessions, rows)
    await ship(sessions, some_rows(500, since=MIDNIGHT - 86_400, length=180_000), offset=2)
    assert await differences(sessions) == []


async def test_rows_that_name_the_same_in_different_ways_are_one_sum(sessions: Sessions):
    same = {"project_id": PROJECTS[0], "backend_model": None, "tier": None, "endpoint": "/v1/chat", "error_code": None}
    ways = [{"key_id": None, "model": None, "status": 200}, {"key_id": NOBODY, "model": "", "status": 204}]
    await ship(sessions, [some_row(MIDNIGHT, outcome="ok", **same, **way) for way in ways * 3])
    async with sessions.read() as s:
        found = (await s.execute(select(usage_rollup.c.requests).where(usage_rollup.c.detail == 1))).scalars().all()
    assert found == [6, 6, 6]
    assert await differences(sessions) == []


async def test_a_batch_that_fails_late_leaves_neither_rows_nor_sums(sessions: Sessions):
    rows = some_rows(10)
    store = DatabaseStore(sessions)
    with pytest.raises(Exception, match=r".+"):
        await store.ship("j", Batch(rows, [], []), Position(1, 2**70))  # no database holds that position
    async with sessions.read() as s:
        assert (await s.execute(select(func.count()).select_from(request_log))).scalar_one() == 0
        assert (await s.execute(select(func.count()).select_from(usage_rollup))).scalar_one() == 0
    await store.ship("j", Batch(rows, [], []), Position(1, 1))
    assert await differences(sessions) == []


async def test_two_processes_add_to_the_same_sums_at_once_without_a_deadlock(
    sessions: Sessions, database_url: str, tmp_path: Path
):
    other = open_engine(database_url, data_dir=tmp_path)

    async def ships(through: Sessions, journal: str) -> None:
        for n in range(10):
            await ship(through, some_rows(100), journal, offset=n)

    try:
        await asyncio.wait_for(asyncio.gather(ships(sessions, "a"), ships(Sessions(other), "b")), 60)
    finally:
        await other.dispose()
    assert await differences(sessions) == []
    async with sessions.read() as s:
        (total,) = await usage(s, since=MIDNIGHT - 86_400, until=MIDNIGHT + 86_400)
    assert total.requests == 2_000


async def test_buckets_begin_at_whole_minutes_hours_and_days_to_the_microsecond(sessions: Sessions):
    times = [MIDNIGHT - 0.000001, MIDNIGHT, MIDNIGHT + 59.999999, MIDNIGHT + 60, MIDNIGHT + 3_600]
    await ship(sessions, [some_row(at, project_id=PROJECTS[0], key_id=None) for at in times])
    async with sessions.read() as s:
        for bucket, wanted in (
            ("minute", [(-60, 1), (0, 2), (60, 1), (3_600, 1)]),
            ("hour", [(-3_600, 1), (0, 3), (3_600, 1)]),
            ("day", [(-86_400, 1), (0, 4)]),
        ):
            found = await usage(s, since=MIDNIGHT - 86_400, until=MIDNIGHT + 86_400, bucket=bucket)  # type: ignore[arg-type]
            assert [(row.bucket, row.requests) for row in found] == [(MIDNIGHT + at, count) for at, count in wanted]
    assert await differences(sessions) == []


async def test_names_that_lead_to_no_model_do_not_make_the_roll_ups_grow(sessions: Sessions):
    made_up = [
        some_row(MIDNIGHT, project_id=PROJECTS[0], key_id=None, endpoint="/v1/chat", model=f"x{n}", **UNKNOWN)
        for n in range(200)
    ]
    await ship(sessions, made_up)
    async with sessions.read() as s:
        assert (await s.execute(select(func.count()).select_from(usage_rollup))).scalar_one() == 6
        (row,) = await usage(s, since=MIDNIGHT, until=MIDNIGHT + 60, by=["model", "key"])
    assert (row.group, row.requests, row.errors) == (("", NOBODY), 200, 200)
    assert await differences(sessions) == []


UNKNOWN: dict[str, Any] = {
    "backend_model": None,
    "tier": None,
    "status": 404,
    "outcome": "error",
    "error_code": "model_not_found",
}


async def test_an_upgrade_sums_up_the_rows_that_are_there(empty_database_url: str, tmp_path: Path):
    engine = open_engine(empty_database_url, data_dir=tmp_path)
    sessions = Sessions(engine)
    try:
        await at_revision(engine, "0004")
        rows = [{k: v for k, v in row.items() if k not in ("failovers", "cost_nanos")} for row in some_rows(300)]
        async with sessions.write() as s:
            await s.execute(request_log.insert(), [row | {"stream": False, "tokens_output": 3} for row in rows])
        await upgrades.upgrade(empty_database_url, tmp_path)
        assert await differences(sessions) == []
        await ship(sessions, some_rows(100))
        assert await differences(sessions) == []
        async with sessions.read() as s:
            (total,) = await usage(s, since=MIDNIGHT - 86_400, until=MIDNIGHT + 86_400)
        assert total.requests == 400
    finally:
        await engine.dispose()


async def at_revision(engine: Any, revision: str) -> None:
    from alembic import command
    from alembic.config import Config

    def run(connection: Any) -> None:
        config = Config(attributes={"connection": connection})
        config.set_main_option("script_location", str(upgrades.MIGRATIONS))
        command.upgrade(config, revision)

    await upgrades.locked(engine, run)


async def test_the_audit_finds_a_sum_that_is_wrong_and_a_row_that_is_gone(sessions: Sessions):
    await ship(sessions, some_rows(50))
    async with sessions.write() as s:
        hour = usage_rollup.c.seconds == 3_600
        await s.execute(update(usage_rollup).where(hour).values(tokens_input=usage_rollup.c.tokens_input + 1))
    found = await differences(sessions)
    assert {(d.what, d.figure) for d in found} == {("hour", "tokens_input"), ("series", "tokens_input")}
    assert all(d.sums == d.rows + 1 for d in found if d.what == "hour")
    assert "hour 2026-" in str(found[0])
    async with sessions.write() as s:
        await s.execute(request_log.delete().where(request_log.c.timestamp < float(MIDNIGHT)))
    kinds = {d.what for d in await differences(sessions)}
    assert kinds == {"minute", "hour", "day", "series", "total"}
    assert {d.bucket < MIDNIGHT for d in await differences(sessions, rows_from=MIDNIGHT)} == {False}


async def test_the_audit_leaves_out_what_is_no_longer_kept(sessions: Sessions):
    await ship(sessions, some_rows(50))
    async with sessions.write() as s:
        await s.execute(request_log.delete().where(request_log.c.timestamp < float(MIDNIGHT)))
        await s.execute(usage_rollup.delete().where(usage_rollup.c.seconds == 60))
    assert await differences(sessions, rows_from=MIDNIGHT - 10, minutes_from=MIDNIGHT + 86_400) == []


async def test_a_connection_that_is_cut_in_the_middle_is_an_outage_and_the_next_batch_goes_in(
    sessions: Sessions, database_url: str
):
    if not database_url.startswith("postgresql"):
        pytest.skip("a file has no connections")
    rows = some_rows(20)
    with pytest.raises(DatabaseUnavailable):
        async with sessions.write() as s:
            await s.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))
    await ship(sessions, rows)
    assert await differences(sessions) == []


async def test_filters_and_groups_are_those_of_the_rows(sessions: Sessions):
    rows = some_rows(500)
    await ship(sessions, rows)
    async with sessions.read() as s:
        for filters, fits in (
            (UsageFilters(project_id=PROJECTS[0]), lambda r: r["project_id"] == PROJECTS[0]),
            (UsageFilters(key_id=NOBODY), lambda r: r["key_id"] is None),
            (
                UsageFilters(status_class=4, endpoint="/api/chat"),
                lambda r: r["status"] // 100 == 4 and "api" in r["endpoint"],
            ),
            (UsageFilters(error_code=""), lambda r: r["error_code"] is None),
            (UsageFilters(tier="own", backend_model="llama3.2:3b"), lambda r: r["tier"] == "own"),
        ):
            (total,) = await usage(s, since=0, until=MIDNIGHT + 86_400, filters=filters)
            assert total.requests == sum(map(fits, rows))
            assert total.cost_nanos == sum(r["cost_nanos"] for r in rows if fits(r))
        top = await usage(s, since=0, until=MIDNIGHT + 86_400, by=["project", "status_class"], top=2)
        every = await usage(s, since=0, until=MIDNIGHT + 86_400, by=["project", "status_class"])
        assert [row.requests for row in top] == sorted((row.requests for row in every), reverse=True)[:2]
        lines = await usage(s, since=0, until=MIDNIGHT + 86_400, by=["project"], bucket="hour", top=1)
        assert {row.group for row in lines} == {largest(every)}
        assert [row.bucket for row in lines] == sorted(row.bucket for row in lines if row.bucket)


async def test_the_weeks_of_a_time_lie_one_upon_the_other(sessions: Sessions):
    since, until = MIDNIGHT - 10 * 86_400 + 1_830.0, MIDNIGHT + 11 * 86_400 + 300.0  # neither begins with an hour
    rows = some_rows(400, since=since - 3_600, length=until - since + 7_200)
    await ship(sessions, rows)

    def expected(**fields: Any) -> dict[int, int]:
        found = Counter[int]()
        for row in rows:
            if floor(since / 60) * 60 <= row["timestamp"] < until and fields.items() <= row.items():
                at = datetime.fromtimestamp(row["timestamp"], UTC)
                found[at.weekday() * 24 + at.hour] += 1
        return dict(found)

    async with sessions.read() as s:
        found = await usage(s, since=since, until=until, by=["hour_of_week"])
        assert {row.group[0]: row.requests for row in found} == expected()
        assert [row.group[0] for row in found] == sorted(expected())
        assert sum(map(sum, (row.latency for row in found))) == sum(row.requests for row in found)
        own = await usage(s, since=since, until=until, by=["hour_of_week"], filters=UsageFilters(tier="own"))
        assert {row.group[0]: row.requests for row in own} == expected(tier="own")
        both = await usage(s, since=since, until=until, by=["project", "hour_of_week"])
        of_one = {row.group[1]: row.requests for row in both if row.group[0] == PROJECTS[0]}
        assert of_one == expected(project_id=PROJECTS[0])
        (busiest,) = await usage(s, since=since, until=until, by=["hour_of_week"], top=1)
        assert busiest.requests == max(expected().values())
        for wrong in ({"bucket": "day"}, {"since": until - 54 * 7 * 86_400}):
            with pytest.raises(InvalidRequest):
                await usage(s, **{"since": since, "until": until, "by": ["hour_of_week"], **wrong})


def of_ollama_4xx(row: dict[str, Any]) -> bool:
    return row["status"] // 100 == 4 and row["endpoint"] == "/api/chat"


def largest(rows: list[UsageRow]) -> tuple[str | int, ...]:
    """The project with most requests, as a group."""
    found: dict[tuple[str | int, ...], int] = {}
    for row in rows:
        found[row.group[:1]] = found.get(row.group[:1], 0) + row.requests
    return max(found, key=lambda project: found[project])
