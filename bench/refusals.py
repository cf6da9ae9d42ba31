#!/usr/bin/env python3
"""What a refusal costs the gateway, in CPU.

    python bench/refusals.py [--requests 500]

A gateway in a process of its own, whose only server takes one request and is silent, is asked over one connection for
what it has to refuse: for a model that nobody holds, beyond a project's rate limit and its requests at a time, and for
a model in whose queue 256 requests wait already. Counted are the CPU seconds of the process
(`/proc/PID/stat`, user and system) by the refusals; what the client waited stands beside them. Rows are written as
always, for those refusals that have one.

Exits with 1 when a refusal of any kind costs 2 ms or more.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent / "chaos"))

from stage import MODEL, NATIVE, Client, Promises, Served, Servers, gateway, key_of, looked_at, question, run, spread

MOST_MS = 2.0
DEADLINE = 30.0
SETTLES = 0.5
"""Seconds in which the requests that stand in the way have arrived."""
WAITING = 256
"""Places of a queue, when the model's servers bear little."""
TICK = os.sysconf("SC_CLK_TCK")
SILENT = {"models": [MODEL], "mood": "hang_after_request"}
PROJECTS: list[dict[str, Any]] = [
    {"name": "tests", "trust": ["own"]},
    {"name": "rated", "trust": ["own"], "rate_limit_per_minute": 1},
    {"name": "single", "trust": ["own"], "max_concurrency": 1},
]


def cpu(served: Served) -> float:
    """Seconds that the process has worked so far."""
    fields = Path(f"/proc/{served.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


async def refused(
    served: Served, promises: Promises, code: str, requests: int, project: str = "tests", **fields: Any
) -> None:
    """So many requests of which each must be refused with `code`."""
    waits = []
    body: Mapping[str, Any] = {**question(), **fields}
    async with Client(served.port, key=key_of(project)) as client:
        began = cpu(served)
        for _ in range(requests):
            told = await client.ask(NATIVE, body, deadline=DEADLINE)
            waits.append(told.seconds)
            if told.verdict("") != f"refused {code}":
                raise SystemExit(f"{told.verdict('')} instead of {code}: {told.body[-300:]!r}")
        spent = cpu(served) - began
    promises.most(f"{code}, CPU ms of the gateway", 1000 * spent / requests, MOST_MS)
    print(f"         the client waited {spread(waits)}")


async def main(options: argparse.Namespace) -> int:
    promises, count = Promises(), options.requests
    with tempfile.TemporaryDirectory() as place:
        async with Servers([SILENT]) as servers:
            with gateway(Path(place), servers.entries(max_concurrency=1), projects=PROJECTS) as served:
                await looked_at(served)
                await refused(served, promises, "model_not_found", count, model="unknown")
                async with AsyncExitStack() as stack:

                    async def hold(project: str) -> None:
                        client = await stack.enter_async_context(Client(served.port, key=key_of(project)))
                        await client.begin(NATIVE, question())

                    for project in ("rated", "single", *["tests"] * WAITING):
                        await hold(project)
                    await asyncio.sleep(SETTLES)
                    await refused(served, promises, "queue_full", count)
                    await refused(served, promises, "rate_limit_exceeded", count, "rated")
                    await refused(served, promises, "concurrency_limit_exceeded", count, "single")
    return 1 if promises.broken else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=500)
    sys.exit(run(main(parser.parse_args())))
