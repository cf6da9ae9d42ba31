#!/usr/bin/env python3
"""Four times as many requests as the servers can answer: do they still answer as many, and who is told no, how soon?

    python bench/chaos/overload.py [--seconds 300] [--times 4]

Four own servers with `max_concurrency: 4` answer in about 0.2 s, so that they are the bottleneck and not the gateway.
First the *peak* is measured: twice as many clients as there are places, each asking again when it was answered. Then
*overload*: requests of four projects arrive at random (open loop, Poisson), `--times` as many for `--seconds`,
whatever became of the ones before. Last *unfair*, a third as long: one project sends twenty times as much as each of
three others, which together ask for three tenths of the peak. Half of the requests stream.

Goodput counts exact answers only. Refusals are shown by code, those that come at once (429 `queue_full`, 503
`overloaded`) apart from those that had waited for a place in vain (429 `queue_timeout`, up to 10 s by design).
Exits with 1 when the goodput under overload is below 90 % of the peak, an answer is neither exact nor a typed refusal,
the 99th percentile of the immediate refusals is 100 ms or more, more than 1 % of all refusals had waited, or another
project than the loud one has less than 99 % of its requests answered.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

from stage import (
    MODEL,
    NATIVE,
    NATIVE_STREAM,
    WRONG,
    Client,
    Promises,
    Served,
    Servers,
    counted,
    gateway,
    key_of,
    looked_at,
    quantile,
    question,
    run,
    spread,
    text,
)

WORDS = 10
PLACES = 4
FLEET: list[dict[str, Any]] = [
    {"models": [MODEL], "words": WORDS, "delay": 0.1, "rate": 100.0, "warm": [MODEL]} for _ in range(4)
]
PROJECTS = ("loud", "one", "two", "three")
AT_ONCE = frozenset({"refused queue_full", "refused overloaded"})
ONCE_MOST_MS = 100.0
DEADLINE = 60.0
WARM_UP = 5.0
"""Seconds in which the gateway finds out how much the servers bear."""


class Crowd:
    """Requests of several projects, and what became of them."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._idle: dict[str, list[Client]] = defaultdict(list)
        self.outcomes: dict[str, Counter[str]] = defaultdict(Counter)
        """By project."""
        self.refused: dict[str, list[float]] = defaultdict(list)
        """Seconds, by verdict."""
        self.waits: list[float] = []
        """Seconds that exact answers took."""
        self.seconds = 0.0
        self.sent = 0

    async def ask(self, project: str) -> str:
        self.sent += 1
        path = (NATIVE, NATIVE_STREAM)[self.sent % 2]
        idle = self._idle[project]
        client = idle.pop() if idle else Client(self._served.port, key=key_of(project))
        told = await client.ask(path, question(None, self.sent), deadline=DEADLINE)
        idle.append(client)
        verdict = told.verdict(text(WORDS))
        self.outcomes[project][verdict] += 1
        if verdict == "exact":
            self.waits.append(told.seconds)
        else:
            self.refused[verdict].append(told.seconds)
        if verdict in WRONG:
            print(f"{verdict}: status {told.status}: {told.body[-400:]!r}", file=sys.stderr)
        return verdict

    async def arrive(self, rates: dict[str, float], seconds: float, seed: int) -> None:
        """Open loop: `rates` are requests per second by project."""
        dice = random.Random(seed)
        names, weights, rate = list(rates), list(rates.values()), sum(rates.values())
        began = at = time.perf_counter()
        async with asyncio.TaskGroup() as group:
            while (at := at + dice.expovariate(rate)) < began + seconds:
                if (early := at - time.perf_counter()) > 0:
                    await asyncio.sleep(early)
                group.create_task(self.ask(dice.choices(names, weights)[0]))
            self.seconds = time.perf_counter() - began
            self._good_in_time = self.good
        self.close()

    async def go_round(self, clients: int, seconds: float) -> None:
        """Closed loop."""
        began = time.perf_counter()

        async def one(project: str) -> None:
            while time.perf_counter() < began + seconds:
                await self.ask(project)

        async with asyncio.TaskGroup() as group:
            for n in range(clients):
                group.create_task(one(PROJECTS[n % len(PROJECTS)]))
        self.seconds = time.perf_counter() - began
        self._good_in_time = self.good
        self.close()

    def close(self) -> None:
        for idle in self._idle.values():
            for client in idle:
                client.leave()

    @property
    def good(self) -> int:
        return sum(outcomes["exact"] for outcomes in self.outcomes.values())

    @property
    def goodput(self) -> float:
        """Exact answers per second, while requests arrived."""
        return self._good_in_time / self.seconds

    def everything(self) -> Counter[str]:
        total: Counter[str] = Counter()
        for outcomes in self.outcomes.values():
            total += outcomes
        return total

    def show(self, title: str) -> None:
        print(f"{title}: {self.sent} requests in {self.seconds:.0f} s ({self.sent / self.seconds:.0f}/s), "
              f"{self.goodput:.1f} exact answers per second after {spread(self.waits)}")  # fmt: skip
        for verdict, seconds in sorted(self.refused.items()):
            print(f"  {verdict} {len(seconds)}: after {spread(seconds)}")
        sys.stdout.flush()


async def main(options: argparse.Namespace) -> int:
    promises = Promises()
    projects = [{"name": name, "trust": ["own"]} for name in PROJECTS]
    with tempfile.TemporaryDirectory() as place:
        async with Servers(FLEET) as servers:
            with gateway(Path(place), servers.entries(max_concurrency=PLACES), projects=projects) as served:
                await looked_at(served)
                places = PLACES * len(FLEET)
                await Crowd(served).go_round(2 * places, WARM_UP)
                peak = Crowd(served)
                await peak.go_round(2 * places, max(5.0, options.seconds / 10))
                peak.show("peak")
                each = options.times * peak.goodput / len(PROJECTS)
                over = Crowd(served)
                await over.arrive(dict.fromkeys(PROJECTS, each), options.seconds, seed=1)
                over.show(f"overload, {options.times:g} times the peak")
                quiet = 0.1 * peak.goodput
                unfair = Crowd(served)
                rates = {name: 20 * quiet if name == "loud" else quiet for name in PROJECTS}
                await unfair.arrive(rates, max(10.0, options.seconds / 3), seed=2)
                unfair.show("unfair, one project sends 20 times as much as the others")
    for name in PROJECTS:
        print(f"  {name}: {counted(unfair.outcomes[name])}")
    promises.least("goodput under overload, of the peak", over.goodput / peak.goodput, 0.9)
    for crowd in (over, unfair):
        total = crowd.everything()
        typed = sum(n for verdict, n in total.items() if verdict == "exact" or verdict.startswith("refused "))
        promises.least("exact or refused with a type", typed / crowd.sent, 1.0)
    at_once = [seconds for verdict in AT_ONCE for seconds in over.refused[verdict]]
    refused = [
        seconds for verdict, found in over.refused.items() if verdict.startswith("refused ") for seconds in found
    ]
    promises.most("immediate refusals, p99, ms", 1000 * quantile(at_once, 0.99), ONCE_MOST_MS)
    promises.most("refusals that had waited, of all", 1 - len(at_once) / max(1, len(refused)), 0.01)
    print(f"  all refusals together: {spread(refused)}")
    for name in PROJECTS[1:]:
        outcomes = unfair.outcomes[name]
        promises.least(f"answered of project {name}", outcomes["exact"] / max(1, outcomes.total()), 0.99)
    return 1 if promises.broken else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--times", type=float, default=4.0)
    sys.exit(run(main(parser.parse_args())))
