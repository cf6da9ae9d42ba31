from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

from sqlalchemy import insert

from llm_gateway.storage import alarms
from llm_gateway.storage.sessions import Sessions
from llm_gateway.storage.tables import LATENCY_BOUNDS, ROLLED, usage_rollup

DAY = 20_000 * 86_400
LEGAL, SALES = str(uuid4()), str(uuid4())
CI, APP = str(uuid4()), str(uuid4())


async def rolled(sessions: Sessions, *rows: dict[str, Any]) -> None:
    always = {"model": "fast", "backend_model": "", "tier": "own", "endpoint": "/v1/chat", "status_class": 2}
    plain = {"seconds": 60, "project_id": LEGAL, "key_id": CI, "error_code": "", **dict.fromkeys(ROLLED, 0)}
    async with sessions.write() as s:
        await s.execute(insert(usage_rollup), [{**always, **plain, **row} for row in rows])


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


async def test_a_window_is_summed_up_by_project_and_model(sessions: Sessions):
    one = {"bucket": DAY + 600, "requests": 10, "errors": 1, "tokens_input": 5, "tokens_output": 6, "cost_nanos": 2**40}
    await rolled(
        sessions,
        {**one, "latency_3": 9, "latency_14": 1, "ttft_0": 10},
        {**one, "status_class": 5, "error_code": "x", "latency_3": 1},
        {**one, "bucket": DAY + 540, "model": "big"},
        {**one, "bucket": DAY + 300, "project_id": SALES},
        {**one, "seconds": 3600, "bucket": DAY, "requests": 77},
    )
    async with sessions.read() as s:
        near = await alarms.sums(s, DAY + 630, 60, timed=True)
        far = await alarms.sums(s, DAY + 630, 300, timed=True)
        hours = await alarms.sums(s, DAY + 630, 3 * 3600, timed=False)
    assert {(each.project_id, each.model) for each in near} == {(LEGAL, "fast"), (LEGAL, "big")}
    fast = next(each for each in near if each.model == "fast")
    assert (fast.requests, fast.errors, fast.tokens, fast.cost_nanos) == (20, 2, 22, 2**41)
    assert (fast.latency[3], fast.latency[14], fast.ttft[0]) == (10, 1, 10)
    assert len(fast.latency) == len(LATENCY_BOUNDS) + 1
    assert {each.project_id for each in far} == {LEGAL, SALES}
    assert [(each.requests, each.latency, each.ttft) for each in hours] == [(77, (), ())]


async def test_used_amounts_are_of_the_day_and_of_the_month(sessions: Sessions):
    one = {"seconds": 86_400, "tokens_input": 10, "tokens_output": 5, "cost_nanos": 7}
    await rolled(
        sessions,
        {**one, "bucket": DAY},
        {**one, "bucket": DAY, "model": "big"},
        {**one, "bucket": DAY, "key_id": APP},
        {**one, "bucket": DAY - 86_400},
        {**one, "bucket": DAY - 40 * 86_400},
        {**one, "bucket": DAY, "project_id": SALES},
        {**one, "seconds": 3600, "bucket": DAY},
    )
    async with sessions.read() as s:
        found = await alarms.used(s, [LEGAL], day=DAY, month=DAY - 2 * 86_400)
        assert await alarms.used(s, [], day=DAY, month=DAY) == []
    assert {each.key_id: each for each in found} == {
        CI: alarms.Used(LEGAL, CI, 30, 14, 45, 21),
        APP: alarms.Used(LEGAL, APP, 15, 7, 15, 7),
    }
