#!/usr/bin/env python3
"""Clients that hang up, 20,000 times: does anything stay behind?

    python bench/chaos/cancellations.py [--requests 20000] [--concurrency 64]

In turn, over all APIs: right after the request was sent (before the head), while a server is silent (before the first
word), in mid-stream, and while a whole answer is being waited for; every second time with a reset. Four own servers
answer in 50 ms and 10 ms a word, two are silent, one cuts its streams, so that attempts, races and continuations are
cancelled, too. Some load goes through before the first count, so that pools and tables have their working size.

Counted before and after: the gateway process's file descriptors (`/proc/PID/fd`), its `llmgw_inflight` requests, its
asyncio tasks (`llmgw_tasks`), the attempts that its fleet thinks are running (the admin API's `in_flight`), and the
places that still work: at the end as many requests as at the begin must be answered. Exits with 1 when one of them is
not back within 2, or when a server still works on something one second after the last client has left.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from stage import (
    MODEL,
    NATIVE,
    NATIVE_STREAM,
    OPENAI,
    Client,
    Promises,
    Served,
    Servers,
    counted,
    crowd,
    gateway,
    looked_at,
    metrics,
    question,
    run,
    text,
)

WORDS = 40
GOOD: dict[str, Any] = {"models": [MODEL], "words": WORDS, "delay": 0.05, "rate": 100.0, "warm": [MODEL]}
FLEET = [GOOD] * 7
TURNS_BAD = {4: {"mood": "hang_after_request"}, 5: {"mood": "hang_after_request"}, 6: {"mood": "cut_anywhere"}}
KINDS = ("before the head", "before the first word", "in mid-stream", "a whole answer")
WITHIN = 1.0
"""Seconds after the last client has left until no server may work any more."""
SETTLES = 10.0
"""Seconds that connections and tasks have to come to rest: more than an idle upstream connection is kept is not
waited for, since it counts before as well as after."""
SLACK = 2
DEADLINE = 60.0


def request(number: int) -> tuple[str, str, dict[str, Any]]:
    """How, where and what the client asks before it leaves."""
    kind = KINDS[number % 4]
    if kind == "a whole answer":
        return (kind, NATIVE, question(None, number)) if number % 8 < 4 else (kind, OPENAI, question(False, number))
    if number % 8 < 4:
        return kind, NATIVE_STREAM, question(None, number)
    return kind, OPENAI, question(True, number)


async def leave(client: Client, number: int, seen: Counter[str]) -> None:
    kind, path, body = request(number)
    reader = await client.begin(path, body)
    if kind == "before the first word":
        await asyncio.sleep(0.03)
    elif kind == "a whole answer":
        await asyncio.sleep(0.2 * (number % 16) / 16)
    elif kind == "in mid-stream":
        async with asyncio.timeout(DEADLINE):
            heard = b""
            while b"w002" not in heard and (data := await reader.read(65_536)):
                heard += data
            if b"w002" not in heard:
                kind = "ended before it was left"
    seen[kind] += 1
    client.leave(gently=number % 16 < 8)


async def counts(served: Served) -> dict[str, int]:
    """What the gateway holds, its own question left out."""
    figures = await metrics(served)
    async with Client(served.port, key=served.admin_token) as admin:
        fleet = json.loads((await admin.get("/admin/api/servers")).body)
    rows = fleet.get("data") or fleet.get("items") or []
    found = {
        "file descriptors": len(os.listdir(f"/proc/{served.process.pid}/fd")),
        "requests": int(figures["llmgw_inflight"]),
        "attempts": sum(row["in_flight"] for row in rows),
    }
    if (tasks := figures.get("llmgw_tasks")) is not None:
        found["tasks"] = int(tasks)
    return found


async def settled(served: Served, wanted: dict[str, int] | None = None) -> dict[str, int]:
    """The counts, as soon as they are as `wanted` or do not change any more."""
    until = time.monotonic() + SETTLES
    before: dict[str, int] = {}
    while True:
        now = await counts(served)
        if time.monotonic() > until or (wanted and all(abs(now[name] - wanted[name]) <= SLACK for name in wanted)):
            return now
        if wanted is None and now == before:
            return now
        before = now
        await asyncio.sleep(1.0)


async def main(options: argparse.Namespace) -> int:
    promises = Promises()
    seen: Counter[str] = Counter()
    fine: Counter[str] = Counter()

    async def cancel(client: Client, number: int) -> None:
        await leave(client, number, seen)

    async def ask(client: Client, number: int) -> None:
        path, stream = ((NATIVE_STREAM, None), (OPENAI, False))[number % 2]
        fine[(await client.ask(path, question(stream, number), deadline=DEADLINE)).verdict(text(WORDS))] += 1

    with tempfile.TemporaryDirectory() as place:
        async with Servers(FLEET) as servers:
            with gateway(Path(place), servers.entries()) as served:
                await looked_at(served)
                await crowd(served, 4 * options.concurrency, options.concurrency, ask)
                await servers.set(TURNS_BAD)
                await crowd(served, 4 * options.concurrency, options.concurrency, cancel)
                before = await settled(served)
                seen.clear()
                began = time.perf_counter()
                await crowd(served, options.requests, options.concurrency, cancel)
                seconds = time.perf_counter() - began
                await asyncio.sleep(WITHIN)
                working = await servers.total("in_flight")
                after = await settled(served, before)
                await servers.set({n: {"mood": "good"} for n in TURNS_BAD})
                fine.clear()
                await crowd(served, 4 * options.concurrency, options.concurrency, ask)
    print(f"{options.requests} cancellations in {seconds:.1f} s ({options.requests / seconds:.0f}/s): {counted(seen)}")
    print(f"  before {before}\n  after  {after}\n  asked afterwards: {counted(fine)}")
    promises.most(f"requests that servers work on {WITHIN:g} s later", working, 0)
    for name, count in before.items():
        promises.most(f"{name} that are left", after[name] - count, SLACK)
    promises.least("exact answers afterwards", fine["exact"] / (4 * options.concurrency), 1.0)
    return 1 if promises.broken else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--concurrency", type=int, default=64)
    sys.exit(run(main(parser.parse_args())))
