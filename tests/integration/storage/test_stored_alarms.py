from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

from llm_gateway.clock import Ids
from llm_gateway.storage import alarms, records, rollups
from llm_gateway.storage.sessions import Sessions

DAY = 86_400
FIRST = 1_790_812_800  # of October 2026
LEGAL, SALES = str(uuid4()), str(uuid4())
CI, APP = str(uuid4()), str(uuid4())
new_id = Ids()


async def rolled(sessions: Sessions, *rows: dict[str, Any]) -> None:
    always = {"project_id": LEGAL, "key_id": CI, "model": "fast", "tokens_input": 10, "tokens_output": 5}
    more = {"endpoint": "/v1/chat", "status": 200, "outcome": "ok", "latency_ms": 1.0, "cost_nanos": 500_000_000}
    written = await records.ready([{**always, **more, "id": str(new_id()), **row} for row in rows])
    async with sessions.write() as s:
        await rollups.add(s, await rollups.summed(written))


async def test_the_book_is_nothing_first_and_then_what_was_kept(sessions: Sessions):
    async with sessions.read() as s:
        assert await alarms.get_book(s) is None
    async with sessions.write() as s:
        assert await alarms.hold_book(s) == {}
        await alarms.keep_book(s, {"alerts": [{"value": 0.25, "since": 1764372245.123456}], "recent": []})
    async with sessions.read() as s:
        assert (await alarms.get_book(s))["alerts"] == [{"value": 0.25, "since": 1764372245.123456}]


async def test_of_many_who_hold_the_book_each_sees_what_the_one_before_wrote(sessions: Sessions):
    async def add() -> None:
        async with sessions.write() as s:
            count = (await alarms.hold_book(s)).get("count", 0)
            await alarms.keep_book(s, {"count": count + 1})

    await asyncio.gather(*(add() for _ in range(8)))
    async with sessions.read() as s:
        assert await alarms.get_book(s) == {"count": 8}


async def test_used_amounts_are_of_the_day_and_of_the_month(sessions: Sessions):
    now = FIRST + 20 * DAY + 3_700.0
    await rolled(
        sessions,
        {"timestamp": now - 1},
        {"timestamp": now - 3_600, "model": "big"},
        {"timestamp": now - 10, "key_id": APP},
        {"timestamp": now - 5_000},  # yesterday
        {"timestamp": FIRST},
        {"timestamp": FIRST - 1},  # last month
        {"timestamp": now - 1, "project_id": SALES, "cost_nanos": 0},
    )
    async with sessions.read() as s:
        all = await alarms.spent(s, [(p, o) for p in ("daily", "monthly") for o in ("project", "key")], now)
        some = await alarms.spent(s, [("daily", "key")], now)
        assert await alarms.spent(s, [], now) == {}
    assert all == {
        LEGAL: {"daily_tokens": 45, "daily_cost": 1.5, "monthly_tokens": 75, "monthly_cost": 2.5},
        SALES: {"daily_tokens": 15, "daily_cost": 0.0, "monthly_tokens": 15, "monthly_cost": 0.0},
        CI: {"daily_tokens": 45, "daily_cost": 1.0, "monthly_tokens": 75, "monthly_cost": 2.0},
        APP: {"daily_tokens": 15, "daily_cost": 0.5, "monthly_tokens": 15, "monthly_cost": 0.5},
    }
    assert some == {CI: {"daily_tokens": 45, "daily_cost": 1.0}, APP: {"daily_tokens": 15, "daily_cost": 0.5}}


async def test_at_the_very_beginning_of_a_day_nothing_is_used(sessions: Sessions):
    await rolled(sessions, {"timestamp": FIRST - 1})
    async with sessions.read() as s:
        assert await alarms.spent(s, [("daily", "project"), ("monthly", "key")], float(FIRST)) == {}
