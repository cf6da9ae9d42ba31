#!/usr/bin/env python3
"""Minutes or hours on a fleet that changes all the time: does anything wear out, stop, or grow?

    python bench/chaos/soak.py [--minutes 15] [--servers 12] [--clients 8] [--seed 1]

One gateway, the default settings, servers of its own (small fleets fail in other ways than large ones: `--servers 1`).
Every ten seconds each server but four gets a new mood, good or bad by chance; clients ask one request after the other
all the while, whole and streamed, in the native API and in OpenAI's, and compare every answer word by word (see
`stage.Told.verdict`). Every ten seconds it is looked whether

- each server that is well has answered a look within its time (60 s, spread by a fifth, and 15 s to be seen), and a
  next one is planned for every server: a look that is forgotten is never noticed by requests, as others answer them;
- the gateway's memory and file descriptors have grown, compared with the end of the first quarter;
- its log has lines of level error.

Exits with 1 when less than 99.9 % is exact, anything is truncated, corrupt, untyped or hung, a look is late or missing,
the log has an error, or more than 20 MB or 40 descriptors were added after the first quarter.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

from stage import (
    MODEL,
    WRONG,
    Client,
    Promises,
    Servers,
    counted,
    gateway,
    looked_at,
    mixed,
    run,
    text,
)

from support.served import Served

WORDS = 20
SAFE = 4
"""Servers that stay good."""
EVERY = 10.0
"""Seconds between changes of moods, and between looks."""
LATE = 60 * 1.2 + 15
"""Seconds after which a server that is well should have answered another look."""
DEADLINE = 90.0
GOOD: dict[str, Any] = {"mood": "good", "delay": 0.02}
MOODS: tuple[dict[str, Any], ...] = (
    *[GOOD] * 6,
    {"mood": "refuse"},
    {"mood": "hang_after_request"},
    {"mood": "garbage_banner"},
    {"mood": "html_502"},
    {"mood": "runner_500"},
    {"mood": "busy_503"},
    {"mood": "empty_done"},
    {"mood": "cut_anywhere"},
    {"mood": "stall_mid", "cut_after": 5},
    {"mood": "good", "delay": 2.0},
)


class Watch:
    """What was seen of the gateway from outside."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self.late: list[str] = []
        self.grown: list[tuple[float, int]] = []
        """MB of memory and open descriptors, one pair for each look."""

    async def look(self) -> None:
        process = Path(f"/proc/{self._served.process.pid}")
        pages = int((process / "statm").read_text().split()[1])
        self.grown.append((pages * 4096 / 1e6, len(list((process / "fd").iterdir()))))
        async with Client(self._served.port, key=self._served.admin_token) as client:
            servers = json.loads((await client.get("/admin/api/servers")).body)["data"]
        for server in servers:
            age = time.time() - datetime.fromisoformat(server["looked_at"]).timestamp() if server["looked_at"] else 0.0
            if server["next_look_s"] is None:
                self._blame(f"{server['name']} is never looked at again")
            elif server["state"] == "healthy" and age > LATE:
                self._blame(f"{server['name']} was looked at {age:.0f} s ago")

    def _blame(self, what: str) -> None:
        self.late.append(what)
        print(f"  {what}", flush=True)

    def growth(self) -> tuple[float, float]:
        """MB and descriptors that the last look found more than that at the end of the first quarter."""
        early, last = self.grown[len(self.grown) // 4], self.grown[-1]
        return last[0] - early[0], last[1] - early[1]


async def main(options: argparse.Namespace) -> int:
    promises, outcomes, numbers = Promises(), Counter[str](), count()
    dice = random.Random(options.seed)
    specs = [{"models": [MODEL], "words": WORDS, "rate": 200.0, "warm": [MODEL], "delay": 0.02}] * options.servers
    with tempfile.TemporaryDirectory() as place:
        async with Servers(specs) as servers:
            with gateway(Path(place), servers.entries()) as served:
                await looked_at(served)
                until, watch = time.monotonic() + options.minutes * 60, Watch(served)

                async def ask() -> None:
                    async with Client(served.port) as client:
                        while time.monotonic() < until:
                            number = next(numbers)
                            told = await client.ask(*mixed(number), deadline=DEADLINE)
                            outcomes[told.verdict(text(WORDS))] += 1

                async def change() -> None:
                    while time.monotonic() < until:
                        moods = {n: {"cut_after": 3, **dice.choice(MOODS)} for n in range(SAFE, options.servers)}
                        await servers.set({n: {"delay": 0.02} | mood for n, mood in moods.items()})
                        await asyncio.sleep(EVERY)
                        await watch.look()

                async with asyncio.TaskGroup() as group:
                    group.create_task(change())
                    for _ in range(options.clients):
                        group.create_task(ask())
            said = (served.data_dir / "output").read_text().splitlines()
    errors = [line for line in said if '"level":"error"' in line]
    total = outcomes.total()
    print(f"{total} requests in {options.minutes:g} minutes: {counted(outcomes)}")
    print("  memory, MB: " + " ".join(f"{memory:.0f}" for memory, _ in watch.grown[:: max(1, len(watch.grown) // 20)]))
    for line in errors[:10]:
        print(f"  {line[:400]}")
    promises.least("exact", outcomes["exact"] / total, 0.999)
    for wrong in sorted(WRONG):
        promises.most(wrong, outcomes[wrong], 0)
    memory, descriptors = watch.growth()
    promises.most("looks that are late or missing", len(watch.late), 0)
    promises.most("errors in the log", len(errors), 0)
    promises.most("MB added after the first quarter", memory, 20)
    promises.most("descriptors added after the first quarter", descriptors, 40)
    return 1 if promises.broken else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=15)
    parser.add_argument("--servers", type=int, default=12)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    sys.exit(run(main(parser.parse_args())))
