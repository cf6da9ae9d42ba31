"""Several gateways over one Redis: who lives, who asks the servers, what one finds out and all know.

The first tests hold for `Alone` as well: the seam's contract.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from redis.asyncio import Redis

from llm_gateway.access.policy import Trust
from llm_gateway.errors import FaultKind
from llm_gateway.fleet.facts import (
    AttemptEnded,
    Fact,
    FirstToken,
    Listed,
    ListedModel,
    ProbeFailed,
    ServerSpec,
    Warm,
)
from llm_gateway.fleet.fleet import Fleet
from llm_gateway.shared import bus as bus_module
from llm_gateway.shared.bus import STREAM
from llm_gateway.shared.others import Alone, Others
from llm_gateway.shared.together import Together
from support.net import wait_until
from support.redises import RedisServer

MODELS = (ListedModel("m", digest="a" * 64), ListedModel("n", digest="b" * 64))


class Process:
    """A fleet of four servers, what others tell it, and whether it probes."""

    def __init__(self, others: Callable[[Fleet, Callable[[Fact], None]], Others]) -> None:
        self.fleet = Fleet(lambda: 0.5)
        self.fleet.describe(
            ServerSpec(f"s{n}", f"s{n}", f"http://10.0.0.{n}", "ollama", Trust.OWN, models=MODELS) for n in range(4)
        )
        self.heard: list[Fact] = []
        self.probing = False
        self.others = others(self.fleet, self._hear)
        self._tasks: list[asyncio.Task[None]] = []

    def _hear(self, fact: Fact) -> None:
        self.heard.append(fact)
        self.fleet.apply(fact)

    def find(self, fact: Fact) -> None:
        """As the prober and requests do."""
        self.fleet.apply(fact)
        self.others.offer(fact)

    def state(self, server: str = "s0") -> str:
        return self.fleet.servers[server].state(time.monotonic())

    async def _probe(self) -> None:
        self.probing = True
        try:
            await asyncio.Event().wait()
        finally:
            self.probing = False

    async def start(self) -> bool:
        joined = await self.others.join()
        self._tasks = [asyncio.create_task(work(), name=name) for name, work in self.others.tasks(self._probe).items()]
        return joined

    async def die(self, *, orderly: bool = False) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        if orderly:
            await self.others.leave()


StartProcess = Callable[..., Awaitable[Process]]


@pytest.fixture
async def together(redis_server: RedisServer) -> AsyncIterator[StartProcess]:
    async with AsyncExitStack() as stack:
        count = 0

        async def start() -> Process:
            nonlocal count
            count += 1
            name = f"p{count}"
            process = Process(lambda fleet, apply: Together(redis_server.url, name, fleet, apply, time.monotonic))
            stack.push_async_callback(process.die, orderly=True)
            await process.start()
            return process

        yield start


@pytest.fixture(params=["alone", "together"])
async def process(request: pytest.FixtureRequest, together: StartProcess) -> AsyncIterator[Process]:
    if request.param == "together":
        yield await together()
        return
    alone = Process(lambda fleet, apply: Alone())
    assert not await alone.start()
    yield alone
    await alone.die(orderly=True)


async def test_a_single_process_is_one_instance_and_asks_the_servers(process: Process):
    await wait_until(lambda: process.probing)
    assert process.others.instances() == 1
    assert all(server.share.owner for server in process.fleet.servers.values())


async def test_nobody_hears_its_own_facts(process: Process):
    for _ in range(1000):
        process.find(ProbeFailed("s0", time.monotonic(), FaultKind.REFUSED, again_in=5))
    await asyncio.sleep(0.5)
    assert process.heard == []
    assert not process.others.hearing


async def test_all_know_who_lives_and_exactly_one_asks_the_servers(together: StartProcess):
    processes = [await together() for _ in range(3)]
    await wait_until(lambda: {p.others.instances() for p in processes} == {3})
    await wait_until(lambda: sum(p.probing for p in processes) == 1)
    owners = [[s.share.owner for s in p.fleet.servers.values()] for p in processes]
    assert [sum(of_server) for of_server in zip(*owners, strict=True)] == [1] * 4


async def test_one_that_leaves_hands_over_at_once_and_one_that_dies_within_seconds(together: StartProcess):
    first, second, third = [await together() for _ in range(3)]
    await wait_until(lambda: first.probing)
    await first.die(orderly=True)
    began = time.monotonic()
    await wait_until(lambda: second.probing or third.probing)
    assert time.monotonic() - began < 2.5
    leader, other = (second, third) if second.probing else (third, second)
    await leader.die()
    await wait_until(lambda: other.probing, 8)
    await wait_until(lambda: other.others.instances() == 1, 8)


async def test_one_that_retires_hands_over_at_once_and_still_hears(together: StartProcess):
    first, second = await together(), await together()
    await wait_until(lambda: first.probing and second.others.instances() == 2)
    await first.others.retire()
    began = time.monotonic()
    await wait_until(lambda: second.others.instances() == 1 and second.probing and not first.probing)
    assert time.monotonic() - began < 2.5
    assert all(server.share.owner for server in second.fleet.servers.values())
    second.find(ProbeFailed("s1", time.monotonic(), FaultKind.REFUSED, again_in=60))
    await wait_until(lambda: first.state("s1") == "resting")
    await asyncio.sleep(1.2)  # a sign of life later it is still gone
    assert second.others.instances() == 1


async def test_what_a_probe_or_a_request_of_one_finds_out_is_believed_by_all(together: StartProcess):
    one, two = await together(), await together()
    now = time.monotonic()
    one.find(Listed("s0", now, MODELS[:1], "0.17.1"))
    one.find(Warm("s0", now, ("m",)))
    one.find(ProbeFailed("s1", now, FaultKind.REFUSED, "nobody there", again_in=60))
    one.find(AttemptEnded("s2", "m", now, FaultKind.RESET, "reset"))
    await wait_until(lambda: len(two.heard) >= 4)
    assert two.state("s0") == "healthy"
    assert list(two.fleet.servers["s0"].models) == ["m:latest"]
    assert two.fleet.servers["s0"].models["m:latest"].warm(time.monotonic())
    assert two.state("s1") == two.state("s2") == "resting"
    assert two.fleet.servers["s2"].in_flight == 0
    assert abs(two.fleet.servers["s1"].probe_rest.until - one.fleet.servers["s1"].probe_rest.until) < 1.0


async def test_good_news_is_told_now_and_then_and_bad_news_always(together: StartProcess):
    one, two = await together(), await together()
    for _ in range(100):
        one.others.offer(FirstToken("s0", "m", time.monotonic(), 0.2))
        one.others.offer(AttemptEnded("s0", "m", time.monotonic(), tokens=10, seconds=1.0))
        one.others.offer(AttemptEnded("s0", "m", time.monotonic(), cancelled=True))
        one.others.offer(AttemptEnded("s0", "m", time.monotonic(), FaultKind.CALLER))
    for _ in range(3):
        one.others.offer(AttemptEnded("s3", "m", time.monotonic(), FaultKind.STALLED))
    await wait_until(lambda: sum(isinstance(f, AttemptEnded) and f.server == "s3" for f in two.heard) == 3)
    assert sum(isinstance(f, FirstToken) for f in two.heard) == 1
    assert sum(isinstance(f, AttemptEnded) and f.server == "s0" for f in two.heard) == 1


async def test_a_burst_is_bounded(together: StartProcess):
    one, two = await together(), await together()
    for _ in range(5000):
        one.others.offer(AttemptEnded("s0", "m", time.monotonic(), FaultKind.RESET))
    one.others.offer(AttemptEnded("s1", "m", time.monotonic(), FaultKind.RESET))
    await wait_until(lambda: len(two.heard) > 0)
    await asyncio.sleep(0.5)
    assert len([f for f in two.heard if isinstance(f, AttemptEnded)]) == bus_module.MOST


async def test_one_that_starts_knows_what_was_found_out_before(
    together: StartProcess, monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
):
    monkeypatch.setattr(bus_module, "DRAWN", 0.1)
    one = await together()
    await wait_until(lambda: one.probing)
    now = time.monotonic()
    one.find(Listed("s0", now, MODELS))
    one.find(ProbeFailed("s1", now, FaultKind.REFUSED, again_in=60))
    for _ in range(8):
        one.find(FirstToken("s3", "m", now, 3.0))  # more than is told: it is in the picture
    one.find(AttemptEnded("s3", "m", now, FaultKind.WRONG_MODEL, "it said so"))
    async with Redis.from_url(redis_server.url) as redis:

        async def drawn() -> Any:
            return await redis.get(bus_module.PICTURE)

        before = await wait_until(drawn)

        async def drawn_again() -> bool:
            return await redis.get(bus_module.PICTURE) != before

        await wait_until(drawn_again)
        await wait_until(drawn_again)
    two = await together()
    assert (two.state("s0"), two.state("s1")) == ("healthy", "resting")
    assert two.fleet.servers["s3"].models["m:latest"].waits >= 8
    assert two.fleet.servers["s3"].models["m:latest"].resting(time.monotonic())


async def test_what_another_version_says_is_left_out(together: StartProcess, redis_server: RedisServer):
    one = await together()
    async with Redis.from_url(redis_server.url) as redis:
        await redis.xadd(STREAM, {"from": "future", "facts": b"\xff\x00 nonsense"})
        await redis.xadd(STREAM, {"something": "else"})
        await redis.set(bus_module.PICTURE, b"[]")
    two = await together()
    one.find(ProbeFailed("s0", time.monotonic(), FaultKind.REFUSED, again_in=60))
    await wait_until(lambda: two.state() == "resting")


@pytest.mark.slow
async def test_without_redis_everybody_probes_and_nothing_fails_and_then_one_does_again(
    together: StartProcess, redis_server: RedisServer
):
    one, two = await together(), await together()
    await wait_until(lambda: one.others.instances() == two.others.instances() == 2)
    redis_server.kill()
    await wait_until(lambda: one.probing and two.probing, 10)
    assert one.others.instances() == two.others.instances() == 2  # the last that is known
    one.find(ProbeFailed("s0", time.monotonic(), FaultKind.REFUSED, again_in=60))
    redis_server.start()
    await wait_until(lambda: one.probing != two.probing, 20)

    def told() -> bool:
        one.find(ProbeFailed("s1", time.monotonic(), FaultKind.REFUSED, again_in=60))
        return two.state("s1") == "resting"

    await wait_until(told, 20, every=0.2)
