#!/usr/bin/env python3
"""Real llama.cpp servers are killed, frozen and started again while they answer: is any word ever wrong?

    python bench/chaos/killed_servers.py [--servers 4] [--requests 500] [--concurrency 8]

Every server recites " w000 w001 …" and goes on with exactly the next word, whoever said the ones before: gaps and
repetitions are visible word by word. A random server gets kill -9 or SIGSTOP every third of a second; it is started
again on its port, or thawed, after a random moment; one server at a time is spared. An answer is *exact*, *typed* (a
good begin, then the error event), or *wrong*. Exits with 1 when anything is wrong. The gateway runs in this process;
everything is on loopback, and only processes that were started here get signals.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack, ExitStack, suppress
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / "tests"), str(Path(__file__).resolve().parent)]

import structlog  # noqa: E402 - the path comes first
from broken_streams import judge  # noqa: E402

from support.gateway import Live, gateway  # noqa: E402
from support.llama import LlamaServer, running_llama  # noqa: E402

WORDS = 256
TIMEOUTS = {"connect": 1, "head": 1, "first_token": 1, "stall": 1, "budget": 10, "total": 60}
EVERY = 0.33
"""Seconds between two accidents."""


class Machine:
    """One server that dies and comes back on the same port."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self.server: LlamaServer | None = None
        self.port = 0
        self.busy = False

    def start(self) -> None:
        self.server = self._stack.enter_context(running_llama(words=WORDS, port=self.port))
        self.port = int(self.server.url.rpartition(":")[2])

    def stop(self) -> None:
        self._stack.close()

    async def killed(self, away: float) -> None:
        assert self.server
        await asyncio.to_thread(self.server.kill)
        await asyncio.sleep(away)
        self._stack.close()
        await asyncio.to_thread(self.start)

    async def frozen(self, away: float) -> None:
        assert self.server
        self.server.freeze()
        try:
            await asyncio.sleep(away)
        finally:
            self.server.thaw()


async def accidents(machines: list[Machine], dice: random.Random, seen: Counter[str]) -> None:
    async def happen(machine: Machine, kind: str) -> None:
        machine.busy = True
        seen[kind] += 1
        try:
            await (machine.killed if kind == "kill -9" else machine.frozen)(dice.uniform(0.1, 2.5))
        finally:
            machine.busy = False

    async with asyncio.TaskGroup() as group:
        while True:
            await asyncio.sleep(EVERY * dice.uniform(0.5, 1.5))
            well = [machine for machine in machines if not machine.busy]
            if len(well) > 1:
                group.create_task(happen(dice.choice(well), dice.choice(("kill -9", "SIGSTOP"))))


async def ask(live: Live, options: argparse.Namespace, text: str) -> tuple[Counter[str], Counter[int]]:
    outcomes: Counter[str] = Counter()
    continued: Counter[int] = Counter()
    left = iter(range(options.requests))

    async def client() -> None:
        for n in left:
            told = await live.stream("/v1/chat/completions", temperature=1.0 if n % 2 else 0.0)
            outcome = judge(told, text)
            outcomes[outcome] += 1
            if outcome == "exact":
                continued[told.chunks[-1].get("continuations", 0)] += 1
            elif outcome == "wrong":
                print("WRONG:", told.text, told.error, file=sys.stderr)

    async with asyncio.TaskGroup() as group:
        for _ in range(options.concurrency):
            group.create_task(client())
    return outcomes, continued


async def main(options: argparse.Namespace) -> int:
    seen: Counter[str] = Counter()
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        machines = [Machine() for _ in range(options.servers)]
        for machine in machines:
            await asyncio.to_thread(machine.start)
            stack.callback(machine.stop)
        servers = [
            {"name": f"llama-{n}", "url": f"http://127.0.0.1:{m.port}/v1", "kind": "openai", "trust": "own"}
            for n, m in enumerate(machines)
        ]
        live = await stack.enter_async_context(gateway(folder, *servers, timeouts=TIMEOUTS, timeout=90.0))
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
        assert machines[0].server
        text = machines[0].server.words()
        chaos = asyncio.create_task(accidents(machines, random.Random(options.seed), seen), name="accidents")
        began = time.monotonic()
        outcomes, continued = await ask(live, options, text)
        seconds = time.monotonic() - began
        chaos.cancel()
        with suppress(asyncio.CancelledError):
            await chaos
        in_flight = live.in_flight
    print(f"{options.requests} streams of {WORDS} words over {options.servers} llama.cpp servers, {seconds:.1f} s")
    print("  accidents: " + ", ".join(f"{kind} × {count}" for kind, count in seen.items()))
    print("  " + ", ".join(f"{name} {count}" for name, count in outcomes.most_common()))
    print("  continuations: " + ", ".join(f"{n} × {count}" for n, count in sorted(continued.items())))
    print(f"  left in flight {in_flight}")
    return 1 if outcomes["wrong"] or in_flight else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--servers", type=int, default=4)
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--concurrency", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    sys.exit(asyncio.run(main(parser.parse_args())))
