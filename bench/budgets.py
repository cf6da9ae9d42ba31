"""Do limits hold? Real gateways over a real Redis and PostgreSQL, one crowd of clients, every answer counted.

    budgets       1,000 requests at once against a budget for 100, with and without `max_tokens`, by one process alone
                  and by two over Redis: how much more was used than there was
    exactness     requests and tokens per minute and requests at a time over two gateways, under load: what passed, and
                  what may pass in the time from the first to the last (a full bucket, and what runs into it)
    crash         the places of a gateway that is killed (kill -9): when they are free again
    outages       Redis killed and frozen under load: failed requests, and how much longer requests take

    .venv/bin/python bench/budgets.py [--only budgets|exactness|crash|outages]

Exits with 1 when a limit does not hold, a request fails, or a place is not free within 31 s. The latencies are printed
and judged only loosely: they are those of everything that the machine does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).parent / "chaos")]

from stage import NATIVE, NATIVE_STREAM, Client, Servers, Told, gateway, looked_at, machine, question, run  # noqa: E402

from support.databases import OwnServer  # noqa: E402
from support.redises import RedisServer, program  # noqa: E402
from support.served import Served  # noqa: E402

CROWD = 1000
WORDS = 20
EACH = 33
"""Tokens of one request: the question's estimate, and the answer's words."""
DEADLINE = 120.0


def limited(**limits: Any) -> dict[str, Any]:
    return {"projects": [{"name": "tests", "trust": ["own"], **limits}]}


class Stage:
    """What all parts stand on."""

    def __init__(self, servers: Servers, postgres: OwnServer, redis: RedisServer) -> None:
        self.servers, self.postgres, self.redis = servers, postgres, redis
        self._made = 0
        self.failed = False

    @contextmanager
    def gateways(self, count: int, *, shared: bool, **limits: Any) -> Iterator[list[Served]]:
        """Of one database of their own."""
        self._made += 1
        settings = limited(**limits) | {"timeouts": {"first_token": 60.0, "budget": 60.0}}
        if shared:
            settings["redis_url"] = self.redis.url
            settings["database_url"] = self.postgres.create(f"bench_{self._made}")
        with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
            yield [
                stack.enter_context(gateway(Path(folder) / str(n), self.servers.entries(), **settings))
                for n in range(count)
            ]

    def judge(self, text: str, good: bool) -> None:
        print(f"  {text}{'' if good else '   <- MISSED'}", flush=True)
        self.failed |= not good


def given_up(served: list[Served]) -> int:
    """How often the gateways had no answer of it in time: then they decide alone, and the figures are not exact."""
    return sum((each.data_dir / "output").read_text().count("redis_unavailable") for each in served)


def tokens(told: Told) -> int:
    return int(json.loads(told.body)["usage"]["total_tokens"]) if told.status == 200 else 0


def codes(answers: list[Told]) -> Counter[str]:
    return Counter("ok" if a.status == 200 else str(json.loads(a.body)["error"]["code"]) for a in answers)


async def crowd(served: list[Served], count: int, **fields: Any) -> list[Told]:
    async def one(n: int) -> Told:
        async with Client(served[n % len(served)].port) as client:
            return await client.ask(NATIVE, question(n=n, **fields), deadline=DEADLINE)

    return await asyncio.gather(*(one(n) for n in range(count)))


async def budgets(stage: Stage) -> None:
    for shared in (False, True):
        for given in ({"max_tokens": WORDS}, {}):
            budget = 100 * EACH
            with stage.gateways(2 if shared else 1, shared=shared, monthly_tokens=budget) as served:
                for each in served:
                    await looked_at(each)
                answers = await crowd(served, CROWD, **given)
                used, said = sum(map(tokens, answers)), codes(answers)
                before = said["ok"]
                while (more := codes(last := await crowd(served, 1, **given)))["ok"] or more["budget_reserved"]:
                    used, before = used + sum(map(tokens, last)), before + more["ok"]
                away = given_up(served)
            over = max(0, used - budget)
            where = "two gateways, Redis" if shared else "one gateway, alone"
            text = f"{where}, {'with' if given else 'without'} max_tokens: {CROWD} at once {dict(said)};"
            # without `max_tokens` 256 tokens are reserved, which is more than these answers have
            stage.judge(f"{text} in the end {before} answered, {used} of {budget} used, overspent {over}", over == 0)
            print(f"    times that Redis was given up: {away}", flush=True)


@dataclass(slots=True)
class Passed:
    """An answer that a limit let through: it was counted between `sent` and `came`."""

    sent: float
    came: float
    used: int


async def pressed(served: list[Served], seconds: float, used: Callable[[Told], int]) -> list[Passed]:
    """What passes while 30 clients ask all the time: one that was refused asks again 0.1 s later."""
    until = time.monotonic() + seconds
    passed: list[Passed] = []

    async def one(n: int) -> None:
        async with Client(served[n % len(served)].port) as client:
            while (sent := time.monotonic()) < until:
                told = await client.ask(NATIVE, question(max_tokens=WORDS), deadline=DEADLINE)
                if told.status == 200:
                    passed.append(Passed(sent, time.monotonic(), used(told)))
                else:
                    await asyncio.sleep(0.1)

    await asyncio.gather(*(one(n) for n in range(30)))
    return passed


def may_pass(passed: list[Passed], limit: int) -> tuple[float, float]:
    """A full bucket, and what runs into it from the first that passed to the last: at least, at most."""
    most = max(one.came for one in passed) - min(one.sent for one in passed)
    least = max(one.sent for one in passed) - min(one.came for one in passed)
    return limit * (1 + least / 60), limit * (1 + most / 60)


async def exactness(stage: Stage) -> None:
    for name, limit, each in (("rate_limit_per_minute", 300, 1), ("tokens_per_minute", 300 * EACH, EACH)):
        with stage.gateways(2, shared=True, **{name: limit}) as served:
            for one in served:
                await looked_at(one)
            passed = await pressed(served, 20.0, tokens if each > 1 else lambda told: 1)
            away = given_up(served)
        used, (least, most) = sum(one.used for one in passed), may_pass(passed, limit)
        text = f"{name} {limit} over two: {used} passed, {least:.1f} to {most:.1f} may in this time, {each} at once"
        stage.judge(text, least - each <= used <= most + 1e-6)
        print(f"    times that Redis was given up: {away}", flush=True)
    await stage.servers.set({n: {"rate": 15.0} for n in range(len(stage.servers.ports))})
    with stage.gateways(2, shared=True, max_concurrency=40) as served:
        for each in served:
            await looked_at(each)
        for round in range(3):
            said = codes(await crowd(served, 200))
            stage.judge(f"40 at a time, round {round + 1} of 200 over two: {dict(said)}", said["ok"] == 40)
    await stage.servers.set({n: {"rate": None} for n in range(len(stage.servers.ports))})


async def crash(stage: Stage) -> None:
    await stage.servers.set({n: {"rate": 1.0} for n in range(len(stage.servers.ports))})
    with stage.gateways(2, shared=True, max_concurrency=20) as served:
        for each in served:
            await looked_at(each)
        clients = [Client(served[0].port) for _ in range(20)]
        for n, client in enumerate(clients):
            reader = await client.begin(NATIVE_STREAM, question(n=n))
            await reader.readuntil(b"data: ")
        full = codes(await crowd(served[1:], 5))
        stage.judge(f"20 of 20 places taken by one gateway, the other says {dict(full)}", not full["ok"])
        served[0].process.kill()
        killed = time.monotonic()
        for client in clients:
            client.leave()
        await stage.servers.set({n: {"rate": None} for n in range(len(stage.servers.ports))})
        first = None
        while time.monotonic() - killed < 40:
            said = codes(await crowd(served[1:], 1))
            if said["ok"]:
                first = time.monotonic() - killed
                break
            await asyncio.sleep(0.2)
        await asyncio.sleep(1.0)
        await stage.servers.set({n: {"rate": 15.0} for n in range(len(stage.servers.ports))})
        said = codes(await crowd(served[1:], 60))
    await stage.servers.set({n: {"rate": None} for n in range(len(stage.servers.ports))})
    stage.judge(f"a place was free {first or 99:.1f} s after kill -9", first is not None and first <= 31)
    stage.judge(f"then 60 at once: {dict(said)}", said["ok"] == 20)


async def outages(stage: Stage) -> None:
    limits = {"rate_limit_per_minute": 1_000_000, "max_concurrency": 5000, "monthly_tokens": 10**10}
    with stage.gateways(2, shared=True, **limits) as served:
        for each in served:
            await looked_at(each)
        for how in ("killed", "frozen"):
            calm = await load(served, 4.0)
            if how == "killed":
                stage.redis.kill()
            else:
                stage.redis.freeze()
            away = await load(served, 8.0)
            if how == "killed":
                stage.redis.start()
            else:
                stage.redis.thaw()
            back = await load(served, 8.0)
            answers = [told for part in (calm, away, back) for told in part]
            print(f"  Redis {how}: {len(answers)} requests {dict(codes(answers))}", flush=True)
            for name, part in (("there", calm), ("away", away), ("back", back)):
                print(f"    {name:6}{spread([told.seconds for told in part])}", flush=True)
            added = at([t.seconds for t in away], 0.99) - at([t.seconds for t in calm], 0.99)
            stage.judge(f"p99 away less p99 there: {added * 1000:.1f} ms", added <= 0.05)
            stage.judge("no request failed", set(codes(answers)) == {"ok"})


async def load(served: list[Served], seconds: float) -> list[Told]:
    """Eight clients, one request after the other."""
    until = time.monotonic() + seconds
    found: list[Told] = []

    async def one(n: int) -> None:
        async with Client(served[n % len(served)].port) as client:
            while time.monotonic() < until:
                found.append(await client.ask(NATIVE, question(n=n, max_tokens=WORDS), deadline=DEADLINE))

    await asyncio.gather(*(one(n) for n in range(8)))
    return found


def at(figures: list[float], share: float) -> float:
    return sorted(figures)[min(len(figures) - 1, int(len(figures) * share))]


def spread(figures: list[float]) -> str:
    p50, p99, most = (at(figures, share) * 1000 for share in (0.5, 0.99, 1.0))
    return f"{len(figures):6} requests, ms: p50 {p50:.1f}, p99 {p99:.1f}, max {most:.1f}"


PARTS = {"budgets": budgets, "exactness": exactness, "crash": crash, "outages": outages}


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=PARTS)
    asked = parser.parse_args()
    found = program()
    if found is None:
        print("neither redis-server nor valkey-server is installed")
        return 1
    print(machine())
    async with Servers([{"words": WORDS} for _ in range(3)]) as servers:
        postgres, redis = OwnServer(), RedisServer(found)
        try:
            stage = Stage(servers, postgres, redis)
            for name, part in PARTS.items():
                if asked.only in (None, name):
                    print(name, flush=True)
                    await part(stage)
        finally:
            redis.close()
            postgres.close()
    return int(stage.failed)


if __name__ == "__main__":
    sys.exit(run(main()))
