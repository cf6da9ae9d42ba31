"""Two processes that keep the same limits over a real Redis: exact while it answers, safe while it does not."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from llm_gateway.access.limits import Lease, Limits
from llm_gateway.access.policy import ApiKey, Caller, Project
from llm_gateway.access.refusals import Ask
from llm_gateway.clock import SystemClock
from llm_gateway.errors import BudgetExceeded, ConcurrencyLimited, RateLimited, TokensLimited
from llm_gateway.shared.client import Client
from llm_gateway.shared.limits import SharedLimits
from support.net import wait_until
from support.redises import RedisServer

CLOCK = SystemClock()


def caller(key: dict[str, Any] | None = None, **project: Any) -> Caller:
    return Caller(
        Project(id="p", name="legal", **project),
        ApiKey(id="k", project_id="p", name="ci", hash=b"", prefix="", last4="", **(key or {})),
    )


class Process:
    """What one process knows."""

    def __init__(self, url: str, name: str, instances: int = 1, lease: float = 30.0) -> None:
        self.limits = Limits()
        self.limits.process = f"{name}:"
        self.client = Client(url, CLOCK.now)
        self.shared = SharedLimits(self.limits, self.client, CLOCK, name, lambda: instances, lease=lease)
        self.task = asyncio.create_task(self.shared.run())

    async def passes(self, who: Caller, tokens: int = 0) -> Lease | None:
        try:
            lease = await self.shared.admit(who)
            if tokens:
                try:
                    await self.shared.reserve(lease, Ask(rate=tokens, tokens=tokens))
                except RateLimited:
                    lease.release()
                    raise
        except RateLimited:
            return None
        return lease

    async def uses(self, who: Caller, tokens: int) -> bool:
        lease = await self.passes(who, tokens)
        if lease is not None:
            lease.spend(tokens, 0)
            lease.release()
        return lease is not None

    async def crash(self) -> None:
        """As kill -9: nobody is told of anything."""
        self.task.cancel()
        await asyncio.wait((self.task,))


Start = Callable[..., Awaitable[Process]]


@pytest.fixture
async def start(redis_server: RedisServer) -> AsyncIterator[Start]:
    made: list[Process] = []

    async def begin(**more: Any) -> Process:
        made.append(Process(redis_server.url, f"process-{len(made)}", **more))
        await made[-1].shared.prepare()
        return made[-1]

    yield begin
    for process in made:
        await process.crash()
        await process.client.aclose()


async def heard(process: Process) -> None:
    """Until Redis knows of everything that has ended."""
    await wait_until(lambda: process.shared.settled)


async def test_requests_per_minute_are_exact_over_two_processes(start: Start):
    one, two = await start(), await start()
    who = caller(rate_limit_per_minute=30)
    passed = await asyncio.gather(*(process.passes(who) for process in (one, two) for _ in range(40)))
    assert sum(lease is not None for lease in passed) == 30
    with pytest.raises(RateLimited, match=r"may make 30 requests per minute\. The next one passes in") as caught:
        await one.shared.admit(who)
    assert caught.value.retry_after is not None
    assert 0 < caught.value.retry_after <= 2


async def test_requests_at_a_time_are_exact_over_two_processes(start: Start):
    one, two = await start(), await start()
    who = caller(max_concurrency=7)
    leases = await asyncio.gather(*(process.passes(who) for process in (one, two) for _ in range(10)))
    held = [lease for lease in leases if lease is not None]
    assert len(held) == 7
    with pytest.raises(ConcurrencyLimited):
        await two.shared.admit(who)
    held[0].release()
    held[-1].release()
    await heard(one)
    await heard(two)
    again = [await one.passes(who) for _ in range(4)]
    assert sum(lease is not None for lease in again) == 2


async def test_a_place_is_free_for_whoever_asks_after_its_request_has_ended(start: Start):
    one = await start()
    who = caller(max_concurrency=1)
    for _ in range(50):
        lease = await one.passes(who)
        assert lease is not None
        lease.release()
        for _ in range(2):
            await asyncio.sleep(0)  # the end is on its way, and Redis has not said yet that it has arrived
        assert not one.shared.settled


async def test_tokens_and_budgets_are_exact_over_two_processes(start: Start):
    one, two = await start(), await start()
    who = caller({"daily_tokens": 1000}, tokens_per_minute=100_000, monthly_tokens=5000)
    passed = await asyncio.gather(*(process.uses(who, 10) for process in (one, two) for _ in range(100)))
    assert sum(passed) <= 100
    await heard(one)
    await heard(two)
    passed += [await one.uses(who, 10) for _ in range(200)]  # what was reserved is free again
    assert sum(passed) == 100
    with pytest.raises(BudgetExceeded, match=r"Key `ci` may use 1000 tokens per day .UTC., of which 0 is left"):
        await two.shared.admit(who)


async def test_tokens_per_minute_settle_to_what_was_used(start: Start):
    one, two = await start(), await start()
    who = caller(tokens_per_minute=1000)
    lease = await one.passes(who, 900)
    assert lease is not None
    with pytest.raises(TokensLimited):
        await two.shared.reserve(await two.shared.admit(who), Ask(rate=500, tokens=500))
    lease.spend(100, 0)
    lease.release()
    await heard(one)
    assert await two.passes(who, 850)
    assert not await two.passes(who, 200)


async def test_the_places_of_a_process_that_died_come_free_by_themselves(start: Start):
    dies, lives = await start(lease=0.5), await start(lease=0.5)
    who = caller(max_concurrency=3, daily_tokens=100)
    for _ in range(3):
        assert await dies.passes(who, 30)
    assert not await lives.passes(who)
    began = time.monotonic()
    await dies.crash()
    for tokens in (30, 30, 40):
        await wait_until(lambda tokens=tokens: lives.passes(who, tokens), 3.0)  # type: ignore[misc]
    assert time.monotonic() - began <= 1.0
    assert not await lives.passes(who)


async def test_what_a_dead_process_had_reserved_comes_free_also_when_nobody_asks_for_long(start: Start):
    dies, lives = await start(lease=0.1), await start(lease=0.1)
    who = caller(monthly_tokens=100)
    assert await dies.passes(who, 90)
    await dies.crash()
    await asyncio.sleep(0.5)  # several times as long as a lease
    assert await lives.passes(who, 100)


async def test_leases_of_long_requests_are_renewed(start: Start):
    one, two = await start(lease=0.3), await start(lease=0.3)
    who = caller(max_concurrency=1)
    assert await one.passes(who)
    until = time.monotonic() + 1.0
    while time.monotonic() < until:
        assert not await two.passes(who)
        await asyncio.sleep(0.02)


async def test_nobody_without_limits_asks_redis(redis_server: RedisServer, start: Start):
    one = await start()
    redis_server.kill()
    for _ in range(10):
        lease = await one.passes(caller())
        assert lease is not None
        lease.release()
    assert one.client.up


@asynccontextmanager
async def outage(redis: RedisServer, how: str) -> AsyncIterator[None]:
    async with AsyncExitStack() as back:
        if how == "killed":
            redis.kill()
            back.callback(redis.start)
        else:
            redis.freeze()
            back.callback(redis.thaw)
        yield


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_without_redis_they_stay_within_the_limits_together(start: Start, redis_server: RedisServer, how: str):
    one, two = await start(instances=2), await start(instances=2)
    who = caller(max_concurrency=6, rate_limit_per_minute=60, daily_tokens=1000)
    assert await one.uses(who, 100)
    await heard(one)
    assert await two.uses(who, 100)
    await heard(two)
    async with outage(redis_server, how):
        waits = []
        held = []
        for process in (one, two) * 10:
            began = time.monotonic()
            held.append(await process.passes(who, 100))
            waits.append(time.monotonic() - began)
        alive = [lease for lease in held if lease is not None]
        assert 4 <= len(alive) <= 6
        assert max(waits) <= 0.1  # 50 ms, and what this machine is busy with
        assert sorted(waits)[-5] <= 0.02
        for lease in alive:
            lease.spend(100, 0)
            lease.release()

    async def known() -> bool:
        told = await one.passes(who)
        if told is not None:
            told.release()
        used = one.limits.account("p", CLOCK.now()).spent("day", one.limits.periods(CLOCK.wall()).day)
        return one.shared.up and one.shared.settled and two.shared.settled and used.all_tokens >= 600

    await wait_until(known, 12.0, every=0.1)
    used = one.limits.account("p", CLOCK.now()).spent("day", one.limits.periods(CLOCK.wall()).day)
    assert 200 + 100 * len(alive) - 100 <= used.all_tokens <= 200 + 100 * len(alive)


@asynccontextmanager
async def slow_line(redis: RedisServer, delay: float) -> AsyncIterator[str]:
    """The URL of a Redis of which each answer takes `delay` seconds more."""
    tasks: set[asyncio.Task[None]] = set()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while data := await reader.read(65_536):
            loop.call_later(delay, writer.write, data)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream, downstream = await asyncio.open_connection("127.0.0.1", redis.port)
        tasks.update((asyncio.create_task(carry(upstream, writer)), asyncio.create_task(straight(reader, downstream))))

    async def straight(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65_536):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@pytest.mark.parametrize("delay", [2.0, 0.3, 0.1], ids="{} s".format)
async def test_a_slow_redis_costs_a_request_no_more_than_one_that_is_away(redis_server: RedisServer, delay: float):
    """Also where what happens in the background, which can wait, gets its answers."""
    who = caller(max_concurrency=1000, rate_limit_per_minute=100_000, daily_tokens=10**9)
    async with slow_line(redis_server, delay) as url:
        one = Process(url, "slow")
        waits = []
        until = time.monotonic() + 3.0
        while time.monotonic() < until:
            began = time.monotonic()
            assert await one.uses(who, 10)
            waits.append(time.monotonic() - began)
            await asyncio.sleep(0.005)
        await one.crash()
        await one.client.aclose()
    assert max(waits) <= 0.1  # 50 ms, and what this machine is busy with
    assert sorted(waits)[len(waits) * 9 // 10] <= 0.02


async def test_a_process_that_is_late_itself_looks_again_and_gives_up_before_long(
    start: Start, redis_server: RedisServer
):
    async def hog() -> None:
        while True:
            time.sleep(0.05)  # what a process does that has too much to do
            await asyncio.sleep(0)

    one = await start()
    task = asyncio.create_task(hog())
    for _ in range(3):  # an answer that is there is not overlooked
        assert await one.passes(caller(rate_limit_per_minute=100))
    assert one.client.up
    redis_server.freeze()
    began = time.monotonic()
    assert await one.passes(caller(rate_limit_per_minute=100))
    assert time.monotonic() - began <= 1.5
    task.cancel()


async def test_a_redis_that_has_forgotten_everything_is_told_within_two_seconds_what_runs(
    start: Start, redis_server: RedisServer
):
    one, two = await start(), await start()
    who = caller(max_concurrency=3, daily_tokens=100)
    assert all([await one.passes(who, 30) for _ in range(3)])
    await asyncio.sleep(0.7)  # they were renewed for the first time
    redis_server.kill()
    redis_server.start()  # before anybody noticed

    async def told() -> bool:
        return await two.client.command("ZCARD", "llmgw:{p}:p:leases", patience=1.0) == 3

    await wait_until(told, 2.0)
    assert not await two.passes(who)
    assert await two.client.command("HGET", "llmgw:{p}:p:state", "vt") == b"90"


async def test_what_runs_when_redis_comes_back_keeps_its_place(start: Start, redis_server: RedisServer):
    one, two = await start(), await start()
    who = caller(max_concurrency=3)
    async with outage(redis_server, "killed"):
        lease = await one.passes(who)
        assert lease is not None

    async def full() -> bool:
        if not two.client.up:
            await two.passes(who)
        count = await one.client.command("ZCARD", "llmgw:{p}:p:leases") if one.client.up else 0
        return bool(count)

    await wait_until(full, 12.0, every=0.1)
    await wait_until(lambda: one.shared.up)
