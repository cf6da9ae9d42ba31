"""Two gateways over one PostgreSQL and one Redis: whichever is asked shows, tells and ends the requests of both."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from llm_gateway.shared.bus import STREAM
from llm_gateway.shared.members import MEMBERS
from llm_gateway.shared.seen import Ended, Told, packed
from llm_gateway.shared.sight import MINE
from llm_gateway.testing.rogue import Rogue
from support.feeds import FEED, Page, page
from support.gateway import Live, gateway
from support.net import wait_until
from support.redises import RedisServer
from support.rogues import StartRogue

PASSWORD = "seven unlikely green words"
Pair = tuple[Live, Live]
StartPair = Callable[[Rogue], Awaitable[Pair]]


@pytest.fixture
async def pair(tmp_path: Path, redis_server: RedisServer, postgresql_url: str) -> AsyncIterator[StartPair]:
    """Two that know of each other."""
    async with AsyncExitStack() as stack:

        async def start(server: Rogue) -> Pair:
            shared: dict[str, Any] = {"database_url": postgresql_url, "redis_url": redis_server.url}
            one, two = [
                await stack.enter_async_context(gateway(tmp_path / name, server, **shared)) for name in ("one", "two")
            ]
            await wait_until(lambda: both_are_known(one, two), 5.0)
            return one, two

        yield start


def both_are_known(one: Live, two: Live) -> bool:
    return one.running.others.instances() == two.running.others.instances() == 2


async def listed(live: Live) -> dict[str, Any]:
    answer = await live.http.get("/admin/api/live", headers=live.admin())
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def listing(live: Live, count: int, seen: int = 2) -> dict[str, Any]:
    """What is in flight, once there are so many, of so many processes."""
    found: dict[str, Any] = {}

    async def there() -> bool:
        found.update(await listed(live))
        return len(found["data"]) == count and found["workers"] == {"seen": seen, "of": 2}

    await wait_until(there, 10.0, every=0.05)
    return found


async def cancel(live: Live, request_id: str) -> httpx.Response:
    return await live.http.post(f"/admin/api/live/{request_id}/cancel", headers=live.admin())


async def audited(live: Live) -> list[str]:
    """Requests that somebody cancelled, by the audit log."""
    answer = await live.http.get("/admin/api/audit", params={"action": "request.cancel"}, headers=live.admin())
    return [row["object_id"] for row in answer.json()["data"]]


async def ids_of(open: Page, count: int) -> list[str]:
    """Of the requests that are told next."""
    return [(await open.until("request"))["request_id"] for _ in range(count)]


async def test_either_shows_the_requests_of_both(pair: StartPair, rogue: StartRogue):
    server = await rogue(mood="hang_after_request")
    both = await pair(server)
    asking = [asyncio.create_task(live.chat()) for live in both]
    await server.until(lambda s: s.in_flight == 2)
    for live in both:
        found = await listing(live, 2)
        assert found["total"] == 2
        first, second = found["data"]
        assert first["started_at"] <= second["started_at"]
        for row in (first, second):
            assert row["phase"] == "first_token"
            assert row["project"] == live.project
            assert row["server"]["name"] == live.state(server).spec.name
            assert 0 < row["age_ms"] < 60_000
    for row in (await listed(both[0]))["data"]:
        assert (await cancel(both[0], row["request_id"])).status_code == 200
    assert [answer.status_code for answer in await asyncio.gather(*asking)] == [499, 499]
    assert (await listing(both[1], 0))["total"] == 0


async def test_one_list_alone_waits_for_the_others(pair: StartPair, rogue: StartRogue):
    server = await rogue(mood="hang_after_request")
    one, two = await pair(server)
    asking = asyncio.create_task(one.chat())
    await server.until(lambda s: s.in_flight == 1)
    found = await listed(two)
    assert (len(found["data"]), found["workers"]) == (1, {"seen": 2, "of": 2})
    await cancel(two, found["data"][0]["request_id"])
    await asking


async def test_a_request_is_ended_from_another_process(pair: StartPair, rogue: StartRogue):
    server = await rogue(words=1000, rate=100)
    one, two = await pair(server)
    asking = asyncio.create_task(one.stream())
    (row,) = (await listing(two, 1))["data"]
    began = time.monotonic()
    answer = await cancel(two, row["request_id"])
    assert time.monotonic() - began < 2.0
    assert answer.status_code == 200, answer.text
    assert (answer.json()["request_id"], answer.json()["phase"]) == (row["request_id"], "streaming")
    told = await asking
    assert told.error is not None
    assert told.error["code"] == "cancelled_by_operator"
    await server.until(lambda s: s.in_flight == 0, within=1.0)
    logged = await two.row(request_id=row["request_id"])
    assert logged["error_code"] == "cancelled_by_operator"
    assert await audited(two) == [row["request_id"]]
    assert (await cancel(two, row["request_id"])).status_code == 404
    assert await audited(one) == [row["request_id"]]


async def test_what_nobody_has_is_not_found_and_what_cannot_be_known_is_said(
    pair: StartPair, rogue: StartRogue, redis_server: RedisServer
):
    one, _ = await pair(await rogue())
    began = time.monotonic()
    answer = await cancel(one, "x" * 36)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert time.monotonic() - began < 1.5
    assert await audited(one) == []
    async with Redis.from_url(redis_server.url) as redis:
        await redis.zadd(MEMBERS, {"f" * 32: 1e15})  # one that lives, and does not answer
    await wait_until(lambda: one.running.others.instances() == 3, 5.0)
    answer = await cancel(one, "x" * 36)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert (await listed(one))["workers"] == {"seen": 2, "of": 3}
    redis_server.kill()
    answer = await cancel(one, "x" * 36)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
    assert await audited(one) == ["x" * 36] * 2, "it may have been ended"


async def test_an_open_page_is_told_what_ends_in_both_once_each(pair: StartPair, rogue: StartRogue):
    one, two = await pair(await rogue())
    await two.chat()
    async with page(one) as open, page(two) as other:
        hello = await open.until("hello")
        assert (len(hello["requests"]), hello["in_flight"]["workers"]) == (1, {"seen": 2, "of": 2})
        await other.until("hello")
        answers = [await live.chat() for live in (one, two, two, one)]
        told = await ids_of(open, 4)
        answers.append(await one.chat())
        told += await ids_of(open, 1)
        ids = [answer.headers["x-request-id"] for answer in answers]
        assert sorted(told) == sorted(ids)
        assert told[-1] == ids[-1]
        assert sorted(await ids_of(other, 5)) == sorted(ids)
    rows = {row["request_id"]: row for row in await logged(one, 6)}
    assert all(data == rows[data["request_id"]] for name, data, _ in open.told if name == "request")


async def logged(live: Live, count: int) -> list[dict[str, Any]]:
    await live.rows(count)
    answer = await live.http.get("/admin/api/requests", headers=live.admin())
    rows: list[dict[str, Any]] = answer.json()["data"]
    return rows


async def test_a_page_shows_what_another_process_does_now(pair: StartPair, rogue: StartRogue):
    server = await rogue(mood="hang_after_request")
    one, two = await pair(server)
    async with page(one) as open:
        await open.until("hello")
        asking = asyncio.create_task(two.chat())
        while not (found := await open.until("inflight"))["data"]:
            pass
        await cancel(one, found["data"][0]["request_id"])
        while (await open.until("inflight"))["data"]:
            pass
        await asking


async def test_a_page_that_comes_again_at_another_process_is_told_what_it_missed(pair: StartPair, rogue: StartRogue):
    one, two = await pair(await rogue())
    async with page(one) as open:
        await open.until("hello")
        await two.chat()
        await open.until("request")
        last = open.told[-1][2]
    missed = [(await live.chat()).headers["x-request-id"] for live in (one, two, one)]
    async with page(two, last) as again:
        hello = await again.until("hello")
    assert hello["resumed"] is True
    assert [row["request_id"] for row in hello["requests"]] == missed
    assert again.told[-1][2] == missed[-1]


async def test_while_redis_is_away_a_page_shows_its_own_process_and_the_others_again_afterwards(
    pair: StartPair, rogue: StartRogue, redis_server: RedisServer
):
    server = await rogue(mood="hang_after_request")
    one, two = await pair(server)
    asking = [asyncio.create_task(live.chat()) for live in (one, two)]
    await server.until(lambda s: s.in_flight == 2)
    async with page(one) as open:
        await open.until("hello")
        await listing(one, 2)
        redis_server.kill()
        began = time.monotonic()
        await listing(one, 1, seen=1)
        assert time.monotonic() - began < 1.5
        while (found := await open.until("inflight"))["workers"]["seen"] > 1:
            pass
        here, there = [(await live.chat(model="no-such-model")).headers["x-request-id"] for live in (one, two)]
        assert await ids_of(open, 1) == [here]
        redis_server.start()
        assert await ids_of(open, 1) == [there]
        await wait_until(lambda: both_are_known(one, two), 10.0)
        found = await listing(one, 2)
    for row in found["data"]:
        assert (await cancel(two, row["request_id"])).status_code == 200
    await asyncio.gather(*asking)


async def test_a_redis_that_says_nothing_keeps_nobody_waiting(
    pair: StartPair, rogue: StartRogue, redis_server: RedisServer
):
    one, _ = await pair(await rogue())
    async with page(one) as open:
        await open.until("hello")
        await listing(one, 0)
        redis_server.freeze()
        slowest, seen = 0.0, 2
        until = time.monotonic() + 10
        while seen > 1 and time.monotonic() < until:
            began = time.monotonic()
            seen = (await listed(one))["workers"]["seen"]
            slowest = max(slowest, time.monotonic() - began)
            await asyncio.sleep(0.05)
        assert (seen, slowest < 1.5) == (1, True)
        await one.chat(model="no-such-model")
        await open.until("request")
        redis_server.thaw()
        await listing(one, 0)


@pytest.mark.slow
async def test_every_row_is_told_once_also_when_redis_stops_and_goes_meanwhile(
    pair: StartPair, rogue: StartRogue, redis_server: RedisServer
):
    both = await pair(await rogue())
    ended: list[str] = []
    told: list[str] = []

    async def ask(live: Live) -> None:
        while True:
            ended.append((await live.chat(model="no-such-model")).headers["x-request-id"])
            await asyncio.sleep(0.05)

    async def read(open: Page) -> None:
        while True:
            told.append((await open.until("request"))["request_id"])

    async with page(both[0]) as open:
        assert (await open.until("hello"))["requests"] == []
        asking = [asyncio.create_task(ask(live)) for live in both]
        reading = asyncio.create_task(read(open))
        try:
            for stop, go in (
                (redis_server.freeze, redis_server.thaw),
                (redis_server.kill, redis_server.start),
            ):
                await wait_until(lambda: len(set(told)) > len(ended) - 20, 10.0)
                before = len(ended)
                stop()
                await wait_until(lambda before=before: len(ended) >= before + 50, 10.0)  # a hundred of each are kept
                go()
            await wait_until(lambda: len(set(told)) > len(ended) - 20, 10.0)
        finally:
            for task in asking:
                task.cancel()
            await asyncio.wait(asking)
        await wait_until(lambda: set(ended) <= set(told), 10.0)
        reading.cancel()
    assert len(told) == len(set(told))
    assert [name for name, _, _ in open.told].count("hello") == 1


async def test_nonsense_that_comes_by_way_of_redis_changes_nothing(
    pair: StartPair, rogue: StartRogue, redis_server: RedisServer
):
    one, two = await pair(await rogue())
    with capture_logs() as logs:
        async with page(one) as open, Redis.from_url(redis_server.url) as redis:
            await open.until("hello")
            (mine,) = [key async for key in redis.scan_iter(f"{MINE}*")]
            row: dict[str, Any] = dict.fromkeys(Ended.__annotations__)
            wrong = packed(Told(1, 1, None, [{**row, "id": "x", "timestamp": float("nan")}], True))  # type: ignore[typeddict-item]
            for words in (b"", b"\xff\x00 nonsense", b"\x91" * 50_000, b"x" * 2**20, wrong):
                await redis.xadd(mine, {"from": "somebody", "told": words})
                await redis.xadd(STREAM, {"from": "somebody", "said": words})
            await redis.xadd(mine, {"something": "else"})
            await redis.xadd(STREAM, {"said": b"\xff", "from": b"\xff" * 1000})
            id = (await two.chat()).headers["x-request-id"]
            assert await ids_of(open, 1) == [id]
            assert (await listing(one, 0))["workers"] == {"seen": 2, "of": 2}
    strange = [line for line in logs if line["event"] == "strange_message_ignored"]
    assert len(strange) == 2  # one of each process
    assert not [line for line in logs if line["log_level"] in ("error", "critical")]


async def test_sign_ins_that_fail_are_counted_together(pair: StartPair, rogue: StartRogue):
    one, two = await pair(await rogue())
    body = {"name": "ann", "role": "viewer", "password": PASSWORD}
    assert (await one.http.post("/admin/api/users", json=body, headers=one.admin())).status_code == 201
    wrong = {"name": "ann", "password": "wrong"}
    for _ in range(5):
        assert (await one.http.post("/admin/api/session", json=wrong)).status_code == 401
    statuses: list[int] = []

    async def locked() -> bool:
        statuses.append((await two.http.post("/admin/api/session", json=wrong)).status_code)
        return statuses[-1] == 429

    await wait_until(locked, 5.0, every=0.2)
    assert len(statuses) < 5
    right = {"name": "ann", "password": PASSWORD}
    assert (await two.http.post("/admin/api/session", json=right)).status_code == 429


async def test_while_nobody_looks_nothing_is_sent(pair: StartPair, rogue: StartRogue, redis_server: RedisServer):
    one, two = await pair(await rogue())
    async with Redis.from_url(redis_server.url) as redis:

        async def streams() -> int:
            return len([key async for key in redis.scan_iter(f"{MINE}*")])

        await asyncio.gather(*(live.chat() for live in (one, two)))
        assert await streams() == 0
        await listed(one)
        assert await streams() == 1

        async def forgotten() -> bool:
            return await streams() == 0

        await wait_until(forgotten, 20.0, every=0.2)


async def test_a_reader_is_let_go_whose_session_ended_in_another_process(pair: StartPair, rogue: StartRogue):
    one, two = await pair(await rogue())
    for name in ("ann", "bob"):
        body = {"name": name, "role": "viewer", "password": PASSWORD}
        assert (await one.http.post("/admin/api/users", json=body, headers=one.admin())).status_code == 201
    async with AsyncExitStack() as stack:
        pages: dict[str, Page] = {}
        for name in ("ann", "bob"):
            http = await stack.enter_async_context(httpx.AsyncClient(base_url=two.base_url, trust_env=False))
            answer = await http.post("/admin/api/session", json={"name": name, "password": PASSWORD})
            assert answer.status_code == 201
            pages[name] = Page(await stack.enter_async_context(http.stream("GET", FEED)))
            await pages[name].until("hello")
        began = time.monotonic()
        gone = await one.http.patch("/admin/api/users/ann", json={"is_active": False}, headers=one.admin())
        assert gone.status_code == 200
        assert await pages["ann"].until("end") == {"reason": "signed_out"}
        assert time.monotonic() - began < 3.0
        await two.chat()
        await pages["bob"].until("request")
